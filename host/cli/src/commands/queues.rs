//! `jobmill queues`: the lanes that runs wait in, their limits, and who paused them.
//! It makes no queue: the configuration and the jobs name them.

use clap::{Args, Subcommand};
use comfy_table::{Cell, Color};
use jobmill_client::{Answer, Queue};
use jobmill_core::Timestamp;

use super::Context;
use crate::failure::{Exit, Failure};
use crate::output::Column::{Text, Whole};
use crate::watch::Watch;
use crate::{machine, operator, output, words};

/// Queues
#[derive(Debug, Subcommand)]
pub(crate) enum Queues {
    /// Every queue with its limit, its runs, and who paused it
    List {
        #[command(flatten)]
        watch: Watch,
    },
    /// Let none of its runs begin; those under way go on
    Pause(One),
    /// Let a paused queue go on
    Resume(One),
    /// Limit how many of its runs go on at once, whatever the configuration says
    #[command(after_help = SET_EXAMPLE)]
    Set(Set),
}

/// One queue.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The queue's name
    #[arg(value_name = "QUEUE")]
    queue: String,
}

/// What an operator wants of a queue.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The queue's name
    #[arg(value_name = "QUEUE")]
    queue: String,
    /// Runs at once; none takes this word back, and the configuration counts again
    #[arg(long, value_name = "N|none", value_parser = parse_concurrency)]
    concurrency: Concurrency,
}

const SET_EXAMPLE: &str = "\
Example:
  jobmill queues set mail --concurrency 2
  jobmill queues set mail --concurrency none";

/// Runs at once, or none for the operator's word taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Concurrency(Option<u32>);

fn parse_concurrency(text: &str) -> Result<Concurrency, String> {
    match (text, text.parse()) {
        ("none", _) => Ok(Concurrency(None)),
        (_, Ok(0)) => Err("0 would let none begin; pause the queue instead".to_owned()),
        (_, Ok(limit)) => Ok(Concurrency(Some(limit))),
        _ => Err(format!("{text:?} is neither a number nor none")),
    }
}

impl Queues {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let by = operator::name();
        match self {
            Self::List { watch } => list(watch, context)?,
            Self::Pause(one) => changed(&context.client()?.pause_queue(&one.queue, &by)?, context)?,
            Self::Resume(one) => changed(&context.client()?.resume_queue(&one.queue, &by)?, context)?,
            Self::Set(Set { queue, concurrency: Concurrency(limit) }) => {
                changed(&context.client()?.limit_queue(&queue, limit, &by)?, context)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn list(watch: Watch, context: &Context) -> Result<(), Failure> {
    let empty = "there is no queue; the jobs in the hopper and [queues] in the configuration name them";
    watch.show(context, empty, |client| Ok(client.queues()?.into()), table)
}

fn table(queues: &[Queue]) -> String {
    let now = machine::now();
    let columns = [Text("QUEUE"), Text("STATUS"), Whole("RUNNING"), Whole("WAITING"), Whole("AT ONCE")];
    output::table(&columns, queues.iter().map(|queue| row(queue, now)).collect())
}

fn row(queue: &Queue, now: Timestamp) -> Vec<Cell> {
    let status = match words::pause(&queue.pause, now) {
        Some(pause) => Cell::new(format!("‖ {pause}")).fg(Color::Yellow),
        None => Cell::new("✓ open").fg(Color::Green),
    };
    vec![
        output::text_cell(&queue.name),
        status,
        output::number_cell(queue.running),
        output::number_cell(queue.waiting),
        output::number_cell(queue.concurrency.map_or_else(|| "–".to_owned(), |limit| limit.to_string())),
    ]
}

fn changed(queue: &Answer<Queue>, context: &Context) -> Result<(), Failure> {
    context.output.document(queue.text(), || described(queue, machine::now()))
}

fn described(queue: &Queue, now: Timestamp) -> String {
    let limit = queue.concurrency.map_or_else(|| "any number".to_owned(), |limit| limit.to_string());
    output::pairs(&[
        ("queue", Some(output::visible(&queue.name))),
        ("status", Some(words::pause(&queue.pause, now).unwrap_or_else(|| "open".to_owned()))),
        ("at once", Some(limit)),
        ("running", Some(queue.running.to_string())),
        ("waiting", Some(queue.waiting.to_string())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_none() {
        assert_eq!(parse_concurrency("2"), Ok(Concurrency(Some(2))));
        assert_eq!(parse_concurrency("none"), Ok(Concurrency(None)));
        for wrong in ["0", "-1", "many", ""] {
            assert!(parse_concurrency(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_paused_queue_is_shown_with_who_paused_it_and_when() {
        let queue: Queue = serde_json::from_str(
            r#"{ "name": "mail", "concurrency": null, "running": 1, "waiting": 7, "paused": true,
                "paused_by": "anna@shop-1", "paused_at": "2026-03-01T09:00:00.000Z" }"#,
        )
        .expect("a queue");
        let now = "2026-03-01T09:05:00.000Z".parse().expect("a time");
        let text = anstream::adapter::strip_str(&described(&queue, now)).to_string();
        let expected =
            "queue    mail\nstatus   paused by anna@shop-1, 5 min ago\nat once  any number\nrunning  1\nwaiting  7";
        assert_eq!(text, expected);
    }
}
