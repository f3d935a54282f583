//! The log-backed store: an index in memory over a log on disk.
//! It writes nothing itself; the committer does, for everybody at once.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use jobmill_core::journal::{EntryKind, Memory};
use jobmill_core::order::Order;
use jobmill_core::transition::{self, Refused};
use jobmill_core::{EventId, JobId, MailId, Run, RunHead, RunId, Timestamp, limits};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::commands::{self, Bulk, Decision};
use crate::committer::{Command, Commit, Committer, Message, Step};
use crate::index::Index;
use crate::log::{Log, LogError, LogReader, Record};
use crate::query::{
    Counts, Cursor, DeadFilter, DeadGroup, EventRecord, MailFilter, MailSummary, MailView, Page, Query, RunFilter,
    RunRecord,
};
use crate::store::{
    BulkOutcome, Change, Claimed, Enqueued, LeaseReference, NewEvent, NewRun, Published, RecordError, Room, Store,
    StoreError,
};

/// Changes that a slow listener may be behind before it is told that it missed some.
const CHANGES_WAITING: usize = 4_096;

impl From<LogError> for StoreError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io(text) => Self::Failed(text),
            LogError::Damaged(text) => Self::Damaged(text),
        }
    }
}

/// A `Store` over any `Log`.
pub struct LogStore {
    commands: mpsc::Sender<Message>,
    index: Arc<RwLock<Index>>,
    reader: Arc<dyn LogReader>,
    changes: broadcast::Sender<Change>,
    thread: Option<JoinHandle<()>>,
}

impl LogStore {
    /// Rebuilds the index from the log and starts the thread that writes.
    pub fn open(mut log: impl Log) -> Result<Self, StoreError> {
        let mut index = Index::default();
        let mut headless = None;
        log.scan(&mut |record| {
            if let (None, Record::Journal { run, .. }) = (index.apply(&record), &record) {
                headless.get_or_insert(*run);
            }
        })?;
        if let Some(run) = headless {
            return Err(StoreError::Damaged(format!("the journal of {run} does not begin with its enqueue")));
        }
        let reader = log.reader();
        let index = Arc::new(RwLock::new(index));
        let (commands, receiver) = mpsc::channel(limits::COMMITS_WAITING);
        let (changes, _) = broadcast::channel(CHANGES_WAITING);
        let committer = Committer::new(log, Arc::clone(&index), changes.clone());
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run(receiver))
            .map_err(|error| StoreError::Failed(format!("can't start the thread that writes: {error}")))?;
        Ok(Self { commands, index, reader, changes, thread: Some(thread) })
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a command to the committer and waits for its answer.
    async fn commit<T: Send + 'static, R: Send + 'static>(
        &self,
        claims_at: Option<Timestamp>,
        mut decide: impl FnMut(&mut Commit<'_>) -> Decision<T> + Send + 'static,
        resolve: impl FnOnce(T, &Index) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        let (sender, answer) = oneshot::channel();
        let mut parts = Some((sender, resolve));
        let command: Command = Box::new(move |commit| match decide(commit) {
            Decision::Later => Step::Later,
            Decision::Write(records, value) => {
                if !records.is_empty() {
                    commit.writes.push(records);
                }
                let parts = parts.take();
                Step::Done(Box::new(move |outcome| {
                    // A caller that went away is not told; what it asked for is done all the same.
                    if let Some((sender, resolve)) = parts {
                        let _ = sender.send(outcome.map(|index| resolve(value, index)));
                    }
                }))
            }
        });
        let message = match claims_at {
            Some(now) => Message::Claim(command, now),
            None => Message::Command(command),
        };
        self.commands.send(message).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn write_under_lease(
        &self,
        lease: LeaseReference,
        entries: Vec<EntryKind>,
        now: Timestamp,
    ) -> Result<Option<RunHead>, RecordError> {
        let written = self.commit(
            None,
            move |commit| commands::write_under_lease(commit.index, &mut commit.touched, lease, &entries, now),
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
            None,
            move |commit| commands::change(commit.index, &mut commit.touched, run, now, &decide),
            move |result, index| match result {
                Some(Ok(())) => index.head(run).cloned().map(Ok),
                Some(Err(refused)) => Some(Err(refused)),
                None => None,
            },
        )
        .await
    }

    async fn bulk(&self, action: Bulk, dry_run: bool, now: Timestamp) -> Result<BulkOutcome, StoreError> {
        self.commit(
            None,
            move |commit| commands::bulk(commit.index, &mut commit.touched, &action, dry_run, now),
            |outcome, _| outcome,
        )
        .await
    }

    fn read(&self, id: RunId, entries: u32) -> Result<RunRecord, StoreError> {
        let mut journal = self.reader.journal(id)?;
        // What is appended and not synced yet does not show.
        journal.truncate(entries as usize);
        if journal.len() < entries as usize {
            return Err(StoreError::Damaged(format!("the journal of {id} has entries missing")));
        }
        let run = Run::fold(id, &journal).map_err(|error| StoreError::Damaged(error.to_string()))?;
        Ok(RunRecord { run, journal })
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        // Without senders the committer ends after what is queued.
        let (closed, _) = mpsc::channel(1);
        self.commands = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Store for LogStore {
    async fn enqueue(&self, runs: Vec<NewRun>, now: Timestamp) -> Result<Vec<Enqueued>, StoreError> {
        self.commit(
            None,
            move |commit| commands::enqueue(commit.index, &mut commit.touched, &runs, now),
            |answers, index| answers.into_iter().map(|answer| answer.resolve(index)).collect(),
        )
        .await
    }

    async fn publish(&self, events: Vec<NewEvent>, now: Timestamp) -> Result<Vec<Published>, StoreError> {
        self.commit(
            None,
            move |commit| commands::publish(commit.index, &mut commit.touched, &events, now),
            |answers, _| answers,
        )
        .await
    }

    async fn claim(&self, room: Room, now: Timestamp) -> Result<Vec<Claimed>, StoreError> {
        let heads: Vec<(RunHead, u32)> = self
            .commit(
                Some(now),
                move |commit| {
                    let (records, runs) = commands::claim(commit.index, &mut commit.touched, &room, now);
                    commit.writes.extend(records);
                    Decision::Write(Vec::new(), runs)
                },
                |runs, index| {
                    runs.iter().filter_map(|id| index.row(*id)).map(|row| (row.head.clone(), row.entries)).collect()
                },
            )
            .await?;
        let claimed = heads.into_iter().map(|(head, entries)| {
            let record = self.read(head.id, entries)?;
            // The enqueue and the start of a first attempt have nothing to remember.
            let journal = if record.journal.len() > 2 { record.journal } else { Vec::new() };
            Ok(Claimed { head, payload: record.run.payload, journal })
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
        self.commit(None, move |commit| commands::rescue(commit.index, &mut commit.touched, now), |runs, _| runs).await
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
        self.commit(
            None,
            move |commit| commands::put_order(commit.index, &mut commit.touched, &order),
            |order, _| order,
        )
        .await
    }

    async fn clear_mail(&self) -> Result<usize, StoreError> {
        self.commit(
            None,
            |commit| {
                let (count, newest) = commit.index.mail_log();
                let records = newest.map(|up_to| Record::MailCleared { up_to }).into_iter().collect();
                Decision::Write(records, count)
            },
            |count, _| count,
        )
        .await
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    async fn close(&self) -> Result<(), StoreError> {
        let (done, closed) = oneshot::channel();
        self.commands.send(Message::Close(done)).await.map_err(|_| StoreError::Closed)?;
        closed.await.map_err(|_| StoreError::Closed)?
    }
}

#[async_trait]
impl Query for LogStore {
    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        let entries = self.index().row(id).map(|row| row.entries);
        entries.map(|entries| self.read(id, entries)).transpose()
    }

    async fn runs(
        &self,
        filter: &RunFilter,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page<Run>, StoreError> {
        let rows: Vec<(RunId, u32)> = {
            let index = self.index();
            let ids = index.matching(filter, after, now).take(limit + 1).map(|head| head.id);
            ids.filter_map(|id| index.row(id).map(|row| (id, row.entries))).collect()
        };
        let next = (rows.len() > limit).then(|| rows[limit - 1].0);
        let runs = rows.into_iter().take(limit).map(|(id, entries)| self.read(id, entries).map(|record| record.run));
        Ok(Page { items: runs.collect::<Result<_, _>>()?, next })
    }

    async fn event(&self, id: &EventId) -> Result<Option<EventRecord>, StoreError> {
        let Some(row) = self.index().event(id).cloned() else {
            return Ok(None);
        };
        let data = match row.runs.first() {
            Some(run) => self.run(*run).await?.map(|record| record.run.payload),
            None => self.reader.event_data(id)?,
        };
        let data = data.ok_or_else(|| StoreError::Damaged(format!("the data of event {id} is missing")))?;
        Ok(Some(EventRecord { reference: row.reference, data, received_at: row.received_at, runs: row.runs }))
    }

    async fn dead_groups(&self) -> Result<Vec<DeadGroup>, StoreError> {
        Ok(self.index().dead_groups())
    }

    async fn counts(&self, job: Option<&JobId>, now: Timestamp) -> Result<Counts, StoreError> {
        Ok(self.index().counts(job, now))
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.index().next_due(now))
    }

    async fn position(&self, id: RunId, now: Timestamp) -> Result<Option<usize>, StoreError> {
        Ok(self.index().position(id, now))
    }

    async fn mails(
        &self,
        filter: &MailFilter,
        after: Option<MailId>,
        limit: usize,
    ) -> Result<Page<MailSummary, MailId>, StoreError> {
        let mut items: Vec<MailSummary> = self.index().mails(filter, after).take(limit + 1).cloned().collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|mail| mail.id);
        Ok(Page { items, next })
    }

    async fn mail(&self, id: MailId) -> Result<Option<MailView>, StoreError> {
        let Some(summary) = self.index().mail(id).cloned() else {
            return Ok(None);
        };
        let record = self.run(summary.run).await?;
        let mail = record.and_then(|record| Memory::of(&record.journal).mail(id).map(|it| it.mail.clone()));
        let mail = mail.ok_or_else(|| StoreError::Damaged(format!("the content of {id} is missing")))?;
        Ok(Some(MailView { summary, mail }))
    }

    async fn orders(&self, after: Option<&str>, limit: usize) -> Result<Page<Order, String>, StoreError> {
        let mut items: Vec<Order> = self.index().orders(after).take(limit + 1).map(|order| (**order).clone()).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|order| order.id.clone());
        Ok(Page { items, next })
    }

    async fn order(&self, id: &str) -> Result<Option<Order>, StoreError> {
        Ok(self.index().order(id).map(|order| (**order).clone()))
    }
}
