//! Changes runs: retry, rerun, cancel.
//! Whether a run's state allows it is the server's to say.

use jobmill_core::mail::InDoubtChoice;
use jobmill_core::{JobId, Json, RunId, RunState};
use serde::Serialize;

use super::{Cancel, Context, Filter, Rerun};
use crate::api::RunView;
use crate::bulk;
use crate::failure::{Exit, Failure};
use crate::output;

#[derive(Serialize)]
struct RetryBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    in_doubt: Option<InDoubtChoice>,
}

pub(super) fn retry(runs: &[RunId], choice: Option<InDoubtChoice>, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    for run in runs {
        let answer = client.post(&["runs", &run.to_string(), "retry"], &RetryBody { in_doubt: choice })?;
        let view: RunView = answer.read()?;
        context.output.document(&answer.text, || view.id.clone())?;
        context.output.note(&format!("{} is {}", view.id, output::state_text(view.state)));
    }
    Ok(Exit::Done)
}

pub(super) fn rerun(rerun: &Rerun, context: &Context) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Body {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Json>,
    }
    let payload = rerun.payload.as_ref().map(crate::document::DocumentSource::read).transpose()?;
    let answer = context.client()?.post(&["runs", &rerun.run.to_string(), "rerun"], &Body { payload })?;
    let view: RunView = answer.read()?;
    context.output.document(&answer.text, || view.id)
}

#[derive(Serialize)]
struct CancelFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<RunState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<Vec<RunId>>,
}

#[derive(Serialize)]
struct OneReason<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

pub(super) fn cancel(cancel: Cancel, context: &Context) -> Result<Exit, Failure> {
    let Cancel { runs, filter, reason, dry_run } = cancel;
    let Filter { state, job, event, tag } = filter;
    let filtered = state.is_some() || job.is_some() || event.is_some() || tag.is_some();
    match runs.as_slice() {
        [] if !filtered => Err(Failure::usage("nothing-named", "no run is named")
            .advise("give the ids of runs, or one of --state, --job, --event, --tag")),
        [run] if !filtered && !dry_run => cancel_one(*run, reason.as_deref(), context),
        _ => {
            let ids = (!runs.is_empty()).then_some(runs);
            let action = bulk::Action {
                path: &["runs", "cancel"],
                filter: CancelFilter { job, state, event, tag, ids },
                options: OneReason { reason: reason.as_deref() },
                verb: "cancel",
                done: "cancelled",
                asks: filtered,
            };
            action.carry_out(dry_run, context)
        }
    }
}

fn cancel_one(run: RunId, reason: Option<&str>, context: &Context) -> Result<Exit, Failure> {
    let answer = context.client()?.post(&["runs", &run.to_string(), "cancel"], &OneReason { reason })?;
    let view: RunView = answer.read()?;
    context.output.document(&answer.text, || view.id.clone())?;
    context.output.note(&format!("{} is {}", view.id, output::state_text(view.state)));
    Ok(Exit::Done)
}
