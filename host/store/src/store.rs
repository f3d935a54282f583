//! The verbs by which runs are changed. Each call is atomic, and durable when it returns.
//! Time is passed in; nothing here reads a clock or decides a transition.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobmill_core::audit::AuditEntry;
use jobmill_core::job::JobVersion;
use jobmill_core::journal::{Entry, EntryKind};
use jobmill_core::mail::InDoubtChoice;
use jobmill_core::order::{Order, OrderError};
use jobmill_core::suppression::Suppression;
use jobmill_core::token::Token;
use jobmill_core::transition::Refused;
use jobmill_core::{JobId, Json, MailId, RunHead, RunId, RunState, Timestamp, TokenId};
use tokio::sync::broadcast;

pub(crate) use crate::arriving::*;
use crate::auditing::Queued;
use crate::components::Versions;
use crate::flow::{JobControl, Pause, QueueControl, Rules};
use crate::forgetting::{Forget, Forgotten};
use crate::log::Record;
use crate::mailing::{Doubts, NotReleased, Release, Settlement, Suppressed};
use crate::notices::Notices;
use crate::query::{DeadFilter, Query, RunFilter};

/// The store can't do its work. Whoever gets this was not served, and nothing was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no room on the disk for new work. What is under way goes on.
    #[error("no room on the disk for new work: {0}; free some, and work goes on by itself")]
    Full(String),
    /// The store is being opened again after the disk had no room; what was asked for was not done.
    #[error("the store is being opened again ({0}); try again in a moment")]
    Unavailable(String),
    /// As many runs wait as may.
    #[error("{limit} runs{} wait already, which is the limit; try again when some have begun", of_job(.job.as_ref()))]
    Crowded {
        /// The job whose limit it is; none for the limit of all.
        job: Option<JobId>,
        /// How many may wait.
        limit: u32,
    },
    /// Writing or syncing failed. The store takes nothing more until it is opened again.
    #[error("the store has failed and takes nothing more until a restart: {0}")]
    Failed(String),
    /// A record could not be read back.
    #[error("the store holds a damaged record: {0}")]
    Damaged(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

fn of_job(job: Option<&JobId>) -> String {
    job.map(|job| format!(" of {job}")).unwrap_or_default()
}

/// A running-side write was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The run is not, or no longer, held under this lease: write nothing, do nothing more.
    #[error("the lease on {0} is lost")]
    LeaseLost(RunId),
    /// An order change that looked possible is no longer: another run changed the order meanwhile.
    #[error("order changed meanwhile: {0}")]
    Order(OrderError),
    /// The run's journal has no room left.
    #[error("the run's journal is full (limits.journal_entries, limits.journal)")]
    JournalFull,
    /// The store can't do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a schedule goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// The job.
    pub job: JobId,
    /// The cron expression, as it was written.
    pub cron: String,
    /// How far the schedule had come when this was decided; none when it was not in force.
    pub from: Option<Timestamp>,
    /// How far it comes.
    pub up_to: Timestamp,
    /// The run that it makes.
    pub run: Option<NewRun>,
    /// It is not in force any more.
    pub ended: bool,
}

/// What an operator wants of a queue. What is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueChange {
    /// At most so many runs at once; the inner none takes the operator's word back.
    pub concurrency: Option<Option<u32>>,
    /// Paused by whom; the inner none lets it go on.
    pub paused: Option<Option<String>>,
}

/// What may be claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct Room {
    /// At most this many runs.
    pub permits: usize,
    /// What can be run, and under which limits. They hold until a claim brings others.
    pub rules: Arc<Rules>,
}

/// What a claim gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claim {
    /// The runs whose attempts may begin.
    pub runs: Vec<Claimed>,
    /// Due runs are left; a run that ends, or an operator, may let them begin.
    pub left: bool,
    /// The time of some runs to begin is over: `expire` cancels them.
    pub expired: bool,
}

/// How long final runs are kept after they ended, and mails are shown; none is for ever. No run goes before its keys are
/// free again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Completed runs, and events that no job listened to.
    pub completed: Option<Duration>,
    /// Cancelled runs.
    pub cancelled: Option<Duration>,
    /// Dead runs.
    pub dead: Option<Duration>,
    /// Mails in the e-mail log, from when they were first intended. What they say goes with their runs.
    pub mail: Option<Duration>,
    /// Webhook deliveries, from when they came in; at least as long as their ids are remembered.
    pub deliveries: Option<Duration>,
    /// Entries of the audit list.
    pub audit: Option<Duration>,
}

impl Retention {
    /// The ages by state.
    pub(crate) fn ages(&self) -> [(RunState, Duration); 3] {
        let age = |age: Option<Duration>| age.unwrap_or(Duration::MAX);
        [
            (RunState::Completed, age(self.completed)),
            (RunState::Cancelled, age(self.cancelled)),
            (RunState::Dead, age(self.dead)),
        ]
    }
}

/// What pruning took out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs.
    pub runs: usize,
    /// Events that had started nothing.
    pub events: usize,
    /// Mails that the e-mail log shows no more.
    pub mails: usize,
    /// Webhook deliveries.
    pub deliveries: usize,
    /// Entries of the audit list.
    pub audit: usize,
    /// There may be more.
    pub more: bool,
}

/// A right to write on behalf of the attempt under way: a fencing token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseReference {
    /// The run.
    pub run: RunId,
    /// The number of the claim that gave the lease.
    pub token: u64,
}

/// A run whose attempt may begin: it is on record where the end of the process can't reach it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The run as it is now: running.
    pub head: RunHead,
    /// What it works on.
    pub payload: Json,
    /// What earlier attempts recorded; empty for a first attempt.
    pub journal: Vec<Entry>,
}

impl Claimed {
    /// The lease of the attempt.
    pub fn lease(&self) -> LeaseReference {
        LeaseReference { run: self.head.id, token: self.head.lease }
    }
}

/// Something that live pages and waiting callers want to know. May come late or not at all, and never lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The run.
    pub run: RunId,
    /// The state it is in now.
    pub state: RunState,
    /// When it is due, if it waits.
    pub scheduled_at: Timestamp,
    /// Its attempt should stop: a cancel was asked for.
    pub cancel_requested: bool,
}

/// What a bulk action did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkOutcome {
    /// Runs that the filter names.
    pub matched: usize,
    /// Runs that were changed, or would be.
    pub changed: Vec<RunId>,
    /// Runs that were not, and why.
    pub skipped: Vec<(RunId, String)>,
}

/// Whatever keeps runs, events and orders.
#[async_trait]
pub trait Store: Query + Notices + Versions + Send + Sync {
    /// Enqueues all or nothing; one answer for each, in order. When one is a conflict, so is whatever would have been new.
    async fn enqueue(&self, runs: Vec<NewRun>, now: Timestamp) -> Result<Vec<Enqueued>, StoreError>;

    /// Publishes all or nothing; one answer for each, in order. A known event starts nothing.
    async fn publish(&self, events: Vec<NewEvent>, now: Timestamp) -> Result<Vec<Published>, StoreError>;

    /// Takes a webhook delivery in, once: it, its event, and the addresses that it stops mail to, in one commit.
    async fn receive(&self, delivery: NewDelivery, now: Timestamp) -> Result<Received, StoreError>;

    /// Keeps an API token. One that was revoked stays revoked.
    async fn put_token(&self, token: Token) -> Result<(), StoreError>;

    /// Revokes an API token; none when there is none. One that was revoked before stays as it is.
    async fn revoke_token(&self, id: TokenId, now: Timestamp) -> Result<Option<Token>, StoreError>;

    /// An API token was used.
    async fn touch_token(&self, id: TokenId, now: Timestamp) -> Result<(), StoreError>;

    /// Puts what an operator does on record, as it is from now on. Whatever is asked for once this has answered becomes
    /// durable in the same commit or a later one; when that is, what it answers tells.
    async fn put_audit(&self, entry: AuditEntry) -> Result<Queued, StoreError>;

    /// Keeps a version of a job that was loaded; of many, the newest. One that is known is known from its first time on.
    async fn put_version(&self, loaded: JobVersion) -> Result<(), StoreError>;

    /// Takes due runs, at most as many as there is room for. Their starts are noted, so that they survive the end of
    /// the process, and become durable with the next commit.
    async fn claim(&self, room: Room, now: Timestamp) -> Result<Claim, StoreError>;

    /// Cancels waiting runs whose time to begin is over, a bounded number; answers whether there may be more.
    async fn expire(&self, now: Timestamp) -> Result<bool, StoreError>;

    /// Says of a queue what an operator wants of it; answers what is said now. None of `concurrency` leaves it, and
    /// `Some(None)` takes the operator's word back.
    async fn control_queue(
        &self,
        name: String,
        change: QueueChange,
        now: Timestamp,
    ) -> Result<QueueControl, StoreError>;

    /// Takes a schedule on and makes its run, in one commit; answers false, and does nothing, when it has come elsewhere
    /// meanwhile.
    async fn fire(&self, firing: Firing, now: Timestamp) -> Result<bool, StoreError>;

    /// Pauses a job, or lets it go on, which also closes its breaker.
    async fn control_job(&self, job: JobId, paused: Option<Pause>) -> Result<JobControl, StoreError>;

    /// Adds to the journal of the attempt under way.
    async fn record(&self, lease: LeaseReference, entries: Vec<EntryKind>, now: Timestamp) -> Result<(), RecordError>;

    /// Ends the attempt under way: its effects and, as the last entry, how it `Finished`. Events that tell of it are
    /// published in the same commit; where they can't be, the attempt ends without them.
    async fn finish(
        &self,
        lease: LeaseReference,
        entries: Vec<EntryKind>,
        told: Vec<NewEvent>,
        now: Timestamp,
    ) -> Result<RunHead, RecordError>;

    /// Ends every attempt that a crash cut off. To be called once, before the first claim.
    async fn rescue(&self, now: Timestamp) -> Result<Vec<RunId>, StoreError>;

    /// Cancels a run; for one that runs, puts the wish on the record.
    async fn cancel(
        &self,
        run: RunId,
        reason: String,
        now: Timestamp,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError>;

    /// Puts a dead or cancelled run back, with what was decided about its mails in doubt. None when there is no such run.
    async fn requeue(
        &self,
        run: RunId,
        max_attempts: u32,
        scheduled_at: Timestamp,
        choice: Option<InDoubtChoice>,
        now: Timestamp,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError>;

    /// Makes a run due that waits for its time or its next attempt, with what was decided about its mails in doubt. None
    /// when there is no such run.
    async fn make_due(
        &self,
        run: RunId,
        choice: Option<InDoubtChoice>,
        now: Timestamp,
    ) -> Result<Option<Result<RunHead, Refused>>, StoreError>;

    /// Cancels the runs that the filter names, at most `limits::BULK_RUNS`.
    async fn cancel_many(
        &self,
        filter: RunFilter,
        reason: String,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<BulkOutcome, StoreError>;

    /// Puts dead runs back, spread evenly over `spread`, at most `limits::BULK_RUNS`; attempts as they had.
    async fn requeue_many(
        &self,
        filter: DeadFilter,
        spread: Duration,
        doubts: Doubts,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<BulkOutcome, StoreError>;

    /// Puts dead runs aside: they end cancelled with the reason, at most `limits::BULK_RUNS`.
    async fn discard_many(
        &self,
        filter: DeadFilter,
        reason: String,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<BulkOutcome, StoreError>;

    /// Writes an order as it is given, raising its revision; answers what is kept.
    async fn put_order(&self, order: Order) -> Result<Order, StoreError>;

    /// Empties the e-mail log; answers how many mails it showed. The runs keep their journals.
    async fn clear_mail(&self) -> Result<usize, StoreError>;

    /// Stops mail to an address; one that gets none already stays as it is, but for a reason that is given.
    async fn suppress(&self, suppression: Suppression) -> Result<Suppressed, StoreError>;

    /// Lets an address get mail again; answers what was said of it, none when it got mail all along.
    async fn lift_suppression(&self, address: String) -> Result<Option<Suppression>, StoreError>;

    /// Puts on the record that a captured mail is about to leave. One at a time does, and none of a run under way.
    async fn begin_release(&self, mail: MailId, now: Timestamp) -> Result<Result<Release, NotReleased>, StoreError>;

    /// Puts on the record what became of it.
    async fn end_release(&self, release: Release, settlement: Settlement, now: Timestamp) -> Result<(), StoreError>;

    /// Takes out final runs whose time is over, events that started nothing, and mails from the e-mail log; a bounded
    /// number of runs and events, so to be called again while there is more.
    async fn prune(&self, retention: Retention, now: Timestamp) -> Result<Pruned, StoreError>;

    /// Deletes every run, event and order's customer that carries what is to be forgotten, and writes the log anew, so that
    /// nothing of it is left on the disk; with `dry_run` only tells what it would be. Nothing else is served meanwhile.
    async fn forget(&self, what: Forget, dry_run: bool) -> Result<Forgotten, StoreError>;

    /// Takes records of another store in, as `Query::export` gives them; answers how many were new.
    async fn import(&self, records: Vec<Record>) -> Result<usize, StoreError>;

    /// What changes from now on, a batch for each commit. An empty batch says that changes may have been missed.
    fn changes(&self) -> broadcast::Receiver<Arc<[Change]>>;

    /// Makes everything durable and stops; later calls are refused.
    async fn close(&self) -> Result<(), StoreError>;
}
