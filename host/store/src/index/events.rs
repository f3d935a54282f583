//! Events in the index: which runs each started, under which id it was given, and where those are that no run tells of.
//! It holds no data: those are the payload of a run, or in the event's own record.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use jobmill_core::journal::EventReference;
use jobmill_core::{EventId, EventKey, RunHead, RunId, Timestamp};
use smallvec::SmallVec;

use crate::log::Place;
use crate::query::EventFilter;

/// An event in the index.
#[derive(Debug, Clone)]
pub(crate) struct EventRow {
    /// Key, id, name and time.
    pub(crate) reference: Arc<EventReference>,
    /// When it was recorded.
    pub(crate) received_at: Timestamp,
    /// The runs it started, or that took its data in, in the order of their ids.
    pub(crate) runs: SmallVec<[RunId; 2]>,
    /// Where its own record is; none when its runs tell of it.
    pub(crate) place: Option<Place>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Events {
    rows: BTreeMap<EventKey, EventRow>,
    /// Events by the id that their publishers gave them, which may come again.
    given: HashMap<EventId, SmallVec<[EventKey; 1]>>,
    /// Events with records of their own, by when those were made: pruning looks at old ones alone.
    alone: BTreeSet<(Timestamp, EventKey)>,
}

impl Events {
    /// An event with a record of its own; answers whether it had none before.
    pub(super) fn add_alone(&mut self, row: EventRow) -> bool {
        let key = row.reference.key;
        self.alone.insert((row.received_at, key));
        // Its runs may have told of it before; the record counts all the same.
        let Some(known) = self.rows.get_mut(&key) else {
            self.name(&row.reference);
            self.rows.insert(key, row);
            return true;
        };
        let before = std::mem::replace(known, row);
        if before.received_at != known.received_at {
            self.alone.remove(&(before.received_at, key));
        }
        before.place.is_none()
    }

    /// A run that tells of the event that started it.
    pub(super) fn add_run(&mut self, head: &RunHead) {
        let Some(reference) = &head.event else { return };
        let Some(row) = self.rows.get_mut(&reference.key) else {
            self.name(reference);
            let (reference, received_at) = (Arc::clone(reference), head.enqueued_at);
            let row = EventRow { reference, received_at, runs: SmallVec::from_slice(&[head.id]), place: None };
            self.rows.insert(row.reference.key, row);
            return;
        };
        // An event with a record of its own names its runs there.
        if row.place.is_none()
            && let Err(place) = row.runs.binary_search(&head.id)
        {
            row.runs.insert(place, head.id);
        }
    }

    /// A new event may come again under the id that it was given.
    fn name(&mut self, reference: &EventReference) {
        if reference.has_given_id() {
            self.given.entry(reference.id.clone()).or_default().push(reference.key);
        }
    }

    /// A run is gone, and with the last one an event that only its runs told of.
    pub(super) fn remove_run(&mut self, head: &RunHead) {
        let Some(key) = head.event.as_ref().map(|event| event.key) else { return };
        let Some(row) = self.rows.get_mut(&key).filter(|row| row.place.is_none()) else { return };
        row.runs.retain(|id| *id != head.id);
        if row.runs.is_empty() {
            self.remove(key);
        }
    }

    /// An event is gone; answers whether it was there with a record of its own.
    pub(super) fn remove(&mut self, key: EventKey) -> bool {
        let Some(row) = self.rows.remove(&key) else { return false };
        self.alone.remove(&(row.received_at, key));
        if let Some(keys) = self.given.get_mut(&row.reference.id) {
            keys.retain(|it| *it != key);
            if keys.is_empty() {
                self.given.remove(&row.reference.id);
            }
        }
        row.place.is_some()
    }

    /// The record of an event was written again.
    pub(super) fn moved(&mut self, key: EventKey, place: Place) {
        if let Some(row) = self.rows.get_mut(&key) {
            row.place = Some(place);
        }
    }

    /// The event.
    pub(super) fn row(&self, key: EventKey) -> Option<&EventRow> {
        self.rows.get(&key)
    }

    /// Events that were given this id.
    pub(super) fn given(&self, id: &EventId) -> impl Iterator<Item = &EventRow> {
        self.given.get(id).into_iter().flatten().filter_map(|key| self.rows.get(key))
    }

    /// Events that this id may mean: those that were given it, or else the one whose key it says.
    pub(super) fn meant(&self, id: &EventId) -> impl Iterator<Item = &EventRow> {
        let by_key = id.key().filter(|_| !self.given.contains_key(id)).and_then(|key| self.rows.get(&key));
        self.given(id).chain(by_key)
    }

    /// Events that a filter names, newest first, before `after`.
    pub(super) fn matching<'events>(
        &'events self,
        filter: &'events EventFilter,
        after: Option<EventKey>,
    ) -> impl Iterator<Item = &'events EventRow> {
        let before = after.map_or(Unbounded, Excluded);
        self.rows.range((Unbounded, before)).rev().map(|(_, row)| row).filter(|row| {
            filter.name.as_ref().is_none_or(|name| **name == *row.reference.name)
                && filter.since.is_none_or(|since| row.received_at >= since)
                && filter.until.is_none_or(|until| row.received_at < until)
        })
    }

    /// Events with records of their own that were made by a time, oldest first.
    pub(super) fn alone_until(&self, time: Timestamp) -> impl Iterator<Item = &EventRow> {
        let last = (time, EventKey::from_bytes([u8::MAX; 16]));
        self.alone.range(..=last).filter_map(|(_, key)| self.rows.get(key))
    }

    /// Events with records of their own, in the order of their keys.
    pub(super) fn alone(&self) -> impl Iterator<Item = (&EventRow, Place)> {
        self.rows.values().filter_map(|row| row.place.map(|place| (row, place)))
    }
}
