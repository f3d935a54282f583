//! What a store with a planted bug is asked.
//! Its bugs are in `planted`, and what it changes in `planted_store`.

use std::sync::Arc;

use async_trait::async_trait;
use jobmill_core::audit::AuditEntry;
use jobmill_core::delivery::Delivery;
use jobmill_core::job::JobVersion;
use jobmill_core::mail::DoubtfulMail;
use jobmill_core::order::Order;
use jobmill_core::suppression::Suppression;
use jobmill_core::token::Token;
use jobmill_core::{AuditId, DeliveryId, EventId, EventKey, JobId, MailId, Run, RunHead, RunId, Timestamp};
use jobmill_store::{
    Activity, AuditFilter, Counts, Cursor, DeadGroup, DeliveryFilter, DeliverySummary, EventFilter, EventRecord,
    Export, JobFlowView, MailFilter, MailSummary, MailView, Neighbours, Page, Query, QueueView, RunFilter, RunRecord,
    Schedule, StoreError, SuppressionCursor, Totals, VersionUsage, WaitingFor,
};

use crate::planted_store::PlantedStore;

#[async_trait]
impl Query for PlantedStore {
    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.store.run(id).await
    }

    async fn heads(&self, ids: &[RunId]) -> Result<Vec<RunHead>, StoreError> {
        self.store.heads(ids).await
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

    async fn counts_of(&self, filter: &RunFilter, most: usize, now: Timestamp) -> Result<Option<Counts>, StoreError> {
        self.store.counts_of(filter, most, now).await
    }

    async fn neighbours(&self, run: RunId) -> Result<Neighbours, StoreError> {
        self.store.neighbours(run).await
    }

    async fn event(&self, id: &EventId) -> Result<Option<EventRecord>, StoreError> {
        self.store.event(id).await
    }

    async fn event_by_key(&self, key: EventKey) -> Result<Option<EventRecord>, StoreError> {
        self.store.event_by_key(key).await
    }

    async fn events(
        &self,
        filter: &EventFilter,
        after: Option<EventKey>,
        limit: usize,
    ) -> Result<Page<EventRecord, EventKey>, StoreError> {
        self.store.events(filter, after, limit).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.store.delivery(id).await
    }

    async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Page<DeliverySummary, DeliveryId>, StoreError> {
        self.store.deliveries(filter, after, limit).await
    }

    async fn audit(
        &self,
        filter: &AuditFilter,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<Page<AuditEntry, AuditId>, StoreError> {
        self.store.audit(filter, after, limit).await
    }

    async fn tokens(&self) -> Result<Arc<[Token]>, StoreError> {
        self.store.tokens().await
    }

    async fn versions(&self, job: &JobId) -> Result<Vec<JobVersion>, StoreError> {
        self.store.versions(job).await
    }

    async fn dead_groups(&self) -> Result<Vec<DeadGroup>, StoreError> {
        self.store.dead_groups().await
    }

    async fn counts(&self, job: Option<&JobId>, now: Timestamp) -> Result<Counts, StoreError> {
        self.store.counts(job, now).await
    }

    async fn activity(&self, now: Timestamp) -> Result<Activity, StoreError> {
        self.store.activity(now).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.store.totals().await
    }

    async fn usage(&self, job: &JobId) -> Result<Vec<VersionUsage>, StoreError> {
        self.store.usage(job).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_due(now).await
    }

    async fn waiting_for(&self, id: RunId, now: Timestamp) -> Result<Option<WaitingFor>, StoreError> {
        self.store.waiting_for(id, now).await
    }

    async fn queues(&self, now: Timestamp) -> Result<Vec<QueueView>, StoreError> {
        self.store.queues(now).await
    }

    async fn job_flow(&self, job: &JobId, now: Timestamp) -> Result<JobFlowView, StoreError> {
        self.store.job_flow(job, now).await
    }

    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        self.store.schedules().await
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

    async fn mails_in_doubt(&self, run: RunId) -> Result<Vec<DoubtfulMail>, StoreError> {
        self.store.mails_in_doubt(run).await
    }

    async fn suppression(&self, address: &str) -> Result<Option<Suppression>, StoreError> {
        self.store.suppression(address).await
    }

    async fn suppressions(
        &self,
        after: Option<SuppressionCursor>,
        limit: usize,
    ) -> Result<Page<Suppression, SuppressionCursor>, StoreError> {
        self.store.suppressions(after, limit).await
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
