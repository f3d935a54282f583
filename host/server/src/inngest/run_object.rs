//! A run in the shape and the words of the protocol.
//! It reads nothing; what it shows is handed in.

use jobmill_core::{Json, Run, RunState, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::ids::{NIL, uuid};

/// A run as the protocol shows it, and the job beside it, since a UUID tells a person nothing.
#[derive(Serialize)]
pub(super) struct RunObject {
    run_id: String,
    run_started_at: Timestamp,
    function_id: String,
    /// Versions are hashes here, and a number is wanted.
    function_version: u32,
    environment_id: &'static str,
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_run_id: Option<String>,
    status: &'static str,
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Json>,
    job: String,
}

impl RunObject {
    /// The run as it is now.
    pub(super) fn of(run: Run, now: Timestamp) -> Self {
        let begun_at = run.attempts.first().map(|attempt| attempt.started_at);
        let status = status(run.head.state_at(now), begun_at.is_some());
        let output = output(&run);
        let head = run.head;
        Self {
            run_id: head.id.ulid().to_string(),
            run_started_at: begun_at.unwrap_or(head.enqueued_at),
            function_id: uuid(&head.job),
            function_version: 1,
            environment_id: NIL,
            event_id: head.event.map(|event| event.key.ulid().to_string()),
            original_run_id: head.rerun_of.map(|run| run.ulid().to_string()),
            status,
            ended_at: head.finished_at,
            output,
            job: head.job.to_string(),
        }
    }
}

/// The protocol knows no waiting between attempts: a run that has begun is running until it ends.
fn status(state: RunState, has_begun: bool) -> &'static str {
    match state {
        RunState::Completed => "Completed",
        RunState::Cancelled => "Cancelled",
        RunState::Dead => "Failed",
        RunState::Running | RunState::Retryable => "Running",
        RunState::Scheduled | RunState::Available => {
            if has_begun {
                "Running"
            } else {
                "Scheduled"
            }
        }
    }
}

/// What the job returned, or the error of a run that failed for good.
fn output(run: &Run) -> Option<Json> {
    if run.head.state != RunState::Dead {
        return run.output.clone();
    }
    let error = run.attempts.last()?.error.as_ref()?;
    Json::of(&json!({ "name": error.kind, "message": error.message, "stack": error.trace })).ok()
}
