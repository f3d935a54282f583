//! Events that tell of the end of a run: on record with that end, or not at all.
//! What they say, and who listens, is the engine's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::{FailureKind, Outcome, RunState};

use super::Subject;
use super::subject::{at, finished, order_updated, to_status};
use crate::query::EventFilter;
use crate::store::{Claimed, LeaseReference, NewEvent, RecordError, WaitingBounds};

impl Subject {
    /// Ends an attempt for good and tells of it.
    async fn tell(&self, claimed: &Claimed, told: Vec<NewEvent>) -> Result<RunState, RecordError> {
        let end = finished(&claimed.head, Outcome::failed(FailureKind::Permanent, "no such user"), at(5));
        self.store().finish(claimed.lease(), vec![end], told, at(5)).await.map(|head| head.state)
    }

    async fn event_count(&self) -> usize {
        self.query().events(&EventFilter::default(), None, 100).await.expect("reads").items.len()
    }
}

pub async fn an_end_is_told_in_its_own_commit(subject: Subject) {
    let claimed = subject.running("welcome").await;
    let told = vec![subject.new_event("dead", &["report"]), subject.new_event("failed", &[])];
    assert_eq!(subject.tell(&claimed, told.clone()).await, Ok(RunState::Dead));
    let subject = subject.reopened();
    assert_eq!(subject.head(claimed.head.id).await.state, RunState::Dead);
    for event in told {
        let kept = subject.query().event_by_key(event.reference.key).await.expect("reads").expect("is there");
        assert_eq!((kept.reference, kept.received_at), (event.reference, at(5)));
        assert_eq!(kept.runs, event.runs.iter().map(|run| run.id).collect::<Vec<_>>());
    }
    assert_eq!(subject.claim_one(at(6)).await.head.event.as_ref().map(|event| event.id.as_str()), Some("dead"));
}

pub async fn an_end_that_nobody_may_be_told_of_is_recorded_all_the_same(subject: Subject) {
    let claimed = subject.running("welcome").await;
    subject.waiting("refund").await;
    let mut told = subject.new_event("dead", &["report"]);
    told.runs[0].flow.waiting = WaitingBounds { of_job: None, in_all: Some(1) };
    assert_eq!(subject.tell(&claimed, vec![told, subject.new_event("failed", &[])]).await, Ok(RunState::Dead));
    assert_eq!((subject.head(claimed.head.id).await.state, subject.event_count().await), (RunState::Dead, 0));
}

pub async fn who_lost_the_lease_tells_nothing(subject: Subject) {
    let claimed = subject.running("welcome").await;
    let lease = LeaseReference { token: claimed.head.lease + 1, ..claimed.lease() };
    let end = finished(&claimed.head, Outcome::Completed { output: None }, at(5));
    let told = vec![subject.new_event("dead", &["report"])];
    let answer = subject.store().finish(lease, vec![end], told.clone(), at(5)).await;
    assert_eq!(answer, Err(RecordError::LeaseLost(claimed.head.id)));
    assert_eq!((subject.head(claimed.head.id).await.state, subject.event_count().await), (RunState::Running, 0));
    // What ends once is told once.
    assert_eq!(subject.tell(&claimed, told.clone()).await, Ok(RunState::Dead));
    let again = vec![subject.new_event("again", &["report"])];
    assert_eq!(subject.tell(&claimed, again).await, Err(RecordError::LeaseLost(claimed.head.id)));
    assert_eq!(subject.event_count().await, 1);
}

pub async fn an_end_whose_order_changed_meanwhile_tells_nothing(subject: Subject) {
    let claimed = subject.running("welcome").await;
    let change = order_updated("order_1", &to_status(jobmill_core::order::OrderStatus::Refunded));
    let end = finished(&claimed.head, Outcome::Completed { output: None }, at(5));
    let told = vec![subject.new_event("completed", &["report"])];
    let answer = subject.store().finish(claimed.lease(), vec![change, end], told, at(5)).await;
    assert!(matches!(answer, Err(RecordError::Order(_))), "{answer:?}");
    assert_eq!((subject.head(claimed.head.id).await.state, subject.event_count().await), (RunState::Running, 0));
}

pub async fn what_is_told_takes_no_room_unless_it_is_written(subject: Subject) {
    let claimed = subject.running("welcome").await;
    let lost = LeaseReference { token: claimed.head.lease + 1, ..claimed.lease() };
    let bounds = WaitingBounds { of_job: Some(1), in_all: None };
    let mut told = subject.new_event("dead", &["report"]);
    told.runs[0].flow.waiting = bounds;
    let mut run = subject.new_run("report");
    run.flow.waiting = bounds;
    let end = finished(&claimed.head, Outcome::Completed { output: None }, at(5));
    // Whether or not both are decided in one commit.
    let (late, enqueued) = tokio::join!(
        subject.store().finish(lost, vec![end], vec![told], at(5)),
        subject.store().enqueue(vec![run], at(5))
    );
    assert_eq!(late, Err(RecordError::LeaseLost(claimed.head.id)));
    assert!(enqueued.is_ok(), "{enqueued:?}");
}

pub async fn concurrent_ends_are_each_told_once(subject: Subject) {
    let mut claimed = Vec::new();
    for _ in 0..8 {
        claimed.push(subject.running("welcome").await);
    }
    let mut tasks = Vec::new();
    for run in claimed {
        let told = vec![subject.new_event(&format!("end of {}", run.head.id), &["report"])];
        let store = std::sync::Arc::clone(&subject.store);
        let end = finished(&run.head, Outcome::Completed { output: None }, at(5));
        tasks.push(tokio::spawn(async move { store.finish(run.lease(), vec![end], told, at(5)).await }));
    }
    for task in tasks {
        task.await.expect("ends").expect("finishes");
    }
    assert_eq!((subject.event_count().await, subject.claim(99, at(6)).await.len()), (8, 8));
}
