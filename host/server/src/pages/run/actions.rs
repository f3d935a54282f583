//! What can be done with a run in one step: put it back or let it begin now, or cancel it. Both answer with the run's page.
//! Repeating it, with another payload or the same, is in `edit`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use jobmill_core::mail::InDoubtChoice;
use jobmill_core::{RunId, RunState};

use super::render;
use crate::Context;
use crate::error::{Code, Problem};
use crate::pages::form::Posted;
use crate::pages::visitor::Visitor;
use crate::path::Id;

/// What `done` says in the address of a run, and what the page then tells.
const TOLD: [(&str, &str); 6] = [
    ("retried", "Put back: its attempts start anew, and what it did already it does not do again."),
    ("due", "Due at once: it begins as soon as nothing keeps it back, and its attempts count on."),
    ("cancelled", "Cancelled."),
    ("cancelling", "It was asked to stop; its attempt has not ended yet."),
    ("rerun", "This is the new run."),
    ("first", "No new run was made, for an earlier one holds its unique key; this is that run."),
];

/// What the page tells of the action that led to it.
pub(super) fn told(done: &str) -> Result<&'static str, String> {
    let known = TOLD.iter().find(|(word, _)| *word == done);
    known.map(|(_, told)| *told).ok_or_else(|| format!("is none of {}", TOLD.map(|(word, _)| word).join(", ")))
}

/// The page of a run after something was done.
pub(super) fn done(run: RunId, word: &str) -> Response {
    Redirect::to(&format!("/runs/{run}?done={word}")).into_response()
}

/// What is kept as the reason of a cancel when none was given.
pub(in crate::pages) fn cancel_reason(visitor: &Visitor) -> String {
    format!("cancelled by {}", visitor.name.as_deref().unwrap_or("the dashboard"))
}

/// `POST /runs/{id}/retry`.
pub(super) async fn retry(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    let choice = match posted.text("in_doubt") {
        None => None,
        Some("resend") => Some(InDoubtChoice::Resend),
        Some("sent") => Some(InDoubtChoice::Sent),
        Some(_) => return Err(Problem::invalid_member("/in_doubt", "is none of resend, sent")),
    };
    let before = context.handle.query().heads(&[id]).await?.pop();
    let word = if before.is_some_and(|head| head.state.is_waiting()) { "due" } else { "retried" };
    match context.handle.retry(id, choice).await {
        Ok(_) => Ok(done(id, word)),
        Err(error) => refused(&context, posted, id, &headers, error.into()).await,
    }
}

/// `POST /runs/{id}/cancel`.
pub(super) async fn cancel(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    let reason = posted.text("reason").map_or_else(|| cancel_reason(&posted.visitor), str::to_owned);
    posted.text("reason").into_iter().for_each(|reason| posted.audited.tells(reason));
    match context.handle.cancel(id, &reason).await {
        Ok(head) if head.state == RunState::Running => Ok(done(id, "cancelling")),
        Ok(_) => Ok(done(id, "cancelled")),
        Err(error) => refused(&context, posted, id, &headers, error.into()).await,
    }
}

/// A refusal that the run's state explains is told on the run's page; any other has a page of its own.
pub(super) async fn refused(
    context: &Context,
    posted: Posted,
    id: RunId,
    headers: &HeaderMap,
    problem: Problem,
) -> Result<Response, Problem> {
    if !matches!(problem.code(), Code::WrongState | Code::MailInDoubt | Code::JobNotLoaded | Code::TooManyTrials) {
        return Err(problem);
    }
    let Some(record) = context.handle.query().run(id).await? else { return Err(problem) };
    posted.audited.is_refused(problem.code());
    let told = format!("Not done: {}.", problem.detail());
    render(context, posted.visitor, record, headers, (problem.status(), Some(told))).await
}
