//! Events and webhook deliveries, as records tell of them, and what may not be of them: one id that starts a job twice, one
//! delivery that is taken in twice, an end that is told without having come.
//! It reads records by itself and shares no code with the store's decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::journal::{Enqueued, EntryKind, EventReference};
use jobmill_core::{DeliveryId, EventKey, Json, RunId, RunState, Timestamp};
use jobmill_store::Record;
use serde_json::Value;

use crate::findings::Findings;
use crate::truth::Told;

/// What names of events begin with that tell of an end.
pub(crate) const TOLD: &str = "jobmill/";

/// An event that is known.
#[derive(Clone)]
pub(crate) struct Happening {
    pub(crate) reference: EventReference,
    pub(crate) received_at: Timestamp,
    /// The runs that tell of it.
    pub(crate) tellers: BTreeSet<RunId>,
    /// What its own record says: its data, and the runs.
    pub(crate) alone: Option<(Json, Vec<RunId>)>,
    /// The group that published it.
    group: u64,
}

impl Happening {
    /// The runs that it is known to have started, or that took it in.
    pub(crate) fn runs(&self) -> Vec<RunId> {
        match &self.alone {
            Some((_, runs)) => runs.clone(),
            None => self.tellers.iter().copied().collect(),
        }
    }

    /// Whether the id of an event that comes at `at` means this one as well.
    fn is_meant(&self, by: &EventReference, at: Timestamp, window: Duration) -> bool {
        let is_given = by.has_given_id() && self.reference.has_given_id();
        is_given && self.reference.id == by.id && self.reference.key != by.key && at.since(self.received_at) < window
    }
}

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Happenings {
    pub(crate) events: BTreeMap<EventKey, Happening>,
    pub(crate) pruned_events: BTreeSet<EventKey>,
    pub(crate) deliveries: BTreeMap<DeliveryId, Delivery>,
    pub(crate) pruned_deliveries: BTreeSet<DeliveryId>,
    /// How long ids of events, and of senders of deliveries, are remembered.
    pub(crate) windows: (Duration, Duration),
}

impl Happenings {
    /// A run begins in this group, or begins anew with another payload; these are there already.
    pub(crate) fn begins(
        &mut self,
        (run, enqueued, at): (RunId, &Enqueued, Timestamp),
        is_new: bool,
        runs: &BTreeMap<RunId, Told>,
        group: u64,
        findings: &Findings,
    ) {
        let Some(reference) = &enqueued.event else { return };
        let is_of_job = |other: &RunId| {
            let told = runs.get(other).and_then(Told::enqueued);
            *other != run && told.is_some_and(|told| told.job == enqueued.job)
        };
        let window = self.windows.0;
        let meant = self.events.values().filter(|it| is_new && it.is_meant(reference, at, window));
        let relative = meant.flat_map(Happening::runs).find(is_of_job);
        findings.require(relative.is_none(), || {
            format!("{run} runs for the id {}, and so did {relative:?} of the same job", reference.id)
        });
        // One that waits for quiet is as old as the first that it took in: its event has a record that says when it came.
        if Told::debounced_by(enqueued).is_none() {
            self.check_new(reference, at, findings);
        }
        let event = self.event(reference, at, group);
        findings.require(event.group == group || event.tellers.contains(&run), || {
            format!("the event {} was published twice", reference.key)
        });
        event.tellers.insert(run);
    }

    /// A record of an event.
    pub(crate) fn record(
        &mut self,
        reference: &EventReference,
        (data, at, runs): (&Json, Timestamp, &[RunId]),
        group: u64,
        findings: &Findings,
    ) {
        if self.events.get(&reference.key).is_none_or(|event| event.group == group) {
            self.check_new(reference, at, findings);
        }
        let event = self.event(reference, at, group);
        let told = Some((data.clone(), runs.to_vec()));
        // It may be written again.
        findings.require(event.group == group || event.alone == told, || {
            format!("the event {} was written again, and not as it was", reference.key)
        });
        (event.alone, event.received_at) = (told, at);
    }

    fn check_new(&self, reference: &EventReference, at: Timestamp, findings: &Findings) {
        let window = self.windows.0;
        let is_same = |it: &&Happening| it.reference.name == reference.name && it.is_meant(reference, at, window);
        let same = self.events.values().find(is_same).map(|it| it.reference.key);
        findings.require(same.is_none(), || {
            format!("{} was published again at {at} as {}, and {same:?} is remembered", reference.id, reference.key)
        });
    }

    fn event(&mut self, reference: &EventReference, received_at: Timestamp, group: u64) -> &mut Happening {
        self.events.entry(reference.key).or_insert_with(|| Happening {
            reference: reference.clone(),
            received_at,
            tellers: BTreeSet::new(),
            alone: None,
            group,
        })
    }

    /// A run is gone, or tells of another event from now on.
    pub(crate) fn ends(&mut self, run: RunId, enqueued: &Enqueued) {
        let Some(key) = enqueued.event.as_ref().map(|event| event.key) else { return };
        if let Some(event) = self.events.get_mut(&key) {
            event.tellers.remove(&run);
            if event.tellers.is_empty() && event.alone.is_none() {
                self.events.remove(&key);
            }
        }
    }

    /// The own records of these events are gone.
    pub(crate) fn prune(&mut self, keys: &[EventKey], runs: &BTreeMap<RunId, Told>) {
        for key in keys {
            let Some(event) = self.events.get_mut(key) else { continue };
            event.alone = None;
            // From now on it is as old as the run that tells of it.
            let teller = event.tellers.first().and_then(|run| runs.get(run)?.journal.first());
            event.received_at = teller.map_or(event.received_at, |first| first.at);
        }
        self.events.retain(|_, event| event.alone.is_some() || !event.tellers.is_empty());
        self.pruned_events.extend(keys);
    }

    /// A delivery, as it is from now on.
    pub(crate) fn deliver(&mut self, new: &Delivery, findings: &Findings) {
        if let Some(before) = self.deliveries.get(&new.id) {
            let again = Delivery { outcome: new.outcome.clone(), replays: before.replays + 1, ..before.clone() };
            findings.require(new == before || *new == again, || format!("{before:?} became {new:?}"));
        } else {
            let is_same = |it: &&Delivery| {
                (&it.endpoint, &it.sender_id) == (&new.endpoint, &new.sender_id)
                    && new.received_at.since(it.received_at) < self.windows.1
            };
            let same = self.deliveries.values().find(is_same);
            findings.require(same.is_none() && new.replays == 0, || {
                format!("{new:?} was taken in, and its sender had delivered {:?} before", same.map(|it| it.id))
            });
        }
        self.deliveries.insert(new.id, new.clone());
    }

    /// These deliveries are gone.
    pub(crate) fn prune_deliveries(&mut self, ids: &[DeliveryId]) {
        self.deliveries.retain(|id, _| !ids.contains(id));
        self.pruned_deliveries.extend(ids);
    }

    /// A group is to be written: what is new in it belongs together.
    pub(crate) fn check_group(&self, group: &[Record], runs: &BTreeMap<RunId, Told>, findings: &Findings) {
        for (reference, data) in group.iter().filter_map(published) {
            if self.events.contains_key(&reference.key) {
                continue;
            }
            let document = data.to_value().unwrap_or_default();
            if reference.name.starts_with(TOLD) {
                let has_end = group.iter().any(|record| tells_end(record, &document, runs));
                findings.require(has_end, || format!("{} tells of an end that is not in its group", reference.key));
            }
            if document.get("delivery").is_some() {
                let of_event = |record: &Record| {
                    let Record::Delivery(Delivery { outcome, .. }) = record else { return false };
                    *outcome == DeliveryOutcome::Published { event: reference.key }
                };
                findings.require(group.iter().any(of_event), || {
                    format!("the event {} was delivered, and its delivery is not in its group", reference.key)
                });
            }
        }
        for record in group {
            let Record::Delivery(Delivery { id, outcome: DeliveryOutcome::Published { event }, .. }) = record else {
                continue;
            };
            let is_known = self.deliveries.contains_key(id) || self.events.contains_key(event);
            let is_here = || group.iter().filter_map(published).any(|(reference, _)| reference.key == *event);
            findings
                .require(is_known || is_here(), || format!("{id} was published as {event}, which nothing tells of"));
        }
    }
}

/// The event that a record tells of, and its data.
fn published(record: &Record) -> Option<(&EventReference, &Json)> {
    match record {
        Record::Event { reference, data, .. } => Some((reference, data)),
        Record::Journal { first: 0, entries, .. } => match &entries.first()?.kind {
            EntryKind::Enqueued(enqueued) => Some((enqueued.event.as_ref()?, &enqueued.payload)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the record has the end, which is new, that data tell of.
fn tells_end(record: &Record, data: &Value, runs: &BTreeMap<RunId, Told>) -> bool {
    let Record::Journal { run, first, entries } = record else { return false };
    let known = runs.get(run).map_or(0, |told| told.journal.len());
    let mut new = entries.iter().skip(known.saturating_sub(*first as usize));
    data.get("run").and_then(Value::as_str) == Some(run.to_string().as_str())
        && new.any(|entry| {
            matches!(&entry.kind, EntryKind::Finished(finished)
                if matches!(finished.to, RunState::Completed | RunState::Dead))
        })
}
