//! One limit that runs pass before they begin, with the lanes that wait at it.
//! It knows its own counts only; `Flow` leads lanes from gate to gate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jobmill_core::breaker::{Breaker, BreakerState};
use jobmill_core::flow::{BreakerSettings, FullAt, Pointer, RateLimit};
use jobmill_core::{JobId, Timestamp};

use super::{Hold, LaneId, Place};

/// What a gate is the limit of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GateKey {
    pub(super) job: JobId,
    pub(super) kind: GateKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum GateKind {
    /// The job itself: loaded, not paused, its breaker closed.
    Job,
    /// A concurrency limit, and the value at its pointer.
    Concurrency(Option<Pointer>, Option<String>),
    /// The rate limit, and the value at its pointer.
    Rate(Option<String>),
}

/// How many may pass.
#[derive(Debug)]
pub(super) enum Limit {
    /// Nobody: there is no such job, or it is paused.
    Closed,
    /// Everybody.
    Open,
    /// Nobody for a while, and then as the job's breaker lets them, if it has one.
    Held(Hold, Option<BreakerSettings>),
    /// As a breaker lets them.
    Breaker(BreakerSettings),
    /// So many at once.
    AtOnce(u32),
    /// So many over time.
    Rate(RateLimit, FullAt),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) key: GateKey,
    pub(super) limit: Limit,
    /// Runs under way that passed.
    pub(super) held: u32,
    /// Lanes that were let in here and have not begun a run since.
    pub(super) offered: u32,
    /// Lanes that are led through this gate.
    pub(super) lanes: u32,
    /// Lanes that wait here by their queue, in each the next first.
    pub(super) waiting: BTreeMap<Arc<str>, BTreeSet<(Place, LaneId)>>,
}

impl Gate {
    pub(super) fn new(key: GateKey, limit: Limit) -> Self {
        Self { key, limit, held: 0, offered: 0, lanes: 0, waiting: BTreeMap::new() }
    }

    /// A lane of the queue does not wait here any more.
    pub(super) fn no_longer_waits(&mut self, queue: &Arc<str>, lane: (Place, LaneId)) {
        let Some(waiting) = self.waiting.get_mut(queue) else { return };
        waiting.remove(&lane);
        if waiting.is_empty() {
            self.waiting.remove(queue);
        }
    }

    /// Whether one more may pass at `now`; `taken` of the free places are promised to others.
    pub(super) fn has_room<'flow>(
        &self,
        breaker: impl FnOnce() -> Option<&'flow Breaker>,
        taken: u32,
        now: Timestamp,
    ) -> bool {
        let lets_in = |breaker: Option<&Breaker>, settings| {
            breaker.is_none_or(|breaker| {
                let is_pausing = !matches!(breaker.state(settings, now), BreakerState::Closed);
                breaker.admits(settings, now) && !(is_pausing && taken > 0)
            })
        };
        match &self.limit {
            Limit::Closed => false,
            Limit::Open => true,
            Limit::Held(hold, settings) => {
                !hold.holds(now) && settings.as_ref().is_none_or(|settings| lets_in(breaker(), settings))
            }
            Limit::Breaker(settings) => lets_in(breaker(), settings),
            Limit::AtOnce(limit) => self.held.saturating_add(taken) < *limit,
            Limit::Rate(rate, bucket) => rate.tokens(*bucket, now) > taken,
        }
    }
}
