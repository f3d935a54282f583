//! Schedules as they are in force: which job starts by itself, when next, and what it last started.
//! An operator may start one ahead of its time. It fires nothing; the engine does, by itself.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::response::Response;
use jobmill_core::flow::CatchUp;
use jobmill_core::{JobId, Json, RunId, Timestamp};
use jobmill_engine::{Accepted, EnqueueRequest, ScheduleListing};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::List;
use crate::api::jobs::unknown_job;
use crate::api::openapi::ProblemShape;
use crate::api::run_view::RunView;
use crate::api::runs::{EmptyBody, accepted_answer, take_work};
use crate::api::shapes::JobIdShape;
use crate::audit::Audited;
use crate::authentication::Caller;
use crate::body::OptionalJsonBody;
use crate::error::{Code, Problem};
use crate::path::Id;
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(list, trigger))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/schedule", Rule::READ, list)
        .post("/api/v1/schedule/{job}/trigger", Rule::OPERATE, trigger)
        .does(Action::ScheduleTrigger)
        .described_by(Document::openapi)
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

/// Enqueues a run as the schedule of a job would make it, ahead of its time. The schedule goes on as it was.
#[utoipa::path(
    post,
    path = "/api/v1/schedule/{job}/trigger",
    tag = "Schedule",
    params(
        ("job" = JobIdShape, Path, description = "the job"),
    ),
    responses(
        (status = 202, description = "the run, durable", body = RunView),
        (status = 409, description = "the job has no schedule", body = ProblemShape, content_type = "application/problem+json"),
    )
)]
async fn trigger(
    State(context): State<Context>,
    caller: Caller,
    audited: Audited,
    Id(job): Id<JobId>,
    _: NoParameters,
    OptionalJsonBody(EmptyBody {}): OptionalJsonBody<EmptyBody>,
) -> Result<Response, Problem> {
    let accepted = start_scheduled(&context, &caller, job).await?;
    audited.tells(accepted.head.id);
    accepted_answer(&context.handle, accepted, Json::empty_object()).await
}

/// Enqueues what the schedule of a job would, or says why there is no such schedule.
pub(crate) async fn start_scheduled(context: &Context, caller: &Caller, job: JobId) -> Result<Accepted, Problem> {
    let handle = &context.handle;
    take_work(handle)?;
    let catalog = handle.catalog();
    let loaded = catalog.serving(&job).ok_or_else(|| unknown_job(handle, &job))?;
    if loaded.crons.is_empty() {
        let detail = format!("the job {job} has no schedule; a run of any job can be enqueued without one");
        return Err(Problem::new(Code::WrongState, detail));
    }
    let request = EnqueueRequest::new(job, Json::empty_object());
    Ok(handle.enqueue(EnqueueRequest { max_waiting: caller.max_waiting(), ..request }).await?)
}
