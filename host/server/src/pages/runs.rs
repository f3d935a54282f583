//! The list of runs: states as tabs, filters in the address, pages, and the cancel of those that are selected.
//! What one run shows is in `run`.

mod cancel;
mod filters;
mod search;

pub(super) use filters::path_of_tag;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use jobmill_core::run::Attempt;
use jobmill_core::{JobId, Run, RunId, RunState, Timestamp, limits};
use jobmill_engine::{Catalog, Handle, LoadedJob};
use jobmill_store::Counts;

use self::filters::{Filters, NAMES};
use crate::Context;
use crate::action::Action;
use crate::error::Problem;
use crate::pages::frame::{Frame, Section, page, page_with};
use crate::pages::run::span;
use crate::pages::visitor::Visitor;
use crate::pages::words::{Moment, icon, note};
use crate::query::Parameters;
use crate::routes::{Routes, Rule};

/// Runs that are looked at one by one for one page; beyond, the reader says whether to look on.
const LOOKED_AT: usize = 1_000;
/// Runs that are counted for the tabs at most; beyond, a number would take longer than it is worth.
const COUNTED: usize = 20_000;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/runs", Rule::READ, show)
        .post("/runs/cancel", Rule::OPERATE, cancel::cancel)
        .may_do(Action::RunsCancel)
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    tabs: Vec<Tab>,
    filters: Filters,
    /// The filters as text, or what was typed and can't be read.
    search: String,
    /// Why it can't.
    refusal: Option<String>,
    /// What it may say.
    suggestions: BTreeSet<String>,
    rows: Vec<Row>,
    /// To the newest page, where this is an older one.
    newest: Option<String>,
    older: Option<String>,
    /// How many runs were looked at one by one, where there are more.
    looked_at: Option<usize>,
    /// Whether a run on this page can be cancelled.
    can_cancel: bool,
    /// What the button says that cancels all that match; none where there is no such button.
    cancel_all: Option<String>,
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

/// Runs that were found, and where to look on.
struct Found {
    runs: Vec<Run>,
    next: Option<RunId>,
    /// How many were looked at, where they had to be one by one and there are more.
    looked_at: Option<usize>,
}

/// `GET /runs`.
async fn show(State(context): State<Context>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let known: Vec<&str> = NAMES.into_iter().chain(["cursor", "cancelled", "skipped"]).collect();
    let parameters = parameters.only(&known)?;
    if let Some(run) = parameters.text("q").and_then(|text| text.trim().parse::<RunId>().ok()) {
        return Ok(Redirect::to(&format!("/runs/{run}")).into_response());
    }
    let (handle, now) = (&context.handle, context.handle.now());
    let filters = match Filters::read(|name| parameters.text(name), now) {
        Ok(filters) => filters,
        Err(problem) => match parameters.text("q") {
            Some(text) => return refused(&context, visitor, text, &problem).await,
            None => return Err(problem),
        },
    };
    let cursor: Option<RunId> = parameters.value("cursor")?;
    let told = told(parameters.value("cancelled")?, parameters.value("skipped")?);
    let found = find(handle, &filters, cursor, now).await?;
    let counts =
        if filters.is_looked_for() { None } else { handle.query().counts_of(&filters.filter, COUNTED, now).await? };
    let catalog = handle.catalog();
    let rows: Vec<Row> = found.runs.into_iter().map(|run| Row::new(run, now)).collect();
    page(&RunsPage {
        tabs: tabs(&filters, counts),
        cancel_all: cancel_all(&filters, counts),
        suggestions: suggestions(&catalog),
        can_cancel: rows.iter().any(Row::can_be_cancelled),
        rows,
        newest: cursor.map(|_| filters.path(&[])),
        older: found.next.map(|next| filters.path(&[("cursor", next.to_string())])),
        looked_at: found.looked_at,
        command: command(&catalog),
        search: filters.text(),
        refusal: None,
        filters,
        frame: Frame::of(&context, visitor, Section::Runs, "Runs").await?.telling(told),
    })
}

/// The page again, saying what is wrong with the search.
async fn refused(context: &Context, visitor: Visitor, search: &str, problem: &Problem) -> Result<Response, Problem> {
    let filters = Filters::default();
    let catalog = context.handle.catalog();
    let page = RunsPage {
        tabs: tabs(&filters, None),
        suggestions: suggestions(&catalog),
        can_cancel: false,
        cancel_all: None,
        rows: Vec::new(),
        newest: None,
        older: None,
        looked_at: None,
        command: command(&catalog),
        search: search.to_owned(),
        refusal: Some(problem.detail().trim_start_matches("q: ").to_owned()),
        filters,
        frame: Frame::of(context, visitor, Section::Runs, "Runs").await?,
    };
    page_with(problem.status(), &page)
}

async fn find(handle: &Handle, filters: &Filters, cursor: Option<RunId>, now: Timestamp) -> Result<Found, Problem> {
    let query = handle.query();
    if !filters.is_looked_for() {
        let page = query.runs(&filters.filter, cursor, limits::PAGE_ITEMS_DEFAULT, now).await?;
        return Ok(Found { runs: page.items, next: page.next, looked_at: None });
    }
    let (mut runs, mut next, mut looked_at) = (Vec::new(), cursor, 0);
    while looked_at < LOOKED_AT {
        let page = query.runs(&filters.filter, next, limits::PAGE_ITEMS, now).await?;
        for run in page.items {
            looked_at += 1;
            let id = run.head.id;
            if filters.finds(&run) {
                runs.push(run);
                if runs.len() == limits::PAGE_ITEMS_DEFAULT {
                    return Ok(Found { runs, next: Some(id), looked_at: None });
                }
            }
        }
        next = page.next;
        if next.is_none() {
            return Ok(Found { runs, next, looked_at: None });
        }
    }
    Ok(Found { runs, next, looked_at: Some(looked_at) })
}

/// A tab of each state. Without counts none says a number.
fn tabs(filters: &Filters, counts: Option<Counts>) -> Vec<Tab> {
    let states = std::iter::once(None).chain(RunState::ALL.map(Some));
    let tab = |state: Option<RunState>| Tab {
        state,
        path: filters.path_in(state),
        count: counts.map(|counts| state.map_or_else(|| counts.0.iter().sum(), |state| counts.of(state))),
        is_here: state == filters.filter.state,
    };
    states.map(tab).collect()
}

/// What cancelling all that match comes to, in words.
fn cancel_all(filters: &Filters, counts: Option<Counts>) -> Option<String> {
    if filters.is_empty() || filters.is_looked_for() {
        return None;
    }
    let most = limits::BULK_RUNS;
    let Some(counts) = counts else { return Some(format!("Cancel all that match, at most {most}")) };
    let is_meant = |state: &RunState| !state.is_final() && filters.filter.state.is_none_or(|only| only == *state);
    match RunState::ALL.into_iter().filter(is_meant).map(|state| counts.of(state)).sum::<usize>() {
        0 => None,
        1 => Some("Cancel the 1 that matches".to_owned()),
        count if count > most => Some(format!("Cancel {most} of {count} that match")),
        count => Some(format!("Cancel all {count} that match")),
    }
}

/// What a search may say of the jobs that are loaded.
fn suggestions(catalog: &Catalog) -> BTreeSet<String> {
    let of = |loaded: &Arc<LoadedJob>| [format!("job:{}", loaded.job.id), format!("queue:{}", loaded.job.queue.value)];
    catalog.all_serving().flat_map(of).collect()
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
