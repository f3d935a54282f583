//! Runs with their attempts, logs and journals, and what bulk actions did to them.
//! Whether a run can be changed is the server's to say.

use std::collections::BTreeMap;

use jobmill_core::{EventId, JobId, Json, MailId, RunId, RunState, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::usage::AttemptUsage;
use crate::answer::read_all;
use crate::error::Error;

/// A run.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its job.
    pub job: JobId,
    /// The component that its latest attempt ran, as 12 hex digits.
    pub version: Option<String>,
    /// The queue that it waits in.
    pub queue: String,
    /// Its state.
    pub state: RunState,
    /// 0 (first) to 9 (last).
    pub priority: u8,
    /// What it works on.
    pub payload: Json,
    /// What it returned.
    pub output: Option<Json>,
    /// The number of its latest attempt; 0 before the first.
    pub attempt: u32,
    /// How many it may have.
    pub max_attempts: u32,
    /// When it came in.
    pub enqueued_at: Timestamp,
    /// When it is, or was, due.
    pub scheduled_at: Timestamp,
    /// When its latest attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The event that started it.
    pub event_id: Option<EventId>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The key that it stands for.
    pub unique_key: Option<String>,
    /// The run that it repeats.
    pub rerun_of: Option<RunId>,
    /// What it waits for; none while it runs, and when it has ended.
    pub waiting_for: Option<WaitingFor>,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
    /// Its mails that may have been sent.
    #[serde(default)]
    pub mails_in_doubt: Vec<DoubtfulMail>,
    /// Its attempts, oldest first.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

impl Run {
    /// The error of the latest attempt that has one.
    pub fn last_error(&self) -> Option<&AttemptError> {
        self.attempts.iter().rev().find_map(|attempt| attempt.error.as_ref())
    }
}

/// A mail that may have been sent.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct DoubtfulMail {
    /// Its id.
    pub id: MailId,
    /// Who may have got it.
    pub to: String,
    /// What to look for at the mail server.
    pub message_id: String,
}

/// What a waiting run waits for.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct WaitingFor {
    /// A word, such as `due`, `queue-paused` or `rate-limit`.
    pub kind: String,
    /// A sentence for people.
    pub detail: String,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
    /// How many runs are before it, where that was counted.
    pub position: Option<usize>,
}

/// One attempt of a run.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// The component that it ran, as 12 hex digits.
    pub version: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended, in a word such as `completed` or `failed`.
    pub outcome: Option<String>,
    /// Why it failed.
    pub error: Option<AttemptError>,
    /// When the next attempt is due.
    pub next_at: Option<Timestamp>,
    /// What it used; none while it runs, and of one that nobody saw end.
    #[serde(default)]
    pub usage: Option<AttemptUsage>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct AttemptError {
    /// The kind of failure, such as `transient` or `timeout`.
    pub kind: String,
    /// What the job or the engine said.
    pub message: String,
    /// Where in the job it happened.
    pub trace: Option<String>,
}

/// An entry of a run's journal.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// Its number in the journal.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What it tells of.
    pub kind: String,
    /// The members of its kind.
    #[serde(flatten)]
    pub members: serde_json::Map<String, serde_json::Value>,
}

/// A run's log.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct RunLog {
    /// The lines as the server sent them.
    #[serde(rename = "items")]
    pub texts: Vec<Box<RawValue>>,
    /// Lines that the log's budget had no room for.
    #[serde(default)]
    pub dropped: u64,
}

impl RunLog {
    /// The lines; an error where one has another shape.
    pub fn lines(&self) -> Result<Vec<LogLine>, Error> {
        read_all(&self.texts)
    }
}

/// A line of a run's log.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct LogLine {
    /// The attempt that wrote it.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// `info`, `warn`, `error`, `stdout`, `stderr` and others.
    pub level: String,
    /// The text.
    pub message: String,
    /// What goes along with it.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

/// Dead runs of one job with one error.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct DeadGroup {
    /// Names the group.
    pub fingerprint: String,
    /// The job.
    pub job: JobId,
    /// The kind of failure.
    pub kind: String,
    /// The error of one of them.
    pub message: String,
    /// How many they are.
    pub count: usize,
    /// When the first of them ended.
    pub first_seen: Timestamp,
    /// When the last of them ended.
    pub last_seen: Timestamp,
    /// The components that their last attempts ran.
    #[serde(default)]
    pub versions: Vec<String>,
    /// One of them.
    pub example: RunId,
    /// When somebody was last told of it; none when nobody was.
    #[serde(default)]
    pub notified_at: Option<Timestamp>,
}

/// What a bulk action did, or would do.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct BulkReport {
    /// Runs that the filter names.
    pub matched: usize,
    /// Runs that were changed.
    pub changed: usize,
    /// Runs that were left alone.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
}

/// A run that a bulk action left alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Skipped {
    /// The run.
    pub id: RunId,
    /// Why.
    pub reason: String,
}
