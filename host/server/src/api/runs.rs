//! Runs: enqueue, list, read, cancel, put back, repeat.
//! What a run's journal and log look like is in `journal`.

use std::time::Duration;

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jobmill_core::mail::InDoubtChoice;
use jobmill_core::time::{as_text, parse_duration};
use jobmill_core::{JobId, Json, Run, RunId, RunState, Timestamp, limits};
use jobmill_engine::{Accepted, EnqueueRequest, Handle};
use jobmill_store::RunFilter;
use serde::{Deserialize, Deserializer};
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::List;
use crate::api::bulk::{BulkView, refuse_empty};
use crate::api::journal::{journal, logs};
use crate::api::mail::mails_of_run;
use crate::api::openapi::ProblemShape;
use crate::api::run_view::{RunView, view};
use crate::api::shapes::{JobIdShape, RunIdShape};
use crate::audit::{Audited, runs_named};
use crate::authentication::Caller;
use crate::body::{JsonBody, OptionalJsonBody};
use crate::error::{Code, Problem};
use crate::path::Id;
use crate::query::{NoParameters, Parameters};
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(
    enqueue,
    list,
    cancel_many,
    show,
    cancel,
    retry,
    rerun,
    crate::api::journal::journal,
    crate::api::journal::logs,
    crate::api::mail::mails_of_run
))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .post("/api/v1/jobs/{job}/runs", Rule::ENQUEUE, enqueue)
        .does(Action::Run)
        .get("/api/v1/runs", Rule::READ, list)
        .post("/api/v1/runs/cancel", Rule::OPERATE, cancel_many)
        .may_do(Action::RunsCancel)
        .get("/api/v1/runs/{id}", Rule::READ, show)
        .get("/api/v1/runs/{id}/journal", Rule::READ, journal)
        .get("/api/v1/runs/{id}/logs", Rule::READ, logs)
        .get("/api/v1/runs/{id}/mail", Rule::READ, mails_of_run)
        .post("/api/v1/runs/{id}/cancel", Rule::OPERATE, cancel)
        .does(Action::RunsCancel)
        .post("/api/v1/runs/{id}/retry", Rule::OPERATE, retry)
        .does(Action::RunsRetry)
        .post("/api/v1/runs/{id}/rerun", Rule::OPERATE, rerun)
        .does(Action::RunsRerun)
        .described_by(Document::openapi)
}

/// A run to enqueue.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewRun, examples(json!({ "payload": { "userId": "user_1", "email": "ada@example.com" }, "tags": ["spring"] })))]
#[serde(deny_unknown_fields)]
struct EnqueueBody {
    /// What the run works on; it has to fit the schema of the job.
    payload: Json,
    /// When it is due; now if absent.
    scheduled_at: Option<Timestamp>,
    /// The same, counted from now.
    #[serde(default, deserialize_with = "optional_duration")]
    delay: Option<Duration>,
    /// 0 (first) to 9 (last); the job's own if absent.
    priority: Option<u8>,
    /// Within the job, a second enqueue under this key is the first run.
    unique_key: Option<String>,
    /// Words to find it by.
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

/// Enqueues a run of a job. Once this is answered, the run is on disk. The same `Idempotency-Key` within 24 hours answers the first run again.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{job}/runs",
    tag = "Runs",
    params(
        ("job" = JobIdShape, Path, description = "the job"),
        ("wait" = Option<Duration>, Query, description = "hold the answer until the run is final, at most 5m"),
        ("Idempotency-Key" = Option<String>, Header, description = "the same request under the same key is one run; 1 to 256 printable characters"),
    ),
    request_body = EnqueueBody,
    responses(
        (status = 200, description = "the first run under the same key, or with `wait` the run once it is final", body = RunView),
        (status = 202, description = "the run, durable; with `wait` it was not final in time", body = RunView),
        (status = 409, description = "the key was used for another request", body = ProblemShape, content_type = "application/problem+json"),
        (status = 422, description = "the payload does not fit the schema of the job", body = ProblemShape, content_type = "application/problem+json"),
    )
)]
async fn enqueue(
    State(context): State<Context>,
    caller: Caller,
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
        max_waiting: caller.max_waiting(),
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
pub(crate) fn take_work(handle: &Handle) -> Result<(), Problem> {
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

pub(super) async fn accepted_answer(handle: &Handle, accepted: Accepted, payload: Json) -> Result<Response, Problem> {
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

/// Lists runs, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/runs",
    tag = "Runs",
    params(
        ("state" = Option<RunState>, Query, description = "only runs in this state"),
        ("job" = Option<JobId>, Query, description = "only runs of this job"),
        ("event" = Option<String>, Query, description = "only runs that an event of this name started"),
        ("tag" = Option<String>, Query, description = "only runs with this tag"),
        ("error" = Option<String>, Query, description = "only runs whose last error has this text in it"),
        ("since" = Option<Timestamp>, Query, description = "only runs enqueued since then"),
        ("rerun_of" = Option<RunIdShape>, Query, description = "only runs that repeat this one"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "items of the page, 1 to 200; 50 if absent"),
    ),
    responses(
        (status = 200, description = "a page of runs", body = List<RunView>),
    )
)]
async fn list(State(context): State<Context>, parameters: Parameters) -> Result<JsonResponse<List<RunView>>, Problem> {
    let known = ["state", "job", "event", "tag", "error", "since", "rerun_of", "cursor", "limit"];
    let parameters = parameters.only(&known)?;
    let filter = RunFilter {
        state: parameters.value("state")?,
        job: parameters.value("job")?,
        event: parameters.text("event").map(str::to_owned),
        tag: parameters.text("tag").map(str::to_owned),
        error: parameters.text("error").map(str::to_owned),
        since: parameters.value("since")?,
        ids: None,
        rerun_of: parameters.value("rerun_of")?,
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

/// Shows a run with its attempts, and what it waits for.
#[utoipa::path(
    get,
    path = "/api/v1/runs/{id}",
    tag = "Runs",
    params(
        ("id" = RunIdShape, Path, description = "the run"),
    ),
    responses(
        (status = 200, description = "the run as it is now", body = RunView),
    )
)]
async fn show(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    _: NoParameters,
) -> Result<JsonResponse<RunView>, Problem> {
    Ok(JsonResponse(view(&context.handle, id).await?))
}

/// Why a run is cancelled.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = Cancel)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    /// Why, for people.
    reason: Option<String>,
}

/// What is kept as the reason when the request gives none.
const CANCEL_REASON: &str = "cancelled by request";

/// Cancels a run. One that is running is stopped; it may still complete if it ends first.
#[utoipa::path(
    post,
    path = "/api/v1/runs/{id}/cancel",
    tag = "Runs",
    params(
        ("id" = RunIdShape, Path, description = "the run"),
    ),
    request_body = Option<CancelBody>,
    responses(
        (status = 200, description = "the run as it is now", body = RunView),
        (status = 409, description = "the run is final", body = ProblemShape, content_type = "application/problem+json"),
    )
)]
async fn cancel(
    State(context): State<Context>,
    audited: Audited,
    Id(id): Id<RunId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<CancelBody>,
) -> Result<JsonResponse<RunView>, Problem> {
    let reason = body.reason.as_deref().unwrap_or(CANCEL_REASON);
    body.reason.iter().for_each(|reason| audited.tells(reason));
    context.handle.cancel(id, reason).await?;
    Ok(JsonResponse(view(&context.handle, id).await?))
}

/// The body of a request that needs none.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = Empty)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyBody {}

/// What becomes of mails in doubt.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = Retry)]
#[serde(deny_unknown_fields)]
struct RetryBody {
    /// Needed where the run has mails in doubt and the configuration parks those.
    in_doubt: Option<InDoubtChoice>,
}

/// Puts a dead or cancelled run back: its attempts start anew, and what it did already it does not do again. One that waits for its time or its next attempt is due at once, and all else of it stays as it was; if something keeps its job back, it waits for that.
#[utoipa::path(
    post,
    path = "/api/v1/runs/{id}/retry",
    tag = "Runs",
    params(
        ("id" = RunIdShape, Path, description = "the run"),
    ),
    request_body = Option<RetryBody>,
    responses(
        (status = 200, description = "the run as it is now", body = RunView),
        (status = 409, description = "the run is due already, runs or has completed, or it has mails in doubt and no choice was made", body = ProblemShape, content_type = "application/problem+json"),
    )
)]
async fn retry(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<RetryBody>,
) -> Result<JsonResponse<RunView>, Problem> {
    context.handle.retry(id, body.in_doubt).await?;
    Ok(JsonResponse(view(&context.handle, id).await?))
}

/// What the new run works on; the same if absent.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = Rerun)]
#[serde(deny_unknown_fields)]
struct RerunBody {
    /// Another payload.
    payload: Option<Json>,
}

/// Enqueues a new run with the payload of this one, or another.
#[utoipa::path(
    post,
    path = "/api/v1/runs/{id}/rerun",
    tag = "Runs",
    params(
        ("id" = RunIdShape, Path, description = "the run"),
    ),
    request_body = Option<RerunBody>,
    responses(
        (status = 202, description = "the new run", body = RunView),
        (status = 422, description = "the payload does not fit the schema of the job", body = ProblemShape, content_type = "application/problem+json"),
    )
)]
async fn rerun(
    State(context): State<Context>,
    audited: Audited,
    Id(id): Id<RunId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<RerunBody>,
) -> Result<Response, Problem> {
    take_work(&context.handle)?;
    let accepted = context.handle.rerun(id, body.payload).await?;
    audited.tells(accepted.head.id);
    let run = view(&context.handle, accepted.head.id).await?;
    answer(StatusCode::ACCEPTED, run, accepted.replayed)
}

/// Which runs; at least one member.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = RunFilter)]
#[serde(deny_unknown_fields)]
struct CancelFilter {
    /// Runs of this job.
    job: Option<JobId>,
    /// Runs in this state.
    state: Option<RunState>,
    /// Runs that an event of this name started.
    event: Option<String>,
    /// Runs with this tag.
    tag: Option<String>,
    /// These runs.
    ids: Option<Vec<RunId>>,
}

/// Which runs are cancelled, and why.
#[derive(Deserialize, ToSchema)]
#[schema(as = CancelRuns)]
#[serde(deny_unknown_fields)]
struct CancelManyBody {
    filter: CancelFilter,
    /// Why, for people.
    reason: Option<String>,
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// Cancels every run that a filter names. An empty filter is refused.
#[utoipa::path(
    post,
    path = "/api/v1/runs/cancel",
    tag = "Runs",
    request_body = CancelManyBody,
    responses(
        (status = 200, description = "what was cancelled, and what was not and why", body = BulkView),
    )
)]
async fn cancel_many(
    State(context): State<Context>,
    audited: Audited,
    _: NoParameters,
    JsonBody(body): JsonBody<CancelManyBody>,
) -> Result<JsonResponse<BulkView>, Problem> {
    let CancelFilter { job, state, event, tag, ids } = body.filter;
    let filter = RunFilter { job, state, event, tag, ids, ..RunFilter::default() };
    refuse_empty(&filter)?;
    if !body.dry_run {
        audited.tells(runs_named(&filter));
        body.reason.iter().for_each(|reason| audited.tells(reason));
        audited.begin().await;
    }
    let reason = body.reason.unwrap_or_else(|| CANCEL_REASON.to_owned());
    let outcome = context.handle.cancel_many(filter, reason, body.dry_run).await?;
    audited.tells_counts(&outcome);
    Ok(JsonResponse(outcome.into()))
}
