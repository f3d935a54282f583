//! What the attempts of a run did, by its journal: steps, mails, changes of orders, and what was kept from before.
//! Kinds of entries that it does not know are left to `jobmill runs journal`.

use std::collections::HashMap;

use jobmill_client::Entry;
use jobmill_core::Timestamp;
use owo_colors::OwoColorize as _;

use crate::output;

/// What each attempt did, a line each.
#[derive(Default)]
pub(super) struct Doings {
    attempts: Vec<Vec<Doing>>,
    /// Where the effect of a key that has no end yet stands.
    open: HashMap<String, (usize, usize)>,
    /// What later attempts need not do again.
    kept: Vec<String>,
    began: Timestamp,
}

struct Doing {
    look: Look,
    what: String,
    /// How it ended, and when.
    told: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Done,
    Failed,
    Open,
    Aside,
}

impl Doings {
    /// What the journal says.
    pub(super) fn of(journal: &[Entry]) -> Self {
        let mut doings = Self::default();
        for entry in journal {
            doings.take(entry);
        }
        doings
    }

    /// The lines of an attempt, the first being 0 also where a run was put back.
    pub(super) fn of_attempt(&self, place: usize) -> Vec<String> {
        self.attempts.get(place).into_iter().flatten().map(Doing::line).collect()
    }

    fn take(&mut self, entry: &Entry) {
        let text = |pointer: &str| {
            let mut members = pointer.split('/');
            let first = members.next().and_then(|name| entry.members.get(name));
            let found = members.fold(first, |value, name| value.and_then(|value| value.get(name)));
            found.and_then(serde_json::Value::as_str).map(output::first_line)
        };
        let named = |pointer: &str| text(pointer).unwrap_or_default();
        let order = || match text("patch/status") {
            Some(status) => format!("order {} to {status}", named("order")),
            None => format!("order {}", named("order")),
        };
        let after = output::span(entry.at.since(self.began));
        match entry.kind.as_str() {
            "started" => self.start(entry.at),
            "step-completed" => self.done(format!("step {}", named("name")), format!("after {after}")),
            "order-updated" => self.done(order(), format!("after {after}")),
            "mail-intended" => {
                let what = format!("mail {} to {}", named("mail/kind"), named("mail/to/address"));
                self.intend(named("key"), what);
            }
            "order-intended" => self.intend(named("key"), order()),
            "mail-settled" => {
                let status = named("status");
                let is_done = matches!(status.as_str(), "sent" | "captured" | "suppressed");
                self.settle(&named("key"), is_done, &format!("{status} after {after}"), text("error"));
            }
            "order-settled" => {
                let error = text("error");
                let word = if error.is_none() { "changed" } else { "refused" };
                self.settle(&named("key"), error.is_none(), &format!("{word} after {after}"), error);
            }
            "http-intended" => self.intend(named("key"), format!("{} {}", named("method"), named("url"))),
            "http-settled" => {
                let (status, error) = (entry.members.get("status").and_then(serde_json::Value::as_u64), text("error"));
                let word = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
                self.settle(&named("key"), error.is_none(), &format!("{word} after {after}"), error);
            }
            "cancel-requested" => self.aside(format!("asked to stop: {}", named("reason"))),
            "requeued" => self.aside(format!("put back at {}; the attempts start anew", entry.at)),
            _ => {}
        }
    }

    fn start(&mut self, at: Timestamp) {
        self.began = at;
        self.attempts.push(Vec::new());
        if !self.kept.is_empty() {
            self.aside(format!("kept, and not done again: {}", self.kept.join(", ")));
        }
    }

    fn add(&mut self, doing: Doing) -> Option<(usize, usize)> {
        let place = self.attempts.len().checked_sub(1)?;
        let lines = self.attempts.get_mut(place)?;
        lines.push(doing);
        Some((place, lines.len() - 1))
    }

    fn aside(&mut self, what: String) {
        self.add(Doing { look: Look::Aside, what, told: String::new() });
    }

    fn done(&mut self, what: String, told: String) {
        self.keep(&what);
        self.add(Doing { look: Look::Done, what, told });
    }

    fn intend(&mut self, key: String, what: String) {
        if let Some(place) = self.add(Doing { look: Look::Open, what, told: "its end is not on record".to_owned() }) {
            self.open.insert(key, place);
        }
    }

    fn settle(&mut self, key: &str, is_done: bool, told: &str, error: Option<String>) {
        let Some((attempt, line)) = self.open.remove(key) else { return };
        let Some(doing) = self.attempts.get_mut(attempt).and_then(|lines| lines.get_mut(line)) else { return };
        doing.look = if is_done { Look::Done } else { Look::Failed };
        doing.told = error.map_or_else(|| told.to_owned(), |error| format!("{told}: {error}"));
        if is_done {
            let what = doing.what.clone();
            self.keep(&what);
        }
    }

    fn keep(&mut self, what: &str) {
        if !self.kept.iter().any(|kept| kept == what) {
            self.kept.push(what.to_owned());
        }
    }
}

impl Doing {
    fn line(&self) -> String {
        let icon = match self.look {
            Look::Done => "✓".green().to_string(),
            Look::Failed => "✗".red().to_string(),
            Look::Open => "?".yellow().to_string(),
            Look::Aside => "·".to_owned(),
        };
        if self.told.is_empty() {
            format!("{icon} {}", self.what)
        } else {
            format!("{icon} {}  {}", self.what, self.told)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_attempt_shows_its_steps_and_effects_and_what_it_kept() {
        let at = |millis: u32| format!("2026-03-01T09:00:00.{millis:03}Z");
        let mail = json!({ "kind": "welcome", "to": { "address": "ada@example.com\u{1b}" } });
        let entries = json!([
            { "sequence": 0, "at": at(0), "kind": "enqueued" },
            { "sequence": 1, "at": at(10), "kind": "started", "attempt": 1, "version": "3fa9c1d07b21" },
            { "sequence": 2, "at": at(22), "kind": "step-completed", "name": "fetch-order", "value": 1 },
            { "sequence": 3, "at": at(30), "kind": "mail-intended", "key": "m", "mail": mail },
            { "sequence": 4, "at": at(40), "kind": "mail-settled", "key": "m", "status": "failed", "error": "451 later" },
            { "sequence": 5, "at": at(41), "kind": "finished", "outcome": "failed" },
            { "sequence": 6, "at": at(50), "kind": "requeued", "scheduled_at": at(50), "max_attempts": 2 },
            { "sequence": 7, "at": at(60), "kind": "started", "attempt": 1, "version": "3fa9c1d07b21" },
            { "sequence": 8, "at": at(61), "kind": "mail-intended", "key": "m", "mail": mail },
            { "sequence": 9, "at": at(62), "kind": "order-updated", "key": "o", "order": "o1", "patch": { "status": "paid" } },
            { "sequence": 10, "at": at(63), "kind": "of-a-later-version" },
        ]);
        let entries: Vec<Entry> = serde_json::from_value(entries).expect("entries");
        let doings = Doings::of(&entries);
        let lines = |place: usize| -> Vec<String> {
            let lines = doings.of_attempt(place);
            lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
        };
        assert_eq!(
            lines(0),
            [
                "✓ step fetch-order  after 12 ms",
                "✗ mail welcome to ada@example.com\\u{1b}  failed after 30 ms: 451 later",
                "· put back at 2026-03-01T09:00:00.050Z; the attempts start anew",
            ]
        );
        assert_eq!(
            lines(1),
            [
                "· kept, and not done again: step fetch-order",
                "? mail welcome to ada@example.com\\u{1b}  its end is not on record",
                "✓ order o1 to paid  after 2 ms",
            ]
        );
        assert!(lines(2).is_empty());
    }
}
