//! What an operator may change, one by one and in bulk.
//! Whoever may do so, and how filters are written, is the server's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::time::Duration;

use jobmill_core::order::OrderStatus;
use jobmill_core::transition::Refused;
use jobmill_core::{AttemptError, FailureKind, Outcome, RunId, RunState, fingerprint};

use super::Subject;
use super::subject::{at, job, order, transient, version};
use crate::mailing::Doubts;
use crate::query::{DeadFilter, RunFilter};
use crate::store::NewRun;

pub async fn a_waiting_run_is_cancelled_at_once(subject: Subject) {
    let claimed = subject.running("welcome").await;
    let retryable = subject.end(&claimed, transient(), at(1)).await.id;
    let later = NewRun { scheduled_at: at(9_000), ..subject.new_run("welcome") };
    let scheduled = subject.enqueue(vec![later], at(1)).await[0].id;
    let available = subject.waiting("welcome").await;
    for run in [retryable, scheduled, available] {
        let head = subject.store().cancel(run, "not needed".to_owned(), at(2)).await.expect("cancels");
        let head = head.expect("is there").expect("is allowed");
        assert_eq!((head.state, head.finished_at), (RunState::Cancelled, Some(at(2))));
        assert_eq!(head.cancel_reason.as_deref(), Some("not needed"));
        assert_eq!(subject.head(run).await, head);
    }
    assert_eq!(subject.claim(9, at(10_000)).await, Vec::new());
}

pub async fn a_running_run_is_cancelled_when_its_attempt_stops(subject: Subject) {
    let claimed = subject.running("welcome").await;
    let run = claimed.head.id;
    let head = subject.store().cancel(run, "not needed".to_owned(), at(2)).await.expect("cancels");
    let head = head.expect("is there").expect("is allowed");
    assert_eq!((head.state, head.cancel_requested), (RunState::Running, true));
    // The attempt ended as it would have without the cancel, of which it did not know.
    let head = subject.end(&claimed, transient(), at(3)).await;
    assert_eq!((head.state, head.cancel_reason.as_deref()), (RunState::Cancelled, Some("not needed")));
    // Nor does a run that was to be cancelled go on after a crash.
    let run = subject.running("welcome").await.head.id;
    subject.store().cancel(run, "not needed".to_owned(), at(4)).await.expect("cancels");
    subject.store().rescue(at(5)).await.expect("rescues");
    assert_eq!(subject.head(run).await.state, RunState::Cancelled);
}

pub async fn a_final_run_is_not_cancelled(subject: Subject) {
    let dead = subject.dead("welcome", "no such user", at(1)).await;
    let completed = subject.completed("welcome").await;
    for (run, state) in [(dead, RunState::Dead), (completed, RunState::Completed)] {
        let before = subject.journal(run).await;
        let refused = Refused { run, state, change: "cancelled" };
        assert_eq!(subject.store().cancel(run, "no".to_owned(), at(2)).await, Ok(Some(Err(refused))));
        assert_eq!(subject.journal(run).await, before);
    }
}

pub async fn a_dead_run_is_put_back_with_new_attempts(subject: Subject) {
    let run = subject.dead("welcome", "no such user", at(1)).await;
    let head = subject.store().requeue(run, 5, at(2), None, at(2)).await.expect("requeues");
    let head = head.expect("is there").expect("is allowed");
    assert_eq!((head.state, head.attempt, head.max_attempts), (RunState::Available, 0, 5));
    assert_eq!(subject.query().dead_groups().await, Ok(Vec::new()));
    let claimed = subject.claim_one(at(3)).await;
    assert_eq!((claimed.head.id, claimed.head.attempt, claimed.head.lease), (run, 1, 2));
    let record = subject.query().run(run).await.expect("reads").expect("is there");
    assert_eq!(record.run.attempts.len(), 2);
    subject.end(&claimed, Outcome::Completed { output: None }, at(4)).await;
}

pub async fn a_requeue_waits_for_its_time(subject: Subject) {
    let run = subject.waiting("welcome").await;
    subject.store().cancel(run, "later".to_owned(), at(1)).await.expect("cancels");
    let head = subject.store().requeue(run, 2, at(500), None, at(2)).await.expect("requeues");
    let head = head.expect("is there").expect("is allowed");
    assert_eq!((head.state, head.cancel_reason, head.finished_at), (RunState::Scheduled, None, None));
    assert_eq!(subject.claim(1, at(499)).await, Vec::new());
    assert_eq!(subject.claim_one(at(500)).await.head.id, run);
}

pub async fn a_completed_run_is_not_put_back(subject: Subject) {
    let completed = subject.completed("welcome").await;
    let waiting = subject.waiting("welcome").await;
    for (run, state) in [(completed, RunState::Completed), (waiting, RunState::Available)] {
        let refused = Refused { run, state, change: "put back" };
        assert_eq!(subject.store().requeue(run, 2, at(2), None, at(2)).await, Ok(Some(Err(refused))));
    }
}

pub async fn what_is_unknown_is_not_changed(subject: Subject) {
    let run = RunId::from_bytes([9; 16]);
    assert_eq!(subject.store().cancel(run, "no".to_owned(), at(0)).await, Ok(None));
    assert_eq!(subject.store().requeue(run, 2, at(0), None, at(0)).await, Ok(None));
}

pub async fn many_runs_are_cancelled_by_a_filter(subject: Subject) {
    let completed = subject.completed("welcome").await;
    let running = subject.running("welcome").await.head.id;
    let (first, other) = (subject.waiting("welcome").await, subject.waiting("refund").await);
    let second = subject.waiting("welcome").await;
    let filter = RunFilter { job: Some(job("welcome")), ..RunFilter::default() };
    let outcome = subject.store().cancel_many(filter, "no".to_owned(), false, at(5)).await.expect("cancels");
    assert_eq!((outcome.matched, outcome.changed), (3, vec![second, first, running]));
    assert_eq!(outcome.skipped, Vec::new());
    for (run, state) in [
        (completed, RunState::Completed),
        (running, RunState::Running),
        (first, RunState::Cancelled),
        (second, RunState::Cancelled),
        (other, RunState::Available),
    ] {
        assert_eq!(subject.head(run).await.state, state);
    }
    assert!(subject.head(running).await.cancel_requested);
}

pub async fn many_runs_are_cancelled_by_id_and_the_rest_is_told_why_not(subject: Subject) {
    let completed = subject.completed("welcome").await;
    let waiting = subject.waiting("welcome").await;
    let unknown = RunId::from_bytes([9; 16]);
    let filter = RunFilter { ids: Some(vec![waiting, completed, waiting, unknown]), ..RunFilter::default() };
    let outcome = subject.store().cancel_many(filter, "no".to_owned(), false, at(5)).await.expect("cancels");
    assert_eq!((outcome.matched, outcome.changed), (2, vec![waiting]));
    let mut skipped = outcome.skipped;
    skipped.sort_unstable();
    let mut expected = [
        (completed, format!("{completed} is completed, so it can't be cancelled")),
        (unknown, "there is no such run".to_owned()),
    ];
    expected.sort_unstable();
    assert_eq!(skipped, expected);
}

pub async fn a_dry_run_changes_nothing(subject: Subject) {
    let dead = subject.dead("welcome", "no such user", at(1)).await;
    let waiting = subject.waiting("welcome").await;
    let (store, all, every) = (subject.store(), DeadFilter::default(), RunFilter::default());
    let cancelled = store.cancel_many(every, "no".to_owned(), true, at(5)).await.expect("answers");
    assert_eq!((cancelled.matched, cancelled.changed), (1, vec![waiting]));
    let requeued = store.requeue_many(all.clone(), Duration::ZERO, Doubts::Leave, true, at(5)).await.expect("answers");
    assert_eq!((requeued.matched, requeued.changed), (1, vec![dead]));
    let discarded = store.discard_many(all, "no".to_owned(), true, at(5)).await.expect("answers");
    assert_eq!((discarded.matched, discarded.changed), (1, vec![dead]));
    assert_eq!(subject.head(dead).await.state, RunState::Dead);
    assert_eq!(subject.head(waiting).await.state, RunState::Available);
}

pub async fn many_dead_runs_are_put_back_spread_over_a_time(subject: Subject) {
    let mut dead = Vec::new();
    for number in 0..4 {
        dead.push(subject.dead("welcome", "no such user", at(number)).await);
    }
    let other = subject.dead("refund", "no such user", at(9)).await;
    let spread = Duration::from_mins(1);
    let filter = DeadFilter { job: Some(job("welcome")), ..DeadFilter::default() };
    let outcome = subject.store().requeue_many(filter, spread, Doubts::Leave, false, at(10)).await.expect("requeues");
    assert_eq!((outcome.matched, &outcome.changed), (4, &dead));
    let mut due = Vec::new();
    for run in &dead {
        let head = subject.head(*run).await;
        assert_eq!((head.attempt, head.max_attempts), (0, 2));
        due.push(head.scheduled_at);
    }
    assert_eq!(due[0], at(10));
    assert!(due.windows(2).all(|pair| pair[1].since(pair[0]) == due[1].since(due[0])), "{due:?}");
    assert!(due[1] > due[0] && due[3] <= at(10).after(spread));
    assert_eq!(subject.head(other).await.state, RunState::Dead);
    // Named by id, what is dead is put back and the rest is told why not.
    let filter = DeadFilter { ids: Some(vec![other, dead[0]]), ..DeadFilter::default() };
    let outcome =
        subject.store().requeue_many(filter, Duration::ZERO, Doubts::Leave, false, at(11)).await.expect("requeues");
    assert_eq!(outcome.changed, [other]);
    assert_eq!(outcome.skipped, [(dead[0], format!("{} is available, so it can't be put back", dead[0]))]);
}

pub async fn many_dead_runs_are_put_aside(subject: Subject) {
    let lost = subject.dead("welcome", "no such user", at(1)).await;
    let away = subject.dead("welcome", "the shop is away", at(2)).await;
    let groups = subject.query().dead_groups().await.expect("reads");
    let group = groups.iter().find(|group| group.example == lost).expect("a group");
    let filter = DeadFilter { fingerprint: Some(group.fingerprint), ..DeadFilter::default() };
    let outcome = subject.store().discard_many(filter, "gone".to_owned(), false, at(5)).await.expect("discards");
    assert_eq!((outcome.matched, outcome.changed), (1, vec![lost]));
    let head = subject.head(lost).await;
    assert_eq!((head.state, head.cancel_reason.as_deref()), (RunState::Cancelled, Some("gone")));
    let groups = subject.query().dead_groups().await.expect("reads");
    assert_eq!(groups.iter().map(|group| group.example).collect::<Vec<_>>(), [away]);
    // What was put aside meanwhile is not revived with the others, and not put aside twice.
    let both = DeadFilter { ids: Some(vec![lost, away]), ..DeadFilter::default() };
    let outcome = subject
        .store()
        .requeue_many(both.clone(), Duration::ZERO, Doubts::Leave, false, at(6))
        .await
        .expect("requeues");
    assert_eq!((outcome.changed, outcome.skipped.len()), (vec![away], 1));
    let outcome = subject.store().discard_many(both, "gone".to_owned(), false, at(7)).await.expect("discards");
    assert_eq!((outcome.changed, outcome.skipped.len()), (Vec::new(), 2));
}

pub async fn dead_runs_are_grouped_by_job_and_error(subject: Subject) {
    let first = subject.dead("welcome", "no user 17", at(10)).await;
    let second = subject.dead("welcome", "no user 42", at(20)).await;
    let refund = subject.dead("refund", "no user 42", at(15)).await;
    let groups = subject.query().dead_groups().await.expect("reads");
    let [welcome, other] = groups.as_slice() else { panic!("two groups: {groups:?}") };
    assert_eq!((&welcome.job, welcome.count, welcome.kind), (&job("welcome"), 2, FailureKind::Permanent));
    assert_eq!((welcome.first_seen, welcome.last_seen), (at(10), at(20)));
    assert_eq!((welcome.example, welcome.message.as_str()), (second, "no user 42"));
    assert_eq!(welcome.versions, [version("welcome")]);
    let error = AttemptError::new(FailureKind::Permanent, "no user 17");
    assert_eq!(welcome.fingerprint, fingerprint::fingerprint(&job("welcome"), &error));
    assert_eq!((&other.job, other.count, other.example), (&job("refund"), 1, refund));
    // A run that is put back and dies again is seen anew.
    subject.store().requeue(first, 1, at(30), None, at(30)).await.expect("requeues");
    let claimed = subject.claim_one(at(30)).await;
    subject.end(&claimed, Outcome::failed(FailureKind::Permanent, "no user 17"), at(40)).await;
    let groups = subject.query().dead_groups().await.expect("reads");
    assert_eq!((groups[0].first_seen, groups[0].last_seen, groups[0].example), (at(20), at(40), first));
}

pub async fn an_order_is_replaced_and_its_revision_rises(subject: Subject) {
    let store = subject.store();
    assert_eq!(subject.query().order("order_1").await, Ok(None));
    let put = store.put_order(order("order_1", OrderStatus::Refunded)).await.expect("puts");
    assert_eq!(put.revision, 1);
    // The operator's own hand may set any status.
    let put = store.put_order(order("order_1", OrderStatus::Paid)).await.expect("puts");
    assert_eq!((put.revision, put.status), (2, OrderStatus::Paid));
    assert_eq!(subject.order("order_1").await, put);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let store = std::sync::Arc::clone(&subject.store);
        tasks.push(tokio::spawn(async move { store.put_order(order("order_1", OrderStatus::Paid)).await }));
    }
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.push(task.await.expect("ends").expect("puts").revision);
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (3..=10).collect::<Vec<_>>());
}
