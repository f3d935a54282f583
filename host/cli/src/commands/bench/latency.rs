//! How long a run takes when the machine is not full: arrivals at a fixed rate, whatever becomes of those before.
//! Each span begins when its arrival was due, so that a late request counts against the figures (no coordinated omission).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobmill_core::{RunId, RunState};
use jobmill_engine::Handle;
use jobmill_store::Change;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::drive::lost;
use super::intake::{Client, Intake};
use super::samples::Samples;
use crate::failure::Failure;
use crate::machine;

/// Arrivals in a second.
pub(super) const RATE: u32 = 100;
/// Arrivals at most: ten seconds of them.
const MOST_ARRIVALS: u32 = 10 * RATE;

/// From the moment at which a run was due to arrive.
#[derive(Debug)]
pub(super) struct Latency {
    /// Until its attempt was on record, just before the guest begins.
    pub(super) start: Samples,
    /// Until its end was durable.
    pub(super) done: Samples,
}

/// What was seen of a run. The times are those at which this process was told, which includes the telling: some
/// microseconds on a machine that is not full. The engine's own times are whole milliseconds, too coarse for this.
#[derive(Default)]
struct Seen {
    /// None for a run of an earlier phase whose last change was told late.
    due: Option<Instant>,
    started: Option<Instant>,
    completed: Option<Instant>,
}

/// Lets at most `runs` arrive and follows each to its end.
pub(super) async fn measure(intake: &Arc<Intake>, handle: &Handle, runs: u32) -> Result<Latency, Failure> {
    let runs = runs.min(MOST_ARRIVALS);
    let mut changes = handle.changes();
    let mut idle: Vec<Client> = Vec::new();
    let mut arrivals = arrive(runs)?;
    let mut under_way: JoinSet<Result<(Client, RunId, Instant), Failure>> = JoinSet::new();
    let mut seen: HashMap<RunId, Seen> = HashMap::with_capacity(runs as usize);
    let mut over = 0;
    while over < runs {
        tokio::select! {
            told = next_changes(&mut changes) => over += note(&told?, &mut seen)?,
            Some(due) = arrivals.recv() => {
                let client = idle.pop();
                under_way.spawn(send(Arc::clone(intake), client, due));
            }
            Some(ended) = under_way.join_next() => {
                let (client, run, due) = ended.map_err(|error| lost(&error))??;
                idle.push(client);
                let run = seen.entry(run).or_default();
                run.due = Some(due);
                // A run may be over before its client is answered.
                over += u32::from(run.completed.is_some());
            }
        }
    }
    spans(seen.into_values(), runs as usize)
}

async fn send(intake: Arc<Intake>, client: Option<Client>, due: Instant) -> Result<(Client, RunId, Instant), Failure> {
    let mut client = match client {
        Some(client) => client,
        None => intake.client().await?,
    };
    let run = client.enqueue(None).await?;
    Ok((client, run, due))
}

fn spans(seen: impl Iterator<Item = Seen>, runs: usize) -> Result<Latency, Failure> {
    let mut latency = Latency { start: Samples::with_room(runs), done: Samples::with_room(runs) };
    for Seen { due, started, completed } in seen {
        let Some(due) = due else { continue };
        let (started, completed) = started.zip(completed).ok_or_else(missed)?;
        latency.start.add(started.saturating_duration_since(due));
        latency.done.add(completed.saturating_duration_since(due));
    }
    Ok(latency)
}

/// The moments at which runs are due to arrive, each told when it comes. A thread of its own keeps them: the timers of
/// tasks have whole milliseconds.
fn arrive(runs: u32) -> Result<mpsc::UnboundedReceiver<Instant>, Failure> {
    let (tell, told) = mpsc::unbounded_channel();
    let keep = move || {
        let begin = machine::moment();
        for number in 0..runs {
            let due = begin + Duration::from_secs(1) * number / RATE;
            machine::pause(due.saturating_duration_since(machine::moment()));
            if tell.send(due).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("arrivals".to_owned())
        .spawn(keep)
        .map_err(|error| Failure::new("no-threads", format!("the thread of arrivals can't be started: {error}")))?;
    Ok(told)
}

/// The next changes; everything that depends on how the store tells them is here.
async fn next_changes(changes: &mut broadcast::Receiver<Arc<[Change]>>) -> Result<Arc<[Change]>, Failure> {
    match changes.recv().await {
        // An empty batch says that changes may have been missed.
        Ok(batch) if !batch.is_empty() => Ok(batch),
        Ok(_) | Err(RecvError::Lagged(_)) => Err(missed()),
        Err(RecvError::Closed) => Err(super::tally::of_store(&jobmill_store::StoreError::Closed)),
    }
}

/// Puts down when changes were seen; answers how many runs that are waited for completed with them.
fn note(changes: &[Change], seen: &mut HashMap<RunId, Seen>) -> Result<u32, Failure> {
    let now = machine::moment();
    let mut completed = 0;
    for change in changes {
        let run = seen.entry(change.run).or_default();
        match change.state {
            RunState::Running => run.started = Some(now),
            RunState::Completed => {
                run.completed = Some(now);
                completed += u32::from(run.due.is_some());
            }
            RunState::Scheduled | RunState::Available => {}
            RunState::Retryable | RunState::Cancelled | RunState::Dead => {
                return Err(Failure::new(
                    "runs-failed",
                    format!("{} did not complete by its first attempt", change.run),
                ));
            }
        }
    }
    Ok(completed)
}

fn missed() -> Failure {
    Failure::new(
        "changes-missed",
        format!("this machine is too slow to follow {RATE} runs a second: changes were missed"),
    )
    .advise("let nothing else run beside it")
}

#[cfg(test)]
mod tests {
    use jobmill_core::Timestamp;

    use super::*;

    fn id() -> RunId {
        RunId::from_bytes([7; 16])
    }

    fn change(state: RunState) -> [Change; 1] {
        [Change { run: id(), state, scheduled_at: Timestamp::from_millis(0), cancel_requested: false }]
    }

    #[test]
    fn spans_begin_when_the_arrival_was_due() {
        let due = machine::moment();
        let at = |millis| Some(due + Duration::from_millis(millis));
        let late = Seen { due: Some(due), started: at(30), completed: at(40) };
        let mut latency = spans([late].into_iter(), 1).expect("complete");
        assert_eq!(latency.start.percentile(50), Duration::from_millis(30));
        assert_eq!(latency.done.percentile(50), Duration::from_millis(40));
    }

    #[test]
    fn a_late_word_of_an_earlier_run_is_not_counted() {
        let mut seen = HashMap::new();
        assert_eq!(note(&change(RunState::Completed), &mut seen).expect("no failure"), 0);
        assert_eq!(spans(seen.into_values(), 1).expect("nothing missed").done.len(), 0);
    }

    #[test]
    fn a_run_without_a_beginning_is_not_passed_off_as_measured() {
        let mut seen = HashMap::from([(id(), Seen { due: Some(machine::moment()), ..Seen::default() })]);
        assert_eq!(note(&change(RunState::Completed), &mut seen).expect("no failure"), 1);
        assert_eq!(spans(seen.into_values(), 1).expect_err("missed").code(), "changes-missed");
        assert!(note(&change(RunState::Dead), &mut HashMap::new()).is_err());
    }
}
