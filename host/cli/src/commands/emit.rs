//! `jobmill emit`: publish an event.
//! Which jobs listen is the server's to know.

use clap::Args;
use jobmill_core::Json;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::api::PublishedView;
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

#[derive(Serialize)]
struct EventBody<'a> {
    name: &'a str,
    data: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

#[derive(Deserialize)]
struct Published {
    events: Vec<PublishedView>,
}

impl Emit {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let client = context.client()?;
        let data = match &self.data {
            Some(source) => source.read()?,
            None => Json::empty_object(),
        };
        let body = EventBody { name: &self.event, data: &data, id: self.id.as_deref() };
        let answer = client.post(&["events"], &body)?;
        let published: Published = answer.read()?;
        let runs: Vec<&str> = published.events.iter().flat_map(|event| event.runs.iter().map(String::as_str)).collect();
        for event in &published.events {
            match runs.len() {
                0 => context.output.note(&format!("{}: no loaded job listens to {}", event.id, self.event)),
                started => context.output.note(&format!("{} started {}", event.id, output::count(started, "run"))),
            }
        }
        if context.output.format == crate::args::Format::Table && runs.is_empty() {
            return Ok(Exit::Done);
        }
        context.output.document(&answer.text, || runs.join("\n"))?;
        Ok(Exit::Done)
    }
}
