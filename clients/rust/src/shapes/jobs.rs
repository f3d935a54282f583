//! Jobs with their settings, queues and schedules.
//! What a setting means is the server's to know.

use std::collections::BTreeMap;
use std::fmt;

use jobmill_core::{JobId, Json, RunId, Timestamp};
use serde::Deserialize;

use super::usage::VersionUsage;

/// A job, or a file that never loaded.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// Its id; none for a file that never loaded.
    pub id: Option<JobId>,
    /// What it is called.
    pub title: Option<String>,
    /// What it does.
    pub description: Option<String>,
    /// The component that serves, as 12 hex digits.
    pub version: Option<String>,
    /// What it is held to; none while the newest file serves.
    pub pinned: Option<Pin>,
    /// The version in the hopper, where it waits because the job is held to another.
    pub waits: Option<String>,
    /// `loaded`, `broken` or `retired`.
    pub status: String,
    /// What is wrong with the newest file.
    pub error: Option<String>,
    /// Since when.
    pub broken_since: Option<Timestamp>,
    /// Whether an operator paused it.
    #[serde(flatten)]
    pub pause: Pause,
    /// Where its breaker stands, if it has one.
    pub breaker: Option<Breaker>,
    /// The file in the hopper.
    pub file: Option<String>,
    /// What starts its runs.
    #[serde(default)]
    pub triggers: Vec<Trigger>,
    /// Retries after the first attempt.
    pub retries: Option<u32>,
    /// Its tunables by name.
    #[serde(default)]
    pub settings: Option<BTreeMap<String, Setting>>,
    /// How much an attempt may take, by the name of the limit.
    #[serde(default)]
    pub limits: Option<BTreeMap<String, Setting>>,
    /// The interfaces that the component imports.
    #[serde(default)]
    pub imports: Vec<String>,
    /// What each of them is for, and how much of it the operator lets the job have.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// When the component was loaded.
    pub loaded_at: Option<Timestamp>,
    /// The JSON Schema of its payload.
    pub payload_schema: Option<Json>,
    /// A payload that fits.
    pub payload_example: Option<Json>,
}

/// An interface that a component imports.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Capability {
    /// Its name, with its version.
    pub interface: String,
    /// What a component does by it.
    pub what: String,
    /// `all`, `narrowed`, `denied` or `none-needed`.
    pub allowed: String,
    /// What it is narrowed to, or the line of the configuration that would allow it.
    pub detail: Option<String>,
}

/// A version that a job is held to.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Pin {
    /// The version, as 12 hex digits.
    pub version: String,
    /// Since when.
    pub at: Timestamp,
    /// Who did it; `jobmill` where a new version broke and was rolled back by itself.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// Whether something is paused, since when, and by whom. A server of an earlier version says nothing of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Pause {
    /// Whether it is.
    pub paused: bool,
    /// Who paused it.
    pub paused_by: Option<String>,
    /// When.
    pub paused_at: Option<Timestamp>,
}

/// Where the breaker of a job stands.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Breaker {
    /// `closed`, `open` or `trying`.
    pub state: String,
    /// When an open one is tried.
    pub until: Option<Timestamp>,
}

/// What starts a run of a job.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// An event's name.
    Event(String),
    /// A cron expression.
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

/// A version of a job that was loaded.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct JobVersion {
    /// The component, as 12 hex digits.
    pub version: String,
    /// Whether it is the one that serves.
    pub serves: bool,
    /// Whether its component is kept, so that the job can be rolled back to it.
    #[serde(default)]
    pub kept: bool,
    /// Its file in the hopper, when it was last loaded.
    pub file: String,
    /// Bytes of the component.
    pub size: u64,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// When it was first loaded, as far as is known.
    pub first_loaded_at: Timestamp,
    /// When it was last loaded.
    pub last_loaded_at: Timestamp,
    /// What it says otherwise than the version after it in the list; none where that is not known.
    pub changes: Option<Vec<VersionChange>>,
    /// What its newest attempts used; none while none is known.
    #[serde(default)]
    pub usage: Option<VersionUsage>,
}

/// Something that a version says otherwise than the one before.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct VersionChange {
    /// The word of the job's description, or `imports`.
    pub field: String,
    /// What it said; null for nothing, and for documents.
    pub before: serde_json::Value,
    /// What it says now; null for the same reasons.
    pub after: serde_json::Value,
    /// Names that a list has gained.
    pub gained: Vec<String>,
    /// Names that a list has lost.
    pub lost: Vec<String>,
    /// All of it in words.
    pub text: String,
}

/// A tunable with where it comes from.
#[derive(Debug, Clone, Deserialize)]
pub struct Setting {
    /// Its value.
    pub value: serde_json::Value,
    /// `default`, `component` or `configuration`.
    pub source: String,
}

/// A queue.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// How many of its runs may go on at once; none for any number.
    pub concurrency: Option<u32>,
    /// Runs that go on.
    pub running: usize,
    /// Runs that wait.
    pub waiting: usize,
    /// Whether an operator paused it.
    #[serde(flatten)]
    pub pause: Pause,
}

/// A schedule.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Schedule {
    /// The job that it starts.
    pub job: JobId,
    /// Its cron expression.
    pub cron: String,
    /// The next times, up to three.
    pub next: Vec<Timestamp>,
    /// The run that it started last.
    pub last_run: Option<RunId>,
}
