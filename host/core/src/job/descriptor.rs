//! What a component says of itself, as it said it, and the check of what only the component can say.
//! Nothing is filled in here, and what the operator may override is checked where both are known.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{JobError, refuse};
use crate::backoff::Backoff;
use crate::flow::{self, Pointer};
use crate::limits;
use crate::time::{as_optional_text, as_text};

/// What starts a run of a job. Enqueueing by job id is always possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// An event published under this name.
    Event(String),
    /// A five-field cron expression.
    Cron(String),
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(name) => write!(f, "event {name}"),
            Self::Cron(expression) => write!(f, "cron {expression}"),
        }
    }
}

/// What a component says of itself, as it said it. Written by the words of the WIT descriptor, with spans as text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Descriptor {
    /// The id.
    pub id: String,
    /// A title for people.
    pub title: String,
    /// What it does.
    pub description: Option<String>,
    /// What starts a run.
    pub triggers: Vec<Trigger>,
    /// The lane its runs wait in.
    pub queue: Option<String>,
    /// 0 (first) to 9 (last).
    pub priority: Option<u8>,
    /// Retries after the first attempt.
    pub retries: Option<u32>,
    /// How the delay grows.
    pub backoff: Option<Backoff>,
    /// Wall-clock budget of one attempt.
    #[serde(with = "as_optional_text")]
    pub timeout: Option<Duration>,
    /// How many runs may go on at once.
    pub concurrency: Vec<Concurrency>,
    /// How many attempts may begin in a period.
    pub rate_limit: Option<RateLimit>,
    /// Start once enqueues have been quiet.
    pub debounce: Option<Debounce>,
    /// A JSON Pointer into the payload: a second run with the same value is the same run.
    pub unique_key: Option<String>,
    /// How long `unique_key` is remembered.
    #[serde(with = "as_optional_text")]
    pub unique_for: Option<Duration>,
    /// JSON Schema of the payload, as text.
    pub payload_schema: Option<String>,
    /// An example payload, as text.
    pub payload_example: Option<String>,
}

/// [`flow::Concurrency`] with a key that nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// How many.
    pub limit: u32,
    /// A JSON Pointer into the payload.
    pub key: Option<String>,
}

/// [`flow::RateLimit`] with a key that nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// How many.
    pub limit: u32,
    /// In how long.
    #[serde(with = "as_text")]
    pub period: Duration,
    /// A JSON Pointer into the payload.
    pub key: Option<String>,
}

/// [`flow::Debounce`] with a key that nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Debounce {
    /// How long it has to be quiet.
    #[serde(with = "as_text")]
    pub period: Duration,
    /// At the latest this long after the first enqueue.
    #[serde(with = "as_optional_text")]
    pub max_wait: Option<Duration>,
    /// A JSON Pointer into the payload.
    pub key: Option<String>,
}

impl Concurrency {
    pub(super) fn parse(self) -> Result<flow::Concurrency, JobError> {
        Ok(flow::Concurrency { limit: self.limit, key: pointer("concurrency", self.key)? })
    }
}

impl RateLimit {
    pub(super) fn parse(self) -> Result<flow::RateLimit, JobError> {
        Ok(flow::RateLimit { limit: self.limit, period: self.period, key: pointer("rate-limit", self.key)? })
    }
}

impl Debounce {
    pub(super) fn parse(self) -> Result<flow::Debounce, JobError> {
        Ok(flow::Debounce { period: self.period, max_wait: self.max_wait, key: pointer("debounce", self.key)? })
    }
}

/// The pointer that a component hands in as text under this member.
pub(super) fn pointer(member: &str, text: Option<String>) -> Result<Option<Pointer>, JobError> {
    text.map(Pointer::try_from).transpose().map_err(|error| JobError(format!("describe: {member}: {error}")))
}

impl Descriptor {
    /// Checks what the operator has no say in.
    pub(super) fn check(&self) -> Result<(), JobError> {
        check_text("title", &self.title, limits::TITLE_BYTES, false)?;
        if let Some(description) = &self.description {
            check_text("description", description, limits::DESCRIPTION_BYTES, true)?;
        }
        if self.triggers.len() > limits::TRIGGERS {
            return refuse(format!("describe: more than {} triggers", limits::TRIGGERS));
        }
        for trigger in &self.triggers {
            if let Trigger::Event(name) = trigger {
                check_event_name(name).map_err(|reason| JobError(format!("describe: {reason}")))?;
            }
        }
        Ok(())
    }
}

fn check_text(member: &str, text: &str, bytes: usize, lines: bool) -> Result<(), JobError> {
    if text.len() > bytes {
        return refuse(format!("describe: the {member} is longer than {bytes} bytes"));
    }
    if text.chars().any(|c| c.is_control() && !(lines && c == '\n')) {
        return refuse(format!("describe: the {member} has a control character"));
    }
    Ok(())
}

/// Event names: 1 to 512 bytes without white space or control characters.
pub fn check_event_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > limits::EVENT_NAME_BYTES {
        return Err(format!("an event name has 1 to {} bytes", limits::EVENT_NAME_BYTES));
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("the event name {name:?} has white space or a control character"));
    }
    Ok(())
}
