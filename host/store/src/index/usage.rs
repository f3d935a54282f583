//! What attempts used, folded from their ends as they are taken in: the newest of each version of each job.
//! It reads no clock and no log, and does not know which entries were taken in before: whoever applies them does.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

use jobmill_core::bill::Bill;
use jobmill_core::journal::{Entry, EntryKind, Finished};
use jobmill_core::run::AttemptOutcome;
use jobmill_core::{FailureKind, JobId, RunHead, Timestamp, Version, limits};

use super::Index;
use crate::usage::{Spread, VersionUsage};

/// See the module.
#[derive(Default)]
pub(super) struct Usage {
    /// Of each job, at most `limits::BILLED_VERSIONS`.
    jobs: HashMap<JobId, Vec<Used>>,
}

/// What the newest attempts of a version used.
struct Used {
    version: Version,
    /// By the time of their end.
    attempts: VecDeque<Sample>,
}

/// One attempt, in few bytes: there are many of them.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Timestamp,
    wall_micros: u32,
    cpu_micros: u32,
    host_calls: u32,
    /// Pages of linear memory, as WebAssembly counts it.
    pages: u16,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Completed,
    Failed,
    Trapped,
    Timeout,
}

const PAGE_BYTES: u64 = 64 * 1024;

impl Usage {
    /// Takes an entry in, with the run as it stood before.
    pub(super) fn apply(&mut self, head: &RunHead, entry: &Entry) {
        let EntryKind::Finished(finished) = &entry.kind else { return };
        let (Some(bill), Some(version), Some(end)) = (&finished.bill, head.version, End::of(finished)) else { return };
        if !self.jobs.contains_key(&head.job) {
            self.make_room();
            self.jobs.insert(head.job.clone(), Vec::new());
        }
        if let Some(used) = self.jobs.get_mut(&head.job).and_then(|versions| of_version(versions, version)) {
            used.add(Sample::new(entry.at, bill, end));
        }
    }

    /// For one more job the idlest goes.
    fn make_room(&mut self) {
        if self.jobs.len() < limits::BILLED_JOBS {
            return;
        }
        let newest = |versions: &[Used]| versions.iter().map(Used::newest).max();
        let idlest = self.jobs.iter().min_by_key(|(_, versions)| newest(versions)).map(|(job, _)| job.clone());
        idlest.map(|job| self.jobs.remove(&job));
    }
}

/// The version among those of its job, for which the idlest makes room.
fn of_version(versions: &mut Vec<Used>, version: Version) -> Option<&mut Used> {
    let place = versions.iter().position(|used| used.version == version);
    let place = place.unwrap_or_else(|| {
        let idlest = versions.iter().enumerate().min_by_key(|(_, used)| used.newest()).map(|(place, _)| place);
        if let Some(idlest) = idlest.filter(|_| versions.len() >= limits::BILLED_VERSIONS) {
            versions.swap_remove(idlest);
        }
        versions.push(Used { version, attempts: VecDeque::new() });
        versions.len() - 1
    });
    versions.get_mut(place)
}

impl End {
    /// None of an attempt that was cut off: it says nothing of what the code needs.
    fn of(finished: &Finished) -> Option<Self> {
        match (finished.outcome, finished.error.as_ref().map(|error| error.kind)) {
            (AttemptOutcome::Completed, _) => Some(Self::Completed),
            (AttemptOutcome::Failed, Some(FailureKind::Trap)) => Some(Self::Trapped),
            (AttemptOutcome::Failed, Some(FailureKind::Timeout)) => Some(Self::Timeout),
            (AttemptOutcome::Failed, _) => Some(Self::Failed),
            _ => None,
        }
    }
}

impl Sample {
    fn new(at: Timestamp, bill: &Bill, end: End) -> Self {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            at,
            wall_micros: small(bill.wall_micros),
            cpu_micros: small(bill.cpu_micros),
            host_calls: small(bill.host_calls),
            pages: u16::try_from(bill.memory.div_ceil(PAGE_BYTES)).unwrap_or(u16::MAX),
            end,
        }
    }
}

impl Used {
    /// Keeps the newest, in whatever order they come: a log that was written anew tells old runs late.
    fn add(&mut self, sample: Sample) {
        let mut place = self.attempts.partition_point(|other| other.at <= sample.at);
        if self.attempts.len() >= limits::BILLED_ATTEMPTS {
            let Some(before) = place.checked_sub(1) else { return };
            self.attempts.pop_front();
            place = before;
        }
        self.attempts.insert(place, sample);
    }

    fn newest(&self) -> Timestamp {
        self.attempts.back().map_or_else(Timestamp::default, |sample| sample.at)
    }

    fn told(&self) -> VersionUsage {
        let count = |is: fn(End) -> bool| self.attempts.iter().filter(|sample| is(sample.end)).count() as u64;
        let spread = |of: fn(&Sample) -> u64| Spread::of(self.attempts.iter().map(of).collect());
        VersionUsage {
            version: self.version,
            attempts: self.attempts.len() as u64,
            failed: count(|end| end != End::Completed),
            trapped: count(|end| end == End::Trapped),
            timeouts: count(|end| end == End::Timeout),
            wall_micros: spread(|sample| sample.wall_micros.into()),
            cpu_micros: spread(|sample| sample.cpu_micros.into()),
            memory: spread(|sample| u64::from(sample.pages) * PAGE_BYTES),
            host_calls: spread(|sample| sample.host_calls.into()),
        }
    }
}

impl Index {
    /// What the newest attempts of a job used, version by version, the last used first.
    pub(crate) fn usage(&self, job: &JobId) -> Vec<VersionUsage> {
        let mut versions: Vec<&Used> = self.usage.jobs.get(job).into_iter().flatten().collect();
        versions.sort_unstable_by_key(|used| Reverse((used.newest(), used.version)));
        versions.into_iter().map(Used::told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, wall_micros: u64) -> Sample {
        let bill = Bill { wall_micros, memory: 65_537, host_calls: 3, ..Bill::default() };
        Sample::new(Timestamp::from_millis(at), &bill, End::Completed)
    }

    #[test]
    fn only_the_newest_attempts_are_kept_in_whatever_order_they_come() {
        let most = limits::BILLED_ATTEMPTS as u64;
        let mut used = Used { version: Version::of(b"1"), attempts: VecDeque::new() };
        for at in (1..=most).rev() {
            used.add(sample(at * 10, at));
        }
        used.add(sample(5, 9_999));
        assert_eq!(used.told().wall_micros.max, most, "it is older than all that are kept");
        used.add(sample(15, 9_999));
        let told = used.told();
        assert_eq!((told.attempts, told.wall_micros.max), (most, 9_999));
        assert_eq!(used.attempts.front().map(|sample| sample.wall_micros), Some(9_999), "it is the oldest now");
        assert_eq!((told.memory.p50, told.host_calls.p50), (2 * PAGE_BYTES, 3));
        assert_eq!(used.newest(), Timestamp::from_millis(most * 10));
    }

    #[test]
    fn of_many_versions_those_that_were_used_last_are_kept() {
        let mut versions = Vec::new();
        let name = |number: u64| Version::of(&number.to_le_bytes());
        for number in 0..=limits::BILLED_VERSIONS as u64 {
            // The first is used again and again.
            for version in [name(0), name(number)] {
                of_version(&mut versions, version).expect("room").add(sample(number, 1));
            }
        }
        let mut kept: Vec<Version> = versions.iter().map(|used| used.version).collect();
        kept.sort_unstable();
        let mut expected: Vec<Version> =
            (0..=limits::BILLED_VERSIONS as u64).filter(|number| *number != 1).map(name).collect();
        expected.sort_unstable();
        assert_eq!(kept, expected);
    }

    #[test]
    fn what_does_not_fit_is_told_as_the_most_that_does() {
        let bill = Bill {
            wall_micros: u64::MAX,
            cpu_micros: u64::MAX,
            memory: u64::MAX,
            host_calls: u64::MAX,
            calls: Vec::new(),
        };
        let sample = Sample::new(Timestamp::default(), &bill, End::Failed);
        assert_eq!((sample.wall_micros, sample.host_calls, sample.pages), (u32::MAX, u32::MAX, u16::MAX));
        assert!(std::mem::size_of::<Sample>() <= 24);
    }
}
