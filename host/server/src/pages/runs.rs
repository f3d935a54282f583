//! The list of runs: states as tabs, filters in the address, pages, and the cancel of those that are selected.
//! What one run shows is in `run`.

mod cancel;
mod filters;

pub(super) use filters::path_of_tag;

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jobmill_core::run::Attempt;
use jobmill_core::{JobId, Run, RunId, RunState, Timestamp, limits};
use jobmill_engine::Catalog;

use self::filters::{Filters, NAMES};
use crate::Context;
use crate::action::Action;
use crate::error::Problem;
use crate::pages::frame::{Frame, Section, page};
use crate::pages::run::span;
use crate::pages::visitor::Visitor;
use crate::pages::words::{Moment, icon, note};
use crate::query::Parameters;
use crate::routes::{Routes, Rule};

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/runs", Rule::READ, show)
        .post("/runs/cancel", Rule::OPERATE, cancel::cancel)
        .does(Action::RunsCancel)
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    tabs: Vec<Tab>,
    filters: Filters,
    /// Names of jobs to choose from.
    jobs: Vec<JobId>,
    rows: Vec<Row>,
    /// To the newest page, where this is an older one.
    newest: Option<String>,
    older: Option<String>,
    /// Whether a run on this page can be cancelled.
    can_cancel: bool,
    /// What to type for a first run.
    command: String,
}

/// A state, and the way to its runs.
struct Tab {
    state: Option<RunState>,
    path: String,
    /// None where the filters leave no number that the store knows.
    count: Option<usize>,
    is_here: bool,
}

impl Tab {
    fn icon(&self) -> &'static str {
        self.state.map_or("", icon)
    }
}

/// A run in the list.
struct Row {
    id: RunId,
    job: JobId,
    state: RunState,
    icon: &'static str,
    attempt: u32,
    max_attempts: u32,
    enqueued: Moment,
    /// From the enqueue to its first attempt.
    waited: String,
    /// All of its attempts together.
    ran: String,
    note: String,
}

impl Row {
    fn new(run: Run, now: Timestamp) -> Self {
        let Run { head, attempts, .. } = run;
        let state = head.state_at(now);
        let begun = attempts.first().map(|attempt| attempt.started_at).or(head.finished_at).unwrap_or(now);
        Self {
            note: note(&head, now),
            icon: icon(state),
            state,
            attempt: head.attempt,
            max_attempts: head.max_attempts,
            enqueued: Moment::new(head.enqueued_at, now),
            waited: span(begun.since(head.enqueued_at)),
            ran: if attempts.is_empty() { "–".to_owned() } else { span(ran(&attempts, now)) },
            id: head.id,
            job: head.job,
        }
    }

    fn can_be_cancelled(&self) -> bool {
        !self.state.is_final()
    }
}

/// How long attempts ran, all together.
fn ran(attempts: &[Attempt], now: Timestamp) -> Duration {
    attempts.iter().map(|attempt| attempt.finished_at.unwrap_or(now).since(attempt.started_at)).sum()
}

/// `GET /runs`.
async fn show(State(context): State<Context>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let known: Vec<&str> = NAMES.into_iter().chain(["cursor", "cancelled", "skipped"]).collect();
    let parameters = parameters.only(&known)?;
    let handle = &context.handle;
    let query = handle.query();
    let now = handle.now();
    let filters = Filters::read(|name| parameters.text(name), now)?;
    let cursor: Option<RunId> = parameters.value("cursor")?;
    let told = told(parameters.value("cancelled")?, parameters.value("skipped")?);
    let found = query.runs(&filters.filter, cursor, limits::PAGE_ITEMS_DEFAULT, now).await?;
    let counts = query.counts(filters.filter.job.as_ref(), now).await?;
    let count = |state: Option<RunState>| match state {
        _ if !filters.is_counted() => None,
        Some(state) => Some(counts.of(state)),
        None => Some(RunState::ALL.into_iter().map(|state| counts.of(state)).sum()),
    };
    let states = std::iter::once(None).chain(RunState::ALL.map(Some));
    let tabs = states.map(|state| Tab {
        state,
        path: filters.path_in(state),
        count: count(state),
        is_here: state == filters.filter.state,
    });
    let catalog = handle.catalog();
    let rows: Vec<Row> = found.items.into_iter().map(|run| Row::new(run, now)).collect();
    page(&RunsPage {
        tabs: tabs.collect(),
        jobs: catalog.all_serving().map(|loaded| loaded.job.id.clone()).collect(),
        can_cancel: rows.iter().any(Row::can_be_cancelled),
        rows,
        newest: cursor.map(|_| filters.path(&[])),
        older: found.next.map(|next| filters.path(&[("cursor", next.to_string())])),
        command: command(&catalog),
        filters,
        frame: Frame::of(&context, visitor, Section::Runs, "Runs").await?.telling(told),
    })
}

/// What came of the cancel that led here.
fn told(cancelled: Option<usize>, skipped: Option<usize>) -> Option<String> {
    let (cancelled, skipped) = (cancelled?, skipped.unwrap_or_default());
    let runs = |count: usize| if count == 1 { "1 run".to_owned() } else { format!("{count} runs") };
    Some(match (cancelled, skipped) {
        (0, 0) => "Nothing was cancelled: no run was selected.".to_owned(),
        (_, 0) => format!("{} cancelled.", runs(cancelled)),
        _ => format!("{} cancelled; {skipped} skipped, already final.", runs(cancelled)),
    })
}

/// What to type for a first run, of a job that is loaded.
fn command(catalog: &Catalog) -> String {
    match catalog.all_serving().next() {
        Some(loaded) if loaded.job.payload_example.is_some() => format!("jobmill run {} --example", loaded.job.id),
        Some(loaded) => format!("jobmill run {} --payload '{{}}'", loaded.job.id),
        None => "jobmill run JOB --example".to_owned(),
    }
}
