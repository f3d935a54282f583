//! `POST /v1/cancellations`: cancels the unfinished runs of a job that began within a span of time.
//! It keeps no cancellation: what comes later is not cancelled, and there is nothing to list or take back.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use jobmill_core::{JobId, RunId, RunState, Timestamp, limits};
use jobmill_store::RunFilter;
use serde::{Deserialize, Serialize};

use super::answer::data;
use super::ids::{NIL, uuid};
use super::runs::CANCEL_REASON;
use crate::Context;
use crate::audit::Audited;
use crate::body::{AnyText, parse};
use crate::error::{Code, Problem};

/// How far ahead of ours the clock of whoever asks may be.
const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// The states of unfinished runs, in an order in which none slips through while runs go on.
const UNFINISHED: [RunState; 6] = [
    RunState::Scheduled,
    RunState::Retryable,
    RunState::Available,
    RunState::Running,
    RunState::Retryable,
    RunState::Scheduled,
];

/// Members that are not known are ignored, and `app_id` is one of them: there are no apps here.
#[derive(Deserialize)]
struct CancellationBody {
    function_id: Option<String>,
    started_after: Option<Timestamp>,
    started_before: Option<Timestamp>,
    #[serde(rename = "if")]
    expression: Option<String>,
}

/// A cancellation as the protocol shows it, and what it did.
#[derive(Serialize)]
struct CancellationObject {
    id: String,
    created_at: Timestamp,
    name: Option<String>,
    environment_id: &'static str,
    function_internal_id: String,
    function_id: JobId,
    started_after: Option<Timestamp>,
    started_before: Timestamp,
    /// How many runs were cancelled.
    cancelled: usize,
    /// There are more than one request cancels; the same request again goes on.
    more: bool,
}

/// Cancels at most `limits::BULK_RUNS` runs.
pub(super) async fn cancel(
    State(context): State<Context>,
    audited: Audited,
    AnyText(text): AnyText,
) -> Result<Response, Problem> {
    let body: CancellationBody = parse(&text)?;
    let now = context.handle.now();
    let invalid = |detail: &str| Problem::new(Code::InvalidMember, detail);
    if body.expression.is_some_and(|expression| !expression.is_empty()) {
        let detail = "if is not supported here: leave it out, or cancel the runs that you mean one by one with \
                      DELETE /v1/runs/{id}";
        return Err(invalid(detail));
    }
    let function = body.function_id.filter(|id| !id.is_empty()).ok_or_else(|| invalid("function_id is required"))?;
    let before = body.started_before.ok_or_else(|| invalid("started_before is required"))?;
    if before > now.after(CLOCK_SLACK) {
        return Err(invalid("started_before must be in the past"));
    }
    if body.started_after.is_some_and(|after| after > before) {
        return Err(invalid("started_after must be before started_before"));
    }
    let job = function.parse::<JobId>().ok().filter(|job| context.handle.catalog().listing(job).is_some());
    let job = job.ok_or_else(|| {
        let detail = format!("function not found: there is no job {:?}", limits::truncate(&function, 80));
        Problem::new(Code::UnknownJob, detail)
    })?;
    audited.is_to(&job);
    let (cancelled, more) = cancel_runs(&context, &job, body.started_after, before).await?;
    audited.tells(format_args!("{cancelled} changed"));
    Ok(data(
        now,
        CancellationObject {
            // It names nothing that is kept.
            id: context.handle.new_event_key().ulid().to_string(),
            created_at: now,
            name: None,
            environment_id: NIL,
            function_internal_id: uuid(&job),
            function_id: job,
            started_after: body.started_after,
            started_before: before,
            cancelled,
            more,
        },
    ))
}

/// How many runs were cancelled, and whether there are more.
async fn cancel_runs(
    context: &Context,
    job: &JobId,
    since: Option<Timestamp>,
    before: Timestamp,
) -> Result<(usize, bool), Problem> {
    let handle = &context.handle;
    let mut cancelled = 0;
    for state in UNFINISHED {
        let filter = RunFilter { job: Some(job.clone()), state: Some(state), since, ..RunFilter::default() };
        // Ids tell when runs came in, and lists go back from one.
        let mut after = Some(RunId::first_at(before));
        while let Some(cursor) = after {
            if cancelled >= limits::BULK_RUNS {
                return Ok((cancelled, true));
            }
            let page = handle.query().runs(&filter, Some(cursor), limits::PAGE_ITEMS, handle.now()).await?;
            after = page.next;
            let ids: Vec<RunId> = page.items.into_iter().map(|run| run.head.id).collect();
            if ids.is_empty() {
                continue;
            }
            let these = RunFilter { ids: Some(ids), ..RunFilter::default() };
            let outcome = handle.cancel_many(these, CANCEL_REASON.to_owned(), false).await?;
            cancelled += outcome.changed.len();
        }
    }
    Ok((cancelled, false))
}
