//! What a store knows without reading its log: where each run stands, what is due, which keys are taken, and where in
//! the log the rest is. Rebuilt from the log at start; it holds no outputs and no journals, and changes by records only.

mod lists;
mod mails;
mod row;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use jobmill_core::journal::{Enqueued, Entry, EntryKind};
use jobmill_core::order::Order;
use jobmill_core::{EventId, JobId, Json, MailId, RunHead, RunId, Timestamp, limits, transition};
use smallvec::SmallVec;

use self::lists::Lists;
pub(crate) use self::mails::Mails;
pub(crate) use self::row::{Row, Standing};
use crate::log::{Place, Record};
use crate::query::{Counts, DeadFilter, DeadGroup, RunFilter};
use crate::store::Change;

/// Under which a second enqueue is the first run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum UniqueKey {
    /// The request's `unique_key`, which counts within a job.
    Job(JobId, Arc<str>),
    /// The request's `Idempotency-Key`.
    Request(Arc<str>),
}

/// Who holds a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyHolder {
    /// The first run.
    pub(crate) run: RunId,
    /// What a repeat must equal.
    pub(crate) digest: Option<[u8; 32]>,
    /// When it was enqueued; the key is free again `limits::UNIQUE_WINDOW` later.
    pub(crate) since: Timestamp,
}

/// An event in the index.
#[derive(Debug, Clone)]
pub(crate) enum EventRow {
    /// It started these runs, which tell of it; in the order of their ids.
    Started(SmallVec<[RunId; 2]>),
    /// No job listened to it.
    Alone {
        /// Where it is.
        place: Place,
        /// When it was recorded.
        received_at: Timestamp,
    },
}

impl EventRow {
    /// The runs it started.
    pub(crate) fn runs(&self) -> &[RunId] {
        match self {
            Self::Started(runs) => runs,
            Self::Alone { .. } => &[],
        }
    }
}

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
    keys: HashMap<UniqueKey, KeyHolder>,
    /// How many keys there may be before those that are free again are dropped.
    keys_bound: usize,
    events: BTreeMap<EventId, EventRow>,
    /// What lists and mails are asked by.
    names: HashSet<Arc<str>>,
    /// The e-mail log.
    pub(crate) mails: Mails,
    orders: BTreeMap<String, (Arc<Order>, Place)>,
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
            Record::Event { reference, received_at, .. } => {
                let row = EventRow::Alone { place, received_at: *received_at };
                self.live += usize::from(self.events.insert(reference.id.clone(), row).is_none());
            }
            Record::Order(order) => {
                let kept = self.orders.insert(order.id.clone(), (Arc::new(order.clone()), place));
                self.live += usize::from(kept.is_none());
            }
            Record::MailCleared { up_to } => self.mails.clear(*up_to, place),
            Record::Pruned { runs } => runs.iter().for_each(|run| self.remove(*run)),
            Record::PrunedEvents { events } => {
                for event in events {
                    self.live -= usize::from(self.events.remove(event).is_some());
                }
            }
            Record::Floor { .. } => {}
        }
        Ok(None)
    }

    fn apply_journal(&mut self, run: RunId, first: u32, entries: &[Entry], place: Place) -> Result<Change, Misfit> {
        if first == 0 && self.runs.get(&run).is_some_and(|row| !row.places.is_empty()) {
            // Written again, whole.
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
        Ok(self.advance(run, entries.get(known..).unwrap_or_default()))
    }

    fn begin(&mut self, run: RunId, first: &Entry) -> Result<(), Misfit> {
        let mut head = transition::begin(run, first).ok_or(Misfit(run))?;
        head.queue = self.name(&head.queue);
        head.event_name = head.event_name.take().map(|name| self.name(&name));
        head.job = self.lists.lane(&head.job);
        if let EntryKind::Enqueued(enqueued) = &first.kind {
            self.apply_enqueued(&head, enqueued);
        }
        let row = Row { shown: head.state, head, entries: 1, places: SmallVec::new() };
        self.lists.add(&row.head);
        self.lists.place(&row.head);
        self.runs.insert(run, Box::new(row));
        Ok(())
    }

    /// Takes further entries of a run's journal in.
    fn advance(&mut self, run: RunId, entries: &[Entry]) -> Change {
        let row = self.runs.get_mut(&run).expect("the run was looked up");
        let moves = entries.iter().any(|entry| moves(&entry.kind));
        if moves {
            self.lists.unplace(&row.head, row.shown);
        }
        for entry in entries {
            let had_error = row.head.error.is_some();
            transition::apply(&mut row.head, entry);
            if !had_error && row.head.error.is_some() {
                self.lists.add_error(run);
            }
            self.mails.apply(&row.head, entry);
            row.entries += 1;
        }
        if moves {
            row.shown = row.head.state;
            self.lists.place(&row.head);
            if !row.head.state.is_waiting() {
                let freed = self.payloads.remove(&run).map_or(0, |payload| payload_bytes(&payload));
                self.payload_bytes -= freed;
            }
        }
        let RunHead { state, scheduled_at, cancel_requested, .. } = row.head;
        Change { run, state, scheduled_at, cancel_requested }
    }

    /// A claim: taken in before it is written.
    pub(crate) fn start(&mut self, run: RunId, entry: Entry) -> Option<Change> {
        let first = self.runs.get(&run)?.entries;
        let change = self.advance(run, std::slice::from_ref(&entry));
        self.starts.insert(run, (first, entry));
        Some(change)
    }

    fn apply_enqueued(&mut self, head: &RunHead, enqueued: &Enqueued) {
        let holder = KeyHolder { run: head.id, digest: enqueued.request_digest, since: head.enqueued_at };
        for key in unique_keys(&head.job, enqueued.unique_key.as_deref(), enqueued.idempotency_key.as_deref()) {
            // Records that were written again are not read back in the order of their times: the newest holder counts.
            let newest = self.keys.get(&key).is_none_or(|earlier| earlier.since <= holder.since);
            if newest {
                self.keys.insert(key, holder);
            }
        }
        if self.keys.len() > self.keys_bound.max(1_024) {
            self.keys.retain(|_, holder| head.enqueued_at.since(holder.since) < limits::UNIQUE_WINDOW);
            self.keys_bound = self.keys.len() * 2;
        }
        if let Some(reference) = &enqueued.event {
            let row = self.events.entry(reference.id.clone()).or_insert(EventRow::Started(SmallVec::new()));
            if let EventRow::Started(runs) = row
                && let Err(place) = runs.binary_search(&head.id)
            {
                runs.insert(place, head.id);
            }
        }
        let bytes = payload_bytes(&enqueued.payload);
        if self.payload_bytes + bytes <= limits::PAYLOADS_KEPT_BYTES {
            self.payload_bytes += bytes;
            self.payloads.insert(head.id, enqueued.payload.clone());
        }
    }

    /// The one copy of a name that many runs have.
    fn name(&mut self, name: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        // Event names come from outside: those that no run has any more are dropped now and then.
        if self.names.len() >= 10_000 {
            self.names.retain(|name| Arc::strong_count(name) > 1);
        }
        self.names.insert(Arc::clone(name));
        Arc::clone(name)
    }

    /// A run is no longer there.
    fn remove(&mut self, run: RunId) {
        let Some(row) = self.runs.remove(&run) else { return };
        self.lists.unplace(&row.head, row.shown);
        self.lists.remove(&row.head);
        self.mails.remove(run);
        self.live -= row.places.len();
        if let Some(payload) = self.payloads.remove(&run) {
            self.payload_bytes -= payload_bytes(&payload);
        }
        if let Some(event) = &row.head.event_id
            && let Some(EventRow::Started(runs)) = self.events.get_mut(event)
        {
            runs.retain(|id| *id != run);
            if runs.is_empty() {
                self.events.remove(event);
            }
        }
        self.starts.remove(&run);
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
            Record::Event { reference, received_at, .. } => {
                let row = EventRow::Alone { place, received_at: *received_at };
                self.events.insert(reference.id.clone(), row);
            }
            Record::Order(order) => {
                self.orders.insert(order.id.clone(), (Arc::new(order.clone()), place));
            }
            Record::MailCleared { up_to } => self.mails.clear(*up_to, place),
            Record::Journal { .. } | Record::Pruned { .. } | Record::PrunedEvents { .. } | Record::Floor { .. } => {}
        }
    }

    /// Whether a record other than of a journal still counts.
    pub(crate) fn counts_still(&self, record: &Record, place: Place) -> bool {
        match record {
            Record::Event { reference, .. } => {
                matches!(self.events.get(&reference.id), Some(EventRow::Alone { place: kept, .. }) if *kept == place)
            }
            Record::Order(order) => self.orders.get(&order.id).is_some_and(|(_, kept)| *kept == place),
            Record::MailCleared { .. } => self.mails.cleared_at() == Some(place),
            Record::Journal { .. } | Record::Pruned { .. } | Record::PrunedEvents { .. } | Record::Floor { .. } => {
                false
            }
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
            self.lists.unplace(&row.head, row.shown);
            row.shown = jobmill_core::RunState::Available;
            self.lists.place_as(&row.head, row.shown);
        }
        self.lists.next_overdue(now).is_some()
    }

    /// Due runs of these jobs, the next first: by priority, then due time, then id.
    pub(crate) fn claimable<'index>(&'index self, jobs: &[&JobId]) -> impl Iterator<Item = &'index RunHead> {
        self.lists.ready(jobs).filter_map(|id| self.head(id))
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
        self.keys.get(key).filter(|holder| now.since(holder.since) < limits::UNIQUE_WINDOW)
    }

    /// The event.
    pub(crate) fn event(&self, id: &EventId) -> Option<&EventRow> {
        self.events.get(id)
    }

    /// Where the events are that no job listened to.
    pub(crate) fn events_alone(&self) -> impl Iterator<Item = (&EventId, Place, Timestamp)> {
        self.events.iter().filter_map(|(id, row)| match row {
            EventRow::Alone { place, received_at } => Some((id, *place, *received_at)),
            EventRow::Started(_) => None,
        })
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

    /// Runs that a filter names, newest first, before `after`.
    pub(crate) fn matching<'index>(
        &'index self,
        filter: &'index RunFilter,
        after: Option<RunId>,
        now: Timestamp,
    ) -> impl Iterator<Item = &'index RunHead> {
        let event = filter.event.as_ref().and_then(|event| event.parse().ok()).and_then(|id| self.events.get(&id));
        let candidates = self.lists.candidates(filter, event.map(EventRow::runs), after, now);
        candidates.filter_map(|id| self.head(id)).filter(move |head| row::matches(filter, head, now))
    }

    /// Dead runs that a filter names, in each group the longest dead first. Of runs that it names by id also those that
    /// are not dead, so that whoever named them can be told.
    pub(crate) fn dead<'index>(
        &'index self,
        filter: &'index DeadFilter,
    ) -> Box<dyn Iterator<Item = &'index RunHead> + 'index> {
        if let Some(ids) = &filter.ids {
            let named = lists::newest_first(ids).into_iter().filter_map(|id| self.head(id));
            return Box::new(named.filter(|head| lists::in_group(filter, &lists::group(head))));
        }
        Box::new(self.lists.dead(filter).filter_map(|id| self.head(id)))
    }

    /// Dead runs by job and error, newest first.
    pub(crate) fn dead_groups(&self) -> Vec<DeadGroup> {
        self.lists.dead_groups(|id| self.head(id))
    }

    /// Final runs whose time to be kept is over, in no particular order.
    pub(crate) fn expired<'index>(
        &'index self,
        retention: &'index crate::store::Retention,
        now: Timestamp,
    ) -> impl Iterator<Item = RunId> + 'index {
        let of_state = retention.ages().into_iter().filter_map(move |(state, age)| {
            let youngest = now.before(age.max(limits::UNIQUE_WINDOW))?;
            Some(self.lists.enqueued_before(state, youngest).filter(move |id| {
                self.head(*id).and_then(|head| head.finished_at).is_some_and(|finished| finished <= youngest)
            }))
        });
        of_state.flatten()
    }

    /// How many runs show each state at `now`; of one job, or of all.
    pub(crate) fn counts(&self, job: Option<&JobId>, now: Timestamp) -> Counts {
        self.lists.counts(job, now, |id| self.head(id))
    }

    /// The next time after `now` at which a run becomes due.
    pub(crate) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.lists.next_due(now)
    }

    /// Due runs of the same job that go before this one; none when there are more than `limits::POSITION_COUNTED`.
    pub(crate) fn position(&self, id: RunId, now: Timestamp) -> Option<usize> {
        let head = self.head(id).filter(|head| head.state_at(now) == jobmill_core::RunState::Available)?;
        self.lists.position(head, now, |id| self.head(id))
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
        EntryKind::Started(_) | EntryKind::Finished(_) | EntryKind::Cancelled { .. } | EntryKind::Requeued { .. }
    )
}

/// What a kept payload takes, with what keeps it.
fn payload_bytes(payload: &Json) -> usize {
    payload.as_str().len() + 64
}

/// The keys that an enqueue takes.
pub(crate) fn unique_keys(
    job: &JobId,
    unique_key: Option<&str>,
    idempotency_key: Option<&str>,
) -> impl Iterator<Item = UniqueKey> {
    let of_job = unique_key.map(|key| UniqueKey::Job(job.clone(), key.into()));
    let of_request = idempotency_key.map(|key| UniqueKey::Request(key.into()));
    of_job.into_iter().chain(of_request)
}
