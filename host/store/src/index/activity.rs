//! What was done lately, folded from the ends of attempts as they are taken in: of all jobs and of each queue by the minute,
//! of each job by the hour.
//! It reads no clock and no log, and does not know which entries were taken in before: whoever applies them does.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::journal::{Entry, EntryKind, Finished};
use jobmill_core::run::AttemptOutcome;
use jobmill_core::{FailureKind, JobId, RunHead, RunState, Timestamp};

use crate::query::{Activity, Durations, HourActivity, JobActivity, MinuteActivity};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// Minutes and hours that are told of.
const MINUTES: u64 = 60;
const HOURS: u64 = 24;
/// Twice as many are kept, so that a clock that was ahead for a while takes no room from what it is when it is right.
const MINUTES_KEPT: usize = 120;
const HOURS_KEPT: usize = 48;
/// Jobs that are kept, and queues; of more, those that did nothing for longest are dropped.
const JOBS_KEPT: usize = 1_000;

/// See the module.
#[derive(Default)]
pub(super) struct Rollup {
    minutes: Recent<Minute, MINUTES_KEPT>,
    jobs: HashMap<JobId, Recent<Hour, HOURS_KEPT>>,
    /// Attempts that completed or failed.
    queues: HashMap<Arc<str>, Recent<u32, MINUTES_KEPT>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    completed: u32,
    failed: u32,
    dead: u32,
}

#[derive(Default)]
struct Hour {
    completed: u32,
    dead: u32,
    failed_attempts: u32,
    attempts: Histogram,
    runs: Histogram,
}

impl Rollup {
    /// Takes an entry in, with the run as it stood before.
    pub(super) fn apply(&mut self, head: &RunHead, entry: &Entry) {
        let EntryKind::Finished(finished) = &entry.kind else { return };
        let failed = finished.outcome == AttemptOutcome::Failed;
        let (completed, dead) = (finished.to == RunState::Completed, finished.to == RunState::Dead);
        if !(failed || completed || dead) {
            return;
        }
        let at = entry.at.as_millis();
        if let Some(minute) = self.minutes.at(at / MINUTE) {
            minute.completed += u32::from(completed);
            minute.failed += u32::from(failed);
            minute.dead += u32::from(dead);
        }
        if let Some(ended) = recent(&mut self.queues, &head.queue).at(at / MINUTE) {
            *ended += u32::from(completed || failed);
        }
        let Some(hour) = recent(&mut self.jobs, &head.job).at(at / HOUR) else { return };
        hour.completed += u32::from(completed);
        hour.dead += u32::from(dead);
        hour.failed_attempts += u32::from(failed);
        if let Some(started) = head.started_at.filter(|_| was_seen(finished)) {
            hour.attempts.add(entry.at.since(started));
        }
        if completed || dead {
            hour.runs.add(entry.at.since(head.enqueued_at));
        }
    }

    /// What is to be said at `now`.
    pub(super) fn told(&self, now: Timestamp) -> Activity {
        let minute = now.as_millis() / MINUTE;
        let hour = now.as_millis() / HOUR;
        let since = hour.saturating_sub(HOURS - 1);
        let minutes = (minute.saturating_sub(MINUTES - 1)..=minute).map(|number| {
            let Minute { completed, failed, dead } = self.minutes.get(number).copied().unwrap_or_default();
            let at = Timestamp::from_millis(number * MINUTE);
            MinuteActivity { at, completed: completed.into(), failed: failed.into(), dead: dead.into() }
        });
        let told = self.jobs.iter().filter_map(|(job, hours)| told(job, hours, since, hour));
        let mut jobs: Vec<JobActivity> = told.collect();
        jobs.sort_unstable_by(|one, other| one.job.cmp(&other.job));
        let first = minute.saturating_sub(MINUTES - 1);
        let busy = self.queues.iter().filter(|(_, minutes)| minutes.newest() >= first);
        let queues = busy.map(|(queue, minutes)| {
            let ended = (first..=minute).map(|number| minutes.get(number).copied().unwrap_or_default().into());
            (queue.to_string(), ended.collect())
        });
        Activity {
            minutes: minutes.collect(),
            jobs_since: Timestamp::from_millis(since * HOUR),
            jobs,
            queues: queues.collect(),
        }
    }
}

/// What is kept of this one, for which the idlest makes room.
fn recent<'kept, Key, Value, const MOST: usize>(
    kept: &'kept mut HashMap<Key, Recent<Value, MOST>>,
    key: &Key,
) -> &'kept mut Recent<Value, MOST>
where
    Key: Clone + Eq + Hash,
    Value: Default,
{
    if !kept.contains_key(key) && kept.len() >= JOBS_KEPT {
        let idlest = kept.iter().min_by_key(|(_, values)| values.newest()).map(|(key, _)| key.clone());
        idlest.map(|idlest| kept.remove(&idlest));
    }
    kept.entry(key.clone()).or_default()
}

/// Whether somebody saw the attempt end; of one that was found afterwards nobody knows how long it took.
fn was_seen(finished: &Finished) -> bool {
    finished.error.as_ref().is_none_or(|error| error.kind != FailureKind::Host)
}

/// What these hours come to; none when nothing happened in them.
fn told(job: &JobId, kept: &Recent<Hour, HOURS_KEPT>, since: u64, until: u64) -> Option<JobActivity> {
    let (mut completed, mut dead, mut failed_attempts) = (0, 0, 0);
    let (mut attempts, mut runs) = (Sum::default(), Sum::default());
    for hour in kept.between(since, until) {
        completed += u64::from(hour.completed);
        dead += u64::from(hour.dead);
        failed_attempts += u64::from(hour.failed_attempts);
        attempts.add(&hour.attempts);
        runs.add(&hour.runs);
    }
    let (attempts, runs) = (attempts.told(), runs.told());
    let happened = completed + dead + failed_attempts > 0;
    let hours = (since..=until).map(|number| {
        let hour = kept.get(number);
        HourActivity {
            completed: hour.map_or(0, |hour| hour.completed.into()),
            failed: hour.map_or(0, |hour| hour.failed_attempts.into()),
            dead: hour.map_or(0, |hour| hour.dead.into()),
        }
    });
    happened.then(|| JobActivity {
        job: job.clone(),
        completed,
        dead,
        failed_attempts,
        attempts,
        runs,
        hours: hours.collect(),
    })
}

/// Values of the newest spans of time, by the spans' numbers; at most so many.
struct Recent<Value, const MOST: usize>(VecDeque<(u64, Value)>);

impl<Value, const MOST: usize> Default for Recent<Value, MOST> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<Value: Default, const MOST: usize> Recent<Value, MOST> {
    /// The value of a span; none when newer ones have taken all the room.
    fn at(&mut self, number: u64) -> Option<&mut Value> {
        // It is mostly the newest.
        let place = match self.0.back() {
            Some((newest, _)) if *newest == number => self.0.len() - 1,
            _ => self.place(number)?,
        };
        self.0.get_mut(place).map(|(_, value)| value)
    }

    fn place(&mut self, number: u64) -> Option<usize> {
        let mut place = match self.0.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => return Some(place),
            Err(place) => place,
        };
        if self.0.len() >= MOST {
            place = place.checked_sub(1)?;
            self.0.pop_front();
        }
        self.0.insert(place, (number, Value::default()));
        Some(place)
    }

    fn get(&self, number: u64) -> Option<&Value> {
        let place = self.0.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    fn between(&self, first: u64, last: u64) -> impl Iterator<Item = &Value> {
        let within = self.0.iter().filter(move |(number, _)| (first..=last).contains(number));
        within.map(|(_, value)| value)
    }

    fn newest(&self) -> u64 {
        self.0.back().map_or(0, |(number, _)| *number)
    }
}

/// Each power of two of milliseconds is split into so many slots of one width.
const SPLIT: u64 = 8;
const SPLIT_BITS: u32 = SPLIT.ilog2();

/// How often each duration came up, by slots a few percent wide; those alone that came up, in order.
#[derive(Default)]
struct Histogram(Vec<(u8, u32)>);

impl Histogram {
    fn add(&mut self, span: Duration) {
        let slot = slot(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        match self.0.binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(place) => self.0[place].1 += 1,
            Err(place) => self.0.insert(place, (slot, 1)),
        }
    }
}

/// The slot of a duration: the smallest have one each; what takes half a year shares the last.
fn slot(millis: u64) -> u8 {
    let slot = match millis.checked_ilog2() {
        Some(power) if power >= SPLIT_BITS => {
            let octave = u64::from(power - SPLIT_BITS);
            SPLIT + octave * SPLIT + ((millis >> octave) & (SPLIT - 1))
        }
        _ => millis,
    };
    u8::try_from(slot).unwrap_or(u8::MAX)
}

/// The middle of a slot.
fn middle(slot: u8) -> Duration {
    let slot = u64::from(slot);
    let millis = match slot.checked_sub(SPLIT) {
        Some(above) => {
            let octave = above / SPLIT;
            ((SPLIT + above % SPLIT) << octave) + (1 << octave) / 2
        }
        None => slot,
    };
    Duration::from_millis(millis)
}

/// Several histograms together.
struct Sum([u64; 256]);

impl Default for Sum {
    fn default() -> Self {
        Self([0; 256])
    }
}

impl Sum {
    fn add(&mut self, histogram: &Histogram) {
        for (slot, count) in &histogram.0 {
            self.0[usize::from(*slot)] += u64::from(*count);
        }
    }

    fn told(&self) -> Durations {
        Durations { count: self.0.iter().sum(), p50: self.percentile(50), p95: self.percentile(95) }
    }

    /// What so many of 100 did not exceed, by nearest rank.
    fn percentile(&self, of_100: u64) -> Duration {
        let rank = (self.0.iter().sum::<u64>() * of_100).div_ceil(100);
        let mut below = 0;
        for (slot, count) in (0_u8..=u8::MAX).zip(self.0) {
            below += count;
            if below >= rank && below > 0 {
                return middle(slot);
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use jobmill_core::journal::Enqueued;
    use jobmill_core::{Backoff, Json, Outcome, RunId, Version, transition};

    use super::*;
    use crate::index::Index;
    use crate::log::{Place, Record};

    #[test]
    fn a_slot_tells_each_duration_to_a_sixteenth_and_small_ones_exactly() {
        let mut last = 0;
        for millis in (0..5_000).chain((13..33).flat_map(|power| {
            let base = 1_u64 << power;
            [base, base + 1, base + base / 3, base * 2 - 1]
        })) {
            let slot = slot(millis);
            assert!(slot >= last, "{millis}");
            last = slot;
            let told = u64::try_from(middle(slot).as_millis()).expect("short");
            assert!(told.abs_diff(millis) * 16 <= millis, "{millis} is told as {told}");
            assert!(millis >= 16 || told == millis, "{millis} is told as {told}");
        }
        assert_eq!((slot(u64::MAX), slot(1 << 40)), (255, 255));
    }

    #[test]
    fn percentiles_go_by_nearest_rank() {
        let mut histogram = Histogram::default();
        for millis in (1..=10).rev() {
            histogram.add(Duration::from_millis(millis));
        }
        let mut sum = Sum::default();
        sum.add(&histogram);
        let ten = Durations { count: 10, p50: Duration::from_millis(5), p95: Duration::from_millis(10) };
        assert_eq!(sum.told(), ten);
        assert_eq!(Sum::default().told(), Durations::default());
    }

    #[test]
    fn a_journal_that_is_written_again_whole_tells_nothing_twice() {
        let at = |millis: u64| Timestamp::from_millis(1_000 + millis);
        let run = RunId::from_bytes([1; 16]);
        let enqueued = Enqueued {
            job: "welcome".parse().expect("a job id"),
            queue: "default".to_owned(),
            priority: 5,
            payload: Json::empty_object(),
            max_attempts: 2,
            scheduled_at: at(0),
            event: None,
            tags: Vec::new(),
            unique_key: None,
            idempotency_key: None,
            request_digest: None,
            rerun_of: None,
            terms: None,
        };
        let mut journal = vec![Entry { at: at(0), kind: EntryKind::Enqueued(Box::new(enqueued)) }];
        let mut head = transition::begin(run, &journal[0]).expect("begins");
        for outcome in [Outcome::failed(FailureKind::Transient, "no"), Outcome::Completed { output: None }] {
            let started = transition::claim(&head, Version::of(b"1"), None, head.scheduled_at).expect("is due");
            journal.push(Entry { at: head.scheduled_at, kind: started });
            transition::apply(&mut head, &journal[journal.len() - 1]);
            let now = head.scheduled_at.after(Duration::from_millis(7));
            let finished = transition::finish(&head, outcome, &Backoff::default(), now, 0.0).expect("runs");
            journal.push(Entry { at: now, kind: EntryKind::Finished(Box::new(finished)) });
            transition::apply(&mut head, &journal[journal.len() - 1]);
        }
        let mut index = Index::default();
        // In two pieces, whole up to the first failure, whole, and whole once more.
        for (block, (first, last)) in (0..).zip([(0, 1), (1, 3), (0, 3), (0, 5), (0, 5)]) {
            let entries = journal[first..last].to_vec();
            let record = Record::Journal { run, first: u32::try_from(first).expect("small"), entries };
            index.apply(&record, Place::new(block, 0)).expect("fits");
        }
        let activity = index.activity(head.scheduled_at);
        let (queue, minutes) = activity.queues.first_key_value().expect("the queue");
        assert_eq!((queue.as_str(), minutes.iter().sum::<u64>()), ("default", 2));
        let job = &activity.jobs[0];
        assert_eq!(job.hours.iter().map(|hour| hour.failed).sum::<u64>(), 1);
        assert_eq!((job.completed, job.failed_attempts, job.attempts.count, job.runs.count), (1, 1, 2, 1));
        assert_eq!(job.attempts.p50, Duration::from_millis(7));
    }

    #[test]
    fn only_the_newest_spans_are_kept_and_an_older_one_finds_its_place() {
        let mut recent: Recent<u32, 3> = Recent::default();
        for number in [5, 7, 6, 7] {
            *recent.at(number).expect("room") += 1;
        }
        assert!(recent.at(4).is_none(), "there is no room for what is older than all");
        *recent.at(9).expect("room") += 1;
        let kept: Vec<(u64, u32)> = recent.0.iter().copied().collect();
        assert_eq!(kept, [(6, 1), (7, 2), (9, 1)]);
        assert_eq!((recent.newest(), recent.between(7, 8).count(), recent.get(5)), (9, 1, None));
    }

    #[test]
    fn of_many_jobs_those_that_did_something_last_are_kept() {
        let mut rollup = Rollup::default();
        let name = |number: usize| format!("job-{number}").parse::<JobId>().expect("a job id");
        for number in 0..JOBS_KEPT + 5 {
            recent(&mut rollup.jobs, &name(number)).at(number as u64).expect("room").completed = 1;
        }
        assert_eq!(rollup.jobs.len(), JOBS_KEPT);
        assert!(!rollup.jobs.contains_key(&name(4)) && rollup.jobs.contains_key(&name(5)));
    }
}
