//! One process from its start to its end: the production store, scheduler and executor, with every future polled by
//! hand. It is the counterpart of the engine's shell and decides no more than that does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use jobmill_core::{Clock as _, JobId, RunId, Timestamp};
use jobmill_engine::executor::{Ended, Executor};
use jobmill_engine::scheduler::{Decision, Scheduler, Wake};
use jobmill_engine::{LoadedJob, Stop};
use jobmill_store::{Change, Claimed, Committer, LeaseReference, Rules, Store, StoreError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use tokio_util::sync::CancellationToken;

use crate::clock::SimulatedClock;
use crate::findings::Findings;
use crate::schedules::{Board, Schedules};
use crate::watched_log::WatchedLog;

/// What is loaded, by job.
pub(crate) type Jobs = BTreeMap<JobId, Arc<LoadedJob>>;

type Errand = BoxFuture<'static, Result<Wake, StoreError>>;

/// What a process is made of.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) committer: Committer,
    pub(crate) executor: Arc<Executor>,
    pub(crate) clock: SimulatedClock,
    pub(crate) findings: Findings,
    pub(crate) log: WatchedLog,
    pub(crate) concurrency: usize,
    pub(crate) jobs: Jobs,
    /// Limits of queues, as they are configured.
    pub(crate) queues: BTreeMap<String, u32>,
    /// What fires schedules, where there are any, and where it looks for what is loaded.
    pub(crate) schedules: Option<Schedules>,
    pub(crate) board: Arc<Board>,
    /// A bug of the shell.
    pub(crate) flaw: Option<Flaw>,
}

/// Bugs that a shell can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Wakes about changes are lost and the alarm is never set.
    Deaf,
    /// Ends of attempts are not told.
    Silent,
    /// Attempts are not told that they are cancelled.
    Unmoved,
    /// What a claim says of due runs that it left is not told.
    Complacent,
    /// A schedule that the store refused to take on is taken to have gone on.
    Hasty,
}

/// An attempt under way.
pub(crate) struct Attempt {
    pub(crate) lease: LeaseReference,
    cancelled: CancellationToken,
    work: Work,
}

enum Work {
    Executing(BoxFuture<'static, Ended>),
    Recording(BoxFuture<'static, Result<(), StoreError>>),
}

enum Phase {
    Rescuing(BoxFuture<'static, Result<Vec<RunId>, StoreError>>),
    Serving,
    Closing(BoxFuture<'static, Result<(), StoreError>>),
}

/// How a process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on.
    Alive,
    /// It ended in order.
    Closed,
    /// The store failed under it.
    Failed(StoreError),
}

/// See the module.
pub(crate) struct Life {
    parts: Parts,
    scheduler: Scheduler,
    changes: broadcast::Receiver<Arc<[Change]>>,
    phase: Phase,
    wakes: Vec<Wake>,
    alarm: Option<Timestamp>,
    claimed_of: Jobs,
    /// Shared with whatever happens while a commit is on its way to the disk.
    claiming: Arc<Mutex<Option<Errand>>>,
    claimed: Arc<Mutex<Option<Result<Wake, StoreError>>>>,
    looking: Option<Errand>,
    attempts: Vec<Attempt>,
    interrupted: CancellationToken,
    /// Schedules that are being followed.
    tending: Option<BoxFuture<'static, Result<(), StoreError>>>,
    /// Attempts that ended on record.
    ended: Vec<LeaseReference>,
    /// Attempts were dropped because their grace was over.
    abandoned: bool,
    /// It was told to stop, and begins nothing more.
    stopping: bool,
}

/// Polls without anybody to wake.
pub(crate) fn poll<T>(future: &mut BoxFuture<'static, T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

impl Life {
    pub(crate) fn begin(parts: Parts, grace: Duration) -> Self {
        let changes = parts.store.changes();
        let (store, now) = (Arc::clone(&parts.store), parts.clock.now());
        let rescuing = Box::pin(async move { store.rescue(now).await });
        let phase = Phase::Rescuing(rescuing);
        let scheduler = Scheduler::new(parts.concurrency, grace);
        let mut life = Self {
            parts,
            scheduler,
            changes,
            phase,
            wakes: Vec::new(),
            alarm: None,
            claimed_of: Jobs::new(),
            claiming: Arc::default(),
            claimed: Arc::default(),
            looking: None,
            attempts: Vec::new(),
            interrupted: CancellationToken::new(),
            tending: None,
            ended: Vec::new(),
            abandoned: false,
            stopping: false,
        };
        life.tell_jobs();
        life.parts.board.post(life.parts.jobs.clone());
        life
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.parts.store
    }

    pub(crate) fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving)
    }

    /// Other components are loaded.
    pub(crate) fn load(&mut self, jobs: Jobs) {
        self.parts.jobs = jobs;
        self.tell_jobs();
        self.parts.board.post(self.parts.jobs.clone());
    }

    fn tell_jobs(&mut self) {
        let jobs = self.parts.jobs.iter().map(|(id, job)| (id.clone(), job.rules())).collect();
        self.wakes.push(Wake::Catalog(Arc::new(Rules { jobs, queues: self.parts.queues.clone() })));
    }

    /// It is told to stop.
    pub(crate) fn shut_down(&mut self) {
        self.stopping = true;
        self.tending = None;
        self.wakes.push(Wake::Shutdown);
    }

    /// What is loaded.
    pub(crate) fn jobs(&self) -> &Jobs {
        &self.parts.jobs
    }

    /// Lets schedules go on. When the store fails under them, the scheduler finds it out as well.
    pub(crate) fn tend(&mut self) {
        if self.tending.as_mut().is_some_and(|tending| poll(tending).is_ready()) {
            self.tending = None;
        }
    }

    /// Whether schedules are followed.
    pub(crate) fn is_tending(&self) -> bool {
        self.tending.is_some()
    }

    /// Changes that were not heard yet are missed, as when too many come at once.
    pub(crate) fn miss_changes(&mut self) {
        let mut missed = false;
        while !matches!(self.changes.try_recv(), Err(TryRecvError::Empty | TryRecvError::Closed)) {
            missed = true;
        }
        if missed {
            self.wakes.push(Wake::Missed);
        }
    }

    /// Attempts whose end was acknowledged since somebody asked.
    pub(crate) fn take_ended(&mut self) -> Vec<LeaseReference> {
        std::mem::take(&mut self.ended)
    }

    /// Whether attempts were dropped because their grace was over.
    pub(crate) fn has_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Whether it could begin more attempts, and is not asking for them.
    pub(crate) fn is_idle(&self) -> bool {
        let executing = self.attempts.iter().filter(|attempt| attempt.is_executing()).count();
        let is_claiming = self.claiming.lock().expect("not poisoned").is_some();
        let is_asking = is_claiming || self.claimed.lock().expect("not poisoned").is_some();
        self.is_serving() && !self.stopping && executing < self.parts.concurrency && !is_asking
    }

    /// Attempts under way.
    pub(crate) fn leases(&self) -> impl Iterator<Item = LeaseReference> + '_ {
        self.attempts.iter().map(|attempt| attempt.lease)
    }

    /// How many things can be polled: the errands as one, and each attempt.
    pub(crate) fn futures(&self) -> usize {
        1 + self.attempts.len()
    }

    /// Polls one of them; answers how the process stands then.
    pub(crate) fn poll(&mut self, position: usize, claimed: &mut Vec<Claimed>) -> Fate {
        let polled = match position.checked_sub(1) {
            None => self.poll_errands(claimed),
            Some(attempt) => self.poll_attempt(attempt).map(|()| Fate::Alive),
        };
        polled.unwrap_or_else(Fate::Failed)
    }

    fn poll_errands(&mut self, claimed: &mut Vec<Claimed>) -> Result<Fate, StoreError> {
        self.poll_claim(claimed)?;
        self.poll_look()?;
        self.poll_phase()
    }

    fn poll_phase(&mut self) -> Result<Fate, StoreError> {
        match &mut self.phase {
            Phase::Serving => Ok(Fate::Alive),
            Phase::Rescuing(rescuing) => {
                match poll(rescuing) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(_)) => {
                        self.phase = Phase::Serving;
                        self.tending = self.parts.schedules.take().map(|schedules| Box::pin(schedules.follow()) as _);
                    }
                    Poll::Ready(Err(StoreError::Unavailable(_) | StoreError::Full(_))) => {
                        let (store, now) = (Arc::clone(&self.parts.store), self.parts.clock.now());
                        self.phase = Phase::Rescuing(Box::pin(async move { store.rescue(now).await }));
                    }
                    Poll::Ready(Err(error)) => return Err(error),
                }
                Ok(Fate::Alive)
            }
            Phase::Closing(closing) => match poll(closing) {
                Poll::Pending => Ok(Fate::Alive),
                // A store that has no room when it closes keeps what it has.
                Poll::Ready(Ok(()) | Err(StoreError::Unavailable(_))) => Ok(Fate::Closed),
                Poll::Ready(Err(error)) => Err(error),
            },
        }
    }

    fn poll_claim(&mut self, claimed: &mut Vec<Claimed>) -> Result<(), StoreError> {
        poll_claiming(&self.claiming, &self.claimed);
        let Some(answer) = self.claimed.lock().expect("not poisoned").take() else { return Ok(()) };
        let mut wake = answer?;
        if let Wake::Claimed { runs, left, .. } = &mut wake {
            claimed.extend(runs.iter().cloned());
            *left &= self.parts.flaw != Some(Flaw::Complacent);
        }
        self.wakes.push(wake);
        Ok(())
    }

    /// Lets the claim under way go on while a commit is on its way to the disk.
    pub(crate) fn claim_meanwhile(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let (claiming, claimed) = (Arc::clone(&self.claiming), Arc::clone(&self.claimed));
        let is_claiming = claiming.lock().expect("not poisoned").is_some();
        is_claiming.then(|| Box::new(move || poll_claiming(&claiming, &claimed)) as _)
    }

    fn poll_look(&mut self) -> Result<(), StoreError> {
        let Some(looking) = &mut self.looking else { return Ok(()) };
        if let Poll::Ready(answer) = poll(looking) {
            self.looking = None;
            self.wakes.push(answer?);
        }
        Ok(())
    }

    fn poll_attempt(&mut self, position: usize) -> Result<(), StoreError> {
        let attempt = &mut self.attempts[position];
        let lease = attempt.lease;
        match &mut attempt.work {
            Work::Executing(executing) => {
                if let Poll::Ready(ended) = poll(executing) {
                    let executor = Arc::clone(&self.parts.executor);
                    attempt.work = Work::Recording(Box::pin(async move { executor.record(ended).await }));
                    self.tell(Wake::Executed(lease));
                }
            }
            Work::Recording(recording) => {
                if let Poll::Ready(recorded) = poll(recording) {
                    self.attempts.remove(position);
                    recorded?;
                    self.ended.push(lease);
                    self.tell(Wake::Recorded(lease));
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, wake: Wake) {
        if self.parts.flaw != Some(Flaw::Silent) {
            self.wakes.push(wake);
        }
    }

    /// Lets the scheduler take in what has become known, and carries out what it decides.
    pub(crate) fn turn(&mut self) {
        if !self.is_serving() {
            return;
        }
        self.listen();
        let now = self.parts.clock.now();
        let is_deaf = self.parts.flaw == Some(Flaw::Deaf);
        let rings = self.alarm.is_none_or(|at| at <= now) && !(is_deaf && self.alarm.is_some());
        if self.wakes.is_empty() && !rings {
            return;
        }
        if rings {
            self.alarm = None;
        }
        let mut decisions = Vec::new();
        self.scheduler.step(now, &mut self.wakes, &mut decisions);
        for decision in decisions {
            self.parts.findings.note(|| format!("  decides {}", line(&decision)));
            self.carry_out(decision);
        }
        let wake_at = self.scheduler.wake_at();
        self.alarm = Some(self.alarm.map_or(wake_at, |at| at.min(wake_at)));
    }

    fn listen(&mut self) {
        let is_deaf = self.parts.flaw == Some(Flaw::Deaf);
        loop {
            let wake = match self.changes.try_recv() {
                Ok(batch) if batch.is_empty() => Wake::Missed,
                Ok(batch) => Wake::Changed(batch),
                Err(TryRecvError::Lagged(_)) => Wake::Missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            };
            if !is_deaf {
                self.wakes.push(wake);
            }
        }
    }

    fn carry_out(&mut self, decision: Decision) {
        let executor = Arc::clone(&self.parts.executor);
        match decision {
            Decision::Claim(room) => {
                self.claimed_of = self.parts.jobs.clone();
                let log = self.parts.log.clone();
                let claim: Errand = Box::pin(async move {
                    log.claims(&room.rules);
                    executor.claim(room).await
                });
                let before = self.claiming.lock().expect("not poisoned").replace(claim);
                self.parts.findings.require(before.is_none(), || "two claims are under way at once".to_owned());
            }
            Decision::Start(runs) => runs.into_iter().for_each(|run| self.start(run)),
            Decision::LookAt(leases) => self.looking = Some(Box::pin(async move { executor.look_at(leases).await })),
            Decision::Cancel(_) if self.parts.flaw == Some(Flaw::Unmoved) => {}
            Decision::Cancel(lease) => {
                let attempts = self.attempts.iter().filter(|attempt| attempt.lease == lease);
                attempts.for_each(|attempt| attempt.cancelled.cancel());
            }
            Decision::Interrupt => self.interrupted.cancel(),
            Decision::Abandon => {
                self.abandoned = true;
                self.attempts.clear();
            }
            Decision::Stop => {
                self.looking = None;
                *self.claiming.lock().expect("not poisoned") = None;
                let store = Arc::clone(&self.parts.store);
                self.phase = Phase::Closing(Box::pin(async move { store.close().await }));
            }
        }
    }

    fn start(&mut self, claimed: Claimed) {
        let lease = claimed.lease();
        let Some(loaded) = self.claimed_of.get(&claimed.head.job).cloned() else {
            return self.parts.findings.report(|| format!("{} was claimed, and its job is not loaded", lease.run));
        };
        let version = claimed.head.version;
        self.parts.findings.require(version == Some(loaded.version), || {
            format!("{} was claimed for {version:?}, and {} runs", lease.run, loaded.version)
        });
        let live = self.attempts.iter().any(|attempt| attempt.lease.run == lease.run && attempt.is_executing());
        self.parts.findings.require(!live, || format!("two attempts of {} run at once", lease.run));
        let cancelled = CancellationToken::new();
        let stop = Stop { cancelled: cancelled.clone(), interrupted: self.interrupted.clone() };
        let executor = Arc::clone(&self.parts.executor);
        let work = Work::Executing(Box::pin(async move { executor.execute(claimed, loaded, stop).await }));
        self.attempts.push(Attempt { lease, cancelled, work });
        let executing = self.attempts.iter().filter(|attempt| attempt.is_executing()).count();
        let concurrency = self.parts.concurrency;
        self.parts.findings.require(executing <= concurrency, || format!("{executing} attempts run at once"));
    }

    /// Commits what waits.
    pub(crate) fn commit(&mut self) {
        self.parts.committer.step();
    }
}

impl Attempt {
    fn is_executing(&self) -> bool {
        matches!(self.work, Work::Executing(_))
    }
}

fn poll_claiming(claiming: &Mutex<Option<Errand>>, claimed: &Mutex<Option<Result<Wake, StoreError>>>) {
    let mut claiming = claiming.lock().expect("not poisoned");
    let Some(claim) = &mut *claiming else { return };
    if let Poll::Ready(answer) = poll(claim) {
        *claiming = None;
        *claimed.lock().expect("not poisoned") = Some(answer);
    }
}

/// A decision in a line of the trace.
fn line(decision: &Decision) -> String {
    match decision {
        Decision::Start(runs) => format!("Start({:?})", runs.iter().map(Claimed::lease).collect::<Vec<_>>()),
        Decision::Claim(room) => format!("Claim({})", room.permits),
        other => format!("{other:?}"),
    }
}
