//! The loop that owns every decision about when something runs. A closed enum names all that can move it.
//! Attempts run beside it; it reads no directory and runs no job code.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use jobmill_core::job::JobOverrides;
use jobmill_core::{Clock, Entropy, JobId, RunId, RunState, Timestamp};
use jobmill_store::{Change, Claimed, Room, Store, StoreError};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, SharedCatalog};
use crate::executor::Executor;
use crate::handle::Handle;
use crate::hopper::Hopper;
use crate::runner::{Loader, Stop};

/// Wakes may get lost between machines; nothing waits longer than this for one.
const POLL: Duration = Duration::from_secs(5);
/// What interrupted attempts get to put their end on record.
const INTERRUPTED_GRACE: Duration = Duration::from_secs(5);

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
    /// The operator's settings by job.
    pub overrides: BTreeMap<JobId, JobOverrides>,
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

/// Everything that can move the engine.
enum Wake {
    /// A claim was recorded.
    Claimed(Result<Vec<Claimed>, StoreError>),
    /// An attempt ended and its end is on record.
    Ended(Result<RunId, StoreError>),
    /// A run changed.
    Changed(Change),
    /// Changes were missed.
    Missed,
    /// Something became due, or the poll came round.
    Due,
    /// What is loaded changed.
    Catalog,
    /// The engine was asked to stop.
    Shutdown,
    /// Running attempts had their grace.
    GraceOver,
}

/// Claims, runs and records until it is told to stop.
pub struct Engine {
    executor: Arc<Executor>,
    hopper: Hopper,
    catalog: SharedCatalog,
    generation: watch::Receiver<u64>,
    ready: watch::Sender<bool>,
    shutdown: CancellationToken,
    concurrency: usize,
    shutdown_grace: Duration,
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
        let handle = Handle {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            generation: generation.clone(),
            ready: is_ready,
            shutdown: shutdown.clone(),
            concurrency: settings.concurrency,
        };
        let hopper = Hopper::new(
            settings.hopper,
            settings.quiet,
            settings.overrides,
            loader,
            Arc::clone(&clock),
            Arc::clone(&catalog),
            generation_sender,
        );
        let executor = Arc::new(Executor { store, clock, entropy });
        let engine = Self {
            executor,
            hopper,
            catalog,
            generation,
            ready,
            shutdown,
            concurrency: settings.concurrency,
            shutdown_grace: settings.shutdown_grace,
        };
        (engine, handle)
    }

    /// Serves until the handle asks it to stop, or until the store fails.
    pub async fn run(mut self) -> Result<(), EngineError> {
        // Subscribed before anything is looked at, so that nothing falls between.
        let changes = self.executor.store.changes();
        let rescued = self.executor.store.rescue(self.executor.clock.now()).await?;
        if !rescued.is_empty() {
            tracing::warn!(
                runs = rescued.len(),
                "attempts were cut off when the engine last stopped; their runs go on"
            );
        }
        self.hopper.load_all().await?;
        self.ready.send_replace(true);
        let watching = tokio::spawn(self.hopper.watch(self.shutdown.clone()));
        let mut scheduling = Scheduling {
            executor: self.executor,
            catalog: self.catalog,
            generation: self.generation,
            changes,
            shutdown: self.shutdown.clone(),
            concurrency: self.concurrency,
            shutdown_grace: self.shutdown_grace,
            attempts: JoinSet::new(),
            cancels: HashMap::new(),
            interrupted: CancellationToken::new(),
            claiming: None,
            claim_wanted: true,
            next_due: None,
            stopping: None,
        };
        let served = scheduling.run().await;
        // Also when the store failed: the doors must stop answering.
        self.shutdown.cancel();
        let closed = scheduling.executor.store.close().await;
        watching.abort();
        served?;
        Ok(closed?)
    }
}

/// How far a shutdown has come.
struct Stopping {
    until: Timestamp,
    interrupted: bool,
}

struct ClaimUnderWay {
    catalog: Arc<Catalog>,
    permits: usize,
    now: Timestamp,
    claim: BoxFuture<'static, Result<Vec<Claimed>, StoreError>>,
}

struct Scheduling {
    executor: Arc<Executor>,
    catalog: SharedCatalog,
    generation: watch::Receiver<u64>,
    changes: broadcast::Receiver<Change>,
    shutdown: CancellationToken,
    concurrency: usize,
    shutdown_grace: Duration,
    attempts: JoinSet<Result<RunId, StoreError>>,
    cancels: HashMap<RunId, CancellationToken>,
    interrupted: CancellationToken,
    claiming: Option<ClaimUnderWay>,
    /// Something may be due that the last claim did not see.
    claim_wanted: bool,
    next_due: Option<Timestamp>,
    stopping: Option<Stopping>,
}

impl Scheduling {
    async fn run(&mut self) -> Result<(), StoreError> {
        loop {
            self.begin_claim();
            if self.stopping.is_some() && self.claiming.is_none() && self.attempts.is_empty() {
                return Ok(());
            }
            match self.wake().await {
                Wake::Claimed(claimed) => self.start(claimed?).await?,
                Wake::Ended(ended) => {
                    self.cancels.remove(&ended?);
                }
                Wake::Changed(change) => self.notice(change),
                Wake::Missed => self.look_at_everything().await?,
                Wake::Due => {
                    self.claim_wanted = true;
                    self.next_due = None;
                }
                Wake::Catalog => self.claim_wanted = true,
                Wake::Shutdown => {
                    let until = self.executor.clock.now().after(self.shutdown_grace);
                    self.stopping = Some(Stopping { until, interrupted: false });
                }
                Wake::GraceOver => self.interrupt(),
            }
        }
    }

    /// Permits first, then a claim of at most as many.
    fn begin_claim(&mut self) {
        let permits = self.concurrency.saturating_sub(self.attempts.len());
        if self.stopping.is_some() || self.claiming.is_some() || !self.claim_wanted || permits == 0 {
            return;
        }
        self.claim_wanted = false;
        let catalog = self.catalog.load_full();
        let jobs: Vec<_> = catalog.all_serving().map(|loaded| (loaded.job.id.clone(), loaded.version)).collect();
        if jobs.is_empty() {
            return;
        }
        let store = Arc::clone(&self.executor.store);
        let now = self.executor.clock.now();
        let claim = Box::pin(async move { store.claim(Room { permits, jobs }, now).await });
        self.claiming = Some(ClaimUnderWay { catalog, permits, now, claim });
    }

    async fn wake(&mut self) -> Wake {
        let clock = &self.executor.clock;
        let poll = clock.now().after(POLL);
        let due = clock.sleep_until(self.next_due.map_or(poll, |due| due.min(poll)));
        let grace = self.stopping.as_ref().map(|stopping| clock.sleep_until(stopping.until));
        let stopping = self.stopping.is_some();
        tokio::select! {
            // The claim first: a cancel of a run can only be heard after the claim of that run was answered.
            biased;
            claimed = under_way(self.claiming.as_mut()) => Wake::Claimed(claimed),
            Some(ended) = self.attempts.join_next() => Wake::Ended(ended.unwrap_or_else(|error| {
                Err(StoreError::Failed(format!("an attempt could not record its end: {error}")))
            })),
            change = self.changes.recv() => match change {
                Ok(change) => Wake::Changed(change),
                Err(_) => Wake::Missed,
            },
            Ok(()) = self.generation.changed() => Wake::Catalog,
            () = self.shutdown.cancelled(), if !stopping => Wake::Shutdown,
            () = async { match grace { Some(grace) => grace.await, None => std::future::pending().await } } => {
                Wake::GraceOver
            }
            () = due, if !stopping => Wake::Due,
        }
    }

    async fn start(&mut self, claimed: Vec<Claimed>) -> Result<(), StoreError> {
        let Some(claim) = self.claiming.take() else {
            return Ok(());
        };
        // A full claim may have left some behind.
        self.claim_wanted |= claimed.len() == claim.permits;
        for run in claimed {
            let id = run.head.id;
            let Some(loaded) = claim.catalog.serving(&run.head.job) else {
                continue;
            };
            let stop = Stop { cancelled: CancellationToken::new(), interrupted: self.interrupted.clone() };
            self.cancels.insert(id, stop.cancelled.clone());
            self.attempts.spawn(Arc::clone(&self.executor).attempt(run, Arc::clone(loaded), stop));
        }
        // As of the claim: what became due since then was not looked at.
        self.next_due = self.executor.store.next_due(claim.now).await?;
        Ok(())
    }

    fn notice(&mut self, change: Change) {
        match change.state {
            RunState::Available => self.claim_wanted = true,
            RunState::Scheduled | RunState::Retryable => {
                let due = self.next_due.map_or(change.scheduled_at, |due| due.min(change.scheduled_at));
                self.next_due = Some(due);
            }
            RunState::Running if change.cancel_requested => {
                if let Some(cancel) = self.cancels.get(&change.run) {
                    cancel.cancel();
                }
            }
            RunState::Running | RunState::Completed | RunState::Cancelled | RunState::Dead => {}
        }
    }

    async fn look_at_everything(&mut self) -> Result<(), StoreError> {
        self.claim_wanted = true;
        for (run, cancel) in &self.cancels {
            let record = self.executor.store.run(*run).await?;
            if record.is_some_and(|record| record.run.head.cancel_requested) {
                cancel.cancel();
            }
        }
        Ok(())
    }

    fn interrupt(&mut self) {
        let Some(stopping) = &mut self.stopping else { return };
        if stopping.interrupted {
            // Their runs are rescued at the next start.
            tracing::warn!(attempts = self.attempts.len(), "attempts did not stop in time");
            self.attempts.abort_all();
            self.attempts.detach_all();
            return;
        }
        tracing::info!(attempts = self.attempts.len(), "interrupting attempts: their grace is over");
        self.interrupted.cancel();
        *stopping = Stopping { until: self.executor.clock.now().after(INTERRUPTED_GRACE), interrupted: true };
    }
}

async fn under_way(claiming: Option<&mut ClaimUnderWay>) -> Result<Vec<Claimed>, StoreError> {
    match claiming {
        Some(claiming) => (&mut claiming.claim).await,
        None => std::future::pending().await,
    }
}
