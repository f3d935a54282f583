//! A job is rolled back to an earlier version, and lets the newest serve again.
//! It loads nothing; the engine's hopper does.

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::job::Pin;
use jobmill_core::{JobId, Timestamp, Version, limits};
use jobmill_engine::Rollback;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::jobs::{JobView, view};
use crate::api::operator::{OperatorBody, operator};
use crate::api::shapes::JobIdShape;
use crate::audit::Audited;
use crate::authentication::Caller;
use crate::body::OptionalJsonBody;
use crate::error::Problem;
use crate::path::Id;
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(rollback, unpin))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .post("/api/v1/jobs/{id}/rollback", Rule::OPERATE, rollback)
        .does(Action::JobsRollback)
        .post("/api/v1/jobs/{id}/unpin", Rule::OPERATE, unpin)
        .does(Action::JobsUnpin)
        .described_by(Document::openapi)
}

/// What a job is held to.
#[derive(Serialize, ToSchema)]
#[schema(as = Pin)]
pub(super) struct PinView {
    /// The version that serves until the job is unpinned, whatever lies in the hopper.
    version: Version,
    /// Since when.
    at: Timestamp,
    /// Who did it; `jobmill` where a new version broke and was rolled back by itself.
    by: String,
    /// Why; null where nobody said.
    reason: Option<String>,
}

impl From<&Pin> for PinView {
    fn from(pin: &Pin) -> Self {
        Self { version: pin.version, at: pin.at, by: pin.by.clone(), reason: pin.reason.clone() }
    }
}

/// Which version is to serve.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = Rollback)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    /// The first digits of the version, as many as tell it from the others; the one that served before if absent.
    version: Option<String>,
    /// Why, for those who ask later.
    #[schema(max_length = 1024)]
    reason: Option<String>,
    /// Who asks; the token's name if absent.
    by: Option<String>,
}

/// Lets an earlier version of a job serve, and holds the job to it until it is unpinned: over restarts, and whatever newer file
/// lies in the hopper. Attempts under way end on what they began with. A version that is on record and whose component is not
/// kept any more is refused with `version-not-kept`.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/rollback",
    tag = "Jobs",
    params(
        ("id" = JobIdShape, Path, description = "the job"),
    ),
    request_body = Option<RollbackBody>,
    responses(
        (status = 200, description = "the job as it is now", body = JobView),
    )
)]
async fn rollback(
    State(context): State<Context>,
    caller: Caller,
    audited: Audited,
    Id(job): Id<JobId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<RollbackBody>,
) -> Result<JsonResponse<JobView>, Problem> {
    audited.tells_by(body.by.as_deref());
    let by = operator(body.by, &caller)?;
    let wanted = Rollback { job: job.clone(), version: body.version, by, reason: body.reason };
    roll_back(&context, &audited, wanted).await?;
    view(&context.handle, &job).await
}

/// Rolls a job back, and puts on record to what and why.
pub(crate) async fn roll_back(context: &Context, audited: &Audited, wanted: Rollback) -> Result<Version, Problem> {
    let handle = &context.handle;
    handle.catalog().listing(&wanted.job).ok_or_else(|| super::unknown_job(handle, &wanted.job))?;
    let reason = wanted.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty()).map(str::to_owned);
    if reason.as_ref().is_some_and(|reason| reason.len() > limits::PIN_REASON_BYTES) {
        let bound = format!("must have at most {} bytes", limits::PIN_REASON_BYTES);
        return Err(Problem::invalid_member("/reason", bound));
    }
    let pin = handle.roll_back(Rollback { reason, ..wanted }).await?;
    let why = pin.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    audited.tells(format_args!("to {}{why}", pin.version));
    Ok(pin.version)
}

/// Lets the version in the hopper serve again, and every newer one from then on.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/unpin",
    tag = "Jobs",
    params(
        ("id" = JobIdShape, Path, description = "the job"),
    ),
    request_body = Option<OperatorBody>,
    responses(
        (status = 200, description = "the job as it is now", body = JobView),
    )
)]
async fn unpin(
    State(context): State<Context>,
    caller: Caller,
    audited: Audited,
    Id(job): Id<JobId>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<OperatorBody>,
) -> Result<JsonResponse<JobView>, Problem> {
    audited.tells_by(body.by.as_deref());
    operator(body.by, &caller)?;
    unpin_job(&context, &audited, job.clone()).await?;
    view(&context.handle, &job).await
}

/// Unpins a job, and puts on record from what.
pub(crate) async fn unpin_job(context: &Context, audited: &Audited, job: JobId) -> Result<(), Problem> {
    let handle = &context.handle;
    handle.catalog().listing(&job).ok_or_else(|| super::unknown_job(handle, &job))?;
    let pin = handle.unpin(job).await?;
    audited.tells(format_args!("from {}", pin.version));
    Ok(())
}
