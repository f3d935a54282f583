//! How the engine stands, in numbers, and whether it is alive and ready.
//! Numbers are of now, but for what the store keeps of the last hour and the last day; nothing is kept here.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::time::{as_text, format_duration};
use jobmill_core::{JobId, RunState, Timestamp};
use jobmill_engine::JobStatus;
use jobmill_store::{Activity, Durations, JobActivity, MinuteActivity};
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
        .described_by(Document::openapi)
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
    /// What was done lately.
    activity: ActivityView,
    /// What an operator has to see to.
    alarms: Vec<Alarm>,
}

/// What was done lately. Each end of an attempt counts for its own time, after a restart too.
#[derive(Serialize, ToSchema)]
#[schema(as = Activity)]
struct ActivityView {
    /// Of all jobs, the minute of now and the 59 before it, oldest first.
    minutes: Vec<MinuteView>,
    /// When the hours begin that `jobs` tells of: the hour of now and the 23 before it.
    jobs_since: Timestamp,
    /// Jobs of which an attempt ended in those hours, by id.
    jobs: Vec<JobActivityView>,
}

/// What ended in one minute.
#[derive(Serialize, ToSchema)]
#[schema(as = MinuteActivity)]
struct MinuteView {
    /// When the minute begins.
    at: Timestamp,
    /// Attempts that completed, and their runs with them.
    completed: u64,
    /// Attempts that failed, whatever came after.
    failed: u64,
    /// Runs that became dead.
    dead: u64,
}

/// What became of a job's runs.
#[derive(Serialize, ToSchema)]
#[schema(as = JobActivity)]
struct JobActivityView {
    /// The job.
    job: JobId,
    /// Runs that completed.
    completed: u64,
    /// Runs that became dead.
    dead: u64,
    /// Attempts that failed, whatever came after.
    failed_attempts: u64,
    /// How long attempts took that completed or failed.
    attempts: DurationsView,
    /// How long runs took from their enqueue until they completed or became dead, waiting included.
    runs: DurationsView,
}

/// How long things took. Percentiles are off by at most a sixteenth.
#[derive(Serialize, ToSchema)]
#[schema(as = Durations)]
struct DurationsView {
    /// How many there are.
    count: u64,
    /// What half of them did not exceed; `0s` when there are none.
    #[serde(with = "as_text")]
    p50: Duration,
    /// What 95 of 100 did not exceed; `0s` when there are none.
    #[serde(with = "as_text")]
    p95: Duration,
}

impl From<Activity> for ActivityView {
    fn from(activity: Activity) -> Self {
        let minute = |MinuteActivity { at, completed, failed, dead }| MinuteView { at, completed, failed, dead };
        Self {
            minutes: activity.minutes.into_iter().map(minute).collect(),
            jobs_since: activity.jobs_since,
            jobs: activity.jobs.into_iter().map(JobActivityView::from).collect(),
        }
    }
}

impl From<JobActivity> for JobActivityView {
    fn from(JobActivity { job, completed, dead, failed_attempts, attempts, runs, .. }: JobActivity) -> Self {
        Self { job, completed, dead, failed_attempts, attempts: attempts.into(), runs: runs.into() }
    }
}

impl From<Durations> for DurationsView {
    fn from(Durations { count, p50, p95 }: Durations) -> Self {
        Self { count, p50, p95 }
    }
}

/// Says how the engine stands, in numbers of now, and what was done in the last hour and the last day.
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
        activity: handle.query().activity(now).await?.into(),
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
