//! The phases of a measurement, one after the other, so that none disturbs another.
//! Each drives and measures elsewhere; here is what runs when, and for how long.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::Timestamp;
use jobmill_engine::Handle;

use super::Bench;
use super::awake::Awake;
use super::disk::{self, DiskRate};
use super::drive::{self, Enqueued, Load};
use super::intake::Intake;
use super::latency::{self, Latency};
use super::process;
use super::report::{self, Cost, DiskFigures, DrainFigures, EnqueueFigures, LatencyFigures, Report};
use super::tally::Tally;
use crate::failure::Failure;
use crate::machine;
use crate::output::{self, Output};

/// What the phases of one client may take at most: on a slow disk they would never end.
const SHORT: Duration = Duration::from_secs(2);
/// Runs of a request in the phase of batches.
const BATCH: u32 = 100;
/// Runs that are not measured: they wake what sleeps and tell roughly how fast it is.
const WARM_UP: u32 = 500;
/// What is added to the time in which enqueueing is expected to end.
const MARGIN: Duration = Duration::from_secs(1);
/// How often runs are enqueued anew because enqueueing took longer than expected.
const TRIES: u32 = 4;

/// What every phase needs.
pub(super) struct Phases<'a> {
    pub(super) bench: &'a Bench,
    pub(super) handle: &'a Handle,
    pub(super) intake: Arc<Intake>,
    pub(super) tally: Tally,
    pub(super) directory: &'a Path,
    pub(super) output: Output,
}

/// Runs that were enqueued while none was worked off, and then worked off while none was enqueued.
struct Queued {
    single: Enqueued,
    many: Enqueued,
    batches: Option<Enqueued>,
    drained: DrainFigures,
}

impl Phases<'_> {
    /// All of them.
    pub(super) async fn all(self) -> Result<Report, Failure> {
        self.say("disk: 4 KiB and fdatasync, a second with the processors as they are and one with them kept awake");
        let machine_load = process::machine_load();
        let idle = self.disk(false).await?;
        let before = self.disk(true).await?;
        let per_s = self.warm_up().await?;
        let queued = self.queue_and_drain(per_s).await?;
        self.say(&format!("sustained: {} enqueued and worked off together", self.runs()));
        let sustained = drive::sustain(&self.intake, self.load(), &self.tally).await?;
        let latency = self.latency().await?;
        self.say("disk: once more");
        let after = self.disk(true).await?;
        let cost = Cost::of(&sustained);
        Ok(Report {
            disk: DiskFigures::of(before, after, idle),
            enqueue: EnqueueFigures::of(queued.many),
            drain: queued.drained,
            sustained: DrainFigures::of(sustained.runs as usize, sustained.took),
            latency: LatencyFigures::of(latency),
            cpu_s_per_1000: cost.cpu_s_per_1000,
            // Before every run is read back, which takes memory of its own.
            rss_peak_mib: report::rss_peak_mib(),
            bytes_written_per_run: cost.bytes_written_per_run,
            single: EnqueueFigures::of(queued.single),
            batches: queued.batches.map(EnqueueFigures::of),
            job: self.bench.job.to_string(),
            through: if self.bench.http { "http" } else { "engine" },
            awake: self.bench.keep_awake,
            limits: self.bench.limits,
            completed_once: self.check().await?,
            machine_load,
        })
    }

    /// Says which phase begins.
    fn say(&self, text: &str) {
        self.output.note(&format!("· {text}"));
    }

    fn runs(&self) -> String {
        output::count(self.bench.runs as usize, "run")
    }

    fn load(&self) -> Load {
        Load { runs: self.bench.runs, clients: self.bench.clients, batch: self.bench.batch, limit: None }
    }

    async fn disk(&self, awake: bool) -> Result<DiskRate, Failure> {
        let directory: PathBuf = self.directory.to_owned();
        let measuring = tokio::task::spawn_blocking(move || {
            let _awake = if awake { Some(start_awake()?) } else { None };
            disk::measure(&directory)
        });
        measuring.await.map_err(|error| drive::lost(&error))?
    }

    /// Answers how many runs a second were enqueued, roughly.
    async fn warm_up(&self) -> Result<f64, Failure> {
        let runs = self.bench.runs.min(WARM_UP);
        self.say(&format!("warm-up: {}", output::count(runs as usize, "run")));
        let before = self.tally.completed().await?;
        let enqueued = drive::enqueue(&self.intake, Load { runs, ..self.load() }, None, None).await?;
        self.tally.until(before + runs as usize, |_| {}).await?;
        Ok(report::rate(runs as usize, enqueued.took))
    }

    /// Enqueueing is measured alone by runs that are all due at one moment after it; from that moment on working them
    /// off is measured alone. When enqueueing was still going on at that moment, it is all done anew with a later one.
    async fn queue_and_drain(&self, per_s: f64) -> Result<Queued, Failure> {
        let mut allowance = MARGIN + 2 * SHORT + Duration::from_secs_f64(f64::from(self.bench.runs) / per_s);
        for _ in 0..TRIES {
            let before = self.tally.completed().await?;
            let due = self.handle.now().after(allowance);
            let due_moment = machine::moment() + allowance;
            let (single, many, batches) = self.queue(due).await?;
            let runs = [Some(&single), Some(&many), batches.as_ref()].into_iter().flatten();
            let runs = runs.map(|enqueued| enqueued.runs as usize).sum();
            let left = due_moment.saturating_duration_since(machine::moment());
            if left.is_zero() {
                self.say("enqueueing took longer than expected, and runs began meanwhile; once more with more time");
                self.tally.until(before + runs, |_| {}).await?;
                allowance *= 2;
                continue;
            }
            self.say(&format!("drain: {}, all due in {}", output::count(runs, "run"), output::span(left)));
            machine::rest(left).await;
            let end = self.tally.until(before + runs, |_| {}).await?;
            let drained = DrainFigures::of(runs, end.saturating_duration_since(due_moment));
            return Ok(Queued { single, many, batches, drained });
        }
        let text = format!("enqueueing {} took longer than expected {TRIES} times in a row", self.runs());
        Err(Failure::new("too-slow", text).advise("let nothing else run beside it, or choose fewer --runs"))
    }

    async fn queue(&self, due: Timestamp) -> Result<(Enqueued, Enqueued, Option<Enqueued>), Failure> {
        let Bench { clients, batch, .. } = self.bench;
        self.say("enqueue: one client, a run a request");
        let one = Load { clients: 1, batch: 1, limit: Some(SHORT), ..self.load() };
        let single = {
            let _awake = self.awake()?;
            drive::enqueue(&self.intake, one, Some(due), None).await?
        };
        self.say(&format!(
            "enqueue: {} by {}, {batch} a request",
            self.runs(),
            output::count(*clients as usize, "client")
        ));
        let many = drive::enqueue(&self.intake, self.load(), Some(due), None).await?;
        let batches = if self.intake.takes_batches() {
            self.say(&format!("enqueue: one client, {BATCH} runs a request"));
            Some(drive::enqueue(&self.intake, Load { batch: BATCH, ..one }, Some(due), None).await?)
        } else {
            None
        };
        Ok((single, many, batches))
    }

    async fn latency(&self) -> Result<Latency, Failure> {
        self.say(&format!("latency: {} runs a second, whatever becomes of those before", latency::RATE));
        let _awake = self.awake()?;
        latency::measure(&self.intake, self.handle, self.bench.runs).await
    }

    fn awake(&self) -> Result<Option<Awake>, Failure> {
        self.bench.keep_awake.then(start_awake).transpose()
    }

    /// Looks at every run; none that was acknowledged is missing.
    async fn check(&self) -> Result<usize, Failure> {
        self.say("check: every run completed, and was attempted once");
        let (checked, acknowledged) = (self.tally.check().await?, self.intake.acknowledged());
        if checked == acknowledged {
            return Ok(checked);
        }
        let text = format!("{acknowledged} runs were acknowledged and {checked} are there");
        Err(Failure::new("runs-lost", text).advise("this is a bug of Jobmill; please report it"))
    }
}

fn start_awake() -> Result<Awake, Failure> {
    Awake::start().map_err(|error| {
        Failure::new("no-threads", format!("the thread that keeps the processors awake can't be started: {error}"))
    })
}
