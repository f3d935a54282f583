//! `jobmill events`: what was published, and the runs that it started.
//! It publishes nothing; `emit` does.

use clap::Subcommand;
use comfy_table::Cell;
use jobmill_client::{Event, EventFilter};
use jobmill_core::{EventId, Timestamp};

use super::Context;
use super::runs::parse_since;
use crate::failure::{Exit, Failure};
use crate::output::Column::{Text, Whole};
use crate::watch::Watch;
use crate::{machine, output};

/// Events
#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// Events, newest first
    #[command(after_help = LIST_EXAMPLE)]
    List {
        /// Of this name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Received since this time (RFC 3339), or within this span, such as 1h
        #[arg(long, value_name = "TIME|SPAN", value_parser = parse_since)]
        since: Option<Timestamp>,
        /// Received before this time (RFC 3339), or longer ago than this span
        #[arg(long, value_name = "TIME|SPAN", value_parser = parse_since)]
        until: Option<Timestamp>,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        #[command(flatten)]
        watch: Watch,
    },
    /// One event with its data and its runs
    Show {
        /// The event's id
        #[arg(value_name = "EVENT")]
        event: EventId,
    },
}

const LIST_EXAMPLE: &str = "\
Example:
  jobmill events list --name email/welcome --since 1h";

impl Events {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List { name, since, until, limit, watch } => {
                list(&EventFilter { name: name.as_deref(), since, until }, limit, watch, context)?;
            }
            Self::Show { event } => {
                let event = context.client()?.event(&event)?;
                context.output.document(event.text(), || described(&event, machine::now()))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn list(filter: &EventFilter<'_>, limit: u32, watch: Watch, context: &Context) -> Result<(), Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let empty = "no such event; publish one with `jobmill emit NAME --data JSON`";
    watch.show(context, empty, |client| Ok(client.events(filter, limit)?.into()), table)
}

fn table(events: &[Event]) -> String {
    let now = machine::now();
    let columns = [Text("EVENT"), Text("NAME"), Whole("RECEIVED"), Text("RUNS")];
    output::table(&columns, events.iter().map(|event| row(event, now)).collect())
}

fn row(event: &Event, now: Timestamp) -> Vec<Cell> {
    let runs: Vec<String> = event.runs.iter().map(ToString::to_string).collect();
    vec![
        output::text_cell(event.id.as_str()),
        output::text_cell(&event.name),
        output::number_cell(output::relative(event.received_at, now)),
        Cell::new(if runs.is_empty() { "none".to_owned() } else { runs.join(", ") }),
    ]
}

fn described(event: &Event, now: Timestamp) -> String {
    let runs: Vec<String> = event.runs.iter().map(ToString::to_string).collect();
    let none = "none: no loaded job listened to it".to_owned();
    output::pairs(&[
        ("event", Some(output::visible(event.id.as_str()))),
        ("name", Some(output::visible(&event.name))),
        ("received", Some(output::exact(event.received_at, now))),
        ("happened", (event.ts != event.received_at).then(|| output::exact(event.ts, now))),
        ("runs", Some(if runs.is_empty() { none } else { runs.join("\n") })),
        ("data", event.data.as_ref().map(|data| output::visible(data.as_str()))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_with_what_it_started() {
        let event: Event = serde_json::from_value(serde_json::json!({
            "id": "signup-1", "name": "email/welcome", "ts": "2026-03-01T08:59:00.000Z",
            "received_at": "2026-03-01T09:00:00.000Z", "runs": ["run_01J00000000000000000000000"],
            "data": { "userId": "u1\u{1b}" },
        }))
        .expect("an event");
        let now = "2026-03-01T09:05:00.000Z".parse().expect("a time");
        let text = anstream::adapter::strip_str(&described(&event, now)).to_string();
        assert_eq!(
            text,
            "event     signup-1\nname      email/welcome\nreceived  2026-03-01T09:00:00.000Z  (5 min ago)\n\
             happened  2026-03-01T08:59:00.000Z  (6 min ago)\nruns      run_01J00000000000000000000000\n\
             data      {\"userId\":\"u1\\u001b\"}"
        );
        let cells: Vec<String> = row(&event, now).iter().map(Cell::content).collect();
        assert_eq!(cells, ["signup-1", "email/welcome", "5 min ago", "run_01J00000000000000000000000"]);
    }
}
