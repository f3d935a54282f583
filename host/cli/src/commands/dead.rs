//! `jobmill dead`: dead letters grouped by job and error, put back or put aside.
//! Dead is a state of a run; nothing is kept in a second place.

use std::time::Duration;

use clap::{Args, Subcommand};
use comfy_table::Cell;
use jobmill_client::{Client, DeadGroup, DeadSelection, DiscardDead, RequeueDead, Run};
use jobmill_core::time::parse_duration;
use jobmill_core::{JobId, RunId, Timestamp};
use serde_json::value::RawValue;

use super::Context;
use super::runs::{InDoubtArgument, attempt_text, in_doubt, sentence};
use crate::failure::{Exit, Failure};
use crate::output::Column::{Text, Whole};
use crate::watch::{Looked, Watch};
use crate::{bulk, machine, output};

/// Dead letters
#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// Groups of dead runs, newest first
    List {
        /// Of this job
        #[arg(long, value_name = "JOB")]
        job: Option<JobId>,
        #[command(flatten)]
        watch: Watch,
    },
    /// One group, with an example of its runs
    Show {
        /// The group's fingerprint, or the beginning of it
        #[arg(value_name = "FINGERPRINT")]
        fingerprint: String,
    },
    /// Put dead runs back; their attempts start anew
    ///
    /// What --job or --fingerprint names is asked about with the number of runs.
    #[command(after_help = REQUEUE_EXAMPLE)]
    Requeue {
        #[command(flatten)]
        which: Which,
        /// Spread them evenly over this time, so as not to trample what just recovered
        #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
        spread: Option<Duration>,
        #[command(flatten)]
        in_doubt: InDoubtArgument,
    },
    /// Put dead runs aside for good: they end cancelled
    #[command(after_help = DISCARD_EXAMPLE)]
    Discard {
        #[command(flatten)]
        which: Which,
        /// Why; kept with the runs
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

const REQUEUE_EXAMPLE: &str = "\
Example:
  jobmill dead requeue --job purchase-confirmation --dry-run
  jobmill dead requeue --fingerprint 5b0cf2f1a7d90e34 --spread 1m";

const DISCARD_EXAMPLE: &str = "\
Example:
  jobmill dead discard --fingerprint 5b0cf2f1a7d90e34 --reason 'orders of a test'";

/// Which dead runs.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The runs' ids
    #[arg(value_name = "RUN")]
    runs: Vec<RunId>,
    /// Of this job
    #[arg(long, value_name = "JOB")]
    job: Option<JobId>,
    /// Of this group
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<String>,
    /// Only say how many it would be
    #[arg(long)]
    dry_run: bool,
}

impl Which {
    /// Whether they are named otherwise than one by one.
    fn is_filtered(&self) -> bool {
        self.job.is_some() || self.fingerprint.is_some()
    }

    fn filter(&self) -> Result<DeadSelection<'_>, Failure> {
        if self.runs.is_empty() && !self.is_filtered() {
            return Err(Failure::usage("nothing-named", "no dead run is named")
                .advise("give the ids of runs, or one of --job, --fingerprint; `jobmill dead list` shows the groups"));
        }
        Ok(DeadSelection {
            job: self.job.as_ref().map(JobId::as_str),
            fingerprint: self.fingerprint.as_deref(),
            ids: (!self.runs.is_empty()).then_some(&self.runs),
        })
    }
}

impl Dead {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List { job, watch } => list(job.as_ref(), watch, context)?,
            Self::Show { fingerprint } => show(&fingerprint, context)?,
            Self::Requeue { which, spread, in_doubt } => {
                let (filter, in_doubt) = (which.filter()?, in_doubt.choice());
                let action = bulk::Action {
                    send: &|client, dry_run| client.requeue_dead(&RequeueDead { filter, spread, in_doubt, dry_run }),
                    verb: "requeue",
                    done: "requeued",
                    asks: which.is_filtered(),
                };
                return action.carry_out(which.dry_run, context);
            }
            Self::Discard { which, reason } => {
                let (filter, reason) = (which.filter()?, reason.as_deref());
                let action = bulk::Action {
                    send: &|client, dry_run| client.discard_dead(&DiscardDead { filter, reason, dry_run }),
                    verb: "discard",
                    done: "discarded",
                    asks: true,
                };
                return action.carry_out(which.dry_run, context);
            }
        }
        Ok(Exit::Done)
    }
}

/// The groups with their text, those of one job or all.
fn groups(client: &Client, job: Option<&JobId>) -> Result<Vec<(DeadGroup, Box<RawValue>)>, Failure> {
    let page = client.dead()?;
    let groups = page.items()?.into_iter().zip(page.texts().iter().cloned());
    Ok(groups.filter(|(group, _)| job.is_none_or(|job| *job == group.job)).collect())
}

fn list(job: Option<&JobId>, watch: Watch, context: &Context) -> Result<(), Failure> {
    let look = |client: &Client| {
        let (groups, texts) = groups(client, job)?.into_iter().unzip();
        Ok(Looked { texts, items: Ok(groups), next_cursor: None })
    };
    watch.show(context, "no run is dead", look, |groups: &[DeadGroup]| {
        let now = machine::now();
        let rows = groups.iter().map(|group| {
            vec![
                Cell::new(&group.fingerprint),
                Cell::new(&group.job),
                output::number_cell(group.count),
                output::number_cell(output::relative(group.last_seen, now)),
                Cell::new(format!("{}: {}", group.kind, output::first_line(&group.message))),
            ]
        });
        output::table(
            &[Whole("FINGERPRINT"), Text("JOB"), Whole("RUNS"), Whole("LAST SEEN"), Text("ERROR")],
            rows.collect(),
        )
    })
}

fn show(fingerprint: &str, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let found: Vec<_> =
        groups(&client, None)?.into_iter().filter(|(group, _)| group.fingerprint.starts_with(fingerprint)).collect();
    let [(group, text)] = found.as_slice() else {
        let failure = if found.is_empty() {
            Failure::not_found("unknown-group", format!("no group of dead runs has the fingerprint {fingerprint:?}"))
        } else {
            Failure::usage("ambiguous", format!("{} groups have fingerprints with {fingerprint:?}", found.len()))
        };
        return Err(failure.advise("`jobmill dead list` shows the groups"));
    };
    let now = machine::now();
    // It may have been put back or pruned meanwhile; the group is told all the same.
    let example = client.run(group.example).ok();
    context.output.document(text.get(), || {
        let pairs = output::pairs(&[
            ("fingerprint", Some(group.fingerprint.clone())),
            ("job", Some(group.job.to_string())),
            ("runs", Some(group.count.to_string())),
            ("error", Some(format!("{}: {}", group.kind, output::visible(&group.message)))),
            ("first seen", Some(output::exact(group.first_seen, now))),
            ("last seen", Some(output::exact(group.last_seen, now))),
            ("versions", Some(group.versions.join(", "))),
            ("requeue", Some(format!("jobmill dead requeue --fingerprint {} --spread 1m", group.fingerprint))),
            ("discard", Some(format!("jobmill dead discard --fingerprint {}", group.fingerprint))),
            ("example", Some(format!("{}  see `jobmill runs show {}`", group.example, group.example))),
        ]);
        let example = example.as_deref().map(|example| example_lines(example, now)).unwrap_or_default();
        std::iter::once(pairs).chain(example).collect::<Vec<_>>().join("\n")
    })
}

/// One of the runs: how it ended, what it was given, and its last attempt with the version that it ran.
fn example_lines(example: &Run, now: Timestamp) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        sentence(example, now),
        output::pairs(&[("payload", Some(output::visible(example.payload.as_str())))]),
    ];
    lines.extend(example.attempts.last().map(attempt_text));
    lines.extend(in_doubt(example));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_filter_is_wrong_usage_and_asks_no_server() {
        let which = Which { runs: Vec::new(), job: None, fingerprint: None, dry_run: true };
        let Err(failure) = which.filter() else { panic!("refused") };
        assert_eq!(failure.exit(), Exit::Usage);
    }
}
