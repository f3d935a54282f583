//! Schedules as they are in force: which job starts by itself, when next, and what it last started.
//! It fires nothing; the engine does, by itself.

use axum::extract::State;
use axum::routing::get;
use axum::{Json as JsonResponse, Router};
use jobmill_core::flow::CatchUp;
use jobmill_core::{JobId, RunId, Timestamp};
use jobmill_engine::ScheduleListing;
use serde::Serialize;

use crate::Context;
use crate::api::List;
use crate::error::Problem;
use crate::query::NoParameters;

pub(super) fn routes() -> Router<Context> {
    Router::new().route("/api/v1/schedule", get(list))
}

#[derive(Serialize)]
struct ScheduleView {
    job: JobId,
    cron: String,
    next: Vec<Timestamp>,
    last_run: Option<RunId>,
    catch_up: CatchUp,
}

impl From<ScheduleListing> for ScheduleView {
    fn from(listing: ScheduleListing) -> Self {
        let ScheduleListing { job, cron, next, last_run, catch_up } = listing;
        Self { job, cron, next, last_run, catch_up }
    }
}

async fn list(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<List<ScheduleView>>, Problem> {
    let schedules = context.handle.schedule().await?;
    Ok(JsonResponse(List::whole(schedules.into_iter().map(ScheduleView::from).collect())))
}
