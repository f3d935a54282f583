//! Queues as people see and steer them: how full each is, what waits, who paused it; pause, resume, set the limit.
//! It makes none: a queue is there once the configuration, a job or an operator names it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jobmill_core::JobId;
use jobmill_store::{Activity, QueueChange, QueueView};

use crate::Context;
use crate::action::Action;
use crate::api::{QueueName, find_queue, tell_limit};
use crate::error::{Code, Problem};
use crate::pages::bars::{Bars, Ends};
use crate::pages::form::Posted;
use crate::pages::frame::{Frame, Section, page_with};
use crate::pages::job::by;
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::path::Id;
use crate::query::Parameters;
use crate::routes::{Routes, Rule};

/// Width of a gauge, in its own units.
const GAUGE: usize = 120;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/queues", Rule::READ, show)
        .post("/queues/{name}/pause", Rule::OPERATE, pause)
        .does(Action::QueuesPause)
        .post("/queues/{name}/resume", Rule::OPERATE, resume)
        .does(Action::QueuesResume)
        .post("/queues/{name}/limit", Rule::OPERATE, limit)
        .does(Action::QueuesSet)
}

#[derive(Template)]
#[template(path = "queues.html")]
struct QueuesPage {
    frame: Frame,
    queues: Vec<QueueRow>,
}

struct QueueRow {
    name: String,
    limit: Option<u32>,
    running: usize,
    waiting: usize,
    /// Attempts that completed or failed in the last 60 minutes, and in each of them.
    ended: u64,
    bars: Bars,
    /// Who paused it, and when.
    paused: Option<(String, Moment)>,
    /// What was wrong with the limit that was asked for: the text, and what to say of it.
    refused: Option<(String, String)>,
}

impl QueueRow {
    fn new(queue: QueueView, activity: &Activity, frame: &Frame) -> Self {
        let minutes = activity.queues.get(&queue.name).map(Vec::as_slice).unwrap_or_default();
        let ends: Vec<Ends> = minutes.iter().map(|ended| Ends { completed: *ended, ..Ends::default() }).collect();
        Self {
            ended: minutes.iter().sum(),
            bars: Bars::of(&ends),
            name: queue.name,
            limit: queue.concurrency,
            running: queue.running,
            waiting: queue.waiting,
            paused: queue.paused.map(|pause| (pause.by, Moment::new(pause.at, frame.now))),
            refused: None,
        }
    }

    /// How much of the gauge is full; more may run than a limit that was lowered allows.
    fn filled(&self) -> usize {
        let limit = self.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX).max(1);
        (self.running.min(limit).saturating_mul(GAUGE)).div_ceil(limit)
    }

    /// What the field for the limit shows.
    fn field(&self) -> String {
        match (&self.refused, self.limit) {
            (Some((text, _)), _) => text.clone(),
            (None, Some(limit)) => limit.to_string(),
            (None, None) => String::new(),
        }
    }

    /// How it is now, for whoever has just changed it.
    fn sentence(&self) -> String {
        let limit = match self.limit {
            Some(1) => "at most one of its runs goes on at once".to_owned(),
            Some(limit) => format!("at most {limit} of its runs go on at once"),
            None => "it has no limit of its own".to_owned(),
        };
        let state = if self.paused.is_some() { "is paused: none of its runs begins" } else { "goes on" };
        format!("The queue {} {state}; {limit}.", self.name)
    }
}

/// `GET /queues`, after a change with the queue that it was made to.
async fn show(State(context): State<Context>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let changed: Option<JobId> = parameters.only(&["changed"])?.value("changed")?;
    let frame = Frame::of(&context, visitor, Section::Queues, "Queues").await?;
    let queues = rows(&context, &frame).await?;
    let changed = changed.and_then(|name| queues.iter().find(|queue| queue.name == name.as_str()));
    let frame = frame.telling(changed.map(QueueRow::sentence));
    page_with(StatusCode::OK, &QueuesPage { frame, queues })
}

async fn rows(context: &Context, frame: &Frame) -> Result<Vec<QueueRow>, Problem> {
    let queues = context.handle.queues().await?;
    let activity = context.handle.query().activity(frame.now).await?;
    Ok(queues.into_iter().map(|queue| QueueRow::new(queue, &activity, frame)).collect())
}

/// `POST /queues/{name}/pause`. Runs under way go on.
async fn pause(
    State(context): State<Context>,
    Id(QueueName(name)): Id<QueueName>,
    posted: Posted,
) -> Result<Response, Problem> {
    let paused = Some(Some(by(&posted.visitor)));
    change(&context, &name, QueueChange { concurrency: None, paused }).await
}

/// `POST /queues/{name}/resume`.
async fn resume(
    State(context): State<Context>,
    Id(QueueName(name)): Id<QueueName>,
    _: Posted,
) -> Result<Response, Problem> {
    change(&context, &name, QueueChange { concurrency: None, paused: Some(None) }).await
}

/// `POST /queues/{name}/limit`: a number, or nothing to take back what an operator said.
async fn limit(
    State(context): State<Context>,
    Id(QueueName(name)): Id<QueueName>,
    posted: Posted,
) -> Result<Response, Problem> {
    let text = posted.text("limit").unwrap_or_default().trim().to_owned();
    let limit = match text.parse::<u32>() {
        _ if text.is_empty() => None,
        Ok(limit) if limit > 0 => Some(limit),
        _ => {
            posted.audited.is_refused(Code::InvalidMember);
            return refused(&context, posted.visitor, &name, text).await;
        }
    };
    tell_limit(&posted.audited, limit);
    change(&context, &name, QueueChange { concurrency: Some(limit), paused: None }).await
}

async fn change(context: &Context, name: &JobId, change: QueueChange) -> Result<Response, Problem> {
    find_queue(&context.handle, name.as_str()).await?;
    context.handle.control_queue(name.to_string(), change).await?;
    Ok(Redirect::to(&format!("/queues?changed={name}")).into_response())
}

/// The page again, saying at the field what is wrong with it.
async fn refused(context: &Context, visitor: Visitor, name: &JobId, text: String) -> Result<Response, Problem> {
    find_queue(&context.handle, name.as_str()).await?;
    let frame = Frame::of(context, visitor, Section::Queues, "Queues").await?;
    let mut queues = rows(context, &frame).await?;
    let reason = format!("must be a number from 1 to {}; pause the queue to stop it", u32::MAX);
    if let Some(queue) = queues.iter_mut().find(|queue| queue.name == name.as_str()) {
        queue.refused = Some((text, reason));
    }
    page_with(StatusCode::BAD_REQUEST, &QueuesPage { frame, queues })
}
