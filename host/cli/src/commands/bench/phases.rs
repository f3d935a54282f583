//! The phases of a measurement, one after the other, so that none disturbs another.
//! Each drives and measures elsewhere; here is what runs when, and for how long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jobmill_core::Timestamp;

use super::Bench;
use super::awake::Awake;
use super::contrast::{Beside, Contrast, Round};
use super::disk::{self, DiskRate};
use super::drive::{self, Enqueued, Load};
use super::latency::{self, Latency};
use super::process;
use super::report::{self, Cost, DiskFigures, DrainFigures, EnqueueFigures, LatencyFigures, LimitFigures, Report};
use super::subject::{Drained, Subject};
use crate::failure::Failure;
use crate::output::{self, Output};

/// What the phases of one client may take at most: on a slow disk they would never end.
const SHORT: Duration = Duration::from_secs(2);
/// Runs of a request in the phase of batches.
const BATCH: u32 = 100;
/// Runs that are not measured: they wake what sleeps and tell roughly how fast it is.
const WARM_UP: u32 = 500;
/// What is added to the time in which enqueueing is expected to end.
const MARGIN: Duration = Duration::from_secs(1);

/// What every phase needs.
pub(super) struct Phases<'a> {
    pub(super) bench: &'a Bench,
    pub(super) subject: Subject,
    pub(super) directory: &'a Path,
    pub(super) output: Output,
}

/// Runs that were enqueued while none was worked off.
struct Queued {
    single: Enqueued,
    many: Enqueued,
    batches: Option<Enqueued>,
}

impl Phases<'_> {
    /// All of them; with a mill beside this one, a contrast to it as well.
    pub(super) async fn all(self, beside: Option<Beside<'_>>) -> Result<Report, Failure> {
        self.say("disk: 4 KiB and fdatasync, a second with the processors as they are and one with them kept awake");
        let machine_load = process::machine_load();
        let idle = self.disk(false).await?;
        let before = self.disk(true).await?;
        let per_s = self.warm_up().await?;
        let (queued, drained) = self.queue_and_drain(per_s).await?;
        self.say(&format!("sustained: {} enqueued and worked off together", self.runs()));
        let sustained = drive::sustain(&self.subject.intake, self.load(), &self.subject.tally).await?;
        let latency = self.latency().await?;
        self.say("disk: once more");
        let after = self.disk(true).await?;
        let cost = Cost::of(&sustained);
        // Before another mill is opened and every run is read back, which take memory of their own.
        let rss_peak_mib = report::rss_peak_mib();
        let contrast = match beside {
            Some(beside) => Some(self.contrast(beside, &queued.many, drained).await?),
            None => None,
        };
        self.say("check: every run completed, and was attempted once");
        let completed_once = self.subject.check().await? + contrast.as_ref().map_or(0, |it| it.completed_once);
        Ok(Report {
            disk: DiskFigures::of(before, after, idle),
            enqueue: EnqueueFigures::of(queued.many),
            drain: DrainFigures::of(drained.runs, drained.took),
            sustained: DrainFigures::of(sustained.runs, sustained.took),
            latency: LatencyFigures::of(latency),
            cpu_s_per_1000: cost.cpu_s_per_1000,
            rss_peak_mib,
            bytes_written_per_run: cost.bytes_written_per_run,
            single: EnqueueFigures::of(queued.single),
            batches: queued.batches.map(EnqueueFigures::of),
            job: self.bench.job.to_string(),
            through: if self.bench.served() { "http" } else { "engine" },
            awake: self.bench.keep_awake,
            limits: contrast.as_ref().map(LimitFigures::of),
            completed_once,
            machine_load,
        })
    }

    fn say(&self, text: &str) {
        super::say(self.output, text);
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
        let Subject { intake, tally, .. } = &self.subject;
        let before = tally.completed().await?;
        let enqueued = drive::enqueue(intake, Load { runs, ..self.load() }, None, None).await?;
        tally.until(before + runs as usize, |_| {}).await?;
        Ok(report::rate(runs as usize, enqueued.took))
    }

    async fn queue_and_drain(&self, per_s: f64) -> Result<(Queued, Drained), Failure> {
        let allowance = 2 * SHORT + allowance(self.bench.runs, per_s);
        let queue = async |due| {
            let queued = self.queue(due).await?;
            let Queued { single, many, batches } = &queued;
            let runs = single.runs + many.runs + batches.as_ref().map_or(0, |batches| batches.runs);
            Ok((queued, runs))
        };
        self.subject.drain(allowance, self.output, queue).await
    }

    async fn queue(&self, due: Timestamp) -> Result<Queued, Failure> {
        let intake = &self.subject.intake;
        let Bench { clients, batch, .. } = self.bench;
        self.say("enqueue: one client, a run a request");
        let one = Load { clients: 1, batch: 1, limit: Some(SHORT), ..self.load() };
        let single = {
            let _awake = self.awake()?;
            drive::enqueue(intake, one, Some(due), None).await?
        };
        self.say(&format!(
            "enqueue: {} by {}, {batch} a request",
            self.runs(),
            output::count(*clients as usize, "client")
        ));
        let many = drive::enqueue(intake, self.load(), Some(due), None).await?;
        let batches = if intake.takes_batches() {
            self.say(&format!("enqueue: one client, {BATCH} runs a request"));
            Some(drive::enqueue(intake, Load { batch: BATCH, ..one }, Some(due), None).await?)
        } else {
            None
        };
        Ok(Queued { single, many, batches })
    }

    async fn latency(&self) -> Result<Latency, Failure> {
        self.say(&format!("latency: {} runs a second, whatever becomes of those before", latency::RATE));
        let _awake = self.awake()?;
        latency::measure(&self.subject.intake, &self.subject.handle, self.bench.runs).await
    }

    fn awake(&self) -> Result<Option<Awake>, Failure> {
        self.bench.keep_awake.then(start_awake).transpose()
    }

    /// Drains as many runs again, enqueued as the many were, without limits and under them.
    async fn contrast(&self, beside: Beside<'_>, many: &Enqueued, drained: Drained) -> Result<Contrast, Failure> {
        let per_s = report::rate(many.runs as usize, many.took);
        let load = Load { runs: drained.runs, ..self.load() };
        let round = Round { load, allowance: allowance(load.runs, per_s) };
        beside.contrast(self.bench, &self.subject, self.directory, round, self.output).await
    }
}

/// How long enqueueing is expected to take, with a margin.
fn allowance(runs: u32, per_s: f64) -> Duration {
    MARGIN + Duration::from_secs_f64(f64::from(runs) / per_s)
}

fn start_awake() -> Result<Awake, Failure> {
    Awake::start().map_err(|error| {
        Failure::new("no-threads", format!("the thread that keeps the processors awake can't be started: {error}"))
    })
}
