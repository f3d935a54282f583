//! A job: what its component says of itself, checked, with defaults filled in and the operator's overrides on top.
//! It does not load components; the runtime does, and hands the descriptor in.

pub mod allow;
mod bounds;
pub mod capability;
pub mod descriptor;
pub mod difference;
mod overrides;
pub mod pin;
pub mod regression;
pub mod sandbox;
mod settings;
mod version;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::flow::{BreakerSettings, CancelOn, CatchUp, Concurrency, Debounce, Pointer, RateLimit, UniqueStates};
use crate::id::JobId;
use crate::json::Json;
use crate::limits;

pub use allow::Allow;
pub use capability::{Allowed, Capability, capabilities};
pub use descriptor::{Descriptor, Trigger, check_event_name};
pub use overrides::{JobOverrides, Overrides, Switch};
pub use pin::Pin;
pub use sandbox::{Limit, LimitOverrides, LimitSettings, Sandbox, SandboxLimits};
pub use settings::{Setting, Source};
pub use version::JobVersion;

/// A job that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// A title for people.
    pub title: String,
    /// What it does.
    pub description: Option<String>,
    /// What starts a run: the component's events, and the cron expressions that are in force.
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
    /// How many runs may go on at once; each with another key.
    pub concurrency: Setting<Vec<Concurrency>>,
    /// How many attempts may begin in a period.
    pub rate_limit: Setting<Option<RateLimit>>,
    /// Start once enqueues have been quiet.
    pub debounce: Setting<Option<Debounce>>,
    /// Where the value stands that makes two runs the same.
    pub unique_key: Setting<Option<Pointer>>,
    /// How long a unique key is remembered, from the enqueue on.
    pub unique_for: Setting<Duration>,
    /// Which runs hold a unique key.
    pub unique_states: Setting<UniqueStates>,
    /// Cron expressions.
    pub cron: Setting<Vec<String>>,
    /// What happens to the minutes that were missed.
    pub cron_catch_up: Setting<CatchUp>,
    /// How long after it was due a run may still start.
    pub expires: Setting<Option<Duration>>,
    /// Events that take waiting runs back.
    pub cancel_on: Setting<Vec<CancelOn>>,
    /// Runs that may wait, at least 1.
    pub max_waiting: Setting<Option<u32>>,
    /// When the job is paused by itself.
    pub breaker: Setting<Option<BreakerSettings>>,
    /// Mails that one run may send, at least 1.
    pub mails_per_run: Setting<u32>,
    /// Mails that all its runs may send in a period.
    pub mail_limit: Setting<Option<RateLimit>>,
    /// How much an attempt may take.
    pub limits: LimitSettings,
    /// What its code may reach.
    pub allow: Setting<Allow>,
    /// Its settings, as `wasi:config` hands them out.
    pub config: Setting<BTreeMap<String, String>>,
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
        let id = descriptor.id.parse().map_err(|error| JobError(format!("describe: {error}")))?;
        descriptor.check()?;
        let overrides = overrides.clone();
        let (triggers, crons) = split(descriptor.triggers);
        let cron = Setting::listed(overrides.cron, crons);
        let concurrency = descriptor.concurrency.into_iter().map(descriptor::Concurrency::parse);
        let rate_limit = descriptor.rate_limit.map(descriptor::RateLimit::parse).transpose()?;
        let debounce = descriptor.debounce.map(descriptor::Debounce::parse).transpose()?;
        let unique_key = descriptor::pointer("unique-key", descriptor.unique_key)?;
        let expires = overrides.expires.map(Some);
        let job = Self {
            id,
            title: descriptor.title,
            description: descriptor.description,
            triggers: triggers.into_iter().chain(cron.value.iter().cloned().map(Trigger::Cron)).collect(),
            queue: Setting::choose(overrides.queue, descriptor.queue, "default".to_owned()).map(Into::into),
            priority: Setting::choose(overrides.priority, descriptor.priority, 5),
            retries: Setting::choose(overrides.retries, descriptor.retries, 3),
            backoff: Setting::choose(overrides.backoff, descriptor.backoff, Backoff::default()),
            timeout: Setting::choose(overrides.timeout, descriptor.timeout, limits::TIMEOUT_DEFAULT),
            concurrency: Setting::listed(overrides.concurrency, concurrency.collect::<Result<_, _>>()?),
            rate_limit: Setting::switched(overrides.rate_limit, rate_limit),
            debounce: Setting::switched(overrides.debounce, debounce),
            unique_key: Setting::switched(overrides.unique_key, unique_key),
            unique_for: Setting::choose(overrides.unique_for, descriptor.unique_for, limits::UNIQUE_WINDOW),
            unique_states: Setting::configured(overrides.unique_states, UniqueStates::default()),
            cron,
            cron_catch_up: Setting::configured(overrides.cron_catch_up, CatchUp::default()),
            expires: Setting::configured(expires, None),
            cancel_on: Setting::configured(overrides.cancel_on, Vec::new()),
            max_waiting: Setting::configured(overrides.max_waiting.map(Some), None),
            breaker: Setting::configured(overrides.breaker.map(Some), None),
            mails_per_run: Setting::configured(overrides.mails_per_run, limits::MAILS),
            mail_limit: Setting::configured(overrides.mail_limit.map(Some), None),
            limits: LimitSettings::new(&overrides.limits),
            allow: Setting::configured(overrides.allow, Allow::default()),
            config: Setting::configured(overrides.config, BTreeMap::new()),
            payload_schema: document("payload-schema", descriptor.payload_schema)?,
            payload_example: document("payload-example", descriptor.payload_example)?,
        };
        // Among others, every cron expression in force: `bounds::check_cron`.
        bounds::check(&job)?;
        Ok(job)
    }

    /// Attempts that a run may have.
    pub fn max_attempts(&self) -> u32 {
        self.retries.value + 1
    }

    /// What its code may take and reach.
    pub fn sandbox(&self) -> Sandbox {
        Sandbox { limits: self.limits.values(), allow: self.allow.value.clone(), config: self.config.value.clone() }
    }

    /// Whether a run starts when an event of this name is published.
    pub fn listens_to(&self, event: &str) -> bool {
        self.triggers.iter().any(|trigger| matches!(trigger, Trigger::Event(name) if name == event))
    }
}

/// The triggers but the cron expressions, and those.
fn split(triggers: Vec<Trigger>) -> (Vec<Trigger>, Vec<String>) {
    let mut crons = Vec::new();
    let mut others = Vec::new();
    for trigger in triggers {
        match trigger {
            Trigger::Cron(expression) => crons.push(expression),
            Trigger::Event(_) => others.push(trigger),
        }
    }
    (others, crons)
}

fn document(member: &str, text: Option<String>) -> Result<Option<Json>, JobError> {
    let Some(text) = text else { return Ok(None) };
    if text.len() > limits::PAYLOAD_BYTES {
        return refuse(format!("describe: the {member} is longer than {} bytes", limits::PAYLOAD_BYTES));
    }
    Json::parse(&text).map(Some).map_err(|error| JobError(format!("describe: the {member} is not JSON: {error}")))
}
