//! What the doors of the engine (HTTP, the command line, tests) may do with runs: cancel, requeue, ask, control.
//! How they come in is in `intake`.
//! It decides no transition; the store records what `core` decides, and the engine's loop is woken by it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::job::LimitSettings;
use jobmill_core::mail::{InDoubt, InDoubtChoice};
use jobmill_core::order::Order;
use jobmill_core::suppression::Suppression;
use jobmill_core::token::{Secret, Token};
use jobmill_core::transition::Refused;
use jobmill_core::{Clock, Entropy, JobId, Json, RunHead, RunId, RunState, Timestamp, TokenId};
use jobmill_store::{
    BulkOutcome, Change, DeadFilter, Doubts, Forget, Forgotten, JobControl, MailInDoubt, Pause, Pruned, Query,
    QueueChange, QueueControl, Retention, RunFilter, RunRecord, Store, StoreError, Suppressed,
};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, SharedCatalog};
use crate::changes::{Heard, Listener};
use crate::intake::{Accepted, EnqueueError, EnqueueRequest};
use crate::maintenance;
use crate::rollback::HopperRequest;

/// Why a run was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such run.
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    /// Its state does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It may have sent a mail, and nobody has said whether it did.
    #[error(transparent)]
    MailInDoubt(#[from] MailInDoubt),
    /// The store can't take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The engine's doors. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: SharedCatalog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) generation: watch::Receiver<u64>,
    /// The owner of what is loaded.
    pub(crate) hopper: mpsc::Sender<HopperRequest>,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) concurrency: usize,
    pub(crate) retention: Retention,
    pub(crate) waiting: u32,
    pub(crate) limits: Arc<LimitSettings>,
    pub(crate) in_doubt: InDoubt,
    pub(crate) event_id_window: Duration,
    pub(crate) queues: Arc<BTreeMap<String, u32>>,
    /// One permit for each trial.
    pub(crate) trials: Arc<Semaphore>,
}

impl Handle {
    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends when `span` of the engine's time is over.
    pub async fn sleep(&self, span: Duration) {
        self.clock.sleep(span).await;
    }

    /// Questions to the store.
    pub fn query(&self) -> &dyn Query {
        &*self.store
    }

    /// What is loaded.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// Whether the first catalog is built and work is taken.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow() && !self.shutdown.is_cancelled()
    }

    /// Ends when work is taken, or will not be any more.
    pub async fn ready(&self) {
        let mut ready = self.ready.clone();
        // An engine that is gone will not get ready; nobody is to wait for it.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// Rises with each change of what is loaded.
    pub fn catalog_changes(&self) -> watch::Receiver<u64> {
        self.generation.clone()
    }

    /// What changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Arc<[Change]>> {
        self.store.changes()
    }

    /// Asks the engine to stop: claim nothing more, give running attempts their grace.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Ends when the engine was asked to stop.
    pub async fn shutting_down(&self) {
        self.shutdown.cancelled().await;
    }

    /// Cancels a run. One that runs is stopped; it may still complete if it ends first.
    pub async fn cancel(&self, run: RunId, reason: &str) -> Result<RunHead, ChangeError> {
        let head = changed(run, self.store.cancel(run, reason.to_owned(), self.clock.now()).await?)?;
        if head.state != RunState::Running {
            return Ok(head);
        }
        // The attempt stops within milliseconds; the answer then tells what became of the run.
        let stopped = self.wait_final(run, Duration::from_secs(2)).await?;
        Ok(stopped.map_or(head, |record| record.run.head))
    }

    /// Puts a dead or cancelled run back, whose attempts start anew, and makes one due that waits for its time or its next
    /// attempt. Where mails in doubt are parked, a run that has any needs a choice.
    pub async fn retry(&self, run: RunId, choice: Option<InDoubtChoice>) -> Result<RunHead, ChangeError> {
        let head = self.store.heads(&[run]).await?.pop().ok_or(ChangeError::UnknownRun(run))?;
        let now = self.clock.now();
        let is_ready = matches!(head.state_at(now), RunState::Available | RunState::Running | RunState::Completed);
        if self.doubts(choice) == Doubts::Refuse && !is_ready {
            let mails = self.store.mails_in_doubt(run).await?;
            if !mails.is_empty() {
                return Err(MailInDoubt { run, mails }.into());
            }
        }
        if !head.state.is_final() {
            return changed(run, self.store.make_due(run, choice, now).await?);
        }
        let catalog = self.catalog.load();
        let max_attempts = catalog.serving(&head.job).map_or(head.max_attempts, |it| it.job.max_attempts());
        changed(run, self.store.requeue(run, max_attempts, now, choice, now).await?)
    }

    /// What is to become of the mails in doubt of runs that are put back with this choice.
    fn doubts(&self, choice: Option<InDoubtChoice>) -> Doubts {
        match (choice, self.in_doubt) {
            (Some(choice), _) => Doubts::Decide(choice),
            (None, InDoubt::Park) => Doubts::Refuse,
            (None, InDoubt::Resend) => Doubts::Leave,
        }
    }

    /// Enqueues a new run with the payload of `run`, or another one.
    pub async fn rerun(&self, run: RunId, payload: Option<Json>) -> Result<Accepted, RerunError> {
        let record = self.store.run(run).await.map_err(ChangeError::from)?.ok_or(ChangeError::UnknownRun(run))?;
        let payload = payload.unwrap_or(record.run.payload);
        let tags = record.run.head.tags.to_vec();
        let request = EnqueueRequest { tags, rerun_of: Some(run), ..EnqueueRequest::new(record.run.head.job, payload) };
        Ok(self.enqueue(request).await?)
    }

    /// Cancels the runs that a filter names.
    pub async fn cancel_many(&self, filter: RunFilter, reason: String, dry: bool) -> Result<BulkOutcome, StoreError> {
        self.store.cancel_many(filter, reason, dry, self.clock.now()).await
    }

    /// Puts dead runs back, spread evenly over `spread`. Where mails in doubt are parked, runs that have any need a choice.
    pub async fn requeue_many(
        &self,
        filter: DeadFilter,
        spread: Duration,
        choice: Option<InDoubtChoice>,
        dry: bool,
    ) -> Result<BulkOutcome, StoreError> {
        self.store.requeue_many(filter, spread, self.doubts(choice), dry, self.clock.now()).await
    }

    /// Puts dead runs aside for good.
    pub async fn discard_many(&self, filter: DeadFilter, reason: String, dry: bool) -> Result<BulkOutcome, StoreError> {
        self.store.discard_many(filter, reason, dry, self.clock.now()).await
    }

    /// Says of a queue what an operator wants of it.
    pub async fn control_queue(&self, name: String, change: QueueChange) -> Result<QueueControl, StoreError> {
        self.store.control_queue(name, change, self.clock.now()).await
    }

    /// Pauses a job: runs under way go on, and none begins.
    pub async fn pause_job(&self, job: JobId, by: String) -> Result<JobControl, StoreError> {
        self.store.control_job(job, Some(Pause { by, at: self.clock.now() })).await
    }

    /// Lets a job go on that was paused, by an operator or by its breaker.
    pub async fn resume_job(&self, job: JobId) -> Result<JobControl, StoreError> {
        self.store.control_job(job, None).await
    }

    /// Writes an order of the embedded book.
    pub async fn put_order(&self, order: Order) -> Result<Order, StoreError> {
        self.store.put_order(order).await
    }

    /// Empties the e-mail log; answers how many mails it showed.
    pub async fn clear_mail(&self) -> Result<usize, StoreError> {
        self.store.clear_mail().await
    }

    /// Stops mail to an address.
    pub async fn suppress(&self, suppression: Suppression) -> Result<Suppressed, StoreError> {
        self.store.suppress(suppression).await
    }

    /// Lets an address get mail again; none when it got mail all along.
    pub async fn lift_suppression(&self, address: String) -> Result<Option<Suppression>, StoreError> {
        self.store.lift_suppression(address).await
    }

    /// The API tokens that were made, revoked ones too, by id. Cheap.
    pub async fn tokens(&self) -> Result<Arc<[Token]>, StoreError> {
        self.store.tokens().await
    }

    /// A new id and secret for an API token.
    pub fn new_secret(&self) -> (TokenId, Secret) {
        (TokenId::generate(self.clock.now(), &*self.entropy), Secret::generate(&*self.entropy))
    }

    /// Keeps an API token.
    pub async fn create_token(&self, token: Token) -> Result<(), StoreError> {
        self.store.put_token(token).await
    }

    /// Revokes an API token, at once; none when there is none.
    pub async fn revoke_token(&self, id: TokenId) -> Result<Option<Token>, StoreError> {
        self.store.revoke_token(id, self.clock.now()).await
    }

    /// An API token was used.
    pub async fn touch_token(&self, id: TokenId) -> Result<(), StoreError> {
        self.store.touch_token(id, self.clock.now()).await
    }

    /// How many attempts go on at once.
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// How many runs may wait, over all jobs.
    pub fn waiting_limit(&self) -> u32 {
        self.waiting
    }

    /// How much an attempt of any job may take, where the job's own entry in the configuration says nothing.
    pub fn limits(&self) -> &LimitSettings {
        &self.limits
    }

    /// How long final runs are kept.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Takes out everything whose time to be kept is over.
    pub async fn prune(&self, retention: Retention) -> Result<Pruned, StoreError> {
        maintenance::prune(&*self.store, retention, self.clock.now()).await
    }

    /// Deletes whatever carries what is to be forgotten, from the files too. Nothing else is served for as long as that
    /// takes, which is some seconds for a million runs.
    pub async fn forget(&self, what: Forget, dry_run: bool) -> Result<Forgotten, StoreError> {
        let store = Arc::clone(&self.store);
        let runtime = tokio::runtime::Handle::current();
        // It reads everything, and those who serve others must not wait for the disk.
        let forgetting = tokio::task::spawn_blocking(move || runtime.block_on(store.forget(what, dry_run)));
        forgetting.await.map_err(|error| StoreError::Failed(format!("forgetting failed: {error}")))?
    }

    /// The run once it is final; none when it is not within `limit`.
    pub async fn wait_final(&self, run: RunId, limit: Duration) -> Result<Option<RunRecord>, StoreError> {
        let mut changes = Listener::to(&*self.store);
        let deadline = self.clock.sleep(limit);
        tokio::pin!(deadline);
        loop {
            if let Some(record) = self.store.run(run).await?
                && record.run.head.state.is_final()
            {
                return Ok(Some(record));
            }
            loop {
                let heard = tokio::select! {
                    heard = changes.next() => heard?,
                    () = &mut deadline => return Ok(None),
                };
                match heard {
                    Heard::Changes(changes) if changes.iter().any(|it| it.run == run && it.state.is_final()) => break,
                    Heard::Changes(_) => {}
                    Heard::Missed => break,
                }
            }
        }
    }
}

/// Why a run was not repeated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RerunError {
    /// The run itself.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The new run.
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
}

fn changed(run: RunId, answer: Option<Result<RunHead, Refused>>) -> Result<RunHead, ChangeError> {
    Ok(answer.ok_or(ChangeError::UnknownRun(run))??)
}
