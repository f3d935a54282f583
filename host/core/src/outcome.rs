//! How one attempt ended, before policy decides what follows.
//! It decides nothing: `transition` does.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::json::Json;
use crate::limits;

/// Why an attempt did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The job asks to be tried again.
    Transient,
    /// The job says that it will never succeed.
    Permanent,
    /// The job asks to be tried again, no sooner than a delay.
    RetryAfter,
    /// The wall-clock budget ran out.
    Timeout,
    /// The component trapped: unreachable code, a panic, an access out of bounds.
    Trap,
    /// The component wanted more memory than it may have.
    Memory,
    /// Another bound was reached: host calls, output, handles.
    Limit,
    /// The component tried what it may not do.
    Denied,
    /// The payload is not what the job takes.
    BadPayload,
    /// The output is not JSON.
    BadOutput,
    /// The engine died, or had an error of its own, while the attempt ran.
    Host,
    /// Another machine took the run over.
    LeaseExpired,
}

impl FailureKind {
    /// Whether the retries that are left are skipped: trying again can't help.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Permanent | Self::Denied | Self::BadPayload)
    }

    /// The word for it in the API, the pages and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::RetryAfter => "retry-after",
            Self::Timeout => "timeout",
            Self::Trap => "trap",
            Self::Memory => "memory",
            Self::Limit => "limit",
            Self::Denied => "denied",
            Self::BadPayload => "bad-payload",
            Self::BadOutput => "bad-output",
            Self::Host => "host",
            Self::LeaseExpired => "lease-expired",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error of an attempt, as it is kept with the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// Its class.
    pub kind: FailureKind,
    /// What happened, for people; at most `limits::ERROR_TEXT_BYTES`.
    pub message: String,
    /// The wasm backtrace of a trap.
    pub trace: Option<String>,
}

impl AttemptError {
    /// An error without a trace; the text is cut to its bound.
    pub fn new(kind: FailureKind, message: impl AsRef<str>) -> Self {
        Self { kind, message: limits::truncate(message.as_ref(), limits::ERROR_TEXT_BYTES).to_owned(), trace: None }
    }

    /// The same error with a wasm backtrace, cut to its bound.
    #[must_use]
    pub fn with_trace(mut self, trace: &str) -> Self {
        self.trace = Some(limits::truncate(trace, limits::ERROR_TEXT_BYTES).to_owned());
        self
    }
}

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The job returned, with or without an output.
    Completed {
        /// What it returned.
        output: Option<Json>,
    },
    /// The attempt failed; `retry_after` is the least delay that the job asked for.
    Failed {
        /// Why.
        error: AttemptError,
        /// No retry before this long from now.
        retry_after: Option<Duration>,
    },
    /// Not a failure: the job asked to run again later. Costs no attempt.
    Snoozed {
        /// How much later.
        delay: Duration,
    },
    /// Something outside, that no fault of the job is, keeps its effect back: a mail server that refuses us altogether, or
    /// that has asked to slow down. The run goes on after the delay. Costs no attempt.
    Held {
        /// How much later.
        delay: Duration,
        /// What keeps it back, for people.
        reason: String,
        /// Whether every other run of the job would be kept back too.
        whole_job: bool,
    },
    /// The engine stopped it, or had no room for it after all. Costs no attempt.
    Interrupted,
    /// Stopped because the run was cancelled.
    Cancelled,
}

impl Outcome {
    /// A failure without a delay of its own.
    pub fn failed(kind: FailureKind, message: impl AsRef<str>) -> Self {
        Self::Failed { error: AttemptError::new(kind, message), retry_after: None }
    }
}
