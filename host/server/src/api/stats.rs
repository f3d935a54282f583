//! How the engine stands, in numbers, and whether it is alive and ready.
//! Numbers are of now; nothing is kept over time.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::routing::get;
use axum::{Json as JsonResponse, Router};
use jobmill_core::time::format_duration;
use jobmill_core::{RunState, Timestamp};
use jobmill_engine::JobStatus;
use serde::Serialize;

use crate::Context;
use crate::error::{Code, Problem};
use crate::query::NoParameters;
use crate::settings::Alarm;

pub(super) fn routes() -> Router<Context> {
    Router::new().route("/api/v1/stats", get(stats)).route("/healthz", get(healthy)).route("/readyz", get(ready))
}

#[derive(Serialize)]
struct StatsView {
    version: &'static str,
    ready: bool,
    started_at: Timestamp,
    uptime: String,
    jobs: BTreeMap<&'static str, usize>,
    runs: BTreeMap<&'static str, usize>,
    /// When a waiting run next becomes due, expires, or gets past a limit; null when none waits for a time.
    next_due: Option<Timestamp>,
    /// What an operator has to see to.
    alarms: Vec<Alarm>,
}

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
