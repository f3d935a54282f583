//! How runs do that were put back together: how far their spread has come, and what became of them so far.
//! Which they were is kept here alone, for the latest of them and until the server stops; how they stand, the store says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jobmill_core::{RunId, RunState, Timestamp};
use jobmill_engine::Handle;

use crate::error::Problem;
use crate::pages::run::span;
use crate::pages::words::icon;

/// Requeues that are kept. Each has at most as many runs as one action takes, of 16 bytes.
const KEPT: usize = 20;

/// The latest requeues, the oldest first.
#[derive(Default)]
pub(crate) struct Requeues(Mutex<VecDeque<Requeue>>);

#[derive(Clone)]
struct Requeue {
    at: Timestamp,
    spread: Duration,
    runs: Arc<[RunId]>,
}

impl Requeues {
    /// Keeps which runs were put back; answers the name under which `progress` knows them.
    pub(super) fn keep(&self, runs: Vec<RunId>, spread: Duration, now: Timestamp) -> u64 {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Two of one millisecond have different names.
        let next = kept.back().map_or(now, |last| last.at.after(Duration::from_millis(1)));
        let at = now.max(next);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(Requeue { at, spread, runs: runs.into() });
        at.as_millis()
    }

    /// How they do; none when the server has started since, or many others were put back.
    pub(super) async fn progress(&self, name: u64, handle: &Handle) -> Result<Option<Progress>, Problem> {
        let requeue = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.iter().find(|requeue| requeue.at.as_millis() == name).cloned()
        };
        let Some(Requeue { at, spread, runs }) = requeue else { return Ok(None) };
        let now = handle.now();
        let heads = handle.query().heads(&runs).await?;
        let count = |state: RunState| heads.iter().filter(|head| head.state_at(now) == state).count();
        let parts = [
            (RunState::Completed, "completed"),
            (RunState::Running, "under way"),
            (RunState::Available, "due, and waiting"),
            (RunState::Scheduled, "not due yet"),
            (RunState::Retryable, "waiting for a retry"),
            (RunState::Dead, "died again"),
            (RunState::Cancelled, "cancelled"),
        ];
        let parts = parts.map(|(state, words)| Part { state, icon: icon(state), runs: count(state), words });
        let left = at.after(spread).since(now);
        Ok(Some(Progress {
            total: runs.len(),
            ended: runs.len() - heads.iter().filter(|head| !head.state_at(now).is_final()).count(),
            pruned: runs.len() - heads.len(),
            spread: match left {
                _ if spread.is_zero() => None,
                Duration::ZERO => Some(format!("Spread over {}, which is over.", span(spread))),
                left => Some(format!(
                    "Spread over {}, of which {} are left.",
                    span(spread),
                    span(Duration::from_secs(left.as_secs().max(1)))
                )),
            },
            parts: parts.into_iter().filter(|part| part.runs > 0).collect(),
        }))
    }
}

/// How the runs of one requeue do.
pub(super) struct Progress {
    pub(super) total: usize,
    /// Those that are final, or pruned since.
    pub(super) ended: usize,
    pub(super) pruned: usize,
    /// How far the spread has come; none when they became due at once.
    pub(super) spread: Option<String>,
    /// The states that any of them shows.
    pub(super) parts: Vec<Part>,
}

/// How many of them show a state.
pub(super) struct Part {
    pub(super) state: RunState,
    pub(super) icon: &'static str,
    pub(super) runs: usize,
    pub(super) words: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_are_kept_and_each_has_a_name_of_its_own() {
        let (requeues, now) = (Requeues::default(), Timestamp::from_millis(1_000));
        let names: Vec<u64> = (0..=KEPT).map(|_| requeues.keep(Vec::new(), Duration::ZERO, now)).collect();
        assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
        assert_eq!(requeues.0.lock().expect("sound").len(), KEPT);
        // A clock that was set back gives no name twice.
        assert!(requeues.keep(Vec::new(), Duration::ZERO, Timestamp::from_millis(5)) > names[KEPT]);
    }
}
