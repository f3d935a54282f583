//! Which runs a claim takes, in which order, and what it puts on record.
//! How many may run at once is the engine's to say.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::collections::BTreeSet;

use jobmill_core::journal::{EntryKind, Started};
use jobmill_core::{Outcome, RunState};

use super::Subject;
use super::subject::{at, finished, room, step, transient, version};
use crate::store::{Claim, LeaseReference, NewRun};

pub async fn claims_go_by_priority_then_due_time_then_id(subject: Subject) {
    let run = |job: &str, priority, due| NewRun { priority, scheduled_at: at(due), ..subject.new_run(job) };
    let runs = vec![
        run("welcome", 5, 20),
        run("refund", 5, 10),
        run("welcome", 5, 10),
        run("report", 9, 0),
        run("welcome", 0, 30),
        run("refund", 5, 10),
    ];
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    subject.enqueue(runs, at(0)).await;
    let first = subject.claim(3, at(30)).await;
    let rest = subject.claim(9, at(30)).await;
    let order: Vec<_> = first.iter().chain(&rest).map(|claimed| claimed.head.id).collect();
    assert_eq!(order, [ids[4], ids[1], ids[2], ids[5], ids[0], ids[3]]);
}

pub async fn a_claim_takes_no_more_than_there_is_room_for(subject: Subject) {
    let runs = (0..5).map(|_| subject.new_run("welcome")).collect();
    subject.enqueue(runs, at(0)).await;
    assert_eq!(subject.claim(0, at(0)).await.len(), 0);
    assert_eq!(subject.claim(2, at(0)).await.len(), 2);
    assert_eq!(subject.claim(9, at(0)).await.len(), 3);
    assert_eq!(subject.claim(9, at(0)).await.len(), 0);
}

pub async fn only_loaded_jobs_are_claimed(subject: Subject) {
    let (welcome, refund) = (subject.waiting("welcome").await, subject.waiting("refund").await);
    let store = subject.store();
    let nothing = Claim { runs: Vec::new(), left: true, expired: false };
    assert_eq!(store.claim(room(9, &[]), at(0)).await, Ok(nothing));
    let claimed = store.claim(room(9, &["refund", "report"]), at(0)).await.expect("claims");
    assert!(claimed.left);
    assert_eq!(claimed.runs.iter().map(|it| it.head.id).collect::<Vec<_>>(), [refund]);
    let claimed = store.claim(room(9, &["welcome"]), at(0)).await.expect("claims");
    assert!(!claimed.left);
    assert_eq!(claimed.runs.iter().map(|it| it.head.id).collect::<Vec<_>>(), [welcome]);
}

pub async fn nothing_is_claimed_before_it_is_due(subject: Subject) {
    let later = NewRun { scheduled_at: at(100), ..subject.new_run("welcome") };
    subject.enqueue(vec![later], at(0)).await;
    assert_eq!(subject.claim(1, at(99)).await.len(), 0);
    let claimed = subject.claim_one(at(100)).await;
    let head = subject.end(&claimed, transient(), at(100)).await;
    assert_eq!((head.state, head.scheduled_at), (RunState::Retryable, at(1_100)));
    assert_eq!(subject.claim(1, at(1_099)).await.len(), 0);
    // A clock that was set back does not make it due.
    assert_eq!(subject.claim(1, at(1_100)).await.len(), 1);
    subject.enqueue(vec![NewRun { scheduled_at: at(2_000), ..subject.new_run("welcome") }], at(0)).await;
    assert_eq!(subject.claim(0, at(2_000)).await.len(), 0);
    assert_eq!(subject.claim(1, at(1_999)).await.len(), 0);
    assert_eq!(subject.claim(1, at(2_000)).await.len(), 1);
}

pub async fn concurrent_claims_never_share_a_run(subject: Subject) {
    let runs = (0..40).map(|_| subject.new_run("welcome")).collect();
    subject.enqueue(runs, at(0)).await;
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let store = std::sync::Arc::clone(&subject.store);
        tasks.push(tokio::spawn(async move { store.claim(room(3, &["welcome"]), at(0)).await }));
    }
    let mut claimed = Vec::new();
    for task in tasks {
        claimed.extend(task.await.expect("ends").expect("claims").runs.into_iter().map(|it| it.head.id));
    }
    let distinct: BTreeSet<_> = claimed.iter().collect();
    assert_eq!((claimed.len(), distinct.len()), (40, 40));
}

pub async fn a_claim_is_on_the_record(subject: Subject) {
    let run = subject.waiting("welcome").await;
    let claimed = subject.claim_one(at(7)).await;
    assert_eq!(subject.head(run).await, claimed.head);
    let head = &claimed.head;
    assert_eq!((head.state, head.attempt, head.started_at), (RunState::Running, 1, Some(at(7))));
    assert_eq!((head.version, head.lease), (Some(version("welcome")), 1));
    assert_eq!(claimed.lease(), LeaseReference { run, token: 1 });
    let started = Started { attempt: 1, version: version("welcome"), lease: 1, bucket: None };
    let last = subject.journal(run).await.pop().expect("an entry");
    assert_eq!((last.at, last.kind), (at(7), EntryKind::Started(started)));
}

pub async fn a_first_attempt_has_nothing_to_remember(subject: Subject) {
    let run = subject.waiting("welcome").await;
    let claimed = subject.claim_one(at(0)).await;
    assert_eq!((claimed.payload.as_str(), claimed.journal.len()), ("{ \"user\": 1.0 }", 0));
    let entries = vec![step("one"), finished(&claimed.head, Outcome::Interrupted, at(1))];
    subject.store().finish(claimed.lease(), entries, Vec::new(), at(1)).await.expect("finishes");
    let claimed = subject.claim_one(at(2)).await;
    assert_eq!((claimed.head.attempt, claimed.head.lease), (1, 2));
    assert_eq!(claimed.payload.as_str(), "{ \"user\": 1.0 }");
    assert_eq!(claimed.journal, subject.journal(run).await);
}

pub async fn a_run_that_ended_is_not_claimed_again(subject: Subject) {
    subject.completed("welcome").await;
    subject.dead("welcome", "no such user", at(1)).await;
    let cancelled = subject.waiting("welcome").await;
    subject.store().cancel(cancelled, "no".to_owned(), at(1)).await.expect("cancels");
    assert_eq!(subject.claim(9, at(1_000_000)).await, Vec::new());
}
