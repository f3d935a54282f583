//! Webhook deliveries in the index: which are known, and what lists show of them.
//! It holds no bodies: those are read from where the row says they are.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::delivery::Delivery;
use jobmill_core::{DeliveryId, Timestamp};
use smallvec::SmallVec;

use crate::log::Place;
use crate::query::{DeliveryFilter, DeliverySummary};

/// A delivery in the index.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryRow {
    /// What lists show.
    pub(crate) summary: Arc<DeliverySummary>,
    /// Where it is.
    pub(crate) place: Place,
}

impl DeliveryRow {
    /// By what its sender's second try is known.
    pub(crate) fn name(&self) -> DeliveryName {
        (self.summary.endpoint.clone(), self.summary.sender_id.clone())
    }
}

/// By what a sender's second try is known.
pub(crate) type DeliveryName = (String, String);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    rows: BTreeMap<DeliveryId, DeliveryRow>,
    /// Deliveries by endpoint and the sender's id, which may come again after its window.
    known: HashMap<DeliveryName, SmallVec<[DeliveryId; 1]>>,
}

impl Deliveries {
    /// A delivery as it is from now on; answers whether it is new.
    pub(super) fn put(&mut self, delivery: &Delivery, place: Place) -> bool {
        let row = DeliveryRow { summary: Arc::new(DeliverySummary::from(delivery)), place };
        let name = row.name();
        let is_new = self.rows.insert(delivery.id, row).is_none();
        if is_new {
            self.known.entry(name).or_default().push(delivery.id);
        }
        is_new
    }

    /// A delivery is gone; answers whether it was there.
    pub(super) fn remove(&mut self, id: DeliveryId) -> bool {
        let Some(row) = self.rows.remove(&id) else { return false };
        let name = row.name();
        if let Some(ids) = self.known.get_mut(&name) {
            ids.retain(|it| *it != id);
            if ids.is_empty() {
                self.known.remove(&name);
            }
        }
        true
    }

    /// The delivery was written again.
    pub(super) fn moved(&mut self, id: DeliveryId, place: Place) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.place = place;
        }
    }

    /// The delivery.
    pub(super) fn row(&self, id: DeliveryId) -> Option<&DeliveryRow> {
        self.rows.get(&id)
    }

    /// The newest delivery that a sender gave this id at an endpoint.
    pub(super) fn known(&self, name: &DeliveryName) -> Option<&DeliveryRow> {
        let rows = self.known.get(name).into_iter().flatten().filter_map(|id| self.rows.get(id));
        rows.max_by_key(|row| (row.summary.received_at, row.summary.id))
    }

    /// Deliveries that a filter names, newest first, before `after`.
    pub(super) fn matching<'deliveries>(
        &'deliveries self,
        filter: &'deliveries DeliveryFilter,
        after: Option<DeliveryId>,
    ) -> impl Iterator<Item = &'deliveries DeliveryRow> {
        let before = after.map_or(Unbounded, Excluded);
        self.rows.range((Unbounded, before)).rev().map(|(_, row)| row).filter(|row| {
            filter.endpoint.as_ref().is_none_or(|endpoint| *endpoint == row.summary.endpoint)
                && filter.outcome.as_ref().is_none_or(|outcome| outcome == row.summary.outcome.as_str())
        })
    }

    /// Every delivery, oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &DeliveryRow> {
        self.rows.values()
    }

    /// Deliveries that came in by a time, oldest first. An id is as old as its delivery.
    pub(super) fn before(&self, time: Timestamp) -> impl Iterator<Item = &DeliveryRow> {
        let end = DeliveryId::first_at(time.after(Duration::from_millis(1)));
        self.rows.range(..end).map(|(_, row)| row).filter(move |row| row.summary.received_at <= time)
    }
}
