//! Bugs that are planted at the boundaries, to see that they are found: a simulator that finds none proves nothing.
//! What it wraps is the production code; without a plant nothing here is in the way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jobmill_core::journal::EntryKind;
use jobmill_core::mail::MailStatus;
use jobmill_core::order::Order;
use jobmill_core::transition::Refused;
use jobmill_core::{EventId, JobId, MailId, Run, RunHead, RunId, Timestamp};
use jobmill_store::{
    BulkOutcome, Change, Claimed, Counts, Cursor, DeadFilter, DeadGroup, Enqueued, EventRecord, Export, LeaseReference,
    Log, LogError, LogOpener, LogReader, LogStore, MailFilter, MailSummary, MailView, NewEvent, NewRun, Notes, Page,
    Place, Pruned, Published, Query, Record, RecordError, Retention, Room, RunFilter, RunRecord, Space, Store,
    StoreError,
};
use tokio::sync::broadcast;

use crate::life::Flaw;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// The log acknowledges what it did not sync.
    UnsyncedLog,
    /// The log writes the first half of a group only.
    TornGroups,
    /// The log keeps no notes of starts.
    NoNotes,
    /// The log does not read its notes back.
    UnreadNotes,
    /// The log gives one block too many back.
    GreedyRelease,
    /// The store lets whoever lost a lease write.
    IgnoredLeases,
    /// The store forgets unique keys.
    NoUniqueKeys,
    /// The store hands runs out before their time.
    EarlyClaims,
    /// The store hands a run out twice.
    DoubleClaims,
    /// The store hands runs out without what their earlier attempts did.
    ForgottenJournals,
    /// The store prunes what has only just ended.
    HastyPruning,
    /// The store says that it cancelled, and did not.
    SwallowedCancels,
    /// The store rescues nothing after a crash.
    NoRescue,
    /// The store counts no failed attempt.
    UncountedAttempts,
    /// The store forgets that mails were sent.
    UnsettledMails,
    /// Randomness begins anew with each process.
    RepeatedEntropy,
    /// The shell has a bug.
    Shell(Flaw),
}

impl Plant {
    pub(crate) const ALL: [Self; 19] = [
        Self::UnsyncedLog,
        Self::TornGroups,
        Self::NoNotes,
        Self::UnreadNotes,
        Self::GreedyRelease,
        Self::IgnoredLeases,
        Self::NoUniqueKeys,
        Self::EarlyClaims,
        Self::DoubleClaims,
        Self::ForgottenJournals,
        Self::HastyPruning,
        Self::SwallowedCancels,
        Self::NoRescue,
        Self::UncountedAttempts,
        Self::UnsettledMails,
        Self::RepeatedEntropy,
        Self::Shell(Flaw::Deaf),
        Self::Shell(Flaw::Silent),
        Self::Shell(Flaw::Unmoved),
    ];

    pub(crate) fn flaw(self) -> Option<Flaw> {
        if let Self::Shell(flaw) = self { Some(flaw) } else { None }
    }
}

/// Opens a log with a bug.
pub(crate) struct PlantedOpener<Opener>(pub(crate) Opener, pub(crate) Plant);

impl<Opener: LogOpener> LogOpener for PlantedOpener<Opener> {
    fn open(&mut self) -> Result<Box<dyn Log>, LogError> {
        Ok(Box::new(PlantedLog(self.0.open()?, self.1)))
    }
}

struct PlantedLog(Box<dyn Log>, Plant);

impl Log for PlantedLog {
    fn reader(&self) -> Arc<dyn LogReader> {
        self.0.reader()
    }

    fn notes(&self) -> Arc<dyn Notes> {
        match self.1 {
            Plant::NoNotes => Arc::new(NoNotes),
            Plant::UnreadNotes => Arc::new(UnreadNotes(self.0.notes())),
            _ => self.0.notes(),
        }
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Place, Record)) -> Result<(), LogError> {
        self.0.scan(visit)
    }

    fn append(&mut self, group: &[Record]) -> Result<Vec<Place>, LogError> {
        if self.1 != Plant::TornGroups || group.len() < 2 {
            return self.0.append(group);
        }
        let mut places = self.0.append(&group[..group.len() / 2])?;
        let last = places[places.len() - 1];
        places.resize(group.len(), last);
        Ok(places)
    }

    fn sync(&mut self) -> Result<(), LogError> {
        if self.1 == Plant::UnsyncedLog { Ok(()) } else { self.0.sync() }
    }

    fn release(&mut self, block: u64) -> Result<(), LogError> {
        self.0.release(if self.1 == Plant::GreedyRelease { block + 1 } else { block })
    }

    fn space(&self) -> Result<Space, LogError> {
        self.0.space()
    }
}

struct NoNotes;

impl Notes for NoNotes {
    fn add(&self, _: &[Record]) -> Result<bool, LogError> {
        Ok(true)
    }

    fn begin(&self, _: &[Record]) -> Result<(), LogError> {
        Ok(())
    }

    fn read(&self) -> Result<Vec<Record>, LogError> {
        Ok(Vec::new())
    }
}

struct UnreadNotes(Arc<dyn Notes>);

impl Notes for UnreadNotes {
    fn add(&self, starts: &[Record]) -> Result<bool, LogError> {
        self.0.add(starts)
    }

    fn begin(&self, starts: &[Record]) -> Result<(), LogError> {
        self.0.begin(starts)
    }

    fn read(&self) -> Result<Vec<Record>, LogError> {
        Ok(Vec::new())
    }
}

/// A store with a bug.
pub(crate) struct PlantedStore {
    store: LogStore,
    plant: Plant,
    claimed: Mutex<Option<Claimed>>,
}

impl PlantedStore {
    pub(crate) fn new(store: LogStore, plant: Plant) -> Self {
        Self { store, plant, claimed: Mutex::default() }
    }

    fn has(&self, plant: Plant) -> bool {
        self.plant == plant
    }

    fn twisted(&self, mut entries: Vec<EntryKind>) -> Vec<EntryKind> {
        for kind in &mut entries {
            match kind {
                EntryKind::Finished(finished) if self.has(Plant::UncountedAttempts) => finished.counted = false,
                EntryKind::MailSettled { status, .. } if self.has(Plant::UnsettledMails) => {
                    *status = MailStatus::InDoubt;
                }
                _ => {}
            }
        }
        entries
    }
}

#[async_trait]
impl Store for PlantedStore {
    async fn enqueue(&self, mut runs: Vec<NewRun>, now: Timestamp) -> Result<Vec<Enqueued>, StoreError> {
        if self.has(Plant::NoUniqueKeys) {
            for run in &mut runs {
                run.unique_key = None;
            }
        }
        self.store.enqueue(runs, now).await
    }

    async fn publish(&self, events: Vec<NewEvent>, now: Timestamp) -> Result<Vec<Published>, StoreError> {
        self.store.publish(events, now).await
    }

    async fn claim(&self, room: Room, now: Timestamp) -> Result<Vec<Claimed>, StoreError> {
        let now = if self.has(Plant::EarlyClaims) { now.after(Duration::from_secs(1)) } else { now };
        let permits = room.permits;
        let mut claimed = self.store.claim(room, now).await?;
        if self.has(Plant::ForgottenJournals) {
            for run in &mut claimed {
                run.journal.clear();
            }
        }
        if self.has(Plant::DoubleClaims) {
            let mut last = self.claimed.lock().expect("not poisoned");
            let again = last.take().filter(|_| claimed.len() < permits);
            last.clone_from(&claimed.first().cloned());
            claimed.extend(again);
        }
        Ok(claimed)
    }

    async fn record(&self, lease: LeaseReference, entries: Vec<EntryKind>, now: Timestamp) -> Result<(), RecordError> {
        self.store.record(lease, self.twisted(entries), now).await
    }

    async fn finish(
        &self,
        lease: LeaseReference,
        entries: Vec<EntryKind>,
        now: Timestamp,
    ) -> Result<RunHead, RecordError> {
        let finished = self.store.finish(lease, self.twisted(entries.clone()), now).await;
        if self.has(Plant::IgnoredLeases) && matches!(finished, Err(RecordError::LeaseLost(_))) {
            let record = self.store.run(lease.run).await?;
            let current = record.map_or(0, |record| record.run.head.lease);
            return self.store.finish(LeaseReference { token: current, ..lease }, entries, now).await;
        }
        finished
    }

    async fn rescue(&self, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        if self.has(Plant::NoRescue) { Ok(Vec::new()) } else { self.store.rescue(now).await }
    }

    async fn cancel(
        &self,
        run: RunId,
        reason: String,
        now: Timestamp,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError> {
        if self.has(Plant::SwallowedCancels) {
            return Ok(self.store.run(run).await?.map(|record| Ok(record.run.head)));
        }
        self.store.cancel(run, reason, now).await
    }

    async fn requeue(
        &self,
        run: RunId,
        max_attempts: u32,
        scheduled_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError> {
        self.store.requeue(run, max_attempts, scheduled_at, now).await
    }

    async fn cancel_many(
        &self,
        filter: RunFilter,
        reason: String,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<BulkOutcome, StoreError> {
        self.store.cancel_many(filter, reason, dry_run, now).await
    }

    async fn requeue_many(
        &self,
        filter: DeadFilter,
        spread: Duration,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<BulkOutcome, StoreError> {
        self.store.requeue_many(filter, spread, dry_run, now).await
    }

    async fn discard_many(
        &self,
        filter: DeadFilter,
        reason: String,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<BulkOutcome, StoreError> {
        self.store.discard_many(filter, reason, dry_run, now).await
    }

    async fn put_order(&self, order: Order) -> Result<Order, StoreError> {
        self.store.put_order(order).await
    }

    async fn clear_mail(&self) -> Result<usize, StoreError> {
        self.store.clear_mail().await
    }

    async fn prune(&self, retention: Retention, now: Timestamp) -> Result<Pruned, StoreError> {
        let now = if self.has(Plant::HastyPruning) { now.after(Duration::from_hours(48)) } else { now };
        self.store.prune(retention, now).await
    }

    async fn import(&self, records: Vec<Record>) -> Result<usize, StoreError> {
        self.store.import(records).await
    }

    fn changes(&self) -> broadcast::Receiver<Arc<[Change]>> {
        self.store.changes()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

#[async_trait]
impl Query for PlantedStore {
    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.store.run(id).await
    }

    async fn runs(
        &self,
        filter: &RunFilter,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page<Run>, StoreError> {
        self.store.runs(filter, after, limit, now).await
    }

    async fn event(&self, id: &EventId) -> Result<Option<EventRecord>, StoreError> {
        self.store.event(id).await
    }

    async fn dead_groups(&self) -> Result<Vec<DeadGroup>, StoreError> {
        self.store.dead_groups().await
    }

    async fn counts(&self, job: Option<&JobId>, now: Timestamp) -> Result<Counts, StoreError> {
        self.store.counts(job, now).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_due(now).await
    }

    async fn position(&self, id: RunId, now: Timestamp) -> Result<Option<usize>, StoreError> {
        self.store.position(id, now).await
    }

    async fn mails(
        &self,
        filter: &MailFilter,
        after: Option<MailId>,
        limit: usize,
    ) -> Result<Page<MailSummary, MailId>, StoreError> {
        self.store.mails(filter, after, limit).await
    }

    async fn mail(&self, id: MailId) -> Result<Option<MailView>, StoreError> {
        self.store.mail(id).await
    }

    async fn orders(&self, after: Option<&str>, limit: usize) -> Result<Page<Order, String>, StoreError> {
        self.store.orders(after, limit).await
    }

    async fn order(&self, id: &str) -> Result<Option<Order>, StoreError> {
        self.store.order(id).await
    }

    async fn export(&self) -> Result<Export, StoreError> {
        self.store.export().await
    }
}
