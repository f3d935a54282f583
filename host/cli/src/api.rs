//! The server's documents as far as tables and followers show them.
//! Members that are not shown are not named here; JSON output passes the server's own text on.

use std::fmt::Write as _;

use jobmill_core::{RunState, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::output;

/// A run.
#[derive(Debug, Deserialize)]
pub(crate) struct RunView {
    pub(crate) id: String,
    pub(crate) job: String,
    pub(crate) version: Option<String>,
    pub(crate) queue: String,
    pub(crate) state: RunState,
    pub(crate) priority: u8,
    pub(crate) payload: Box<RawValue>,
    pub(crate) output: Option<Box<RawValue>>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) enqueued_at: Timestamp,
    pub(crate) scheduled_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) event_id: Option<String>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    pub(crate) unique_key: Option<String>,
    pub(crate) rerun_of: Option<String>,
    pub(crate) waiting_for: Option<WaitingView>,
    pub(crate) cancel_reason: Option<String>,
    #[serde(default)]
    pub(crate) mails_in_doubt: Vec<DoubtfulMailView>,
    #[serde(default)]
    pub(crate) attempts: Vec<AttemptView>,
}

impl RunView {
    /// The error of the latest attempt that has one.
    pub(crate) fn last_error(&self) -> Option<&ErrorView> {
        self.attempts.iter().rev().find_map(|attempt| attempt.error.as_ref())
    }
}

/// A mail that may have been sent.
#[derive(Debug, Deserialize)]
pub(crate) struct DoubtfulMailView {
    pub(crate) to: String,
    pub(crate) message_id: String,
}

/// What a waiting run waits for.
#[derive(Debug, Deserialize)]
pub(crate) struct WaitingView {
    pub(crate) kind: String,
    pub(crate) detail: String,
    pub(crate) until: Option<Timestamp>,
    pub(crate) position: Option<usize>,
}

impl WaitingView {
    /// One sentence for people, with times told from now.
    pub(crate) fn sentence(&self, now: Timestamp) -> String {
        let mut text = told_from_now(self.detail.strip_prefix("waits ").unwrap_or(&self.detail), now);
        let until = self.until.filter(|until| *until > now).map(|until| output::relative(until, now));
        if let ("due" | "breaker", Some(until)) = (self.kind.as_str(), &until) {
            let _ = write!(text, ", {until}");
        }
        if let Some(position) = self.position.filter(|position| *position > 0) {
            let _ = write!(text, "; {} before it", output::count(position, "run"));
            if let ("rate-limit", Some(until)) = (self.kind.as_str(), &until) {
                let _ = write!(text, ", so it begins {until} at the earliest");
            }
        }
        text
    }
}

/// The text with every point in time as how long ago it was, or how far ahead it is.
fn told_from_now(text: &str, now: Timestamp) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let Ok(at) = word.parse::<Timestamp>() else {
            words.push(output::visible(word));
            continue;
        };
        // "at 09:00" becomes "in 5 min".
        words.pop_if(|before| before == "at");
        words.push(output::relative(at, now));
    }
    words.join(" ")
}

/// One attempt of a run.
#[derive(Debug, Deserialize)]
pub(crate) struct AttemptView {
    pub(crate) number: u32,
    pub(crate) version: String,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) outcome: Option<String>,
    pub(crate) error: Option<ErrorView>,
    pub(crate) next_at: Option<Timestamp>,
}

/// Why an attempt failed.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorView {
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) trace: Option<String>,
}

/// An entry of a run's journal; the members of its kind stay as they are.
#[derive(Debug, Deserialize)]
pub(crate) struct EntryView {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    #[serde(flatten)]
    pub(crate) members: serde_json::Map<String, serde_json::Value>,
}

/// A run's log.
#[derive(Debug, Deserialize)]
pub(crate) struct LogView {
    pub(crate) items: Vec<Box<RawValue>>,
    /// Lines that the log's budget had no room for.
    #[serde(default)]
    pub(crate) dropped: u64,
}

/// A line of a run's log.
#[derive(Debug, Deserialize)]
pub(crate) struct LogLine {
    pub(crate) attempt: u32,
    pub(crate) at: Timestamp,
    pub(crate) level: String,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) fields: std::collections::BTreeMap<String, String>,
}

/// A job, or a file that never loaded.
#[derive(Debug, Deserialize)]
pub(crate) struct JobView {
    pub(crate) id: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) status: String,
    pub(crate) error: Option<String>,
    pub(crate) broken_since: Option<Timestamp>,
    #[serde(flatten)]
    pub(crate) pause: PauseView,
    pub(crate) breaker: Option<BreakerView>,
    pub(crate) file: Option<String>,
    #[serde(default)]
    pub(crate) triggers: Vec<TriggerView>,
    pub(crate) retries: Option<u32>,
    #[serde(default)]
    pub(crate) settings: Option<std::collections::BTreeMap<String, SettingView>>,
    #[serde(default)]
    pub(crate) imports: Vec<String>,
    pub(crate) loaded_at: Option<Timestamp>,
    pub(crate) payload_schema: Option<Box<RawValue>>,
    pub(crate) payload_example: Option<Box<RawValue>>,
}

/// Whether something is paused, since when, and by whom. A server of an earlier version says nothing of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PauseView {
    pub(crate) paused: bool,
    pub(crate) paused_by: Option<String>,
    pub(crate) paused_at: Option<Timestamp>,
}

impl PauseView {
    /// In words; none when it is not paused.
    pub(crate) fn of(&self, now: Timestamp) -> Option<String> {
        if !self.paused {
            return None;
        }
        let by = self.paused_by.as_deref().map(|by| format!(" by {}", output::first_line(by)));
        let at = self.paused_at.map(|at| format!(", {}", output::relative(at, now)));
        Some(format!("paused{}{}", by.unwrap_or_default(), at.unwrap_or_default()))
    }
}

/// Where the breaker of a job stands.
#[derive(Debug, Deserialize)]
pub(crate) struct BreakerView {
    pub(crate) state: String,
    pub(crate) until: Option<Timestamp>,
}

/// A queue.
#[derive(Debug, Deserialize)]
pub(crate) struct QueueView {
    pub(crate) name: String,
    pub(crate) concurrency: Option<u32>,
    pub(crate) running: usize,
    pub(crate) waiting: usize,
    #[serde(flatten)]
    pub(crate) pause: PauseView,
}

/// A schedule.
#[derive(Debug, Deserialize)]
pub(crate) struct ScheduleView {
    pub(crate) job: String,
    pub(crate) cron: String,
    pub(crate) next: Vec<Timestamp>,
    pub(crate) last_run: Option<String>,
}

/// What starts a run of a job.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TriggerView {
    /// An event's name.
    Event(String),
    /// A cron expression.
    Cron(String),
}

impl std::fmt::Display for TriggerView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Event(name) => write!(f, "event {name}"),
            Self::Cron(expression) => write!(f, "cron {expression}"),
        }
    }
}

/// A tunable with where it comes from.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SettingView {
    pub(crate) value: serde_json::Value,
    pub(crate) source: String,
}

/// Dead runs of one job with one error.
#[derive(Debug, Deserialize)]
pub(crate) struct DeadGroupView {
    pub(crate) fingerprint: String,
    pub(crate) job: String,
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) count: usize,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
    #[serde(default)]
    pub(crate) versions: Vec<String>,
    pub(crate) example: String,
}

/// What a bulk action did, or would do.
#[derive(Debug, Deserialize)]
pub(crate) struct BulkView {
    pub(crate) matched: usize,
    pub(crate) changed: usize,
    #[serde(default)]
    pub(crate) skipped: Vec<SkippedView>,
}

/// A run that a bulk action left alone.
#[derive(Debug, Deserialize)]
pub(crate) struct SkippedView {
    pub(crate) id: String,
    pub(crate) reason: String,
}

/// A line of the e-mail log, or a whole mail.
#[derive(Debug, Deserialize)]
pub(crate) struct MailView {
    pub(crate) id: String,
    pub(crate) run: String,
    pub(crate) job: String,
    pub(crate) kind: String,
    pub(crate) to: String,
    pub(crate) to_name: Option<String>,
    pub(crate) subject: String,
    pub(crate) status: String,
    pub(crate) message_id: String,
    pub(crate) attempts: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) sent_at: Option<Timestamp>,
    pub(crate) error: Option<String>,
    pub(crate) reply: Option<String>,
    pub(crate) from: Option<jobmill_core::mail::Mailbox>,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
    #[serde(default)]
    pub(crate) attachments: Vec<AttachmentView>,
}

/// A file that goes along with a mail.
#[derive(Debug, Deserialize)]
pub(crate) struct AttachmentView {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) media_type: String,
    pub(crate) size: u64,
}

/// An address that gets no mail.
#[derive(Debug, Deserialize)]
pub(crate) struct SuppressionView {
    pub(crate) address: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) source: String,
    pub(crate) by: Option<String>,
    pub(crate) since: Timestamp,
}

/// The order of a list or of `orders show`, without its times and metadata.
#[derive(Debug, Deserialize)]
pub(crate) struct OrderView {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) customer_email: String,
    pub(crate) customer_name: Option<String>,
    pub(crate) items: Vec<jobmill_core::order::OrderItem>,
    pub(crate) total: jobmill_core::order::Money,
    pub(crate) created_at: Timestamp,
    pub(crate) fulfilled_at: Option<Timestamp>,
    pub(crate) refunded_at: Option<Timestamp>,
    pub(crate) metadata: Box<RawValue>,
    pub(crate) revision: u64,
}

/// An event's answer: its id and the runs it started.
#[derive(Debug, Deserialize)]
pub(crate) struct PublishedView {
    pub(crate) id: String,
    pub(crate) runs: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(kind: &str, detail: &str, until: Option<&str>, position: usize) -> String {
        let until = until.map(|until| until.parse().expect("a time"));
        let waiting = WaitingView { kind: kind.to_owned(), detail: detail.to_owned(), until, position: Some(position) };
        waiting.sentence("2026-03-01T09:05:00.000Z".parse().expect("a time"))
    }

    #[test]
    fn what_a_run_waits_for_is_one_sentence() {
        let soon = Some("2026-03-01T09:05:42.000Z");
        let cases = [
            (
                sentence("queue-paused", "the queue mail is paused by anna since 2026-03-01T09:00:00.000Z", None, 3),
                "the queue mail is paused by anna since 5 min ago; 3 runs before it",
            ),
            (sentence("due", "waits for attempt 2 of 3", soon, 0), "for attempt 2 of 3, in 42.0 s"),
            (sentence("breaker", "none begins for a while", soon, 0), "none begins for a while, in 42.0 s"),
            (
                sentence("rate-limit", "at most 5 begin: the next at 2026-03-01T09:05:01.000Z", soon, 1),
                "at most 5 begin: the next in 1.0 s; 1 run before it, so it begins in 42.0 s at the earliest",
            ),
            (sentence("queue-full", "waits for room: \u{1b}[2J", None, 0), "for room: \\u{1b}[2J"),
        ];
        for (said, expected) in cases {
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn what_is_not_paused_has_nothing_to_say() {
        assert_eq!(PauseView::default().of(Timestamp::from_millis(0)), None);
    }
}
