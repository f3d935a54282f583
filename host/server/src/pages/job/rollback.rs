//! Rolling a job back to an earlier version, which says what will happen before it does; and letting the newest serve again.
//! Each does what the API does.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jobmill_core::job::Pin;
use jobmill_core::{JobId, Timestamp, Version};
use jobmill_engine::Rollback;

use super::by;
use crate::Context;
use crate::api::{roll_back, unknown_job, unpin_job, with_changes};
use crate::error::{Code, Problem};
use crate::pages::form::Posted;
use crate::pages::frame::{self, Frame, Section};
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::path::Id;
use crate::query::Parameters;

/// What a job is held to, as its page shows it.
pub(super) struct PinShown {
    pub(super) version: Version,
    pub(super) at: Moment,
    pub(super) by: String,
    pub(super) reason: Option<String>,
}

impl PinShown {
    pub(super) fn new(pin: &Pin, now: Timestamp) -> Self {
        Self { version: pin.version, at: Moment::new(pin.at, now), by: pin.by.clone(), reason: pin.reason.clone() }
    }
}

#[derive(Template)]
#[template(path = "job_rollback.html")]
struct RollbackPage {
    frame: Frame,
    id: JobId,
    /// The version that is to serve, in as many digits as anybody is shown.
    to: String,
    /// When it was last loaded; none of a version that is not on record.
    last: Option<Moment>,
    serving: Option<Version>,
    /// What the serving version says otherwise than the one it replaced, in words.
    changes: Vec<String>,
    reason: String,
    /// Why it was not done.
    refusal: Option<String>,
}

/// `GET /jobs/{id}/rollback?version=…`: what will happen.
pub(super) async fn ask(
    State(context): State<Context>,
    visitor: Visitor,
    Id(id): Id<JobId>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let version: Option<String> = parameters.only(&["version"])?.value("version")?;
    let version = version.ok_or_else(|| Problem::new(Code::InvalidParameter, "version is required"))?;
    question(&context, visitor, id, version, StatusCode::OK, (String::new(), None)).await
}

async fn question(
    context: &Context,
    visitor: Visitor,
    id: JobId,
    to: String,
    status: StatusCode,
    (reason, refusal): (String, Option<String>),
) -> Result<Response, Problem> {
    let handle = &context.handle;
    let catalog = handle.catalog();
    catalog.listing(&id).ok_or_else(|| unknown_job(handle, &id))?;
    let serving = catalog.serving(&id).map(|loaded| loaded.version);
    let frame = Frame::of(context, visitor, Section::Jobs, format!("Roll back {id}")).await?;
    let (mut last, mut changes) = (None, Vec::new());
    for (version, changed) in with_changes(handle.query().versions(&id).await?) {
        if version.version.to_hex().starts_with(&to) {
            last = Some(Moment::new(version.last_loaded_at, frame.now));
        }
        if Some(version.version) == serving {
            changes = changed.unwrap_or_default().iter().map(ToString::to_string).collect();
        }
    }
    frame::page_with(status, &RollbackPage { frame, id, to, last, serving, changes, reason, refusal })
}

/// `POST /jobs/{id}/rollback`.
pub(super) async fn carry_out(
    State(context): State<Context>,
    Id(id): Id<JobId>,
    posted: Posted,
) -> Result<Response, Problem> {
    let missing = || Problem::member(Code::MissingMember, "/version", "is required");
    let version = posted.text("version").ok_or_else(missing)?.trim().to_owned();
    let reason = posted.text("reason").map(str::to_owned);
    let wanted =
        Rollback { job: id.clone(), version: Some(version.clone()), by: by(&posted.visitor), reason: reason.clone() };
    match roll_back(&context, &posted.audited, wanted).await {
        Ok(_) => Ok(Redirect::to(&format!("/jobs/{id}#versions")).into_response()),
        // Where the job is there, the page says why it serves on as it did.
        Err(problem) if matches!(problem.status(), StatusCode::CONFLICT | StatusCode::BAD_REQUEST) => {
            posted.audited.is_refused(problem.code());
            let told = (reason.unwrap_or_default(), Some(problem.detail().to_owned()));
            question(&context, posted.visitor, id, version, problem.status(), told).await
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /jobs/{id}/unpin`.
pub(super) async fn unpin(
    State(context): State<Context>,
    Id(id): Id<JobId>,
    posted: Posted,
) -> Result<Redirect, Problem> {
    match unpin_job(&context, &posted.audited, id.clone()).await {
        Err(problem) if problem.code() == Code::WrongState => posted.audited.is_refused(problem.code()),
        unpinned => unpinned?,
    }
    Ok(Redirect::to(&format!("/jobs/{id}")))
}
