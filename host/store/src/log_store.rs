//! The log-backed store: an index in memory over a log on disk, and the commands that change both.
//! It writes nothing itself; the committer does, for everybody at once. Questions are answered in `reading`.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use jobmill_core::journal::{Entry, EntryKind};
use jobmill_core::order::Order;
use jobmill_core::transition::{self, Refused};
use jobmill_core::{JobId, Json, RunHead, RunId, Timestamp, limits};
use tokio::sync::{broadcast, oneshot};

use crate::commands::{self, Bulk, Decision};
use crate::committer::{Command, Commit, Committer, Shared, Step, load};
use crate::index::Index;
use crate::log::{LogError, LogOpener, Place, Record};
use crate::query::{DeadFilter, RunFilter};
use crate::queue::Queue;
use crate::store::{
    BulkOutcome, Change, Claimed, Enqueued, LeaseReference, NewEvent, NewRun, Pruned, Published, RecordError,
    Retention, Room, Store, StoreError,
};

/// Changes that a slow listener may be behind before it is told that it missed some.
const CHANGES_WAITING: usize = 4_096;

impl From<LogError> for StoreError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Full(text) => Self::Unavailable(text),
            LogError::Io(text) => Self::Failed(text),
            LogError::Damaged(text) => Self::Damaged(text),
        }
    }
}

/// A `Store` over any `Log`.
pub struct LogStore {
    queue: Arc<Queue>,
    pub(crate) shared: Arc<RwLock<Shared>>,
    changes: broadcast::Sender<Arc<[Change]>>,
    thread: Option<JoinHandle<()>>,
}

impl LogStore {
    /// Rebuilds the index from the log and starts the thread that writes.
    pub fn open(opener: impl LogOpener) -> Result<Self, StoreError> {
        let (mut store, committer) = Self::by_hand(opener)?;
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run())
            .map_err(|error| StoreError::Failed(format!("can't start the thread that writes: {error}")))?;
        store.thread = Some(thread);
        Ok(store)
    }

    /// A store that commits when its committer is told to: nothing is answered before.
    pub fn by_hand(opener: impl LogOpener) -> Result<(Self, Committer), StoreError> {
        let mut opener: Box<dyn LogOpener> = Box::new(opener);
        let loaded = load(&mut *opener)?;
        let queue = Arc::new(Queue::new());
        let (changes, _) = broadcast::channel(CHANGES_WAITING);
        let (committer, shared) = Committer::new(opener, loaded, Arc::clone(&queue), changes.clone());
        Ok((Self { queue, shared, changes, thread: None }, committer))
    }

    /// Sends a command to the committer and waits for its answer.
    async fn commit<T: Send + 'static, R: Send + 'static>(
        &self,
        mut decide: impl FnMut(&mut Commit<'_>) -> Decision<T> + Send + 'static,
        resolve: impl FnOnce(T, &Index) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        let (sender, answer) = oneshot::channel();
        let mut parts = Some((sender, resolve));
        let command: Command = Box::new(move |commit| {
            let decision = match &commit.refusing {
                Some(refusing) => Decision::Refuse(refusing.clone()),
                None => decide(commit),
            };
            let decided = match decision {
                Decision::Later => return Step::Later,
                Decision::Refuse(error) => Err(error),
                Decision::Write(mut records, value) => {
                    commit.writes.append(&mut records);
                    Ok(value)
                }
            };
            let parts = parts.take();
            Step::Done(Box::new(move |outcome| {
                // A caller that went away is not told; what it asked for is done all the same.
                if let Some((sender, resolve)) = parts {
                    let _ = sender.send(decided.and_then(|value| outcome.map(|index| resolve(value, index))));
                }
            }))
        });
        self.queue.push(command).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Takes due runs: decided and taken in at once, noted, and written with the next commit.
    fn take(&self, room: &Room, now: Timestamp) -> Result<Vec<Taken>, StoreError> {
        if !self.queue.is_open() {
            return Err(StoreError::Closed);
        }
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(refusing) = &shared.refusing {
            return Err(refusing.clone());
        }
        let mut starts = Vec::new();
        let mut overdue = true;
        // Where what is due can't be run, there may be more behind it that can.
        while overdue && starts.len() < room.permits {
            overdue = shared.index.promote(now, limits::DUE_PER_CLAIM);
            starts = startable(&shared.index, room, now);
        }
        if starts.is_empty() {
            return Ok(Vec::new());
        }
        let as_record = |(run, first, entry)| Record::Journal { run, first, entries: vec![entry] };
        let index = &shared.index;
        let page = shared.notes.as_ref().ok_or(StoreError::Closed)?;
        let noted: Vec<Record> = starts.iter().cloned().map(as_record).collect();
        if !page.add(&noted)? {
            let known = index.starts.iter().map(|(run, (first, entry))| (*run, *first, entry.clone()));
            let all: Vec<Record> = known.map(as_record).chain(noted).collect();
            page.begin(&all)?;
        }
        let mut changes = Vec::with_capacity(starts.len());
        let mut taken = Vec::with_capacity(starts.len());
        for (run, first, entry) in starts {
            let payload = shared.index.payload(run).cloned();
            changes.extend(shared.index.start(run, entry));
            if let Some(row) = shared.index.row(run) {
                taken.push(Taken {
                    head: row.head.clone(),
                    payload,
                    first: row.places.first().copied(),
                    is_first: first == 1,
                });
            }
        }
        drop(shared);
        self.queue.expect_starts();
        // Nobody may be listening.
        let _ = self.changes.send(changes.into());
        Ok(taken)
    }

    async fn write_under_lease(
        &self,
        lease: LeaseReference,
        entries: Vec<EntryKind>,
        now: Timestamp,
    ) -> Result<Option<RunHead>, RecordError> {
        let mut entries = entries;
        let written = self.commit(
            move |commit| commands::write_under_lease(commit, lease, &mut entries, now),
            move |result, index| result.map(|()| index.head(lease.run).cloned()),
        );
        written.await?
    }

    async fn change(
        &self,
        run: RunId,
        now: Timestamp,
        decide: impl Fn(&RunHead) -> Result<EntryKind, Refused> + Send + 'static,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError> {
        self.commit(
            move |commit| commands::change(commit, run, now, &decide),
            move |result, index| match result {
                Some(Ok(())) => index.head(run).cloned().map(Ok),
                Some(Err(refused)) => Some(Err(refused)),
                None => None,
            },
        )
        .await
    }

    async fn bulk(&self, action: Bulk, dry_run: bool, now: Timestamp) -> Result<BulkOutcome, StoreError> {
        self.commit(move |commit| commands::bulk(commit, &action, dry_run, now), |outcome, _| outcome).await
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        // The committer ends after what is queued.
        drop(self.queue.close());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Store for LogStore {
    async fn enqueue(&self, runs: Vec<NewRun>, now: Timestamp) -> Result<Vec<Enqueued>, StoreError> {
        self.commit(
            move |commit| commands::enqueue(commit, &runs, now),
            |answers, index| answers.into_iter().map(|answer| answer.resolve(index)).collect(),
        )
        .await
    }

    async fn publish(&self, events: Vec<NewEvent>, now: Timestamp) -> Result<Vec<Published>, StoreError> {
        self.commit(move |commit| commands::publish(commit, &events, now), |answers, _| answers).await
    }

    async fn claim(&self, room: Room, now: Timestamp) -> Result<Vec<Claimed>, StoreError> {
        let claimed = self.take(&room, now)?.into_iter().map(|taken| {
            let Taken { head, payload, first, is_first } = taken;
            // The enqueue and the start of a first attempt have nothing to remember.
            if is_first {
                let payload = match (payload, first) {
                    (Some(payload), _) => payload,
                    (None, Some(first)) => self.payload(head.id, first)?,
                    (None, None) => return Err(StoreError::Damaged(format!("the enqueue of {} is missing", head.id))),
                };
                return Ok(Claimed { head, payload, journal: Vec::new() });
            }
            let record = LogStore::record(self, head.id)?;
            let record =
                record.ok_or_else(|| StoreError::Damaged(format!("{} is gone while it is claimed", head.id)))?;
            Ok(Claimed { head, payload: record.run.payload, journal: record.journal })
        });
        claimed.collect()
    }

    async fn record(&self, lease: LeaseReference, entries: Vec<EntryKind>, now: Timestamp) -> Result<(), RecordError> {
        self.write_under_lease(lease, entries, now).await.map(|_| ())
    }

    async fn finish(
        &self,
        lease: LeaseReference,
        entries: Vec<EntryKind>,
        now: Timestamp,
    ) -> Result<RunHead, RecordError> {
        self.write_under_lease(lease, entries, now).await?.ok_or(RecordError::LeaseLost(lease.run))
    }

    async fn rescue(&self, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        self.commit(move |commit| commands::rescue(commit, now), |runs, _| runs).await
    }

    async fn cancel(
        &self,
        run: RunId,
        reason: String,
        now: Timestamp,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError> {
        self.change(run, now, move |head| transition::cancel(head, &reason)).await
    }

    async fn requeue(
        &self,
        run: RunId,
        max_attempts: u32,
        scheduled_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError> {
        self.change(run, now, move |head| transition::requeue(head, max_attempts, scheduled_at)).await
    }

    async fn cancel_many(
        &self,
        filter: RunFilter,
        reason: String,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<BulkOutcome, StoreError> {
        self.bulk(Bulk::Cancel { filter, reason }, dry_run, now).await
    }

    async fn requeue_many(
        &self,
        filter: DeadFilter,
        spread: Duration,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<BulkOutcome, StoreError> {
        self.bulk(Bulk::Requeue { filter, spread }, dry_run, now).await
    }

    async fn discard_many(
        &self,
        filter: DeadFilter,
        reason: String,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<BulkOutcome, StoreError> {
        self.bulk(Bulk::Discard { filter, reason }, dry_run, now).await
    }

    async fn put_order(&self, order: Order) -> Result<Order, StoreError> {
        self.commit(move |commit| commands::put_order(commit, &order), |order, _| order).await
    }

    async fn clear_mail(&self) -> Result<usize, StoreError> {
        self.commit(
            |commit| {
                let (count, newest) = commit.index.mail_log();
                let records = newest.map(|up_to| Record::MailCleared { up_to }).into_iter().collect();
                Decision::Write(records, count)
            },
            |count, _| count,
        )
        .await
    }

    async fn prune(&self, retention: Retention, now: Timestamp) -> Result<Pruned, StoreError> {
        self.commit(move |commit| commands::prune(commit, &retention, now), |pruned, _| pruned).await
    }

    async fn import(&self, records: Vec<Record>) -> Result<usize, StoreError> {
        let mut records = records;
        self.commit(move |commit| commands::import(commit, &mut records), |count, _| count).await
    }

    fn changes(&self) -> broadcast::Receiver<Arc<[Change]>> {
        self.changes.subscribe()
    }

    async fn close(&self) -> Result<(), StoreError> {
        let closed = self.queue.close().ok_or(StoreError::Closed)?;
        closed.await.map_err(|_| StoreError::Closed)?
    }
}

/// The starts of due runs, as many as there is room for: the run, the number of the entry in its journal, the entry.
fn startable(index: &Index, room: &Room, now: Timestamp) -> Vec<(RunId, u32, Entry)> {
    let jobs: Vec<&JobId> = room.jobs.iter().map(|(job, _)| job).collect();
    let version_of = |head: &RunHead| room.jobs.iter().find(|(job, _)| *job == head.job).map(|(_, version)| *version);
    let due = index.claimable(&jobs).filter(|head| !index.locked.contains(&head.id));
    let starts = due.filter_map(|head| {
        let kind = transition::claim(head, version_of(head)?, now).ok()?;
        Some((head.id, index.row(head.id)?.entries, Entry { at: now, kind }))
    });
    starts.take(room.permits).collect()
}

/// A run that was taken.
struct Taken {
    head: RunHead,
    /// Its payload, where it was at hand.
    payload: Option<Json>,
    /// Where its journal begins.
    first: Option<Place>,
    /// Nothing happened to it since it was enqueued.
    is_first: bool,
}
