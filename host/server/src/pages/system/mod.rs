//! The server itself: its version and age, what it works with, its limits and retention, its alarms, who is
//! told of dead runs, its tokens.
//! Nothing here changes but tokens, in `tokens`.

mod bounds;
mod on_duty;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jobmill_core::RunState;
use jobmill_core::time::format_duration;

use self::bounds::{Bound, limits_told, retention_told, sandbox_told};
use self::on_duty::Duty;
use self::tokens::{TokenRow, Typed};
use crate::Context;
use crate::action::Action;
use crate::error::Problem;
use crate::pages::frame::{self, Frame, Section};
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::query::Parameters;
use crate::routes::{Routes, Rule};
use crate::settings::{Alarm, MailRoute};

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/system", Rule::READ, show)
        .post("/system/tokens", Rule::OPERATE, tokens::create)
        .does(Action::TokenCreate)
        .get("/system/tokens/{id}/revoke", Rule::OPERATE, tokens::ask_to_revoke)
        .post("/system/tokens/{id}/revoke", Rule::OPERATE, tokens::revoke)
        .does(Action::TokenRevoke)
}

#[derive(Template)]
#[template(path = "system.html")]
struct SystemPage {
    frame: Frame,
    started: Moment,
    uptime: String,
    concurrency: usize,
    running: usize,
    waiting: usize,
    waiting_limit: u32,
    /// Where the store lies, if it lies in a directory.
    data: Option<String>,
    store_size: Option<String>,
    mail: MailRoute,
    alarms: Vec<(Alarm, Moment)>,
    duty: Duty,
    limits: Vec<Bound>,
    /// How much an attempt of any job may take.
    sandbox: Vec<Bound>,
    retention: Vec<Bound>,
    /// None for whoever may not see them.
    tokens: Option<Vec<TokenRow>>,
    typed: Typed,
}

/// `GET /system`.
async fn show(State(context): State<Context>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["revoked"])?;
    let revoked = parameters.value::<u32>("revoked")?;
    let notice = revoked.map(|_| "The token is revoked: it opens nothing any more.".to_owned());
    page(&context, visitor, StatusCode::OK, notice, Typed::default()).await
}

async fn page(
    context: &Context,
    visitor: Visitor,
    status: StatusCode,
    notice: Option<String>,
    typed: Typed,
) -> Result<Response, Problem> {
    let handle = &context.handle;
    let frame = Frame::of(context, visitor, Section::System, "System").await?.telling(notice);
    let now = frame.now;
    let counts = handle.query().counts(None, now).await?;
    let waiting = [RunState::Scheduled, RunState::Available, RunState::Retryable].map(|state| counts.of(state));
    let tokens = if frame.visitor.may_operate { Some(tokens::rows(context, now).await?) } else { None };
    let alarms = (context.settings.alarms)(now).into_iter().map(|alarm| (Moment::new(alarm.since, now), alarm));
    let place = context.settings.store_place.clone();
    let store_size = match place.as_ref().map(|place| Arc::clone(&place.bytes)) {
        // It may wait for the disk, which those who serve others must not.
        Some(bytes) => tokio::task::spawn_blocking(move || bytes()).await.ok().flatten(),
        None => None,
    };
    frame::page_with(
        status,
        &SystemPage {
            started: Moment::new(context.started_at, now),
            uptime: format_duration(Duration::from_secs(now.since(context.started_at).as_secs())),
            concurrency: handle.concurrency(),
            running: counts.of(RunState::Running),
            waiting: waiting.iter().sum(),
            waiting_limit: handle.waiting_limit(),
            data: place.map(|place| place.directory.display().to_string()),
            store_size: store_size.map(bounds::bytes),
            mail: context.settings.mail_route.clone(),
            alarms: alarms.map(|(since, alarm)| (alarm, since)).collect(),
            duty: Duty::now(context, now).await?,
            limits: limits_told(),
            sandbox: sandbox_told(handle.limits()),
            retention: retention_told(handle.retention()),
            tokens,
            typed,
            frame,
        },
    )
}
