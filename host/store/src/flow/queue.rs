//! One queue: what operators say of it, what is under way, and the lanes whose first runs may begin.
//! It chooses none of them; `Flow` does, queue by queue in turn.

use std::collections::BTreeSet;

use super::{GateId, LaneId, Place, QueueControl, Rules};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) control: QueueControl,
    /// Runs under way.
    pub(super) held: u32,
    /// Due runs.
    pub(super) ready: usize,
    /// Lanes whose first run may begin.
    pub(super) open: BTreeSet<(Place, LaneId)>,
    /// Those of them that a gate has promised its room.
    pub(super) promised: BTreeSet<LaneId>,
    /// Gates that had room for lanes of this queue while it let none begin.
    pub(super) passed_over: BTreeSet<GateId>,
}

impl Queue {
    /// At most so many runs at once: an operator's word goes before the configuration's.
    pub(super) fn limit(&self, name: &str, rules: &Rules) -> Option<u32> {
        self.control.concurrency.or_else(|| rules.queues.get(name).copied())
    }

    /// Whether a run may begin as far as it is the queue's to say.
    pub(super) fn may_begin(&self, name: &str, rules: &Rules) -> bool {
        self.control.paused.is_none() && self.limit(name, rules).is_none_or(|limit| self.held < limit)
    }
}
