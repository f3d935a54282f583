//! What a waiting run waits for, in words.
//! It looks nothing up but names; the store tells the cause.

use jobmill_core::time::format_duration;
use jobmill_core::{RunHead, RunId, RunState, Timestamp};
use jobmill_store::{Blocker, StoreError, WaitingCause};

use crate::handle::Handle;

/// What a waiting run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingFor {
    /// `due`, `queue-paused`, `queue-full`, `concurrency`, `rate-limit`, `no-component`, `job-paused` or `breaker`.
    pub kind: &'static str,
    /// A sentence.
    pub detail: String,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
    /// Due runs that go before it and share its limits.
    pub position: Option<usize>,
}

impl Handle {
    /// What a waiting run waits for; none when it does not wait.
    pub async fn waiting_for(&self, head: &RunHead) -> Result<Option<WaitingFor>, StoreError> {
        let Some(waiting) = self.store.waiting_for(head.id, self.clock.now()).await? else { return Ok(None) };
        let cause = match waiting.cause {
            WaitingCause::Due(at) => WaitingCause::Due(at),
            // The store was told what is loaded with the last claim, which may be a while ago.
            _ if self.catalog.load().serving(&head.job).is_none() => {
                WaitingCause::Blocked(Blocker::NoComponent, Vec::new())
            }
            WaitingCause::Blocked(Blocker::NoComponent, _) => WaitingCause::Room,
            cause => cause,
        };
        let (kind, detail, until) = match cause {
            WaitingCause::Due(at) => ("due", due(head), Some(at)),
            WaitingCause::Blocked(blocker, holders) => blocked(head, &blocker, &holders, waiting.position),
            WaitingCause::Room => {
                let detail = format!("waits for room: at most {} attempts run at once", self.concurrency);
                ("queue-full", detail, None)
            }
        };
        Ok(Some(WaitingFor { kind, detail, until, position: waiting.position }))
    }
}

fn due(head: &RunHead) -> String {
    match head.state {
        RunState::Retryable => format!("waits for attempt {} of {}", head.attempt + 1, head.max_attempts),
        _ => "waits for its time".to_owned(),
    }
}

fn blocked(
    head: &RunHead,
    blocker: &Blocker,
    holders: &[RunId],
    position: Option<usize>,
) -> (&'static str, String, Option<Timestamp>) {
    let (job, queue) = (&head.job, &head.queue);
    match blocker {
        Blocker::NoComponent => {
            ("no-component", format!("no component of {job} is loaded; put its .wasm into the hopper"), None)
        }
        Blocker::JobPaused(pause) => {
            ("job-paused", format!("the job {job} is paused by {} since {}", pause.by, pause.at), None)
        }
        Blocker::QueuePaused(pause) => {
            ("queue-paused", format!("the queue {queue} is paused by {} since {}", pause.by, pause.at), None)
        }
        Blocker::Held(hold) => {
            ("breaker", format!("{job} is held back since {}: {}", hold.since, hold.reason), Some(hold.until))
        }
        Blocker::Breaker(Some(until)) => {
            ("breaker", format!("too many attempts of {job} failed: none begins for a while"), Some(*until))
        }
        Blocker::Breaker(None) => (
            "breaker",
            format!("too many attempts of {job} failed: one run is being tried, and others wait for it"),
            None,
        ),
        Blocker::QueueFull(limit) => ("queue-full", format!("the queue {queue} is full: {limit} of {limit} run"), None),
        Blocker::Concurrency(limit, value) => {
            let full = format!("{0} of {0} run", limit.limit);
            let of = match (&limit.key, value) {
                (Some(pointer), Some(value)) => format!("of {job} with {value:?} at {pointer}"),
                (Some(pointer), None) => format!("of {job} with nothing at {pointer}"),
                (None, _) => format!("of {job}"),
            };
            let holders: Vec<String> = holders.iter().map(ToString::to_string).collect();
            ("concurrency", format!("{full} {of}: {}", holders.join(", ")), None)
        }
        Blocker::RateLimit(rate, value, next) => {
            // Those before it go first, one for each token; others with the same value may too, so: not before.
            let before = u32::try_from(position.unwrap_or_default()).unwrap_or(u32::MAX);
            let own = next.after(rate.period.saturating_mul(before) / rate.limit.max(1));
            let period = format_duration(rate.period);
            let of = match (&rate.key, value) {
                (Some(pointer), Some(value)) => format!(" with {value:?} at {pointer}"),
                (Some(pointer), None) => format!(" with nothing at {pointer}"),
                (None, _) => String::new(),
            };
            let attempts = if rate.limit == 1 { "1 attempt".to_owned() } else { format!("{} attempts", rate.limit) };
            let begin = if rate.limit == 1 { "begins" } else { "begin" };
            let detail = format!("at most {attempts} of {job}{of} {begin} in {period}: the next at {next}");
            ("rate-limit", detail, Some(own))
        }
    }
}
