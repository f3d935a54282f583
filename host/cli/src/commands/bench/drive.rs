//! The load: clients that enqueue as fast as they are answered, and runs that are worked off.
//! It says nothing of what the figures mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use jobmill_core::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::intake::{Client, Intake};
use super::process::Usage;
use super::samples::Samples;
use super::tally::Tally;
use crate::failure::Failure;
use crate::machine;

/// Runs that clients may be ahead of the engine when both are measured together.
const AHEAD: u32 = 2_000;

/// Clients that enqueue side by side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Runs in all.
    pub(super) runs: u32,
    /// Clients.
    pub(super) clients: u32,
    /// Runs of one request.
    pub(super) batch: u32,
    /// When they stop, done or not; none for when they are done.
    pub(super) limit: Option<Duration>,
}

/// What clients got done.
#[derive(Debug)]
pub(super) struct Enqueued {
    /// Runs that are durable.
    pub(super) runs: u32,
    /// The clients.
    pub(super) load: Load,
    /// From the first request to the last answer.
    pub(super) took: Duration,
    /// From each request to its answer.
    pub(super) answers: Samples,
}

/// Runs that are left to enqueue.
struct Left {
    runs: AtomicU32,
    batch: u32,
    until: Option<Instant>,
}

impl Left {
    /// The size of the next request; none when there is nothing left or the time is up.
    fn take(&self) -> Option<u32> {
        if self.until.is_some_and(|until| machine::moment() >= until) {
            return None;
        }
        let take = |left: u32| left.checked_sub(1).map(|_| left.saturating_sub(self.batch));
        let before = self.runs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(before.min(self.batch))
    }
}

/// Enqueues runs that are due at `due`, or now. Each takes room from `room`, which somebody else gives back.
pub(super) async fn enqueue(
    intake: &Arc<Intake>,
    load: Load,
    due: Option<Timestamp>,
    room: Option<&Arc<Semaphore>>,
) -> Result<Enqueued, Failure> {
    let mut clients = Vec::new();
    for _ in 0..load.clients {
        clients.push(intake.client().await?);
    }
    let begin = machine::moment();
    let until = load.limit.map(|limit| begin + limit);
    let left = Arc::new(Left { runs: AtomicU32::new(load.runs), batch: load.batch, until });
    let mut working = JoinSet::new();
    for client in clients {
        working.spawn(work(client, Arc::clone(&left), due, room.cloned()));
    }
    let mut enqueued = Enqueued { runs: 0, load, took: Duration::ZERO, answers: Samples::default() };
    while let Some(ended) = working.join_next().await {
        let (runs, answers) = ended.map_err(|error| lost(&error))??;
        enqueued.runs += runs;
        enqueued.answers.join(answers);
    }
    enqueued.took = machine::moment() - begin;
    Ok(enqueued)
}

async fn work(
    mut client: Client,
    left: Arc<Left>,
    due: Option<Timestamp>,
    room: Option<Arc<Semaphore>>,
) -> Result<(u32, Samples), Failure> {
    let (mut runs, mut answers) = (0, Samples::default());
    while let Some(batch) = left.take() {
        if let Some(room) = &room {
            // The semaphore is never closed.
            if let Ok(permits) = room.acquire_many(batch).await {
                permits.forget();
            }
        }
        let asked = machine::moment();
        client.enqueue_many(batch, due).await?;
        answers.add(machine::moment() - asked);
        runs += batch;
    }
    Ok((runs, answers))
}

/// What enqueueing and working off came to together.
#[derive(Debug)]
pub(super) struct Sustained {
    /// Runs.
    pub(super) runs: u32,
    /// From the first request to the last end of a run.
    pub(super) took: Duration,
    /// What it cost.
    pub(super) used: Usage,
}

/// Enqueues as fast as runs complete, and never far ahead of that.
pub(super) async fn sustain(intake: &Arc<Intake>, load: Load, tally: &Tally) -> Result<Sustained, Failure> {
    let done = tally.completed().await?;
    let room = Arc::new(Semaphore::new(AHEAD.max(2 * load.batch) as usize));
    let (before, begin) = (Usage::now(), machine::moment());
    let mut seen = done;
    let give_back = |completed| {
        room.add_permits(completed - seen);
        seen = completed;
    };
    let (enqueued, end) =
        tokio::try_join!(enqueue(intake, load, None, Some(&room)), tally.until(done + load.runs as usize, give_back),)?;
    Ok(Sustained { runs: enqueued.runs, took: end - begin, used: Usage::now().since(before) })
}

/// A task of the measurement itself that did not end by itself.
pub(super) fn lost(error: &tokio::task::JoinError) -> Failure {
    Failure::new("client-lost", format!("a client of the measurement ended early: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_request_has_what_is_left_and_nothing_follows() {
        let left = Left { runs: AtomicU32::new(25), batch: 10, until: None };
        let sizes: Vec<_> = std::iter::from_fn(|| left.take()).collect();
        assert_eq!(sizes, [10, 10, 5]);
    }

    #[test]
    fn nothing_is_asked_for_when_the_time_is_up() {
        let left = Left { runs: AtomicU32::new(25), batch: 10, until: Some(machine::moment()) };
        assert_eq!(left.take(), None);
    }
}
