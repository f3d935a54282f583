//! What one seed makes of the world: its jobs, how busy each part is, and which faults there are.
//! Each fault is off in half of the seeds, so that faults are also met alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobmill_core::cron::CronExpression;
use jobmill_core::job::{Descriptor, JobOverrides};
use jobmill_core::{Backoff, Job, JobId, Timestamp, Version};
use jobmill_engine::LoadedJob;
use jobmill_engine::timetable::crons_of;

use crate::arrivals::Arrivals;
use crate::chance::Chance;
use crate::crons::Crons;
use crate::life::Jobs;
use crate::policies::Policies;
use crate::script::Scripted;
use crate::stage::Stage;

/// How often each thing happens, against the others.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    pub(crate) poll: u64,
    pub(crate) turn: u64,
    pub(crate) commit: u64,
    pub(crate) ask: u64,
    pub(crate) pass: u64,
    pub(crate) strike: u64,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies. What it wrote stays, its notes too.
    ProcessDeath,
    /// The machine dies. What was not synced may be lost, and the notes.
    PowerCut,
    /// The disk has no room, until it has.
    DiskFull,
    /// The disk has room for work under way only.
    DiskLow,
    /// A sync fails.
    SyncFails,
    /// A write fails.
    AppendFails,
    /// Blocks that count no more are not given back.
    ReleaseFails,
    /// The clock is set forward or back.
    ClockSet,
    /// A day passes in which nothing is done, and what is old is pruned.
    Day,
    /// The clock is fast or slow.
    Drift,
    /// Ends of attempts come late, or twice.
    LateEnds,
    /// A component is taken away or replaced.
    Components,
    /// Changes are missed.
    MissedChanges,
    /// The engine is asked to stop.
    Shutdown,
}

impl Fault {
    const ALL: [Self; 14] = [
        Self::ProcessDeath,
        Self::PowerCut,
        Self::DiskFull,
        Self::DiskLow,
        Self::SyncFails,
        Self::AppendFails,
        Self::ReleaseFails,
        Self::ClockSet,
        Self::Day,
        Self::Drift,
        Self::LateEnds,
        Self::Components,
        Self::MissedChanges,
        Self::Shutdown,
    ];
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) jobs: u64,
    pub(crate) concurrency: usize,
    pub(crate) grace: Duration,
    pub(crate) weights: Weights,
    pub(crate) faults: Vec<Fault>,
    /// Some runs take the process down with each attempt.
    pub(crate) poison: bool,
    /// A log of at least so many records is cleaned.
    pub(crate) cleaned_from: usize,
    /// Keys and event ids are drawn from so many.
    pub(crate) names: u64,
    /// What jobs say for flow control.
    pub(crate) policies: Policies,
    /// When jobs start by themselves, where they do.
    pub(crate) crons: Option<Crons>,
    /// Values and addresses are forgotten.
    pub(crate) forgets: bool,
    /// Ids come again, deliveries come, and ends are told, where they do.
    pub(crate) arrivals: Option<Arrivals>,
    /// What was made of the versions of the jobs so far: an expression takes long to read.
    described: Arc<Mutex<BTreeMap<(u64, u64), Described>>>,
}

/// A job, and when it starts by itself.
pub(crate) type Described = Arc<(Job, Vec<CronExpression>)>;

impl Scenario {
    pub(crate) fn draw(chance: &Chance, policies: Policies, besides: &Chance, arrivals: &Chance) -> Self {
        let faults = Fault::ALL.into_iter().filter(|_| chance.one_in(2)).collect();
        // Commits are slow in some seeds: much is under way at once.
        let commit = if chance.one_in(3) { 1 + chance.below(2) } else { 6 + chance.below(14) };
        let has_more = besides.one_in(2);
        Self {
            jobs: 1 + chance.below(4),
            concurrency: 1 + chance.index(8),
            grace: Duration::from_secs(chance.below(20)),
            weights: Weights {
                poll: 20 + chance.below(20),
                turn: 8 + chance.below(12),
                commit,
                ask: 3 + chance.below(9),
                pass: 2 + chance.below(6),
                strike: 1 + chance.below(3),
            },
            faults,
            poison: chance.one_in(2),
            cleaned_from: if chance.one_in(4) { usize::MAX } else { 5 + chance.index(40) },
            names: 2 + chance.below(20),
            policies,
            crons: has_more.then(|| Crons::draw(besides)).filter(|_| !besides.one_in(3)),
            forgets: has_more && !besides.one_in(3),
            arrivals: Arrivals::draw(arrivals),
            described: Arc::default(),
        }
    }

    /// The id of a job.
    pub(crate) fn job(number: u64) -> JobId {
        format!("job-{number}").parse().expect("a job id")
    }

    /// Whether a job listens to an event.
    pub(crate) fn listens(job: u64, event: u64) -> bool {
        event > 0 && (job + event).is_multiple_of(2)
    }

    /// Retries of a job.
    pub(crate) fn retries(number: u64) -> u32 {
        u32::try_from(number).unwrap_or(0)
    }

    /// A job as this version of its component describes it, and when it starts by itself.
    pub(crate) fn described(&self, number: u64, version: u64) -> Described {
        let mut described = self.described.lock().expect("not poisoned");
        Arc::clone(described.entry((number, version)).or_insert_with(|| Arc::new(self.describe(number, version))))
    }

    fn describe(&self, number: u64, version: u64) -> (Job, Vec<CronExpression>) {
        let backoff = match number % 3 {
            0 => Backoff::Fixed { delay: Duration::from_millis(700) },
            1 => Backoff::default(),
            _ => Backoff::Exponential {
                base: Duration::from_millis(300),
                factor: 3.0,
                max: Duration::from_secs(20),
                jitter: 0.5,
            },
        };
        let descriptor = Descriptor {
            id: Self::job(number).to_string(),
            title: "Scripted".to_owned(),
            retries: Some(Self::retries(number)),
            backoff: Some(backoff),
            ..Descriptor::default()
        };
        let (crons, catch_up) = self.crons.as_ref().map(|crons| crons.of(number, version)).unzip();
        let overrides = JobOverrides { cron: crons, cron_catch_up: catch_up, ..self.policies.of(number, version) };
        let job = Job::new(descriptor, &overrides).expect("a job");
        let crons = crons_of(&job, None).expect("cron expressions");
        (job, crons)
    }

    /// What is loaded: these versions of the jobs, none for a job whose component is gone.
    pub(crate) fn load(&self, versions: &BTreeMap<u64, Option<u64>>, stage: &Arc<Stage>, now: Timestamp) -> Jobs {
        let loaded = versions.iter().filter_map(|(number, version)| {
            let version = (*version)?;
            let component = format!("job {number} version {version}");
            let (job, crons) = (*self.described(*number, version)).clone();
            let loaded = LoadedJob {
                sandbox: Arc::default(),
                job,
                crons,
                version: Version::of(component.as_bytes()),
                descriptor: Descriptor::default(),
                imports: Vec::new(),
                size: component.len() as u64,
                file: format!("job-{number}.wasm"),
                loaded_at: now,
                schema: None,
                runner: Arc::new(Scripted(Arc::clone(stage))),
            };
            Some((Self::job(*number), Arc::new(loaded)))
        });
        loaded.collect()
    }
}
