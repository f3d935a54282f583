//! A run as bars over time: one for each attempt, each mail and each kind of host call, marks for steps and changes of orders.
//! It reads the journal alone, and draws nothing: `templates/run.html` does.

use std::collections::HashMap;
use std::time::Duration;

use jobmill_core::bill::{Bill, HostCall, time_text};
use jobmill_core::journal::{EffectKey, Finished, Started};
use jobmill_core::mail::MailStatus;
use jobmill_core::order::OrderPatch;
use jobmill_core::run::AttemptOutcome;
use jobmill_core::{Entry, EntryKind, MailId, RunHead, RunState, Timestamp, Version, limits};

use super::journal::answered;
use super::sentence::span;

/// Rows that are shown, the newest; the journal has all.
const ROWS: usize = 200;
/// How wide everything is, in units of the drawing.
pub(super) const WIDTH: u64 = 1_000;
/// No bar is narrower, so that a short one shows.
const NARROWEST: u64 = 4;
/// Bytes of an error or a reason that a row shows; the page and the journal show them whole.
const TOLD_BYTES: usize = 120;
/// Kept effects that a row names.
const KEPT_NAMED: usize = 5;

/// A run as bars over time.
pub(super) struct Waterfall {
    pub(super) rows: Vec<Row>,
    /// Rows before them that are not shown.
    pub(super) earlier: usize,
    /// From the first bar to the last.
    pub(super) total: String,
}

/// One line: an attempt, or something that it did.
pub(super) struct Row {
    pub(super) label: String,
    pub(super) is_attempt: bool,
    /// Of an attempt, and whether it is another than that of the attempt before.
    pub(super) version: Option<(Version, bool)>,
    pub(super) bars: Vec<Bar>,
    /// The class of what came of it.
    pub(super) class: &'static str,
    /// What came of it, in words.
    pub(super) told: String,
    /// How long an attempt waited to begin.
    pub(super) waited: Option<String>,
    /// What an attempt used.
    pub(super) usage: Option<String>,
    pub(super) mail: Option<MailId>,
}

/// A piece of a row.
pub(super) struct Bar {
    pub(super) x: u64,
    pub(super) width: u64,
    pub(super) look: Look,
}

/// How a piece looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Pale: it waited.
    Waiting,
    /// Solid: it ran.
    Running,
    /// Dashed: it is planned.
    Planned,
}

/// A piece before the scale is known.
type Piece = (Timestamp, Timestamp, Look);

impl Row {
    /// A row without pieces, which `Builder` keeps apart.
    fn new(label: String, class: &'static str, told: String) -> Self {
        Self {
            label,
            is_attempt: false,
            version: None,
            bars: Vec::new(),
            class,
            told,
            waited: None,
            usage: None,
            mail: None,
        }
    }
}

/// Draws the run as it is at `now`.
pub(super) fn waterfall(head: &RunHead, journal: &[Entry], now: Timestamp) -> Waterfall {
    let mut builder = Builder::new(head.enqueued_at);
    for entry in journal {
        builder.take(entry);
    }
    builder.close(head, now);
    builder.scaled(head.enqueued_at)
}

struct Builder {
    rows: Vec<(Row, Vec<Piece>)>,
    /// Since when the run waits, while it does.
    waits_since: Timestamp,
    /// The row of the attempt under way, and since when.
    open: Option<(usize, Timestamp)>,
    /// Rows of effects whose end is not on record.
    intended: HashMap<EffectKey, (usize, Timestamp, String)>,
    /// What later attempts need not do again.
    kept: Vec<String>,
    version: Option<Version>,
    end: Timestamp,
}

impl Builder {
    fn new(begin: Timestamp) -> Self {
        Self {
            rows: Vec::new(),
            waits_since: begin,
            open: None,
            intended: HashMap::new(),
            kept: Vec::new(),
            version: None,
            end: begin,
        }
    }

    fn take(&mut self, entry: &Entry) {
        let at = entry.at;
        self.end = self.end.max(at);
        match &entry.kind {
            EntryKind::Enqueued(_) => {}
            EntryKind::Started(started) => self.start(started, at),
            EntryKind::StepCompleted { name, .. } => {
                self.mark(format!("step {name}"), "completed", "done".to_owned(), at);
                self.keep(name.clone());
            }
            EntryKind::MailIntended { key, mail } => {
                let to = &mail.message.to.address;
                let row = self.intend(key, format!("mail {} to {to}", mail.message.kind), at);
                self.rows[row].0.mail = Some(mail.id);
            }
            EntryKind::MailSettled { key, status, error, .. } => {
                self.settle(key, (mail_class(*status), told(status.as_str(), error.as_deref())), status.is_done(), at);
            }
            EntryKind::OrderUpdated { order, patch, .. } => {
                let label = order_label(order, patch);
                self.mark(label.clone(), "completed", "changed".to_owned(), at);
                self.keep(label);
            }
            EntryKind::OrderIntended { key, order, patch } => {
                self.intend(key, order_label(order, patch), at);
            }
            EntryKind::OrderSettled { key, error } => {
                let class = if error.is_none() { "completed" } else { "dead" };
                let word = if error.is_none() { "changed" } else { "refused" };
                self.settle(key, (class, told(word, error.as_deref())), error.is_none(), at);
            }
            EntryKind::HttpIntended { key, method, url } => {
                self.intend(key, short(&format!("{method} {url}")), at);
            }
            EntryKind::HttpSettled { key, status, error, .. } => {
                let class = if error.is_none() { "completed" } else { "dead" };
                self.settle(key, (class, short(&answered(*status, error.as_deref()))), error.is_none(), at);
            }
            EntryKind::Finished(finished) => self.finish(finished, at),
            EntryKind::CancelRequested { reason } => {
                self.mark("cancel asked for".to_owned(), "cancelled", short(reason), at);
            }
            EntryKind::Cancelled { reason } => self.mark("cancelled".to_owned(), "cancelled", short(reason), at),
            EntryKind::Requeued { .. } => {
                self.mark("put back".to_owned(), "available", "its attempts start anew".to_owned(), at);
                self.waits_since = at;
            }
            EntryKind::MadeDue { instead_of } => {
                let told = format!("at once, instead of in {}", span(instead_of.since(at)));
                self.mark("made due".to_owned(), "available", told, at);
            }
        }
    }

    fn start(&mut self, started: &Started, at: Timestamp) {
        let changed = self.version.is_some_and(|before| before != started.version);
        self.version = Some(started.version);
        let mut row = Row::new(format!("Attempt {}", started.attempt), "running", String::new());
        row.is_attempt = true;
        row.version = Some((started.version, changed));
        let waited = at.since(self.waits_since);
        row.waited = Some(span(waited)).filter(|_| !waited.is_zero());
        let pieces = if at > self.waits_since { vec![(self.waits_since, at, Look::Waiting)] } else { Vec::new() };
        self.open = Some((self.rows.len(), at));
        self.rows.push((row, pieces));
        if !self.kept.is_empty() {
            let row = Row::new("kept".to_owned(), "completed", kept(&self.kept));
            self.rows.push((row, Vec::new()));
        }
    }

    fn finish(&mut self, finished: &Finished, at: Timestamp) {
        if let Some((row, since)) = self.open.take() {
            let (row, pieces) = &mut self.rows[row];
            pieces.push((since, at, Look::Running));
            let (class, word) = outcome(finished);
            row.class = class;
            let error = finished.error.as_ref().map(|error| error.message.as_str());
            row.told = told(&format!("{word} after {}", span(at.since(since))), error);
            if let Some(bill) = &finished.bill {
                row.usage = Some(bill.to_string());
                self.call(bill, since);
            }
        }
        self.waits_since = at;
    }

    /// Host calls of an attempt that began at `since`, one row for each kind.
    fn call(&mut self, bill: &Bill, since: Timestamp) {
        let mut kinds: Vec<(&str, Vec<&HostCall>)> = Vec::new();
        for call in &bill.calls {
            match kinds.iter_mut().find(|(name, _)| *name == call.name) {
                Some((_, calls)) => calls.push(call),
                None => kinds.push((&call.name, vec![call])),
            }
        }
        for (name, calls) in kinds {
            let class = if calls.iter().any(|call| call.failed) { "retryable" } else { "completed" };
            let pieces = calls.iter().map(|call| {
                let begun = since.after(Duration::from_micros(call.at_micros));
                (begun, begun.after(Duration::from_micros(call.took_micros)), Look::Running)
            });
            self.rows.push((Row::new(short(name), class, told_calls(&calls)), pieces.collect()));
        }
    }

    /// A row with one short mark.
    fn mark(&mut self, label: String, class: &'static str, told: String, at: Timestamp) {
        self.rows.push((Row::new(label, class, told), vec![(at, at, Look::Running)]));
    }

    fn intend(&mut self, key: &EffectKey, label: String, at: Timestamp) -> usize {
        let row = self.rows.len();
        self.intended.insert(key.clone(), (row, at, label.clone()));
        let told = "its end is not on record".to_owned();
        self.rows.push((Row::new(label, "retryable", told), vec![(at, at, Look::Running)]));
        row
    }

    fn settle(&mut self, key: &EffectKey, (class, told): (&'static str, String), is_done: bool, at: Timestamp) {
        let Some((row, since, label)) = self.intended.get(key).cloned() else { return };
        let (row, pieces) = &mut self.rows[row];
        row.class = class;
        row.told = told;
        *pieces = vec![(since, at, Look::Running)];
        if is_done {
            self.keep(label);
        }
    }

    fn keep(&mut self, name: String) {
        if !self.kept.contains(&name) {
            self.kept.push(name);
        }
    }

    /// What is under way, or planned.
    fn close(&mut self, head: &RunHead, now: Timestamp) {
        if !head.state.is_final() {
            self.end = self.end.max(now);
        }
        if let Some((row, since)) = self.open.take() {
            let (row, pieces) = &mut self.rows[row];
            pieces.push((since, now.max(since), Look::Running));
            row.told = format!("running for {}", span(now.since(since)));
        } else if head.state.is_waiting() {
            let due = head.scheduled_at.max(now);
            // The planned piece has no length of its own: a twentieth of what is before it shows.
            let length = due.since(head.enqueued_at).max(Duration::from_millis(20)) / 20;
            self.end = due.after(length);
            let pieces = vec![(self.waits_since, due, Look::Waiting), (due, self.end, Look::Planned)];
            let told = if due > now { format!("planned in {}", span(due.since(now))) } else { "due".to_owned() };
            let mut row = Row::new(format!("Attempt {}", head.attempt + 1), "available", told);
            row.is_attempt = true;
            self.rows.push((row, pieces));
        }
    }

    fn scaled(self, begin: Timestamp) -> Waterfall {
        let whole = millis(begin, self.end).max(1);
        let place =
            |at: Timestamp| u64::try_from(u128::from(millis(begin, at)) * u128::from(WIDTH) / u128::from(whole));
        let earlier = self.rows.len().saturating_sub(ROWS);
        let rows = self.rows.into_iter().skip(earlier).map(|(mut row, pieces)| {
            row.bars = pieces
                .into_iter()
                .map(|(from, to, look)| {
                    let x = place(from).unwrap_or(WIDTH).min(WIDTH - NARROWEST);
                    let width = place(to).unwrap_or(WIDTH).saturating_sub(x).clamp(NARROWEST, WIDTH - x);
                    Bar { x, width, look }
                })
                .collect();
            row
        });
        Waterfall { rows: rows.collect(), earlier, total: span(self.end.since(begin)) }
    }
}

fn millis(begin: Timestamp, at: Timestamp) -> u64 {
    at.as_millis().saturating_sub(begin.as_millis())
}

fn told(word: &str, error: Option<&str>) -> String {
    error.map_or_else(|| word.to_owned(), |error| format!("{word}: {}", short(error)))
}

/// How long calls took, and whether they failed.
fn told_calls(calls: &[&HostCall]) -> String {
    let time = time_text(calls.iter().map(|call| call.took_micros).fold(0, u64::saturating_add));
    let failed = calls.iter().filter(|call| call.failed).count();
    match (calls.len(), failed) {
        (1, 0) => time,
        (1, _) => format!("failed after {time}"),
        (all, 0) => format!("{all} calls in {time}"),
        (all, failed) => format!("{all} calls in {time}, {failed} of them failed"),
    }
}

/// The beginning of a text that may be long.
fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let shown = limits::truncate(line, TOLD_BYTES);
    if shown.len() < text.len() { format!("{shown}…") } else { shown.to_owned() }
}

fn order_label(order: &str, patch: &OrderPatch) -> String {
    match patch.status {
        Some(status) => format!("order {order} to {}", status.as_str()),
        None => format!("order {order}"),
    }
}

fn kept(names: &[String]) -> String {
    let more = names.len().saturating_sub(KEPT_NAMED);
    let first = names[..names.len() - more].join(", ");
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("done by an earlier attempt, not done again: {first}{rest}")
}

/// The class and the word of how an attempt ended.
fn outcome(finished: &Finished) -> (&'static str, &'static str) {
    match finished.outcome {
        AttemptOutcome::Completed => ("completed", "completed"),
        AttemptOutcome::Failed if finished.to == RunState::Dead => ("dead", "failed"),
        AttemptOutcome::Failed => ("retryable", "failed"),
        AttemptOutcome::Snoozed => ("scheduled", "snoozed"),
        AttemptOutcome::Interrupted => ("available", "interrupted"),
        AttemptOutcome::Cancelled => ("cancelled", "cancelled"),
        AttemptOutcome::Held => ("retryable", "held back"),
    }
}

/// The class that colours a mail's status.
pub(super) fn mail_class(status: MailStatus) -> &'static str {
    match status {
        MailStatus::Sent | MailStatus::Captured => "completed",
        MailStatus::Sending => "running",
        MailStatus::InDoubt => "retryable",
        MailStatus::Suppressed => "cancelled",
        MailStatus::Failed => "dead",
    }
}

#[cfg(test)]
mod tests;
