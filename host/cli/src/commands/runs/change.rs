//! Changes runs: retry, rerun, cancel; by their ids, or all that a filter names.
//! Whether a run's state allows it is the server's to say.

use jobmill_client::{CancelRuns, Client, Error, RunSelection};
use jobmill_core::{JobId, RunId, RunState};

use super::many::OneByOne;
use super::{Cancel, Context, Filter, Rerun, Retry};
use crate::bulk;
use crate::failure::{Exit, Failure};
use crate::{machine, output, words};

/// Runs are named by their ids or by a filter: one of both, and not everything there is.
fn named(runs: &[RunId], filter: &Filter) -> Result<(), Failure> {
    match (runs.is_empty(), filter.is_empty()) {
        (true, true) => Err(Failure::usage("nothing-named", "no run is named")
            .advise("give the ids of runs, or one of --state, --job, --event, --tag, --error, --since")),
        (false, false) => Err(Failure::usage("named-twice", "runs are named by their ids and by a filter")
            .advise("leave one of them out")),
        _ => Ok(()),
    }
}

pub(super) fn retry(retry: &Retry, context: &Context) -> Result<Exit, Failure> {
    let Retry { runs, filter, dry_run, in_doubt } = retry;
    let choice = in_doubt.choice();
    named(runs, filter)?;
    let send = |client: &Client, id: RunId| client.retry_run(id, choice).map(|run| run.id);
    // Runs that wait are only meant where their state is named.
    let takes = |state: RunState| match filter.state {
        Some(_) => matches!(state, RunState::Dead | RunState::Cancelled | RunState::Retryable | RunState::Scheduled),
        None => matches!(state, RunState::Dead | RunState::Cancelled),
    };
    if !filter.is_empty() {
        let action = OneByOne { verb: "retry", done: "retried", takes: &takes, send: &send };
        return action.carry_out(&filter.asked(), *dry_run, context);
    }
    refuse_dry_run(*dry_run)?;
    let client = context.client()?;
    for run in runs {
        let run = client.retry_run(*run, choice)?;
        context.output.document(run.text(), || run.id.to_string())?;
        // That it waits for room is only to say that nobody has looked at it yet.
        let kept_back = run.waiting_for.as_ref().filter(|waiting| waiting.kind != "queue-full");
        let waits = kept_back.map(|waiting| words::waiting(waiting, machine::now()));
        let waits = waits.map(|waits| format!(", and waits: {waits}")).unwrap_or_default();
        context.output.note(&format!("{} is {}{waits}", run.id, output::state_text(run.state)));
    }
    Ok(Exit::Done)
}

pub(super) fn rerun(rerun: &Rerun, context: &Context) -> Result<Exit, Failure> {
    let Rerun { runs, filter, dry_run, payload } = rerun;
    named(runs, filter)?;
    if payload.is_some() && runs.len() != 1 {
        return Err(Failure::usage("one-payload", "--payload is for one run alone").advise("name that run by its id"));
    }
    if !filter.is_empty() {
        let send = |client: &Client, id: RunId| client.rerun(id, None).map(|run| run.id);
        let action = OneByOne { verb: "rerun", done: "rerun", takes: &|_| true, send: &send };
        return action.carry_out(&filter.asked(), *dry_run, context);
    }
    refuse_dry_run(*dry_run)?;
    let payload = payload.as_ref().map(crate::document::DocumentSource::read).transpose()?;
    let client = context.client()?;
    for run in runs {
        let run = client.rerun(*run, payload.as_ref())?;
        context.output.document(run.text(), || run.id.to_string())?;
    }
    Ok(Exit::Done)
}

fn refuse_dry_run(dry_run: bool) -> Result<(), Failure> {
    if dry_run {
        return Err(Failure::usage("dry-run", "--dry-run is for a filter: which runs ids name is known")
            .advise("see one with `jobmill runs show RUN`"));
    }
    Ok(())
}

pub(super) fn cancel(cancel: &Cancel, context: &Context) -> Result<Exit, Failure> {
    let Cancel { runs, filter, reason, dry_run } = cancel;
    let reason = reason.as_deref();
    // The server's own filter knows neither of these.
    let is_ours = filter.error.is_some() || filter.since.is_some() || filter.rerun_of.is_some();
    if is_ours || runs.is_empty() {
        named(runs, filter)?;
    }
    match runs.as_slice() {
        [run] if !dry_run && filter.is_empty() => return cancel_one(*run, reason, context),
        [] if is_ours => {
            let send = |client: &Client, id: RunId| -> Result<RunId, Error> {
                client.cancel_run(id, reason).map(|run| run.id)
            };
            let takes = |state: RunState| !state.is_final();
            let action = OneByOne { verb: "cancel", done: "cancelled", takes: &takes, send: &send };
            return action.carry_out(&filter.asked(), *dry_run, context);
        }
        _ => {}
    }
    let Filter { state, job, event, tag, .. } = filter;
    let selection = RunSelection {
        job: job.as_ref().map(JobId::as_str),
        state: *state,
        event: event.as_deref(),
        tag: tag.as_deref(),
        ids: (!runs.is_empty()).then_some(runs),
    };
    let action = bulk::Action {
        send: &|client, dry_run| client.cancel_runs(&CancelRuns { filter: selection, reason, dry_run }),
        verb: "cancel",
        done: "cancelled",
        asks: !filter.is_empty(),
    };
    action.carry_out(*dry_run, context)
}

fn cancel_one(run: RunId, reason: Option<&str>, context: &Context) -> Result<Exit, Failure> {
    let run = context.client()?.cancel_run(run, reason)?;
    context.output.document(run.text(), || run.id.to_string())?;
    context.output.note(&format!("{} is {}", run.id, output::state_text(run.state)));
    Ok(Exit::Done)
}
