//! `jobmill runs`: find runs, look at them, change them.
//! This file says what each takes; `look` shows and `change` changes.

mod change;
mod look;

use std::time::Duration;

use clap::{Args, Subcommand};
use jobmill_core::mail::InDoubtChoice;
use jobmill_core::time::parse_duration;
use jobmill_core::{JobId, RunId, RunState, Timestamp};

pub(super) use self::look::in_doubt;
use super::Context;
use crate::document::DocumentSource;
use crate::failure::{Exit, Failure};
use crate::machine;

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
    /// Put dead or cancelled runs back; their attempts start anew
    Retry(Retry),
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

/// Put dead or cancelled runs back
#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The runs' ids
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<RunId>,
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
}

/// Runs, newest first
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLE)]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
    /// Whose last error contains this text, in any case
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Enqueued since this time (RFC 3339), or within this span, such as 1h
    #[arg(long, value_name = "TIME|SPAN", value_parser = parse_since)]
    since: Option<Timestamp>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

const LIST_EXAMPLE: &str = "\
Example:
  jobmill runs list --state dead --job purchase-confirmation --since 1h";

/// Enqueue a new run
#[derive(Debug, Args)]
pub(crate) struct Rerun {
    /// The run to repeat
    #[arg(value_name = "RUN")]
    run: RunId,
    /// Another payload: JSON, @FILE, or - for the standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    payload: Option<DocumentSource>,
}

/// Cancel runs
///
/// A filter is asked about with the number of runs that it names.
#[derive(Debug, Args)]
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
            Self::List(list) => look::list(&list, context)?,
            Self::Show(one) => look::show(one.run, context)?,
            Self::Logs(one) => look::logs(one.run, context)?,
            Self::Journal(one) => look::journal(one.run, context)?,
            Self::Retry(retry) => return change::retry(&retry.runs, retry.in_doubt.choice(), context),
            Self::Rerun(rerun) => change::rerun(&rerun, context)?,
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
