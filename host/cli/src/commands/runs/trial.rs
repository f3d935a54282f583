//! Tries a run out: shows what it would do on the version that is loaded now, and ends as the run would.
//! The server tries; nothing is sent or changed.

use std::fmt::Write as _;

use comfy_table::Cell;
use jobmill_client::{DoneBefore, LogLine, Trial, TrialEffect};
use jobmill_core::{RunId, RunState};
use owo_colors::OwoColorize as _;

use super::Context;
use crate::failure::{Exit, Failure};
use crate::output;

/// `jobmill runs trial RUN`.
pub(super) fn trial(run: RunId, context: &Context) -> Result<Exit, Failure> {
    let trial = context.client()?.trial_run(run)?;
    context.output.document(trial.text(), || described(&trial))?;
    Ok(exit(trial.state))
}

/// It would complete, it would end dead, or neither.
fn exit(state: RunState) -> Exit {
    match state {
        RunState::Completed => Exit::Done,
        RunState::Dead => Exit::EndedBadly,
        _ => Exit::Failed,
    }
}

fn described(trial: &Trial) -> String {
    let mut text = format!("{}\n\n", output::visible(&trial.summary));
    text += &output::pairs(&[
        ("run", Some(trial.run.to_string())),
        ("would be", Some(output::state_text(trial.state))),
        ("due again", trial.scheduled_at.map(|at| at.to_string())),
        ("version", Some(versions(trial))),
        ("took", Some(trial.took.clone())),
        ("output", trial.output.as_ref().map(|output| output::visible(output.as_str()))),
    ]);
    if !trial.effects.is_empty() {
        let rows = (1_usize..).zip(&trial.effects).map(|(number, effect)| row(number, effect)).collect();
        let _ = write!(text, "\n\n{}", output::table(&["#", "WOULD DO", "WHAT"], rows).trim_end());
    }
    let steps = trial.steps_before.iter().map(|name| format!("step {}", output::visible(name)));
    let done: Vec<String> = trial.done_before.iter().map(done).chain(steps).collect();
    if !done.is_empty() {
        text.push('\n');
    }
    for line in done {
        let _ = write!(text, "\n{} {line}", "done before:".dimmed());
    }
    if let Some(error) = &trial.error {
        let _ = write!(text, "\n\n{}: {}", error.kind.bold(), output::visible(error.message.trim_end()));
        if let Some(trace) = &error.trace {
            let _ = write!(text, "\n{}", output::visible(trace.trim_end()).dimmed());
        }
    }
    if !trial.log.is_empty() {
        text.push('\n');
    }
    for line in &trial.log {
        let _ = write!(text, "\n{}", log_line(line));
    }
    text
}

fn versions(trial: &Trial) -> String {
    match &trial.earlier_version {
        Some(earlier) if *earlier != trial.version => format!("{}, its latest attempt ran {earlier}", trial.version),
        _ => trial.version.clone(),
    }
}

fn row(number: usize, effect: &TrialEffect) -> Vec<Cell> {
    let (would, what) = match effect {
        TrialEffect::Mail { mail, suppressed: None } => {
            ("send a mail", format!("{} to {}: {}", mail.kind, mail.to.address, mail.subject))
        }
        TrialEffect::Mail { mail, suppressed: Some(reason) } => {
            ("send no mail", format!("{} to {}: {reason}", mail.kind, mail.to.address))
        }
        TrialEffect::Order { order, patch, before, after } => {
            let is_same = before == after;
            let what = if is_same { patch.to_string() } else { format!("{before} → {after}") };
            ("change an order", format!("{order}: {what}"))
        }
        TrialEffect::Http { method, url, bytes } => ("send a request", format!("{method} {url}, {bytes} bytes")),
        _ => ("do more", "something that this version of jobmill does not know".to_owned()),
    };
    vec![output::number_cell(number), Cell::new(would), output::text_cell(&what)]
}

fn done(done: &DoneBefore) -> String {
    match done {
        DoneBefore::Mail { mail, status } => {
            output::first_line(&format!("mail {} to {}, {status}", mail.kind, mail.to.address))
        }
        DoneBefore::Order { order, patch } => output::first_line(&format!("order {order}: {patch}")),
        DoneBefore::Http { method, url, status } => output::first_line(&format!("{method} {url}, answered {status}")),
        _ => "something that this version of jobmill does not know".to_owned(),
    }
}

fn log_line(line: &LogLine) -> String {
    let mut text = format!("{}  {:6}  {}", line.at.dimmed(), line.level, output::visible(&line.message));
    for (name, value) in &line.fields {
        let _ = write!(text, "  {}={}", output::visible(name).dimmed(), output::visible(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: &str = r#"{
        "run": "run_01J00000000000000000000000", "job": "purchase-confirmation", "version": "3fa9c1d07b21",
        "earlier_version": "000000000000", "summary": "On version 3fa9c1d07b21 it would complete: 1 mail, 1 order changed.",
        "started_at": "2026-03-01T09:00:00.000Z", "took": "12ms", "outcome": "completed", "state": "completed",
        "scheduled_at": null, "error": null, "output": {"ok":true},
        "effects": [
            {"kind": "mail", "suppressed": null, "mail": {"kind": "purchase", "from": {"address": "shop@x.y", "name": null},
                "to": {"address": "ada@example.com", "name": null}, "reply_to": null, "subject": "Thanks\u001b[2J",
                "text": "Hello", "html": null, "headers": [], "attachments": []}},
            {"kind": "order", "order": "o1", "patch": {"status": "fulfilled"}, "before": "paid", "after": "fulfilled"}],
        "done_before": [{"kind": "order", "order": "o1", "patch": {"status": "paid"}}],
        "steps": [], "steps_before": ["charge"],
        "log": [{"attempt": 1, "at": "2026-03-01T09:00:00.000Z", "level": "info", "message": "hi", "fields": {"a": "b"}}],
        "log_dropped": 0}"#;

    #[test]
    fn a_trial_says_first_what_would_come_of_it_and_then_what_it_would_do() {
        let trial: Trial = serde_json::from_str(TRIAL).expect("a trial");
        let text = anstream::adapter::strip_str(&described(&trial)).to_string();
        assert!(text.starts_with("On version 3fa9c1d07b21 it would complete: 1 mail, 1 order changed.\n"), "{text}");
        for part in [
            "3fa9c1d07b21, its latest attempt ran 000000000000",
            "purchase to ada@example.com: Thanks\\u{1b}[2J",
            "o1: paid → fulfilled",
            "done before: order o1: {\"status\":\"paid\"}",
            "done before: step charge",
            "hi  a=b",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }

    #[test]
    fn a_trial_ends_as_the_run_would() {
        assert_eq!(exit(RunState::Completed), Exit::Done);
        assert_eq!(exit(RunState::Dead), Exit::EndedBadly);
        assert_eq!(exit(RunState::Retryable), Exit::Failed);
    }
}
