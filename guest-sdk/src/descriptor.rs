//! What a job tells the engine about itself, so that a component needs no file beside it.
//! It checks nothing and fills in no defaults: the engine does both when it loads the component.

use core::time::Duration;

/// Everything the engine needs to know before it runs the job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Descriptor {
    /// `[a-z0-9][a-z0-9-]{0,63}`, unique among the jobs of an engine.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// What it does: the doc comment of its function.
    pub description: Option<String>,
    /// What starts a run. Enqueueing by id is always possible.
    pub triggers: Vec<Trigger>,
    /// The lane its runs wait in; `default` when absent.
    pub queue: Option<String>,
    /// 0 (first) to 9 (last); 5 when absent.
    pub priority: Option<u8>,
    /// Retries after the first attempt; 3 when absent.
    pub retries: Option<u32>,
    /// 1 s, 2 s, 4 s, 8 s, … when absent.
    pub backoff: Option<Backoff>,
    /// Wall-clock budget of one attempt; 30 s when absent.
    pub timeout: Option<Duration>,
    /// How many runs may go on at once.
    pub concurrency: Vec<Concurrency>,
    /// How many runs may start in a period.
    pub rate_limit: Option<RateLimit>,
    /// Wait until the events have been quiet.
    pub debounce: Option<Debounce>,
    /// A JSON Pointer into the payload: a second run with the same value is the same run.
    pub unique_key: Option<String>,
    /// How long `unique_key` is remembered; 24 h when absent.
    pub unique_for: Option<Duration>,
    /// JSON Schema (2020-12) of the payload.
    pub payload_schema: Option<serde_json::Value>,
    /// A payload offered as a starting point, as JSON.
    pub payload_example: Option<String>,
}

/// What starts a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// An event published under this name, such as `email/welcome`.
    Event(String),
    /// A five-field cron expression, with an optional `TZ=` prefix; UTC without one.
    Cron(String),
}

/// How the delay grows from one retry to the next.
#[derive(Clone, Debug, PartialEq)]
pub enum Backoff {
    /// The same delay each time.
    Fixed(Duration),
    /// Before retry n (0 for the first): `min(max, base * factor^n)`, then jitter.
    Exponential {
        /// The delay before the first retry.
        base: Duration,
        /// What each further delay is multiplied by.
        factor: f64,
        /// No delay is longer.
        max: Duration,
        /// The share of the delay drawn at random: 0.0 none, 1.0 full jitter.
        jitter: f64,
    },
}

/// At most `limit` runs at once, over all machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// How many.
    pub limit: u32,
    /// A JSON Pointer into the payload: one limit for each value found there.
    pub key: Option<String>,
}

/// At most `limit` starts in each `period`; what exceeds it waits, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub limit: u32,
    /// In how long.
    pub period: Duration,
    /// A JSON Pointer into the payload: one limit for each value found there.
    pub key: Option<String>,
}

/// Start once the events have been quiet for `period`, with the last payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debounce {
    /// How long it has to be quiet.
    pub period: Duration,
    /// Start at the latest this long after the first event.
    pub max_wait: Option<Duration>,
    /// A JSON Pointer into the payload: one quiet period for each value found there.
    pub key: Option<String>,
}
