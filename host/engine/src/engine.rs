//! The shell of the scheduler: gathers what has become known, lets the scheduler step, and carries its decisions out.
//! It decides nothing about runs, reads no directory and runs no job code.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use jobmill_core::job::{LimitSettings, Overrides};
use jobmill_core::mail::InDoubt;
use jobmill_core::time::Sleep;
use jobmill_core::{Clock, Entropy, JobId, RunId, Timestamp, limits};
use jobmill_store::{Claimed, Hold, JobRules, LeaseReference, Retention, Rules, Store, StoreError};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, SharedCatalog};
use crate::changes::{Heard, Listener};
use crate::executor::Executor;
use crate::handle::Handle;
use crate::hopper::Hopper;
use crate::maintenance::Maintenance;
use crate::patience::{is_passing, patiently};
use crate::regressions::Regressions;
use crate::runner::{Loader, Stop};
use crate::scheduler::{Decision, Scheduler, Wake};
use crate::schedules::Schedules;

/// Attempts that may wait at once to tell that their code has ended.
const EXECUTED_WAITING: usize = 1_024;

/// What an engine is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The watched directory of compiled jobs.
    pub hopper: PathBuf,
    /// How long a file must be unchanged before it is read.
    pub quiet: Duration,
    /// Attempts at once.
    pub concurrency: usize,
    /// What running attempts get to end by themselves when the engine stops.
    pub shutdown_grace: Duration,
    /// The operator's settings of jobs.
    pub overrides: Overrides,
    /// How long final runs are kept.
    pub retention: Retention,
    /// At most so many runs at once, by queue.
    pub queues: BTreeMap<String, u32>,
    /// At most so many runs may wait, of all jobs.
    pub waiting: u32,
    /// What happens to mails that may have been sent.
    pub in_doubt: InDoubt,
    /// How long the id that its publisher gave an event is remembered.
    pub event_id_window: Duration,
    /// A new version that breaks where the one before did not is rolled back.
    pub auto_rollback: bool,
}

/// Why the engine stopped, other than by being asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The hopper can't be read.
    #[error("can't read the hopper {path}: {reason}")]
    Hopper {
        /// The directory.
        path: String,
        /// What the operating system said.
        reason: String,
    },
    /// The store can't do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Claims, runs and records until it is told to stop.
pub struct Engine {
    executor: Arc<Executor>,
    hopper: Hopper,
    maintenance: Maintenance,
    schedules: Schedules,
    /// None where nothing is rolled back by itself.
    regressions: Option<Regressions>,
    catalog: SharedCatalog,
    generation: watch::Receiver<u64>,
    ready: watch::Sender<bool>,
    shutdown: CancellationToken,
    concurrency: usize,
    shutdown_grace: Duration,
    queues: BTreeMap<String, u32>,
}

impl Engine {
    /// An engine and its doors. Nothing is read or run before `run`.
    pub fn new(
        settings: Settings,
        store: Arc<dyn Store>,
        loader: Arc<dyn Loader>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> (Self, Handle) {
        let catalog: SharedCatalog = Arc::new(ArcSwap::from_pointee(Catalog::default()));
        let (generation_sender, generation) = watch::channel(0);
        let (ready, is_ready) = watch::channel(false);
        let shutdown = CancellationToken::new();
        let (hopper, requests) = mpsc::channel(limits::ROLLBACKS_WAITING);
        let handle = Handle {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            generation: generation.clone(),
            hopper,
            ready: is_ready,
            shutdown: shutdown.clone(),
            concurrency: settings.concurrency,
            retention: settings.retention,
            waiting: settings.waiting,
            in_doubt: settings.in_doubt,
            event_id_window: settings.event_id_window,
            limits: Arc::new(LimitSettings::new(&settings.overrides.limits)),
            queues: Arc::new(settings.queues.clone()),
            trials: Arc::new(Semaphore::new(limits::TRIALS)),
        };
        let maintenance =
            Maintenance { store: Arc::clone(&store), clock: Arc::clone(&clock), retention: settings.retention };
        let hopper = Hopper::new(
            settings.hopper,
            settings.quiet,
            settings.overrides,
            loader,
            Arc::clone(&store),
            Arc::clone(&clock),
            (Arc::clone(&catalog), generation_sender, requests),
        );
        let (ends, regressions) = if settings.auto_rollback {
            let (ends, ended) = mpsc::channel(limits::ENDS_WAITING);
            (Some(ends), Some(Regressions::new(handle.clone(), ended)))
        } else {
            (None, None)
        };
        let executor = Executor::new(store, clock, entropy).announcing(Arc::new(handle.clone())).telling(ends);
        let executor = Arc::new(executor);
        let engine = Self {
            executor,
            hopper,
            maintenance,
            schedules: Schedules { handle: handle.clone() },
            regressions,
            catalog,
            generation,
            ready,
            shutdown,
            concurrency: settings.concurrency,
            shutdown_grace: settings.shutdown_grace,
            queues: settings.queues,
        };
        (engine, handle)
    }

    /// Serves until the handle asks it to stop, or until the store fails.
    pub async fn run(self) -> Result<(), EngineError> {
        let store = Arc::clone(&self.executor.store);
        let shutdown = self.shutdown.clone();
        let served = self.serve().await;
        // Also when the store failed: the doors must stop answering.
        shutdown.cancel();
        let closed = store.close().await;
        served?;
        Ok(closed?)
    }

    async fn serve(mut self) -> Result<(), EngineError> {
        // Subscribed before anything is looked at, so that nothing falls between.
        let changes = Listener::to(&*self.executor.store);
        let Some(rescued) = self.rescue().await? else { return Ok(()) };
        self.hopper.load_all(&self.shutdown).await?;
        // Only now it is known which jobs listen.
        self.schedules.handle.announce_rescued(rescued).await?;
        self.ready.send_replace(true);
        let mut beside = JoinSet::new();
        beside.spawn(self.hopper.watch(self.shutdown.clone()));
        beside.spawn(self.maintenance.run());
        beside.spawn(self.schedules.run());
        if let Some(regressions) = self.regressions {
            beside.spawn(regressions.run());
        }
        let (executed_sender, executed) = mpsc::channel(EXECUTED_WAITING);
        let mut shell = Shell {
            executor: self.executor,
            scheduler: Scheduler::new(self.concurrency, self.shutdown_grace),
            loaded: self.catalog.load_full(),
            queues: self.queues,
            claimed_of: Arc::default(),
            catalog: self.catalog,
            generation: self.generation,
            changes,
            shutdown: self.shutdown,
            told_to_stop: false,
            attempts: JoinSet::new(),
            executed_sender,
            executed,
            held: BTreeMap::new(),
            cancels: HashMap::new(),
            interrupted: CancellationToken::new(),
            claiming: None,
            looking: None,
            alarm: None,
        };
        // Whatever runs beside ends with this.
        Ok(shell.run().await?)
    }

    /// Ends the attempts that the engine did not live to see, and answers their runs; none when it was asked to stop first.
    async fn rescue(&self) -> Result<Option<Vec<RunId>>, StoreError> {
        let Executor { store, clock, .. } = &*self.executor;
        let rescued = tokio::select! {
            biased;
            rescued = patiently(&**clock, is_passing, || store.rescue(clock.now())) => rescued?,
            () = self.shutdown.cancelled() => return Ok(None),
        };
        if !rescued.is_empty() {
            tracing::warn!(
                runs = rescued.len(),
                "attempts were cut off when the engine last stopped; their runs go on"
            );
        }
        Ok(Some(rescued))
    }
}

/// Work whose end is a wake.
type Errand = BoxFuture<'static, Result<Wake, StoreError>>;

/// An attempt's code has ended; its end is not on record yet.
struct Executed {
    lease: LeaseReference,
    /// What keeps its job back.
    held: Option<(JobId, Hold)>,
}

struct Shell {
    executor: Arc<Executor>,
    scheduler: Scheduler,
    /// What is loaded, as the scheduler was told.
    loaded: Arc<Catalog>,
    queues: BTreeMap<String, u32>,
    /// What was loaded when the latest claim began: it has the versions that were claimed.
    claimed_of: Arc<Catalog>,
    catalog: SharedCatalog,
    generation: watch::Receiver<u64>,
    changes: Listener,
    shutdown: CancellationToken,
    told_to_stop: bool,
    attempts: JoinSet<Result<LeaseReference, StoreError>>,
    executed_sender: mpsc::Sender<Executed>,
    executed: mpsc::Receiver<Executed>,
    /// Jobs that something outside keeps back, as their attempts found.
    held: BTreeMap<JobId, Hold>,
    cancels: HashMap<LeaseReference, CancellationToken>,
    interrupted: CancellationToken,
    claiming: Option<Errand>,
    looking: Option<Errand>,
    alarm: Option<Alarm>,
}

impl Shell {
    async fn run(&mut self) -> Result<(), StoreError> {
        let mut wakes = vec![Wake::Catalog(self.rules())];
        let mut decisions = Vec::new();
        loop {
            self.scheduler.step(self.executor.clock.now(), &mut wakes, &mut decisions);
            for decision in decisions.drain(..) {
                match decision {
                    Decision::Claim(room) => {
                        self.claimed_of = Arc::clone(&self.loaded);
                        let executor = Arc::clone(&self.executor);
                        self.claiming = Some(Box::pin(async move { executor.claim(room).await }));
                    }
                    Decision::Start(runs) => self.start(runs)?,
                    Decision::LookAt(leases) => {
                        let executor = Arc::clone(&self.executor);
                        self.looking = Some(Box::pin(async move { executor.look_at(leases).await }));
                    }
                    Decision::Cancel(lease) => {
                        if let Some(cancel) = self.cancels.get(&lease) {
                            cancel.cancel();
                        }
                    }
                    Decision::Interrupt => {
                        tracing::info!(attempts = self.attempts.len(), "interrupting attempts: their grace is over");
                        self.interrupted.cancel();
                    }
                    Decision::Abandon => {
                        // Their runs are rescued at the next start.
                        tracing::warn!(attempts = self.attempts.len(), "attempts did not stop in time");
                        self.attempts.abort_all();
                        self.attempts.detach_all();
                    }
                    Decision::Stop => return Ok(()),
                }
            }
            self.wait(&mut wakes).await?;
            self.gather(&mut wakes)?;
        }
    }

    fn start(&mut self, runs: Vec<Claimed>) -> Result<(), StoreError> {
        for run in runs {
            let lease = run.lease();
            let Some(loaded) = self.claimed_of.serving(&run.head.job).cloned() else {
                let error = format!("{} of {} was claimed, which was not asked for", lease.run, run.head.job);
                return Err(StoreError::Failed(error));
            };
            let stop = Stop { cancelled: CancellationToken::new(), interrupted: self.interrupted.clone() };
            self.cancels.insert(lease, stop.cancelled.clone());
            let executor = Arc::clone(&self.executor);
            let executed = self.executed_sender.clone();
            self.attempts.spawn(async move {
                let ended = executor.execute(run, loaded, stop).await;
                // Nobody listens only when the engine is gone, and then nobody needs the permit.
                let _ = executed.send(Executed { lease, held: ended.hold(executor.clock.now()) }).await;
                executor.record(ended).await.map(|()| lease)
            });
        }
        Ok(())
    }

    /// Until something has become known or the scheduler wants to be woken.
    async fn wait(&mut self, wakes: &mut Vec<Wake>) -> Result<(), StoreError> {
        let alarm = Alarm::set(&mut self.alarm, self.scheduler.wake_at(), &*self.executor.clock);
        tokio::select! {
            biased;
            claimed = run(&mut self.claiming) => wakes.push(claimed?),
            looked = run(&mut self.looking) => wakes.push(looked?),
            Some(executed) = self.executed.recv() => self.take_in(executed, wakes),
            Some(recorded) = self.attempts.join_next() => wakes.push(settle(&mut self.cancels, recorded)?),
            heard = self.changes.next() => wakes.push(wake_of(heard?)),
            Ok(()) = self.generation.changed() => {
                self.loaded = self.catalog.load_full();
                wakes.push(Wake::Catalog(self.rules()));
            }
            () = self.shutdown.cancelled(), if !self.told_to_stop => {}
            () = &mut alarm.sleep => self.alarm = None,
        }
        // A hold that is over makes way for the job's own limits.
        let now = self.executor.clock.now();
        if self.held.values().any(|hold| !hold.holds(now)) {
            wakes.push(Wake::Catalog(self.rules()));
        }
        Ok(())
    }

    /// An attempt's code has ended. What it found keeping its job back holds the job's other runs too.
    fn take_in(&mut self, executed: Executed, wakes: &mut Vec<Wake>) {
        if let Some((job, hold)) = executed.held {
            if self.held.get(&job).is_none_or(|earlier| !earlier.holds(hold.since)) {
                tracing::warn!(%job, until = %hold.until, reason = hold.reason, "the job is held back");
            }
            self.held.insert(job, hold);
            wakes.push(Wake::Catalog(self.rules()));
        }
        wakes.push(Wake::Executed(executed.lease));
    }

    /// What can be run, and under which limits.
    fn rules(&mut self) -> Arc<Rules> {
        let now = self.executor.clock.now();
        self.held.retain(|_, hold| hold.holds(now));
        let jobs = self.loaded.all_serving().map(|loaded| {
            let id = loaded.job.id.clone();
            let held = self.held.get(&id).cloned();
            (id, JobRules { held, ..loaded.rules() })
        });
        Arc::new(Rules { jobs: jobs.collect(), queues: self.queues.clone() })
    }

    /// Whatever else has become known by now, so that one step takes in all of it.
    fn gather(&mut self, wakes: &mut Vec<Wake>) -> Result<(), StoreError> {
        while let Ok(executed) = self.executed.try_recv() {
            self.take_in(executed, wakes);
        }
        while let Some(recorded) = self.attempts.try_join_next() {
            wakes.push(settle(&mut self.cancels, recorded)?);
        }
        while let Some(heard) = self.changes.try_next() {
            wakes.push(wake_of(heard));
        }
        if self.generation.has_changed().unwrap_or(false) {
            self.generation.mark_unchanged();
            self.loaded = self.catalog.load_full();
            wakes.push(Wake::Catalog(self.rules()));
        }
        if self.shutdown.is_cancelled() && !self.told_to_stop {
            self.told_to_stop = true;
            wakes.push(Wake::Shutdown);
        }
        Ok(())
    }
}

/// The sleep until the scheduler wants to be woken, kept from turn to turn.
struct Alarm {
    at: Timestamp,
    sleep: Sleep,
}

impl Alarm {
    /// An alarm that is set for an earlier time is left: to wake too early costs one step, and setting anew one each turn.
    fn set<'alarm>(alarm: &'alarm mut Option<Self>, at: Timestamp, clock: &dyn Clock) -> &'alarm mut Self {
        if alarm.as_ref().is_some_and(|alarm| alarm.at > at) {
            *alarm = None;
        }
        alarm.get_or_insert_with(|| Self { at, sleep: clock.sleep_until(at) })
    }
}

fn wake_of(heard: Heard) -> Wake {
    match heard {
        Heard::Changes(changes) => Wake::Changed(changes),
        Heard::Missed => Wake::Missed,
    }
}

/// Runs an errand to its end, and clears its place.
async fn run(errand: &mut Option<Errand>) -> Result<Wake, StoreError> {
    let Some(under_way) = errand else { return std::future::pending().await };
    let answer = under_way.await;
    *errand = None;
    answer
}

fn settle(
    cancels: &mut HashMap<LeaseReference, CancellationToken>,
    recorded: Result<Result<LeaseReference, StoreError>, JoinError>,
) -> Result<Wake, StoreError> {
    let lease = recorded
        .unwrap_or_else(|error| Err(StoreError::Failed(format!("an attempt could not record its end: {error}"))))?;
    cancels.remove(&lease);
    Ok(Wake::Recorded(lease))
}
