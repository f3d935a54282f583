//! Shows runs: lists, one run, its log, its journal.
//! It changes nothing.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::Cell;
use jobmill_client::{Attempt, DoubtfulMail, Entry, LogLine, Run, RunFilter};
use jobmill_core::{JobId, RunId, RunState, Timestamp};
use owo_colors::OwoColorize as _;

use super::{Context, List};
use crate::failure::Failure;
use crate::{machine, output, words};

pub(super) fn list(list: &List, context: &Context) -> Result<(), Failure> {
    let filter = RunFilter {
        state: list.filter.state,
        job: list.filter.job.as_ref().map(JobId::as_str),
        event: list.filter.event.as_deref(),
        tag: list.filter.tag.as_deref(),
        error: list.error.as_deref(),
        since: list.since,
    };
    let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let page = context.client()?.runs(&filter, limit)?;
    let empty = "no such run; enqueue one with `jobmill run JOB --example`";
    context.output.list(page.texts(), page.next_cursor(), empty, || {
        let now = machine::now();
        let rows = page.items()?.iter().map(|run| row(run, now)).collect();
        Ok(output::table(&["RUN", "JOB", "STATE", "ATTEMPT", "ENQUEUED", "TOOK", "ERROR"], rows))
    })?;
    if page.next_cursor().is_some() && context.output.format == crate::args::Format::Table {
        context.output.note(&format!("only the newest {}; more with --limit", list.limit));
    }
    Ok(())
}

fn row(run: &Run, now: Timestamp) -> Vec<Cell> {
    let error = run.last_error().map(|error| format!("{}: {}", error.kind, output::first_line(&error.message)));
    vec![
        Cell::new(run.id),
        Cell::new(&run.job),
        output::state_cell(run.state),
        output::number_cell(format!("{} of {}", run.attempt, run.max_attempts)),
        output::number_cell(output::relative(run.enqueued_at, now)),
        output::number_cell(took(run).map_or_else(|| "–".to_owned(), output::span)),
        Cell::new(error.unwrap_or_default()),
    ]
}

/// From the begin of the latest attempt to the end.
fn took(run: &Run) -> Option<Duration> {
    Some(run.finished_at?.since(run.started_at?))
}

pub(super) fn show(id: RunId, context: &Context) -> Result<(), Failure> {
    let run = context.client()?.run(id)?;
    context.output.document(run.text(), || described(&run, machine::now()))
}

fn described(run: &Run, now: Timestamp) -> String {
    let time = |at: Option<Timestamp>| at.map(|at| output::exact(at, now));
    let due = run.scheduled_at != run.enqueued_at && !run.state.is_final();
    let mut text = output::pairs(&[
        ("run", Some(run.id.to_string())),
        ("job", Some(run.job.to_string())),
        ("state", Some(output::state_text(run.state))),
        ("waits", run.waiting_for.as_ref().map(|waiting| words::waiting(waiting, now))),
        ("cancelled", run.cancel_reason.as_deref().map(output::visible)),
        ("attempt", Some(format!("{} of {}", run.attempt, run.max_attempts))),
        ("version", run.version.clone()),
        ("queue", Some(format!("{}, priority {}", run.queue, run.priority))),
        ("enqueued", time(Some(run.enqueued_at))),
        ("due", time(due.then_some(run.scheduled_at))),
        ("started", time(run.started_at)),
        ("finished", time(run.finished_at)),
        ("event", run.event_id.as_ref().map(|id| output::visible(id.as_str()))),
        ("tags", (!run.tags.is_empty()).then(|| output::visible(&run.tags.join(", ")))),
        ("unique key", run.unique_key.as_deref().map(output::visible)),
        ("rerun of", run.rerun_of.map(|run| run.to_string())),
        ("payload", Some(output::visible(run.payload.as_str()))),
        ("output", run.output.as_ref().map(|document| output::visible(document.as_str()))),
    ]);
    for line in in_doubt(run) {
        let _ = write!(text, "\n{line}");
    }
    for attempt in &run.attempts {
        let _ = write!(text, "\n\n{}", attempt_text(attempt));
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

fn attempt_text(attempt: &Attempt) -> String {
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
    text
}

fn indented(text: &str) -> String {
    output::visible(text.trim_end()).replace('\n', "\n    ")
}

pub(super) fn logs(id: RunId, context: &Context) -> Result<(), Failure> {
    let log = context.client()?.run_log(id)?;
    context.output.list(&log.texts, None, "nothing is on record; lines are kept when their attempt ends", || {
        Ok(log.lines()?.iter().map(log_text).collect::<Vec<_>>().join("\n"))
    })?;
    if log.dropped > 0 {
        context.output.note(&format!("{} more lines had no room in the log", log.dropped));
    }
    Ok(())
}

fn log_text(line: &LogLine) -> String {
    let level = match line.level.as_str() {
        level @ ("error" | "stderr") => format!("{level:6}").red().to_string(),
        level @ "warn" => format!("{level:6}").yellow().to_string(),
        level => format!("{level:6}"),
    };
    let mut text = format!("{}  {}  {level}  {}", line.at.dimmed(), line.attempt, output::visible(&line.message));
    for (name, value) in &line.fields {
        let _ = write!(text, "  {}={}", output::visible(name).dimmed(), output::visible(value));
    }
    text
}

pub(super) fn journal(id: RunId, context: &Context) -> Result<(), Failure> {
    let page = context.client()?.run_journal(id)?;
    context.output.list(page.texts(), page.next_cursor(), "the journal is empty", || {
        let rows = page.items()?.iter().map(entry_row).collect();
        Ok(output::table(&["#", "AT", "KIND", "WHAT"], rows))
    })
}

fn entry_row(entry: &Entry) -> Vec<Cell> {
    let members = entry.members.iter().filter(|(_, value)| !value.is_null());
    let words: Vec<String> = members
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => format!("{name}={}", output::first_line(text)),
            other => format!("{name}={}", output::visible(&other.to_string())),
        })
        .collect();
    vec![output::number_cell(entry.sequence), Cell::new(entry.at), Cell::new(&entry.kind), Cell::new(words.join(" "))]
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
            "error": {"kind": "transient", "message": "the mail server\nis away \u001b[2J", "trace": null}}]}"#;

    #[test]
    fn a_run_says_what_it_waits_for_and_why_it_failed() {
        let run: Run = serde_json::from_str(RUN).expect("a run");
        let now = "2026-03-01T09:00:00.500Z".parse().expect("a time");
        let text = anstream::adapter::strip_str(&described(&run, now)).to_string();
        for part in [
            "state     ↻ retryable",
            "waits     for attempt 2 of 2, in 1.0 s",
            "payload   {\"userId\":\"u1\"}",
            "? the mail to ada@example.com may have been sent; look for Message-ID <x@shop> at the mail server",
            "✗ attempt 1  failed after 12 ms",
            "    transient: the mail server\n    is away \\u{1b}[2J",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }
}
