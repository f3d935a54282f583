//! Jobs as they are loaded: what a component says of itself, what is in force and who said so, and what is wrong.
//! An operator may pause one and let it go on. It loads nothing; dropping a component into the hopper does.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json as JsonResponse, Router};
use jobmill_core::breaker::BreakerState;
use jobmill_core::{JobId, Json, Timestamp, Trigger, Version};
use jobmill_engine::{Handle, JobListing};
use jobmill_store::JobFlowView;
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::api::operator::operator;
use crate::api::runs::take_work;
use crate::api::{List, SettingsView};
use crate::body::OptionalJsonBody;
use crate::error::{Code, Problem};
use crate::path::Id;
use crate::query::NoParameters;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/api/v1/jobs", get(list))
        .route("/api/v1/jobs/{id}", get(show))
        .route("/api/v1/jobs/{id}/pause", post(pause))
        .route("/api/v1/jobs/{id}/resume", post(resume))
}

#[derive(Serialize)]
struct JobView {
    /// Null for a file that never loaded.
    id: Option<JobId>,
    title: Option<String>,
    description: Option<String>,
    version: Option<Version>,
    status: &'static str,
    error: Option<String>,
    broken_since: Option<Timestamp>,
    paused: bool,
    paused_by: Option<String>,
    paused_at: Option<Timestamp>,
    /// Null for a job without one.
    breaker: Option<BreakerView>,
    file: String,
    triggers: Vec<Trigger>,
    retries: Option<u32>,
    settings: Option<SettingsView>,
    imports: Vec<String>,
    loaded_at: Option<Timestamp>,
    payload_schema: Option<Json>,
    payload_example: Option<Json>,
}

/// Where the breaker of a job stands.
#[derive(Serialize)]
struct BreakerView {
    /// `closed`: runs begin. `open`: none begins until a time. `trying`: one run goes on, and others wait for it.
    state: &'static str,
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
            imports: loaded.map(|loaded| loaded.imports.clone()).unwrap_or_default(),
            loaded_at: loaded.map(|loaded| loaded.loaded_at),
            payload_schema: job.and_then(|job| job.payload_schema.clone()),
            payload_example: job.and_then(|job| job.payload_example.clone()),
        }
    }
}

async fn list(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<List<JobView>>, Problem> {
    let catalog = context.handle.catalog();
    let mut items = Vec::new();
    for listing in catalog.listings() {
        items.push(JobView::of(listing, &context.handle).await?);
    }
    Ok(JsonResponse(List::whole(items)))
}

async fn show(
    State(context): State<Context>,
    Id(id): Id<JobId>,
    _: NoParameters,
) -> Result<JsonResponse<JobView>, Problem> {
    view(&context.handle, &id).await
}

async fn view(handle: &Handle, id: &JobId) -> Result<JsonResponse<JobView>, Problem> {
    let catalog = handle.catalog();
    let listing = catalog.listing(id).ok_or_else(|| unknown_job(handle, id))?;
    Ok(JsonResponse(JobView::of(listing, handle).await?))
}

/// Who asks for it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorBody {
    by: Option<String>,
}

async fn pause(
    State(context): State<Context>,
    Id(id): Id<JobId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<OperatorBody>,
) -> Result<JsonResponse<JobView>, Problem> {
    let by = operator(body.by)?;
    let handle = &context.handle;
    handle.catalog().listing(&id).ok_or_else(|| unknown_job(handle, &id))?;
    handle.pause_job(id.clone(), by).await?;
    view(handle, &id).await
}

async fn resume(
    State(context): State<Context>,
    Id(id): Id<JobId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<OperatorBody>,
) -> Result<JsonResponse<JobView>, Problem> {
    let by = operator(body.by)?;
    let handle = &context.handle;
    handle.catalog().listing(&id).ok_or_else(|| unknown_job(handle, &id))?;
    handle.resume_job(id.clone()).await?;
    tracing::info!(job = %id, by, "the job goes on");
    view(handle, &id).await
}

fn unknown_job(handle: &Handle, id: &JobId) -> Problem {
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
