//! What flow control goes by: what the engine has loaded, and what operators have said.
//! It counts nothing; `Flow` does.

use std::collections::BTreeMap;

use jobmill_core::flow::{BreakerSettings, Concurrency, RateLimit};
use jobmill_core::{JobId, Timestamp, Version};
use serde::{Deserialize, Serialize};

/// What may run, and under which limits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// The jobs that can be run.
    pub jobs: BTreeMap<JobId, JobRules>,
    /// At most so many runs at once by queue; an operator's own word goes before.
    pub queues: BTreeMap<String, u32>,
}

/// The limits of one job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRules {
    /// The version that would run.
    pub version: Version,
    /// Runs at once.
    pub concurrency: Vec<Concurrency>,
    /// Attempts over time.
    pub rate_limit: Option<RateLimit>,
    /// When too many fail.
    pub breaker: Option<BreakerSettings>,
    /// Nothing of it begins for now, whoever is at fault.
    pub held: Option<Hold>,
}

/// What keeps a job back for a while, such as a mail server that refuses us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Since when. A clock that is set back before it ends the hold: it must not make it longer.
    pub since: Timestamp,
    /// When it is tried again.
    pub until: Timestamp,
    /// What is wrong, for people.
    pub reason: String,
}

impl Hold {
    /// Whether it still holds at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        (self.since..self.until).contains(&now)
    }
}

impl JobRules {
    /// A job without limits.
    pub fn new(version: Version) -> Self {
        Self { version, concurrency: Vec::new(), rate_limit: None, breaker: None, held: None }
    }
}

/// Who stopped something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What operators said of a queue. The default is: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueControl {
    /// At most so many runs at once, whatever the configuration says.
    pub concurrency: Option<u32>,
    /// None of its runs begins.
    pub paused: Option<Pause>,
}

/// What operators said of a job. The default is: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobControl {
    /// None of its runs begins.
    pub paused: Option<Pause>,
}
