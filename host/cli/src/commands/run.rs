//! `jobmill run`: enqueue a run of a job, and follow it when asked.
//! Whether the payload fits is the server's to say.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use jobmill_client::{Client, Enqueue};
use jobmill_core::time::parse_duration;
use jobmill_core::{JobId, Json, Timestamp};

use super::Context;
use crate::args::Format;
use crate::document::DocumentSource;
use crate::failure::{Exit, Failure};
use crate::follow::follow;
use crate::{machine, output};

/// Enqueue a run of a job
///
/// Prints the run's id. With --wait it follows the run, tells its attempts as they fail, and exits by the outcome:
/// 0 completed, 4 dead or cancelled, 6 still going when the time is up.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct RunCommand {
    /// The job's id
    #[arg(value_name = "JOB")]
    pub(crate) job: JobId,
    /// What the run works on: JSON, @FILE, or - for the standard input
    #[arg(long, value_name = "JSON|@FILE|-", conflicts_with = "example")]
    payload: Option<DocumentSource>,
    /// Take the job's own example as the payload
    #[arg(long)]
    example: bool,
    /// Follow the run to its end, at most for this time
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = Patience::ENDLESS)]
    pub(crate) wait: Option<Patience>,
    /// Begin at this time (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with = "in")]
    at: Option<Timestamp>,
    /// Begin after this span, such as 5m
    #[arg(long = "in", id = "in", value_name = "SPAN", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// Within 24 hours, a second enqueue of the job under this key is the first run
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// 0 (first) to 9 (last); the job's own if absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: Option<u8>,
    /// A word to find the run by; may be given many times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
}

const EXAMPLE: &str = "\
Example:
  jobmill run welcome-email --payload '{\"userId\":\"u1\",\"email\":\"ada@example.com\"}' --wait=30s";

/// How long to wait for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until it ends.
    Endless,
    /// No longer than this.
    AtMost(Duration),
}

impl Patience {
    /// What `--wait` without a time stands for; no span is written like this.
    const ENDLESS: &str = "until it ends";
}

impl FromStr for Patience {
    type Err = jobmill_core::time::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == Self::ENDLESS { Ok(Self::Endless) } else { parse_duration(text).map(Self::AtMost) }
    }
}

impl RunCommand {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let client = context.client()?;
        let payload = self.payload(&client)?;
        let enqueue = Enqueue {
            scheduled_at: self.at,
            delay: self.delay,
            priority: self.priority,
            unique_key: self.key.as_deref(),
            tags: &self.tags,
            ..Enqueue::new(self.job.as_str(), &payload)
        };
        let run = client.enqueue(&enqueue).map_err(|error| self.explain(error.into(), &client))?;
        if run.is_replayed() {
            context.output.note("the same enqueue was made before; this is its run");
        }
        let Some(patience) = self.wait else {
            context.output.document(run.text(), || run.id.to_string())?;
            return Ok(Exit::Done);
        };
        if context.output.format == Format::Table {
            output::data(&run.id.to_string())?;
        }
        let until = match patience {
            Patience::Endless => None,
            Patience::AtMost(span) => Some(machine::now().after(span)),
        };
        let (last, exit) = follow(&client, context.output, run.id, until)?;
        if context.output.format == Format::Table {
            if let Some(returned) = &last.output {
                context.output.note(&format!("  {}", output::visible(returned.as_str())));
            }
        } else {
            context.output.document(last.text(), String::new)?;
        }
        Ok(exit)
    }

    fn payload(&self, client: &Client) -> Result<Json, Failure> {
        if let Some(source) = &self.payload {
            return source.read();
        }
        if !self.example {
            return Ok(Json::empty_object());
        }
        let job = client.job(self.job.as_str()).map_err(|error| self.explain(error.into(), client))?;
        job.into_value().payload_example.ok_or_else(|| {
            Failure::usage("no-example", format!("the job {} has no example payload", self.job))
                .advise("write one with --payload")
        })
    }

    /// Adds to a refusal what would help here.
    fn explain(&self, failure: Failure, client: &Client) -> Failure {
        match failure.code() {
            "unknown-job" => match loaded_jobs(client) {
                Ok(jobs) if jobs.is_empty() => failure.advise("no job is loaded; put a .wasm into the hopper"),
                Ok(jobs) => failure.advise(format!("loaded jobs: {}", jobs.join(", "))),
                Err(_) => failure,
            },
            "payload-invalid" if self.payload.is_none() && !self.example => {
                failure.advise("give it a --payload, or take the job's own --example")
            }
            _ => failure,
        }
    }
}

fn loaded_jobs(client: &Client) -> Result<Vec<String>, Failure> {
    let jobs = client.jobs()?.items()?.into_iter().filter(|job| job.status == "loaded");
    Ok(jobs.filter_map(|job| job.id).map(|id| id.to_string()).collect())
}
