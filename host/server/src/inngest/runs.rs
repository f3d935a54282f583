//! Runs read back in the shape of the protocol, and cancelled one by one.
//! It starts none: events do.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jobmill_core::{RunId, RunState, Timestamp};
use jobmill_engine::ChangeError;
use jobmill_store::RunRecord;
use serde::Serialize;

use super::answer::cached;
use super::ids::{EventInPath, RunInPath};
use super::run_object::RunObject;
use crate::Context;
use crate::error::{Code, Problem};

/// How long the runs of an event may be kept by whoever asked.
const EVENT_RUNS_AGE: Duration = Duration::from_secs(15);
/// How long a run may be kept.
const RUN_AGE: Duration = Duration::from_secs(3);
/// How long what a run waits for may be kept.
const JOBS_AGE: Duration = Duration::from_secs(5);
/// Why a run was cancelled, for people.
pub(super) const CANCEL_REASON: &str = "cancelled by request";

/// The runs that an event started; none for an event that is not there.
pub(super) async fn of_event(
    State(context): State<Context>,
    EventInPath(key): EventInPath,
) -> Result<Response, Problem> {
    let query = context.handle.query();
    let ids = query.event_by_key(key).await?.map(|event| event.runs).unwrap_or_default();
    let now = context.handle.now();
    let mut runs = Vec::with_capacity(ids.len());
    for id in ids {
        // One that was pruned since is not there.
        runs.extend(query.run(id).await?.map(|record| RunObject::of(record.run, now)));
    }
    Ok(cached(now, runs, EVENT_RUNS_AGE))
}

async fn find(context: &Context, id: RunId) -> Result<RunRecord, Problem> {
    context.handle.query().run(id).await?.ok_or_else(|| unknown(id))
}

fn unknown(id: RunId) -> Problem {
    Problem::new(Code::UnknownRun, format!("Unable to load function run: {}", id.ulid()))
}

/// One run.
pub(super) async fn show(State(context): State<Context>, RunInPath(id): RunInPath) -> Result<Response, Problem> {
    let record = find(&context, id).await?;
    let now = context.handle.now();
    Ok(cached(now, RunObject::of(record.run, now), RUN_AGE))
}

/// Cancels a run. One that was cancelled before is what was asked for.
pub(super) async fn cancel(State(context): State<Context>, RunInPath(id): RunInPath) -> Result<StatusCode, Problem> {
    match context.handle.cancel(id, CANCEL_REASON).await {
        Ok(_) => Ok(StatusCode::OK),
        Err(ChangeError::Refused(refused)) if refused.state == RunState::Cancelled => Ok(StatusCode::OK),
        Err(ChangeError::UnknownRun(id)) => Err(unknown(id)),
        Err(error) => Err(error.into()),
    }
}

/// What is left to do of a run: its next attempt, or the one that is under way.
#[derive(Serialize)]
struct QueueItem {
    at: Timestamp,
    position: usize,
    kind: &'static str,
    /// From 0.
    attempt: u32,
}

/// What a run waits for, as the protocol's queue has it: one item until the run ends, and then none.
pub(super) async fn jobs(State(context): State<Context>, RunInPath(id): RunInPath) -> Result<Response, Problem> {
    let head = find(&context, id).await?.run.head;
    let mut items = Vec::new();
    if !head.state.is_final() {
        let is_running = head.state == RunState::Running;
        let waiting = context.handle.waiting_for(&head).await?;
        let started_at = head.started_at.filter(|_| is_running);
        items.push(QueueItem {
            at: started_at.unwrap_or(head.scheduled_at),
            position: waiting.and_then(|waiting| waiting.position).unwrap_or_default(),
            kind: if head.attempt <= u32::from(is_running) { "start" } else { "edge" },
            attempt: head.attempt.saturating_sub(u32::from(is_running)),
        });
    }
    Ok(cached(context.handle.now(), items, JOBS_AGE))
}
