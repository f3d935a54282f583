//! Jobs as they are loaded: what a component says of itself, what is in force and who said so, and what is wrong.
//! An operator may pause one and let it go on. It loads nothing; dropping a component into the hopper does.

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::breaker::BreakerState;
use jobmill_core::{JobId, Json, Timestamp, Trigger, Version};
use jobmill_engine::{Handle, JobListing};
use jobmill_store::JobFlowView;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::job_sandbox::{CapabilityView, LimitsView};
use crate::api::operator::{OperatorBody, operator};
use crate::api::rollback::PinView;
use crate::api::runs::take_work;
use crate::api::shapes::JobIdShape;
use crate::api::{List, SettingsView};
use crate::audit::Audited;
use crate::authentication::Caller;
use crate::body::OptionalJsonBody;
use crate::error::{Code, Problem};
use crate::path::Id;
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(list, show, pause, resume))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/jobs", Rule::READ, list)
        .get("/api/v1/jobs/{id}", Rule::READ, show)
        .post("/api/v1/jobs/{id}/pause", Rule::OPERATE, pause)
        .does(Action::JobsPause)
        .post("/api/v1/jobs/{id}/resume", Rule::OPERATE, resume)
        .does(Action::JobsResume)
        .described_by(Document::openapi)
}

/// A job as it is loaded, or a file that never was.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub(super) struct JobView {
    /// Null for a file that never loaded.
    id: Option<JobId>,
    /// For people.
    title: Option<String>,
    /// What it does.
    description: Option<String>,
    /// The component that serves.
    version: Option<Version>,
    /// What it is held to; null while the newest file serves.
    pinned: Option<PinView>,
    /// The version in the hopper, where it waits because the job is held to another.
    waits: Option<Version>,
    /// `loaded`, `broken`, or `retired`: its file is gone.
    status: &'static str,
    /// What is wrong with the newest file; null while nothing is.
    error: Option<String>,
    /// Since when.
    broken_since: Option<Timestamp>,
    /// Whether an operator keeps it from beginning runs.
    paused: bool,
    /// Who paused it.
    paused_by: Option<String>,
    /// When.
    paused_at: Option<Timestamp>,
    /// Null for a job without one.
    breaker: Option<BreakerView>,
    /// Its file in the hopper.
    file: String,
    /// What starts its runs.
    triggers: Vec<Trigger>,
    /// How often a failed run is tried again.
    retries: Option<u32>,
    /// What is in force for it, and who said so.
    settings: Option<SettingsView>,
    /// How much an attempt may take, and who said so.
    limits: Option<LimitsView>,
    /// What of the world its component asks for.
    imports: Vec<String>,
    /// What each of those is for, and how much of it the operator lets the job have.
    capabilities: Vec<CapabilityView>,
    /// When its component was loaded.
    loaded_at: Option<Timestamp>,
    /// JSON Schema of its payloads; null where anything goes.
    payload_schema: Option<Json>,
    /// A payload to begin with.
    payload_example: Option<Json>,
}

/// Where the breaker of a job stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Breaker)]
struct BreakerView {
    /// `closed`: runs begin. `open`: none begins until a time. `trying`: one run goes on, and others wait for it.
    state: &'static str,
    /// When it is open no longer.
    until: Option<Timestamp>,
}

impl From<BreakerState> for BreakerView {
    fn from(state: BreakerState) -> Self {
        match state {
            BreakerState::Closed => Self { state: "closed", until: None },
            BreakerState::Open { until } => Self { state: "open", until: Some(until) },
            BreakerState::Trying(_) => Self { state: "trying", until: None },
        }
    }
}

impl JobView {
    /// The job as it is now.
    async fn of(listing: &JobListing, handle: &Handle) -> Result<Self, Problem> {
        let flow = match &listing.loaded {
            Some(loaded) => handle.query().job_flow(&loaded.job.id, handle.now()).await?,
            None => JobFlowView { paused: None, breaker: None },
        };
        Ok(Self::new(listing, flow))
    }

    fn new(listing: &JobListing, flow: JobFlowView) -> Self {
        let loaded = listing.loaded.as_deref();
        let job = loaded.map(|loaded| &loaded.job);
        Self {
            id: job.map(|job| job.id.clone()),
            title: job.map(|job| job.title.clone()),
            description: job.and_then(|job| job.description.clone()),
            version: loaded.map(|loaded| loaded.version),
            pinned: listing.pinned.as_ref().map(PinView::from),
            waits: listing.waits,
            status: listing.status.as_str(),
            error: listing.breakage.as_ref().map(|breakage| breakage.error.clone()),
            broken_since: listing.breakage.as_ref().map(|breakage| breakage.since),
            paused: flow.paused.is_some(),
            paused_at: flow.paused.as_ref().map(|pause| pause.at),
            paused_by: flow.paused.map(|pause| pause.by),
            breaker: flow.breaker.map(BreakerView::from),
            file: listing.file.clone(),
            triggers: job.map(|job| job.triggers.clone()).unwrap_or_default(),
            retries: job.map(|job| job.retries.value),
            settings: job.map(SettingsView::from),
            limits: job.map(LimitsView::from),
            imports: loaded.map(|loaded| loaded.imports.clone()).unwrap_or_default(),
            capabilities: loaded.map(|loaded| CapabilityView::of(&loaded.job, &loaded.imports)).unwrap_or_default(),
            loaded_at: loaded.map(|loaded| loaded.loaded_at),
            payload_schema: job.and_then(|job| job.payload_schema.clone()),
            payload_example: job.and_then(|job| job.payload_example.clone()),
        }
    }
}

/// Lists the jobs with their settings, and after them the files that did not load.
#[utoipa::path(
    get,
    path = "/api/v1/jobs",
    tag = "Jobs",
    responses(
        (status = 200, description = "every job", body = List<JobView>),
    )
)]
async fn list(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<List<JobView>>, Problem> {
    let catalog = context.handle.catalog();
    let mut items = Vec::new();
    for listing in catalog.listings() {
        items.push(JobView::of(listing, &context.handle).await?);
    }
    Ok(JsonResponse(List::whole(items)))
}

/// Shows a job: what its component says, what is in force and who said so, and what is wrong.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}",
    tag = "Jobs",
    params(
        ("id" = JobIdShape, Path, description = "the job"),
    ),
    responses(
        (status = 200, description = "the job", body = JobView),
    )
)]
async fn show(
    State(context): State<Context>,
    Id(id): Id<JobId>,
    _: NoParameters,
) -> Result<JsonResponse<JobView>, Problem> {
    view(&context.handle, &id).await
}

pub(super) async fn view(handle: &Handle, id: &JobId) -> Result<JsonResponse<JobView>, Problem> {
    let catalog = handle.catalog();
    let listing = catalog.listing(id).ok_or_else(|| unknown_job(handle, id))?;
    Ok(JsonResponse(JobView::of(listing, handle).await?))
}

/// Pauses a job. Runs under way go on, and none begins.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/pause",
    tag = "Jobs",
    params(
        ("id" = JobIdShape, Path, description = "the job"),
    ),
    request_body = Option<OperatorBody>,
    responses(
        (status = 200, description = "the job as it is now", body = JobView),
    )
)]
async fn pause(
    State(context): State<Context>,
    caller: Caller,
    audited: Audited,
    Id(id): Id<JobId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<OperatorBody>,
) -> Result<JsonResponse<JobView>, Problem> {
    audited.tells_by(body.by.as_deref());
    let by = operator(body.by, &caller)?;
    let handle = &context.handle;
    handle.catalog().listing(&id).ok_or_else(|| unknown_job(handle, &id))?;
    handle.pause_job(id.clone(), by).await?;
    view(handle, &id).await
}

/// Lets a job go on that was paused, by an operator or by its breaker.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/resume",
    tag = "Jobs",
    params(
        ("id" = JobIdShape, Path, description = "the job"),
    ),
    request_body = Option<OperatorBody>,
    responses(
        (status = 200, description = "the job as it is now", body = JobView),
    )
)]
async fn resume(
    State(context): State<Context>,
    caller: Caller,
    audited: Audited,
    Id(id): Id<JobId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<OperatorBody>,
) -> Result<JsonResponse<JobView>, Problem> {
    audited.tells_by(body.by.as_deref());
    let by = operator(body.by, &caller)?;
    let handle = &context.handle;
    handle.catalog().listing(&id).ok_or_else(|| unknown_job(handle, &id))?;
    handle.resume_job(id.clone()).await?;
    tracing::info!(job = %id, by, "the job goes on");
    view(handle, &id).await
}

/// The refusal of an id that no job has, with the nearest that one has.
pub(crate) fn unknown_job(handle: &Handle, id: &JobId) -> Problem {
    // Before the first catalog every job would seem unknown.
    if let Err(not_ready) = take_work(handle) {
        return not_ready;
    }
    let catalog = handle.catalog();
    let known: Vec<&str> = catalog.all_serving().map(|loaded| loaded.job.id.as_str()).collect();
    let hint = crate::query::nearest(id.as_str(), &known)
        .map(|likely| format!("; did you mean {likely:?}?"))
        .unwrap_or_default();
    Problem::new(Code::UnknownJob, format!("there is no job {:?}{hint}", id.as_str()))
}

#[cfg(test)]
mod tests {
    use jobmill_core::RunId;

    use super::*;

    #[test]
    fn a_breaker_that_tries_a_run_has_no_end_that_is_known() {
        let view = BreakerView::from(BreakerState::Trying(RunId::from_bytes([7; 16])));
        assert_eq!((view.state, view.until), ("trying", None));
    }
}
