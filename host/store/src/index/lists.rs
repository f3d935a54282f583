//! The orders in which runs are asked for: by state and job, by due time, by what they have in common.
//! It holds ids only; what a run is, its row says.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use jobmill_core::journal::{Entry, EntryKind};
use jobmill_core::run::AttemptOutcome;
use jobmill_core::{JobId, RunHead, RunId, RunState, Timestamp, limits};

use super::row::Row;
use crate::flow::{self, Flow};
use crate::notices::DeadPulse;
use crate::query::{Counts, DeadFilter, DeadGroup, Neighbours, RunFilter};

type GroupKey = (JobId, u64);
type Ids<'lists> = Box<dyn Iterator<Item = RunId> + 'lists>;

/// A run's id tells when it was made; its enqueue is recorded at most this much later than that.
const ID_SLACK: std::time::Duration = std::time::Duration::from_mins(1);

/// The runs of one job.
#[derive(Default)]
struct Lane {
    /// By the state that they are listed under.
    states: [BTreeSet<RunId>; 7],
}

/// See the module.
#[derive(Default)]
pub(super) struct Lists {
    lanes: BTreeMap<JobId, Lane>,
    /// Which due run begins next.
    pub(super) flow: Flow,
    /// When waiting runs that have not begun expire.
    pub(super) expiring: BTreeSet<(Timestamp, RunId)>,
    /// Not due yet when last looked at.
    due: BTreeSet<(Timestamp, RunId)>,
    dead: BTreeMap<GroupKey, BTreeSet<(Timestamp, RunId)>>,
    by_event: HashMap<Arc<str>, BTreeSet<RunId>>,
    by_tag: HashMap<String, BTreeSet<RunId>>,
    /// Runs that repeat another one, by that one.
    reruns: HashMap<RunId, BTreeSet<RunId>>,
    with_error: BTreeSet<RunId>,
}

impl Lists {
    /// The job's lane; answers the one copy of its id that all its runs have.
    pub(super) fn lane(&mut self, job: &JobId) -> JobId {
        if let Some((known, _)) = self.lanes.get_key_value(job) {
            return known.clone();
        }
        self.lanes.insert(job.clone(), Lane::default());
        job.clone()
    }

    /// A new run: what never changes of it.
    pub(super) fn add(&mut self, head: &RunHead) {
        if let Some(event) = &head.event {
            self.by_event.entry(Arc::clone(&event.name)).or_default().insert(head.id);
        }
        for tag in head.tags.iter() {
            self.by_tag.entry(tag.clone()).or_default().insert(head.id);
        }
        if let Some(first) = head.rerun_of {
            self.reruns.entry(first).or_default().insert(head.id);
        }
    }

    /// The run had an error.
    pub(super) fn add_error(&mut self, run: RunId) {
        self.with_error.insert(run);
    }

    /// A run is gone: the inverse of `add` and `add_error`.
    pub(super) fn remove(&mut self, head: &RunHead) {
        if let Some(event) = &head.event
            && let Some(runs) = self.by_event.get_mut(&event.name)
        {
            runs.remove(&head.id);
            if runs.is_empty() {
                self.by_event.remove(&event.name);
            }
        }
        for tag in head.tags.iter() {
            if let Some(runs) = self.by_tag.get_mut(tag) {
                runs.remove(&head.id);
                if runs.is_empty() {
                    self.by_tag.remove(tag);
                }
            }
        }
        if let Some(first) = head.rerun_of
            && let Some(runs) = self.reruns.get_mut(&first)
        {
            runs.remove(&head.id);
            if runs.is_empty() {
                self.reruns.remove(&first);
            }
        }
        self.with_error.remove(&head.id);
    }

    /// Puts an unfinished run into its lane.
    pub(super) fn join(&mut self, row: &mut Row) {
        if row.lane.is_none() && !row.head.state.is_final() {
            let (lane, keys) = self.flow.join(&row.head.job, &row.head.queue, &row.keys);
            (row.lane, row.keys) = (Some(lane), keys);
        }
    }

    /// Takes a run that is on no list out of its lane.
    pub(super) fn part(&mut self, row: &mut Row) {
        if let Some(lane) = row.lane.take() {
            self.flow.leave(lane);
        }
    }

    /// Takes in what an entry says for the limits.
    pub(super) fn apply(&mut self, row: &Row, entry: &Entry) {
        match &entry.kind {
            EntryKind::Started(started) => {
                if let Some(bucket) = started.bucket {
                    self.flow.took(&row.head.job, &row.keys, bucket);
                }
            }
            EntryKind::Finished(finished) => {
                let failed = match finished.outcome {
                    AttemptOutcome::Completed => Some(false),
                    AttemptOutcome::Failed => Some(true),
                    AttemptOutcome::Snoozed
                    | AttemptOutcome::Interrupted
                    | AttemptOutcome::Cancelled
                    | AttemptOutcome::Held => None,
                };
                self.flow.ended(&row.head.job, row.head.id, failed, entry.at);
            }
            _ => {}
        }
    }

    /// Lists the run under the state that it shows.
    pub(super) fn place(&mut self, row: &mut Row) {
        let (head, shown) = (&row.head, row.shown);
        match (shown, row.lane) {
            (RunState::Available, Some(lane)) => self.flow.add(lane, flow::place(head)),
            (RunState::Running, Some(lane)) => self.flow.hold(lane),
            (RunState::Completed | RunState::Cancelled | RunState::Dead, Some(lane)) => {
                self.flow.leave(lane);
                row.lane = None;
            }
            _ => {}
        }
        if let Some(at) = head.expires_at.filter(|_| shown.is_waiting()) {
            self.expiring.insert((at, head.id));
        }
        let Some(lane) = self.lanes.get_mut(&head.job) else { return };
        lane.states[slot(shown)].insert(head.id);
        match shown {
            RunState::Scheduled | RunState::Retryable => {
                self.due.insert((head.scheduled_at, head.id));
            }
            RunState::Dead => {
                let of_group = self.dead.entry(group(head)).or_default();
                of_group.insert((head.finished_at.unwrap_or_default(), head.id));
            }
            RunState::Available | RunState::Running | RunState::Completed | RunState::Cancelled => {}
        }
    }

    /// Takes the run off the list of the state that it is listed under.
    pub(super) fn unplace(&mut self, row: &Row) {
        let (head, shown) = (&row.head, row.shown);
        match (shown, row.lane) {
            (RunState::Available, Some(lane)) => self.flow.remove(lane, flow::place(head)),
            (RunState::Running, Some(lane)) => self.flow.release(lane),
            _ => {}
        }
        if let Some(at) = head.expires_at {
            self.expiring.remove(&(at, head.id));
        }
        let Some(lane) = self.lanes.get_mut(&head.job) else { return };
        lane.states[slot(shown)].remove(&head.id);
        match shown {
            RunState::Scheduled | RunState::Retryable => {
                self.due.remove(&(head.scheduled_at, head.id));
            }
            RunState::Dead => {
                let key = group(head);
                if let Some(of_group) = self.dead.get_mut(&key) {
                    of_group.remove(&(head.finished_at.unwrap_or_default(), head.id));
                    if of_group.is_empty() {
                        self.dead.remove(&key);
                    }
                }
            }
            RunState::Available | RunState::Running | RunState::Completed | RunState::Cancelled => {}
        }
    }

    /// The first run that is due and not listed so.
    pub(super) fn next_overdue(&self, now: Timestamp) -> Option<RunId> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// Runs that are due and not listed so, each with its head.
    pub(super) fn overdue<'lists>(
        &'lists self,
        now: Timestamp,
        head: impl Fn(RunId) -> Option<&'lists RunHead>,
    ) -> impl Iterator<Item = &'lists RunHead> {
        self.due.iter().take_while(move |(at, _)| *at <= now).filter_map(move |(_, id)| head(*id))
    }

    /// Runs that are listed under a state, newest first.
    pub(super) fn in_state(&self, state: RunState) -> impl Iterator<Item = RunId> + '_ {
        Newest::of(self.lanes.values().map(|lane| &lane.states[slot(state)]), None)
    }

    /// Runs of a job that are listed under a state.
    pub(super) fn of_job(&self, job: &JobId, state: RunState) -> impl Iterator<Item = RunId> + '_ {
        self.lanes.get(job).into_iter().flat_map(move |lane| lane.states[slot(state)].iter().copied())
    }

    /// The runs of a job next to this one.
    pub(super) fn neighbours(&self, job: &JobId, run: RunId) -> Neighbours {
        let states = || self.lanes.get(job).into_iter().flat_map(|lane| &lane.states);
        let older = states().filter_map(|set| set.range(..run).next_back());
        let newer = states().filter_map(|set| set.range((Excluded(run), Unbounded)).next());
        Neighbours { previous: older.max().copied(), next: newer.min().copied() }
    }

    /// How the groups of dead runs stand lately, of each at most `most` recent runs counted.
    pub(super) fn dead_pulses(&self, most: usize, now: Timestamp) -> Vec<DeadPulse> {
        let window_to =
            |time: Timestamp| (time.before(limits::SPIKE_WINDOW).unwrap_or_default(), RunId::from_bytes([0; 16]));
        let pulses = self.dead.iter().filter_map(|((job, fingerprint), group)| {
            let (last_seen, _) = *group.last()?;
            let first_of_lately = *group.range(window_to(last_seen)..).next()?;
            Some(DeadPulse {
                job: job.clone(),
                fingerprint: *fingerprint,
                recent: group.range(window_to(now)..).take(most).count(),
                lately_since: first_of_lately.0,
                before: group.range(..first_of_lately).next_back().map(|(at, _)| *at),
            })
        });
        pulses.collect()
    }

    /// How many runs of a job, or of all, are unfinished and not under way.
    pub(super) fn waiting(&self, job: Option<&JobId>) -> usize {
        let lanes = self.lanes.iter().filter(|(id, _)| job.is_none_or(|wanted| wanted == *id));
        let states = RunState::ALL.into_iter().filter(|state| state.is_waiting());
        lanes.map(|(_, lane)| states.clone().map(|state| lane.states[slot(state)].len()).sum::<usize>()).sum()
    }

    /// Runs that are listed under a state and were enqueued before a time, or little later.
    pub(super) fn enqueued_before(&self, state: RunState, time: Timestamp) -> impl Iterator<Item = RunId> + '_ {
        let end = RunId::first_at(time.after(ID_SLACK));
        self.lanes.values().flat_map(move |lane| lane.states[slot(state)].range(..end).copied())
    }

    /// Runs among which are all that a filter names, newest first, before `after`: of its members, the one with the
    /// fewest runs says which.
    pub(super) fn candidates<'lists>(
        &'lists self,
        filter: &'lists RunFilter,
        of_event: Option<&[RunId]>,
        after: Option<RunId>,
        now: Timestamp,
    ) -> Ids<'lists> {
        if let Some(ids) = &filter.ids {
            let ids = newest_first(ids).into_iter();
            return Box::new(ids.filter(move |id| after.is_none_or(|after| *id < after)));
        }
        let oldest = filter.since.and_then(|since| since.before(ID_SLACK)).map(RunId::first_at);
        let young_enough = move |id: &RunId| oldest.is_none_or(|oldest| *id >= oldest);
        let mut sets = self.by_state_and_job(filter);
        let mut size: usize = sets.iter().map(|set| set.len()).sum();
        let mut overdue = BTreeSet::new();
        if filter.state == Some(RunState::Available) {
            overdue.extend(self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id));
            size += overdue.len();
        }
        let mut consider = |set: &'lists BTreeSet<RunId>| {
            if set.len() < size {
                size = set.len();
                sets = vec![set];
                overdue.clear();
            }
        };
        let none = &NONE;
        if filter.error.is_some() {
            consider(&self.with_error);
        }
        if let Some(tag) = &filter.tag {
            consider(self.by_tag.get(tag).unwrap_or(none));
        }
        if let Some(first) = &filter.rerun_of {
            consider(self.reruns.get(first).unwrap_or(none));
        }
        if let Some(event) = &filter.event {
            // The filter's word may be the name of an event or the id of one.
            let named = self.by_event.get(event.as_str());
            if let (Some(ids), None) = (of_event, named) {
                let ids = newest_first(ids).into_iter();
                return Box::new(ids.filter(move |id| after.is_none_or(|after| *id < after)));
            }
            if of_event.is_none() {
                consider(named.unwrap_or(none));
            }
        }
        let listed = Newest::of(sets.into_iter(), after);
        if overdue.is_empty() {
            return Box::new(listed.take_while(young_enough));
        }
        overdue.extend(listed);
        let before = after.map_or(Unbounded, Excluded);
        let all: Vec<RunId> = overdue.range((Unbounded, before)).rev().copied().collect();
        Box::new(all.into_iter().take_while(young_enough))
    }

    fn by_state_and_job(&self, filter: &RunFilter) -> Vec<&BTreeSet<RunId>> {
        let lanes = self.lanes.iter().filter(|(job, _)| filter.job.as_ref().is_none_or(|wanted| wanted == *job));
        lanes
            .flat_map(|(_, lane)| RunState::ALL.iter().map(move |state| (*state, &lane.states[slot(*state)])))
            .filter(|(state, set)| !set.is_empty() && filter.state.is_none_or(|wanted| wanted == *state))
            .map(|(_, set)| set)
            .collect()
    }

    /// Dead runs that a filter names without ids, in each group the longest dead first.
    pub(super) fn dead<'lists>(&'lists self, filter: &'lists DeadFilter) -> impl Iterator<Item = RunId> + 'lists {
        let groups = self.dead.iter().filter(|(key, _)| in_group(filter, key));
        groups.flat_map(|(_, group)| group.iter()).map(|(_, id)| *id)
    }

    /// Dead runs by job and error, newest first.
    pub(super) fn dead_groups<'lists>(&'lists self, head: impl Fn(RunId) -> Option<&'lists RunHead>) -> Vec<DeadGroup> {
        let groups = self.dead.iter().filter_map(|((job, fingerprint), group)| {
            let (first_seen, _) = *group.first()?;
            let (last_seen, example) = *group.last()?;
            let error = head(example)?.error.as_ref()?;
            let versions: BTreeSet<_> =
                group.iter().filter_map(|(_, id)| head(*id)).filter_map(|head| head.version).collect();
            Some(DeadGroup {
                fingerprint: *fingerprint,
                job: job.clone(),
                kind: error.kind,
                message: error.message.to_string(),
                count: group.len(),
                first_seen,
                last_seen,
                versions: versions.into_iter().collect(),
                example,
                notified_at: None,
            })
        });
        let mut groups: Vec<DeadGroup> = groups.collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.last_seen));
        groups
    }

    /// How many runs show each state at `now`; of one job, or of all.
    pub(super) fn counts<'lists>(
        &'lists self,
        job: Option<&JobId>,
        now: Timestamp,
        head: impl Fn(RunId) -> Option<&'lists RunHead>,
    ) -> Counts {
        let mut sum = [0; 7];
        let lanes = self.lanes.iter().filter(|(id, _)| job.is_none_or(|wanted| wanted == *id));
        for (_, lane) in lanes {
            sum.iter_mut().zip(&lane.states).for_each(|(total, set)| *total += set.len());
        }
        // What has become due since the last claim looked shows as available.
        for head in self.overdue(now, head).filter(|head| job.is_none_or(|wanted| *wanted == head.job)) {
            sum[slot(head.state)] -= 1;
            sum[slot(RunState::Available)] += 1;
        }
        Counts(sum)
    }

    /// The next time after `now` at which a run becomes due.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        // What is due already and was not claimed waits for room, not for its time.
        self.due.range(after(now)..).next().map(|(at, _)| *at)
    }

    /// The next time after `now` at which a run expires.
    pub(super) fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        self.expiring.range(after(now)..).next().map(|(at, _)| *at)
    }
}

/// Before everything that is later than `now`.
fn after(now: Timestamp) -> (Timestamp, RunId) {
    (now.after(std::time::Duration::from_millis(1)), RunId::from_bytes([0; 16]))
}

static NONE: BTreeSet<RunId> = BTreeSet::new();

/// Several sets of ids as one, newest first.
struct Newest<'sets> {
    heads: BinaryHeap<(RunId, usize)>,
    rest: Vec<std::iter::Rev<std::collections::btree_set::Range<'sets, RunId>>>,
}

impl<'sets> Newest<'sets> {
    fn of(sets: impl Iterator<Item = &'sets BTreeSet<RunId>>, before: Option<RunId>) -> Self {
        let before = before.map_or(Unbounded, Excluded);
        let mut rest: Vec<_> = sets.map(|set| set.range((Unbounded, before)).rev()).collect();
        let heads = rest.iter_mut().enumerate().filter_map(|(set, ids)| ids.next().map(|id| (*id, set))).collect();
        Self { heads, rest }
    }
}

impl Iterator for Newest<'_> {
    type Item = RunId;

    fn next(&mut self) -> Option<RunId> {
        let (id, set) = self.heads.pop()?;
        self.heads.extend(self.rest[set].next().map(|next| (*next, set)));
        Some(id)
    }
}

/// These ids, newest first, each once.
pub(super) fn newest_first(ids: &[RunId]) -> Vec<RunId> {
    let mut ids = ids.to_vec();
    ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    ids.dedup();
    ids
}

fn slot(state: RunState) -> usize {
    state as usize
}

/// The group of a dead run.
pub(super) fn group(head: &RunHead) -> GroupKey {
    (head.job.clone(), head.error.as_ref().map_or(0, |error| error.fingerprint))
}

/// Whether the filter names this group.
pub(super) fn in_group(filter: &DeadFilter, (job, fingerprint): &GroupKey) -> bool {
    filter.job.as_ref().is_none_or(|wanted| wanted == job)
        && filter.fingerprint.is_none_or(|wanted| wanted == *fingerprint)
}
