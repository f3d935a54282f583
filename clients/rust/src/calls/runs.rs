//! Runs: enqueue, find, follow and change them, the dead among them.
//! A call that changes something answers with how it is then.

use std::time::{Duration, Instant};

use jobmill_core::mail::InDoubtChoice;
use jobmill_core::{Json, RunId};
use serde::Serialize;

use super::By;
use crate::answer::{Answer, Page};
use crate::client::Client;
use crate::error::Error;
use crate::requests::{CancelRuns, DiscardDead, Enqueue, Query, RequeueDead, RunFilter};
use crate::shapes::{BulkReport, DeadGroup, Entry, Run, RunLog, Trial};

/// The first look comes soon, since most runs take milliseconds; later ones ever less often.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Long enough that thousands may wait, and too short to be noticed.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

#[derive(Serialize)]
struct Reason<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Retry {
    #[serde(skip_serializing_if = "Option::is_none")]
    in_doubt: Option<InDoubtChoice>,
}

/// The body of a request that needs none.
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Rerun<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Json>,
}

impl Client {
    /// Enqueues a run. When it is answered, the run is on disk.
    pub fn enqueue<P: Serialize + ?Sized>(&self, enqueue: &Enqueue<'_, P>) -> Result<Answer<Run>, Error> {
        self.post_once(&["jobs", enqueue.job, "runs"], enqueue.idempotency_key, enqueue)
    }

    /// A run as it is now.
    pub fn run(&self, id: RunId) -> Result<Answer<Run>, Error> {
        self.get(&["runs", &id.to_string()], &[])
    }

    /// Waits until a run has ended, or until so much time has gone by, and gives the run as it is then.
    #[expect(
        clippy::disallowed_methods,
        reason = "a call that waits in the caller's thread has the machine's clock alone"
    )]
    pub fn wait(&self, id: RunId, limit: Duration) -> Result<Answer<Run>, Error> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let run = self.run(id)?;
            let left = limit.saturating_sub(began.elapsed());
            if run.state.is_final() || left.is_zero() {
                return Ok(run);
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// At most `limit` runs, newest first.
    pub fn runs(&self, filter: &RunFilter<'_>, limit: usize) -> Result<Page<Run>, Error> {
        self.pages(&["runs"], &run_query(filter).pairs(), limit)
    }

    /// One page of the same, the one that a cursor of an earlier page names, for whoever looks through many.
    pub fn runs_after(&self, filter: &RunFilter<'_>, cursor: Option<&str>) -> Result<Page<Run>, Error> {
        let size = Some(jobmill_core::limits::PAGE_ITEMS);
        self.page(&["runs"], &run_query(filter).with("limit", size).with("cursor", cursor).pairs())
    }

    /// What a run's attempts have logged; lines are kept when their attempt ends.
    pub fn run_log(&self, id: RunId) -> Result<Answer<RunLog>, Error> {
        self.get(&["runs", &id.to_string(), "logs"], &[])
    }

    /// Everything that happened to a run.
    pub fn run_journal(&self, id: RunId) -> Result<Page<Entry>, Error> {
        self.page(&["runs", &id.to_string(), "journal"], &[])
    }

    /// Puts a dead or cancelled run back, whose attempts start anew, and makes one due that waits for its time or its next
    /// attempt.
    pub fn retry_run(&self, id: RunId, in_doubt: Option<InDoubtChoice>) -> Result<Answer<Run>, Error> {
        self.post(&["runs", &id.to_string(), "retry"], &Retry { in_doubt })
    }

    /// Runs a run once on the component that is loaded now, with its effects recorded and not carried out, and tells what it
    /// would do. It takes as long as the job's attempts take.
    pub fn trial_run(&self, id: RunId) -> Result<Answer<Trial>, Error> {
        self.post_patiently(&["runs", &id.to_string(), "trial"], &Nothing {})
    }

    /// Enqueues a new run with the payload of an old one, or another, and answers with the new one.
    pub fn rerun(&self, id: RunId, payload: Option<&Json>) -> Result<Answer<Run>, Error> {
        self.post(&["runs", &id.to_string(), "rerun"], &Rerun { payload })
    }

    /// Cancels a run.
    pub fn cancel_run(&self, id: RunId, reason: Option<&str>) -> Result<Answer<Run>, Error> {
        self.post(&["runs", &id.to_string(), "cancel"], &Reason { reason })
    }

    /// Cancels every run that a filter names.
    pub fn cancel_runs(&self, cancel: &CancelRuns<'_>) -> Result<Answer<BulkReport>, Error> {
        self.post(&["runs", "cancel"], cancel)
    }

    /// Dead runs in groups by job and error, newest first.
    pub fn dead(&self) -> Result<Page<DeadGroup>, Error> {
        self.page(&["dead"], &[])
    }

    /// Puts dead runs back; their attempts start anew.
    pub fn requeue_dead(&self, requeue: &RequeueDead<'_>) -> Result<Answer<BulkReport>, Error> {
        self.post(&["dead", "requeue"], requeue)
    }

    /// Puts dead runs aside for good: they end cancelled.
    pub fn discard_dead(&self, discard: &DiscardDead<'_>) -> Result<Answer<BulkReport>, Error> {
        self.post(&["dead", "discard"], discard)
    }

    /// Lets no run of a job or queue begin, or lets them go on.
    pub(super) fn operate<T: serde::de::DeserializeOwned>(
        &self,
        segments: &[&str],
        by: &str,
    ) -> Result<Answer<T>, Error> {
        self.post(segments, &By { by })
    }
}

/// Which runs, as a query says it.
fn run_query(filter: &RunFilter<'_>) -> Query {
    Query::default()
        .with("state", filter.state)
        .with("job", filter.job)
        .with("event", filter.event)
        .with("tag", filter.tag)
        .with("error", filter.error)
        .with("since", filter.since)
        .with("rerun_of", filter.rerun_of)
}
