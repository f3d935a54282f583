//! What is happening with a run, in one sentence: what it does, what it waits for, or how it ended.
//! The store says what it waits for; nothing is worked out here but words.

use std::time::Duration;

use jobmill_core::run::{Attempt, AttemptOutcome};
use jobmill_core::{Run, RunHead, RunState, Timestamp};
use jobmill_engine::WaitingFor;

use crate::pages::words::{ago, rounded};

/// A span as it is read in a sentence or a column: `850 ms`, `2.1 s`, `42 s`, `1m30s`.
pub(in crate::pages) fn span(span: Duration) -> String {
    match span.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        millis @ 1_000..10_000 if millis % 1_000 >= 100 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        millis @ 1_000..60_000 => format!("{} s", millis / 1_000),
        _ => rounded(span),
    }
}

/// Whole seconds that are left, and never none of them.
fn left(until: Timestamp, now: Timestamp) -> String {
    span(Duration::from_secs(until.since(now).as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)))
}

/// What is happening with a run.
pub(super) fn sentence(run: &Run, waiting: Option<&WaitingFor>, now: Timestamp) -> String {
    let head = &run.head;
    match head.state_at(now) {
        RunState::Scheduled => format!("{}{}", scheduled(run, now), expiry(head, now)),
        RunState::Available => format!("{}{}", available(head, waiting, now), expiry(head, now)),
        RunState::Running => running(head, now),
        RunState::Retryable => format!("Waiting {} for {}: {}", left(head.scheduled_at, now), next(head), error(head)),
        RunState::Completed => completed(head),
        RunState::Cancelled => cancelled(head, now),
        RunState::Dead => dead(run),
    }
}

fn next(head: &RunHead) -> String {
    format!("attempt {} of {}", head.attempt + 1, head.max_attempts)
}

fn error(head: &RunHead) -> &str {
    head.error.as_ref().map_or("it failed", |error| &error.message)
}

fn scheduled(run: &Run, now: Timestamp) -> String {
    let head = &run.head;
    let until = left(head.scheduled_at, now);
    let last = run.attempts.last().filter(|last| last.next_at == Some(head.scheduled_at));
    match last.and_then(|last| last.outcome) {
        Some(AttemptOutcome::Snoozed) => format!("The job asked to run again later: {} begins in {until}.", next(head)),
        Some(AttemptOutcome::Held) => format!("Held back for {until}, which costs no attempt: {}", error(head)),
        _ => format!("Waiting {until} for its time; then {} begins.", next(head)),
    }
}

fn available(head: &RunHead, waiting: Option<&WaitingFor>, now: Timestamp) -> String {
    let Some(waiting) = waiting else { return format!("Due: {} begins in a moment.", next(head)) };
    let until = match waiting.until {
        Some(until) if until > now => format!("; not before {} from now", left(until, now)),
        _ => String::new(),
    };
    let before = match waiting.position {
        None | Some(0) => String::new(),
        Some(1) => "; 1 run goes before it".to_owned(),
        Some(runs) => format!("; {runs} runs go before it"),
    };
    let failed = match &head.error {
        Some(error) if head.attempt > 0 => format!(" Attempt {} said: {}", head.attempt, error.message),
        _ => String::new(),
    };
    format!("Due, and waiting to begin {}: {}{until}{before}.{failed}", next(head), waiting.detail)
}

/// What happens when a run that has not begun does not begin soon.
fn expiry(head: &RunHead, now: Timestamp) -> String {
    let Some(at) = head.expires_at else { return String::new() };
    format!(" It is cancelled if it has not begun in {}.", left(at, now))
}

fn running(head: &RunHead, now: Timestamp) -> String {
    let since = span(now.since(head.started_at.unwrap_or(now)));
    let attempt = format!("Attempt {} of {} has been running for {since}", head.attempt, head.max_attempts);
    match &head.cancel_reason {
        Some(reason) if head.cancel_requested => format!("{attempt}, and is being stopped: {reason}"),
        _ => format!("{attempt}."),
    }
}

fn completed(head: &RunHead) -> String {
    let after = span(head.finished_at.unwrap_or(head.enqueued_at).since(head.enqueued_at));
    format!("Completed {after} after the enqueue, with attempt {} of {}.", head.attempt, head.max_attempts)
}

fn cancelled(head: &RunHead, now: Timestamp) -> String {
    let when = ago(head.finished_at.unwrap_or(now), now);
    match head.cancel_reason.as_deref() {
        Some(reason) if !reason.is_empty() => format!("Cancelled {when}: {reason}"),
        _ => format!("Cancelled {when}."),
    }
}

fn dead(run: &Run) -> String {
    let head = &run.head;
    let is_final = head.error.as_ref().is_some_and(|error| error.kind.is_final());
    if is_final && head.attempt < head.max_attempts {
        let attempts = format!("attempt {} of {}", head.attempt, head.max_attempts);
        return format!("Dead after {attempts}, for a retry would not help: {}", error(head));
    }
    let over = match (first_of_round(&run.attempts), head.finished_at) {
        (Some(first), Some(end)) if head.attempt > 1 => format!(" over {}", span(end.since(first.started_at))),
        _ => String::new(),
    };
    let attempts = if head.attempt == 1 { "1 attempt".to_owned() } else { format!("{} attempts", head.attempt) };
    format!("Gave up after {attempts}{over}: {}", error(head))
}

/// The first attempt since the run was enqueued or last put back.
fn first_of_round(attempts: &[Attempt]) -> Option<&Attempt> {
    attempts.iter().rev().find(|attempt| attempt.number == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_as_precisely_as_a_reader_takes_them_in() {
        for (millis, told) in [
            (0, "0 ms"),
            (850, "850 ms"),
            (1_000, "1 s"),
            (2_150, "2.1 s"),
            (9_050, "9 s"),
            (42_900, "42 s"),
            (90_400, "1m30s"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), told);
        }
    }

    #[test]
    fn what_is_left_is_rounded_up_and_never_negative() {
        let at = Timestamp::from_millis;
        assert_eq!(left(at(1_001), at(0)), "2 s");
        assert_eq!(left(at(1), at(0)), "1 s");
        assert_eq!(left(at(0), at(5_000)), "0 ms");
    }
}
