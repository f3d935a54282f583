//! What comes in through the doors, checked, and made into new runs with what flow control says of them.
//! It decides nothing that depends on other runs; the store does, in one commit.

use jobmill_core::flow::{FlowKey, Mark, UniqueStates};
use jobmill_core::journal::{EventReference, UniqueTerms};
use jobmill_core::{EventId, EventKey, JobId, Json, RunHead, RunId, Timestamp, limits};
use jobmill_store::{Enqueued, NewEvent, NewRun, Published, RunDebounce, RunFlow, StoreError, WaitingBounds};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::announcements::is_reserved;
use crate::catalog::{Catalog, LoadedJob};
use crate::handle::Handle;
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
    /// Within the job and its window, a second enqueue under this key is the first run.
    pub unique_key: Option<String>,
    /// Within 24 hours, a second enqueue under this key is the first run.
    pub idempotency_key: Option<String>,
    /// Words to find the run by.
    pub tags: Vec<String>,
    /// The run that this one repeats.
    pub rerun_of: Option<RunId>,
    /// It is refused while so many runs wait, over all jobs, where that is fewer than the engine's own bound.
    pub max_waiting: Option<u32>,
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
            max_waiting: None,
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
    /// Under which it is kept, where a repeat of the request must say the same; a new one if absent.
    pub key: Option<EventKey>,
    /// It is refused while so many runs wait, over all jobs, where that is fewer than the engine's own bound.
    pub max_waiting: Option<u32>,
}

impl EventRequest {
    /// An event that happens now and has no id of its own.
    pub fn new(name: String, data: Json) -> Self {
        Self { name, data, id: None, ts: None, key: None, max_waiting: None }
    }
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

impl Handle {
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
            let payload = read_payload(loaded, &request.payload, None)?;
            runs.push(self.new_run(loaded, request, payload.as_ref(), now));
        }
        let answers = self.store.enqueue(runs, now).await?.into_iter().map(|answer| match answer {
            Enqueued::Created(head) | Enqueued::Debounced(head) => Ok(Accepted { head, replayed: false }),
            Enqueued::Existing(head) => Ok(Accepted { head, replayed: true }),
            Enqueued::Conflict(run) => Err(EnqueueError::Conflict(run)),
        });
        answers.collect()
    }

    pub(crate) fn new_run(
        &self,
        loaded: &LoadedJob,
        request: EnqueueRequest,
        payload: Option<&Value>,
        now: Timestamp,
    ) -> NewRun {
        let keyed = request.unique_key.is_some() || request.idempotency_key.is_some();
        let digest = keyed.then(|| digest(&request));
        let job = &loaded.job;
        let of_payload = payload.and_then(|payload| unique_key_in(loaded, payload));
        let is_unique_by_payload = request.unique_key.is_none() && of_payload.is_some();
        let unique_key = request.unique_key.or(of_payload);
        let unique = UniqueTerms { window: job.unique_for.value, states: job.unique_states.value };
        let usual = UniqueTerms { window: limits::UNIQUE_WINDOW, states: UniqueStates::All };
        let debounce = job.debounce.value.as_ref();
        let due = request.scheduled_at.unwrap_or(now);
        NewRun {
            id: RunId::generate(now, &*self.entropy),
            job: request.job,
            queue: job.queue.value.to_string(),
            priority: request.priority.unwrap_or(job.priority.value),
            payload: request.payload,
            max_attempts: job.max_attempts(),
            scheduled_at: debounce.map_or(due, |debounce| due.max(now.after(debounce.period))),
            tags: request.tags,
            idempotency_key: request.idempotency_key,
            request_digest: digest,
            rerun_of: request.rerun_of,
            flow: RunFlow {
                keys: payload.map(|payload| keys_in(loaded, payload)).unwrap_or_default(),
                unique: Some(unique).filter(|unique| unique_key.is_some() && *unique != usual),
                is_unique_by_payload,
                debounce: debounce.map(|debounce| RunDebounce {
                    value: debounce.key.as_ref().and_then(|pointer| pointer.value_in(payload?)),
                    max_wait: debounce.max_wait,
                }),
                expires: job.expires.value,
                marks: payload.map(|payload| marks_in(loaded, None, payload)).unwrap_or_default(),
                waiting: WaitingBounds {
                    of_job: job.max_waiting.value,
                    in_all: Some(request.max_waiting.map_or(self.waiting, |most| most.min(self.waiting))),
                },
            },
            unique_key,
        }
    }

    /// A key for an event that is about to be published, for whoever has to know it before.
    pub fn new_event_key(&self) -> EventKey {
        EventKey::generate(self.clock.now(), &*self.entropy)
    }

    /// Publishes events, all or nothing; durable when this returns.
    pub async fn publish(&self, requests: Vec<EventRequest>) -> Result<Vec<Published>, EnqueueError> {
        let catalog = self.catalog.load_full();
        let now = self.clock.now();
        let mut events = Vec::with_capacity(requests.len());
        for (position, request) in requests.into_iter().enumerate() {
            if is_reserved(&request.name) {
                let reason = format!("{:?} is reserved: only the engine publishes it", request.name);
                return Err(EnqueueError::Invalid { member: "name".to_owned(), reason });
            }
            events.push(self.new_event(&catalog, position, request, now)?);
        }
        Ok(self.store.publish(events, now).await?)
    }

    pub(crate) fn new_event(
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
            let payload = read_payload(loaded, &request.data, Some(position))?;
            let run = EnqueueRequest {
                scheduled_at: request.ts.filter(|ts| *ts > now),
                max_waiting: request.max_waiting,
                ..EnqueueRequest::new(loaded.job.id.clone(), request.data.clone())
            };
            runs.push(self.new_run(loaded, run, payload.as_ref(), now));
        }
        let cancelling = |loaded: &&std::sync::Arc<LoadedJob>| {
            loaded.job.cancel_on.value.iter().any(|cancel| cancel.event == request.name)
        };
        let mut cancels = Vec::new();
        for loaded in catalog.all_serving().filter(cancelling) {
            // Data that is no JSON has nothing in common with any payload.
            if let Ok(data) = request.data.to_value() {
                cancels.extend(marks_in(loaded, Some(&request.name), &data));
            }
        }
        let key = request.key.unwrap_or_else(|| EventKey::generate(now, &*self.entropy));
        let id = request.id.unwrap_or_else(|| EventId::of(key));
        let reference = EventReference { key, id, name: request.name.into(), ts: request.ts.unwrap_or(now) };
        Ok(NewEvent { reference, id_window: self.event_id_window, data: request.data, runs, cancels })
    }
}

/// What stands at the pointers of the job's limits.
fn keys_in(loaded: &LoadedJob, payload: &Value) -> Vec<FlowKey> {
    let concurrency = loaded.job.concurrency.value.iter().filter_map(|limit| limit.key.as_ref());
    let rate = loaded.job.rate_limit.value.iter().filter_map(|rate| rate.key.as_ref());
    let mut keys: Vec<FlowKey> = Vec::new();
    for pointer in concurrency.chain(rate) {
        if let Some(value) = pointer.value_in(payload)
            && keys.iter().all(|key| key.pointer != *pointer)
        {
            keys.push(FlowKey { pointer: pointer.clone(), value });
        }
    }
    keys.sort();
    keys
}

/// The unique key that a payload has by what stands in it.
fn unique_key_in(loaded: &LoadedJob, payload: &Value) -> Option<String> {
    let pointer = loaded.job.unique_key.value.as_ref()?;
    pointer.value_in(payload).map(|value| format!("{pointer}={value}"))
}

/// The marks of a document for the events that cancel waiting runs of a job: for all of them, or for one.
fn marks_in(loaded: &LoadedJob, event: Option<&str>, document: &Value) -> Vec<Mark> {
    let cancels = loaded.job.cancel_on.value.iter();
    let cancels = cancels.filter(|cancel| event.is_none_or(|event| event == cancel.event));
    cancels.filter_map(|cancel| Mark::of(&loaded.job.id, &cancel.event, &cancel.pointer, document)).collect()
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

/// The payload as a value, where the job's schema or limits look into it; refused when it does not fit the schema.
fn read_payload(loaded: &LoadedJob, payload: &Json, event: Option<usize>) -> Result<Option<Value>, EnqueueError> {
    let job = &loaded.job;
    let is_read = loaded.schema.is_some()
        || job.unique_key.value.is_some()
        || job.debounce.value.is_some()
        || job.rate_limit.value.is_some()
        || !job.concurrency.value.is_empty()
        || !job.cancel_on.value.is_empty();
    if !is_read {
        return Ok(None);
    }
    let refuse = |problems| Err(EnqueueError::Payload { job: job.id.clone(), event, problems });
    let value = match payload.to_value() {
        Ok(value) => value,
        // Valid JSON that goes beyond numbers and texts as they are read here. Where no schema asks, it is kept as it came,
        // and nothing stands at any pointer.
        Err(_) if loaded.schema.is_none() => return Ok(None),
        Err(error) => return refuse(vec![PayloadProblem { pointer: String::new(), detail: error.to_string() }]),
    };
    match loaded.schema.as_ref().map(|schema| schema.problems(&value)) {
        Some(problems) if !problems.is_empty() => refuse(problems),
        _ => Ok(Some(value)),
    }
}
