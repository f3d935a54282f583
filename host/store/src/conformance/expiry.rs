//! Runs that are not begun in time, and runs that a later event takes back: they end cancelled, and say why.
//! Both are about runs that wait; what has begun goes on.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::time::Duration;

use jobmill_core::flow::Mark;
use jobmill_core::{RunHead, RunId, RunState, Timestamp, limits};

use super::Subject;
use super::subject::{JOBS, at, job, pointer, room, transient};
use crate::store::{NewEvent, NewRun, RunFlow};

fn mark(user: &str) -> Mark {
    let document = serde_json::json!({ "user": user });
    Mark::of(&job("welcome"), "user/deleted", &pointer("/user"), &document).expect("something stands there")
}

fn was_cancelled_by(head: &RunHead, event: &str) -> bool {
    let reason = format!("event email/welcome ({event}) cancelled it");
    head.state == RunState::Cancelled && head.cancel_reason.as_deref() == Some(&*reason)
}

impl Subject {
    /// A run that expires half a second after it was due.
    fn expiring(&self, due: Timestamp) -> NewRun {
        let flow = RunFlow { expires: Some(Duration::from_millis(500)), ..RunFlow::default() };
        NewRun { scheduled_at: due, flow, ..self.new_run("welcome") }
    }

    fn marked(&self, user: &str) -> NewRun {
        NewRun { flow: RunFlow { marks: vec![mark(user)], ..RunFlow::default() }, ..self.new_run("welcome") }
    }

    /// An event that starts nothing and cancels what is about this user.
    fn cancelling(&self, id: &str, user: &str) -> NewEvent {
        NewEvent { cancels: vec![mark(user)], ..self.new_event(id, &[]) }
    }

    async fn state(&self, run: RunId) -> RunState {
        self.head(run).await.state
    }
}

pub async fn a_run_that_has_not_begun_in_time_is_cancelled(subject: Subject) {
    let ids = subject.enqueued(vec![subject.expiring(at(100)), subject.new_run("refund")]).await;
    let store = subject.store();
    assert_eq!(subject.query().next_due(at(100)).await, Ok(Some(at(600))), "the engine is told when to look");
    assert_eq!(store.expire(at(599)).await, Ok(false));
    assert_eq!(subject.state(ids[0]).await, RunState::Scheduled);
    // It can't begin any more, whether or not it was cancelled already.
    let claim = store.claim(room(9, &["welcome"]), at(600)).await.expect("claims");
    assert!(claim.runs.is_empty() && claim.expired);
    assert_eq!(store.expire(at(600)).await, Ok(false));
    let head = subject.head(ids[0]).await;
    assert_eq!((head.state, head.finished_at), (RunState::Cancelled, Some(at(600))));
    let reason = format!("expired: it had not begun by {}", at(600));
    assert_eq!(head.cancel_reason.as_deref(), Some(&*reason));
    assert!(!store.claim(room(0, &JOBS), at(600)).await.expect("claims").expired);
    assert_eq!(subject.state(ids[1]).await, RunState::Available, "others wait on");
}

pub async fn a_run_that_has_begun_does_not_expire(subject: Subject) {
    subject.enqueued(vec![subject.expiring(at(0))]).await;
    let claimed = subject.claim_one(at(499)).await;
    assert_eq!(subject.store().expire(at(9_000)).await, Ok(false));
    assert_eq!(subject.end(&claimed, transient(), at(9_000)).await.state, RunState::Retryable);
    assert_eq!(subject.store().expire(at(99_000)).await, Ok(false));
    assert_eq!(subject.claim(1, at(99_000)).await.len(), 1, "nor does its next attempt");
}

pub async fn a_run_that_is_put_back_does_not_expire(subject: Subject) {
    let ids = subject.enqueued(vec![subject.expiring(at(0))]).await;
    subject.store().expire(at(500)).await.expect("expires");
    assert_eq!(subject.state(ids[0]).await, RunState::Cancelled);
    subject
        .store()
        .requeue(ids[0], 2, at(600), None, at(600))
        .await
        .expect("serves")
        .expect("is there")
        .expect("is final");
    assert_eq!(subject.store().expire(at(99_000)).await, Ok(false));
    assert_eq!(subject.claim_one(at(99_000)).await.head.id, ids[0]);
}

pub async fn runs_expire_after_a_restart(subject: Subject) {
    let ids = subject.enqueued(vec![subject.expiring(at(0)), subject.expiring(at(9_000))]).await;
    let subject = subject.reopened();
    assert_eq!(subject.store().expire(at(500)).await, Ok(false));
    assert_eq!((subject.state(ids[0]).await, subject.state(ids[1]).await), (RunState::Cancelled, RunState::Scheduled));
}

pub async fn many_runs_expire_in_bounded_steps(subject: Subject) {
    let count = limits::EXPIRED_AT_ONCE + 1;
    subject.enqueue((0..count).map(|_| subject.expiring(at(0))).collect(), at(0)).await;
    assert_eq!(subject.store().expire(at(500)).await, Ok(true));
    assert_eq!(subject.store().expire(at(500)).await, Ok(false));
    let counts = subject.query().counts(None, at(500)).await.expect("reads");
    assert_eq!(counts.of(RunState::Cancelled), count);
}

pub async fn an_event_cancels_the_waiting_runs_that_bear_its_mark(subject: Subject) {
    let later = NewRun { scheduled_at: at(9_000), ..subject.marked("ada") };
    let ids =
        subject.enqueued(vec![subject.marked("ada"), later, subject.marked("bob"), subject.new_run("welcome")]).await;
    let answers = subject.store().publish(vec![subject.cancelling("deleted", "ada")], at(5)).await.expect("publishes");
    assert_eq!((answers[0].runs.len(), answers[0].replayed), (0, false));
    for run in &ids[..2] {
        assert!(was_cancelled_by(&subject.head(*run).await, "deleted"));
    }
    assert_eq!((subject.state(ids[2]).await, subject.state(ids[3]).await), (RunState::Available, RunState::Available));
    // What comes after the event is about something else.
    let after = subject.enqueued(vec![subject.marked("ada")]).await;
    subject.store().publish(vec![subject.cancelling("deleted", "ada")], at(6)).await.expect("publishes");
    assert_eq!(subject.state(after[0]).await, RunState::Available, "a repeated event does nothing");
}

pub async fn an_event_leaves_what_has_begun_alone(subject: Subject) {
    subject.enqueued(vec![subject.marked("ada")]).await;
    let claimed = subject.claim_one(at(0)).await;
    subject.store().publish(vec![subject.cancelling("first", "ada")], at(1)).await.expect("publishes");
    let head = subject.head(claimed.head.id).await;
    assert_eq!((head.state, head.cancel_requested), (RunState::Running, false));
    subject.end(&claimed, transient(), at(2)).await;
    subject.store().publish(vec![subject.cancelling("second", "ada")], at(3)).await.expect("publishes");
    assert!(was_cancelled_by(&subject.head(claimed.head.id).await, "second"), "a run that waits again is taken back");
}

pub async fn a_mark_outlives_an_attempt_however_many_marks_there_are(subject: Subject) {
    subject.enqueued(vec![subject.marked("ada")]).await;
    let claimed = subject.claim_one(at(0)).await;
    let others = (0..2_000).map(|number| subject.marked(&format!("user {number}"))).collect();
    subject.enqueue(others, at(0)).await;
    subject.end(&claimed, transient(), at(1)).await;
    subject.store().publish(vec![subject.cancelling("deleted", "ada")], at(2)).await.expect("publishes");
    assert!(was_cancelled_by(&subject.head(claimed.head.id).await, "deleted"));
}

pub async fn an_event_cancels_what_another_of_its_batch_starts_before_it(subject: Subject) {
    let starting = |id: &str| NewEvent { runs: vec![subject.marked("ada")], ..subject.new_event(id, &[]) };
    let (before, after) = (starting("before"), starting("after"));
    let (early, late) = (before.runs[0].id, after.runs[0].id);
    let batch = vec![before, subject.cancelling("deleted", "ada"), after];
    let answers = subject.store().publish(batch, at(0)).await.expect("publishes");
    assert_eq!((answers[0].runs.as_slice(), answers[2].runs.as_slice()), ([early].as_slice(), [late].as_slice()));
    assert!(was_cancelled_by(&subject.head(early).await, "deleted"));
    assert_eq!(subject.state(late).await, RunState::Available);
}

pub async fn an_event_does_not_cancel_what_it_starts_itself(subject: Subject) {
    let earlier = subject.enqueued(vec![subject.marked("ada")]).await;
    let event = NewEvent { runs: vec![subject.marked("ada")], ..subject.cancelling("again", "ada") };
    let started = event.runs[0].id;
    subject.store().publish(vec![event], at(0)).await.expect("publishes");
    assert!(was_cancelled_by(&subject.head(earlier[0]).await, "again"));
    assert_eq!(subject.state(started).await, RunState::Available);
}

pub async fn marks_are_kept(subject: Subject) {
    let ids = subject.enqueued(vec![subject.marked("ada")]).await;
    let subject = subject.reopened();
    subject.store().publish(vec![subject.cancelling("deleted", "ada")], at(1)).await.expect("publishes");
    let subject = subject.reopened();
    assert!(was_cancelled_by(&subject.head(ids[0]).await, "deleted"));
}
