//! One line a run on the terminal of `jobmill dev`.
//! It is for the eye: it may miss runs when thousands pass, and says so.

use std::time::Duration;

use jobmill_core::{Run, RunState};
use jobmill_engine::Handle;
use jobmill_store::Change;
use owo_colors::OwoColorize as _;
use tokio::sync::broadcast::error::RecvError;

use crate::output::{self, Output};

/// Prints until the engine stops.
pub(super) async fn print(handle: Handle, output: Output) {
    let mut changes = handle.changes();
    loop {
        match changes.recv().await {
            Ok(batch) => {
                let ended = |change: &&Change| change.state.is_final() || change.state == RunState::Retryable;
                for change in batch.iter().filter(ended) {
                    if let Ok(Some(record)) = handle.query().run(change.run).await {
                        output.note(&line(&record.run));
                    }
                }
            }
            Err(RecvError::Lagged(_)) => output.note("… runs too fast to show"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn line(run: &Run) -> String {
    let head = &run.head;
    let what = match head.state {
        RunState::Completed => format!("in {}", output::span(took(run))),
        RunState::Cancelled => head.cancel_reason.as_deref().map(output::first_line).unwrap_or_default(),
        _ => {
            let error = head.error.as_ref();
            let error = error.map(|error| format!("{}: {}", error.kind, output::first_line(&error.message)));
            error.unwrap_or_default()
        }
    };
    let next = match run.attempts.last() {
        Some(attempt) if head.state == RunState::Retryable => {
            let ended = attempt.finished_at.unwrap_or(attempt.started_at);
            let delay = attempt.next_at.map(|at| output::span(at.since(ended))).unwrap_or_default();
            format!("; attempt {} of {} in {delay}", head.attempt + 1, head.max_attempts)
        }
        _ => String::new(),
    };
    format!("{}  {}  {}  {what}{next}", output::state_text(head.state), head.job, head.id.dimmed())
}

/// From the first attempt's begin to the end.
fn took(run: &Run) -> Duration {
    let began = run.attempts.first().map_or(run.head.enqueued_at, |attempt| attempt.started_at);
    run.head.finished_at.map_or(Duration::ZERO, |end| end.since(began))
}
