//! Cancelling many runs from the list: first a page that says what will happen, then the cancel itself.
//! Cancelling one run from its own page is in `run`.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use jobmill_core::{RunId, limits};
use jobmill_store::{BulkOutcome, RunFilter};

use super::filters::Filters;
use crate::Context;
use crate::audit::runs_named;
use crate::error::{Code, Problem};
use crate::pages::form::Posted;
use crate::pages::frame::{Frame, Section, page};
use crate::pages::run::cancel_reason;

/// Skipped runs that the page names; the rest it counts.
const SKIPPED_SHOWN: usize = 50;

/// What will happen, before it does.
#[derive(Template)]
#[template(path = "runs_cancel.html")]
struct CancelPage {
    frame: Frame,
    changed: usize,
    /// What the form sends on: the runs, or the filters.
    fields: Vec<(&'static str, String)>,
    /// Whether the filters name the runs, so that more may come to match.
    all: bool,
    skipped: Vec<(RunId, String)>,
    more_skipped: usize,
    /// What is kept as the reason when none is given.
    reason: String,
    /// Back to the list.
    back: String,
}

/// `POST /runs/cancel`: without `confirmed` only says what it would do.
pub(super) async fn cancel(State(context): State<Context>, posted: Posted) -> Result<Response, Problem> {
    let handle = &context.handle;
    let filters = Filters::read(|name| posted.text(name), handle.now())?;
    let all = posted.text("all").is_some();
    let filter = if all { named_by(&filters)? } else { selected(&posted)? };
    if filter.ids.as_ref().is_some_and(Vec::is_empty) {
        return Ok(report(&filters, 0, 0));
    }
    if posted.text("confirmed").is_none() {
        let outcome = handle.cancel_many(filter, String::new(), true).await?;
        return confirm(&context, posted, filters, all, outcome).await;
    }
    let reason = posted.text("reason").map_or_else(|| cancel_reason(&posted.visitor), str::to_owned);
    posted.audited.tells(runs_named(&filter));
    posted.text("reason").into_iter().for_each(|reason| posted.audited.tells(reason));
    posted.audited.begin().await;
    let outcome = handle.cancel_many(filter, reason, false).await?;
    posted.audited.tells_counts(&outcome);
    Ok(report(&filters, outcome.changed.len(), outcome.skipped.len()))
}

fn named_by(filters: &Filters) -> Result<RunFilter, Problem> {
    if filters.is_empty() {
        let detail = "without a filter every run would be cancelled; name a job, for instance";
        return Err(Problem::new(Code::EmptyFilter, detail));
    }
    if filters.is_looked_for() {
        let detail = "runs are looked for by queue and payload one by one; select those that are meant";
        return Err(Problem::new(Code::InvalidParameter, detail));
    }
    Ok(filters.filter.clone())
}

fn selected(posted: &Posted) -> Result<RunFilter, Problem> {
    let ids: Result<Vec<RunId>, _> = posted.all("run").take(limits::BULK_RUNS).map(str::parse).collect();
    let ids = ids.map_err(|error| Problem::invalid_member("/run", error.to_string()))?;
    Ok(RunFilter { ids: Some(ids), ..RunFilter::default() })
}

/// Back to the list, which says what came of it.
fn report(filters: &Filters, cancelled: usize, skipped: usize) -> Response {
    let told = [("cancelled", cancelled.to_string()), ("skipped", skipped.to_string())];
    Redirect::to(&filters.path(&told)).into_response()
}

async fn confirm(
    context: &Context,
    posted: Posted,
    filters: Filters,
    all: bool,
    outcome: BulkOutcome,
) -> Result<Response, Problem> {
    let back = filters.path(&[]);
    let mut fields = filters.settled().pairs();
    if all {
        fields.push(("all", "yes".to_owned()));
    } else {
        fields.extend(outcome.changed.iter().map(|id| ("run", id.to_string())));
    }
    let more_skipped = outcome.skipped.len().saturating_sub(SKIPPED_SHOWN);
    page(&CancelPage {
        reason: cancel_reason(&posted.visitor),
        frame: Frame::of(context, posted.visitor, Section::Runs, "Cancel runs").await?,
        changed: outcome.changed.len(),
        fields,
        all,
        skipped: outcome.skipped.into_iter().take(SKIPPED_SHOWN).map(without_its_id).collect(),
        more_skipped,
        back,
    })
}

/// A reason begins with the run's id, which the page shows as a link before it.
fn without_its_id((id, reason): (RunId, String)) -> (RunId, String) {
    let rest = reason.strip_prefix(&id.to_string()).map(|rest| rest.trim_start().to_owned());
    (id, rest.unwrap_or(reason))
}
