//! How many runs go on at once and over time: by job, by key and by queue, and whose turn it is.
//! Which limits there are is the engine's to say, with every claim.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::RunId;
use jobmill_core::flow::{Concurrency, RateLimit};

use super::Subject;
use super::subject::{JOBS, at, pointer, room, rules_of};
use crate::flow::Rules;
use crate::store::NewRun;

fn at_once(limit: u32, key: Option<&str>) -> Concurrency {
    Concurrency { limit, key: key.map(pointer) }
}

fn per_second(limit: u32, key: Option<&str>) -> RateLimit {
    RateLimit { limit, period: Duration::from_secs(1), key: key.map(pointer) }
}

fn concurrency(limits: Vec<Concurrency>) -> Arc<Rules> {
    rules_of("welcome", |rules| rules.concurrency = limits)
}

fn rate(limit: RateLimit) -> Arc<Rules> {
    rules_of("welcome", |rules| rules.rate_limit = Some(limit))
}

impl Subject {
    fn in_queue(&self, name: &str, queue: &str) -> NewRun {
        NewRun { queue: queue.to_owned(), ..self.new_run(name) }
    }

    /// So many due runs of one job.
    async fn many(&self, count: usize) -> Vec<RunId> {
        self.enqueued((0..count).map(|_| self.new_run("welcome")).collect()).await
    }
}

pub async fn a_job_has_no_more_runs_at_once_than_its_limit(subject: Subject) {
    let rules = concurrency(vec![at_once(2, None)]);
    let mut runs: Vec<NewRun> = (0..4).map(|_| subject.new_run("welcome")).collect();
    runs.push(subject.new_run("refund"));
    let ids = subject.enqueued(runs).await;
    let begun = subject.attempts_under(&rules, 9, at(0)).await;
    assert_eq!(begun.iter().map(|it| it.head.id).collect::<Vec<_>>(), [ids[0], ids[1], ids[4]], "others go on");
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, []);
    subject.complete(&begun[1], at(2)).await;
    assert_eq!(subject.claim_under(&rules, 9, at(2)).await, [ids[2]]);
}

pub async fn a_retry_waits_for_the_limit_like_any_run(subject: Subject) {
    let rules = concurrency(vec![at_once(1, None)]);
    let ids = subject.many(2).await;
    let begun = subject.attempts_under(&rules, 9, at(0)).await;
    subject.end(&begun[0], super::subject::transient(), at(0)).await;
    let second = subject.attempts_under(&rules, 9, at(1)).await;
    assert_eq!(second[0].head.id, ids[1]);
    assert_eq!(subject.claim_under(&rules, 9, at(5_000)).await, [], "the retry is due, and the place is taken");
    subject.complete(&second[0], at(5_000)).await;
    assert_eq!(subject.claim_under(&rules, 9, at(5_000)).await, [ids[0]]);
}

pub async fn a_keyed_limit_counts_each_value_alone(subject: Subject) {
    let rules = concurrency(vec![at_once(1, Some("/user"))]);
    let of = |user: &str| subject.with_keys("welcome", &[("/user", user)]);
    let ids = subject.enqueued(vec![of("ada"), of("ada"), of("bob"), of("ada"), of("bob")]).await;
    let begun = subject.attempts_under(&rules, 9, at(0)).await;
    assert_eq!(begun.iter().map(|it| it.head.id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    subject.complete(&begun[0], at(1)).await;
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, [ids[1]], "bob's place does not help ada");
}

pub async fn runs_without_the_key_are_one_group(subject: Subject) {
    let rules = concurrency(vec![at_once(1, Some("/user"))]);
    let none = subject.new_run("welcome");
    let with = subject.with_keys("welcome", &[("/user", "ada")]);
    let elsewhere = subject.with_keys("welcome", &[("/other", "ada")]);
    let ids = subject.enqueued(vec![none, with, elsewhere, subject.new_run("welcome")]).await;
    let begun = subject.attempts_under(&rules, 9, at(0)).await;
    assert_eq!(begun.iter().map(|it| it.head.id).collect::<Vec<_>>(), [ids[0], ids[1]]);
    subject.complete(&begun[0], at(1)).await;
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, [ids[2]]);
}

pub async fn two_limits_hold_at_once(subject: Subject) {
    let rules = concurrency(vec![at_once(1, Some("/user")), at_once(2, None)]);
    let of = |user: &str| subject.with_keys("welcome", &[("/user", user)]);
    let ids = subject.enqueued(vec![of("ada"), of("ada"), of("bob"), of("cyd")]).await;
    let begun = subject.attempts_under(&rules, 9, at(0)).await;
    assert_eq!(begun.iter().map(|it| it.head.id).collect::<Vec<_>>(), [ids[0], ids[2]], "the job has two at once");
    subject.complete(&begun[1], at(1)).await;
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, [ids[3]], "ada has one at once");
    subject.complete(&begun[0], at(2)).await;
    assert_eq!(subject.claim_under(&rules, 9, at(2)).await, [ids[1]]);
}

pub async fn a_limit_that_is_lowered_or_raised_counts_what_is_under_way(subject: Subject) {
    let under = |limit| concurrency(vec![at_once(limit, None)]);
    let ids = subject.many(9).await;
    let begun = subject.attempts_under(&under(4), 9, at(0)).await;
    assert_eq!(begun.len(), 4);
    // Nothing is taken away: those under way end first.
    for claimed in &begun[..3] {
        assert_eq!(subject.claim_under(&under(1), 9, at(1)).await, []);
        subject.complete(claimed, at(1)).await;
    }
    assert_eq!(subject.claim_under(&under(1), 9, at(1)).await, [], "one is under way still");
    assert_eq!(subject.claim_under(&under(3), 9, at(2)).await, ids[4..6]);
    assert_eq!(subject.claim_under(&room(0, &JOBS).rules, 9, at(3)).await, ids[6..], "no limit is left");
}

pub async fn a_limit_counts_what_was_under_way_before_a_restart(subject: Subject) {
    let rules = concurrency(vec![at_once(2, None)]);
    let ids = subject.many(3).await;
    assert_eq!(subject.claim_under(&rules, 1, at(0)).await, ids[..1]);
    let subject = subject.reopened();
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, ids[1..2]);
    subject.store().rescue(at(2)).await.expect("rescues");
    assert_eq!(subject.claim_under(&rules, 9, at(2)).await.len(), 2);
}

pub async fn a_rate_limit_spends_its_bucket_and_then_waits_for_each_token(subject: Subject) {
    let rules = rate(per_second(2, None));
    let ids = subject.many(5).await;
    assert_eq!(subject.claim_under(&rules, 9, at(0)).await, ids[..2], "a full bucket");
    assert_eq!(subject.claim_under(&rules, 9, at(499)).await, []);
    assert_eq!(subject.query().next_due(at(499)).await, Ok(Some(at(500))), "the engine is told when to look");
    assert_eq!(subject.claim_under(&rules, 9, at(500)).await, ids[2..3]);
    assert_eq!(subject.claim_under(&rules, 9, at(999)).await, []);
    assert_eq!(subject.claim_under(&rules, 9, at(9_000)).await, ids[3..]);
}

pub async fn a_keyed_rate_limit_has_a_bucket_for_each_value(subject: Subject) {
    let rules = rate(per_second(1, Some("/user")));
    let of = |user: &str| subject.with_keys("welcome", &[("/user", user)]);
    let mut runs = vec![of("ada"), of("ada"), of("bob"), subject.new_run("welcome"), subject.new_run("welcome")];
    runs.push(subject.new_run("refund"));
    let ids = subject.enqueued(runs).await;
    assert_eq!(subject.claim_under(&rules, 9, at(0)).await, [ids[0], ids[2], ids[3], ids[5]]);
    assert_eq!(subject.claim_under(&rules, 9, at(1_000)).await, [ids[1], ids[4]]);
}

pub async fn a_rate_limit_counts_attempts_whatever_comes_of_them(subject: Subject) {
    let rules = rate(per_second(1, None));
    subject.many(1).await;
    let begun = subject.attempts_under(&rules, 9, at(0)).await;
    subject.end(&begun[0], jobmill_core::Outcome::Interrupted, at(1)).await;
    assert_eq!(subject.claim_under(&rules, 9, at(999)).await, []);
    assert_eq!(subject.claim_under(&rules, 9, at(1_000)).await.len(), 1);
}

pub async fn a_restart_gives_no_fresh_allowance(subject: Subject) {
    let limit = RateLimit { limit: 2, period: Duration::from_mins(1), key: Some(pointer("/user")) };
    let rules = rate(limit);
    let of = |user: &str| subject.with_keys("welcome", &[("/user", user)]);
    let ids = subject.enqueued(vec![of("ada"), of("ada"), of("ada"), of("bob")]).await;
    assert_eq!(subject.claim_under(&rules, 2, at(0)).await, ids[..2]);
    let subject = subject.reopened();
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, ids[3..], "ada's bucket is as empty as it was");
    let subject = subject.reopened();
    assert_eq!(subject.claim_under(&rules, 9, at(29_999)).await, []);
    assert_eq!(subject.claim_under(&rules, 9, at(30_000)).await, ids[2..3]);
}

pub async fn a_clock_set_back_empties_a_bucket_and_no_more(subject: Subject) {
    let rules = rate(per_second(2, None));
    let ids = subject.many(4).await;
    assert_eq!(subject.claim_under(&rules, 1, at(3_600_000)).await, ids[..1]);
    assert_eq!(subject.claim_under(&rules, 9, at(0)).await, []);
    assert_eq!(subject.claim_under(&rules, 9, at(499)).await, []);
    assert_eq!(subject.claim_under(&rules, 9, at(500)).await, ids[1..2], "the bucket fills from then on");
    // So it does when nobody saw the clock being set.
    let subject = subject.reopened();
    assert_eq!(subject.claim_under(&rules, 9, at(0)).await, []);
    assert_eq!(subject.claim_under(&rules, 9, at(1_000)).await, ids[2..]);
}

pub async fn another_rate_limit_holds_at_once(subject: Subject) {
    let hourly = RateLimit { limit: 1, period: Duration::from_hours(1), key: None };
    let ids = subject.many(3).await;
    assert_eq!(subject.claim_under(&rate(hourly), 9, at(0)).await, ids[..1]);
    assert_eq!(subject.claim_under(&rate(per_second(1, None)), 9, at(1_000)).await, ids[1..2]);
    assert_eq!(subject.claim_under(&room(0, &JOBS).rules, 9, at(1_001)).await, ids[2..]);
}

pub async fn queues_begin_their_runs_in_turn(subject: Subject) {
    let mut runs: Vec<NewRun> = (0..6).map(|_| subject.in_queue("welcome", "bulk")).collect();
    runs.extend((0..2).map(|_| subject.in_queue("welcome", "urgent")));
    runs.push(subject.in_queue("refund", "other"));
    let ids = subject.enqueued(runs).await;
    let rules = room(0, &JOBS).rules;
    let begun = subject.claim_under(&rules, 4, at(0)).await;
    assert_eq!(begun, [ids[0], ids[8], ids[6], ids[1]], "a long queue keeps nobody waiting");
    // It goes on where it stopped.
    assert_eq!(subject.claim_under(&rules, 1, at(0)).await, [ids[7]]);
    assert_eq!(subject.claim_under(&rules, 9, at(0)).await, ids[2..6]);
}

pub async fn a_queue_has_no_more_runs_at_once_than_its_own_limit(subject: Subject) {
    let mut rules = (*room(0, &JOBS).rules).clone();
    rules.queues.insert("bulk".to_owned(), 2);
    let rules = Arc::new(rules);
    let mut runs: Vec<NewRun> = (0..4).map(|_| subject.in_queue("welcome", "bulk")).collect();
    runs.push(subject.in_queue("refund", "bulk"));
    runs.push(subject.in_queue("welcome", "default"));
    let ids = subject.enqueued(runs).await;
    let begun = subject.attempts_under(&rules, 9, at(0)).await;
    assert_eq!(begun.iter().map(|it| it.head.id).collect::<Vec<_>>(), [ids[0], ids[5], ids[1]]);
    subject.complete(&begun[0], at(1)).await;
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, [ids[2]]);
    let queues = subject.query().queues(at(1)).await.expect("reads");
    let bulk = queues.iter().find(|queue| queue.name == "bulk").expect("is there");
    assert_eq!((bulk.concurrency, bulk.running, bulk.waiting), (Some(2), 2, 2));
}

pub async fn a_queue_that_is_full_keeps_no_room_of_a_limit_from_others(subject: Subject) {
    let mut rules = (*concurrency(vec![at_once(2, None)])).clone();
    rules.queues.insert("bulk".to_owned(), 1);
    let rules = Arc::new(rules);
    let runs = ["bulk", "bulk", "bulk", "default", "default"].map(|queue| subject.in_queue("welcome", queue));
    let ids = subject.enqueued(runs.into()).await;
    let begun = subject.attempts_under(&rules, 9, at(0)).await;
    assert_eq!(begun.iter().map(|it| it.head.id).collect::<Vec<_>>(), [ids[0], ids[3]]);
    subject.complete(&begun[1], at(1)).await;
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, [ids[4]], "those before it can't use the room");
}

pub async fn what_is_not_loaded_keeps_nobody_waiting(subject: Subject) {
    let mut runs: Vec<NewRun> = (0..3).map(|_| subject.new_run("report")).collect();
    runs.push(subject.new_run("welcome"));
    let ids = subject.enqueued(runs).await;
    let without = room(0, &["welcome", "refund"]).rules;
    assert_eq!(subject.claim_under(&without, 9, at(0)).await, ids[3..]);
    assert_eq!(subject.claim_under(&room(0, &JOBS).rules, 9, at(1)).await, ids[..3], "its component came");
}

pub async fn waiting_makes_up_for_priority(subject: Subject) {
    let minutes = |count: u64| count * 60_000;
    let run = |priority, due| NewRun { priority, scheduled_at: at(due), ..subject.new_run("welcome") };
    let runs =
        vec![run(5, minutes(0)), run(4, minutes(9)), run(4, minutes(11)), run(0, minutes(48)), run(0, minutes(52))];
    let ids = subject.enqueued(runs).await;
    let order = subject.claim_under(&room(0, &JOBS).rules, 9, at(minutes(60))).await;
    assert_eq!(order, [ids[3], ids[1], ids[0], ids[2], ids[4]], "a step of priority is worth ten minutes");
}
