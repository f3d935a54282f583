//! Shows runs: lists, one run, its log, its journal.
//! It changes nothing.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::Cell;
use jobmill_client::{Client, Entry, LogLine, Page, Run};
use jobmill_core::{RunId, Timestamp};
use owo_colors::OwoColorize as _;

use super::described::described;
use super::doings::Doings;
use super::{Context, List};
use crate::args::Format;
use crate::failure::Failure;
use crate::output::Column::{self, Extra, Text, Whole};
use crate::{machine, output};

/// What is shown of each run of a list.
const COLUMNS: [Column; 7] =
    [Whole("RUN"), Text("JOB"), Whole("STATE"), Extra("ATTEMPT"), Whole("ENQUEUED"), Extra("TOOK"), Text("ERROR")];

/// The list, once; the page that was shown.
pub(super) fn list_once(client: &Client, list: &List, context: &Context) -> Result<Page<Run>, Failure> {
    let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let page = client.runs(&list.filter.asked(), limit)?;
    let empty = "no such run; enqueue one with `jobmill run JOB --example`";
    context.output.list(page.texts(), page.next_cursor(), empty, || {
        let now = machine::now();
        let rows = page.items()?.iter().map(|run| row(run, now)).collect();
        Ok(output::table(&COLUMNS, rows))
    })?;
    if page.next_cursor().is_some() && context.output.format == Format::Table {
        context.output.note(&format!("only the newest {}; more with --limit", list.limit));
    }
    Ok(page)
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
    let client = context.client()?;
    let run = client.run(id)?;
    // What its attempts did is in the journal; a document for programs is the run alone.
    let doings = match context.output.format {
        Format::Table => Doings::of(&client.run_journal(id)?.items()?),
        Format::Json | Format::Jsonl => Doings::default(),
    };
    context.output.document(run.text(), || described(&run, &doings, machine::now()))
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
