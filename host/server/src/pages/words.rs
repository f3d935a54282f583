//! How pages put states and times into words.
//! Exact values stand beside them, in titles and in the API.

use std::time::Duration;

use jobmill_core::cron::CronExpression;
use jobmill_core::time::format_duration;
use jobmill_core::{RunHead, RunState, Timestamp};

use crate::pages::run::span;

/// The mark of a state; the word always stands beside it.
pub(super) fn icon(state: RunState) -> &'static str {
    match state {
        RunState::Scheduled => "◷",
        RunState::Available => "○",
        RunState::Running => "▶",
        RunState::Retryable => "↻",
        RunState::Completed => "✓",
        RunState::Cancelled => "⊘",
        RunState::Dead => "✕",
    }
}

/// A point in time, in words and exactly.
pub(super) struct Moment {
    pub(super) words: String,
    pub(super) exact: Timestamp,
}

impl Moment {
    /// As it is told at `now`.
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { words: if at > now { ahead(at, now) } else { ago(at, now) }, exact: at }
    }
}

/// How long ago, in its largest unit: "12 s ago".
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    match now.since(at).as_secs() {
        0 => "just now".to_owned(),
        seconds => format!("{} ago", largest_unit(seconds)),
    }
}

/// How long from now, in its largest unit: "in 12 s".
fn ahead(at: Timestamp, now: Timestamp) -> String {
    match at.since(now).as_secs() {
        0 => "now".to_owned(),
        seconds => format!("in {}", largest_unit(seconds)),
    }
}

fn largest_unit(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A cron expression as people say it, with its zone: "Weekdays at 9:00, Europe/Berlin"; none where it has no plain words.
pub(super) fn cron_words(expression: &CronExpression) -> Option<String> {
    expression.in_words().map(|words| format!("{words}, {}", expression.zone()))
}

/// What is to be said of a run in a few words: what became of it, or what comes next.
pub(super) fn note(head: &RunHead, now: Timestamp) -> String {
    let error = head.error.as_ref().map_or("", |error| &error.message);
    match head.state_at(now) {
        RunState::Scheduled => format!("due {}", ahead(head.scheduled_at, now)),
        RunState::Available => "waits to be taken".to_owned(),
        RunState::Running => format!("attempt {} of {}", head.attempt, head.max_attempts),
        RunState::Retryable => format!("next try {}: {error}", ahead(head.scheduled_at, now)),
        RunState::Completed => match head.finished_at {
            Some(finished) => format!("after {}", span(finished.since(head.enqueued_at))),
            None => String::new(),
        },
        RunState::Cancelled => head.cancel_reason.as_deref().unwrap_or_default().to_owned(),
        RunState::Dead if head.attempt == 1 => format!("gave up after 1 attempt: {error}"),
        RunState::Dead => format!("gave up after {} attempts: {error}", head.attempt),
    }
}

/// A span with the precision that a reader takes in.
pub(super) fn rounded(span: Duration) -> String {
    if span < Duration::from_secs(10) {
        format_duration(span)
    } else {
        format_duration(Duration::from_secs(span.as_secs()))
    }
}

/// Text as one word of a shell command.
pub(super) fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let now = Timestamp::from_millis(1_000_000_000);
        let before = |seconds: u64| Timestamp::from_millis(1_000_000_000 - seconds * 1_000);
        for (seconds, words) in
            [(0, "just now"), (59, "59 s ago"), (60, "1 min ago"), (7_200, "2 h ago"), (200_000, "2 d ago")]
        {
            assert_eq!(ago(before(seconds), now), words);
        }
        assert_eq!(ahead(now, before(42)), "in 42 s");
        assert_eq!(ahead(before(42), now), "now");
    }

    #[test]
    fn a_quote_does_not_end_the_word() {
        assert_eq!(shell_quoted("it's"), "'it'\\''s'");
    }
}
