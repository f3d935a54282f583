//! The log-backed store: an index in memory over a log on disk, and the commands that change both.
//! It writes nothing itself; the committer does, for everybody at once. Questions are answered in `reading`.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use jobmill_core::audit::AuditEntry;
use jobmill_core::job::JobVersion;
use jobmill_core::journal::{Entry, EntryKind};
use jobmill_core::mail::InDoubtChoice;
use jobmill_core::order::Order;
use jobmill_core::suppression::{AddressDigest, Suppression};
use jobmill_core::token::Token;
use jobmill_core::transition::{self, Refused};
use jobmill_core::{JobId, Json, MailId, RunHead, RunId, Timestamp, TokenId, limits};
use tokio::sync::{broadcast, oneshot};

use crate::auditing::Queued;
use crate::commands::{self, Bulk, Decision};
use crate::committer::{Command, Commit, Committer, Shared, Step, load};
use crate::flow::{Chosen, JobControl, Pause, QueueControl};
use crate::forgetting::{Forget, Forgotten, Found};
use crate::index::Index;
use crate::log::{LogError, LogOpener, Notes, Place, Record};
use crate::mailing::{Doubts, NotReleased, Release, Settlement, Suppressed};
use crate::query::{DeadFilter, Query as _, RunFilter};
use crate::queue::Queue;
use crate::store::{
    BulkOutcome, Change, Claim, Claimed, Enqueued, Firing, LeaseReference, NewDelivery, NewEvent, NewRun, Pruned,
    Published, QueueChange, Received, RecordError, Retention, Room, Store, StoreError,
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
    pub(crate) components: Arc<dyn crate::components::Components>,
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
        let (loaded, components) = (load(&mut *opener)?, opener.components());
        let queue = Arc::new(Queue::new());
        let (changes, _) = broadcast::channel(CHANGES_WAITING);
        let (committer, shared) = Committer::new(opener, loaded, Arc::clone(&queue), changes.clone());
        Ok((Self { queue, shared, changes, components, thread: None }, committer))
    }

    /// The e-mail log shows at most so many captured mails from now on, the newest; the older ones only their runs show.
    pub fn keep_captured(&self, most: usize) {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.index.mails.keep_captured(Some(most));
    }

    /// Sends a command to the committer and waits for its answer.
    pub(crate) async fn commit<T: Send + 'static, R: Send + 'static>(
        &self,
        decide: impl FnMut(&mut Commit<'_>) -> Decision<T> + Send + 'static,
        resolve: impl FnOnce(T, &Index) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        self.queue(decide, resolve).await?.await.map_err(|_| StoreError::Closed)?
    }

    /// Sends a command to the committer; answers what its answer comes by.
    async fn queue<T: Send + 'static, R: Send + 'static>(
        &self,
        mut decide: impl FnMut(&mut Commit<'_>) -> Decision<T> + Send + 'static,
        resolve: impl FnOnce(T, &Index) -> R + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<R, StoreError>>, StoreError> {
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
        Ok(answer)
    }

    /// Takes due runs: decided and taken in at once, noted, and written with the next commit.
    fn take(&self, room: &Room, now: Timestamp) -> Result<Taken, StoreError> {
        if !self.queue.is_open() {
            return Err(StoreError::Closed);
        }
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(refusing) = &shared.refusing {
            return Err(refusing.clone());
        }
        let Shared { index, notes, .. } = &mut *shared;
        index.set_rules(&room.rules);
        let mut chosen = Vec::new();
        let mut overdue = true;
        // Where what is due can't be run, there may be more behind it that can.
        while overdue && chosen.len() < room.permits {
            overdue = index.promote(now, limits::DUE_PER_CLAIM);
            chosen.extend(index.choose(now, room.permits - chosen.len()));
        }
        let (left, expired) = (index.has_ready(), index.lapsed(now).next().is_some());
        if chosen.is_empty() {
            return Ok(Taken { runs: Vec::new(), left, expired });
        }
        let starts: Vec<_> = chosen.iter().filter_map(|chosen| start(index, chosen, now)).collect();
        let noted =
            if starts.len() == chosen.len() { note(index, notes.as_deref(), &starts) } else { Err(StoreError::Closed) };
        if let Err(error) = noted {
            chosen.iter().rev().for_each(|chosen| index.put_back(chosen, now));
            return Err(error);
        }
        let mut changes = Vec::with_capacity(starts.len());
        let mut runs = Vec::with_capacity(starts.len());
        for (chosen, (run, first, entry)) in chosen.iter().zip(starts) {
            let payload = index.payload(run).cloned();
            changes.extend(index.start_chosen(chosen, entry));
            if let Some(row) = index.row(run) {
                runs.push(TakenRun {
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
        Ok(Taken { runs, left, expired })
    }

    async fn write_under_lease(
        &self,
        lease: LeaseReference,
        mut entries: Vec<EntryKind>,
        told: Vec<NewEvent>,
        now: Timestamp,
    ) -> Result<Option<RunHead>, RecordError> {
        let written = self.commit(
            move |commit| commands::write_under_lease(commit, lease, &mut entries, &told, now),
            move |result, index| result.map(|()| index.head(lease.run).cloned()),
        );
        written.await?
    }

    async fn change(
        &self,
        run: RunId,
        choice: Option<InDoubtChoice>,
        now: Timestamp,
        decide: impl Fn(&RunHead) -> Result<EntryKind, Refused> + Send + 'static,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError> {
        self.commit(
            move |commit| commands::change(commit, run, choice, now, &decide),
            move |result, index| head_of(run, result, index),
        )
        .await
    }

    async fn bulk(&self, action: Bulk, dry_run: bool, now: Timestamp) -> Result<BulkOutcome, StoreError> {
        self.commit(move |commit| commands::bulk(commit, &action, dry_run, now), |outcome, _| outcome).await
    }
}

/// The run as the index has it after a change.
fn head_of(run: RunId, result: Option<Result<(), Refused>>, index: &Index) -> Option<Result<RunHead, Refused>> {
    match result? {
        Ok(()) => index.head(run).cloned().map(Ok),
        Err(refused) => Some(Err(refused)),
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

    async fn receive(&self, delivery: NewDelivery, now: Timestamp) -> Result<Received, StoreError> {
        self.commit(move |commit| commands::receive(commit, &delivery, now), |received, _| received).await
    }

    async fn put_token(&self, token: Token) -> Result<(), StoreError> {
        self.commit(move |commit| commands::put_token(commit, &token), |(), _| ()).await
    }

    async fn revoke_token(&self, id: TokenId, now: Timestamp) -> Result<Option<Token>, StoreError> {
        self.commit(move |commit| commands::revoke_token(commit, id, now), |token, _| token).await
    }

    async fn touch_token(&self, id: TokenId, now: Timestamp) -> Result<(), StoreError> {
        self.commit(move |commit| commands::touch_token(commit, id, now), |(), _| ()).await
    }

    async fn put_audit(&self, entry: AuditEntry) -> Result<Queued, StoreError> {
        self.queue(move |commit| commands::put_audit(commit, &entry), |(), _| ()).await.map(Queued::new)
    }

    async fn put_version(&self, loaded: JobVersion) -> Result<(), StoreError> {
        self.commit(move |commit| commands::put_version(commit, &loaded), |(), _| ()).await
    }

    async fn claim(&self, room: Room, now: Timestamp) -> Result<Claim, StoreError> {
        let Taken { runs, left, expired } = self.take(&room, now)?;
        let claimed = runs.into_iter().map(|taken| {
            let TakenRun { head, payload, first, is_first } = taken;
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
        let runs = claimed.collect::<Result<_, _>>()?;
        Ok(Claim { runs, left, expired })
    }

    async fn expire(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.commit(move |commit| commands::expire(commit, now), |more, _| more).await
    }

    async fn control_queue(
        &self,
        name: String,
        change: QueueChange,
        now: Timestamp,
    ) -> Result<QueueControl, StoreError> {
        let decide = move |commit: &mut Commit<'_>| commands::control_queue(commit, &name, &change, now);
        self.commit(decide, |control, _| control).await
    }

    async fn fire(&self, firing: Firing, now: Timestamp) -> Result<bool, StoreError> {
        self.commit(move |commit| commands::fire(commit, &firing, now), |fired, _| fired).await
    }

    async fn control_job(&self, job: JobId, paused: Option<Pause>) -> Result<JobControl, StoreError> {
        let decide = move |commit: &mut Commit<'_>| commands::control_job(commit, &job, paused.clone());
        self.commit(decide, |control, _| control).await
    }

    async fn record(&self, lease: LeaseReference, entries: Vec<EntryKind>, now: Timestamp) -> Result<(), RecordError> {
        self.write_under_lease(lease, entries, Vec::new(), now).await.map(|_| ())
    }

    async fn finish(
        &self,
        lease: LeaseReference,
        entries: Vec<EntryKind>,
        told: Vec<NewEvent>,
        now: Timestamp,
    ) -> Result<RunHead, RecordError> {
        let finished = self.write_under_lease(lease, entries, told, now).await?;
        finished.ok_or(RecordError::LeaseLost(lease.run))
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
        self.change(run, None, now, move |head| transition::cancel(head, &reason)).await
    }

    async fn requeue(
        &self,
        run: RunId,
        max_attempts: u32,
        scheduled_at: Timestamp,
        choice: Option<InDoubtChoice>,
        now: Timestamp,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError> {
        self.change(run, choice, now, move |head| transition::requeue(head, max_attempts, scheduled_at)).await
    }

    async fn make_due(
        &self,
        run: RunId,
        choice: Option<InDoubtChoice>,
        now: Timestamp,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError> {
        self.change(run, choice, now, move |head| transition::make_due(head, now)).await
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
        doubts: Doubts,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<BulkOutcome, StoreError> {
        self.bulk(Bulk::Requeue { filter, spread, doubts }, dry_run, now).await
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
        self.commit(|commit| commands::clear_mail(commit), |count, _| count).await
    }

    async fn suppress(&self, suppression: Suppression) -> Result<Suppressed, StoreError> {
        self.commit(move |commit| commands::suppress(commit, &suppression), |suppressed, _| suppressed).await
    }

    async fn lift_suppression(&self, address: String) -> Result<Option<Suppression>, StoreError> {
        let digest = AddressDigest::of(&address);
        self.commit(move |commit| commands::lift(commit, digest), |lifted, _| lifted).await
    }

    async fn begin_release(&self, mail: MailId, now: Timestamp) -> Result<Result<Release, NotReleased>, StoreError> {
        let Some(release) = self.mail_effect(mail)? else { return Ok(Err(NotReleased::UnknownMail(mail))) };
        let Release { run, key, mail } = release.clone();
        let decide = move |commit: &mut Commit<'_>| commands::begin_release(commit, run, &key, &mail, now);
        self.commit(decide, move |begun, _| begun.map(|()| release)).await
    }

    async fn end_release(&self, release: Release, settlement: Settlement, now: Timestamp) -> Result<(), StoreError> {
        let Release { run, key, .. } = release;
        self.commit(move |commit| commands::end_release(commit, run, &key, &settlement, now), |(), _| ()).await
    }

    async fn prune(&self, retention: Retention, now: Timestamp) -> Result<Pruned, StoreError> {
        self.commit(move |commit| commands::prune(commit, &retention, now), |pruned, _| pruned).await
    }

    async fn forget(&self, what: Forget, dry_run: bool) -> Result<Forgotten, StoreError> {
        let mut found = Found::default();
        for record in self.export().await? {
            found.look_at(&record?, &what)?;
        }
        let mut forgotten = found.forgotten.clone();
        if dry_run {
            return Ok(forgotten);
        }
        for runs in found.runs.chunks(limits::PRUNED_AT_ONCE) {
            let (chunk, what) = (runs.to_vec(), what.clone());
            let forget = move |commit: &mut Commit<'_>| commands::forget_runs(commit, &chunk, &what);
            let kept = self.commit(forget, |kept, _| kept).await?;
            for found in runs {
                if let Some(kept) = kept.get(&found.run) {
                    forgotten.leave(found, *kept);
                }
            }
        }
        let decide = move |commit: &mut Commit<'_>| commands::forget_rest(commit, &found, &what);
        self.commit(decide, |(), _| ()).await?;
        // Also when nothing was found: an earlier call may have been cut off before this.
        self.queue.ask_rewrite().await.map_err(|_| StoreError::Closed)??;
        Ok(forgotten)
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

/// The start of a chosen run: the run, the number of the entry in its journal, the entry.
fn start(index: &Index, chosen: &Chosen, now: Timestamp) -> Option<(RunId, u32, Entry)> {
    let row = index.row(chosen.run)?;
    let kind = transition::claim(&row.head, index.version(&row.head.job)?, chosen.bucket, now).ok()?;
    Some((chosen.run, row.entries, Entry { at: now, kind }))
}

/// Writes the starts where the end of the process can't reach them.
fn note(index: &Index, notes: Option<&dyn Notes>, starts: &[(RunId, u32, Entry)]) -> Result<(), StoreError> {
    let as_record = |(run, first, entry)| Record::Journal { run, first, entries: vec![entry] };
    let page = notes.ok_or(StoreError::Closed)?;
    let added: Vec<Record> = starts.iter().cloned().map(as_record).collect();
    if !page.add(&added)? {
        let known = index.starts.iter().map(|(run, (first, entry))| (*run, *first, entry.clone()));
        let all: Vec<Record> = known.map(as_record).chain(added).collect();
        page.begin(&all)?;
    }
    Ok(())
}

/// What was taken.
struct Taken {
    runs: Vec<TakenRun>,
    left: bool,
    expired: bool,
}

/// A run that was taken.
struct TakenRun {
    head: RunHead,
    /// Its payload, where it was at hand.
    payload: Option<Json>,
    /// Where its journal begins.
    first: Option<Place>,
    /// Nothing happened to it since it was enqueued.
    is_first: bool,
}
