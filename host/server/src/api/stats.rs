//! How the engine stands, in numbers, and whether it is alive and ready.
//! Numbers are of now; nothing is kept over time.

use std::collections::BTreeMap;

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::time::format_duration;
use jobmill_core::{RunState, Timestamp};
use jobmill_engine::JobStatus;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::error::{Code, Problem};
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};
use crate::settings::Alarm;

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(stats))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/stats", Rule::READ, stats)
        .get("/healthz", Rule::Open, healthy)
        .get("/readyz", Rule::Open, ready)
        .described_by(Document::openapi())
}

/// How the engine stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Stats)]
struct StatsView {
    /// The version of Jobmill.
    version: &'static str,
    /// Whether work is taken.
    ready: bool,
    /// When the server started.
    started_at: Timestamp,
    /// For how long it has been serving.
    uptime: String,
    /// Jobs by status.
    jobs: BTreeMap<&'static str, usize>,
    /// Runs by state.
    runs: BTreeMap<&'static str, usize>,
    /// When a waiting run next becomes due, expires, or gets past a limit; null when none waits for a time.
    next_due: Option<Timestamp>,
    /// What an operator has to see to.
    alarms: Vec<Alarm>,
}

/// Says how the engine stands, in numbers of now.
#[utoipa::path(
    get,
    path = "/api/v1/stats",
    tag = "Engine",
    responses(
        (status = 200, description = "the numbers", body = StatsView),
    )
)]
async fn stats(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<StatsView>, Problem> {
    let handle = &context.handle;
    let now = handle.now();
    let counts = handle.query().counts(None, now).await?;
    let mut jobs: BTreeMap<&'static str, usize> =
        [JobStatus::Loaded, JobStatus::Broken, JobStatus::Retired].map(|status| (status.as_str(), 0)).into();
    for listing in handle.catalog().listings() {
        *jobs.entry(listing.status.as_str()).or_default() += 1;
    }
    Ok(JsonResponse(StatsView {
        version: env!("CARGO_PKG_VERSION"),
        ready: handle.is_ready(),
        started_at: context.started_at,
        uptime: format_duration(now.since(context.started_at)),
        jobs,
        runs: RunState::ALL.map(|state| (state.as_str(), counts.of(state))).into(),
        next_due: handle.query().next_due(now).await?,
        alarms: (context.settings.alarms)(now),
    }))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// The process answers; what else works is `/readyz`'s to say.
async fn healthy() -> JsonResponse<Health> {
    JsonResponse(Health { status: "ok" })
}

async fn ready(State(context): State<Context>) -> Result<JsonResponse<Health>, Problem> {
    if context.handle.is_ready() {
        Ok(JsonResponse(Health { status: "ready" }))
    } else {
        Err(Problem::new(Code::NotReady, "the engine is starting or stopping"))
    }
}
