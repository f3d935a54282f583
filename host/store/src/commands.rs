//! What each command writes, decided from the index: which runs it touches, and the records that say what happened.
//! It writes nothing and waits for nothing; the committer does both.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jobmill_core::journal::{Enqueued as EnqueuedEntry, Entry, EntryKind, EventReference};
use jobmill_core::order::{Order, OrderError};
use jobmill_core::transition::{self, Refused};
use jobmill_core::{EventId, RunHead, RunId, RunState, Timestamp, limits};

use crate::committer::Commit;
use crate::index::{EventRow, Index, RunIds, UniqueKey, unique_keys};
use crate::log::Record;
use crate::query::{DeadFilter, RunFilter};
use crate::store::{
    BulkOutcome, Enqueued, LeaseReference, NewEvent, NewRun, Pruned, Published, RecordError, Retention, StoreError,
};

/// What the commands of one commit have touched: a command that touches the same waits for the next commit, so that
/// each is decided on what is durable.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) runs: RunIds,
    keys: HashSet<UniqueKey>,
    events: HashSet<String>,
    orders: HashSet<String>,
}

/// What a command comes to.
pub(crate) enum Decision<Answer> {
    /// These records, and this answer once they are durable. Without records the answer holds already.
    Write(Vec<Record>, Answer),
    /// Something it needs was touched in this commit: decide again in the next.
    Later,
    /// The store can't take it now.
    Refuse(StoreError),
}

/// More of a run's journal. A start that is not written yet goes along.
fn journal(commit: &mut Commit<'_>, run: RunId, now: Timestamp, kinds: impl IntoIterator<Item = EntryKind>) -> Record {
    let next = commit.index.row(run).map_or(0, |row| row.entries);
    let start = commit.starts.remove(&run);
    let first = start.as_ref().map_or(next, |(first, _)| *first);
    let entries = kinds.into_iter().map(|kind| Entry { at: now, kind });
    Record::Journal { run, first, entries: start.into_iter().map(|(_, entry)| entry).chain(entries).collect() }
}

/// How an enqueue is answered, once durable.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EnqueueAnswer {
    /// This run was created.
    Created(RunId),
    /// This run exists.
    Existing(RunId),
    /// The key names another enqueue, of this run.
    Conflict(RunId),
}

impl EnqueueAnswer {
    /// The answer with the run as the index has it.
    pub(crate) fn resolve(self, index: &Index) -> Enqueued {
        match self {
            Self::Conflict(run) => Enqueued::Conflict(run),
            Self::Created(run) => index.head(run).cloned().map_or(Enqueued::Conflict(run), Enqueued::Created),
            Self::Existing(run) => index.head(run).cloned().map_or(Enqueued::Conflict(run), Enqueued::Existing),
        }
    }
}

/// Enqueue: all or nothing. One conflict refuses the batch, and nothing of it is written: whatever of it would have been
/// created is answered with the run that it failed on.
pub(crate) fn enqueue(commit: &mut Commit<'_>, runs: &[NewRun], now: Timestamp) -> Decision<Vec<EnqueueAnswer>> {
    let (index, touched) = (commit.index, &mut commit.touched);
    let mut answers = Vec::with_capacity(runs.len());
    let mut created: HashMap<RunId, Record> = HashMap::new();
    let mut taken: HashMap<UniqueKey, (RunId, Option<[u8; 32]>)> = HashMap::new();
    for run in runs {
        let keys: Vec<_> = unique_keys(&run.job, run.unique_key.as_deref(), run.idempotency_key.as_deref()).collect();
        if touched.runs.contains(&run.id) || keys.iter().any(|key| touched.keys.contains(key)) {
            return Decision::Later;
        }
        if created.contains_key(&run.id) || index.head(run.id).is_some() {
            // Its own id says that it is the same enqueue: the first answer got lost.
            answers.push(EnqueueAnswer::Existing(run.id));
            continue;
        }
        let holder = |key| index.holder(key, now).map(|held| (held.run, held.digest)).or(taken.get(key).copied());
        let holders: Vec<_> = keys.iter().filter_map(holder).collect();
        let other = holders.iter().find(|(_, digest)| *digest != run.request_digest);
        answers.push(match (other, holders.first()) {
            (Some((holder, _)), _) => EnqueueAnswer::Conflict(*holder),
            (None, Some((holder, _))) => EnqueueAnswer::Existing(*holder),
            (None, None) => {
                created.insert(run.id, enqueued(run, None, now));
                taken.extend(keys.into_iter().map(|key| (key, (run.id, run.request_digest))));
                EnqueueAnswer::Created(run.id)
            }
        });
    }
    let refused = answers.iter().find(|answer| matches!(answer, EnqueueAnswer::Conflict(_))).copied();
    if let Some(conflict) = refused {
        let is_there =
            |answer: &EnqueueAnswer| matches!(answer, EnqueueAnswer::Existing(run) if index.head(*run).is_some());
        let is_conflict = |answer: &EnqueueAnswer| matches!(answer, EnqueueAnswer::Conflict(_));
        answers.iter_mut().filter(|answer| !is_there(answer) && !is_conflict(answer)).for_each(|it| *it = conflict);
        return Decision::Write(Vec::new(), answers);
    }
    if let (Some(full), false) = (&commit.full, created.is_empty()) {
        return Decision::Refuse(full.clone());
    }
    touched.keys.extend(taken.into_keys());
    touched.runs.extend(created.keys());
    let records = runs.iter().filter_map(|run| created.remove(&run.id)).collect();
    Decision::Write(records, answers)
}

fn enqueued(run: &NewRun, event: Option<&EventReference>, now: Timestamp) -> Record {
    let entry = EnqueuedEntry {
        job: run.job.clone(),
        queue: run.queue.clone(),
        priority: run.priority,
        payload: run.payload.clone(),
        max_attempts: run.max_attempts,
        scheduled_at: run.scheduled_at,
        event: event.cloned(),
        tags: run.tags.clone(),
        unique_key: run.unique_key.clone(),
        idempotency_key: run.idempotency_key.clone(),
        request_digest: run.request_digest,
        rerun_of: run.rerun_of,
    };
    let entries = vec![Entry { at: now, kind: EntryKind::Enqueued(Box::new(entry)) }];
    Record::Journal { run: run.id, first: 0, entries }
}

/// Publish: all or nothing. An id that is known starts nothing.
pub(crate) fn publish(commit: &mut Commit<'_>, events: &[NewEvent], now: Timestamp) -> Decision<Vec<Published>> {
    let (index, touched) = (commit.index, &mut commit.touched);
    if events.iter().any(|event| touched.events.contains(event.reference.id.as_str())) {
        return Decision::Later;
    }
    let mut records = Vec::new();
    let mut answers: Vec<Published> = Vec::with_capacity(events.len());
    let mut published: HashMap<&EventId, usize> = HashMap::new();
    for (position, event) in events.iter().enumerate() {
        let id = &event.reference.id;
        let known = index.event(id).map(|row: &EventRow| row.runs().to_vec());
        let known = known.or_else(|| published.get(id).map(|first| answers[*first].runs.clone()));
        if let Some(runs) = known {
            answers.push(Published { id: id.clone(), runs, replayed: true });
            continue;
        }
        if event.runs.is_empty() {
            let (reference, data) = (event.reference.clone(), event.data.clone());
            records.push(Record::Event { reference, data, received_at: now });
        }
        records.extend(event.runs.iter().map(|run| enqueued(run, Some(&event.reference), now)));
        let mut runs: Vec<RunId> = event.runs.iter().map(|run| run.id).collect();
        runs.sort_unstable();
        published.insert(id, position);
        answers.push(Published { id: id.clone(), runs, replayed: false });
    }
    if let (Some(full), false) = (&commit.full, records.is_empty()) {
        return Decision::Refuse(full.clone());
    }
    touched.events.extend(events.iter().map(|event| event.reference.id.as_str().to_owned()));
    Decision::Write(records, answers)
}

/// Record or finish: entries of the attempt under way, which are taken when they are written. Changes of orders are
/// decided here, on the order as it is now.
pub(crate) fn write_under_lease(
    commit: &mut Commit<'_>,
    lease: LeaseReference,
    entries: &mut Vec<EntryKind>,
    now: Timestamp,
) -> Decision<Result<(), RecordError>> {
    let index = commit.index;
    if commit.touched.runs.contains(&lease.run) {
        return Decision::Later;
    }
    let Some(row) = index.row(lease.run).filter(|row| holds(&row.head, lease)) else {
        return Decision::Write(Vec::new(), Err(RecordError::LeaseLost(lease.run)));
    };
    if row.entries as usize + entries.len() > limits::JOURNAL_ENTRIES && !ends(entries) {
        return Decision::Write(Vec::new(), Err(RecordError::JournalFull));
    }
    let mut orders: BTreeMap<String, Order> = BTreeMap::new();
    for kind in entries.iter() {
        let EntryKind::OrderUpdated { order: id, patch, .. } = kind else {
            continue;
        };
        if commit.touched.orders.contains(id) {
            return Decision::Later;
        }
        let current = orders.remove(id).or_else(|| index.order(id).map(|order| (**order).clone()));
        let patched = current.ok_or_else(|| OrderError::NotFound(id.clone())).and_then(|it| it.patched(patch, now));
        match patched {
            Ok(order) => orders.insert(id.clone(), order),
            Err(error) => return Decision::Write(Vec::new(), Err(RecordError::Order(error))),
        };
    }
    commit.touched.runs.insert(lease.run);
    commit.touched.orders.extend(orders.keys().cloned());
    let unchanged = |order: &Order| index.order(&order.id).is_some_and(|current| **current == *order);
    let settled = std::mem::take(entries).into_iter().map(|kind| settle(&row.head, kind));
    let mut records = vec![journal(commit, lease.run, now, settled)];
    records.extend(orders.into_values().filter(|order| !unchanged(order)).map(Record::Order));
    Decision::Write(records, Ok(()))
}

fn holds(head: &RunHead, lease: LeaseReference) -> bool {
    head.state == RunState::Running && head.lease == lease.token
}

/// A cancel may have come in since the end of the attempt was decided.
fn settle(head: &RunHead, mut kind: EntryKind) -> EntryKind {
    if let EntryKind::Finished(finished) = &mut kind {
        transition::settle(head, finished);
    }
    kind
}

/// The end of an attempt is always recorded, however full the journal is.
fn ends(entries: &[EntryKind]) -> bool {
    matches!(entries.last(), Some(EntryKind::Finished(_)))
}

/// One change of one run by an operator.
pub(crate) fn change(
    commit: &mut Commit<'_>,
    run: RunId,
    now: Timestamp,
    decide: &dyn Fn(&RunHead) -> Result<EntryKind, Refused>,
) -> Decision<Option<Result<(), Refused>>> {
    if commit.touched.runs.contains(&run) {
        return Decision::Later;
    }
    let Some(head) = commit.index.head(run) else {
        return Decision::Write(Vec::new(), None);
    };
    match decide(head) {
        Err(refused) => Decision::Write(Vec::new(), Some(Err(refused))),
        Ok(kind) => {
            commit.touched.runs.insert(run);
            Decision::Write(vec![journal(commit, run, now, [kind])], Some(Ok(())))
        }
    }
}

/// Ends every attempt that a crash cut off.
pub(crate) fn rescue(commit: &mut Commit<'_>, now: Timestamp) -> Decision<Vec<RunId>> {
    let index = commit.index;
    if index.running().any(|head| commit.touched.runs.contains(&head.id)) {
        return Decision::Later;
    }
    let mut records = Vec::new();
    let mut runs = Vec::new();
    for head in index.running() {
        if let Ok(finished) = transition::rescue(head, now) {
            commit.touched.runs.insert(head.id);
            let end = settle(head, EntryKind::Finished(Box::new(finished)));
            records.push(journal(commit, head.id, now, [end]));
            runs.push(head.id);
        }
    }
    Decision::Write(records, runs)
}

/// Takes final runs out whose time to be kept is over, and events that started nothing; at most so many at once.
pub(crate) fn prune(commit: &mut Commit<'_>, retention: &Retention, now: Timestamp) -> Decision<Pruned> {
    let index = commit.index;
    let most = limits::PRUNED_AT_ONCE;
    let runs: Vec<RunId> =
        index.expired(retention, now).filter(|run| !commit.touched.runs.contains(run)).take(most).collect();
    let oldest = retention.completed.and_then(|age| now.before(age.max(limits::UNIQUE_WINDOW)));
    let events: Vec<EventId> = index
        .events_alone()
        .filter(|(_, _, received_at)| oldest.is_some_and(|oldest| *received_at <= oldest))
        .map(|(id, _, _)| id.clone())
        .filter(|id| !commit.touched.events.contains(id.as_str()))
        .take(most)
        .collect();
    commit.touched.runs.extend(runs.iter().copied());
    commit.touched.events.extend(events.iter().map(|id| id.as_str().to_owned()));
    let pruned = Pruned { runs: runs.len(), events: events.len(), more: runs.len() == most || events.len() == most };
    let mut records = Vec::new();
    if !runs.is_empty() {
        records.push(Record::Pruned { runs });
    }
    if !events.is_empty() {
        records.push(Record::PrunedEvents { events });
    }
    Decision::Write(records, pruned)
}

/// What a bulk action changes.
#[derive(Debug, Clone)]
pub(crate) enum Bulk {
    /// Cancel.
    Cancel {
        /// Which runs.
        filter: RunFilter,
        /// Why.
        reason: String,
    },
    /// Put dead runs back, evenly over `spread`.
    Requeue {
        /// Which dead runs.
        filter: DeadFilter,
        /// From the first due time to the last.
        spread: Duration,
    },
    /// Put dead runs aside.
    Discard {
        /// Which dead runs.
        filter: DeadFilter,
        /// Why.
        reason: String,
    },
}

/// A bulk action on at most `limits::BULK_RUNS` runs.
pub(crate) fn bulk(commit: &mut Commit<'_>, action: &Bulk, dry_run: bool, now: Timestamp) -> Decision<BulkOutcome> {
    let index = commit.index;
    let (heads, ids): (Vec<&RunHead>, _) = match action {
        Bulk::Cancel { filter, .. } => {
            let heads = index.matching(filter, None, now).filter(|head| wanted(head, filter));
            (heads.take(limits::BULK_RUNS).collect(), &filter.ids)
        }
        Bulk::Requeue { filter, .. } | Bulk::Discard { filter, .. } => {
            (index.dead(filter).take(limits::BULK_RUNS).collect(), &filter.ids)
        }
    };
    if heads.iter().any(|head| commit.touched.runs.contains(&head.id)) {
        return Decision::Later;
    }
    let unknown = ids.iter().flatten().filter(|id| index.head(**id).is_none());
    let skipped = unknown.take(limits::BULK_RUNS).map(|id| (*id, "there is no such run".to_owned())).collect();
    let mut outcome = BulkOutcome { matched: heads.len(), changed: Vec::new(), skipped };
    let mut records = Vec::new();
    let count = u32::try_from(heads.len()).unwrap_or(u32::MAX).max(1);
    for (position, head) in heads.into_iter().enumerate() {
        let kind = match action {
            Bulk::Cancel { reason, .. } => transition::cancel(head, reason),
            Bulk::Discard { reason, .. } => transition::discard(head, reason),
            // By itself a cancelled run can be put back; one that was put aside meanwhile is not revived with the others.
            Bulk::Requeue { .. } if head.state != RunState::Dead => {
                Err(Refused { run: head.id, state: head.state, change: "put back" })
            }
            Bulk::Requeue { spread, .. } => {
                let share = *spread / count * u32::try_from(position).unwrap_or(u32::MAX);
                transition::requeue(head, head.max_attempts, now.after(share))
            }
        };
        match kind {
            Ok(kind) => {
                if !dry_run {
                    records.push(journal(commit, head.id, now, [kind]));
                }
                outcome.changed.push(head.id);
            }
            Err(refused) => outcome.skipped.push((head.id, refused.to_string())),
        }
    }
    if !dry_run {
        commit.touched.runs.extend(outcome.changed.iter().copied());
    }
    Decision::Write(records, outcome)
}

/// A filter by job or tag means what can still be cancelled; one by id or state means exactly those runs.
fn wanted(head: &RunHead, filter: &RunFilter) -> bool {
    filter.ids.is_some() || filter.state.is_some() || !head.state.is_final()
}

/// An order as it is given, with the revision after the one that is kept.
pub(crate) fn put_order(commit: &mut Commit<'_>, order: &Order) -> Decision<Order> {
    if let Some(full) = &commit.full {
        return Decision::Refuse(full.clone());
    }
    if !commit.touched.orders.insert(order.id.clone()) {
        return Decision::Later;
    }
    let revision = commit.index.order(&order.id).map_or(1, |current| current.revision + 1);
    let order = Order { revision, ..order.clone() };
    Decision::Write(vec![Record::Order(order.clone())], order)
}

/// Records of another store, as `export` gave them. Runs and events that are there already are left as they are.
pub(crate) fn import(commit: &mut Commit<'_>, records: &mut Vec<Record>) -> Decision<usize> {
    if let Some(full) = &commit.full {
        return Decision::Refuse(full.clone());
    }
    let is_new = |record: &Record| match record {
        Record::Journal { run, first, .. } => *first == 0 && commit.index.row(*run).is_none(),
        Record::Event { reference, .. } => commit.index.event(&reference.id).is_none(),
        Record::Order(order) => commit.index.order(&order.id).is_none(),
        Record::MailCleared { up_to } => commit.index.mails.cleared() < Some(*up_to),
        Record::Pruned { .. } | Record::PrunedEvents { .. } | Record::Floor { .. } => false,
    };
    let touched = |record: &Record| match record {
        Record::Journal { run, .. } => commit.touched.runs.contains(run),
        Record::Event { reference, .. } => commit.touched.events.contains(reference.id.as_str()),
        Record::Order(order) => commit.touched.orders.contains(&order.id),
        _ => false,
    };
    if records.iter().any(touched) {
        return Decision::Later;
    }
    let records: Vec<Record> = std::mem::take(records).into_iter().filter(is_new).collect();
    for record in &records {
        match record {
            Record::Journal { run, .. } => _ = commit.touched.runs.insert(*run),
            Record::Event { reference, .. } => _ = commit.touched.events.insert(reference.id.as_str().to_owned()),
            Record::Order(order) => _ = commit.touched.orders.insert(order.id.clone()),
            _ => {}
        }
    }
    let count = records.len();
    Decision::Write(records, count)
}
