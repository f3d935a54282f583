//! Runs: enqueue, list, read, cancel, put back, repeat.
//! What a run's journal and log look like is in `journal`.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as JsonResponse, Router};
use jobmill_core::mail::InDoubtChoice;
use jobmill_core::time::{as_text, parse_duration};
use jobmill_core::{JobId, Json, Run, RunId, RunState, Timestamp, limits};
use jobmill_engine::{Accepted, EnqueueRequest, Handle};
use jobmill_store::RunFilter;
use serde::{Deserialize, Deserializer};

use crate::Context;
use crate::api::List;
use crate::api::bulk::{BulkView, refuse_empty};
use crate::api::journal::{journal, logs};
use crate::api::mail::mails_of_run;
use crate::api::run_view::{RunView, view};
use crate::body::{JsonBody, OptionalJsonBody};
use crate::error::{Code, Problem};
use crate::path::Id;
use crate::query::{NoParameters, Parameters};

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/api/v1/jobs/{job}/runs", post(enqueue))
        .route("/api/v1/runs", get(list))
        .route("/api/v1/runs/cancel", post(cancel_many))
        .route("/api/v1/runs/{id}", get(show))
        .route("/api/v1/runs/{id}/journal", get(journal))
        .route("/api/v1/runs/{id}/logs", get(logs))
        .route("/api/v1/runs/{id}/mail", get(mails_of_run))
        .route("/api/v1/runs/{id}/cancel", post(cancel))
        .route("/api/v1/runs/{id}/retry", post(retry))
        .route("/api/v1/runs/{id}/rerun", post(rerun))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnqueueBody {
    payload: Json,
    scheduled_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "optional_duration")]
    delay: Option<Duration>,
    priority: Option<u8>,
    unique_key: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

/// A span as text, or null for none.
pub(super) fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    struct Span(#[serde(with = "as_text")] Duration);

    Ok(Option::<Span>::deserialize(deserializer)?.map(|Span(span)| span))
}

impl EnqueueBody {
    fn due(&self, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        let due = match (self.scheduled_at, self.delay) {
            (Some(_), Some(_)) => {
                return Err(Problem::invalid_member("/delay", "and scheduled_at say the same thing; send one of them"));
            }
            (Some(at), None) => at,
            (None, Some(delay)) => now.after(delay),
            (None, None) => return Ok(None),
        };
        if due > now.after(limits::DELAY_MAX) {
            let member = if self.delay.is_some() { "/delay" } else { "/scheduled_at" };
            return Err(Problem::invalid_member(member, "is more than a year ahead"));
        }
        Ok(Some(due))
    }
}

async fn enqueue(
    State(context): State<Context>,
    Id(job): Id<JobId>,
    parameters: Parameters,
    headers: HeaderMap,
    JsonBody(body): JsonBody<EnqueueBody>,
) -> Result<Response, Problem> {
    let handle = &context.handle;
    let parameters = parameters.only(&["wait"])?;
    let wait = parameters.read("wait", wait_limit)?;
    let idempotency_key = idempotency_key(&headers)?;
    take_work(handle)?;
    let scheduled_at = body.due(handle.now())?;
    let request = EnqueueRequest {
        scheduled_at,
        priority: body.priority,
        unique_key: body.unique_key,
        idempotency_key,
        tags: body.tags,
        ..EnqueueRequest::new(job, body.payload.clone())
    };
    let accepted = handle.enqueue(request).await?;
    if let Some(limit) = wait
        && let Some(run) = final_within(handle, accepted.head.id, limit).await
    {
        return answer(StatusCode::OK, RunView::of(run, handle).await?, accepted.replayed);
    }
    accepted_answer(handle, accepted, body.payload).await
}

/// Refuses work while it can't be taken: before the first catalog every job would seem unknown.
pub(super) fn take_work(handle: &Handle) -> Result<(), Problem> {
    if handle.is_ready() {
        return Ok(());
    }
    let detail = "the engine takes no work at this moment: it is starting or stopping; try again in a moment";
    Err(Problem::new(Code::NotReady, detail))
}

fn wait_limit(text: &str) -> Result<Duration, String> {
    let limit = parse_duration(text).map_err(|error| error.to_string())?;
    if limit > limits::WAIT_MAX {
        return Err(format!("{text:?} is longer than 5m"));
    }
    Ok(limit)
}

/// Keys are read as the text that HTTP lets headers be: visible ASCII and spaces.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=limits::KEY_BYTES).contains(&key.len()) && !key.contains('\t') => Ok(Some(key.to_owned())),
        _ => {
            let detail =
                format!("the header Idempotency-Key must have 1 to {} printable characters", limits::KEY_BYTES);
            Err(Problem::new(Code::InvalidParameter, detail))
        }
    }
}

/// The run once it is final. None when time is up, or when the engine stops meanwhile: the run is safe, so that is no error.
async fn final_within(handle: &Handle, run: RunId, limit: Duration) -> Option<Run> {
    let record = tokio::select! {
        waited = handle.wait_final(run, limit) => waited.ok().flatten(),
        () = handle.shutting_down() => None,
    };
    record.map(|record| record.run)
}

async fn accepted_answer(handle: &Handle, accepted: Accepted, payload: Json) -> Result<Response, Problem> {
    if accepted.replayed {
        return answer(StatusCode::OK, view(handle, accepted.head.id).await?, true);
    }
    // What was just recorded need not be read back.
    let run = Run { head: accepted.head, payload, output: None, attempts: Vec::new() };
    answer(StatusCode::ACCEPTED, RunView::of_new(run, handle).await?, false)
}

fn answer(status: StatusCode, run: RunView, replayed: bool) -> Result<Response, Problem> {
    let location = HeaderValue::try_from(format!("/api/v1/runs/{}", run.id()))
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let mut response = (status, [(header::LOCATION, location)], JsonResponse(run)).into_response();
    if replayed {
        let name = header::HeaderName::from_static("idempotency-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}

async fn list(State(context): State<Context>, parameters: Parameters) -> Result<JsonResponse<List<RunView>>, Problem> {
    let known = ["state", "job", "event", "tag", "error", "since", "cursor", "limit"];
    let parameters = parameters.only(&known)?;
    let filter = RunFilter {
        state: parameters.value("state")?,
        job: parameters.value("job")?,
        event: parameters.text("event").map(str::to_owned),
        tag: parameters.text("tag").map(str::to_owned),
        error: parameters.text("error").map(str::to_owned),
        since: parameters.value("since")?,
        ids: None,
    };
    let (after, limit) = (parameters.value("cursor")?, parameters.limit()?);
    let handle = &context.handle;
    let page = handle.query().runs(&filter, after, limit, handle.now()).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for run in page.items {
        items.push(RunView::of(run, handle).await?);
    }
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    Ok(JsonResponse(List { items, next_cursor }))
}

async fn show(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    _: NoParameters,
) -> Result<JsonResponse<RunView>, Problem> {
    Ok(JsonResponse(view(&context.handle, id).await?))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    reason: Option<String>,
}

/// What is kept as the reason when the request gives none.
const CANCEL_REASON: &str = "cancelled by request";

async fn cancel(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<CancelBody>,
) -> Result<JsonResponse<RunView>, Problem> {
    let reason = body.reason.as_deref().unwrap_or(CANCEL_REASON);
    context.handle.cancel(id, reason).await?;
    Ok(JsonResponse(view(&context.handle, id).await?))
}

/// The body of a request that needs none.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyBody {}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryBody {
    in_doubt: Option<InDoubtChoice>,
}

async fn retry(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<RetryBody>,
) -> Result<JsonResponse<RunView>, Problem> {
    context.handle.retry(id, body.in_doubt).await?;
    Ok(JsonResponse(view(&context.handle, id).await?))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RerunBody {
    payload: Option<Json>,
}

async fn rerun(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<RerunBody>,
) -> Result<Response, Problem> {
    take_work(&context.handle)?;
    let accepted = context.handle.rerun(id, body.payload).await?;
    let run = view(&context.handle, accepted.head.id).await?;
    answer(StatusCode::ACCEPTED, run, accepted.replayed)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelFilter {
    job: Option<JobId>,
    state: Option<RunState>,
    event: Option<String>,
    tag: Option<String>,
    ids: Option<Vec<RunId>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelManyBody {
    filter: CancelFilter,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

async fn cancel_many(
    State(context): State<Context>,
    _: NoParameters,
    JsonBody(body): JsonBody<CancelManyBody>,
) -> Result<JsonResponse<BulkView>, Problem> {
    let CancelFilter { job, state, event, tag, ids } = body.filter;
    let filter = RunFilter { job, state, event, tag, ids, ..RunFilter::default() };
    refuse_empty(&filter)?;
    let reason = body.reason.unwrap_or_else(|| CANCEL_REASON.to_owned());
    let outcome = context.handle.cancel_many(filter, reason, body.dry_run).await?;
    Ok(JsonResponse(outcome.into()))
}
