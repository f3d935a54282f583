//! Changes runs: retry, rerun, cancel.
//! Whether a run's state allows it is the server's to say.

use jobmill_client::{CancelRuns, RunSelection};
use jobmill_core::mail::InDoubtChoice;
use jobmill_core::{JobId, RunId};

use super::{Cancel, Context, Filter, Rerun};
use crate::bulk;
use crate::failure::{Exit, Failure};
use crate::output;

pub(super) fn retry(runs: &[RunId], choice: Option<InDoubtChoice>, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    for run in runs {
        let run = client.retry_run(*run, choice)?;
        context.output.document(run.text(), || run.id.to_string())?;
        context.output.note(&format!("{} is {}", run.id, output::state_text(run.state)));
    }
    Ok(Exit::Done)
}

pub(super) fn rerun(rerun: &Rerun, context: &Context) -> Result<(), Failure> {
    let payload = rerun.payload.as_ref().map(crate::document::DocumentSource::read).transpose()?;
    let run = context.client()?.rerun(rerun.run, payload.as_ref())?;
    context.output.document(run.text(), || run.id.to_string())
}

pub(super) fn cancel(cancel: &Cancel, context: &Context) -> Result<Exit, Failure> {
    let Cancel { runs, filter, reason, dry_run } = cancel;
    let Filter { state, job, event, tag } = filter;
    let filtered = state.is_some() || job.is_some() || event.is_some() || tag.is_some();
    match runs.as_slice() {
        [] if !filtered => Err(Failure::usage("nothing-named", "no run is named")
            .advise("give the ids of runs, or one of --state, --job, --event, --tag")),
        [run] if !filtered && !dry_run => cancel_one(*run, reason.as_deref(), context),
        _ => {
            let filter = RunSelection {
                job: job.as_ref().map(JobId::as_str),
                state: *state,
                event: event.as_deref(),
                tag: tag.as_deref(),
                ids: (!runs.is_empty()).then_some(runs),
            };
            let reason = reason.as_deref();
            let action = bulk::Action {
                send: &|client, dry_run| client.cancel_runs(&CancelRuns { filter, reason, dry_run }),
                verb: "cancel",
                done: "cancelled",
                asks: filtered,
            };
            action.carry_out(*dry_run, context)
        }
    }
}

fn cancel_one(run: RunId, reason: Option<&str>, context: &Context) -> Result<Exit, Failure> {
    let run = context.client()?.cancel_run(run, reason)?;
    context.output.document(run.text(), || run.id.to_string())?;
    context.output.note(&format!("{} is {}", run.id, output::state_text(run.state)));
    Ok(Exit::Done)
}
