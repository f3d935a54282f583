//! Every change of a run's state: what may follow, what the journal then says, and how a head takes it in.
//! Pure functions; stores record and apply what these return and invent no state of their own.

use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::fingerprint::fingerprint;
use crate::flow::FullAt;
use crate::id::{RunId, Version};
use crate::journal::{Entry, EntryKind, Finished, Started};
use crate::limits;
use crate::outcome::{AttemptError, FailureKind, Outcome};
use crate::run::{AttemptOutcome, ErrorSummary, RunHead, RunState};
use crate::time::Timestamp;

/// A change that the run's state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{run} is {state}, so it can't be {change}")]
pub struct Refused {
    /// The run.
    pub run: RunId,
    /// Its state.
    pub state: RunState,
    /// What was asked for, as a participle: "cancelled", "put back"; with why not, where the state doesn't say it.
    pub change: &'static str,
}

/// The head of a run whose journal begins with `first`; none unless that is an enqueue.
pub fn begin(id: RunId, first: &Entry) -> Option<RunHead> {
    let EntryKind::Enqueued(enqueued) = &first.kind else {
        return None;
    };
    let due = enqueued.scheduled_at <= first.at;
    Some(RunHead {
        id,
        job: enqueued.job.clone(),
        queue: enqueued.queue.as_str().into(),
        priority: enqueued.priority,
        state: if due { RunState::Available } else { RunState::Scheduled },
        attempt: 0,
        max_attempts: enqueued.max_attempts,
        enqueued_at: first.at,
        scheduled_at: enqueued.scheduled_at,
        expires_at: enqueued.terms.as_ref().and_then(|terms| terms.expires_at),
        started_at: None,
        finished_at: None,
        event: enqueued.event.clone().map(Arc::new),
        // Most runs have none, and those share one.
        tags: if enqueued.tags.is_empty() { Arc::default() } else { enqueued.tags.as_slice().into() },
        unique_key: enqueued.unique_key.as_deref().map(Arc::from),
        rerun_of: enqueued.rerun_of,
        version: None,
        cancel_reason: None,
        cancel_requested: false,
        error: None,
        lease: 0,
    })
}

/// Whether an attempt may begin at `now`.
pub fn is_claimable(head: &RunHead, now: Timestamp) -> bool {
    head.state_at(now) == RunState::Available && head.expires_at.is_none_or(|at| at > now)
}

/// An attempt of `version` begins, with the rate limit's `bucket` as it is then.
pub fn claim(head: &RunHead, version: Version, bucket: Option<FullAt>, now: Timestamp) -> Result<EntryKind, Refused> {
    if !is_claimable(head, now) {
        return Err(Refused { run: head.id, state: head.state, change: "claimed" });
    }
    Ok(EntryKind::Started(Started { attempt: head.attempt + 1, version, lease: head.lease + 1, bucket }))
}

/// A run that has not begun by its time ends cancelled.
pub fn expire(head: &RunHead, now: Timestamp) -> Result<EntryKind, Refused> {
    match head.expires_at {
        Some(at) if at <= now && head.state.is_waiting() => {
            Ok(EntryKind::Cancelled { reason: format!("expired: it had not begun by {at}") })
        }
        _ => Err(Refused { run: head.id, state: head.state, change: "expired" }),
    }
}

/// What follows from the outcome of the attempt under way. `share` in `[0, 1)` places the backoff's jitter.
pub fn finish(
    head: &RunHead,
    outcome: Outcome,
    backoff: &Backoff,
    now: Timestamp,
    share: f64,
) -> Result<Finished, Refused> {
    if head.state != RunState::Running {
        return Err(Refused { run: head.id, state: head.state, change: "finished" });
    }
    let finished = |outcome, to, scheduled_at, counted| Finished {
        outcome,
        error: None,
        output: None,
        to,
        scheduled_at,
        counted,
        log: Vec::new(),
        log_dropped: 0,
        bill: None,
    };
    let mut finished = match outcome {
        Outcome::Completed { output } => {
            Finished { output, ..finished(AttemptOutcome::Completed, RunState::Completed, now, true) }
        }
        Outcome::Cancelled => finished(AttemptOutcome::Cancelled, RunState::Cancelled, now, true),
        Outcome::Interrupted => finished(AttemptOutcome::Interrupted, RunState::Available, now, false),
        Outcome::Snoozed { delay } => {
            let due = now.after(delay.min(limits::DELAY_MAX));
            finished(AttemptOutcome::Snoozed, RunState::Scheduled, due, false)
        }
        Outcome::Held { delay, reason, .. } => {
            let due = now.after(delay.min(limits::DELAY_MAX));
            // Why it waits is told like the error of a failed attempt.
            let error = Some(AttemptError::new(FailureKind::Transient, reason));
            Finished { error, ..finished(AttemptOutcome::Held, RunState::Scheduled, due, false) }
        }
        Outcome::Failed { error, retry_after } => {
            let (to, scheduled_at) = after_failure(head, &error, retry_after, backoff, now, share);
            Finished { error: Some(error), ..finished(AttemptOutcome::Failed, to, scheduled_at, true) }
        }
    };
    settle(head, &mut finished);
    Ok(finished)
}

fn after_failure(
    head: &RunHead,
    error: &AttemptError,
    retry_after: Option<Duration>,
    backoff: &Backoff,
    now: Timestamp,
    share: f64,
) -> (RunState, Timestamp) {
    if error.kind.is_final() || head.attempt >= head.max_attempts {
        return (RunState::Dead, now);
    }
    // A run whose engine died goes on at once: nothing downstream asked for time to recover.
    if error.kind == FailureKind::Host {
        return (RunState::Available, now);
    }
    let delay = retry_after.unwrap_or_else(|| backoff.delay(head.attempt.saturating_sub(1), share));
    (RunState::Retryable, now.after(delay.min(limits::DELAY_MAX)))
}

/// The same end of an attempt, seen at the moment it is recorded: a cancel may have come in meanwhile.
pub fn settle(head: &RunHead, finished: &mut Finished) {
    if head.cancel_requested && finished.to.is_waiting() {
        finished.to = RunState::Cancelled;
    }
}

/// The end of an attempt that the engine did not live to see.
pub fn rescue(head: &RunHead, now: Timestamp) -> Result<Finished, Refused> {
    let message = "the engine stopped while the attempt ran";
    finish(head, Outcome::failed(FailureKind::Host, message), &Backoff::default(), now, 0.0)
}

/// The run is taken back; one that runs ends cancelled once its attempt has stopped.
pub fn cancel(head: &RunHead, reason: &str) -> Result<EntryKind, Refused> {
    let reason = limits::truncate(reason, limits::ERROR_TEXT_BYTES).to_owned();
    match head.state {
        RunState::Running => Ok(EntryKind::CancelRequested { reason }),
        state if state.is_waiting() => Ok(EntryKind::Cancelled { reason }),
        state => Err(Refused { run: head.id, state, change: "cancelled" }),
    }
}

/// A dead run is put aside for good: it stays on record as cancelled.
pub fn discard(head: &RunHead, reason: &str) -> Result<EntryKind, Refused> {
    if head.state != RunState::Dead {
        return Err(Refused { run: head.id, state: head.state, change: "discarded" });
    }
    Ok(EntryKind::Cancelled { reason: limits::truncate(reason, limits::ERROR_TEXT_BYTES).to_owned() })
}

/// A dead or cancelled run is put back.
pub fn requeue(head: &RunHead, max_attempts: u32, scheduled_at: Timestamp) -> Result<EntryKind, Refused> {
    if !matches!(head.state, RunState::Dead | RunState::Cancelled) {
        return Err(Refused { run: head.id, state: head.state, change: "put back" });
    }
    Ok(EntryKind::Requeued { scheduled_at, max_attempts })
}

/// A run that waits for its time or its next attempt is due at once.
pub fn make_due(head: &RunHead, now: Timestamp) -> Result<EntryKind, Refused> {
    match head.state_at(now) {
        RunState::Scheduled | RunState::Retryable => Ok(EntryKind::MadeDue { instead_of: head.scheduled_at }),
        state => {
            let is_due = state == RunState::Available;
            let change = if is_due { "made due: it is due already and waits to begin" } else { "made due" };
            Err(Refused { run: head.id, state, change })
        }
    }
}

/// Takes an entry of the journal in.
pub fn apply(head: &mut RunHead, entry: &Entry) {
    match &entry.kind {
        EntryKind::Started(started) => {
            head.state = RunState::Running;
            head.attempt = started.attempt;
            head.version = Some(started.version);
            head.lease = started.lease;
            head.expires_at = None;
            head.started_at = Some(entry.at);
        }
        EntryKind::Finished(finished) => apply_finished(head, finished, entry.at),
        EntryKind::CancelRequested { reason } => {
            head.cancel_requested = true;
            head.cancel_reason = Some(reason.as_str().into());
        }
        EntryKind::Cancelled { reason } => {
            head.state = RunState::Cancelled;
            head.cancel_reason = Some(reason.as_str().into());
            head.finished_at = Some(entry.at);
        }
        EntryKind::Requeued { scheduled_at, max_attempts } => {
            let due = *scheduled_at <= entry.at;
            head.state = if due { RunState::Available } else { RunState::Scheduled };
            head.attempt = 0;
            head.expires_at = None;
            head.max_attempts = *max_attempts;
            head.scheduled_at = *scheduled_at;
            head.finished_at = None;
            head.cancel_reason = None;
            head.cancel_requested = false;
        }
        EntryKind::MadeDue { .. } => {
            head.state = RunState::Available;
            head.scheduled_at = entry.at;
        }
        EntryKind::Enqueued(_)
        | EntryKind::StepCompleted { .. }
        | EntryKind::MailIntended { .. }
        | EntryKind::MailSettled { .. }
        | EntryKind::OrderUpdated { .. }
        | EntryKind::OrderIntended { .. }
        | EntryKind::OrderSettled { .. }
        | EntryKind::HttpIntended { .. }
        | EntryKind::HttpSettled { .. } => {}
    }
}

fn apply_finished(head: &mut RunHead, finished: &Finished, at: Timestamp) {
    head.state = finished.to;
    if !finished.counted {
        head.attempt = head.attempt.saturating_sub(1);
    }
    if finished.to.is_final() {
        head.finished_at = Some(at);
    } else {
        head.scheduled_at = finished.scheduled_at;
    }
    if finished.to != RunState::Cancelled {
        head.cancel_requested = false;
        head.cancel_reason = None;
    }
    if let Some(error) = &finished.error {
        head.error = Some(ErrorSummary {
            kind: error.kind,
            message: error.message.lines().next().unwrap_or_default().into(),
            fingerprint: fingerprint(&head.job, error),
        });
    }
}
