//! What was done since the process started, counted as it is taken in: what a monitoring system adds up over time.
//! Of what was done before it says nothing; `Activity` does.

use std::collections::BTreeMap;
use std::time::Duration;

use jobmill_core::journal::{Entry, EntryKind, Finished};
use jobmill_core::run::AttemptOutcome;
use jobmill_core::{FailureKind, JobId, RunHead, RunState};

/// Durations are counted by the first of these that they do not exceed, in milliseconds; longer ones have a place of
/// their own behind them.
pub const DURATION_BOUNDS: [u64; 15] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 3_600_000];

/// Jobs that are counted; whoever has more of them learns of the first.
const JOBS: usize = 1_000;

/// What was done since the process started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// By job.
    pub jobs: BTreeMap<JobId, JobTotals>,
    /// How often mails came to stand so, by the word for their status.
    pub mails: BTreeMap<&'static str, u64>,
}

/// What became of a job's attempts and runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobTotals {
    /// Attempts that ended, by the word for how.
    pub attempts: BTreeMap<&'static str, u64>,
    /// Runs that completed.
    pub completed: u64,
    /// Runs that became dead.
    pub dead: u64,
    /// How long attempts took that completed or failed; not those whose end nobody saw.
    pub attempt_durations: DurationTotals,
    /// Microseconds of processor time that attempts used, whatever their end.
    pub cpu_micros: u64,
    /// How long runs took from their enqueue until they completed or became dead, waiting included.
    pub run_durations: DurationTotals,
}

/// How long things took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DurationTotals {
    /// How many took so long, by the places of `DURATION_BOUNDS`; the last is of what is longer than all.
    pub counts: [u64; DURATION_BOUNDS.len() + 1],
    /// All of them together, in milliseconds.
    pub sum: u64,
}

impl Totals {
    /// Takes an entry in, with the run as it stood before.
    pub(crate) fn apply(&mut self, head: &RunHead, entry: &Entry) {
        match &entry.kind {
            EntryKind::MailSettled { status, .. } => *self.mails.entry(status.as_str()).or_default() += 1,
            EntryKind::Finished(finished) => self.finish(head, entry, finished),
            _ => {}
        }
    }

    fn finish(&mut self, head: &RunHead, entry: &Entry, finished: &Finished) {
        if self.jobs.len() >= JOBS && !self.jobs.contains_key(&head.job) {
            return;
        }
        let job = self.jobs.entry(head.job.clone()).or_default();
        *job.attempts.entry(word(finished.outcome)).or_default() += 1;
        let cpu = finished.bill.as_ref().map_or(0, |bill| bill.cpu_micros);
        job.cpu_micros = job.cpu_micros.saturating_add(cpu);
        let was_seen = finished.error.as_ref().is_none_or(|error| error.kind != FailureKind::Host);
        let says_something = matches!(finished.outcome, AttemptOutcome::Completed | AttemptOutcome::Failed);
        if let Some(started) = head.started_at.filter(|_| was_seen && says_something) {
            job.attempt_durations.add(entry.at.since(started));
        }
        match finished.to {
            RunState::Completed => job.completed += 1,
            RunState::Dead => job.dead += 1,
            _ => return,
        }
        job.run_durations.add(entry.at.since(head.enqueued_at));
    }
}

impl DurationTotals {
    fn add(&mut self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let place = DURATION_BOUNDS.partition_point(|bound| *bound < millis);
        self.counts[place] += 1;
        self.sum = self.sum.saturating_add(millis);
    }
}

fn word(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Completed => "completed",
        AttemptOutcome::Failed => "failed",
        AttemptOutcome::Snoozed => "snoozed",
        AttemptOutcome::Interrupted => "interrupted",
        AttemptOutcome::Cancelled => "cancelled",
        AttemptOutcome::Held => "held",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_by_the_first_bound_that_it_does_not_exceed() {
        let mut totals = DurationTotals::default();
        for (millis, place) in [(0, 0), (5, 0), (6, 1), (3_600_000, 14), (3_600_001, 15)] {
            let before = totals.counts[place];
            totals.add(Duration::from_millis(millis));
            assert_eq!(totals.counts[place], before + 1, "{millis}");
        }
        assert_eq!((totals.counts.iter().sum::<u64>(), totals.sum), (5, 7_200_012));
    }
}
