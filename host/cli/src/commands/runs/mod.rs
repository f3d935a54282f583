//! `jobmill runs`: find runs, look at them, change them.
//! This file says what each takes; `look` and `following` show, `change` and `many` change.

mod change;
mod described;
mod doings;
mod following;
mod look;
mod many;
mod trial;

use std::time::Duration;

use clap::{Args, Subcommand};
use jobmill_client::RunFilter;
use jobmill_core::mail::InDoubtChoice;
use jobmill_core::time::parse_duration;
use jobmill_core::{JobId, RunId, RunState, Timestamp};

pub(super) use self::described::{attempt_text, in_doubt, sentence};
use super::Context;
use crate::document::DocumentSource;
use crate::failure::{Exit, Failure};
use crate::machine;
use crate::watch::Watch;

/// Runs
#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// Runs, newest first
    List(List),
    /// One run with its attempts
    Show(One),
    /// The log that a run's attempts wrote
    Logs(One),
    /// The record of a run: everything that happened to it
    Journal(One),
    /// Put dead or cancelled runs back, and let waiting ones begin now
    Retry(Retry),
    /// Show what a run would do on the version that is loaded now; nothing is sent or changed
    Trial(TrialOf),
    /// Enqueue a new run with the payload of an old one, or another
    Rerun(Rerun),
    /// Cancel runs: by id, or everything that a filter names
    Cancel(Cancel),
}

/// One run.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The run's id
    #[arg(value_name = "RUN")]
    run: RunId,
}

/// Show what a run would do on the version that is loaded now; nothing is sent or changed
///
/// The run goes once, as its next attempt would: what earlier attempts did stays done, orders are read, and mails and changes of
/// orders are recorded and not carried out. The exit code is 0 when it would complete, 4 when it would end dead, and 1 otherwise.
#[derive(Debug, Args)]
pub(crate) struct TrialOf {
    /// The run's id
    #[arg(value_name = "RUN")]
    run: RunId,
}

/// Put dead or cancelled runs back, and let waiting ones begin now
///
/// The attempts of a run that is put back start anew. A run that waits for its time or its next attempt is due at once, and all
/// else of it stays as it was; if something keeps its job back, it waits for that.
///
/// A filter is asked about with the number of runs that it names; of runs that wait, it names only those whose --state it gives.
#[derive(Debug, Args)]
#[command(after_help = RETRY_EXAMPLE)]
pub(crate) struct Retry {
    /// The runs' ids
    #[arg(value_name = "RUN")]
    runs: Vec<RunId>,
    #[command(flatten)]
    filter: Filter,
    /// Only say how many a filter names
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    in_doubt: InDoubtArgument,
}

/// What became of mails in doubt.
#[derive(Debug, Args)]
pub(crate) struct InDoubtArgument {
    /// What became of mails that may have been sent: sent counts them as sent, resend sends them again
    #[arg(long, value_name = "resend|sent", value_parser = parse_choice)]
    in_doubt: Option<InDoubtChoice>,
}

impl InDoubtArgument {
    /// What a person decided.
    pub(crate) fn choice(&self) -> Option<InDoubtChoice> {
        self.in_doubt
    }
}

fn parse_choice(text: &str) -> Result<InDoubtChoice, String> {
    match text {
        "resend" => Ok(InDoubtChoice::Resend),
        "sent" => Ok(InDoubtChoice::Sent),
        _ => Err(format!("{text:?} is neither resend nor sent")),
    }
}

/// Which runs.
#[derive(Debug, Args)]
struct Filter {
    /// In this state
    #[arg(long, value_name = "STATE")]
    state: Option<RunState>,
    /// Of this job
    #[arg(long, value_name = "JOB")]
    job: Option<JobId>,
    /// Started by this event, by name or id
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// With this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Whose last error contains this text, in any case
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Enqueued since this time (RFC 3339), or within this span, such as 1h
    #[arg(long, value_name = "TIME|SPAN", value_parser = parse_since)]
    since: Option<Timestamp>,
    /// That repeat this run
    #[arg(long, value_name = "RUN")]
    rerun_of: Option<RunId>,
}

impl Filter {
    /// Whether it names every run there is.
    fn is_empty(&self) -> bool {
        let Self { state, job, event, tag, error, since, rerun_of } = self;
        let texts = [event, tag, error];
        state.is_none()
            && job.is_none()
            && texts.iter().all(|text| text.is_none())
            && since.is_none()
            && rerun_of.is_none()
    }

    /// The same as the client asks for it.
    fn asked(&self) -> RunFilter<'_> {
        RunFilter {
            state: self.state,
            job: self.job.as_ref().map(JobId::as_str),
            event: self.event.as_deref(),
            tag: self.tag.as_deref(),
            error: self.error.as_deref(),
            since: self.since,
            rerun_of: self.rerun_of,
        }
    }
}

/// Runs, newest first
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLE)]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    watch: Watch,
}

const LIST_EXAMPLE: &str = "\
Example:
  jobmill runs list --state dead --job purchase-confirmation --since 1h
  jobmill runs list --watch -o jsonl";

/// Enqueue a new run with the payload of an old one, or another
///
/// A filter is asked about with the number of runs that it names.
#[derive(Debug, Args)]
#[command(after_help = RERUN_EXAMPLE)]
pub(crate) struct Rerun {
    /// The runs to repeat
    #[arg(value_name = "RUN")]
    runs: Vec<RunId>,
    #[command(flatten)]
    filter: Filter,
    /// Only say how many a filter names
    #[arg(long)]
    dry_run: bool,
    /// Another payload, for one run: JSON, @FILE, or - for the standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    payload: Option<DocumentSource>,
}

const RETRY_EXAMPLE: &str = "\
Example:
  jobmill runs retry run_01K3Z8Q6T4000000000000000A
  jobmill runs retry --state dead --error 'connection refused' --since 1h";

const RERUN_EXAMPLE: &str = "\
Example:
  jobmill runs rerun run_01K3Z8Q6T4000000000000000A --payload @payload.json
  jobmill runs rerun --job welcome-email --state completed --since 10m --dry-run";

const CANCEL_EXAMPLE: &str = "\
Example:
  jobmill runs cancel --job welcome-email --state scheduled --reason 'wrong template'";

/// Cancel runs
///
/// A filter is asked about with the number of runs that it names.
#[derive(Debug, Args)]
#[command(after_help = CANCEL_EXAMPLE)]
pub(crate) struct Cancel {
    /// The runs' ids
    #[arg(value_name = "RUN")]
    runs: Vec<RunId>,
    #[command(flatten)]
    filter: Filter,
    /// Why; kept with the runs
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only say which runs it would be
    #[arg(long)]
    dry_run: bool,
}

impl Runs {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(list) if list.watch.goes_on(context)? => following::follow(&list, context)?,
            Self::List(list) => drop(look::list_once(&context.client()?, &list, context)?),
            Self::Show(one) => look::show(one.run, context)?,
            Self::Logs(one) => look::logs(one.run, context)?,
            Self::Journal(one) => look::journal(one.run, context)?,
            Self::Retry(retry) => return change::retry(&retry, context),
            Self::Trial(TrialOf { run }) => return trial::trial(run, context),
            Self::Rerun(rerun) => return change::rerun(&rerun, context),
            Self::Cancel(cancel) => return change::cancel(&cancel, context),
        }
        Ok(Exit::Done)
    }
}

/// A time, or a span that ends now.
pub(crate) fn parse_since(text: &str) -> Result<Timestamp, String> {
    if let Ok(span) = parse_duration(text) {
        let now = machine::now().as_millis();
        return Ok(Timestamp::from_millis(now.saturating_sub(millis(span))));
    }
    text.parse().map_err(|_| format!("{text:?} is neither a time such as 2026-03-01T09:00:00Z nor a span such as 1h"))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_a_time_or_a_span() {
        let exact = parse_since("2026-03-01T09:00:00Z").expect("a time");
        assert_eq!(exact.to_string(), "2026-03-01T09:00:00.000Z");
        let hour = parse_since("1h").expect("a span");
        let age = machine::now().since(hour);
        assert!(age >= Duration::from_hours(1) && age < Duration::from_mins(61), "{age:?}");
        assert!(parse_since("yesterday").is_err());
    }
}
