//! What can be asked of a store. Reads see only what is durable.
//! Lists are keyset pages, newest first; nothing here changes anything.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobmill_core::audit::AuditEntry;
use jobmill_core::breaker::BreakerState;
use jobmill_core::delivery::Delivery;
use jobmill_core::job::JobVersion;
use jobmill_core::journal::{Entry, EventReference, Memory};
use jobmill_core::mail::{DoubtfulMail, Mail, MailStatus};
use jobmill_core::order::Order;
use jobmill_core::suppression::{AddressDigest, Suppression};
use jobmill_core::token::Token;
use jobmill_core::{
    AuditId, DeliveryId, EventId, EventKey, FailureKind, JobId, Json, MailId, Run, RunHead, RunId, RunState, Timestamp,
    Version,
};

use crate::auditing::AuditFilter;
use crate::control::Schedule;
pub(crate) use crate::delivered::{DeliveryFilter, DeliverySummary};
use crate::flow::{Blocker, Pause};
use crate::log::Record;
use crate::store::StoreError;
use crate::totals::Totals;
use crate::usage::VersionUsage;

/// Which runs. Every member that is set must hold; an empty filter names all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// The state as it shows now.
    pub state: Option<RunState>,
    /// The job.
    pub job: Option<JobId>,
    /// The event that started it, by name or id.
    pub event: Option<String>,
    /// A tag it carries.
    pub tag: Option<String>,
    /// Text that its last error contains, in any case.
    pub error: Option<String>,
    /// Enqueued at or after this time.
    pub since: Option<Timestamp>,
    /// One of these.
    pub ids: Option<Vec<RunId>>,
    /// It repeats this run.
    pub rerun_of: Option<RunId>,
}

/// The runs of the same job that were made next to a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The newest of those that are older.
    pub previous: Option<RunId>,
    /// The oldest of those that are newer.
    pub next: Option<RunId>,
}

/// Which dead runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// The job.
    pub job: Option<JobId>,
    /// The group.
    pub fingerprint: Option<u64>,
    /// One of these.
    pub ids: Option<Vec<RunId>>,
}

/// Where a page begins: after this id, going back in time.
pub type Cursor = RunId;

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T, C = Cursor> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; none at the end.
    pub next: Option<C>,
}

/// A run with its journal.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// The run.
    pub run: Run,
    /// Its journal, oldest first.
    pub journal: Vec<Entry>,
}

impl RunRecord {
    /// Steps, mails and order changes of the run.
    pub fn memory(&self) -> Memory {
        Memory::of(&self.journal)
    }
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Key, id, name and time.
    pub reference: EventReference,
    /// Its data.
    pub data: Json,
    /// When it was recorded.
    pub received_at: Timestamp,
    /// The runs it started, in the order of their ids.
    pub runs: Vec<RunId>,
}

/// Which events. Every member that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// The name.
    pub name: Option<String>,
    /// Recorded at or after this time.
    pub since: Option<Timestamp>,
    /// Recorded before this time.
    pub until: Option<Timestamp>,
}

/// Dead runs of one job with one error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadGroup {
    /// What the errors have in common.
    pub fingerprint: u64,
    /// The job.
    pub job: JobId,
    /// The kind of the error.
    pub kind: FailureKind,
    /// The newest run's error.
    pub message: String,
    /// How many runs.
    pub count: usize,
    /// When the first of them became dead.
    pub first_seen: Timestamp,
    /// When the last of them became dead.
    pub last_seen: Timestamp,
    /// Versions that failed so, in order.
    pub versions: Vec<Version>,
    /// The newest run.
    pub example: RunId,
    /// When somebody was last told of it; none when nobody was.
    pub notified_at: Option<Timestamp>,
}

/// How many runs show each state, in the order of `RunState::ALL`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts(pub [usize; 7]);

impl Counts {
    /// Runs in `state`.
    pub fn of(&self, state: RunState) -> usize {
        RunState::ALL.iter().position(|each| *each == state).map_or(0, |at| self.0[at])
    }
}

/// What was done lately: each end of an attempt counts for its own time, and once. What runs did that were pruned since
/// counts on, until the store is opened again and their records are no longer there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// Of all jobs, the minute of now and the 59 before it, oldest first.
    pub minutes: Vec<MinuteActivity>,
    /// When the hours begin that `jobs` tells of: the hour of now and the 23 before it.
    pub jobs_since: Timestamp,
    /// Jobs of which an attempt ended in those hours, by id.
    pub jobs: Vec<JobActivity>,
    /// Of each queue in which any ended, how many attempts completed or failed in each of the minutes.
    pub queues: BTreeMap<String, Vec<u64>>,
}

/// What ended in one hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourActivity {
    /// Attempts that completed, and their runs with them.
    pub completed: u64,
    /// Attempts that failed, whatever came after.
    pub failed: u64,
    /// Runs that became dead.
    pub dead: u64,
}

/// What ended in one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinuteActivity {
    /// When the minute begins.
    pub at: Timestamp,
    /// Attempts that completed, and their runs with them.
    pub completed: u64,
    /// Attempts that failed, whatever came after.
    pub failed: u64,
    /// Runs that became dead.
    pub dead: u64,
}

/// What became of a job's runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobActivity {
    /// The job.
    pub job: JobId,
    /// Runs that completed.
    pub completed: u64,
    /// Runs that became dead.
    pub dead: u64,
    /// Attempts that failed, whatever came after.
    pub failed_attempts: u64,
    /// How long attempts took that completed or failed; not those whose end nobody saw.
    pub attempts: Durations,
    /// How long runs took from their enqueue until they completed or became dead, waiting included.
    pub runs: Durations,
    /// The same hour by hour, oldest first.
    pub hours: Vec<HourActivity>,
}

/// How long things took. Percentiles are by nearest rank, and off by at most a sixteenth; below 16 ms they are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many there are.
    pub count: u64,
    /// What half of them did not exceed; zero when there are none.
    pub p50: Duration,
    /// What 95 of 100 did not exceed; zero when there are none.
    pub p95: Duration,
}

/// Which mails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailFilter {
    /// The recipient, in any case.
    pub to: Option<String>,
    /// What it is.
    pub kind: Option<String>,
    /// Where it stands.
    pub status: Option<MailStatus>,
    /// The run that sent it.
    pub run: Option<RunId>,
    /// First intended at or after this time.
    pub since: Option<Timestamp>,
    /// First intended before this time.
    pub until: Option<Timestamp>,
}

/// A line of the e-mail log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSummary {
    /// Its id.
    pub id: MailId,
    /// The run that sent it.
    pub run: RunId,
    /// That run's job.
    pub job: JobId,
    /// What it is.
    pub kind: String,
    /// The recipient's address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// Where it stands.
    pub status: MailStatus,
    /// `Message-ID` without the angle brackets.
    pub message_id: String,
    /// How often it was handed over.
    pub attempts: u32,
    /// When it was first intended.
    pub created_at: Timestamp,
    /// When it was sent or captured.
    pub sent_at: Option<Timestamp>,
    /// Why it was not sent.
    pub error: Option<String>,
    /// The mail server's own last reply.
    pub reply: Option<String>,
}

/// A mail with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailView {
    /// Its line of the e-mail log.
    pub summary: MailSummary,
    /// The mail.
    pub mail: Mail,
}

/// Where a page of the suppression list begins: after this address, going back in time. As text `1772355600000-…`: when
/// it was suppressed, and its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuppressionCursor {
    /// Since when the address gets no mail.
    pub at: Timestamp,
    /// The address.
    pub digest: AddressDigest,
}

impl fmt::Display for SuppressionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at.as_millis(), self.digest)
    }
}

/// A text that no page of the suppression list gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor of the suppression list; take next_cursor of a page")]
pub struct CursorError;

impl FromStr for SuppressionCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (at, digest) = text.split_once('-').ok_or(CursorError)?;
        let at = Timestamp::from_millis(at.parse().map_err(|_| CursorError)?);
        Ok(Self { at, digest: digest.parse().map_err(|_| CursorError)? })
    }
}

/// What a waiting run waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingFor {
    /// The exact cause.
    pub cause: WaitingCause,
    /// Due runs that go before it and share every limit with it; none when it is not due, or when they are more than
    /// `limits::POSITION_COUNTED`.
    pub position: Option<usize>,
}

/// Why a waiting run does not begin.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitingCause {
    /// It is not due before this time.
    Due(Timestamp),
    /// One of its limits, or a person, stops it. Of a concurrency limit also the runs that hold it, at most ten.
    Blocked(Blocker, Vec<RunId>),
    /// Nothing but room in the engine, which others have.
    Room,
}

/// A queue as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// At most so many runs at once; none is no limit of its own.
    pub concurrency: Option<u32>,
    /// Runs under way.
    pub running: usize,
    /// Runs that are due and have not begun.
    pub waiting: usize,
    /// Who paused it, and when.
    pub paused: Option<Pause>,
}

/// Whether runs of a job may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFlowView {
    /// Who paused it, and when.
    pub paused: Option<Pause>,
    /// Where its breaker stands; none when it has none.
    pub breaker: Option<BreakerState>,
}

/// Everything that a store keeps, one record after the other.
pub type Export = Box<dyn Iterator<Item = Result<Record, StoreError>> + Send>;

/// Questions to a store.
#[async_trait]
pub trait Query: Send + Sync {
    /// The run with its journal.
    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError>;

    /// How these runs stand, in this order; those that are not there are left out. Reads no disk.
    async fn heads(&self, ids: &[RunId]) -> Result<Vec<RunHead>, StoreError>;

    /// The runs of the same job next to a run; none of either when it is not there. Reads no disk.
    async fn neighbours(&self, run: RunId) -> Result<Neighbours, StoreError>;

    /// Runs, newest first.
    async fn runs(
        &self,
        filter: &RunFilter,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page<Run>, StoreError>;

    /// How many of the runs that a filter names in any state show each; none where more than `most` runs would have to be
    /// looked at. Reads no disk.
    async fn counts_of(&self, filter: &RunFilter, most: usize, now: Timestamp) -> Result<Option<Counts>, StoreError>;

    /// The newest event with this id, whether its publisher gave it or it says the event's key.
    async fn event(&self, id: &EventId) -> Result<Option<EventRecord>, StoreError>;

    /// The event under this key.
    async fn event_by_key(&self, key: EventKey) -> Result<Option<EventRecord>, StoreError>;

    /// Events, newest first, at most `limit` before `after`.
    async fn events(
        &self,
        filter: &EventFilter,
        after: Option<EventKey>,
        limit: usize,
    ) -> Result<Page<EventRecord, EventKey>, StoreError>;

    /// A webhook delivery, whole.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError>;

    /// Webhook deliveries, newest first, at most `limit` before `after`.
    async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Page<DeliverySummary, DeliveryId>, StoreError>;

    /// The API tokens, revoked ones too, by id. Reads no disk and copies nothing.
    async fn tokens(&self) -> Result<Arc<[Token]>, StoreError>;

    /// The audit list, newest first, at most `limit` before `after`. Reads no disk.
    async fn audit(
        &self,
        filter: &AuditFilter,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<Page<AuditEntry, AuditId>, StoreError>;

    /// The versions of a job that were loaded, the last loaded first. Reads no disk.
    async fn versions(&self, job: &JobId) -> Result<Vec<JobVersion>, StoreError>;

    /// Dead runs by job and error, newest first.
    async fn dead_groups(&self) -> Result<Vec<DeadGroup>, StoreError>;

    /// How many runs show each state; of one job, or of all.
    async fn counts(&self, job: Option<&JobId>, now: Timestamp) -> Result<Counts, StoreError>;

    /// What was done in the last hour and the last day. Reads no disk.
    async fn activity(&self, now: Timestamp) -> Result<Activity, StoreError>;

    /// What was done since the process started. Reads no disk.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// What the newest attempts of a job used, version by version, the last used first. Reads no disk.
    async fn usage(&self, job: &JobId) -> Result<Vec<VersionUsage>, StoreError>;

    /// The next time after `now` at which a run becomes due; none when none is waiting for its time.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// What a waiting run waits for; none when it does not wait, or is not there.
    async fn waiting_for(&self, id: RunId, now: Timestamp) -> Result<Option<WaitingFor>, StoreError>;

    /// Every queue that has a limit, a pause or unfinished runs, by name.
    async fn queues(&self, now: Timestamp) -> Result<Vec<QueueView>, StoreError>;

    /// Whether runs of a job may begin.
    async fn job_flow(&self, job: &JobId, now: Timestamp) -> Result<JobFlowView, StoreError>;

    /// How far each schedule has come, by job and expression; those that are not in force any more too.
    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError>;

    /// The e-mail log, newest first.
    async fn mails(
        &self,
        filter: &MailFilter,
        after: Option<MailId>,
        limit: usize,
    ) -> Result<Page<MailSummary, MailId>, StoreError>;

    /// A mail with its content.
    async fn mail(&self, id: MailId) -> Result<Option<MailView>, StoreError>;

    /// Mails of a run that may have been sent: their end is not on record, or is that the answer was lost. While an
    /// attempt sends one, it is among them.
    async fn mails_in_doubt(&self, run: RunId) -> Result<Vec<DoubtfulMail>, StoreError>;

    /// Why an address gets no mail; none when it does. Any case; reads no disk.
    async fn suppression(&self, address: &str) -> Result<Option<Suppression>, StoreError>;

    /// Addresses that get no mail, newest first.
    async fn suppressions(
        &self,
        after: Option<SuppressionCursor>,
        limit: usize,
    ) -> Result<Page<Suppression, SuppressionCursor>, StoreError>;

    /// Orders of the embedded book by id, at most `limit` after `after`.
    async fn orders(&self, after: Option<&str>, limit: usize) -> Result<Page<Order, String>, StoreError>;

    /// An order of the embedded book.
    async fn order(&self, id: &str) -> Result<Option<Order>, StoreError>;

    /// Everything that is kept, as of one moment: each run's whole journal as one record.
    async fn export(&self) -> Result<Export, StoreError>;
}
