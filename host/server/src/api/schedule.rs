//! Schedules as they are in force: which job starts by itself, when next, and what it last started.
//! It fires nothing; the engine does, by itself.

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::flow::CatchUp;
use jobmill_core::{JobId, RunId, Timestamp};
use jobmill_engine::ScheduleListing;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::api::List;
use crate::error::Problem;
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(list))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new().get("/api/v1/schedule", Rule::READ, list).described_by(Document::openapi)
}

/// A schedule of a job.
#[derive(Serialize, ToSchema)]
#[schema(as = Schedule)]
struct ScheduleView {
    job: JobId,
    /// When: a five-field cron expression.
    cron: String,
    /// The next times, at most three.
    next: Vec<Timestamp>,
    /// The run that it last started.
    last_run: Option<RunId>,
    catch_up: CatchUp,
}

impl From<ScheduleListing> for ScheduleView {
    fn from(listing: ScheduleListing) -> Self {
        let ScheduleListing { job, cron, next, last_run, catch_up } = listing;
        Self { job, cron, next, last_run, catch_up }
    }
}

/// Lists the schedules of all jobs, each with its next three times.
#[utoipa::path(
    get,
    path = "/api/v1/schedule",
    tag = "Schedule",
    responses(
        (status = 200, description = "every schedule", body = List<ScheduleView>),
    )
)]
async fn list(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<List<ScheduleView>>, Problem> {
    let schedules = context.handle.schedule().await?;
    Ok(JsonResponse(List::whole(schedules.into_iter().map(ScheduleView::from).collect())))
}
