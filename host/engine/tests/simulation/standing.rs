//! Where a run stands, by a second reading of the table in `jobmill_core::run`.
//! It shares no code with `transition`: the two are there to be compared.

use jobmill_core::journal::{Entry, EntryKind, Finished};
use jobmill_core::run::AttemptOutcome;
use jobmill_core::{FailureKind, RunHead, RunState, Timestamp};

/// What decides about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: RunState,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) due: Timestamp,
    pub(crate) lease: u64,
    pub(crate) cancel_requested: bool,
    pub(crate) finished_at: Option<Timestamp>,
    /// It may not begin from then on.
    pub(crate) expires: Option<Timestamp>,
}

impl Standing {
    /// How a run begins; none unless its first entry is an enqueue.
    pub(crate) fn begin(first: &Entry) -> Option<Self> {
        let EntryKind::Enqueued(enqueued) = &first.kind else { return None };
        let due = enqueued.scheduled_at;
        Some(Self {
            state: if due <= first.at { RunState::Available } else { RunState::Scheduled },
            attempt: 0,
            max_attempts: enqueued.max_attempts,
            due,
            lease: 0,
            cancel_requested: false,
            finished_at: None,
            expires: enqueued.terms.as_ref().and_then(|terms| terms.expires_at),
        })
    }

    /// The same of a head.
    pub(crate) fn of(head: &RunHead) -> Self {
        Self {
            state: head.state,
            attempt: head.attempt,
            max_attempts: head.max_attempts,
            due: head.scheduled_at,
            lease: head.lease,
            cancel_requested: head.cancel_requested,
            finished_at: head.finished_at,
            expires: head.expires_at,
        }
    }

    /// The state as it shows at `now`.
    pub(crate) fn shown(&self, now: Timestamp) -> RunState {
        if self.state.is_waiting() && self.due <= now { RunState::Available } else { self.state }
    }

    /// Whether it may be claimed at `now`. What was due stays due when the clock is set back.
    pub(crate) fn is_due(self, now: Timestamp) -> bool {
        self.state == RunState::Available || (self.state.is_waiting() && self.due <= now)
    }

    /// How it stands after one more entry, or why that entry may not follow.
    pub(crate) fn after(self, entry: &Entry) -> Result<Self, String> {
        let legal = |holds: bool, what: &str| {
            if holds { Ok(()) } else { Err(format!("{what} may not follow on {self:?}: {:?}", entry.kind)) }
        };
        let mut next = self;
        match &entry.kind {
            EntryKind::Enqueued(_) => legal(false, "a second enqueue")?,
            EntryKind::Started(started) => {
                legal(self.state.is_waiting(), "a start")?;
                legal(self.is_due(entry.at), "a start before its time")?;
                legal(started.attempt == self.attempt + 1, "a start with another number")?;
                legal(started.attempt <= self.max_attempts, "an attempt beyond the last")?;
                legal(started.lease == self.lease + 1, "a start under another lease")?;
                legal(self.expires.is_none_or(|at| at > entry.at), "a start after it has expired")?;
                (next.state, next.attempt, next.lease) = (RunState::Running, started.attempt, started.lease);
                next.expires = None;
            }
            EntryKind::StepCompleted { .. }
            | EntryKind::MailIntended { .. }
            | EntryKind::MailSettled { .. }
            | EntryKind::OrderUpdated { .. }
            | EntryKind::OrderIntended { .. }
            | EntryKind::OrderSettled { .. }
            | EntryKind::HttpIntended { .. }
            | EntryKind::HttpSettled { .. } => legal(self.state == RunState::Running, "an effect")?,
            EntryKind::Finished(finished) => {
                legal(self.state == RunState::Running, "an end")?;
                legal(self.may_end(finished), "such an end")?;
                next.finish(finished, entry.at);
            }
            EntryKind::CancelRequested { .. } => {
                legal(self.state == RunState::Running, "a request to cancel")?;
                next.cancel_requested = true;
            }
            EntryKind::Cancelled { reason } => {
                let has_expired = self.state.is_waiting() && self.expires.is_some_and(|at| at <= entry.at);
                legal(has_expired || !reason.starts_with("expired"), "an expiry")?;
                legal(self.state.is_waiting() || self.state == RunState::Dead, "a cancel")?;
                (next.state, next.finished_at) = (RunState::Cancelled, Some(entry.at));
            }
            EntryKind::Requeued { scheduled_at, max_attempts } => {
                legal(matches!(self.state, RunState::Dead | RunState::Cancelled), "a requeue")?;
                next = Self {
                    state: if *scheduled_at <= entry.at { RunState::Available } else { RunState::Scheduled },
                    attempt: 0,
                    max_attempts: *max_attempts,
                    due: *scheduled_at,
                    lease: self.lease,
                    cancel_requested: false,
                    finished_at: None,
                    expires: None,
                };
            }
            EntryKind::MadeDue { instead_of } => {
                legal(self.state.is_waiting() && !self.is_due(entry.at), "a retry of what does not wait for a time")?;
                legal(*instead_of == self.due, "a retry that names another time")?;
                (next.state, next.due) = (RunState::Available, entry.at);
            }
        }
        Ok(next)
    }

    fn may_end(&self, finished: &Finished) -> bool {
        if self.cancel_requested && finished.to.is_waiting() {
            return false;
        }
        let cancelled = self.cancel_requested && finished.to == RunState::Cancelled;
        let last = self.attempt >= self.max_attempts;
        match finished.outcome {
            AttemptOutcome::Completed => finished.to == RunState::Completed && finished.counted,
            AttemptOutcome::Cancelled => finished.to == RunState::Cancelled && finished.counted,
            AttemptOutcome::Snoozed | AttemptOutcome::Held => {
                (cancelled || finished.to == RunState::Scheduled) && !finished.counted
            }
            AttemptOutcome::Interrupted => (cancelled || finished.to == RunState::Available) && !finished.counted,
            AttemptOutcome::Failed => {
                let Some(error) = &finished.error else { return false };
                let to = match error.kind {
                    kind if last || kind.is_final() => RunState::Dead,
                    FailureKind::Host => RunState::Available,
                    _ => RunState::Retryable,
                };
                finished.counted && (cancelled || finished.to == to)
            }
        }
    }

    fn finish(&mut self, finished: &Finished, at: Timestamp) {
        self.state = finished.to;
        self.attempt -= u32::from(!finished.counted);
        if finished.to.is_final() {
            self.finished_at = Some(at);
        } else {
            self.due = finished.scheduled_at;
        }
        if finished.to != RunState::Cancelled {
            self.cancel_requested = false;
        }
    }
}
