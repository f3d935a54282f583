//! A store with a planted bug, over the production one.
//! It has no more than one bug at a time, and none of its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jobmill_core::audit::AuditEntry;
use jobmill_core::delivery::DeliveryOutcome;
use jobmill_core::job::{JobVersion, Pin};
use jobmill_core::journal::EntryKind;
use jobmill_core::mail::{InDoubtChoice, MailStatus};
use jobmill_core::notice::{GroupName, Notice};
use jobmill_core::order::Order;
use jobmill_core::suppression::Suppression;
use jobmill_core::token::Token;
use jobmill_core::transition::Refused;
use jobmill_core::{JobId, MailId, RunHead, RunId, Timestamp, TokenId, Version};
use jobmill_store::{
    BulkOutcome, Change, Claim, Claimed, DeadFilter, DeadPulse, Doubts, Enqueued, Firing, Forget, Forgotten,
    JobControl, LeaseReference, LogStore, NewDelivery, NewEvent, NewRun, NotReleased, Notices, Pause, Pruned,
    Published, Query as _, QueueChange, QueueControl, Queued, Received, Record, RecordError, Release, Retention, Room,
    Rules, RunFilter, Settlement, Store, StoreError, Suppressed, Versions, WaitingBounds,
};
use tokio::sync::broadcast;

use crate::planted::Plant;

/// A store with a bug.
pub(crate) struct PlantedStore {
    pub(crate) store: LogStore,
    plant: Plant,
    claimed: Mutex<Option<Claimed>>,
}

impl PlantedStore {
    pub(crate) fn new(store: LogStore, plant: Plant) -> Self {
        Self { store, plant, claimed: Mutex::default() }
    }

    pub(crate) fn has(&self, plant: Plant) -> bool {
        self.plant == plant
    }

    /// The rules as this store has them.
    fn bent(&self, rules: &Arc<Rules>) -> Arc<Rules> {
        let mut bent = Rules::clone(rules);
        for job in bent.jobs.values_mut() {
            match self.plant {
                Plant::LimitsOffByOne => job.concurrency.iter_mut().for_each(|limit| limit.limit += 1),
                Plant::UntakenTokens => job.rate_limit = None,
                Plant::NoBreakers => job.breaker = None,
                _ => return Arc::clone(rules),
            }
        }
        if self.has(Plant::LimitsOffByOne) {
            bent.queues.values_mut().for_each(|limit| *limit += 1);
        }
        Arc::new(bent)
    }

    fn stripped(&self, mut runs: Vec<NewRun>) -> Vec<NewRun> {
        for run in &mut runs {
            match self.plant {
                Plant::NoUniqueKeys => run.unique_key = None,
                Plant::NoBounds => run.flow.waiting = WaitingBounds::default(),
                _ => {}
            }
        }
        runs
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
    async fn enqueue(&self, runs: Vec<NewRun>, now: Timestamp) -> Result<Vec<Enqueued>, StoreError> {
        self.store.enqueue(self.stripped(runs), now).await
    }

    async fn publish(&self, mut events: Vec<NewEvent>, now: Timestamp) -> Result<Vec<Published>, StoreError> {
        for event in &mut events {
            event.runs = self.stripped(std::mem::take(&mut event.runs));
            if self.has(Plant::UnheardCancels) {
                event.cancels.clear();
            }
            if self.has(Plant::NoWindows) {
                event.id_window = Duration::ZERO;
            }
        }
        self.store.publish(events, now).await
    }

    async fn receive(&self, mut delivery: NewDelivery, now: Timestamp) -> Result<Received, StoreError> {
        if self.has(Plant::SplitDeliveries)
            && let Some(event) = delivery.event.take()
        {
            delivery.delivery.outcome = DeliveryOutcome::Published { event: event.reference.key };
            self.store.publish(vec![event], now).await?;
        }
        if self.has(Plant::NoWindows) {
            delivery.window = Duration::ZERO;
        }
        self.store.receive(delivery, now).await
    }

    async fn put_token(&self, token: Token) -> Result<(), StoreError> {
        self.store.put_token(token).await
    }

    async fn revoke_token(&self, id: TokenId, now: Timestamp) -> Result<Option<Token>, StoreError> {
        self.store.revoke_token(id, now).await
    }

    async fn put_audit(&self, entry: AuditEntry) -> Result<Queued, StoreError> {
        self.store.put_audit(entry).await
    }

    async fn touch_token(&self, id: TokenId, now: Timestamp) -> Result<(), StoreError> {
        self.store.touch_token(id, now).await
    }

    async fn put_version(&self, loaded: JobVersion) -> Result<(), StoreError> {
        if self.has(Plant::SwallowedVersions) {
            return Ok(());
        }
        self.store.put_version(loaded).await
    }

    async fn claim(&self, room: Room, now: Timestamp) -> Result<Claim, StoreError> {
        let now = if self.has(Plant::EarlyClaims) { now.after(Duration::from_secs(1)) } else { now };
        let permits = room.permits;
        let room = Room { rules: self.bent(&room.rules), ..room };
        let mut claim = if self.has(Plant::BackdatedClaims) {
            let before = now.before(Duration::from_secs(3)).unwrap_or(now);
            let Claim { mut runs, .. } = self.store.claim(room.clone(), before).await?;
            let rest = Room { permits: permits - runs.len(), ..room };
            let claim = self.store.claim(rest, now).await?;
            runs.extend(claim.runs);
            Claim { runs, ..claim }
        } else {
            self.store.claim(room, now).await?
        };
        let claimed = &mut claim.runs;
        if self.has(Plant::ForgottenJournals) {
            for run in claimed.iter_mut() {
                run.journal.clear();
            }
        }
        if self.has(Plant::DoubleClaims) {
            let mut last = self.claimed.lock().expect("not poisoned");
            let again = last.take().filter(|_| claimed.len() < permits);
            last.clone_from(&claimed.first().cloned());
            claimed.extend(again);
        }
        Ok(claim)
    }

    async fn expire(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.store.expire(now).await
    }

    async fn control_queue(
        &self,
        name: String,
        change: QueueChange,
        now: Timestamp,
    ) -> Result<QueueControl, StoreError> {
        self.store.control_queue(name, change, now).await
    }

    async fn fire(&self, firing: Firing, now: Timestamp) -> Result<bool, StoreError> {
        if self.has(Plant::SplitFirings)
            && let Some(run) = &firing.run
        {
            self.store.enqueue(vec![run.clone()], now).await?;
        }
        self.store.fire(firing, now).await
    }

    async fn control_job(&self, job: JobId, paused: Option<Pause>) -> Result<JobControl, StoreError> {
        self.store.control_job(job, paused).await
    }

    async fn record(&self, lease: LeaseReference, entries: Vec<EntryKind>, now: Timestamp) -> Result<(), RecordError> {
        self.store.record(lease, self.twisted(entries), now).await
    }

    async fn finish(
        &self,
        lease: LeaseReference,
        entries: Vec<EntryKind>,
        told: Vec<NewEvent>,
        now: Timestamp,
    ) -> Result<RunHead, RecordError> {
        let finished = self.store.finish(lease, self.twisted(entries.clone()), told.clone(), now).await;
        if !matches!(finished, Err(RecordError::LeaseLost(_))) {
            if self.has(Plant::UnaskedRetries) && finished.is_ok() {
                let _ = self.store.make_due(lease.run, None, now).await?;
            }
            return finished;
        }
        if self.has(Plant::UntrueEnds) {
            self.store.publish(told.clone(), now).await?;
        }
        if self.has(Plant::IgnoredLeases) {
            let record = self.store.run(lease.run).await?;
            let current = record.map_or(0, |record| record.run.head.lease);
            return self.store.finish(LeaseReference { token: current, ..lease }, entries, told, now).await;
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
        choice: Option<InDoubtChoice>,
        now: Timestamp,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError> {
        self.store.requeue(run, max_attempts, scheduled_at, choice, now).await
    }

    async fn make_due(
        &self,
        run: RunId,
        choice: Option<InDoubtChoice>,
        now: Timestamp,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError> {
        if self.has(Plant::SwallowedRetries) {
            return Ok(self.store.run(run).await?.map(|record| Ok(record.run.head)));
        }
        self.store.make_due(run, choice, now).await
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
        doubts: Doubts,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<BulkOutcome, StoreError> {
        self.store.requeue_many(filter, spread, doubts, dry_run, now).await
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

    async fn suppress(&self, suppression: Suppression) -> Result<Suppressed, StoreError> {
        self.store.suppress(suppression).await
    }

    async fn lift_suppression(&self, address: String) -> Result<Option<Suppression>, StoreError> {
        self.store.lift_suppression(address).await
    }

    async fn begin_release(&self, mail: MailId, now: Timestamp) -> Result<Result<Release, NotReleased>, StoreError> {
        self.store.begin_release(mail, now).await
    }

    async fn end_release(&self, release: Release, settlement: Settlement, now: Timestamp) -> Result<(), StoreError> {
        self.store.end_release(release, settlement, now).await
    }

    async fn prune(&self, retention: Retention, now: Timestamp) -> Result<Pruned, StoreError> {
        let now = if self.has(Plant::HastyPruning) { now.after(Duration::from_hours(48)) } else { now };
        self.store.prune(retention, now).await
    }

    async fn forget(&self, what: Forget, dry_run: bool) -> Result<Forgotten, StoreError> {
        let email = what.email.filter(|_| !self.has(Plant::RememberedMails));
        self.store.forget(Forget { email, ..what }, dry_run).await
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
impl Notices for PlantedStore {
    async fn dead_pulses(&self, most: usize, now: Timestamp) -> Result<Vec<DeadPulse>, StoreError> {
        self.store.dead_pulses(most, now).await
    }

    async fn notices(&self) -> Result<Vec<Notice>, StoreError> {
        self.store.notices().await
    }

    async fn note(&self, notices: Vec<Notice>, gone: Vec<GroupName>) -> Result<(), StoreError> {
        self.store.note(notices, gone).await
    }
}

#[async_trait]
impl Versions for PlantedStore {
    async fn put_component(&self, version: Version, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.store.put_component(version, bytes).await
    }

    async fn component(&self, version: Version) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.component(version).await
    }

    async fn components(&self) -> Result<BTreeSet<Version>, StoreError> {
        self.store.components().await
    }

    async fn trim_components(&self, serving: BTreeSet<Version>) -> Result<(), StoreError> {
        self.store.trim_components(serving).await
    }

    async fn pin(&self, pin: Pin) -> Result<(), StoreError> {
        self.store.pin(pin).await
    }

    async fn unpin(&self, job: JobId) -> Result<Option<Pin>, StoreError> {
        self.store.unpin(job).await
    }

    async fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        self.store.pins().await
    }
}
