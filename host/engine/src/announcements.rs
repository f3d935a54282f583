//! Events that the engine itself publishes when a run ends: `jobmill/run.completed`, `jobmill/run.dead`, and for who comes
//! from there `inngest/function.failed`.
//! They are on record with the end of the run, or not at all. A run that one of them started is not told of: no loop.

use jobmill_core::journal::Finished;
use jobmill_core::{AttemptError, EventKey, Json, Run, RunHead, RunId, RunState, Timestamp, limits};
use jobmill_store::{NewEvent, StoreError};
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::handle::Handle;
use crate::intake::EventRequest;
use crate::patience::{is_passing, patiently};

/// A run completed.
const COMPLETED: &str = "jobmill/run.completed";
/// A run is dead.
const DEAD: &str = "jobmill/run.dead";
/// The same, in the shape of Inngest's event.
const FAILED: &str = "inngest/function.failed";

/// What names of events begin with that only the engine publishes.
const RESERVED: [&str; 2] = ["jobmill/", "inngest/"];

/// Whether only the engine publishes events of this name.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|prefix| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// The run, as it was.
    pub head: &'a RunHead,
    /// What it worked on.
    pub payload: &'a Json,
    /// Where it ended.
    pub state: RunState,
    /// What it returned.
    pub output: Option<&'a Json>,
    /// Why it failed.
    pub error: Option<&'a AttemptError>,
}

/// Whoever says which events tell of the end of a run.
pub trait Announcer: Send + Sync {
    /// The events that are published with it; none where nobody listens.
    fn announce(&self, ending: Ending<'_>, now: Timestamp) -> Vec<NewEvent>;
}

impl<'a> Ending<'a> {
    /// By the end of an attempt.
    pub(crate) fn of(head: &'a RunHead, payload: &'a Json, finished: &'a Finished) -> Self {
        let (output, error) = (finished.output.as_ref(), finished.error.as_ref());
        Self { head, payload, state: finished.to, output, error }
    }
}

impl Announcer for Handle {
    fn announce(&self, ending: Ending<'_>, now: Timestamp) -> Vec<NewEvent> {
        if ending.head.event.as_ref().is_some_and(|event| is_reserved(&event.name)) {
            return Vec::new();
        }
        let names: &[&str] = match ending.state {
            RunState::Completed => &[COMPLETED],
            RunState::Dead => &[DEAD, FAILED],
            _ => return Vec::new(),
        };
        let catalog = self.catalog.load();
        let heard = names.iter().filter(|name| is_heard(&catalog, name));
        heard.filter_map(|name| self.announcement(&catalog, name, ending, now)).collect()
    }
}

impl Handle {
    /// Tells of the runs that ended with the engine's last process. Jobs that listen may load later, so this comes once, and
    /// is lost when the engine dies before it.
    pub(crate) async fn announce_rescued(&self, rescued: Vec<RunId>) -> Result<(), StoreError> {
        if ![DEAD, FAILED].iter().any(|name| is_heard(&self.catalog.load(), name)) {
            return Ok(());
        }
        for run in rescued {
            let Some(record) = patiently(&*self.clock, is_passing, || self.store.run(run)).await? else { continue };
            let Run { head, payload, attempts, .. } = record.run;
            let error = attempts.last().and_then(|attempt| attempt.error.as_ref());
            let (now, state) = (self.clock.now(), head.state);
            let told = self.announce(Ending { head: &head, payload: &payload, state, output: None, error }, now);
            if told.is_empty() {
                continue;
            }
            if let Err(error) = self.store.publish(told, now).await {
                tracing::warn!(%run, %error, "jobs that listen to the end of runs are not told of this one");
            }
        }
        Ok(())
    }

    fn announcement(&self, catalog: &Catalog, name: &str, ending: Ending<'_>, now: Timestamp) -> Option<NewEvent> {
        let key = EventKey::generate(now, &*self.entropy);
        let data = Json::of(&data_of(name, ending, now)).ok()?;
        let request = EventRequest { key: Some(key), ..EventRequest::new(name.to_owned(), data) };
        match self.new_event(catalog, 0, request, now) {
            Ok(event) => Some(event),
            Err(error) => {
                let run = ending.head.id;
                tracing::warn!(%run, name, %error, "a job listens to the end of runs and does not take what it says");
                None
            }
        }
    }
}

/// Whether any job listens to events of this name.
fn is_heard(catalog: &Catalog, name: &str) -> bool {
    catalog.all_serving().any(|loaded| loaded.job.listens_to(name))
}

fn data_of(name: &str, ending: Ending<'_>, now: Timestamp) -> Value {
    let Ending { head, payload, error, .. } = ending;
    let document = |document: &Json| document.to_value().unwrap_or(Value::Null);
    // Half of what an event may carry is for the rest.
    let is_small = payload.as_str().len() <= limits::PAYLOAD_BYTES / 2;
    let payload = if is_small { document(payload) } else { Value::Null };
    let event = head.event.as_ref();
    if name == FAILED {
        let error = error.map(|error| json!({ "name": error.kind, "message": error.message, "stack": error.trace }));
        return json!({
            "function_id": head.job,
            "run_id": head.id,
            "error": error,
            "event": {
                "id": event.map(|event| event.id.clone()),
                "name": event.map(|event| event.name.clone()),
                "data": payload,
                "ts": event.map(|event| event.ts.as_millis()),
            },
        });
    }
    let mut data = json!({
        "run": {
            "id": head.id,
            "job": head.job,
            "version": head.version,
            "attempt": head.attempt,
            "max_attempts": head.max_attempts,
            "enqueued_at": head.enqueued_at,
            "finished_at": now,
            "tags": *head.tags,
            "event": event.map(|event| json!({ "id": event.id, "name": event.name })),
        },
        "payload": payload,
    });
    match ending.state {
        RunState::Completed => {
            let output = ending.output.filter(|output| output.as_str().len() <= limits::PAYLOAD_BYTES / 4);
            data["output"] = output.map_or(Value::Null, document);
        }
        _ => data["error"] = json!(error),
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_engine_are_reserved_in_any_case() {
        for name in ["jobmill/run.dead", "Inngest/function.failed", "JOBMILL/x"] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["email/welcome", "jobmill", "inngest", "jobmillx/y", "ümlaut/x"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
