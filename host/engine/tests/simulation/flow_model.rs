//! Which limits stop a run, by a second reading of the contract: counted anew from the records and the claims that were
//! handed out, each time somebody asks. It shares no code with the store's flow control; the two are there to be compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use jobmill_core::breaker::BreakerState;
use jobmill_core::flow::{BreakerSettings, Concurrency, FlowKey, Pointer, RateLimit};
use jobmill_core::journal::{Enqueued, Entry, EntryKind, Started};
use jobmill_core::run::AttemptOutcome;
use jobmill_core::{JobId, RunId, Timestamp};
use jobmill_store::{Blocker, ControlKey, Rules, WaitingCause};

use crate::controls::Controls;
use crate::truth::Told;
use crate::watched_log::Watch;

/// What is known of flow control beside the runs.
#[derive(Default)]
pub(crate) struct FlowModel {
    /// Of the last claim of this process.
    pub(crate) rules: Arc<Rules>,
    /// The time of the last claim, or of an end since.
    seen_at: Option<Timestamp>,
    /// When each bucket is full again, in nanoseconds since the epoch, by job and the keys of the runs that took from it.
    buckets: BTreeMap<JobId, BTreeMap<Vec<FlowKey>, u64>>,
    breakers: BTreeMap<JobId, BreakerModel>,
}

/// A run that asks, with what its limits go by.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) job: &'a JobId,
    pub(crate) queue: &'a str,
    pub(crate) keys: &'a [FlowKey],
}

impl<'a> Asking<'a> {
    pub(crate) fn of(told: &'a Told) -> Option<Self> {
        told.enqueued().map(Self::with)
    }

    pub(crate) fn with(enqueued: &'a Enqueued) -> Self {
        let keys = enqueued.terms.as_ref().map_or(&[][..], |terms| &terms.keys);
        Self { job: &enqueued.job, queue: &enqueued.queue, keys }
    }

    fn value(&self, pointer: Option<&Pointer>) -> Option<&'a str> {
        let pointer = pointer?;
        self.keys.iter().find(|key| key.pointer == *pointer).map(|key| key.value.as_str())
    }
}

/// Something that stops a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cause {
    NoComponent,
    JobPaused,
    Breaker(Option<Timestamp>),
    QueuePaused,
    QueueFull(u32),
    /// Held by these runs.
    Concurrency(Concurrency, Vec<RunId>),
    Rate(Timestamp),
}

impl FlowModel {
    /// A process begins: it knows of no rules before its first claim.
    pub(crate) fn begin(&mut self) {
        self.rules = Arc::default();
    }

    /// A process opens the log, maybe once more: these starts are on record.
    pub(crate) fn open<'a>(&mut self, starts: impl Iterator<Item = (Asking<'a>, &'a Started)>) {
        *self = Self { rules: std::mem::take(&mut self.rules), ..Self::default() };
        for (asking, started) in starts {
            if let Some(bucket) = started.bucket {
                self.fill(asking, nanoseconds_of(bucket));
            }
        }
    }

    /// A claim at `now` goes by these rules. A clock that was set back leaves buckets empty and breakers open at worst, and
    /// so do other rules as of the last claim; none of them for longer than that takes by itself.
    pub(crate) fn claims(&mut self, rules: &Arc<Rules>, now: Timestamp) {
        let before = std::mem::replace(&mut self.rules, Arc::clone(rules));
        let last = self.seen_at.replace(now);
        for (job, rules) in &rules.jobs {
            let changed_at = last.filter(|_| before.jobs.get(job) != Some(rules));
            let at = changed_at.map_or(now, |last| last.min(now));
            if let (Some(rate), Some(buckets)) = (&rules.rate_limit, self.buckets.get_mut(job)) {
                for full_at in buckets.values_mut() {
                    *full_at = (*full_at).min(latest(rate, at));
                }
            }
            if let (Some(settings), Some(breaker)) = (&rules.breaker, self.breakers.get_mut(job)) {
                breaker.clamp(settings, at);
            }
        }
    }

    fn fill(&mut self, asking: Asking<'_>, full_at: u64) {
        let bucket = self.buckets.entry(asking.job.clone()).or_default().entry(asking.keys.to_vec()).or_default();
        *bucket = full_at.max(*bucket);
    }

    /// When the run's bucket is full again.
    fn bucket(&self, asking: Asking<'_>, rate: &RateLimit, now: Timestamp) -> u64 {
        let wanted = asking.value(rate.key.as_ref());
        let of_value = self
            .buckets
            .get(asking.job)
            .into_iter()
            .flatten()
            .filter(|(keys, _)| Asking { keys, ..asking }.value(rate.key.as_ref()) == wanted);
        let kept = of_value.map(|(_, full_at)| *full_at).max().unwrap_or_default();
        kept.clamp(nanoseconds(now), latest(rate, now))
    }

    /// A run begins; answers what its bucket should say then.
    pub(crate) fn started(&mut self, run: RunId, asking: Asking<'_>, now: Timestamp) -> Option<u64> {
        if let Some(breaker) = self.breakers.get_mut(asking.job) {
            breaker.started(run);
        }
        let rate = self.rules.jobs.get(asking.job)?.rate_limit.clone()?;
        let full_at = self.bucket(asking, &rate, now) + interval(&rate);
        self.fill(asking, full_at);
        Some(full_at)
    }

    /// A commit took these entries of a run in.
    pub(crate) fn took_in(&mut self, run: RunId, job: &JobId, entries: &[Entry]) {
        for entry in entries {
            let EntryKind::Finished(finished) = &entry.kind else { continue };
            self.seen_at = self.seen_at.map(|seen_at| seen_at.max(entry.at));
            let settings = self.rules.jobs.get(job).and_then(|rules| rules.breaker);
            let breaker = self.breakers.entry(job.clone()).or_default();
            match (settings, finished.outcome) {
                (Some(settings), AttemptOutcome::Completed) => breaker.ended(&settings, run, false, entry.at),
                (Some(settings), AttemptOutcome::Failed) => breaker.ended(&settings, run, true, entry.at),
                _ => breaker.abandoned(run, entry.at),
            }
        }
    }

    /// An operator lets a job go on.
    pub(crate) fn resumed(&mut self, job: &JobId) {
        self.breakers.remove(job);
    }

    pub(crate) fn breaker(&self, job: &JobId, now: Timestamp) -> Option<BreakerState> {
        let settings = self.rules.jobs.get(job)?.breaker?;
        let Some(breaker) = self.breakers.get(job) else { return Some(BreakerState::Closed) };
        Some(match (breaker.trying, breaker.open_until) {
            (Some(run), _) => BreakerState::Trying(run),
            (None, Some(until)) => BreakerState::Open { until: until.min(now.after(settings.pause)) },
            (None, None) => BreakerState::Closed,
        })
    }
}

impl Watch {
    /// Everything that stops a due run at `now`.
    pub(crate) fn causes(&self, asking: Asking<'_>, now: Timestamp) -> Vec<Cause> {
        let controls = &self.durable.controls;
        let mut causes = Vec::new();
        if controls.is_job_paused(asking.job) {
            causes.push(Cause::JobPaused);
        }
        if controls.is_queue_paused(asking.queue) {
            causes.push(Cause::QueuePaused);
        }
        let limit = controls.queue_limit(asking.queue).or_else(|| self.flow.rules.queues.get(asking.queue).copied());
        if let Some(limit) = limit.filter(|limit| self.running(|it| it.queue == asking.queue).len() >= *limit as usize)
        {
            causes.push(Cause::QueueFull(limit));
        }
        let Some(rules) = self.flow.rules.jobs.get(asking.job) else {
            causes.push(Cause::NoComponent);
            return causes;
        };
        match self.flow.breaker(asking.job, now) {
            Some(BreakerState::Trying(_)) => causes.push(Cause::Breaker(None)),
            Some(BreakerState::Open { until }) if until > now => causes.push(Cause::Breaker(Some(until))),
            _ => {}
        }
        for limit in &rules.concurrency {
            let value = asking.value(limit.key.as_ref());
            let holders = self.running(|it| it.job == asking.job && it.value(limit.key.as_ref()) == value);
            if holders.len() >= limit.limit as usize {
                causes.push(Cause::Concurrency(limit.clone(), holders));
            }
        }
        if let Some(rate) = &rules.rate_limit {
            let full_at = self.flow.bucket(asking, rate, now);
            let first = full_at.saturating_sub(latest(rate, now) - nanoseconds(now) - interval(rate));
            if first > nanoseconds(now) {
                causes.push(Cause::Rate(Timestamp::from_millis(first.div_ceil(1_000_000))));
            }
        }
        causes
    }

    /// Runs under way of this kind, in the order of their ids.
    fn running(&self, wanted: impl Fn(Asking<'_>) -> bool) -> Vec<RunId> {
        let runs = self.durable.runs.iter().filter(|(run, told)| self.is_under_way(**run, told));
        runs.filter(|(_, told)| Asking::of(told).is_some_and(&wanted)).map(|(run, _)| *run).collect()
    }
}

/// Whether what the store says is among what stops the run. What is said of nothing has to be true of all.
pub(crate) fn is_told(said: &WaitingCause, causes: &[Cause], controls: &Controls, asking: Asking<'_>) -> bool {
    let WaitingCause::Blocked(blocker, holders) = said else { return causes.is_empty() };
    match blocker {
        Blocker::NoComponent => causes.contains(&Cause::NoComponent),
        Blocker::JobPaused(pause) => {
            controls.pause(&ControlKey::Job(asking.job.clone())) == Some(pause) && causes.contains(&Cause::JobPaused)
        }
        Blocker::QueuePaused(pause) => {
            let key = ControlKey::Queue(asking.queue.to_owned());
            controls.pause(&key) == Some(pause) && causes.contains(&Cause::QueuePaused)
        }
        // No attempt here is held, so no job is.
        Blocker::Held(_) => false,
        Blocker::Breaker(until) => causes.contains(&Cause::Breaker(*until)),
        Blocker::QueueFull(limit) => causes.contains(&Cause::QueueFull(*limit)),
        Blocker::Concurrency(limit, value) => {
            let mut holders = holders.clone();
            holders.sort_unstable();
            asking.value(limit.key.as_ref()) == value.as_deref()
                && causes.contains(&Cause::Concurrency(limit.clone(), holders))
        }
        Blocker::RateLimit(rate, value, next) => {
            asking.value(rate.key.as_ref()) == value.as_deref() && causes.contains(&Cause::Rate(*next))
        }
    }
}

/// A breaker as the contract has it: attempts in a window of ten parts, of which one is forgotten at a time.
#[derive(Default)]
struct BreakerModel {
    open_until: Option<Timestamp>,
    trying: Option<RunId>,
    /// The part of time in which each attempt ended, and whether it failed.
    ends: Vec<(u64, bool)>,
}

const PARTS: u64 = 10;

impl BreakerModel {
    fn clamp(&mut self, settings: &BreakerSettings, now: Timestamp) {
        self.open_until = self.open_until.map(|until| until.min(now.after(settings.pause)));
    }

    fn started(&mut self, run: RunId) {
        if self.open_until.is_some() && self.trying.is_none() {
            self.trying = Some(run);
        }
    }

    fn abandoned(&mut self, run: RunId, now: Timestamp) {
        if self.trying == Some(run) {
            (self.trying, self.open_until) = (None, Some(now));
        }
    }

    fn ended(&mut self, settings: &BreakerSettings, run: RunId, failed: bool, now: Timestamp) {
        if self.trying == Some(run) {
            *self = Self { open_until: failed.then(|| now.after(settings.pause)), ..Self::default() };
            return;
        }
        if self.open_until.is_some() {
            return;
        }
        let part =
            now.as_millis() / u64::try_from(settings.window.as_millis()).map_or(1, |window| window / PARTS).max(1);
        // A part of time takes the place of the one ten before it, whatever the clock says later.
        self.ends.retain(|(other, _)| *other == part || other % PARTS != part % PARTS);
        self.ends.push((part, failed));
        let inside = self.ends.iter().filter(|(other, _)| other.abs_diff(part) < PARTS);
        let (attempts, failures) =
            inside.fold((0_u32, 0_u32), |(all, bad), (_, failed)| (all + 1, bad + u32::from(*failed)));
        if failed && attempts >= settings.min_attempts && f64::from(failures) >= settings.failures * f64::from(attempts)
        {
            *self = Self { open_until: Some(now.after(settings.pause)), ..Self::default() };
        }
    }
}

fn interval(rate: &RateLimit) -> u64 {
    u64::try_from(rate.period.as_nanos()).unwrap_or(u64::MAX) / u64::from(rate.limit)
}

/// When a bucket that is empty at `now` is full.
fn latest(rate: &RateLimit, now: Timestamp) -> u64 {
    nanoseconds(now) + interval(rate) * u64::from(rate.limit)
}

fn nanoseconds(time: Timestamp) -> u64 {
    time.as_millis() * 1_000_000
}

/// The one number that a bucket on record is.
pub(crate) fn nanoseconds_of(bucket: jobmill_core::flow::FullAt) -> u64 {
    serde_json::to_value(bucket).ok().and_then(|value| value.as_u64()).expect("a bucket is a number")
}
