//! Runs that a filter names, changed one after the other: what the API does for single runs alone.
//! All of them are found first, so that the person is asked about exactly those.

use std::collections::BTreeMap;

use jobmill_client::{Client, Error, RunFilter, Skipped};
use jobmill_core::{RunId, RunState};
use serde::Serialize;

use super::Context;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;
use crate::{bulk, client, output};

/// Runs of one action. More of them are better named in parts: who is asked about a million has stopped counting.
const MOST: usize = 100_000;

/// What is done to each run.
pub(super) struct OneByOne<'a> {
    /// "retry".
    pub(super) verb: &'static str,
    /// "retried".
    pub(super) done: &'static str,
    /// The states in which it can be done; runs in others are left alone without being asked about.
    pub(super) takes: &'a dyn Fn(RunState) -> bool,
    /// Does it; the run that came of it.
    pub(super) send: &'a dyn Fn(&Client, RunId) -> Result<RunId, Error>,
}

/// What was done, as JSON has it: the same as of actions that the server does.
#[derive(Debug, Default, Serialize)]
struct Report {
    matched: usize,
    changed: usize,
    skipped: Vec<Skipped>,
    /// The runs that came of it.
    runs: Vec<RunId>,
}

impl OneByOne<'_> {
    /// Finds, asks, acts, reports.
    pub(super) fn carry_out(&self, filter: &RunFilter<'_>, dry_run: bool, context: &Context) -> Result<Exit, Failure> {
        let client = context.client()?;
        let found = find(&client, filter, context)?;
        let mut report = Report { matched: found.len(), ..Report::default() };
        let mut meant = Vec::new();
        let mut by_state: BTreeMap<RunState, usize> = BTreeMap::new();
        for (id, state) in found {
            if (self.takes)(state) {
                meant.push(id);
                *by_state.entry(state).or_default() += 1;
            } else {
                report.skipped.push(Skipped { id, reason: format!("it is {state}") });
            }
        }
        if dry_run {
            report.changed = meant.len();
            return self.tell(&report, "would be ", context);
        }
        if !meant.is_empty() {
            context.output.confirm(&bulk::question(self.verb, meant.len(), &states(&by_state)))?;
        }
        match self.act(&client, &meant, &mut report, context) {
            None => self.tell(&report, "", context),
            Some(failure) => {
                let so_far = output::count(report.changed, "run");
                Err(failure.advise(format!("{so_far} of {} {} before that", meant.len(), self.done)))
            }
        }
    }

    /// One after the other; the failure that stopped it.
    fn act(&self, client: &Client, meant: &[RunId], report: &mut Report, context: &Context) -> Option<Failure> {
        let mut progress = Progress::begin(context.output);
        for (place, id) in meant.iter().enumerate() {
            let share = Some((place as u64, meant.len() as u64));
            progress.tell(share, || format!("{place} of {} {}", output::count(meant.len(), "run"), self.done));
            match (self.send)(client, *id) {
                Ok(run) => {
                    report.changed += 1;
                    report.runs.push(run);
                }
                // It changed meanwhile, or it can't be done to this one.
                Err(Error::Refused { status: 404 | 409 | 422, detail, .. }) => {
                    report.skipped.push(Skipped { id: *id, reason: detail });
                }
                Err(error) => return Some(error.into()),
            }
        }
        None
    }

    fn tell(&self, report: &Report, would_be: &str, context: &Context) -> Result<Exit, Failure> {
        let changed = output::count(report.changed, "run");
        context.output.document(&client::json(report)?, || format!("{changed} {would_be}{}", self.done))?;
        Ok(bulk::tell_skipped(report.matched, report.changed, &report.skipped, context))
    }
}

/// Every run that the filter names.
fn find(client: &Client, filter: &RunFilter<'_>, context: &Context) -> Result<Vec<(RunId, RunState)>, Failure> {
    let mut progress = Progress::begin(context.output);
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = client.runs_after(filter, cursor.as_deref())?;
        found.extend(page.items()?.into_iter().map(|run| (run.id, run.state)));
        if found.len() > MOST {
            return Err(Failure::usage("too-many-runs", format!("the filter names more than {MOST} runs")).advise(
                "name them in parts, by --job or --since; `jobmill dead requeue` takes any number of dead ones",
            ));
        }
        cursor = page.next_cursor().map(str::to_owned);
        if cursor.is_none() {
            return Ok(found);
        }
        progress.tell(None, || format!("found {} so far", output::count(found.len(), "run")));
    }
}

/// ` (30 dead, 8 cancelled)`.
fn states(by_state: &BTreeMap<RunState, usize>) -> String {
    let states: Vec<String> = by_state.iter().map(|(state, runs)| format!("{runs} {state}")).collect();
    format!(" ({})", states.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_tells_states_apart() {
        let by_state = BTreeMap::from([(RunState::Dead, 30), (RunState::Cancelled, 8)]);
        let text = states(&by_state);
        assert!(text == " (30 dead, 8 cancelled)" || text == " (8 cancelled, 30 dead)", "{text}");
    }
}
