//! `jobmill webhooks`: what senders delivered, what became of it, and taking one in again.
//! It verifies and maps nothing; the server does.

use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use comfy_table::{Cell, Color};
use jobmill_client::{Delivery, DeliveryFilter};
use jobmill_core::{DeliveryId, Timestamp};

use super::Context;
use crate::failure::{Exit, Failure};
use crate::output::Column::{Extra, Text, Whole};
use crate::{machine, output};

/// What can become of a delivery.
const OUTCOMES: [&str; 4] = ["published", "suppressed", "ignored", "unmapped"];

/// Webhook deliveries
#[derive(Debug, Subcommand)]
pub(crate) enum Webhooks {
    /// Deliveries, newest first
    List {
        /// Taken in by this webhook
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
        /// With this outcome
        #[arg(long, value_name = "OUTCOME", value_parser = PossibleValuesParser::new(OUTCOMES))]
        outcome: Option<String>,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// One delivery with its body
    Show {
        /// The delivery's id
        #[arg(value_name = "DELIVERY")]
        delivery: DeliveryId,
    },
    /// Take a delivery in again, as the map is now
    Replay {
        /// The delivery's id
        #[arg(value_name = "DELIVERY")]
        delivery: DeliveryId,
    },
}

impl Webhooks {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List { endpoint, outcome, limit } => {
                let filter = DeliveryFilter { endpoint: endpoint.as_deref(), outcome: outcome.as_deref() };
                list(&filter, limit, context)?;
            }
            Self::Show { delivery } => {
                let delivery = context.client()?.delivery(delivery)?;
                context.output.document(delivery.text(), || described(&delivery, machine::now()))?;
            }
            Self::Replay { delivery } => {
                let delivery = context.client()?.replay_delivery(delivery)?;
                context.output.document(delivery.text(), || described(&delivery, machine::now()))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn list(filter: &DeliveryFilter<'_>, limit: u32, context: &Context) -> Result<(), Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = context.client()?.deliveries(filter, limit)?;
    let empty = "no such delivery; a sender delivers to /webhooks/NAME once [webhooks.NAME] is in jobmill.toml";
    context.output.list(page.texts(), page.next_cursor(), empty, || {
        let now = machine::now();
        let rows = page.items()?.iter().map(|delivery| row(delivery, now)).collect();
        Ok(output::table(
            &[Whole("DELIVERY"), Text("WEBHOOK"), Extra("KIND"), Whole("OUTCOME"), Whole("RECEIVED"), Text("WHAT")],
            rows,
        ))
    })
}

fn row(delivery: &Delivery, now: Timestamp) -> Vec<Cell> {
    let (icon, color) = match delivery.outcome.as_str() {
        "published" => ("✓", Color::Green),
        "suppressed" => ("‖", Color::Yellow),
        "unmapped" => ("✗", Color::Red),
        _ => ("⊘", Color::DarkGrey),
    };
    vec![
        Cell::new(delivery.id),
        output::text_cell(&delivery.endpoint),
        output::text_cell(&delivery.kind),
        Cell::new(output::first_line(&format!("{icon} {}", delivery.outcome))).fg(color),
        output::number_cell(output::relative(delivery.received_at, now)),
        output::text_cell(&what(delivery)),
    ]
}

/// What became of it, in few words.
fn what(delivery: &Delivery) -> String {
    match (&delivery.reason, delivery.addresses.as_slice()) {
        (Some(reason), _) => reason.clone(),
        (None, [_, ..]) => format!("no more mail to {}", delivery.addresses.join(", ")),
        (None, []) if delivery.event_id.is_some() => output::count(delivery.runs.len(), "run"),
        (None, []) => String::new(),
    }
}

fn described(delivery: &Delivery, now: Timestamp) -> String {
    let runs: Vec<String> = delivery.runs.iter().map(ToString::to_string).collect();
    let unmapped = delivery.outcome == "unmapped";
    let head = output::pairs(&[
        ("delivery", Some(delivery.id.to_string())),
        ("webhook", Some(output::visible(&delivery.endpoint))),
        ("kind", Some(output::visible(&delivery.kind)).filter(|kind| !kind.is_empty())),
        ("outcome", Some(output::visible(&delivery.outcome))),
        ("reason", delivery.reason.as_deref().map(output::visible)),
        ("next", unmapped.then(|| format!("mend the map or the job, then: jobmill webhooks replay {}", delivery.id))),
        ("event", delivery.event_id.as_ref().map(|id| output::visible(id.as_str()))),
        ("runs", (!runs.is_empty()).then(|| runs.join("\n"))),
        ("no mail to", Some(output::visible(&delivery.addresses.join("\n"))).filter(|addresses| !addresses.is_empty())),
        ("received", Some(output::exact(delivery.received_at, now))),
        ("sender's id", Some(output::visible(&delivery.sender_id))),
        ("replayed", (delivery.replays > 0).then(|| output::count(delivery.replays as usize, "time"))),
    ]);
    match &delivery.body {
        Some(body) => format!("{head}\n\n{}", output::visible(body.trim_end())),
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(outcome: &serde_json::Value) -> Delivery {
        let mut document = serde_json::json!({
            "id": "dlv_01J00000000000000000000000", "endpoint": "shop", "sender_id": "evt_1", "kind": "charge.refunded",
            "received_at": "2026-03-01T09:00:00.000Z", "reason": null, "event_id": null, "runs": [], "addresses": [],
            "replays": 0,
        });
        let members = document.as_object_mut().expect("an object");
        members.extend(outcome.as_object().expect("an object").clone());
        serde_json::from_value(document).expect("a delivery")
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn what_became_of_a_delivery_is_told_in_a_line() {
        let now = "2026-03-01T09:05:00.000Z".parse().expect("a time");
        let line = |outcome: serde_json::Value| {
            row(&delivery(&outcome), now).iter().skip(3).map(Cell::content).collect::<Vec<_>>().join("  ")
        };
        let run = "run_01J00000000000000000000000";
        let published = serde_json::json!({ "outcome": "published", "event_id": "evt_1", "runs": [run] });
        assert_eq!(line(published), "✓ published  5 min ago  1 run");
        let suppressed = serde_json::json!({ "outcome": "suppressed", "addresses": ["a@b.c", "d@e.f"] });
        assert_eq!(line(suppressed), "‖ suppressed  5 min ago  no more mail to a@b.c, d@e.f");
        let unmapped = serde_json::json!({ "outcome": "unmapped", "reason": "orderId is missing\nin /data\u{1b}" });
        assert_eq!(line(unmapped), "✗ unmapped  5 min ago  orderId is missing");
        assert_eq!(line(serde_json::json!({ "outcome": "ignored" })), "⊘ ignored  5 min ago  ");
    }

    #[test]
    fn a_delivery_that_was_not_understood_says_how_it_is_taken_in_again() {
        let now = "2026-03-01T09:05:00.000Z".parse().expect("a time");
        let outcome = serde_json::json!({
            "outcome": "unmapped", "reason": "orderId is missing", "replays": 2, "body": "{\"id\":\"evt_1\u{1b}\"}\n",
        });
        let text = plain(&described(&delivery(&outcome), now));
        for part in [
            "reason       orderId is missing\n",
            "then: jobmill webhooks replay dlv_01J00000000000000000000000\n",
            "replayed     2 times\n\n{\"id\":\"evt_1\\u{1b}\"}",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }
}
