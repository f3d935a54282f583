//! Under which keys an enqueue is another run: unique keys, keys of debounced runs, and marks of events that cancel.
//! It knows no run's state; whoever asks does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::flow::{Mark, UniqueStates};
use jobmill_core::journal::{DebounceTerms, EarlierKey, Enqueued, UniqueTerms};
use jobmill_core::{JobId, RunHead, RunId, RunState, Timestamp, limits};
use smallvec::SmallVec;

/// Under which a second enqueue is the first run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum UniqueKey {
    /// The request's `unique_key`, which counts within a job.
    Job(JobId, Arc<str>),
    /// The request's `Idempotency-Key`.
    Request(Arc<str>),
}

/// Who holds a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyHolder {
    /// The first run.
    pub(crate) run: RunId,
    /// What a repeat must equal.
    pub(crate) digest: Option<[u8; 32]>,
    /// When it was enqueued.
    pub(crate) since: Timestamp,
    /// The key is free again this long after.
    window: Duration,
    /// The key is free again once the run is final.
    states: UniqueStates,
}

impl KeyHolder {
    fn is_within(&self, now: Timestamp) -> bool {
        now.since(self.since) < self.window
    }
}

/// By what enqueues are debounced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DebounceKey {
    /// The job.
    pub(crate) job: JobId,
    /// What stands at the pointer of the debounce.
    pub(crate) value: Option<String>,
}

/// A run that waits for enqueues to be quiet.
#[derive(Debug)]
struct Debounced {
    run: RunId,
    /// The newest keys of the requests that it took in.
    keys: Vec<EarlierKey>,
    /// The marks of its payload, which the next one that it takes in need not have.
    marks: Vec<Mark>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Who may hold a key. Neither their times nor their order says who does: clocks are set back, and records are written
    /// again.
    holders: HashMap<UniqueKey, SmallVec<[KeyHolder; 1]>>,
    debounced: HashMap<DebounceKey, SmallVec<[Debounced; 1]>>,
    /// Runs that a later event cancels while they wait.
    marks: HashMap<Mark, SmallVec<[RunId; 1]>>,
    /// How many there may be before those that say nothing more are dropped.
    bound: usize,
}

impl Keys {
    /// Takes an enqueue in.
    pub(super) fn apply(&mut self, head: &RunHead, enqueued: &Enqueued, state: impl Fn(RunId) -> Option<RunState>) {
        let is_final = |run| run != head.id && state(run).is_none_or(RunState::is_final);
        let waits = |run| state(run).is_some_and(RunState::is_waiting);
        let always = UniqueTerms { window: limits::UNIQUE_WINDOW, states: UniqueStates::All };
        let terms = enqueued.terms.as_deref();
        for key in unique_keys(&head.job, enqueued.unique_key.as_deref(), enqueued.idempotency_key.as_deref()) {
            let of_job = matches!(key, UniqueKey::Job(..));
            let UniqueTerms { window, states } =
                terms.and_then(|terms| terms.unique).filter(|_| of_job).unwrap_or(always);
            let (run, digest, since) = (head.id, enqueued.request_digest, head.enqueued_at);
            self.hold(key, KeyHolder { run, digest, since, window, states }, is_final);
        }
        if let Some(debounce) = terms.and_then(|terms| terms.debounce.as_ref()) {
            self.apply_debounced(head, enqueued, debounce, waits);
        }
        for mark in terms.into_iter().flat_map(|terms| &terms.marks) {
            let marked = self.marks.entry(*mark).or_default();
            if !marked.contains(&head.id) {
                marked.push(head.id);
            }
        }
        // What is under way may wait again.
        self.drop_spent(head.enqueued_at, |run| !is_final(run));
    }

    /// Who holds a key at `now`.
    pub(super) fn holder(
        &self,
        key: &UniqueKey,
        now: Timestamp,
        is_final: impl Fn(RunId) -> bool,
    ) -> Option<&KeyHolder> {
        let mut holders = self.holders.get(key)?.iter().rev();
        holders.find(|holder| holder.is_within(now) && (holder.states == UniqueStates::All || !is_final(holder.run)))
    }

    /// Runs that were enqueued to wait for others of this kind, and the keys of the requests that each took in.
    pub(super) fn debounced(&self, key: &DebounceKey) -> impl Iterator<Item = (RunId, &[EarlierKey])> {
        self.debounced.get(key).into_iter().flatten().map(|debounced| (debounced.run, debounced.keys.as_slice()))
    }

    /// Runs that were enqueued with this mark.
    pub(super) fn marked(&self, mark: Mark) -> &[RunId] {
        self.marks.get(&mark).map_or(&[], |runs| runs)
    }

    /// Whether a final run still holds its unique key.
    pub(super) fn is_held_by(&self, head: &RunHead, now: Timestamp) -> bool {
        let Some(key) = &head.unique_key else { return false };
        let holders = self.holders.get(&UniqueKey::Job(head.job.clone(), Arc::clone(key)));
        holders
            .into_iter()
            .flatten()
            .any(|holder| holder.run == head.id && holder.states == UniqueStates::All && holder.is_within(now))
    }

    fn apply_debounced(
        &mut self,
        head: &RunHead,
        enqueued: &Enqueued,
        debounce: &DebounceTerms,
        waits: impl Fn(RunId) -> bool,
    ) {
        let mut keys = debounce.earlier.clone();
        for EarlierKey { key, digest, at } in &keys {
            let (window, states) = (limits::UNIQUE_WINDOW, UniqueStates::All);
            let holder = KeyHolder { run: head.id, digest: *digest, since: *at, window, states };
            self.hold(UniqueKey::Request(key.as_str().into()), holder, |_| false);
        }
        let (at, digest) = (head.enqueued_at, enqueued.request_digest);
        keys.extend(enqueued.idempotency_key.clone().map(|key| EarlierKey { key, digest, at }));
        let marks = enqueued.terms.as_ref().map(|terms| terms.marks.clone()).unwrap_or_default();
        let key = DebounceKey { job: head.job.clone(), value: debounce.value.clone() };
        let of_kind = self.debounced.entry(key).or_default();
        for mark in of_kind.iter().filter(|earlier| earlier.run == head.id).flat_map(|earlier| &earlier.marks) {
            if let Some(marked) = self.marks.get_mut(mark) {
                marked.retain(|run| *run != head.id);
            }
        }
        of_kind.retain(|earlier| earlier.run != head.id && waits(earlier.run));
        of_kind.push(Debounced { run: head.id, keys, marks });
    }

    fn hold(&mut self, key: UniqueKey, holder: KeyHolder, is_final: impl Fn(RunId) -> bool) {
        let holders = self.holders.entry(key).or_default();
        let still_holds = |earlier: &KeyHolder| {
            let is_free = earlier.states == UniqueStates::Unfinished && is_final(earlier.run);
            earlier.is_within(holder.since) && !is_free
        };
        holders.retain(|earlier| earlier.run != holder.run && still_holds(earlier));
        holders.push(holder);
    }

    fn drop_spent(&mut self, now: Timestamp, may_wait: impl Fn(RunId) -> bool) {
        if self.holders.len() + self.debounced.len() + self.marks.len() <= self.bound.max(1_024) {
            return;
        }
        let Self { holders, debounced, marks, bound } = self;
        holders.retain(|_, of_key| {
            of_key.retain(|holder| holder.is_within(now));
            !of_key.is_empty()
        });
        debounced.retain(|_, of_kind| {
            of_kind.retain(|debounced| may_wait(debounced.run));
            !of_kind.is_empty()
        });
        marks.retain(|_, marked| {
            marked.retain(|run| may_wait(*run));
            !marked.is_empty()
        });
        *bound = (holders.len() + debounced.len() + marks.len()) * 2;
    }
}

/// The keys that an enqueue takes.
pub(crate) fn unique_keys(
    job: &JobId,
    unique_key: Option<&str>,
    idempotency_key: Option<&str>,
) -> impl Iterator<Item = UniqueKey> {
    let of_job = unique_key.map(|key| UniqueKey::Job(job.clone(), key.into()));
    let of_request = idempotency_key.map(|key| UniqueKey::Request(key.into()));
    of_job.into_iter().chain(of_request)
}
