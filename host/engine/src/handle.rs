//! What the doors of the engine (HTTP, the command line, tests) may do: enqueue, publish, cancel, requeue, ask.
//! It decides no transition; the store records what `core` decides, and the engine's loop is woken by it.

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::journal::EventReference;
use jobmill_core::order::Order;
use jobmill_core::transition::Refused;
use jobmill_core::{Clock, Entropy, EventId, JobId, Json, RunHead, RunId, RunState, Timestamp, limits};
use jobmill_store::{
    BulkOutcome, Change, DeadFilter, Enqueued, NewEvent, NewRun, Pruned, Published, Query, Retention, RunFilter,
    RunRecord, Store, StoreError,
};
use sha2::{Digest, Sha256};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, LoadedJob, SharedCatalog};
use crate::changes::{Heard, Listener};
use crate::maintenance;
use crate::schema::PayloadProblem;

/// A request to enqueue a run of a job.
#[derive(Debug, Clone)]
pub struct EnqueueRequest {
    /// The job.
    pub job: JobId,
    /// What the run works on.
    pub payload: Json,
    /// When it is due; now if absent.
    pub scheduled_at: Option<Timestamp>,
    /// 0 (first) to 9 (last); the job's own if absent.
    pub priority: Option<u8>,
    /// Within the job and 24 hours, a second enqueue under this key is the first run.
    pub unique_key: Option<String>,
    /// Within 24 hours, a second enqueue under this key is the first run.
    pub idempotency_key: Option<String>,
    /// Words to find the run by.
    pub tags: Vec<String>,
    /// The run that this one repeats.
    pub rerun_of: Option<RunId>,
}

impl EnqueueRequest {
    /// A run of `job` that is due now.
    pub fn new(job: JobId, payload: Json) -> Self {
        Self {
            job,
            payload,
            scheduled_at: None,
            priority: None,
            unique_key: None,
            idempotency_key: None,
            tags: Vec::new(),
            rerun_of: None,
        }
    }
}

/// What became of an enqueue.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The run, durable.
    pub head: RunHead,
    /// The same enqueue was made before, and this is its run.
    pub replayed: bool,
}

/// A request to publish an event.
#[derive(Debug, Clone)]
pub struct EventRequest {
    /// Its name.
    pub name: String,
    /// Its data, the payload of the runs it starts.
    pub data: Json,
    /// Its id, under which it is published once.
    pub id: Option<EventId>,
    /// When it happened; a time to come delays its runs until then.
    pub ts: Option<Timestamp>,
}

/// Why something was not enqueued or published. Nothing was kept.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EnqueueError {
    /// No such job is loaded.
    #[error("there is no job {job:?}{}", suggest(.nearest.as_deref()))]
    UnknownJob {
        /// What was asked for.
        job: String,
        /// The loaded job with the nearest name.
        nearest: Option<String>,
    },
    /// The payload does not fit the job's schema.
    #[error("the payload does not fit the schema of {job}")]
    Payload {
        /// The job.
        job: JobId,
        /// The position of the event in the request, when it was one.
        event: Option<usize>,
        /// What does not fit.
        problems: Vec<PayloadProblem>,
    },
    /// A member of the request is out of its bounds.
    #[error("{member} {reason}")]
    Invalid {
        /// The member.
        member: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The key names another enqueue.
    #[error("the key was used for another request, which is {0}")]
    Conflict(RunId),
    /// The store can't take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn suggest(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

/// Why a run was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such run.
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    /// Its state does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store can't take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a waiting run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingFor {
    /// `due`, `no-component` or `queue-full`.
    pub kind: &'static str,
    /// A sentence.
    pub detail: String,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
    /// Runs of the same job that go before it.
    pub position: Option<usize>,
}

/// The engine's doors. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: SharedCatalog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) generation: watch::Receiver<u64>,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) concurrency: usize,
    pub(crate) retention: Retention,
}

impl Handle {
    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
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

    /// Enqueues a run; durable when this returns.
    pub async fn enqueue(&self, request: EnqueueRequest) -> Result<Accepted, EnqueueError> {
        let accepted = self.enqueue_many(vec![request]).await?.pop();
        accepted.ok_or_else(|| StoreError::Damaged("an enqueue was not answered".to_owned()).into())
    }

    /// Enqueues runs, all or nothing; durable when this returns. One answer for each, in order.
    pub async fn enqueue_many(&self, requests: Vec<EnqueueRequest>) -> Result<Vec<Accepted>, EnqueueError> {
        let catalog = self.catalog.load_full();
        let now = self.clock.now();
        let mut runs = Vec::with_capacity(requests.len());
        for request in requests {
            let loaded = catalog.serving(&request.job).ok_or_else(|| unknown_job(&catalog, request.job.as_str()))?;
            check_request(&request)?;
            check_payload(loaded, &request.payload, None)?;
            runs.push(self.new_run(loaded, request, now));
        }
        let answers = self.store.enqueue(runs, now).await?.into_iter().map(|answer| match answer {
            Enqueued::Created(head) => Ok(Accepted { head, replayed: false }),
            Enqueued::Existing(head) => Ok(Accepted { head, replayed: true }),
            Enqueued::Conflict(run) => Err(EnqueueError::Conflict(run)),
        });
        answers.collect()
    }

    fn new_run(&self, loaded: &LoadedJob, request: EnqueueRequest, now: Timestamp) -> NewRun {
        let keyed = request.unique_key.is_some() || request.idempotency_key.is_some();
        let digest = keyed.then(|| digest(&request));
        NewRun {
            id: RunId::generate(now, &*self.entropy),
            job: request.job,
            queue: loaded.job.queue.value.to_string(),
            priority: request.priority.unwrap_or(loaded.job.priority.value),
            payload: request.payload,
            max_attempts: loaded.job.max_attempts(),
            scheduled_at: request.scheduled_at.unwrap_or(now),
            tags: request.tags,
            unique_key: request.unique_key,
            idempotency_key: request.idempotency_key,
            request_digest: digest,
            rerun_of: request.rerun_of,
        }
    }

    /// Publishes events, all or nothing; durable when this returns.
    pub async fn publish(&self, requests: Vec<EventRequest>) -> Result<Vec<Published>, EnqueueError> {
        let catalog = self.catalog.load_full();
        let now = self.clock.now();
        let mut events = Vec::with_capacity(requests.len());
        for (position, request) in requests.into_iter().enumerate() {
            events.push(self.new_event(&catalog, position, request, now)?);
        }
        Ok(self.store.publish(events, now).await?)
    }

    fn new_event(
        &self,
        catalog: &Catalog,
        position: usize,
        request: EventRequest,
        now: Timestamp,
    ) -> Result<NewEvent, EnqueueError> {
        let invalid = |member: &str, reason: String| EnqueueError::Invalid { member: member.to_owned(), reason };
        jobmill_core::job::check_event_name(&request.name)
            .map_err(|reason| invalid("name", format!("is refused: {reason}")))?;
        if request.data.as_str().len() > limits::PAYLOAD_BYTES {
            return Err(invalid("data", format!("is larger than {} bytes", limits::PAYLOAD_BYTES)));
        }
        let mut runs = Vec::new();
        for loaded in catalog.all_serving().filter(|loaded| loaded.job.listens_to(&request.name)) {
            check_payload(loaded, &request.data, Some(position))?;
            let run = EnqueueRequest {
                scheduled_at: request.ts.filter(|ts| *ts > now),
                ..EnqueueRequest::new(loaded.job.id.clone(), request.data.clone())
            };
            runs.push(self.new_run(loaded, run, now));
        }
        let id = request.id.unwrap_or_else(|| EventId::generate(now, &*self.entropy));
        let reference = EventReference { id, name: request.name, ts: request.ts.unwrap_or(now) };
        Ok(NewEvent { reference, data: request.data, runs })
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

    /// Puts a dead or cancelled run back; attempts start anew.
    pub async fn retry(&self, run: RunId) -> Result<RunHead, ChangeError> {
        let record = self.store.run(run).await?.ok_or(ChangeError::UnknownRun(run))?;
        let catalog = self.catalog.load();
        let max_attempts =
            catalog.serving(&record.run.head.job).map_or(record.run.head.max_attempts, |it| it.job.max_attempts());
        let now = self.clock.now();
        changed(run, self.store.requeue(run, max_attempts, now, now).await?)
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

    /// Puts dead runs back, spread evenly over `spread`.
    pub async fn requeue_many(
        &self,
        filter: DeadFilter,
        spread: Duration,
        dry: bool,
    ) -> Result<BulkOutcome, StoreError> {
        self.store.requeue_many(filter, spread, dry, self.clock.now()).await
    }

    /// Puts dead runs aside for good.
    pub async fn discard_many(&self, filter: DeadFilter, reason: String, dry: bool) -> Result<BulkOutcome, StoreError> {
        self.store.discard_many(filter, reason, dry, self.clock.now()).await
    }

    /// Writes an order of the embedded book.
    pub async fn put_order(&self, order: Order) -> Result<Order, StoreError> {
        self.store.put_order(order).await
    }

    /// Empties the e-mail log; answers how many mails it showed.
    pub async fn clear_mail(&self) -> Result<usize, StoreError> {
        self.store.clear_mail().await
    }

    /// How long final runs are kept.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Takes out everything whose time to be kept is over.
    pub async fn prune(&self, retention: Retention) -> Result<Pruned, StoreError> {
        maintenance::prune(&*self.store, retention, self.clock.now()).await
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

    /// What a waiting run waits for; none when it does not wait.
    pub async fn waiting_for(&self, head: &RunHead) -> Result<Option<WaitingFor>, StoreError> {
        let now = self.clock.now();
        let state = head.state_at(now);
        if !state.is_waiting() {
            return Ok(None);
        }
        if state != RunState::Available {
            let detail = match state {
                RunState::Retryable => format!("waits for attempt {} of {}", head.attempt + 1, head.max_attempts),
                _ => "is not due yet".to_owned(),
            };
            return Ok(Some(WaitingFor { kind: "due", detail, until: Some(head.scheduled_at), position: None }));
        }
        let position = self.store.position(head.id, now).await?;
        if self.catalog.load().serving(&head.job).is_none() {
            let detail = format!("no component of {} is loaded; put its .wasm into the hopper", head.job);
            return Ok(Some(WaitingFor { kind: "no-component", detail, until: None, position }));
        }
        let detail = format!("waits for room: at most {} attempts run at once", self.concurrency);
        Ok(Some(WaitingFor { kind: "queue-full", detail, until: None, position }))
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

fn unknown_job(catalog: &Catalog, job: &str) -> EnqueueError {
    let names = catalog.all_serving().map(|loaded| loaded.job.id.as_str());
    let nearest = names
        .map(|name| (strsim::jaro_winkler(name, job), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    EnqueueError::UnknownJob { job: job.to_owned(), nearest: nearest.map(|(_, name)| name.to_owned()) }
}

/// What makes two requests the same enqueue.
fn digest(request: &EnqueueRequest) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in
        [request.job.as_str(), request.payload.as_str()].into_iter().chain(request.tags.iter().map(String::as_str))
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(request.scheduled_at.map_or(0, Timestamp::as_millis).to_be_bytes());
    hash.update([request.priority.map_or(u8::MAX, |priority| priority)]);
    hash.finalize().into()
}

fn check_request(request: &EnqueueRequest) -> Result<(), EnqueueError> {
    let invalid = |member: &str, reason: String| Err(EnqueueError::Invalid { member: member.to_owned(), reason });
    if request.payload.as_str().len() > limits::PAYLOAD_BYTES {
        return invalid("payload", format!("is larger than {} bytes", limits::PAYLOAD_BYTES));
    }
    if request.priority.is_some_and(|priority| priority > 9) {
        return invalid("priority", "must be 0 (first) to 9 (last)".to_owned());
    }
    if request.tags.len() > limits::TAGS {
        return invalid("tags", format!("are more than {}", limits::TAGS));
    }
    let keys = [("unique_key", &request.unique_key), ("Idempotency-Key", &request.idempotency_key)];
    let keys = keys.into_iter().filter_map(|(member, key)| key.as_ref().map(|key| (member, key)));
    for (member, text) in keys.chain(request.tags.iter().map(|tag| ("tags", tag))) {
        if text.is_empty() || text.len() > limits::KEY_BYTES || text.chars().any(char::is_control) {
            return invalid(member, format!("must have 1 to {} printable characters", limits::KEY_BYTES));
        }
    }
    Ok(())
}

fn check_payload(loaded: &LoadedJob, payload: &Json, event: Option<usize>) -> Result<(), EnqueueError> {
    let Some(schema) = &loaded.schema else { return Ok(()) };
    let refuse = |problems| Err(EnqueueError::Payload { job: loaded.job.id.clone(), event, problems });
    match payload.to_value() {
        Ok(value) => match schema.problems(&value) {
            problems if problems.is_empty() => Ok(()),
            problems => refuse(problems),
        },
        Err(error) => refuse(vec![PayloadProblem { pointer: String::new(), detail: error.to_string() }]),
    }
}
