//! What a trial of a run showed: what the run would do on the component that is loaded now.
//! Nothing of it was done.

use jobmill_core::mail::Mailbox;
use jobmill_core::{JobId, Json, RunId, RunState, Timestamp};
use serde::Deserialize;

use super::{Attachment, AttemptError, LogLine};

/// What a run would do and come to.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Trial {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: JobId,
    /// The component that the trial ran, as 12 hex digits.
    pub version: String,
    /// The component that the run's latest attempt ran.
    pub earlier_version: Option<String>,
    /// It in a sentence or two.
    pub summary: String,
    /// When the trial began.
    pub started_at: Timestamp,
    /// How long it took, such as `12ms`.
    pub took: String,
    /// How the attempt would end, in a word such as `completed` or `failed`.
    pub outcome: String,
    /// The state that the run would be in then.
    pub state: RunState,
    /// When it would be due again.
    pub scheduled_at: Option<Timestamp>,
    /// Why it would fail.
    pub error: Option<AttemptError>,
    /// What the job would return.
    pub output: Option<Json>,
    /// What it would do, in order.
    #[serde(default)]
    pub effects: Vec<TrialEffect>,
    /// What earlier attempts have done, and it would not do again.
    #[serde(default)]
    pub done_before: Vec<DoneBefore>,
    /// Steps that it would complete, in order.
    #[serde(default)]
    pub steps: Vec<TrialStep>,
    /// Steps that earlier attempts have completed.
    #[serde(default)]
    pub steps_before: Vec<String>,
    /// What it logged.
    #[serde(default)]
    pub log: Vec<LogLine>,
    /// Lines that the log's budget had no room for.
    #[serde(default)]
    pub log_dropped: u64,
}

/// Something that a run would do.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TrialEffect {
    /// A mail.
    Mail {
        /// The mail, whole.
        mail: TrialMail,
        /// Why it would not be sent after all.
        suppressed: Option<String>,
    },
    /// A change of an order.
    Order {
        /// The order's id.
        order: String,
        /// What would be changed.
        patch: serde_json::Value,
        /// Its status before.
        before: String,
        /// Its status then.
        after: String,
    },
    /// An HTTP request that changes something.
    Http {
        /// Its method.
        method: String,
        /// Where it would go.
        url: String,
        /// Bytes of its body.
        bytes: u64,
    },
    /// Something that a later server knows of.
    #[serde(other)]
    Other,
}

/// Something that earlier attempts have done.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DoneBefore {
    /// A mail.
    Mail {
        /// The mail, whole.
        mail: TrialMail,
        /// `sent`, `captured` or `suppressed`.
        status: String,
    },
    /// A change of an order.
    Order {
        /// The order's id.
        order: String,
        /// What was changed.
        patch: serde_json::Value,
    },
    /// An HTTP request.
    Http {
        /// Its method.
        method: String,
        /// Where it went.
        url: String,
        /// The status of the answer.
        status: u16,
    },
    /// Something that a later server knows of.
    #[serde(other)]
    Other,
}

/// A mail as it would go out.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct TrialMail {
    /// What it is, such as `purchase-confirmation`.
    pub kind: String,
    /// Who sends it.
    pub from: Mailbox,
    /// Who gets it.
    pub to: Mailbox,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// Its HTML.
    pub html: Option<String>,
    /// Files that go along with it.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
}

/// A step that a run would complete.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct TrialStep {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Json,
}
