//! What became of the runs: counted while they go on, and each looked at when all is over.
//! A run that did not complete by its first attempt ends the measurement: figures with failures in them mislead.

use std::time::{Duration, Instant};

use jobmill_core::{JobId, Run, RunState};
use jobmill_engine::Handle;
use jobmill_store::{RunFilter, StoreError};

use crate::failure::Failure;
use crate::{machine, output};

/// How often it is counted: the resolution of every span that ends with the last of many runs.
const EVERY: Duration = Duration::from_millis(10);
/// Runs looked at in one go.
const PAGE: usize = 500;

/// Counts the runs of one job, which are all there are.
#[derive(Clone)]
pub(super) struct Tally {
    handle: Handle,
    job: JobId,
}

impl Tally {
    pub(super) fn new(handle: Handle, job: JobId) -> Self {
        Self { handle, job }
    }

    /// Runs that have completed. The store counts what is durable and nothing else.
    pub(super) async fn completed(&self) -> Result<usize, Failure> {
        let counts =
            self.handle.query().counts(Some(&self.job), self.handle.now()).await.map_err(|error| of_store(&error))?;
        for state in [RunState::Retryable, RunState::Dead, RunState::Cancelled] {
            if counts.of(state) > 0 {
                return Err(self.example_of(state).await);
            }
        }
        Ok(counts.of(RunState::Completed))
    }

    /// Waits until this many have completed in all; tells each count on the way. Answers when it was so.
    pub(super) async fn until(&self, completed: usize, mut tell: impl FnMut(usize)) -> Result<Instant, Failure> {
        loop {
            let so_far = self.completed().await?;
            let now = machine::moment();
            tell(so_far);
            if so_far >= completed {
                return Ok(now);
            }
            machine::rest(EVERY).await;
        }
    }

    /// Looks at every run: each has completed, and was attempted once. Answers how many there are.
    pub(super) async fn check(&self) -> Result<usize, Failure> {
        let (mut checked, mut after) = (0, None);
        loop {
            let filter = RunFilter::default();
            let page = self
                .handle
                .query()
                .runs(&filter, after, PAGE, self.handle.now())
                .await
                .map_err(|error| of_store(&error))?;
            for run in &page.items {
                if run.head.state != RunState::Completed || run.attempts.len() != 1 || run.head.job != self.job {
                    return Err(unlike(run));
                }
            }
            checked += page.items.len();
            after = page.next;
            if after.is_none() {
                return Ok(checked);
            }
        }
    }

    async fn example_of(&self, state: RunState) -> Failure {
        let filter = RunFilter { state: Some(state), job: Some(self.job.clone()), ..RunFilter::default() };
        match self.handle.query().runs(&filter, None, 1, self.handle.now()).await {
            Ok(page) => page.items.first().map_or_else(
                || Failure::new("runs-failed", format!("a run of {} was {state} for a moment", self.job)),
                unlike,
            ),
            Err(error) => of_store(&error),
        }
    }
}

/// A run that spoils the figures.
fn unlike(run: &Run) -> Failure {
    let (head, attempts) = (&run.head, output::count(run.attempts.len(), "attempt"));
    let error = run.attempts.iter().rev().find_map(|attempt| attempt.error.as_ref());
    let error = error.map(|error| format!(": {}: {}", error.kind, output::first_line(&error.message)));
    let text = format!("a run of {} is {} after {attempts}{}", head.job, head.state, error.unwrap_or_default());
    Failure::new("runs-failed", text)
        .advise("a run counts when its first attempt completes it; choose a job and an example that do so")
}

/// A store that does not answer.
pub(super) fn of_store(error: &StoreError) -> Failure {
    Failure::new("store", format!("the store under measurement does not answer: {error}"))
}
