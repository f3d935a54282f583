//! The e-mail log, and addresses that get no mail.
//! What a mail's status means for its run is the server's to know.

use jobmill_core::mail::Mailbox;
use jobmill_core::{JobId, MailId, RunId, Timestamp};
use serde::Deserialize;

/// A line of the e-mail log, or a whole mail; only that has `from`, `text`, `html` and `attachments`.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Mail {
    /// Its id.
    pub id: MailId,
    /// The run that sends it.
    pub run: RunId,
    /// The job of that run.
    pub job: JobId,
    /// What it is, such as `purchase-confirmation`.
    pub kind: String,
    /// Who gets it.
    pub to: String,
    /// What they are called.
    pub to_name: Option<String>,
    /// Its subject.
    pub subject: String,
    /// `sending`, `sent`, `captured`, `failed`, `suppressed` or `in-doubt`.
    pub status: String,
    /// Its `Message-ID`, without the brackets.
    pub message_id: String,
    /// How often it was handed over.
    pub attempts: u32,
    /// When it was first intended.
    pub created_at: Timestamp,
    /// When it was taken.
    pub sent_at: Option<Timestamp>,
    /// Why it was not.
    pub error: Option<String>,
    /// What the mail server said.
    pub reply: Option<String>,
    /// Who sends it.
    pub from: Option<Mailbox>,
    /// Its text.
    pub text: Option<String>,
    /// Its HTML.
    pub html: Option<String>,
    /// Files that go along with it.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
}

/// A file that goes along with a mail.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Attachment {
    /// Its name.
    pub name: String,
    /// Its media type.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Its bytes.
    pub size: u64,
}

/// An address that gets no mail.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Suppression {
    /// The address; none once it was forgotten.
    pub address: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What said so, such as `operator` or `bounce`.
    pub source: String,
    /// Who said so.
    pub by: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// What was taken out of the e-mail log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Cleared {
    /// Mails.
    pub cleared: usize,
}
