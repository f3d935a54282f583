//! `jobmill emit`: publish an event.
//! Which jobs listen is the server's to know.

use clap::Args;
use jobmill_client::NewEvent;
use jobmill_core::Json;

use super::Context;
use crate::document::DocumentSource;
use crate::failure::{Exit, Failure};
use crate::output;

/// Publish an event
///
/// Prints the ids of the runs that it started.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Emit {
    /// The event's name, such as email/welcome
    #[arg(value_name = "EVENT")]
    event: String,
    /// The event's data: JSON, @FILE, or - for the standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    data: Option<DocumentSource>,
    /// The event's id, under which it is published once
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

const EXAMPLE: &str = "\
Example:
  jobmill emit email/welcome --data '{\"userId\":\"u1\",\"email\":\"ada@example.com\"}'";

impl Emit {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let client = context.client()?;
        let data = match &self.data {
            Some(source) => source.read()?,
            None => Json::empty_object(),
        };
        let event = NewEvent { id: self.id.as_deref(), ..NewEvent::new(&self.event, &data) };
        let published = client.publish(&event)?;
        let runs: Vec<String> = published.runs().map(|run| run.to_string()).collect();
        for event in &published.events {
            match runs.len() {
                0 => context.output.note(&format!("{}: no loaded job listens to {}", event.id, self.event)),
                started => context.output.note(&format!("{} started {}", event.id, output::count(started, "run"))),
            }
        }
        if context.output.format == crate::args::Format::Table && runs.is_empty() {
            return Ok(Exit::Done);
        }
        context.output.document(published.text(), || runs.join("\n"))?;
        Ok(Exit::Done)
    }
}
