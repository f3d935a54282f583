//! What comes in by the doors and what becomes of it: runs, events, webhook deliveries.
//! It takes nothing in; the verbs of `Store` do.

use std::time::Duration;

use jobmill_core::delivery::Delivery;
use jobmill_core::flow::{FlowKey, Mark};
use jobmill_core::journal::{EventReference, UniqueTerms};
use jobmill_core::suppression::Suppression;
use jobmill_core::{DeliveryId, EventId, EventKey, JobId, Json, RunHead, RunId, Timestamp};

/// A run to enqueue. The id is made by the caller, so that an answer that got lost names the same run.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The job.
    pub job: JobId,
    /// The lane.
    pub queue: String,
    /// 0 (first) to 9 (last).
    pub priority: u8,
    /// What it works on.
    pub payload: Json,
    /// Attempts it may have.
    pub max_attempts: u32,
    /// When it is due.
    pub scheduled_at: Timestamp,
    /// Words of whoever enqueues it.
    pub tags: Vec<String>,
    /// Within its job and a window, a second enqueue under this key is the first run.
    pub unique_key: Option<String>,
    /// Within 24 hours, a second enqueue under this key is the first run.
    pub idempotency_key: Option<String>,
    /// What a repeat under one of the keys must equal.
    pub request_digest: Option<[u8; 32]>,
    /// The run that this one repeats.
    pub rerun_of: Option<RunId>,
    /// What flow control says of it.
    pub flow: RunFlow,
}

/// What flow control says of a new run. The default is: nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunFlow {
    /// What stands in the payload at the pointers of the job's limits.
    pub keys: Vec<FlowKey>,
    /// How far its unique key reaches; none is 24 hours over all states.
    pub unique: Option<UniqueTerms>,
    /// The unique key is what stands in the payload: another payload with the same is the same run.
    pub is_unique_by_payload: bool,
    /// It waits until enqueues of its kind have been quiet, and takes in the payloads of those that come meanwhile.
    pub debounce: Option<RunDebounce>,
    /// It is cancelled when it has not begun this long after it was due.
    pub expires: Option<Duration>,
    /// Later events with one of these marks cancel it while it waits.
    pub marks: Vec<Mark>,
    /// How many may wait.
    pub waiting: WaitingBounds,
}

/// How a run is debounced. Its `scheduled_at` has the quiet period in it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDebounce {
    /// What stands in the payload at the pointer of the debounce; none without one.
    pub value: Option<String>,
    /// It is due at the latest this long after the first enqueue.
    pub max_wait: Option<Duration>,
}

/// How many runs may wait before new ones are refused; none is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitingBounds {
    /// Of the run's job.
    pub of_job: Option<u32>,
    /// Of all jobs.
    pub in_all: Option<u32>,
}

/// What became of an enqueue.
#[derive(Debug, Clone, PartialEq)]
pub enum Enqueued {
    /// The run is new.
    Created(RunHead),
    /// This waiting run took the payload in.
    Debounced(RunHead),
    /// The same enqueue was made before: this is its run.
    Existing(RunHead),
    /// The key names another enqueue, of this run.
    Conflict(RunId),
}

/// An event to publish, with the runs that it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Key, id, name and time.
    pub reference: EventReference,
    /// How long an id that its publisher gave it is remembered: another event with the same id and name is this one, and
    /// no job runs twice for one id.
    pub id_window: Duration,
    /// Its data, which is the payload of each run.
    pub data: Json,
    /// One run for each job that listens.
    pub runs: Vec<NewRun>,
    /// Waiting runs with one of these marks are cancelled.
    pub cancels: Vec<Mark>,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Under which it is kept: of a repeat, that of the first.
    pub key: EventKey,
    /// Its id.
    pub id: EventId,
    /// The runs it started, now or when it was first published, in the order of their ids.
    pub runs: Vec<RunId>,
    /// It was published before.
    pub replayed: bool,
}

/// A webhook delivery to take in, with what it comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    /// The delivery. Its outcome is what is kept where it starts no event.
    pub delivery: Delivery,
    /// The event that it is published as.
    pub event: Option<NewEvent>,
    /// Addresses that get no mail from now on.
    pub suppressions: Vec<Suppression>,
    /// How long the sender's id is remembered.
    pub window: Duration,
    /// Take it in although it is known: an operator wants it once more.
    pub replay: bool,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The delivery as it is kept; of a repeat, the first.
    pub id: DeliveryId,
    /// Nothing was done: its sender had delivered it before, or what was to be taken in again is gone.
    pub is_repeat: bool,
    /// The runs that its event started.
    pub runs: Vec<RunId>,
}
