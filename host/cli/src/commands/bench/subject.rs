//! A mill under measurement: its doors, the way in for clients, and the count of its runs.
//! It opens and closes no mill, and puts no load of its own on one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::Timestamp;
use jobmill_engine::{Handle, LoadedJob};

use super::intake::{self, Door, Intake};
use super::payload::Payloads;
use super::tally::Tally;
use super::{Bench, limited, say, site};
use crate::failure::Failure;
use crate::machine;
use crate::output::{self, Output};

/// How often runs are enqueued anew because enqueueing took longer than expected.
const TRIES: u32 = 4;

/// What is measured.
pub(super) struct Subject {
    pub(super) handle: Handle,
    pub(super) intake: Arc<Intake>,
    pub(super) tally: Tally,
}

/// Runs that were worked off while none was enqueued.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drained {
    /// Runs.
    pub(super) runs: u32,
    /// From the moment at which all were due to the last end of a run.
    pub(super) took: Duration,
}

impl Subject {
    /// That of a mill, once the job is loaded. Runs are handed in at `address`, or by calls without one.
    pub(super) async fn find(
        bench: &Bench,
        handle: Handle,
        address: Option<SocketAddr>,
        hopper: &Path,
    ) -> Result<Self, Failure> {
        let loaded = site::job(&handle, &bench.job, hopper).await?;
        let door = match address {
            Some(address) => Door::Server { address, event: intake::event_of(&loaded, &handle.catalog()) },
            None => Door::Engine(handle.clone()),
        };
        let intake = Arc::new(Intake::new(door, &loaded, payloads(bench, &loaded)?));
        if bench.batch > 1 && !intake.takes_batches() {
            let text = format!("{} has no event of its own, and over HTTP only events come in batches", bench.job);
            return Err(Failure::usage("no-batches", text).advise("leave --batch or --http out"));
        }
        let tally = Tally::new(handle.clone(), bench.job.clone());
        Ok(Self { handle, intake, tally })
    }

    /// Has `queue` enqueue runs that are all due at one moment after it, and answers with what it says and with how many
    /// they are; from that moment on working them off is measured alone. When enqueueing was still going on at that
    /// moment, `allowance` after its beginning, it is all done anew with a later one.
    pub(super) async fn drain<Q>(
        &self,
        mut allowance: Duration,
        output: Output,
        queue: impl AsyncFn(Timestamp) -> Result<(Q, u32), Failure>,
    ) -> Result<(Q, Drained), Failure> {
        for _ in 0..TRIES {
            let before = self.tally.completed().await?;
            let due = self.handle.now().after(allowance);
            let due_moment = machine::moment() + allowance;
            let (queued, runs) = queue(due).await?;
            let all = before + runs as usize;
            let left = due_moment.saturating_duration_since(machine::moment());
            if left.is_zero() {
                say(output, "enqueueing took longer than expected, and runs began meanwhile; once more with more time");
                self.tally.until(all, |_| {}).await?;
                allowance *= 2;
                continue;
            }
            let runs_named = output::count(runs as usize, "run");
            say(output, &format!("drain: {runs_named}, all due in {}", output::span(left)));
            machine::rest(left).await;
            let end = self.tally.until(all, |_| {}).await?;
            return Ok((queued, Drained { runs, took: end.saturating_duration_since(due_moment) }));
        }
        let text = format!("enqueueing took longer than expected {TRIES} times in a row");
        Err(Failure::new("too-slow", text).advise("let nothing else run beside it, or choose fewer --runs"))
    }

    /// Looks at every run; none that was acknowledged is missing. Answers how many there are.
    pub(super) async fn check(&self) -> Result<usize, Failure> {
        let (checked, acknowledged) = (self.tally.check().await?, self.intake.acknowledged());
        if checked == acknowledged {
            return Ok(checked);
        }
        let text = format!("{acknowledged} runs were acknowledged and {checked} are there");
        Err(Failure::new("runs-lost", text).advise("this is a bug of Jobmill; please report it"))
    }
}

fn payloads(bench: &Bench, loaded: &LoadedJob) -> Result<Payloads, Failure> {
    if !bench.limits {
        return Ok(Payloads::of(loaded));
    }
    Payloads::keyed(loaded).ok_or_else(|| {
        let (job, member) = (&bench.job, limited::MEMBER);
        let text = format!("{job} takes no member {member:?} in its payload, by which it would be limited");
        Failure::usage("no-limits", text).advise("leave --limits out, or name another job with --job")
    })
}
