//! A job: what its component says of itself, checked, with defaults filled in and the operator's overrides on top.
//! It does not load components; the runtime does, and hands the descriptor in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::id::JobId;
use crate::json::Json;
use crate::limits;

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

/// What a component says of itself, as it said it.
#[derive(Debug, Clone, Default, PartialEq)]
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
    pub timeout: Option<Duration>,
    /// JSON Schema of the payload, as text.
    pub payload_schema: Option<String>,
    /// An example payload, as text.
    pub payload_example: Option<String>,
    /// Members that ask for what this engine does not carry out, by name: such a component is refused.
    pub unsupported: Vec<&'static str>,
}

/// What the operator sets over a component's own words.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobOverrides {
    /// The lane its runs wait in.
    pub queue: Option<String>,
    /// 0 (first) to 9 (last).
    pub priority: Option<u8>,
    /// Retries after the first attempt.
    pub retries: Option<u32>,
    /// How the delay grows.
    pub backoff: Option<Backoff>,
    /// Wall-clock budget of one attempt.
    #[serde(default, deserialize_with = "optional_duration")]
    pub timeout: Option<Duration>,
}

fn optional_duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    crate::time::as_text::deserialize(deserializer).map(Some)
}

/// Where the value of a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The component says so.
    Component,
    /// The operator says so.
    Configuration,
    /// Nobody says otherwise.
    Default,
}

/// A setting with its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting<T> {
    /// What is in force.
    pub value: T,
    /// Who said so.
    pub source: Source,
}

impl<T> Setting<T> {
    /// The operator's word, else the component's, else the default.
    fn choose(configuration: Option<T>, component: Option<T>, default: T) -> Self {
        match (configuration, component) {
            (Some(value), _) => Self { value, source: Source::Configuration },
            (None, Some(value)) => Self { value, source: Source::Component },
            (None, None) => Self { value: default, source: Source::Default },
        }
    }
}

/// A job that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// A title for people.
    pub title: String,
    /// What it does.
    pub description: Option<String>,
    /// What starts a run.
    pub triggers: Vec<Trigger>,
    /// The lane its runs wait in.
    pub queue: Setting<Arc<str>>,
    /// 0 (first) to 9 (last).
    pub priority: Setting<u8>,
    /// Retries after the first attempt.
    pub retries: Setting<u32>,
    /// How the delay grows.
    pub backoff: Setting<Backoff>,
    /// Wall-clock budget of one attempt.
    pub timeout: Setting<Duration>,
    /// JSON Schema of the payload.
    pub payload_schema: Option<Json>,
    /// A payload to start from.
    pub payload_example: Option<Json>,
}

/// Why a component's description can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JobError(String);

fn refuse<T>(reason: impl Into<String>) -> Result<T, JobError> {
    Err(JobError(reason.into()))
}

impl Job {
    /// Checks the description and fills in what it leaves open.
    pub fn new(descriptor: Descriptor, overrides: &JobOverrides) -> Result<Self, JobError> {
        let id: JobId = descriptor.id.parse().map_err(|error| JobError(format!("describe: {error}")))?;
        if let Some(member) = descriptor.unsupported.first() {
            return refuse(format!(
                "describe: {member} is not carried out by this version of Jobmill yet; leave it out"
            ));
        }
        check_text("title", &descriptor.title, limits::TITLE_BYTES, false)?;
        if let Some(description) = &descriptor.description {
            check_text("description", description, limits::DESCRIPTION_BYTES, true)?;
        }
        check_triggers(&descriptor.triggers)?;
        let overrides = overrides.clone();
        let queue = Setting::choose(overrides.queue, descriptor.queue, "default".to_owned());
        if let Err(error) = queue.value.parse::<JobId>() {
            return refuse(format!("{}: queue {error}", said_by(queue.source)));
        }
        let priority = Setting::choose(overrides.priority, descriptor.priority, 5);
        if priority.value > 9 {
            return refuse(format!("{}: priority {} must be 0 to 9", said_by(priority.source), priority.value));
        }
        let retries = Setting::choose(overrides.retries, descriptor.retries, 3);
        if retries.value > limits::RETRIES {
            let (who, count) = (said_by(retries.source), retries.value);
            return refuse(format!("{who}: retries {count} must be at most {}", limits::RETRIES));
        }
        let backoff = Setting::choose(overrides.backoff, descriptor.backoff, Backoff::default());
        if let Err(error) = backoff.value.check() {
            return refuse(format!("{}: {error}", said_by(backoff.source)));
        }
        let timeout = Setting::choose(overrides.timeout, descriptor.timeout, limits::TIMEOUT_DEFAULT);
        if timeout.value.is_zero() || timeout.value > limits::TIMEOUT_MAX {
            return refuse(format!("{}: the timeout must be between 1ms and 1h", said_by(timeout.source)));
        }
        Ok(Self {
            id,
            title: descriptor.title,
            description: descriptor.description,
            triggers: descriptor.triggers,
            queue: Setting { value: queue.value.into(), source: queue.source },
            priority,
            retries,
            backoff,
            timeout,
            payload_schema: document("payload-schema", descriptor.payload_schema)?,
            payload_example: document("payload-example", descriptor.payload_example)?,
        })
    }

    /// Attempts that a run may have.
    pub fn max_attempts(&self) -> u32 {
        self.retries.value + 1
    }

    /// Whether a run starts when an event of this name is published.
    pub fn listens_to(&self, event: &str) -> bool {
        self.triggers.iter().any(|trigger| matches!(trigger, Trigger::Event(name) if name == event))
    }
}

fn said_by(source: Source) -> &'static str {
    match source {
        Source::Configuration => "configuration",
        Source::Component | Source::Default => "describe",
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

fn check_triggers(triggers: &[Trigger]) -> Result<(), JobError> {
    if triggers.len() > limits::TRIGGERS {
        return refuse(format!("describe: more than {} triggers", limits::TRIGGERS));
    }
    for trigger in triggers {
        if let Trigger::Event(name) = trigger {
            check_event_name(name).map_err(|reason| JobError(format!("describe: {reason}")))?;
        }
    }
    Ok(())
}

fn document(member: &str, text: Option<String>) -> Result<Option<Json>, JobError> {
    let Some(text) = text else { return Ok(None) };
    if text.len() > limits::PAYLOAD_BYTES {
        return refuse(format!("describe: the {member} is longer than {} bytes", limits::PAYLOAD_BYTES));
    }
    Json::parse(&text).map(Some).map_err(|error| JobError(format!("describe: the {member} is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> Descriptor {
        Descriptor { id: "welcome-email".to_owned(), title: "Welcome".to_owned(), ..Descriptor::default() }
    }

    #[test]
    fn what_nobody_says_is_the_default() {
        let job = Job::new(descriptor(), &JobOverrides::default()).expect("valid");
        assert_eq!((job.retries.value, job.priority.value, &*job.queue.value), (3, 5, "default"));
        assert_eq!((job.backoff.value, job.timeout.value), (Backoff::default(), Duration::from_secs(30)));
        assert_eq!((job.retries.source, job.max_attempts()), (Source::Default, 4));
    }

    #[test]
    fn the_operator_overrides_the_component() {
        let described = Descriptor { retries: Some(1), priority: Some(2), ..descriptor() };
        let overrides = JobOverrides { retries: Some(7), ..JobOverrides::default() };
        let job = Job::new(described, &overrides).expect("valid");
        assert_eq!(job.retries, Setting { value: 7, source: Source::Configuration });
        assert_eq!(job.priority, Setting { value: 2, source: Source::Component });
    }

    #[test]
    fn every_bad_member_is_named() {
        let bad = |change: fn(&mut Descriptor), named: &str| {
            let mut described = descriptor();
            change(&mut described);
            let error = Job::new(described, &JobOverrides::default()).expect_err(named).to_string();
            assert!(error.contains(named), "{error}");
        };
        bad(|d| d.id = "../x".to_owned(), "job id");
        bad(|d| d.title = "a\nb".to_owned(), "title");
        bad(|d| d.retries = Some(101), "retries");
        bad(|d| d.priority = Some(10), "priority");
        bad(|d| d.timeout = Some(Duration::ZERO), "timeout");
        bad(|d| d.timeout = Some(Duration::from_secs(3601)), "timeout");
        bad(|d| d.queue = Some("A B".to_owned()), "queue");
        bad(|d| d.triggers = vec![Trigger::Event("a b".to_owned())], "event name");
        bad(|d| d.payload_schema = Some("{".to_owned()), "payload-schema");
        bad(|d| d.unsupported = vec!["rate-limit"], "rate-limit");
    }
}
