//! Which due run begins next: lanes of runs that share every limit, led through the gates of those limits.
//! It holds ids and counts only, is told of every change by the index, and reads no clock.
//!
//! A lane whose first run can't pass waits at the gate that stops it, so that a claim never looks at a run that can't
//! begin, however many of them there are. A gate that gets room lets in as many lanes as it has room for, the one with
//! the longest-waiting run first.

mod choosing;
mod gate;
mod queue;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::breaker::{Breaker, BreakerAlarm, BreakerState};
use jobmill_core::flow::{Concurrency, FlowKey, FullAt, Pointer, RateLimit};
use jobmill_core::{JobId, RunHead, RunId, Timestamp};
use slab::Slab;
use smallvec::SmallVec;

use self::gate::{Gate, GateKey, GateKind, Limit};
use self::queue::Queue;
pub use self::rules::{Hold, JobControl, JobRules, Pause, QueueControl, Rules};

pub(crate) type LaneId = usize;
type GateId = usize;
/// Runs begin in this order: by due time and priority, then id.
pub(crate) type Place = (Timestamp, RunId);

/// What one step of priority is worth in waiting: a run goes before one of a higher number that became due up to this
/// much earlier for each step. So nothing starves, and the order never changes while runs wait.
const STEP: Duration = Duration::from_mins(10);
/// Buckets of one job that are kept before those that are full again are dropped.
const BUCKETS_MIN: usize = 1_024;

/// Where a due run stands in line.
pub(crate) fn place(head: &RunHead) -> Place {
    (head.scheduled_at.after(STEP * u32::from(head.priority)), head.id)
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LaneKey {
    job: JobId,
    queue: Arc<str>,
    keys: Arc<[FlowKey]>,
}

/// Where a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It has no due run, or was not led to its gates yet.
    Idle,
    /// Its first run may begin, if its queue lets it: let in by this gate, or never stopped.
    Open(Place, Option<GateId>),
    /// This gate stops it.
    Waiting(Place, GateId),
}

/// Unfinished runs of one job and queue with the same values at the pointers of the job's limits.
#[derive(Debug)]
struct Lane {
    key: LaneKey,
    /// Unfinished runs.
    members: u32,
    /// Runs under way.
    held: u32,
    /// Due runs, the next first.
    ready: BTreeSet<Place>,
    gates: SmallVec<[GateId; 3]>,
    standing: Standing,
}

#[derive(Debug, Default)]
struct JobFlow {
    control: JobControl,
    breaker: Breaker,
    lanes: BTreeSet<LaneId>,
    /// How full the buckets are, by the keys of the runs that took from them.
    buckets: HashMap<Arc<[FlowKey]>, FullAt>,
    buckets_bound: usize,
    /// The same by the value at the pointer of the rate limit that is in force.
    by_value: HashMap<Option<String>, FullAt>,
}

/// A run that may begin. It holds its places already.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) run: RunId,
    pub(crate) lane: LaneId,
    place: Place,
    /// The bucket after its token was taken, where there is a rate limit, and before.
    pub(crate) bucket: Option<FullAt>,
    before: Option<Before>,
}

/// The buckets before a token was taken.
#[derive(Debug, Clone, Copy)]
struct Before {
    of_value: FullAt,
    of_keys: FullAt,
}

/// Why a due run does not begin.
#[derive(Debug, Clone, PartialEq)]
pub enum Blocker {
    /// No component of its job is loaded.
    NoComponent,
    /// Its job is paused.
    JobPaused(Pause),
    /// Its job's breaker lets none begin: until then, or until the run that is tried has ended.
    Breaker(Option<Timestamp>),
    /// Something outside keeps its job back for a while.
    Held(Hold),
    /// Its queue is paused.
    QueuePaused(Pause),
    /// Its queue has as many runs under way as it may have.
    QueueFull(u32),
    /// As many runs with the same value at the limit's pointer are under way as may be.
    Concurrency(Concurrency, Option<String>),
    /// The bucket of its value is empty until then.
    RateLimit(RateLimit, Option<String>, Timestamp),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    rules: Arc<Rules>,
    jobs: BTreeMap<JobId, JobFlow>,
    queues: BTreeMap<Arc<str>, Queue>,
    lanes: Slab<Lane>,
    lane_ids: HashMap<LaneKey, LaneId>,
    gates: Slab<Gate>,
    gate_ids: HashMap<GateKey, GateId>,
    /// Lanes that have to be led to their gates.
    unplaced: BTreeSet<LaneId>,
    /// Gates that may have room for lanes that wait at them.
    roomy: BTreeSet<GateId>,
    /// When gates get room by themselves.
    times: BTreeSet<(Timestamp, GateId)>,
    /// The queue that was served last.
    served: Option<Arc<str>>,
    /// When it was last chosen, or an attempt ended since; none before the first choice.
    chosen_at: Option<Timestamp>,
}

impl Flow {
    /// The lane of an unfinished run, which is a member of it from now on, and the one copy of its keys.
    pub(crate) fn join(&mut self, job: &JobId, queue: &Arc<str>, keys: &Arc<[FlowKey]>) -> (LaneId, Arc<[FlowKey]>) {
        let key = LaneKey { job: job.clone(), queue: Arc::clone(queue), keys: Arc::clone(keys) };
        if let Some(id) = self.lane_ids.get(&key) {
            let lane = &mut self.lanes[*id];
            lane.members += 1;
            return (*id, Arc::clone(&lane.key.keys));
        }
        self.queues.entry(Arc::clone(queue)).or_default();
        let gates = SmallVec::new();
        let lane =
            Lane { key: key.clone(), members: 1, held: 0, ready: BTreeSet::new(), gates, standing: Standing::Idle };
        let id = self.lanes.insert(lane);
        self.lane_ids.insert(key, id);
        self.jobs.entry(job.clone()).or_default().lanes.insert(id);
        self.gate(id);
        (id, Arc::clone(keys))
    }

    /// A run of the lane has ended. It is not due and not under way any more.
    pub(crate) fn leave(&mut self, id: LaneId) {
        self.lanes[id].members -= 1;
        if self.lanes[id].members > 0 {
            return;
        }
        self.lift(id);
        self.ungate(id);
        self.unplaced.remove(&id);
        let lane = self.lanes.remove(id);
        self.lane_ids.remove(&lane.key);
        if let Some(job) = self.jobs.get_mut(&lane.key.job) {
            job.lanes.remove(&id);
        }
    }

    /// A run of the lane is due.
    pub(crate) fn add(&mut self, id: LaneId, place: Place) {
        let lane = &mut self.lanes[id];
        if !lane.ready.insert(place) {
            return;
        }
        let is_first = lane.ready.first() == Some(&place);
        self.queue_of(id).ready += 1;
        if is_first {
            self.lift(id);
            self.unplaced.insert(id);
        }
    }

    /// A run of the lane is not due any more.
    pub(crate) fn remove(&mut self, id: LaneId, place: Place) {
        let lane = &mut self.lanes[id];
        let was_first = lane.ready.first() == Some(&place);
        if !lane.ready.remove(&place) {
            return;
        }
        self.queue_of(id).ready -= 1;
        if was_first {
            self.lift(id);
            self.unplaced.insert(id);
        }
    }

    /// A run of the lane is under way.
    pub(crate) fn hold(&mut self, id: LaneId) {
        self.queue_of(id).held += 1;
        let lane = &mut self.lanes[id];
        lane.held += 1;
        for gate in &lane.gates {
            self.gates[*gate].held += 1;
        }
    }

    /// A run of the lane is not under way any more.
    pub(crate) fn release(&mut self, id: LaneId) {
        self.queue_of(id).held -= 1;
        let lane = &mut self.lanes[id];
        lane.held -= 1;
        for gate in &lane.gates {
            self.gates[*gate].held -= 1;
            if !self.gates[*gate].waiting.is_empty() {
                self.roomy.insert(*gate);
            }
        }
    }

    /// A run with these keys took a token.
    pub(crate) fn took(&mut self, job: &JobId, keys: &Arc<[FlowKey]>, bucket: FullAt) {
        let rate = self.rules.jobs.get(job).and_then(|rules| rules.rate_limit.as_ref());
        let value = rate.map(|rate| value_at(keys, rate.key.as_ref()));
        let flow = self.jobs.entry(job.clone()).or_default();
        let kept = flow.buckets.entry(Arc::clone(keys)).or_default();
        *kept = bucket.max(*kept);
        let Some(value) = value else { return };
        let kept = flow.by_value.entry(value.clone()).or_default();
        *kept = bucket.max(*kept);
        let kept = *kept;
        let key = GateKey { job: job.clone(), kind: GateKind::Rate(value) };
        if let Some(gate) = self.gate_ids.get(&key)
            && let Limit::Rate(_, filled) = &mut self.gates[*gate].limit
        {
            *filled = kept;
        }
    }

    /// An attempt of the job begins.
    pub(crate) fn started(&mut self, job: &JobId, run: RunId) {
        if let Some(flow) = self.jobs.get_mut(job) {
            flow.breaker.started(run);
        }
    }

    /// An attempt of the job ended: it failed or not, or its end says nothing about the job.
    pub(crate) fn ended(&mut self, job: &JobId, run: RunId, failed: Option<bool>, now: Timestamp) {
        // A clock that is set back after this has to show, although nobody chose meanwhile.
        self.chosen_at = self.chosen_at.map(|chosen_at| chosen_at.max(now));
        let settings = self.rules.jobs.get(job).and_then(|rules| rules.breaker);
        let Some(JobFlow { breaker, .. }) = self.jobs.get_mut(job) else { return };
        let (Some(settings), Some(failed)) = (settings, failed) else {
            // A run that is tried may end while its job is not loaded: another one is tried then.
            breaker.abandoned(run, now);
            self.recheck_job(job);
            return;
        };
        let alarm = breaker.ended(&settings, run, failed, now);
        self.recheck_job(job);
        match alarm {
            Some(BreakerAlarm::Opened { failed, attempts }) => {
                let until = now.after(settings.pause);
                tracing::warn!(%job, failed, attempts, %until, "too many attempts fail: the breaker pauses the job");
            }
            Some(BreakerAlarm::StillOpen) => {
                tracing::warn!(%job, "the run that was tried failed: the job stays paused");
            }
            Some(BreakerAlarm::Closed) => tracing::info!(%job, "the run that was tried did not fail: the job goes on"),
            None => {}
        }
    }

    /// The job's breaker is closed by an operator.
    pub(crate) fn close_breaker(&mut self, job: &JobId) {
        if let Some(flow) = self.jobs.get_mut(job) {
            flow.breaker = Breaker::default();
        }
        self.recheck_job(job);
    }

    fn recheck_job(&mut self, job: &JobId) {
        let key = GateKey { job: job.clone(), kind: GateKind::Job };
        self.roomy.extend(self.gate_ids.get(&key).copied());
    }

    /// What is loaded, and its limits.
    pub(crate) fn set_rules(&mut self, rules: &Arc<Rules>) {
        if Arc::ptr_eq(&self.rules, rules) {
            return;
        }
        let before = std::mem::replace(&mut self.rules, Arc::clone(rules));
        let names: Vec<JobId> = self.jobs.keys().cloned().collect();
        for job in names.iter().filter(|job| before.jobs.get(*job) != rules.jobs.get(*job)) {
            self.regate(job);
        }
    }

    /// What is loaded, and its limits.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    /// What operators say of a queue.
    pub(crate) fn set_queue(&mut self, name: &Arc<str>, control: QueueControl) {
        self.queues.entry(Arc::clone(name)).or_default().control = control;
    }

    /// What operators say of a job.
    pub(crate) fn set_job(&mut self, job: &JobId, control: JobControl) {
        self.jobs.entry(job.clone()).or_default().control = control;
        self.regate(job);
    }

    /// What operators say of a job.
    pub(crate) fn job_control(&self, job: &JobId) -> JobControl {
        self.jobs.get(job).map(|flow| flow.control.clone()).unwrap_or_default()
    }

    /// Where the job's breaker stands; none when it has none.
    pub(crate) fn breaker(&self, job: &JobId, now: Timestamp) -> Option<BreakerState> {
        let settings = self.rules.jobs.get(job)?.breaker?;
        Some(self.jobs.get(job).map_or(BreakerState::Closed, |flow| flow.breaker.state(&settings, now)))
    }

    /// Every queue with what operators say of it, its limit, its runs under way and its due ones.
    pub(crate) fn queues(&self) -> impl Iterator<Item = (&Arc<str>, &QueueControl, Option<u32>, u32, usize)> {
        self.queues
            .iter()
            .map(|(name, queue)| (name, &queue.control, queue.limit(name, &self.rules), queue.held, queue.ready))
    }

    /// Whether there are due runs.
    pub(crate) fn has_ready(&self) -> bool {
        self.queues.values().any(|queue| queue.ready > 0)
    }

    /// The next time after `now` at which a gate gets room by itself.
    pub(crate) fn next_time(&self, now: Timestamp) -> Option<Timestamp> {
        self.times.range((now.after(Duration::from_millis(1)), 0)..).next().map(|(at, _)| *at)
    }

    /// The version of the job that would run.
    pub(crate) fn version(&self, job: &JobId) -> Option<jobmill_core::Version> {
        self.rules.jobs.get(job).map(|rules| rules.version)
    }

    /// Due runs of the lane that go before this place, at most so many.
    pub(crate) fn before(&self, id: LaneId, place: Place, most: usize) -> usize {
        self.lanes[id].ready.range(..place).take(most).count()
    }

    fn queue_of(&mut self, id: LaneId) -> &mut Queue {
        self.queues.get_mut(&self.lanes[id].key.queue).expect("a lane's queue is made with it")
    }

    /// Rebuilds the gates of a job, whose limits changed.
    fn regate(&mut self, job: &JobId) {
        let Some(flow) = self.jobs.get_mut(job) else { return };
        let lanes: Vec<LaneId> = flow.lanes.iter().copied().collect();
        let rules = self.rules.jobs.get(job);
        let rate = rules.and_then(|rules| rules.rate_limit.as_ref());
        if let (Some(rules), Some(chosen_at)) = (rules, self.chosen_at) {
            // What lasted long under other limits lasts no longer than these say.
            flow.settle(rules, chosen_at);
        }
        flow.by_value.clear();
        for (keys, bucket) in flow.buckets.iter().filter(|_| rate.is_some()) {
            let value = value_at(keys, rate.and_then(|rate| rate.key.as_ref()));
            let kept = flow.by_value.entry(value).or_default();
            *kept = (*bucket).max(*kept);
        }
        for id in &lanes {
            self.lift(*id);
            self.ungate(*id);
        }
        for id in lanes {
            self.gate(id);
            self.unplaced.insert(id);
        }
    }

    /// Finds or makes the gates of a lane that has none.
    fn gate(&mut self, id: LaneId) {
        let key = self.lanes[id].key.clone();
        let held = self.lanes[id].held;
        let limits = self.limits(&key);
        for (kind, limit) in limits {
            let key = GateKey { job: key.job.clone(), kind };
            let gate =
                *self.gate_ids.entry(key).or_insert_with_key(|key| self.gates.insert(Gate::new(key.clone(), limit)));
            self.gates[gate].lanes += 1;
            self.gates[gate].held += held;
            self.lanes[id].gates.push(gate);
        }
    }

    fn limits(&self, lane: &LaneKey) -> SmallVec<[(GateKind, Limit); 3]> {
        let mut limits = SmallVec::new();
        let flow = self.jobs.get(&lane.job);
        let Some(rules) = self.rules.jobs.get(&lane.job) else {
            limits.push((GateKind::Job, Limit::Closed));
            return limits;
        };
        let paused = flow.is_some_and(|flow| flow.control.paused.is_some());
        let of_job = match (&rules.held, rules.breaker) {
            _ if paused => Limit::Closed,
            (Some(hold), breaker) => Limit::Held(hold.clone(), breaker),
            (None, Some(breaker)) => Limit::Breaker(breaker),
            (None, None) => Limit::Open,
        };
        limits.push((GateKind::Job, of_job));
        for concurrency in &rules.concurrency {
            let value = value_at(&lane.keys, concurrency.key.as_ref());
            let kind = GateKind::Concurrency(concurrency.key.clone(), value);
            limits.push((kind, Limit::AtOnce(concurrency.limit)));
        }
        if let Some(rate) = &rules.rate_limit {
            let value = value_at(&lane.keys, rate.key.as_ref());
            let bucket = flow.and_then(|flow| flow.by_value.get(&value)).copied().unwrap_or_default();
            limits.push((GateKind::Rate(value), Limit::Rate(rate.clone(), bucket)));
        }
        limits
    }

    /// Takes a lane that stands nowhere off its gates.
    fn ungate(&mut self, id: LaneId) {
        let held = self.lanes[id].held;
        for gate in std::mem::take(&mut self.lanes[id].gates) {
            self.gates[gate].lanes -= 1;
            self.gates[gate].held -= held;
            if self.gates[gate].lanes == 0 {
                let gone = self.gates.remove(gate);
                self.gate_ids.remove(&gone.key);
                self.roomy.remove(&gate);
            }
        }
    }

    /// Why a due run of the lane does not begin; none when nothing but its place in line, or the engine's own room,
    /// keeps it.
    pub(crate) fn blocker(&self, id: LaneId, now: Timestamp) -> Option<Blocker> {
        let lane = &self.lanes[id];
        let flow = self.jobs.get(&lane.key.job);
        let Some(rules) = self.rules.jobs.get(&lane.key.job) else { return Some(Blocker::NoComponent) };
        if let Some(pause) = flow.and_then(|flow| flow.control.paused.as_ref()) {
            return Some(Blocker::JobPaused(pause.clone()));
        }
        if let Some(hold) = rules.held.as_ref().filter(|hold| hold.holds(now)) {
            return Some(Blocker::Held(hold.clone()));
        }
        if let (Some(settings), Some(flow)) = (&rules.breaker, flow)
            && !flow.breaker.admits(settings, now)
        {
            return Some(Blocker::Breaker(match flow.breaker.state(settings, now) {
                BreakerState::Open { until } => Some(until),
                BreakerState::Closed | BreakerState::Trying(_) => None,
            }));
        }
        let queue = self.queues.get(&lane.key.queue)?;
        if let Some(pause) = &queue.control.paused {
            return Some(Blocker::QueuePaused(pause.clone()));
        }
        if let Some(limit) = queue.limit(&lane.key.queue, &self.rules).filter(|limit| queue.held >= *limit) {
            return Some(Blocker::QueueFull(limit));
        }
        lane.gates.iter().map(|gate| &self.gates[*gate]).find_map(|gate| match (&gate.limit, &gate.key.kind) {
            (Limit::AtOnce(limit), GateKind::Concurrency(key, value)) if gate.held >= *limit => {
                Some(Blocker::Concurrency(Concurrency { limit: *limit, key: key.clone() }, value.clone()))
            }
            (Limit::Rate(rate, bucket), GateKind::Rate(value)) if rate.tokens(*bucket, now) == 0 => {
                Some(Blocker::RateLimit(rate.clone(), value.clone(), rate.next(*bucket, now)))
            }
            _ => None,
        })
    }
}

/// What stands at a pointer among the keys of a run; none without a pointer, or where nothing stood.
pub(crate) fn value_at(keys: &[FlowKey], pointer: Option<&Pointer>) -> Option<String> {
    let pointer = pointer?;
    keys.iter().find(|key| key.pointer == *pointer).map(|key| key.value.clone())
}
