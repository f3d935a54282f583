//! Why a run waits: the exact cause, who holds what it waits for, and how many go before it.
//! How that is put into words is the server's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::flow::{Concurrency, RateLimit};
use jobmill_core::{RunId, Timestamp};

use super::Subject;
use super::subject::{JOBS, at, job, pointer, room, rules_of};
use crate::flow::{Blocker, Pause};
use crate::query::{WaitingCause, WaitingFor};
use crate::store::{NewRun, QueueChange};

impl Subject {
    async fn cause(&self, run: RunId, now: Timestamp) -> WaitingCause {
        self.waiting_for(run, now).await.expect("it waits").cause
    }
}

fn blocked(blocker: Blocker) -> WaitingCause {
    WaitingCause::Blocked(blocker, Vec::new())
}

pub async fn a_run_that_is_not_due_waits_for_its_time(subject: Subject) {
    let later = NewRun { scheduled_at: at(500), ..subject.new_run("welcome") };
    let ids = subject.enqueued(vec![later]).await;
    subject.claim(0, at(0)).await;
    let due = WaitingFor { cause: WaitingCause::Due(at(500)), position: None };
    assert_eq!(subject.waiting_for(ids[0], at(499)).await, Some(due));
    let room = WaitingFor { cause: WaitingCause::Room, position: Some(0) };
    assert_eq!(subject.waiting_for(ids[0], at(500)).await, Some(room));
}

pub async fn what_runs_or_has_ended_waits_for_nothing(subject: Subject) {
    let claimed = subject.running("welcome").await;
    assert_eq!(subject.waiting_for(claimed.head.id, at(0)).await, None);
    subject.complete(&claimed, at(1)).await;
    assert_eq!(subject.waiting_for(claimed.head.id, at(1)).await, None);
    assert_eq!(subject.waiting_for(RunId::from_bytes([9; 16]), at(1)).await, None);
}

pub async fn a_run_without_a_component_waits_for_one(subject: Subject) {
    let run = subject.waiting("report").await;
    assert_eq!(subject.cause(run, at(0)).await, blocked(Blocker::NoComponent), "nothing is loaded yet");
    subject.store().claim(room(9, &["welcome"]), at(0)).await.expect("claims");
    assert_eq!(subject.cause(run, at(0)).await, blocked(Blocker::NoComponent));
    subject.store().claim(room(0, &JOBS), at(0)).await.expect("claims");
    assert_eq!(subject.cause(run, at(0)).await, WaitingCause::Room);
}

pub async fn a_concurrency_limit_names_the_runs_that_hold_it(subject: Subject) {
    let limit = Concurrency { limit: 2, key: Some(pointer("/user")) };
    let rules = rules_of("welcome", |rules| rules.concurrency = vec![limit.clone()]);
    let of = |user: &str| subject.with_keys("welcome", &[("/user", user)]);
    let ids = subject.enqueued(vec![of("ada"), of("bob"), of("ada"), of("ada"), of("ada"), of("bob")]).await;
    assert_eq!(subject.claim_under(&rules, 3, at(0)).await, ids[..3]);
    let of_ada = Blocker::Concurrency(limit, Some("ada".to_owned()));
    let cause = WaitingCause::Blocked(of_ada, vec![ids[0], ids[2]]);
    for (run, position) in [(ids[3], 0), (ids[4], 1)] {
        let expected = WaitingFor { cause: cause.clone(), position: Some(position) };
        assert_eq!(subject.waiting_for(run, at(0)).await, Some(expected));
    }
    // Nothing but the engine's own room keeps bob.
    let room = WaitingFor { cause: WaitingCause::Room, position: Some(0) };
    assert_eq!(subject.waiting_for(ids[5], at(0)).await, Some(room));
}

pub async fn at_most_ten_holders_are_named(subject: Subject) {
    let limit = Concurrency { limit: 12, key: None };
    let rules = rules_of("welcome", |rules| rules.concurrency = vec![limit]);
    let ids = subject.enqueued((0..13).map(|_| subject.new_run("welcome")).collect()).await;
    assert_eq!(subject.claim_under(&rules, 99, at(0)).await, ids[..12]);
    let WaitingCause::Blocked(_, holders) = subject.cause(ids[12], at(0)).await else { panic!("not blocked") };
    assert_eq!(holders, ids[..10]);
}

pub async fn a_rate_limit_tells_when_it_has_a_token(subject: Subject) {
    let limit = RateLimit { limit: 2, period: Duration::from_secs(10), key: Some(pointer("/user")) };
    let rules = rules_of("welcome", |rules| rules.rate_limit = Some(limit.clone()));
    let of = |user: &str| subject.with_keys("welcome", &[("/user", user)]);
    let ids = subject.enqueued(vec![of("ada"), of("ada"), of("ada")]).await;
    assert_eq!(subject.claim_under(&rules, 9, at(0)).await, ids[..2]);
    let empty = blocked(Blocker::RateLimit(limit, Some("ada".to_owned()), at(5_000)));
    assert_eq!(subject.cause(ids[2], at(1)).await, empty);
    assert_eq!(subject.cause(ids[2], at(5_000)).await, WaitingCause::Room);
}

pub async fn a_pause_is_named_with_who_and_when(subject: Subject) {
    let run = subject.waiting("welcome").await;
    subject.claim(0, at(0)).await;
    let change = QueueChange { paused: Some(Some("ada".to_owned())), ..QueueChange::default() };
    subject.store().control_queue("default".to_owned(), change, at(3)).await.expect("controls");
    let of_queue = Pause { by: "ada".to_owned(), at: at(3) };
    assert_eq!(subject.cause(run, at(4)).await, blocked(Blocker::QueuePaused(of_queue)));
    // A paused job goes before: it stops the run wherever it waits.
    let of_job = Pause { by: "bob".to_owned(), at: at(5) };
    subject.store().control_job(job("welcome"), Some(of_job.clone())).await.expect("controls");
    assert_eq!(subject.cause(run, at(6)).await, blocked(Blocker::JobPaused(of_job)));
}

pub async fn a_full_queue_is_named_with_its_limit(subject: Subject) {
    let mut rules = (*room(0, &JOBS).rules).clone();
    rules.queues.insert("default".to_owned(), 1);
    let ids = subject.enqueued((0..3).map(|_| subject.new_run("welcome")).collect()).await;
    assert_eq!(subject.claim_under(&Arc::new(rules), 9, at(0)).await, ids[..1]);
    let full = |position| Some(WaitingFor { cause: blocked(Blocker::QueueFull(1)), position: Some(position) });
    assert_eq!(subject.waiting_for(ids[1], at(0)).await, full(0));
    assert_eq!(subject.waiting_for(ids[2], at(0)).await, full(1));
}
