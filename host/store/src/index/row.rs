//! One run in the index.
//! It holds no documents: those are read from where the row says they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use jobmill_core::flow::FlowKey;
use jobmill_core::journal::Entry;
use jobmill_core::{RunHead, RunId, RunState, Timestamp};
use smallvec::SmallVec;

use crate::flow::LaneId;
use crate::log::Place;
use crate::query::RunFilter;

/// A run in the index.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The part of the run that lists show.
    pub(crate) head: RunHead,
    /// How many entries its journal has.
    pub(crate) entries: u32,
    /// The lane it waits and runs in; none once it is final.
    pub(super) lane: Option<LaneId>,
    /// What stood in its payload at the pointers of its job's limits.
    pub(super) keys: Arc<[FlowKey]>,
    /// The state that it is listed under: available once it was found due, whatever its journal says.
    pub(super) shown: RunState,
    /// Where the entries are, in their order.
    pub(crate) places: SmallVec<[Place; 3]>,
}

/// Where a run's journal is at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// The run.
    pub(crate) run: RunId,
    /// How many entries its journal has.
    pub(crate) entries: u32,
    /// Where the entries are.
    pub(crate) places: SmallVec<[Place; 3]>,
    /// The last of them, where it is not written yet.
    pub(crate) start: Option<Entry>,
}

impl Row {
    /// Where the journal is now.
    pub(crate) fn standing(&self, starts: &BTreeMap<RunId, (u32, Entry)>) -> Standing {
        Standing {
            run: self.head.id,
            entries: self.entries,
            places: self.places.clone(),
            start: starts.get(&self.head.id).map(|(_, entry)| entry.clone()),
        }
    }
}

/// What a filter says beside its ids.
pub(super) fn matches(filter: &RunFilter, head: &RunHead, now: Timestamp) -> bool {
    let event = |wanted: &String| {
        head.event.as_ref().is_some_and(|event| {
            *event.name == **wanted || event.id.as_str() == wanted || wanted.parse() == Ok(event.key)
        })
    };
    let error = |wanted: &String| {
        let wanted = wanted.to_lowercase();
        head.error.as_ref().is_some_and(|error| {
            error.message.to_lowercase().contains(&wanted) || error.kind.as_str().contains(&wanted)
        })
    };
    filter.state.is_none_or(|state| head.state_at(now) == state)
        && filter.job.as_ref().is_none_or(|job| *job == head.job)
        && filter.rerun_of.is_none_or(|first| head.rerun_of == Some(first))
        && filter.since.is_none_or(|since| head.enqueued_at >= since)
        && filter.tag.as_ref().is_none_or(|tag| head.tags.contains(tag))
        && filter.event.as_ref().is_none_or(event)
        && filter.error.as_ref().is_none_or(error)
}
