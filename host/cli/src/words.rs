//! What the server's documents say, in words for people, with times told from now.
//! It shows what it is given and asks nothing.

use std::fmt::Write as _;

use jobmill_client::{Pause, WaitingFor};
use jobmill_core::Timestamp;

use crate::output;

/// What a run waits for, in one sentence.
pub(crate) fn waiting(waiting: &WaitingFor, now: Timestamp) -> String {
    let detail = &waiting.detail;
    let mut text = told_from_now(detail.strip_prefix("waits ").unwrap_or(detail), now);
    let until = waiting.until.filter(|until| *until > now).map(|until| output::relative(until, now));
    if let ("due" | "breaker", Some(until)) = (waiting.kind.as_str(), &until) {
        let _ = write!(text, ", {until}");
    }
    if let Some(position) = waiting.position.filter(|position| *position > 0) {
        let _ = write!(text, "; {} before it", output::count(position, "run"));
        if let ("rate-limit", Some(until)) = (waiting.kind.as_str(), &until) {
            let _ = write!(text, ", so it begins {until} at the earliest");
        }
    }
    text
}

/// The text with every point in time as how long ago it was, or how far ahead it is.
fn told_from_now(text: &str, now: Timestamp) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let Ok(at) = word.parse::<Timestamp>() else {
            words.push(output::visible(word));
            continue;
        };
        // "at 09:00" becomes "in 5 min".
        words.pop_if(|before| before == "at");
        words.push(output::relative(at, now));
    }
    words.join(" ")
}

/// Who paused something, and when; none when it is not paused.
pub(crate) fn pause(pause: &Pause, now: Timestamp) -> Option<String> {
    if !pause.paused {
        return None;
    }
    let by = pause.paused_by.as_deref().map(|by| format!(" by {}", output::first_line(by)));
    let at = pause.paused_at.map(|at| format!(", {}", output::relative(at, now)));
    Some(format!("paused{}{}", by.unwrap_or_default(), at.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(kind: &str, detail: &str, until: Option<&str>, position: usize) -> String {
        let document = serde_json::json!({ "kind": kind, "detail": detail, "until": until, "position": position });
        let read: WaitingFor = serde_json::from_value(document).expect("what a run waits for");
        waiting(&read, "2026-03-01T09:05:00.000Z".parse().expect("a time"))
    }

    #[test]
    fn what_a_run_waits_for_is_one_sentence() {
        let soon = Some("2026-03-01T09:05:42.000Z");
        let cases = [
            (
                sentence("queue-paused", "the queue mail is paused by anna since 2026-03-01T09:00:00.000Z", None, 3),
                "the queue mail is paused by anna since 5 min ago; 3 runs before it",
            ),
            (sentence("due", "waits for attempt 2 of 3", soon, 0), "for attempt 2 of 3, in 42.0 s"),
            (sentence("breaker", "none begins for a while", soon, 0), "none begins for a while, in 42.0 s"),
            (
                sentence("rate-limit", "at most 5 begin: the next at 2026-03-01T09:05:01.000Z", soon, 1),
                "at most 5 begin: the next in 1.0 s; 1 run before it, so it begins in 42.0 s at the earliest",
            ),
            (sentence("queue-full", "waits for room: \u{1b}[2J", None, 0), "for room: \\u{1b}[2J"),
        ];
        for (said, expected) in cases {
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn what_is_not_paused_has_nothing_to_say() {
        assert_eq!(pause(&Pause::default(), Timestamp::from_millis(0)), None);
    }
}
