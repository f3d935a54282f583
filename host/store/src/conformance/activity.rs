//! What was done lately: each end of an attempt counts for its own time, and once, however often its record is written.
//! How spans of time and durations are kept is the index's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::time::Duration;

use jobmill_core::{Outcome, Timestamp};

use super::Subject;
use super::subject::{at, job, transient};
use crate::forgetting::Forget;
use crate::query::{Activity, Durations, JobActivity};
use crate::store::{NewRun, Retention};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

impl Subject {
    async fn activity(&self, now: Timestamp) -> Activity {
        self.query().activity(now).await.expect("reads")
    }

    /// A run that failed once and completed, one that died, and one of another job that completed.
    async fn busy(&self) {
        let claimed = self.running("welcome").await;
        let due = self.end(&claimed, transient(), at(100)).await.scheduled_at;
        let claimed = self.claim_one(due).await;
        self.complete(&claimed, at(2 * MINUTE)).await;
        self.dead("welcome", "no such user", at(200)).await;
        self.completed("refund").await;
    }
}

/// Minutes in which something ended: which one, from the beginning of the tests, and how much.
fn minutes(activity: &Activity) -> Vec<(u64, [u64; 3])> {
    let begun = |at: Timestamp| at.since(super::subject::at(0)).as_secs() / 60;
    let all = activity.minutes.iter().map(|it| (begun(it.at), [it.completed, it.failed, it.dead]));
    all.filter(|(_, counts)| *counts != [0; 3]).collect()
}

/// What the jobs come to: completed, dead, attempts that failed.
fn jobs(activity: &Activity) -> Vec<(&str, [u64; 3])> {
    let counts = |it: &JobActivity| [it.completed, it.dead, it.failed_attempts];
    activity.jobs.iter().map(|it| (it.job.as_str(), counts(it))).collect()
}

pub async fn each_end_counts_for_its_own_minute_and_its_job(subject: Subject) {
    let quiet = subject.activity(at(0)).await;
    assert_eq!((quiet.minutes.len(), quiet.jobs.len()), (60, 0));
    assert_eq!(quiet.minutes[59].at, at(0), "the last minute is that of now");
    subject.busy().await;
    let activity = subject.activity(at(2 * MINUTE)).await;
    assert_eq!(minutes(&activity), [(0, [1, 2, 1]), (2, [1, 0, 0])]);
    assert_eq!(jobs(&activity), [("refund", [1, 0, 0]), ("welcome", [1, 1, 2])]);
    assert_eq!(activity.jobs_since, Timestamp::from_millis(at(0).as_millis() - 23 * HOUR));
}

pub async fn what_is_older_than_an_hour_or_a_day_is_told_no_more(subject: Subject) {
    subject.busy().await;
    let activity = subject.activity(at(61 * MINUTE)).await;
    assert_eq!(minutes(&activity), [(2, [1, 0, 0])], "the first minute is over an hour ago");
    assert_eq!(activity.jobs.len(), 2);
    assert_eq!(subject.activity(at(24 * HOUR - 1)).await.jobs.len(), 2);
    let later = subject.activity(at(24 * HOUR)).await;
    assert_eq!((minutes(&later), later.jobs), (Vec::new(), Vec::new()));
}

pub async fn attempts_and_runs_are_told_with_how_long_they_took(subject: Subject) {
    // Runs of 1 … 20 s, of which each began a second after it was enqueued.
    for seconds in 1..=20 {
        subject.enqueue(vec![subject.new_run("welcome")], at(0)).await;
        let claimed = subject.claim_one(at(1_000)).await;
        subject.complete(&claimed, at(1_000 + seconds * 1_000)).await;
    }
    let activity = subject.activity(at(0)).await;
    let JobActivity { attempts, runs, .. } = &activity.jobs[0];
    let near = |told: Duration, seconds: u64| {
        let exact = Duration::from_secs(seconds);
        assert!(told.abs_diff(exact) <= exact / 16, "{told:?} is not {exact:?}");
    };
    assert_eq!((attempts.count, runs.count), (20, 20));
    near(attempts.p50, 10);
    near(attempts.p95, 19);
    near(runs.p50, 11);
    near(runs.p95, 20);
}

pub async fn an_attempt_whose_end_nobody_saw_has_no_duration(subject: Subject) {
    subject.running("welcome").await;
    subject.store().rescue(at(HOUR / 2)).await.expect("rescues");
    let activity = subject.activity(at(HOUR / 2)).await;
    assert_eq!(jobs(&activity), [("welcome", [0, 0, 1])]);
    assert_eq!(activity.jobs[0].attempts, Durations::default());
}

pub async fn what_says_nothing_of_the_job_is_not_counted(subject: Subject) {
    let claimed = subject.running("welcome").await;
    subject.end(&claimed, Outcome::Interrupted, at(1)).await;
    let claimed = subject.claim_one(at(1)).await;
    subject.end(&claimed, Outcome::Cancelled, at(2)).await;
    let activity = subject.activity(at(2)).await;
    assert_eq!((minutes(&activity), activity.jobs), (Vec::new(), Vec::new()));
}

pub async fn a_restart_changes_nothing_of_it(subject: Subject) {
    subject.busy().await;
    let before = subject.activity(at(2 * MINUTE)).await;
    let subject = subject.reopened();
    assert_eq!(subject.activity(at(2 * MINUTE)).await, before);
    // And it goes on from there.
    let claimed = subject.running("welcome").await;
    subject.complete(&claimed, at(3 * MINUTE)).await;
    let after = subject.activity(at(3 * MINUTE)).await;
    assert_eq!(minutes(&after).last(), Some(&(3, [1, 0, 0])));
}

pub async fn a_log_that_is_written_anew_counts_nothing_twice(subject: Subject) {
    subject.busy().await;
    let gone = subject.enqueue(vec![subject.new_run("report")], at(0)).await[0].id;
    subject.store().cancel(gone, "no".to_owned(), at(0)).await.expect("cancels");
    let before = subject.activity(at(2 * MINUTE)).await;
    let everybody = Forget { email: Some("nobody@example.com".to_owned()), value: None };
    subject.store().forget(everybody, false).await.expect("forgets");
    assert_eq!(subject.activity(at(2 * MINUTE)).await, before);
    assert_eq!(subject.reopened().activity(at(2 * MINUTE)).await, before);
}

pub async fn what_pruned_runs_did_has_happened(subject: Subject) {
    subject.busy().await;
    // Kept for as long as their ids may be used again.
    let claimed = subject.running("refund").await;
    subject.complete(&claimed, at(5)).await;
    let before = subject.activity(at(2 * MINUTE)).await;
    let none = Some(Duration::ZERO);
    let retention = Retention { completed: none, cancelled: none, dead: none, ..Retention::default() };
    let pruned = subject.store().prune(retention, at(48 * HOUR)).await.expect("prunes");
    assert_eq!(pruned.runs, 4);
    assert_eq!(subject.activity(at(2 * MINUTE)).await, before);
}

pub async fn what_is_imported_counts_for_when_it_happened_and_once(subject: Subject) {
    subject.busy().await;
    let before = subject.activity(at(2 * MINUTE)).await;
    let export = subject.query().export().await.expect("exports");
    let records: Vec<_> = export.map(|record| record.expect("reads")).collect();
    assert_eq!(subject.store().import(records).await, Ok(0), "it is here already");
    assert_eq!(subject.activity(at(2 * MINUTE)).await, before);
}

pub async fn a_run_that_is_put_back_counts_each_of_its_ends(subject: Subject) {
    let run = subject.dead("welcome", "no such user", at(10)).await;
    subject.store().requeue(run, 2, at(20), None, at(20)).await.expect("puts back");
    let claimed = subject.claim_one(at(30)).await;
    subject.complete(&claimed, at(40)).await;
    let activity = subject.activity(at(50)).await;
    assert_eq!(jobs(&activity), [("welcome", [1, 1, 1])]);
    assert_eq!(activity.jobs[0].job, job("welcome"));
    let another = NewRun { scheduled_at: at(60), ..subject.new_run("welcome") };
    subject.enqueue(vec![another], at(60)).await;
    assert_eq!(subject.activity(at(60)).await.jobs, activity.jobs, "what only waits has not happened yet");
}

pub async fn totals_count_from_the_start_of_the_process(subject: Subject) {
    subject.busy().await;
    let totals = subject.query().totals().await.expect("reads");
    let welcome = &totals.jobs[&job("welcome")];
    assert_eq!((welcome.completed, welcome.dead), (1, 1));
    assert_eq!(welcome.attempts, [("completed", 1), ("failed", 2)].into());
    assert_eq!(welcome.attempt_durations.counts.iter().sum::<u64>(), 3);
    assert_eq!(welcome.run_durations.sum, 2 * MINUTE + 200);
    let subject = subject.reopened();
    assert_eq!(subject.query().totals().await.expect("reads").jobs, [].into(), "what was done before is not counted");
    subject.completed("refund").await;
    assert_eq!(subject.query().totals().await.expect("reads").jobs[&job("refund")].completed, 1);
}
