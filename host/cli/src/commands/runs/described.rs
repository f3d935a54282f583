//! One run as people read it: what is happening with it in a sentence, what it was given and gave, and its attempts with
//! what each of them did. The words are those of its page.

use std::fmt::Write as _;

use jobmill_client::{Attempt, DoubtfulMail, Run};
use jobmill_core::{RunState, Timestamp};
use owo_colors::OwoColorize as _;

use super::doings::Doings;
use crate::commands::usage;
use crate::{output, words};

/// What is happening with a run.
pub(in crate::commands) fn sentence(run: &Run, now: Timestamp) -> String {
    let left = |until: Timestamp| output::span(until.since(now));
    let next = format!("attempt {} of {}", run.attempt + 1, run.max_attempts);
    let latest = format!("attempt {} of {}", run.attempt, run.max_attempts);
    let error = run.last_error().map_or_else(|| "it failed".to_owned(), |error| output::first_line(&error.message));
    match run.state {
        RunState::Scheduled => scheduled(run, &left(run.scheduled_at), &next, &error),
        RunState::Available => match &run.waiting_for {
            None => format!("Due: {next} begins in a moment."),
            Some(waiting) => format!("Due, and waiting to begin {next}: {}.", words::waiting(waiting, now)),
        },
        RunState::Running => {
            let since = output::span(now.since(run.started_at.unwrap_or(now)));
            format!("Attempt {} of {} has been running for {since}.", run.attempt, run.max_attempts)
        }
        RunState::Retryable => format!("Waiting {} for {next}: {error}", left(run.scheduled_at)),
        RunState::Completed => {
            let after = output::span(run.finished_at.unwrap_or(run.enqueued_at).since(run.enqueued_at));
            format!("Completed {after} after the enqueue, with {latest}.")
        }
        RunState::Cancelled => {
            let when = output::relative(run.finished_at.unwrap_or(now), now);
            match run.cancel_reason.as_deref().map(output::first_line).filter(|reason| !reason.is_empty()) {
                Some(reason) => format!("Cancelled {when}: {reason}"),
                None => format!("Cancelled {when}."),
            }
        }
        RunState::Dead if run.attempt < run.max_attempts => {
            format!("Dead after {latest}, for a retry would not help: {error}")
        }
        RunState::Dead => {
            // Those since it was enqueued or last put back.
            let first = run.attempts.iter().rev().find(|attempt| attempt.number == 1);
            let over = match (first, run.finished_at) {
                (Some(first), Some(end)) if run.attempt > 1 => {
                    format!(" over {}", output::span(end.since(first.started_at)))
                }
                _ => String::new(),
            };
            format!("Gave up after {}{over}: {error}", output::count(run.attempt as usize, "attempt"))
        }
    }
}

fn scheduled(run: &Run, left: &str, next: &str, error: &str) -> String {
    let last = run.attempts.last().filter(|last| last.next_at == Some(run.scheduled_at));
    match last.and_then(|last| last.outcome.as_deref()) {
        Some("snoozed") => format!("The job asked to run again later: {next} begins in {left}."),
        Some("held") => format!("Held back for {left}, which costs no attempt: {error}"),
        _ => format!("Waiting {left} for its time; then {next} begins."),
    }
}

/// The whole run.
pub(super) fn described(run: &Run, doings: &Doings, now: Timestamp) -> String {
    let time = |at: Option<Timestamp>| at.map(|at| output::exact(at, now));
    let due = run.scheduled_at != run.enqueued_at && !run.state.is_final();
    let next = due.then(|| format!("attempt {} of {}, due {}", run.attempt + 1, run.max_attempts, run.scheduled_at));
    let mut text = format!("{}  {}\n\n", output::state_text(run.state), sentence(run, now));
    text.push_str(&output::pairs(&[
        ("run", Some(run.id.to_string())),
        ("job", Some(run.job.to_string())),
        ("attempt", Some(format!("{} of {}", run.attempt, run.max_attempts))),
        ("next try", next.filter(|_| run.state != RunState::Running)),
        ("waits", run.waiting_for.as_ref().map(|waiting| words::waiting(waiting, now))),
        ("version", run.version.clone()),
        ("queue", Some(format!("{}, priority {}", run.queue, run.priority))),
        ("enqueued", time(Some(run.enqueued_at))),
        ("started", time(run.started_at)),
        ("finished", time(run.finished_at)),
        ("event", run.event_id.as_ref().map(|id| output::visible(id.as_str()))),
        ("tags", (!run.tags.is_empty()).then(|| output::visible(&run.tags.join(", ")))),
        ("unique key", run.unique_key.as_deref().map(output::visible)),
        ("rerun of", run.rerun_of.map(|run| run.to_string())),
        ("payload", Some(output::visible(run.payload.as_str()))),
        ("output", run.output.as_ref().map(|document| output::visible(document.as_str()))),
    ]));
    for line in in_doubt(run) {
        let _ = write!(text, "\n{line}");
    }
    let mut before: Option<&str> = None;
    for (place, attempt) in run.attempts.iter().enumerate() {
        let _ = write!(text, "\n\n{}", attempt_text(attempt));
        if let Some(earlier) = before.filter(|earlier| *earlier != attempt.version) {
            let _ = write!(text, "\n    · another version than before, which was {earlier}");
        }
        before = Some(&attempt.version);
        for line in doings.of_attempt(place) {
            let _ = write!(text, "\n    {line}");
        }
    }
    text
}

/// What there is to decide about a run's mails that may have been sent, a line each.
pub(in crate::commands) fn in_doubt(run: &Run) -> Vec<String> {
    let mail = |mail: &DoubtfulMail| {
        let (to, message_id) = (output::visible(&mail.to), output::visible(&mail.message_id));
        format!("? the mail to {to} may have been sent; look for Message-ID <{message_id}> at the mail server")
    };
    let mut lines: Vec<String> = run.mails_in_doubt.iter().map(mail).collect();
    if !lines.is_empty() && matches!(run.state, RunState::Dead | RunState::Cancelled) {
        lines.push(format!("  it arrived:     jobmill runs retry {} --in-doubt sent", run.id));
        lines.push(format!("  it did not:     jobmill runs retry {} --in-doubt resend", run.id));
    }
    lines
}

/// One attempt: how it ended, when, on which version, and why it failed.
pub(in crate::commands) fn attempt_text(attempt: &Attempt) -> String {
    let outcome = attempt.outcome.as_deref().unwrap_or("running");
    let icon = match outcome {
        "completed" => "✓".green().to_string(),
        "failed" => "✗".red().to_string(),
        _ => "·".to_owned(),
    };
    let mut text = format!("{icon} attempt {}  {outcome}", attempt.number);
    if let Some(end) = attempt.finished_at {
        let _ = write!(text, " after {}", output::span(end.since(attempt.started_at)));
    }
    let _ = write!(text, "  {}  version {}", attempt.started_at.dimmed(), attempt.version);
    if let Some(error) = &attempt.error {
        let _ = write!(text, "\n    {}: {}", error.kind.bold(), indented(&error.message));
        if let Some(trace) = &error.trace {
            let _ = write!(text, "\n    {}", indented(trace).dimmed());
        }
    }
    if let Some(next) = attempt.next_at {
        let _ = write!(text, "\n    next attempt due {next}");
    }
    for line in attempt.usage.iter().flat_map(usage::lines) {
        let _ = write!(text, "\n    {line}");
    }
    text
}

fn indented(text: &str) -> String {
    output::visible(text.trim_end()).replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{
        "id": "run_01J00000000000000000000000", "job": "welcome-email", "version": "3fa9c1d07b21", "queue": "default",
        "state": "retryable", "priority": 5, "payload": {"userId":"u1"}, "output": null, "attempt": 1, "max_attempts": 2,
        "enqueued_at": "2026-03-01T09:00:00.000Z", "scheduled_at": "2026-03-01T09:00:01.500Z",
        "started_at": "2026-03-01T09:00:00.010Z", "finished_at": null, "event_id": null, "tags": ["vip"],
        "unique_key": null, "rerun_of": null, "cancel_reason": null,
        "mails_in_doubt": [{"id": "mail_01J00000000000000000000000", "to": "ada@example.com", "message_id": "x@shop"}],
        "waiting_for": {"kind": "due", "detail": "waits for attempt 2 of 2", "until": "2026-03-01T09:00:01.500Z", "position": null},
        "attempts": [{"number": 1, "version": "3fa9c1d07b21", "started_at": "2026-03-01T09:00:00.010Z",
            "finished_at": "2026-03-01T09:00:00.022Z", "outcome": "failed", "next_at": "2026-03-01T09:00:01.500Z",
            "usage": {"wall_ms": 11.9, "cpu_ms": 0.8, "memory_bytes": 1114112, "host_calls": 3, "calls": [
                {"name": "send-email", "at_ms": 0.4, "took_ms": 11.2, "failed": true}]},
            "error": {"kind": "transient", "message": "the mail server\nis away \u001b[2J", "trace": null}}]}"#;

    fn run(state: &str, change: impl Fn(&mut serde_json::Value)) -> Run {
        let mut run: serde_json::Value = serde_json::from_str(RUN).expect("JSON");
        run["state"] = state.into();
        change(&mut run);
        serde_json::from_value(run).expect("a run")
    }

    fn now() -> Timestamp {
        "2026-03-01T09:00:00.500Z".parse().expect("a time")
    }

    #[test]
    fn a_run_says_what_it_waits_for_and_why_it_failed() {
        let run = run("retryable", |_| {});
        let text = anstream::adapter::strip_str(&described(&run, &Doings::default(), now())).to_string();
        for part in [
            "↻ retryable  Waiting 1.0 s for attempt 2 of 2: the mail server\n",
            "next try  attempt 2 of 2, due 2026-03-01T09:00:01.500Z",
            "waits     for attempt 2 of 2, in 1.0 s",
            "payload   {\"userId\":\"u1\"}",
            "? the mail to ada@example.com may have been sent; look for Message-ID <x@shop> at the mail server",
            "✗ attempt 1  failed after 12 ms",
            "    transient: the mail server\n    is away \\u{1b}[2J",
            "\n    11.9 ms · 800 µs processor · 1.1 MiB · 3 host calls\n    → send-email  failed after 11.2 ms",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }

    #[test]
    fn every_state_has_its_sentence() {
        let ended = |run: &mut serde_json::Value| run["finished_at"] = "2026-03-01T09:00:00.400Z".into();
        let cases = [
            (run("scheduled", |_| {}), "Waiting 1.0 s for its time; then attempt 2 of 2 begins."),
            (
                run("scheduled", |run| run["attempts"][0]["outcome"] = "held".into()),
                "Held back for 1.0 s, which costs no attempt: the mail server",
            ),
            (run("available", |run| run["waiting_for"] = ().into()), "Due: attempt 2 of 2 begins in a moment."),
            (run("running", |_| {}), "Attempt 1 of 2 has been running for 490 ms."),
            (run("completed", ended), "Completed 400 ms after the enqueue, with attempt 1 of 2."),
            (
                run("cancelled", |run| {
                    ended(run);
                    run["cancel_reason"] = "a test".into();
                }),
                "Cancelled just now: a test",
            ),
            (run("dead", ended), "Dead after attempt 1 of 2, for a retry would not help: the mail server"),
            (
                run("dead", |run| {
                    ended(run);
                    run["attempt"] = 2.into();
                }),
                "Gave up after 2 attempts over 390 ms: the mail server",
            ),
        ];
        for (run, expected) in cases {
            assert_eq!(sentence(&run, now()), expected);
        }
    }

    #[test]
    fn an_attempt_on_another_version_says_so() {
        let run = run("dead", |run| {
            let mut second = run["attempts"][0].clone();
            second["number"] = 2.into();
            second["version"] = "b7c000000000".into();
            run["attempts"].as_array_mut().expect("attempts").push(second);
        });
        let text = anstream::adapter::strip_str(&described(&run, &Doings::default(), now())).to_string();
        assert!(text.contains("version b7c000000000\n"), "{text}");
        assert!(text.ends_with("    · another version than before, which was 3fa9c1d07b21"), "{text}");
    }
}
