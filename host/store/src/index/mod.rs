//! What a store knows without reading its log: where each run stands, what is due, which keys are taken, and where in
//! the log the rest is. Rebuilt from the log at start; it holds no outputs and no journals, and changes by records only.

mod activity;
mod asking;
mod audit;
mod deliveries;
mod events;
mod keys;
mod lists;
mod mails;
mod notices;
mod row;
mod suppressions;
mod tokens;
mod usage;
mod versions;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use jobmill_core::flow::Mark;
use jobmill_core::journal::{EarlierKey, Enqueued, Entry, EntryKind, EventReference};
use jobmill_core::order::Order;
use jobmill_core::token::Token;
use jobmill_core::{EventKey, JobId, Json, MailId, RunHead, RunId, Timestamp, limits, transition};
use smallvec::SmallVec;

use self::activity::Rollup;
use self::deliveries::Deliveries;
pub(crate) use self::deliveries::{DeliveryName, DeliveryRow};
pub(crate) use self::events::EventRow;
use self::events::Events;
use self::keys::Keys;
pub(crate) use self::keys::{DebounceKey, KeyHolder, UniqueKey, unique_keys};
use self::lists::Lists;
pub(crate) use self::mails::Mails;
pub(crate) use self::row::{Row, Standing};
use self::suppressions::Suppressions;
use self::usage::Usage;
use self::versions::Versions;
use crate::control::{Control, ControlKey};
use crate::flow::{Chosen, Rules};
use crate::log::{Place, Record};
use crate::store::Change;
use crate::totals::Totals;

/// Run ids end in 80 random bits: they need no hashing against collisions, only spreading.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn write_u128(&mut self, id: u128) {
        let [_, _, _, _, _, _, _, _, low @ ..] = id.to_be_bytes();
        self.0 = u64::from_be_bytes(low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type ById<Value> = HashMap<RunId, Value, BuildHasherDefault<IdHasher>>;
/// Runs by id, for membership only.
pub(crate) type RunIds = HashSet<RunId, BuildHasherDefault<IdHasher>>;

/// See the module.
#[derive(Default)]
pub(crate) struct Index {
    runs: ById<Box<Row>>,
    lists: Lists,
    keys: Keys,
    events: Events,
    deliveries: Deliveries,
    /// What lists and mails are asked by.
    names: HashSet<Arc<str>>,
    /// At so many names it is looked which of them nothing has any more.
    names_most: usize,
    /// The e-mail log.
    pub(crate) mails: Mails,
    orders: BTreeMap<String, (Arc<Order>, Place)>,
    /// What is kept beside the runs.
    controls: BTreeMap<ControlKey, (Control, Place)>,
    suppressions: Suppressions,
    tokens: Arc<[Token]>,
    versions: Versions,
    /// How many of the controls are entries of the audit list.
    audit_entries: usize,
    activity: Rollup,
    usage: Usage,
    /// Counted from when the log had been read.
    pub(crate) totals: Totals,
    /// Payloads of runs that are soon claimed, so that a claim reads nothing; at most `limits::PAYLOADS_KEPT_BYTES`.
    payloads: ById<Json>,
    payload_bytes: usize,
    /// Claims that are not in a synced group yet: the number of the entry in the run's journal, and the entry.
    pub(crate) starts: BTreeMap<RunId, (u32, Entry)>,
    /// Runs that the commit under way writes about: they are not claimed before it is through.
    pub(crate) locked: RunIds,
    /// Records that count.
    live: usize,
}

/// Fewer names than this are not worth a look.
const NAMES_LEAST: usize = 10_000;

/// A journal record that does not continue what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Misfit(pub(crate) RunId);

impl Index {
    /// Takes a record in; answers how the run it is about stands now.
    pub(crate) fn apply(&mut self, record: &Record, place: Place) -> Result<Option<Change>, Misfit> {
        match record {
            Record::Journal { run, first, entries } => {
                return self.apply_journal(*run, *first, entries, place).map(Some);
            }
            Record::Event { reference, received_at, runs, .. } => {
                let reference = self.event_reference(&Arc::new(reference.clone()));
                let (received_at, runs) = (*received_at, runs.as_slice().into());
                let is_new = self.events.add_alone(EventRow { reference, received_at, runs, place: Some(place) });
                self.live += usize::from(is_new);
            }
            Record::Delivery(delivery) => self.live += usize::from(self.deliveries.put(delivery, place)),
            Record::Order(order) => {
                let kept = self.orders.insert(order.id.clone(), (Arc::new(order.clone()), place));
                self.live += usize::from(kept.is_none());
            }
            Record::MailCleared { up_to } => self.mails.clear(*up_to, place),
            Record::Control(control) => self.apply_control(control, place),
            Record::Pruned { runs } => runs.iter().for_each(|run| self.remove(*run)),
            Record::PrunedEvents { events } => {
                for event in events {
                    self.remove_event(*event);
                }
            }
            Record::PrunedDeliveries { deliveries } => {
                for delivery in deliveries {
                    self.live -= usize::from(self.deliveries.remove(*delivery));
                }
            }
            Record::Floor { .. } => {}
        }
        Ok(None)
    }

    fn apply_journal(&mut self, run: RunId, first: u32, entries: &[Entry], place: Place) -> Result<Change, Misfit> {
        let mut told = 0;
        if let Some(row) = self.runs.get(&run).filter(|row| first == 0 && !row.places.is_empty()) {
            // Written again, whole: what it tells of happened once.
            told = row.entries;
            self.remove(run);
        }
        if !self.runs.contains_key(&run) {
            let begin = entries.first().filter(|_| first == 0).ok_or(Misfit(run))?;
            self.begin(run, begin)?;
        }
        let row = self.runs.get_mut(&run).ok_or(Misfit(run))?;
        // A claim is taken in before it is written.
        let known = row.entries.checked_sub(first).ok_or(Misfit(run))? as usize;
        row.places.push(place);
        self.live += 1;
        self.advance(run, entries.get(known..).unwrap_or_default(), told).ok_or(Misfit(run))
    }

    fn begin(&mut self, run: RunId, first: &Entry) -> Result<(), Misfit> {
        let mut head = transition::begin(run, first).ok_or(Misfit(run))?;
        head.queue = self.name(&head.queue);
        head.event = head.event.take().map(|event| self.event_reference(&event));
        head.job = self.lists.lane(&head.job);
        if let EntryKind::Enqueued(enqueued) = &first.kind {
            self.apply_enqueued(&head, enqueued);
        }
        let keys = match &first.kind {
            EntryKind::Enqueued(enqueued) => {
                enqueued.terms.as_ref().map_or_else(Arc::default, |terms| terms.keys.as_slice().into())
            }
            _ => Arc::default(),
        };
        let mut row = Row { shown: head.state, head, entries: 1, lane: None, keys, places: SmallVec::new() };
        self.lists.add(&row.head);
        self.lists.join(&mut row);
        self.lists.place(&mut row);
        self.runs.insert(run, Box::new(row));
        Ok(())
    }

    /// Takes further entries of a run's journal in, of which the first `told` were taken in before.
    fn advance(&mut self, run: RunId, entries: &[Entry], told: u32) -> Option<Change> {
        let row = self.runs.get_mut(&run)?;
        let moves = entries.iter().any(|entry| moves(&entry.kind));
        if moves {
            self.lists.unplace(row);
        }
        for entry in entries {
            let had_error = row.head.error.is_some();
            if row.entries >= told {
                self.activity.apply(&row.head, entry);
                self.usage.apply(&row.head, entry);
                self.totals.apply(&row.head, entry);
            }
            transition::apply(&mut row.head, entry);
            if !had_error && row.head.error.is_some() {
                self.lists.add_error(run);
            }
            self.mails.apply(&row.head, entry);
            self.lists.apply(row, entry);
            row.entries += 1;
        }
        let RunHead { state, scheduled_at, cancel_requested, .. } = row.head;
        if moves {
            row.shown = state;
            self.lists.join(row);
            self.lists.place(row);
            if !state.is_waiting() {
                self.forget_payload(run);
            }
        }
        Some(Change { run, state, scheduled_at, cancel_requested })
    }

    fn forget_payload(&mut self, run: RunId) {
        let freed = self.payloads.remove(&run).map_or(0, |payload| payload_bytes(&payload));
        self.payload_bytes -= freed;
    }

    /// Chooses runs to begin, at most so many; each holds its places in the limits from now on.
    pub(crate) fn choose(&mut self, now: Timestamp, most: usize) -> Vec<Chosen> {
        let Self { lists, runs, locked, .. } = self;
        lists.flow.choose(now, most, |run| {
            let head = runs.get(&run).map(|row| &row.head);
            !locked.contains(&run) && head.is_some_and(|head| transition::is_claimable(head, now))
        })
    }

    /// A claim of a chosen run: taken in before it is written.
    pub(crate) fn start_chosen(&mut self, chosen: &Chosen, entry: Entry) -> Option<Change> {
        // Taken in as any start, which takes the places itself.
        self.lists.flow.release(chosen.lane);
        self.start(chosen.run, entry)
    }

    /// A claim: taken in before it is written.
    pub(crate) fn start(&mut self, run: RunId, entry: Entry) -> Option<Change> {
        let first = self.runs.get(&run)?.entries;
        let change = self.advance(run, std::slice::from_ref(&entry), 0)?;
        self.starts.insert(run, (first, entry));
        Some(change)
    }

    fn apply_enqueued(&mut self, head: &RunHead, enqueued: &Enqueued) {
        self.keys.apply(head, enqueued, |run| self.runs.get(&run).map(|row| row.head.state));
        self.events.add_run(head);
        let bytes = payload_bytes(&enqueued.payload);
        if self.payload_bytes + bytes <= limits::PAYLOADS_KEPT_BYTES {
            self.payload_bytes += bytes;
            self.payloads.insert(head.id, enqueued.payload.clone());
        }
    }

    fn apply_control(&mut self, control: &Control, place: Place) {
        match control {
            Control::Queue { name, control } => {
                let name = self.name(&name.as_str().into());
                self.lists.flow.set_queue(&name, control.clone());
            }
            Control::Job { job, control } => {
                self.lists.flow.set_job(job, control.clone());
                if control.paused.is_none() {
                    self.lists.flow.close_breaker(job);
                }
            }
            Control::Schedule(_) | Control::Notice(_) | Control::Pinned(_) => {}
            Control::Token(token) => self.put_token(token),
            Control::Version(version) => return self.put_version(version, place),
            Control::Audit(entry) => return self.put_audit(entry, place),
            Control::AuditGone(id) => return self.remove_audit(*id),
            Control::NoticeGone { .. } | Control::Unpinned(_) => return self.remove_control(&control.key()),
            Control::Suppression(suppression) => self.suppressions.add(suppression),
            Control::SuppressionLifted(digest) => {
                self.suppressions.remove(*digest);
                return self.remove_control(&control.key());
            }
        }
        self.live += usize::from(self.controls.insert(control.key(), (control.clone(), place)).is_none());
    }

    /// The version of a job that would run.
    pub(crate) fn version(&self, job: &JobId) -> Option<jobmill_core::Version> {
        self.lists.flow.version(job)
    }

    /// The limits that hold from now on.
    pub(crate) fn set_rules(&mut self, rules: &Arc<Rules>) {
        self.lists.flow.set_rules(rules);
    }

    /// Whether due runs are left that were not chosen.
    pub(crate) fn has_ready(&self) -> bool {
        self.lists.flow.has_ready()
    }

    /// A chosen run does not begin after all.
    pub(crate) fn put_back(&mut self, chosen: &Chosen, now: Timestamp) {
        self.lists.flow.put_back(chosen, now);
    }

    /// The limits that hold.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.lists.flow.rules()
    }

    /// The one copy of what the runs of an event say of it.
    fn event_reference(&mut self, reference: &Arc<EventReference>) -> Arc<EventReference> {
        if let Some(row) = self.events.row(reference.key) {
            return Arc::clone(&row.reference);
        }
        Arc::new(EventReference { name: self.name(&reference.name), ..(**reference).clone() })
    }

    /// The one copy of a name that many runs have.
    fn name(&mut self, name: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        // Event names come from outside: those that nothing has any more are dropped now and then.
        if self.names.len() >= self.names_most.max(NAMES_LEAST) {
            self.names.retain(|name| Arc::strong_count(name) > 1);
            self.names_most = self.names.len() * 2;
        }
        self.names.insert(Arc::clone(name));
        Arc::clone(name)
    }

    /// A run is no longer there.
    fn remove(&mut self, run: RunId) {
        let Some(mut row) = self.runs.remove(&run) else { return };
        self.lists.unplace(&row);
        self.lists.part(&mut row);
        self.lists.remove(&row.head);
        self.mails.remove(run);
        self.live -= row.places.len();
        if let Some(payload) = self.payloads.remove(&run) {
            self.payload_bytes -= payload_bytes(&payload);
        }
        self.events.remove_run(&row.head);
        self.starts.remove(&run);
    }

    /// The record of an event is no longer there; runs that it started go on telling of it.
    fn remove_event(&mut self, key: EventKey) {
        let runs = self.events.row(key).map(|row| row.runs.clone()).unwrap_or_default();
        self.live -= usize::from(self.events.remove(key));
        for head in runs.iter().filter_map(|run| self.runs.get(run)).map(|row| &row.head) {
            if head.event.as_ref().is_some_and(|event| event.key == key) {
                self.events.add_run(head);
            }
        }
    }

    /// The records of a run were written again, as one.
    pub(crate) fn moved(&mut self, run: RunId, place: Place) {
        if let Some(row) = self.runs.get_mut(&run) {
            self.live -= row.places.len();
            row.places = SmallVec::from_slice(&[place]);
            self.live += 1;
        }
    }

    /// Any other record was written again.
    pub(crate) fn moved_other(&mut self, record: &Record, place: Place) {
        match record {
            Record::Event { reference, .. } => self.events.moved(reference.key, place),
            Record::Delivery(delivery) => self.deliveries.moved(delivery.id, place),
            Record::Order(order) => {
                self.orders.insert(order.id.clone(), (Arc::new(order.clone()), place));
            }
            Record::MailCleared { up_to } => self.mails.clear(*up_to, place),
            Record::Control(control) => _ = self.controls.insert(control.key(), (control.clone(), place)),
            Record::Journal { .. }
            | Record::Pruned { .. }
            | Record::PrunedEvents { .. }
            | Record::PrunedDeliveries { .. }
            | Record::Floor { .. } => {}
        }
    }

    /// How many records count.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Moves what has become due to where claims look, at most so many; answers whether there is more.
    pub(crate) fn promote(&mut self, now: Timestamp, most: usize) -> bool {
        for _ in 0..most {
            let Some(run) = self.lists.next_overdue(now) else { return false };
            let Some(row) = self.runs.get_mut(&run) else { continue };
            self.lists.unplace(row);
            row.shown = jobmill_core::RunState::Available;
            self.lists.place(row);
        }
        self.lists.next_overdue(now).is_some()
    }

    /// The run.
    pub(crate) fn row(&self, id: RunId) -> Option<&Row> {
        self.runs.get(&id).map(|row| &**row)
    }

    /// The part of the run that lists show.
    pub(crate) fn head(&self, id: RunId) -> Option<&RunHead> {
        self.runs.get(&id).map(|row| &row.head)
    }

    /// The payload, if it is at hand.
    pub(crate) fn payload(&self, id: RunId) -> Option<&Json> {
        self.payloads.get(&id)
    }

    /// Runs under way.
    pub(crate) fn running(&self) -> impl Iterator<Item = &RunHead> {
        self.lists.in_state(jobmill_core::RunState::Running).filter_map(|id| self.head(id))
    }

    /// Every run with where its journal is, in no order.
    pub(crate) fn standings(&self) -> impl Iterator<Item = Standing> {
        self.runs.values().map(|row| row.standing(&self.starts))
    }

    /// Who holds a key at `now`.
    pub(crate) fn holder(&self, key: &UniqueKey, now: Timestamp) -> Option<&KeyHolder> {
        self.keys.holder(key, now, |run| self.head(run).is_none_or(|head| head.state.is_final()))
    }

    /// The run that waits for enqueues of this kind to be quiet, and the keys of the requests that it took in.
    pub(crate) fn debounced(&self, key: &DebounceKey) -> Option<(&RunHead, &[EarlierKey])> {
        self.keys.debounced(key).find_map(|(run, keys)| {
            // One that has begun, or was taken back, does not come back to wait for more.
            let row = self.row(run).filter(|row| row.head.state.is_waiting() && row.entries == 1)?;
            Some((&row.head, keys))
        })
    }

    /// Waiting runs that an event with this mark cancels.
    pub(crate) fn marked(&self, mark: Mark) -> Vec<RunId> {
        let runs = self.keys.marked(mark).iter().copied();
        runs.filter(|run| self.head(*run).is_some_and(|head| head.state.is_waiting())).collect()
    }

    /// How many runs of a job, or of all, are unfinished and not under way.
    pub(crate) fn waiting(&self, job: Option<&JobId>) -> usize {
        self.lists.waiting(job)
    }

    /// The order.
    pub(crate) fn order(&self, id: &str) -> Option<&Arc<Order>> {
        self.orders.get(id).map(|(order, _)| order)
    }

    /// Orders by id, after `after`.
    pub(crate) fn orders(&self, after: Option<&str>) -> impl Iterator<Item = &Arc<Order>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.orders.range::<str, _>((from, Unbounded)).map(|(_, (order, _))| order)
    }

    /// The id of the newest mail that the e-mail log shows, and how many it shows.
    pub(crate) fn mail_log(&self) -> (usize, Option<MailId>) {
        self.mails.log()
    }
}

/// Whether an entry can move its run from one list to another.
fn moves(kind: &EntryKind) -> bool {
    matches!(
        kind,
        EntryKind::Started(_)
            | EntryKind::Finished(_)
            | EntryKind::Cancelled { .. }
            | EntryKind::Requeued { .. }
            | EntryKind::MadeDue { .. }
    )
}

/// What a kept payload takes, with what keeps it.
fn payload_bytes(payload: &Json) -> usize {
    payload.as_str().len() + 64
}
