//! What each job of a seed says for flow control, with another word for each version of its component, and what of it
//! a request takes along. It mirrors `intake`, which needs an engine; it checks nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use jobmill_core::flow::{
    BreakerSettings, CancelOn, Concurrency, Debounce, FlowKey, Mark, Pointer, RateLimit, UniqueStates,
};
use jobmill_core::job::{JobOverrides, Switch};
use jobmill_core::journal::UniqueTerms;
use jobmill_core::{Job, JobId, Timestamp, limits};
use jobmill_store::{NewRun, RunDebounce, RunFlow, WaitingBounds};
use serde_json::Value;

use crate::chance::Chance;
use crate::script::document;

/// A kind of flow control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// So many at once.
    Concurrency,
    /// So many over time.
    Rate,
    /// None while too many fail.
    Breaker,
    /// Not later than.
    Expiry,
    /// Once it is quiet.
    Debounce,
    /// Keys with windows and states of their own, also such that stand in the payload.
    Unique,
    /// Events that take waiting runs back.
    Marks,
    /// No more may wait.
    Waiting,
    /// Several queues, some with limits.
    Queues,
    /// Operators who pause, resume and set limits.
    Operators,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Concurrency,
        Self::Rate,
        Self::Breaker,
        Self::Expiry,
        Self::Debounce,
        Self::Unique,
        Self::Marks,
        Self::Waiting,
        Self::Queues,
        Self::Operators,
    ];
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Policies {
    /// Where the draws of each job begin.
    row: u64,
    kinds: Vec<Kind>,
    /// Runs that may wait over all jobs.
    pub(crate) waiting: Option<u32>,
    /// Limits of queues, as they are configured.
    pub(crate) queues: BTreeMap<String, u32>,
}

/// Events have so many names.
pub(crate) const EVENT_NAMES: u64 = 4;

impl Policies {
    /// Each kind is off in half of the seeds, and all of them in every third.
    pub(crate) fn draw(seed: u64, chance: &Chance) -> Self {
        let has_any = seed % 3 != 1;
        let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|_| has_any && chance.one_in(2)).collect();
        let has = |kind| kinds.contains(&kind);
        let mut queues = BTreeMap::new();
        if has(Kind::Queues) {
            queues.extend((0..2).filter(|_| chance.one_in(2)).map(|number| (queue(number), number_of(chance, 1, 3))));
        }
        let waiting = (has(Kind::Waiting) && chance.one_in(2)).then(|| number_of(chance, 8, 40));
        Self { row: chance.next(), kinds, waiting, queues }
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Names of the queues that runs wait in.
    pub(crate) fn queue_of(&self, job: u64) -> String {
        if self.has(Kind::Queues) { queue(job) } else { "default".to_owned() }
    }

    /// What the configuration says of a job in this version.
    pub(crate) fn of(&self, job: u64, version: u64) -> JobOverrides {
        let chance = Chance::new(self.row ^ (job * 64 + version + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let said = |kind| self.has(kind) && !chance.one_in(3);
        JobOverrides {
            queue: Some(self.queue_of(job)),
            concurrency: said(Kind::Concurrency).then(|| concurrency(&chance)),
            rate_limit: said(Kind::Rate).then(|| {
                let period = Duration::from_millis(500 + chance.below(15_000));
                let key = chance.one_in(2).then(|| pointer("/a"));
                Switch::On(RateLimit { limit: number_of(&chance, 1, 4), period, key })
            }),
            breaker: said(Kind::Breaker).then(|| BreakerSettings {
                failures: if chance.one_in(2) { 0.5 } else { 0.3 },
                window: Duration::from_millis(1_000 + chance.below(90_000)),
                min_attempts: number_of(&chance, 1, 4),
                pause: Duration::from_millis(1_000 + chance.below(20_000)),
            }),
            expires: said(Kind::Expiry).then(|| Duration::from_millis(500 + chance.below(20_000))),
            debounce: said(Kind::Debounce).then(|| {
                let period = Duration::from_millis(200 + chance.below(4_000));
                let max_wait = chance.one_in(2).then(|| period + Duration::from_millis(chance.below(6_000)));
                let key = chance.one_in(2).then(|| pointer("/b"));
                Switch::On(Debounce { period, max_wait, key })
            }),
            unique_key: (said(Kind::Unique) && chance.one_in(2)).then(|| Switch::On(pointer("/c"))),
            unique_for: said(Kind::Unique).then(|| {
                let windows = [2, 60, 3_600, 26 * 3_600].map(Duration::from_secs);
                chance.one_of(&windows).unwrap_or(limits::UNIQUE_WINDOW)
            }),
            unique_states: (said(Kind::Unique) && chance.one_in(2)).then_some(UniqueStates::Unfinished),
            cancel_on: said(Kind::Marks).then(|| {
                let names = (0..EVENT_NAMES).filter(|_| chance.one_in(2)).map(event_name);
                names.map(|event| CancelOn { event, pointer: pointer("/b") }).collect()
            }),
            max_waiting: said(Kind::Waiting).then(|| number_of(&chance, 3, 14)),
            ..JobOverrides::default()
        }
    }

    /// A request for a run of this job, with what flow control says of it.
    pub(crate) fn controlled(&self, run: NewRun, document: &Value, job: &Job, now: Timestamp) -> NewRun {
        let of_payload = job.unique_key.value.as_ref().and_then(|pointer| {
            let value = pointer.value_in(document)?;
            Some(format!("{pointer}={value}"))
        });
        let is_unique_by_payload = run.unique_key.is_none() && of_payload.is_some();
        let unique_key = run.unique_key.or(of_payload);
        let unique = UniqueTerms { window: job.unique_for.value, states: job.unique_states.value };
        let usual = UniqueTerms { window: limits::UNIQUE_WINDOW, states: UniqueStates::All };
        let debounce = job.debounce.value.as_ref();
        let quiet = debounce.map_or(now, |debounce| now.after(debounce.period));
        let flow = RunFlow {
            keys: keys(job, document),
            unique: Some(unique).filter(|unique| unique_key.is_some() && *unique != usual),
            is_unique_by_payload,
            debounce: debounce.map(|debounce| RunDebounce {
                value: debounce.key.as_ref().and_then(|pointer| pointer.value_in(document)),
                max_wait: debounce.max_wait,
            }),
            expires: job.expires.value,
            marks: marks(&job.id, job.cancel_on.value.iter(), document),
            waiting: WaitingBounds { of_job: job.max_waiting.value, in_all: self.waiting },
        };
        let scheduled_at = if debounce.is_some() { run.scheduled_at.max(quiet) } else { run.scheduled_at };
        NewRun { queue: job.queue.value.to_string(), scheduled_at, unique_key, flow, ..run }
    }

    /// The marks of an event with these data: of whatever any version of any job says of it.
    pub(crate) fn cancels(&self, jobs: &[JobId], name: &str, plan: u64) -> Vec<Mark> {
        if !self.has(Kind::Marks) {
            return Vec::new();
        }
        let cancel = CancelOn { event: name.to_owned(), pointer: pointer("/b") };
        let document = document(plan);
        jobs.iter().flat_map(|job| marks(job, std::iter::once(&cancel), &document)).collect()
    }
}

/// The name of an event.
pub(crate) fn event_name(number: u64) -> String {
    format!("name-{}", number % EVENT_NAMES)
}

fn queue(number: u64) -> String {
    format!("queue-{}", number % 2)
}

/// A place in payloads.
pub(crate) fn pointer(text: &str) -> Pointer {
    Pointer::try_from(text.to_owned()).expect("a pointer")
}

fn number_of(chance: &Chance, from: u64, to: u64) -> u32 {
    u32::try_from(from + chance.below(to - from + 1)).unwrap_or(u32::MAX)
}

fn concurrency(chance: &Chance) -> Vec<Concurrency> {
    let unkeyed = |from, to| Concurrency { limit: number_of(chance, from, to), key: None };
    let keyed = |at, to| Concurrency { limit: number_of(chance, 1, to), key: Some(pointer(at)) };
    match chance.below(4) {
        0 => vec![unkeyed(1, 3)],
        1 => vec![keyed("/a", 2)],
        2 => vec![unkeyed(2, 4), keyed("/b", 1)],
        _ => vec![keyed("/a", 1), keyed("/b", 2)],
    }
}

fn keys(job: &Job, document: &Value) -> Vec<FlowKey> {
    let concurrency = job.concurrency.value.iter().filter_map(|limit| limit.key.as_ref());
    let rate = job.rate_limit.value.iter().filter_map(|rate| rate.key.as_ref());
    let found = concurrency.chain(rate).filter_map(|pointer| {
        let value = pointer.value_in(document)?;
        Some(FlowKey { pointer: pointer.clone(), value })
    });
    let mut keys: Vec<FlowKey> = found.collect();
    keys.sort();
    keys.dedup();
    keys
}

fn marks<'a>(job: &JobId, cancels: impl Iterator<Item = &'a CancelOn>, document: &Value) -> Vec<Mark> {
    cancels.filter_map(|cancel| Mark::of(job, &cancel.event, &cancel.pointer, document)).collect()
}
