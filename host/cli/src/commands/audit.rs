//! `jobmill audit`: what operators did, when, on what, with which token, and how it ended.
//! The list is the server's; nothing can be taken out of it by hand.

use clap::Subcommand;
use comfy_table::{Cell, Color};
use jobmill_client::{AuditEntry, AuditFilter};
use jobmill_core::Timestamp;
use jobmill_core::audit::WITHOUT_TOKEN;

use super::Context;
use crate::failure::{Exit, Failure};
use crate::output::Column::{Text, Whole};
use crate::{machine, output};

/// What operators did
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// What was done and how it ended, newest first
    List {
        /// Only this: a command without `jobmill`, such as "runs cancel"
        #[arg(long, value_name = "ACTION")]
        action: Option<String>,
        /// Done to this: the id of a run, the name of a queue, an address
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
        /// Done with the token of this name or id
        #[arg(long, value_name = "TOKEN")]
        by: Option<String>,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
}

impl Audit {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let Self::List { action, target, by, limit } = self;
        let filter = AuditFilter { action: action.as_deref(), target: target.as_deref(), by: by.as_deref() };
        let page = context.client()?.audit(&filter, usize::try_from(limit).unwrap_or(usize::MAX))?;
        context.output.list(page.texts(), page.next_cursor(), "nothing of this kind was done", || {
            let now = machine::now();
            let rows = page.items()?.iter().map(|entry| row(entry, now)).collect();
            let columns =
                [Whole("WHEN"), Text("BY"), Whole("ACTION"), Text("DONE TO"), Whole("OUTCOME"), Text("DETAIL")];
            Ok(output::table(&columns, rows))
        })?;
        Ok(Exit::Done)
    }
}

fn row(entry: &AuditEntry, now: Timestamp) -> Vec<Cell> {
    vec![
        output::number_cell(output::relative(entry.at, now)),
        output::text_cell(entry.by.as_ref().map_or(WITHOUT_TOKEN, |operator| &operator.name)),
        output::text_cell(&entry.action),
        output::text_cell(entry.target.as_deref().unwrap_or_default()),
        outcome_cell(entry),
        output::text_cell(entry.detail.as_deref().unwrap_or_default()),
    ]
}

fn outcome_cell(entry: &AuditEntry) -> Cell {
    match (entry.outcome.as_deref(), entry.code.as_deref()) {
        (Some("done"), _) => Cell::new("✓ done").fg(Color::Green),
        (Some(_), Some(code)) => Cell::new(output::first_line(&format!("✗ {code}"))).fg(Color::Red),
        (Some(outcome), None) => Cell::new(output::first_line(outcome)),
        (None, _) => Cell::new("○ not ended").fg(Color::Yellow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_told_in_a_line() {
        let now = "2026-03-01T09:05:00.000Z".parse().expect("a time");
        let shown = |by: serde_json::Value, outcome: Option<&str>, code: Option<&str>| {
            let entry: AuditEntry = serde_json::from_value(serde_json::json!({
                "id": "aud_01J00000000000000000000000", "at": "2026-03-01T09:00:00.000Z", "by": by,
                "action": "queues pause", "target": "slow\u{1b}[2J", "detail": "asked for by ada",
                "outcome": outcome, "code": code,
            }))
            .expect("an entry");
            row(&entry, now).iter().map(Cell::content).collect::<Vec<_>>().join("  ")
        };
        let line = |by: &str, outcome: &str| {
            format!("5 min ago  {by}  queues pause  slow\\u{{1b}}[2J  {outcome}  asked for by ada")
        };
        let token = serde_json::json!({ "id": "tok_01J00000000000000000000000", "name": "ops" });
        assert_eq!(shown(token, Some("done"), None), line("ops", "✓ done"));
        let nobody = serde_json::Value::Null;
        assert_eq!(
            shown(nobody.clone(), Some("refused"), Some("unknown-queue")),
            line("without a token", "✗ unknown-queue")
        );
        assert_eq!(shown(nobody, None, None), line("without a token", "○ not ended"));
    }
}
