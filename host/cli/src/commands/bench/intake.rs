//! How runs are handed in: by a call of the engine, or over HTTP like any other program does it.
//! It measures nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use jobmill_core::job::Trigger;
use jobmill_core::{JobId, Json, RunId, Timestamp};
use jobmill_engine::{Catalog, EnqueueRequest, Handle, LoadedJob};
use serde::{Deserialize, Serialize};

use super::http::Connection;
use super::payload::Payloads;
use crate::failure::Failure;

/// Where runs are handed in.
pub(super) enum Door {
    /// Here.
    Engine(Handle),
    /// At the server.
    Server {
        /// Where it listens.
        address: SocketAddr,
        /// The event that starts a run of the job and of no other.
        event: Option<String>,
    },
}

/// Everything that a client needs to enqueue runs of the job, no two with the same payload.
pub(super) struct Intake {
    door: Door,
    job: JobId,
    payloads: Payloads,
    /// The number of the next payload.
    next: AtomicU64,
    acknowledged: AtomicUsize,
}

impl Intake {
    pub(super) fn new(door: Door, loaded: &LoadedJob, payloads: Payloads) -> Self {
        Self { door, job: loaded.job.id.clone(), payloads, next: AtomicU64::new(0), acknowledged: AtomicUsize::new(0) }
    }

    /// Runs that a client was told are durable.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Whether one request can enqueue many runs.
    pub(super) fn takes_batches(&self) -> bool {
        !matches!(self.door, Door::Server { event: None, .. })
    }

    /// A client of its own; it is connected.
    pub(super) async fn client(self: &Arc<Self>) -> Result<Client, Failure> {
        let connection = match self.door {
            Door::Engine(_) => None,
            Door::Server { address, .. } => Some(Connection::open(address).await.map_err(|error| broken(&error))?),
        };
        Ok(Client { intake: Arc::clone(self), connection })
    }

    fn payload(&self) -> Result<Json, Failure> {
        let text = self.payloads.text(self.next.fetch_add(1, Ordering::Relaxed));
        Json::parse(&text).map_err(|error| Failure::new("payload", format!("{text} is not JSON: {error}")))
    }
}

/// The event by which runs of this job alone can be started.
pub(super) fn event_of(loaded: &LoadedJob, catalog: &Catalog) -> Option<String> {
    let mut events = loaded.job.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Event(name) => Some(name),
        Trigger::Cron(_) => None,
    });
    let alone = |name: &String| catalog.all_serving().filter(|other| other.job.listens_to(name)).count() == 1;
    events.find(|name| alone(name)).cloned()
}

/// One client: what it sends waits for the answer to what it sent before.
pub(super) struct Client {
    intake: Arc<Intake>,
    connection: Option<Connection>,
}

#[derive(Serialize)]
struct EnqueueBody<'a> {
    payload: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct EventBody<'a> {
    name: &'a str,
    data: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<Timestamp>,
}

#[derive(Deserialize)]
struct EnqueuedView {
    id: RunId,
}

impl Client {
    /// Enqueues one run; answers its id.
    pub(super) async fn enqueue(&mut self, due: Option<Timestamp>) -> Result<RunId, Failure> {
        let payload = self.intake.payload()?;
        let job = &self.intake.job;
        let run = match &self.intake.door {
            Door::Engine(handle) => {
                let request = EnqueueRequest { scheduled_at: due, ..EnqueueRequest::new(job.clone(), payload) };
                let accepted = handle.enqueue(request).await.map_err(|error| self.refused(&error.to_string()))?;
                accepted.head.id
            }
            Door::Server { .. } => {
                let path = format!("/api/v1/jobs/{job}/runs");
                let answer = self.post(&path, &EnqueueBody { payload: &payload, scheduled_at: due }).await?;
                let view: EnqueuedView = crate::client::read(&answer)?;
                view.id
            }
        };
        self.intake.acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(run)
    }

    /// Enqueues runs by one request, all or nothing.
    pub(super) async fn enqueue_many(&mut self, runs: u32, due: Option<Timestamp>) -> Result<(), Failure> {
        if runs == 1 {
            return self.enqueue(due).await.map(|_| ());
        }
        let payloads = (0..runs).map(|_| self.intake.payload()).collect::<Result<Vec<_>, _>>()?;
        match &self.intake.door {
            Door::Engine(handle) => {
                let requests = payloads.into_iter().map(|payload| EnqueueRequest {
                    scheduled_at: due,
                    ..EnqueueRequest::new(self.intake.job.clone(), payload)
                });
                handle.enqueue_many(requests.collect()).await.map_err(|error| self.refused(&error.to_string()))?;
            }
            Door::Server { event, .. } => {
                let name = event.clone().ok_or_else(|| self.refused("no event starts it alone"))?;
                let events = payloads.into_iter().map(|data| EventBody { name: &name, data, ts: due });
                self.post("/api/v1/events", &events.collect::<Vec<_>>()).await?;
            }
        }
        self.intake.acknowledged.fetch_add(runs as usize, Ordering::Relaxed);
        Ok(())
    }

    async fn post(&mut self, path: &str, body: &impl Serialize) -> Result<String, Failure> {
        let text = serde_json::to_string(body).map_err(|error| self.refused(&error.to_string()))?;
        let connection = self.connection.as_mut().ok_or_else(|| broken(&"there is no connection"))?;
        let answer = connection.post(path, &text).await.map_err(|error| broken(&error))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        Err(self.refused(&format!("status {}: {}", answer.status, crate::output::first_line(&answer.body))))
    }

    fn refused(&self, reason: &str) -> Failure {
        let job = &self.intake.job;
        Failure::new("not-enqueued", format!("a run of {job} was not enqueued: {reason}"))
            .advise(format!("try the job by hand: jobmill run {job} --example --wait"))
    }
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::new("connection", format!("the connection to the server under measurement broke: {error}"))
}
