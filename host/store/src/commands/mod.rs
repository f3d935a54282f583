//! What each command writes, decided from the index: which runs it touches, and the records that say what happened.
//! It writes nothing and waits for nothing; the committer does both.

mod audit;
mod enqueue;
mod events;
mod keeping;
mod mail;
mod notices;
mod pins;
mod tokens;
mod versions;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jobmill_core::delivery::Delivery;
use jobmill_core::journal::{Entry, EntryKind};
use jobmill_core::mail::{DoubtfulMail, InDoubtChoice};
use jobmill_core::order::{Order, OrderError};
use jobmill_core::transition::{self, Refused};
use jobmill_core::{EventId, EventKey, JobId, RunHead, RunId, RunState, Timestamp, limits};

pub(crate) use self::audit::put_audit;
pub(crate) use self::enqueue::{enqueue, fire};
pub(crate) use self::events::{publish, receive};
pub(crate) use self::keeping::{forget_rest, forget_runs, import, prune};
pub(crate) use self::mail::{begin_release, clear_mail, end_release, lift, suppress};
pub(crate) use self::notices::note;
pub(crate) use self::pins::{pin, unpin};
pub(crate) use self::tokens::{put_token, revoke_token, touch_token};
pub(crate) use self::versions::put_version;
use crate::committer::Commit;
use crate::control::{Control, ControlKey};
use crate::flow::{JobControl, Pause, QueueControl};
use crate::index::{DebounceKey, DeliveryName, Index, RunIds, UniqueKey};
use crate::log::Record;
use crate::mailing::{Doubts, MailInDoubt};
use crate::query::{DeadFilter, RunFilter};
use crate::store::{BulkOutcome, LeaseReference, NewEvent, QueueChange, RecordError, StoreError};

/// What the commands of one commit have touched: a command that touches the same waits for the next commit, so that
/// each is decided on what is durable.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) runs: RunIds,
    keys: HashSet<UniqueKey>,
    events: HashSet<EventKey>,
    event_ids: HashSet<EventId>,
    deliveries: HashSet<DeliveryName>,
    orders: HashSet<String>,
    controls: BTreeSet<ControlKey>,
    debounced: HashSet<DebounceKey>,
    /// Runs that the commit creates.
    created: BTreeMap<JobId, usize>,
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

impl<Answer> Decision<Answer> {
    /// The same with another answer.
    fn map<Other>(self, change: impl FnOnce(Answer) -> Other) -> Decision<Other> {
        match self {
            Self::Write(records, answer) => Decision::Write(records, change(answer)),
            Self::Later => Decision::Later,
            Self::Refuse(error) => Decision::Refuse(error),
        }
    }
}

fn name_of(delivery: &Delivery) -> DeliveryName {
    (delivery.endpoint.clone(), delivery.sender_id.clone())
}

/// More of a run's journal. A start that is not written yet goes along.
fn journal(commit: &mut Commit<'_>, run: RunId, now: Timestamp, kinds: impl IntoIterator<Item = EntryKind>) -> Record {
    let next = commit.index.row(run).map_or(0, |row| row.entries);
    let start = commit.starts.remove(&run);
    let first = start.as_ref().map_or(next, |(first, _)| *first);
    let entries = kinds.into_iter().map(|kind| Entry { at: now, kind });
    Record::Journal { run, first, entries: start.into_iter().map(|(_, entry)| entry).chain(entries).collect() }
}

/// Record or finish: entries of the attempt under way, which are taken when they are written. Changes of orders are
/// decided here, on the order as it is now. Events that tell of an end are published with it; the end comes first: where
/// they can't be published, it is written without them.
pub(crate) fn write_under_lease(
    commit: &mut Commit<'_>,
    lease: LeaseReference,
    entries: &mut Vec<EntryKind>,
    told: &[NewEvent],
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
    let orders = match changed_orders(commit, entries, now) {
        Ok(orders) => orders,
        Err(refused) => return refused,
    };
    // Last, because what it decides has touched keys and runs already.
    let published = if told.is_empty() {
        Vec::new()
    } else {
        match events::publish(commit, told, now) {
            Decision::Write(records, _) => records,
            Decision::Later => return Decision::Later,
            Decision::Refuse(error) => {
                tracing::warn!(run = %lease.run, %error, "jobs that listen to the end of runs are not told of this one");
                Vec::new()
            }
        }
    };
    commit.touched.runs.insert(lease.run);
    commit.touched.orders.extend(orders.keys().cloned());
    let unchanged = |order: &Order| index.order(&order.id).is_some_and(|current| **current == *order);
    let settled = std::mem::take(entries).into_iter().map(|kind| settle(&row.head, kind));
    let mut records = vec![journal(commit, lease.run, now, settled)];
    records.extend(orders.into_values().filter(|order| !unchanged(order)).map(Record::Order));
    records.extend(published);
    Decision::Write(records, Ok(()))
}

/// The orders as these entries change them, or what is to be answered instead.
fn changed_orders(
    commit: &Commit<'_>,
    entries: &[EntryKind],
    now: Timestamp,
) -> Result<BTreeMap<String, Order>, Decision<Result<(), RecordError>>> {
    let mut orders: BTreeMap<String, Order> = BTreeMap::new();
    for kind in entries {
        let EntryKind::OrderUpdated { order: id, patch, .. } = kind else {
            continue;
        };
        if commit.touched.orders.contains(id) {
            return Err(Decision::Later);
        }
        let current = orders.remove(id).or_else(|| commit.index.order(id).map(|order| (**order).clone()));
        let patched = current.ok_or_else(|| OrderError::NotFound(id.clone())).and_then(|it| it.patched(patch, now));
        match patched {
            Ok(order) => orders.insert(id.clone(), order),
            Err(error) => return Err(Decision::Write(Vec::new(), Err(RecordError::Order(error)))),
        };
    }
    Ok(orders)
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

/// One change of one run by an operator, with what was decided about its mails in doubt.
pub(crate) fn change(
    commit: &mut Commit<'_>,
    run: RunId,
    choice: Option<InDoubtChoice>,
    now: Timestamp,
    decide: &dyn Fn(&RunHead) -> Result<EntryKind, Refused>,
) -> Decision<Option<Result<(), Refused>>> {
    if commit.touched.runs.contains(&run) {
        return Decision::Later;
    }
    let index = commit.index;
    let Some(head) = index.head(run) else {
        return Decision::Write(Vec::new(), None);
    };
    match decide(head) {
        Err(refused) => Decision::Write(Vec::new(), Some(Err(refused))),
        Ok(kind) => {
            commit.touched.runs.insert(run);
            let kinds = mail::decided(index, run, choice).chain([kind]);
            Decision::Write(vec![journal(commit, run, now, kinds)], Some(Ok(())))
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

/// Cancels waiting runs whose time to begin is over, at most so many at once; answers whether there may be more.
pub(crate) fn expire(commit: &mut Commit<'_>, now: Timestamp) -> Decision<bool> {
    let index = commit.index;
    let lapsed: Vec<RunId> = index.lapsed(now).take(limits::EXPIRED_AT_ONCE).collect();
    if lapsed.iter().any(|run| commit.touched.runs.contains(run)) {
        return Decision::Later;
    }
    let more = lapsed.len() == limits::EXPIRED_AT_ONCE;
    let mut records = Vec::with_capacity(lapsed.len());
    for head in lapsed.into_iter().filter_map(|run| index.head(run)) {
        if let Ok(kind) = transition::expire(head, now) {
            commit.touched.runs.insert(head.id);
            records.push(journal(commit, head.id, now, [kind]));
        }
    }
    Decision::Write(records, more)
}

/// What an operator says of a queue.
pub(crate) fn control_queue(
    commit: &mut Commit<'_>,
    name: &str,
    change: &QueueChange,
    now: Timestamp,
) -> Decision<QueueControl> {
    let key = ControlKey::Queue(name.to_owned());
    if commit.touched.controls.contains(&key) {
        return Decision::Later;
    }
    let before = match commit.index.control(&key) {
        Some(Control::Queue { control, .. }) => control.clone(),
        _ => QueueControl::default(),
    };
    let mut control = before.clone();
    if let Some(concurrency) = change.concurrency {
        control.concurrency = concurrency;
    }
    match &change.paused {
        // Who paused it first is who is asked why.
        Some(Some(by)) => _ = control.paused.get_or_insert_with(|| Pause { by: by.clone(), at: now }),
        Some(None) => control.paused = None,
        None => {}
    }
    if control == before {
        return Decision::Write(Vec::new(), control);
    }
    commit.touched.controls.insert(key);
    let record = Record::Control(Control::Queue { name: name.to_owned(), control: control.clone() });
    Decision::Write(vec![record], control)
}

/// What an operator says of a job.
pub(crate) fn control_job(commit: &mut Commit<'_>, job: &JobId, paused: Option<Pause>) -> Decision<JobControl> {
    let key = ControlKey::Job(job.clone());
    if commit.touched.controls.contains(&key) {
        return Decision::Later;
    }
    let before = match commit.index.control(&key) {
        Some(Control::Job { control, .. }) => control.clone(),
        _ => JobControl::default(),
    };
    let paused = paused.map(|pause| before.paused.clone().unwrap_or(pause));
    let control = JobControl { paused };
    // To let a job go on also closes its breaker, which is no record's to say.
    if control == before && control.paused.is_some() {
        return Decision::Write(Vec::new(), control);
    }
    commit.touched.controls.insert(key);
    let record = Record::Control(Control::Job { job: job.clone(), control: control.clone() });
    Decision::Write(vec![record], control)
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
        /// What is to become of mails in doubt.
        doubts: Doubts,
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
            Bulk::Cancel { reason, .. } => transition::cancel(head, reason).map_err(|refused| refused.to_string()),
            Bulk::Discard { reason, .. } => transition::discard(head, reason).map_err(|refused| refused.to_string()),
            Bulk::Requeue { spread, doubts, .. } => {
                let share = *spread / count * u32::try_from(position).unwrap_or(u32::MAX);
                requeue_dead(index, head, now.after(share), *doubts)
            }
        };
        match kind {
            Ok(kind) => {
                if !dry_run {
                    let decided = mail::decided(index, head.id, doubts_of(action).and_then(Doubts::choice));
                    records.push(journal(commit, head.id, now, decided.chain([kind])));
                }
                outcome.changed.push(head.id);
            }
            Err(reason) => outcome.skipped.push((head.id, reason)),
        }
    }
    if !dry_run {
        commit.touched.runs.extend(outcome.changed.iter().copied());
    }
    Decision::Write(records, outcome)
}

/// How a dead run is put back; the error says why it is not.
fn requeue_dead(index: &Index, head: &RunHead, due: Timestamp, doubts: Doubts) -> Result<EntryKind, String> {
    // By itself a cancelled run can be put back; one that was put aside meanwhile is not revived with the others.
    if head.state != RunState::Dead {
        return Err(Refused { run: head.id, state: head.state, change: "put back" }.to_string());
    }
    let mails: Vec<DoubtfulMail> = index.mails.doubtful(head.id).map(|(_, mail)| mail.clone()).collect();
    if doubts == Doubts::Refuse && !mails.is_empty() {
        return Err(MailInDoubt { run: head.id, mails }.to_string());
    }
    transition::requeue(head, head.max_attempts, due).map_err(|refused| refused.to_string())
}

fn doubts_of(action: &Bulk) -> Option<Doubts> {
    match action {
        Bulk::Requeue { doubts, .. } => Some(*doubts),
        Bulk::Cancel { .. } | Bulk::Discard { .. } => None,
    }
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
