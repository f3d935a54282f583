//! Every decision about when something runs: a pure state machine from what has become known to what is to be done.
//! It does no work, waits for nothing and reads no clock: a shell carries its decisions out and tells it the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::{RunId, RunState, Timestamp};
use jobmill_store::{Change, Claimed, LeaseReference, Room, Rules};

use crate::patience::PAUSE;

/// Wakes get lost; nothing waits longer than this for one.
const POLL: Duration = Duration::from_secs(5);
/// How long a claim waits for more permits, when few are free.
const GATHER: Duration = Duration::from_millis(1);
/// What interrupted attempts get to put their end on record.
const INTERRUPTED_GRACE: Duration = Duration::from_secs(5);
/// Ends of attempts that may wait for their commit at once. They hold no permit, so that a slow disk does not idle the
/// processors; beyond this many it is the disk that decides how fast runs are taken.
const RECORDING_AT_ONCE: usize = 4_096;

/// Everything that can move the scheduler, besides the time.
#[derive(Debug)]
pub enum Wake {
    /// The claim under way was answered.
    Claimed {
        /// The runs whose attempts may begin.
        runs: Vec<Claimed>,
        /// When the next run is due, as of the claim, or gets past a limit.
        next_due: Option<Timestamp>,
        /// Due runs are left, which the end of an attempt may let begin.
        left: bool,
    },
    /// The store could not be asked for a claim just now; nothing was claimed.
    ClaimFailed,
    /// An attempt's code has ended; its end is being recorded.
    Executed(LeaseReference),
    /// An attempt's end is on record, or is void.
    Recorded(LeaseReference),
    /// Runs changed, in the order in which they did.
    Changed(Arc<[Change]>),
    /// Changes were missed.
    Missed,
    /// The attempts that were looked at: those that are to be cancelled.
    Looked(Vec<LeaseReference>),
    /// What is loaded changed: what can be run, and under which limits.
    Catalog(Arc<Rules>),
    /// The engine was asked to stop.
    Shutdown,
}

/// Everything that a shell can be told to do.
#[derive(Debug, PartialEq)]
pub enum Decision {
    /// Claim runs, and answer with `Claimed` or `ClaimFailed`. There is one claim under way at a time.
    Claim(Room),
    /// Begin the attempts of what was claimed; answer with `Executed` and then `Recorded` for each.
    Start(Vec<Claimed>),
    /// Read from the store whether these attempts are to be cancelled, and answer with `Looked`.
    LookAt(Vec<LeaseReference>),
    /// Tell an attempt that its run was cancelled.
    Cancel(LeaseReference),
    /// Tell every attempt, now and to come, that its grace is over.
    Interrupt,
    /// Drop every attempt: their runs are rescued at the next start.
    Abandon,
    /// Step no more.
    Stop,
}

/// How far an attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its code runs, and it holds a permit.
    Executing,
    /// Its code has ended, and its end waits for its commit.
    Recording,
}

/// How far a shutdown has come, and until when it waits there.
#[derive(Debug, Clone, Copy)]
enum Stopping {
    Waiting(Timestamp),
    Interrupted(Timestamp),
}

/// The state of the engine's loop.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing that is known or wanted, and they go together freely"
)]
pub struct Scheduler {
    concurrency: usize,
    shutdown_grace: Duration,
    rules: Arc<Rules>,
    /// By run and lease: a run can be claimed anew before the record of its last end was heard of.
    attempts: BTreeMap<(RunId, u64), Phase>,
    executing: usize,
    /// The permits of the claim under way.
    claiming: Option<usize>,
    /// Something may be due that the last claim did not see.
    claim_wanted: bool,
    /// The last claim left due runs behind.
    left: bool,
    /// An attempt's end became durable since the claim under way began, which may have looked before.
    ended_meanwhile: bool,
    /// Not before this: the store asked for a pause.
    claim_after: Option<Timestamp>,
    /// A claim waits for more permits until then.
    gather_until: Option<Timestamp>,
    next_due: Option<Timestamp>,
    poll_at: Option<Timestamp>,
    looking: bool,
    missed: bool,
    /// Runs whose cancelling was heard of. A change may come late, after the run was put back and claimed again, so
    /// the record is read before an attempt is stopped.
    doubted: BTreeSet<RunId>,
    stopping: Option<Stopping>,
}

impl Scheduler {
    /// A scheduler that runs the code of at most `concurrency` attempts at once, and gives them `shutdown_grace` to end
    /// by themselves when it is told to stop. It claims nothing before it is told what is loaded.
    pub fn new(concurrency: usize, shutdown_grace: Duration) -> Self {
        Self {
            concurrency,
            shutdown_grace,
            rules: Arc::default(),
            attempts: BTreeMap::new(),
            executing: 0,
            claiming: None,
            claim_wanted: true,
            left: false,
            ended_meanwhile: false,
            claim_after: None,
            gather_until: None,
            next_due: None,
            poll_at: None,
            looking: false,
            missed: false,
            doubted: BTreeSet::new(),
            stopping: None,
        }
    }

    /// Takes in what has become known, oldest first, and adds what is to be done, in order. `wakes` is left empty.
    /// May be called at any time; must be called when something has become known, and at `wake_at`.
    pub fn step(&mut self, now: Timestamp, wakes: &mut Vec<Wake>, decisions: &mut Vec<Decision>) {
        for wake in wakes.drain(..) {
            self.take_in(now, wake, decisions);
        }
        self.pass_time(now);
        self.look(decisions);
        self.claim(now, decisions);
        self.stop(now, decisions);
    }

    /// When to step although nothing has become known.
    pub fn wake_at(&self) -> Timestamp {
        match self.stopping {
            Some(Stopping::Waiting(until) | Stopping::Interrupted(until)) => until,
            None => {
                let times = [self.next_due, self.claim_after, self.gather_until, self.poll_at];
                times.into_iter().flatten().min().unwrap_or_default()
            }
        }
    }

    fn take_in(&mut self, now: Timestamp, wake: Wake, decisions: &mut Vec<Decision>) {
        match wake {
            Wake::Claimed { runs, next_due, left } => {
                self.left = left;
                self.claim_wanted |= left && self.ended_meanwhile;
                self.start(runs, next_due, decisions);
            }
            Wake::ClaimFailed => {
                self.claiming = None;
                self.claim_wanted = true;
                self.claim_after = Some(now.after(PAUSE));
            }
            Wake::Executed(lease) => {
                if let Some(phase) = self.attempts.get_mut(&key(lease))
                    && std::mem::replace(phase, Phase::Recording) == Phase::Executing
                {
                    self.executing -= 1;
                }
            }
            Wake::Recorded(lease) => {
                if self.attempts.remove(&key(lease)) == Some(Phase::Executing) {
                    self.executing -= 1;
                }
                // What it held of its limits is free.
                self.claim_wanted |= self.left;
                self.ended_meanwhile = true;
            }
            Wake::Changed(changes) => changes.iter().for_each(|change| self.notice(change)),
            Wake::Missed => {
                self.claim_wanted = true;
                self.missed = true;
            }
            Wake::Looked(cancelled) => {
                self.looking = false;
                decisions.extend(cancelled.into_iter().filter(|lease| self.executes(*lease)).map(Decision::Cancel));
            }
            Wake::Catalog(rules) => {
                self.rules = rules;
                self.claim_wanted = true;
            }
            Wake::Shutdown => {
                self.stopping.get_or_insert(Stopping::Waiting(now.after(self.shutdown_grace)));
            }
        }
    }

    fn start(&mut self, runs: Vec<Claimed>, next_due: Option<Timestamp>, decisions: &mut Vec<Decision>) {
        let permits = self.claiming.take();
        // A full claim may have left some behind.
        self.claim_wanted |= permits.is_some_and(|permits| runs.len() >= permits);
        self.expect(next_due);
        for run in &runs {
            self.attempts.insert(key(run.lease()), Phase::Executing);
        }
        self.executing += runs.len();
        if !runs.is_empty() {
            decisions.push(Decision::Start(runs));
        }
    }

    fn notice(&mut self, change: &Change) {
        match change.state {
            RunState::Available => self.claim_wanted = true,
            RunState::Scheduled | RunState::Retryable => self.expect(Some(change.scheduled_at)),
            RunState::Running if change.cancel_requested => {
                self.doubted.insert(change.run);
            }
            RunState::Running | RunState::Completed | RunState::Cancelled | RunState::Dead => {}
        }
    }

    /// A run is due then.
    fn expect(&mut self, due: Option<Timestamp>) {
        self.next_due = self.next_due.into_iter().chain(due).min();
    }

    fn executes(&self, lease: LeaseReference) -> bool {
        self.attempts.get(&key(lease)) == Some(&Phase::Executing)
    }

    /// Sees what has come due. Spans that lie farther off than they are long were set before the clock was set back.
    fn pass_time(&mut self, now: Timestamp) {
        let poll = now.after(POLL);
        self.claim_after = self.claim_after.map(|at| at.min(now.after(PAUSE))).filter(|at| *at > now);
        if self.next_due.is_some_and(|due| due <= now) {
            self.claim_wanted = true;
            self.next_due = None;
        }
        match self.poll_at {
            Some(at) if at > now => self.poll_at = Some(at.min(poll)),
            _ => {
                self.claim_wanted = true;
                self.poll_at = Some(poll);
            }
        }
    }

    /// Asks whether attempts are to be cancelled, where there is doubt.
    fn look(&mut self, decisions: &mut Vec<Decision>) {
        // The doubt may be about a run of the claim under way, so it waits until that is answered.
        if self.looking || self.claiming.is_some() || (!self.missed && self.doubted.is_empty()) {
            return;
        }
        let executing = self.attempts.iter().filter(|(_, phase)| **phase == Phase::Executing);
        let leases: Vec<_> = executing
            .filter(|((run, _), _)| self.missed || self.doubted.contains(run))
            .map(|((run, token), _)| LeaseReference { run: *run, token: *token })
            .collect();
        self.missed = false;
        self.doubted.clear();
        if !leases.is_empty() {
            self.looking = true;
            decisions.push(Decision::LookAt(leases));
        }
    }

    /// Permits first, then a claim of at most as many.
    fn claim(&mut self, now: Timestamp, decisions: &mut Vec<Decision>) {
        let permits = self.concurrency.saturating_sub(self.executing);
        let held_up = self.claiming.is_some() || self.claim_after.is_some() || self.stopping.is_some();
        let full = permits == 0 || self.attempts.len() - self.executing >= RECORDING_AT_ONCE;
        if !self.claim_wanted || held_up || full || self.rules.jobs.is_empty() {
            self.gather_until = None;
            return;
        }
        // A claim for one costs nearly as much as a claim for many: while others run, permits are gathered.
        if self.executing > 0 && permits < self.concurrency / 4 {
            let until = *self.gather_until.get_or_insert(now.after(GATHER));
            // A clock that was set back must not make this a long time.
            if now < until && until <= now.after(GATHER) {
                return;
            }
        }
        self.gather_until = None;
        self.claim_wanted = false;
        self.ended_meanwhile = false;
        // The answer says what is due next; until then only what changes meanwhile is added.
        self.next_due = None;
        self.claiming = Some(permits);
        decisions.push(Decision::Claim(Room { permits, rules: Arc::clone(&self.rules) }));
    }

    fn stop(&mut self, now: Timestamp, decisions: &mut Vec<Decision>) {
        let Some(stopping) = self.stopping else { return };
        if self.attempts.is_empty() && self.claiming.is_none() {
            decisions.push(Decision::Stop);
            return;
        }
        self.stopping = Some(match stopping {
            Stopping::Waiting(until) if until <= now => {
                decisions.push(Decision::Interrupt);
                Stopping::Interrupted(now.after(INTERRUPTED_GRACE))
            }
            Stopping::Interrupted(until) if until <= now => {
                decisions.extend([Decision::Abandon, Decision::Stop]);
                stopping
            }
            Stopping::Waiting(until) => Stopping::Waiting(until.min(now.after(self.shutdown_grace))),
            Stopping::Interrupted(until) => Stopping::Interrupted(until.min(now.after(INTERRUPTED_GRACE))),
        });
    }
}

fn key(lease: LeaseReference) -> (RunId, u64) {
    (lease.run, lease.token)
}
