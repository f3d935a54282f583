//! A run and its attempts, as the fold of the run's journal.
//! Nothing here changes a state: `transition` is the only place that does.
//!
//! | From | On | To | attempt |
//! |---|---|---|---|
//! | – | enqueue, due now or later | available, scheduled | 0 |
//! | scheduled, retryable | due | available: implicit, claiming reads the due time, nothing is written | = |
//! | available | claim | running | +1 |
//! | running | ok | completed | = |
//! | running | a failure with retries left | retryable | = |
//! | running | a failure with retries spent, or a final one | dead | = |
//! | running | snooze | scheduled | −1 |
//! | running | interrupted by shutdown, no room | available | −1 |
//! | running | the engine died | available, or dead when spent | = |
//! | any but final | cancel (running: once the attempt has stopped) | cancelled | = |
//! | scheduled, available, never begun | its time to begin is over | cancelled | 0 |
//! | dead | discard | cancelled | = |
//! | scheduled, retryable | retry | available: due now, all else stays | = |
//! | dead, cancelled | retry, requeue | available or scheduled; attempts start anew, the old ones stay on record | 0 |
//! | everything else | | refused, naming the state | |

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bill::Bill;
use crate::id::{JobId, RunId, Version};
use crate::journal::{Entry, EntryKind, EventReference};
use crate::json::Json;
use crate::outcome::{AttemptError, FailureKind};
use crate::time::Timestamp;
use crate::transition;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Not due yet.
    Scheduled,
    /// Due, waiting for room.
    Available,
    /// An attempt is under way.
    Running,
    /// Waiting for its next attempt.
    Retryable,
    /// Final: the job returned.
    Completed,
    /// Final: taken back before it ended.
    Cancelled,
    /// Final: retries spent, or a failure that no retry can mend.
    Dead,
}

impl RunState {
    /// Every state, in the order in which a run meets them.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Available,
        Self::Running,
        Self::Retryable,
        Self::Completed,
        Self::Cancelled,
        Self::Dead,
    ];

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Dead)
    }

    /// Whether the run waits to be claimed, now or later.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Scheduled | Self::Available | Self::Retryable)
    }

    /// The word for it everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Running => "running",
            Self::Retryable => "retryable",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no run state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a run state; one of scheduled, available, running, retryable, completed, cancelled, dead")]
pub struct RunStateError(String);

impl FromStr for RunState {
    type Err = RunStateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| RunStateError(text.to_owned()))
    }
}

/// The last error of a run, short enough for lists and groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorSummary {
    /// Its class.
    pub kind: FailureKind,
    /// The first line of its text.
    pub message: Arc<str>,
    /// The same for errors that differ only in ids, numbers and quoted text.
    pub fingerprint: u64,
}

/// What lists, claims and counts need of a run: everything but its documents and its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunHead {
    /// Its id.
    pub id: RunId,
    /// The job it is a run of.
    pub job: JobId,
    /// The lane it waits in; from the job when it was enqueued.
    pub queue: Arc<str>,
    /// 0 (first) to 9 (last).
    pub priority: u8,
    /// Where it stands. Past its due time a waiting run counts as available: see `state_at`.
    pub state: RunState,
    /// Attempts begun since it was enqueued or last requeued.
    pub attempt: u32,
    /// Attempts it may have: retries + 1; from the job when it was enqueued or last requeued.
    pub max_attempts: u32,
    /// When the enqueue was recorded.
    pub enqueued_at: Timestamp,
    /// When it is, or was, due.
    pub scheduled_at: Timestamp,
    /// It is cancelled when it has not begun by then.
    pub expires_at: Option<Timestamp>,
    /// When its latest attempt began.
    pub started_at: Option<Timestamp>,
    /// When it became final.
    pub finished_at: Option<Timestamp>,
    /// The event that started it, if one did.
    pub event: Option<Arc<EventReference>>,
    /// Words given by whoever enqueued it.
    pub tags: Arc<[String]>,
    /// The key under which a second enqueue is this run.
    pub unique_key: Option<Arc<str>>,
    /// The run that this one repeats.
    pub rerun_of: Option<RunId>,
    /// The component version of its latest attempt.
    pub version: Option<Version>,
    /// Why it was cancelled.
    pub cancel_reason: Option<Arc<str>>,
    /// A cancel was asked for while an attempt ran; it ends cancelled when the attempt stops.
    pub cancel_requested: bool,
    /// The error of its latest failed attempt.
    pub error: Option<ErrorSummary>,
    /// The fencing token of its latest lease: counts the claims.
    pub lease: u64,
}

impl RunHead {
    /// The state as it shows at `now`: a waiting run that is due is available.
    pub fn state_at(&self, now: Timestamp) -> RunState {
        if self.state.is_waiting() && self.scheduled_at <= now { RunState::Available } else { self.state }
    }
}

/// How an attempt ended, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttemptOutcome {
    /// The job returned.
    Completed,
    /// It failed.
    Failed,
    /// It asked to run again later.
    Snoozed,
    /// The engine stopped it.
    Interrupted,
    /// The run was cancelled under it.
    Cancelled,
    /// Something outside kept its effect back.
    Held,
}

/// One try of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// 1 … `max_attempts`; starts anew after a requeue.
    pub number: u32,
    /// The component that ran.
    pub version: Version,
    /// When it began.
    pub started_at: Timestamp,
    /// When its end was decided; none while it runs.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<AttemptOutcome>,
    /// Why it failed.
    pub error: Option<AttemptError>,
    /// When the next attempt is due, if there is one.
    pub next_at: Option<Timestamp>,
    /// What it used; none while it runs, and of one that nobody saw end.
    pub bill: Option<Box<Bill>>,
}

/// A run with its documents and its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The part that lists show.
    pub head: RunHead,
    /// What it was enqueued with, byte for byte.
    pub payload: Json,
    /// What the job returned.
    pub output: Option<Json>,
    /// Every attempt, oldest first.
    pub attempts: Vec<Attempt>,
}

/// A journal that does not begin with an enqueue, or has one in its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal of {0} is damaged: it must begin with its one enqueue")]
pub struct FoldError(pub RunId);

impl Run {
    /// The run that these journal entries tell of.
    pub fn fold(id: RunId, entries: &[Entry]) -> Result<Self, FoldError> {
        let (first, rest) = entries.split_first().ok_or(FoldError(id))?;
        let head = transition::begin(id, first).ok_or(FoldError(id))?;
        let EntryKind::Enqueued(enqueued) = &first.kind else {
            return Err(FoldError(id));
        };
        let mut run = Self { head, payload: enqueued.payload.clone(), output: None, attempts: Vec::new() };
        for entry in rest {
            if matches!(entry.kind, EntryKind::Enqueued(_)) {
                return Err(FoldError(id));
            }
            run.apply(entry);
        }
        Ok(run)
    }

    fn apply(&mut self, entry: &Entry) {
        transition::apply(&mut self.head, entry);
        match &entry.kind {
            EntryKind::Started(started) => self.attempts.push(Attempt {
                number: started.attempt,
                version: started.version,
                started_at: entry.at,
                finished_at: None,
                outcome: None,
                error: None,
                next_at: None,
                bill: None,
            }),
            EntryKind::Finished(finished) => {
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.finished_at = Some(entry.at);
                    attempt.outcome = Some(finished.outcome);
                    attempt.error.clone_from(&finished.error);
                    attempt.next_at = finished.to.is_waiting().then_some(finished.scheduled_at);
                    attempt.bill.clone_from(&finished.bill);
                }
                self.output.clone_from(&finished.output);
            }
            EntryKind::MadeDue { instead_of } => {
                let waits = self.attempts.last_mut().filter(|attempt| attempt.next_at == Some(*instead_of));
                if let Some(attempt) = waits {
                    attempt.next_at = Some(entry.at);
                }
            }
            _ => {}
        }
    }
}
