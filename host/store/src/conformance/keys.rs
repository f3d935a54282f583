//! How far a unique key reaches, and how many runs may wait: when an enqueue is a new run at all.
//! Where keys are found in payloads is the engine's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::time::Duration;

use jobmill_core::flow::UniqueStates;
use jobmill_core::journal::UniqueTerms;
use jobmill_core::{FailureKind, Json, Outcome, RunState, limits};

use super::Subject;
use super::subject::{at, job};
use crate::store::{Enqueued, NewEvent, NewRun, Retention, RunFlow, StoreError, WaitingBounds};

const HOUR: Duration = Duration::from_hours(1);

impl Subject {
    fn unique(&self, window: Duration, states: UniqueStates) -> NewRun {
        let flow = RunFlow { unique: Some(UniqueTerms { window, states }), ..RunFlow::default() };
        NewRun { unique_key: Some("ada".to_owned()), request_digest: Some([1; 32]), flow, ..self.new_run("welcome") }
    }

    /// Unique by what stands in the payload, with another payload.
    fn unique_by_payload(&self, payload: &str, digest: u8) -> NewRun {
        let run = self.unique(HOUR, UniqueStates::All);
        let flow = RunFlow { is_unique_by_payload: true, ..run.flow };
        NewRun { payload: Json::parse(payload).expect("a document"), request_digest: Some([digest; 32]), flow, ..run }
    }

    async fn answer(&self, run: NewRun, millis: u64) -> Enqueued {
        self.store().enqueue(vec![run], at(millis)).await.expect("enqueues").remove(0)
    }

    fn bounded(&self, name: &str, of_job: Option<u32>, in_all: Option<u32>) -> NewRun {
        let flow = RunFlow { waiting: WaitingBounds { of_job, in_all }, ..RunFlow::default() };
        NewRun { flow, ..self.new_run(name) }
    }
}

fn is_existing(answer: &Enqueued, run: &NewRun) -> bool {
    matches!(answer, Enqueued::Existing(head) if head.id == run.id)
}

fn is_created(answer: &Enqueued) -> bool {
    matches!(answer, Enqueued::Created(_))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("a short span")
}

pub async fn a_key_counts_for_its_window_from_the_enqueue(subject: Subject) {
    let first = subject.unique(HOUR, UniqueStates::All);
    assert!(is_created(&subject.answer(first.clone(), 0).await));
    subject.complete(&subject.claim_one(at(0)).await, at(1)).await;
    let again = || subject.unique(HOUR, UniqueStates::All);
    assert!(is_existing(&subject.answer(again(), millis(HOUR) - 1).await, &first), "in whatever state");
    assert!(is_created(&subject.answer(again(), millis(HOUR)).await));
}

pub async fn a_key_of_unfinished_runs_is_free_once_its_run_is_final(subject: Subject) {
    let run = || subject.unique(HOUR, UniqueStates::Unfinished);
    let first = run();
    assert!(is_created(&subject.answer(first.clone(), 0).await));
    assert!(is_existing(&subject.answer(run(), 1).await, &first), "while it waits");
    let claimed = subject.claim_one(at(1)).await;
    assert!(is_existing(&subject.answer(run(), 2).await, &first), "while it runs");
    let head = subject.end(&claimed, super::subject::transient(), at(2)).await;
    assert_eq!(head.state, RunState::Retryable);
    assert!(is_existing(&subject.answer(run(), 3).await, &first), "while it is tried again");
    let claimed = subject.claim_one(at(9_000)).await;
    subject.end(&claimed, Outcome::failed(FailureKind::Permanent, "no"), at(9_000)).await;
    let second = run();
    assert!(is_created(&subject.answer(second.clone(), 9_001).await));
    assert!(is_existing(&subject.answer(run(), 9_002).await, &second));
}

pub async fn how_far_a_key_reaches_is_kept(subject: Subject) {
    let run = |subject: &Subject| subject.unique(2 * limits::UNIQUE_WINDOW, UniqueStates::All);
    let first = run(&subject);
    assert!(is_created(&subject.answer(first.clone(), 0).await));
    let subject = subject.reopened();
    let end = millis(2 * limits::UNIQUE_WINDOW);
    assert!(is_existing(&subject.answer(run(&subject), end - 1).await, &first));
    assert!(is_created(&subject.answer(run(&subject), end).await));
}

pub async fn another_payload_under_a_requests_key_is_a_conflict(subject: Subject) {
    let first = subject.unique(HOUR, UniqueStates::All);
    assert!(is_created(&subject.answer(first.clone(), 0).await));
    let other = NewRun { request_digest: Some([2; 32]), ..subject.unique(HOUR, UniqueStates::All) };
    assert_eq!(subject.answer(other, 1).await, Enqueued::Conflict(first.id));
}

pub async fn another_payload_with_the_same_value_is_the_same_run(subject: Subject) {
    let first = subject.unique_by_payload("{\"user\":\"ada\",\"n\":1}", 1);
    let second = subject.unique_by_payload("{\"user\":\"ada\",\"n\":2}", 2);
    let both = vec![first.clone(), second];
    let answers = subject.store().enqueue(both, at(0)).await.expect("enqueues");
    assert!(is_created(&answers[0]) && is_existing(&answers[1], &first), "{answers:?}");
    let third = subject.unique_by_payload("{\"user\":\"ada\",\"n\":3}", 3);
    assert!(is_existing(&subject.answer(third, 1).await, &first));
    let kept = subject.query().run(first.id).await.expect("reads").expect("is there");
    assert_eq!(kept.run.payload.as_str(), "{\"user\":\"ada\",\"n\":1}", "the first payload stays");
}

pub async fn an_idempotency_key_is_compared_however_the_run_is_unique(subject: Subject) {
    let keyed = |payload, digest| {
        let run = subject.unique_by_payload(payload, digest);
        NewRun { idempotency_key: Some("request".to_owned()), ..run }
    };
    let first = keyed("{\"n\":1}", 1);
    assert!(is_created(&subject.answer(first.clone(), 0).await));
    assert_eq!(subject.answer(keyed("{\"n\":2}", 2), 1).await, Enqueued::Conflict(first.id));
}

pub async fn an_event_names_the_run_that_it_would_have_started_again(subject: Subject) {
    let first = subject.unique_by_payload("{\"n\":1}", 1);
    assert!(is_created(&subject.answer(first.clone(), 0).await));
    let new = subject.new_run("refund");
    let runs = vec![subject.unique_by_payload("{\"n\":2}", 2), new.clone()];
    let event = NewEvent { runs, ..subject.new_event("e", &[]) };
    let published = subject.store().publish(vec![event.clone()], at(1)).await.expect("publishes").remove(0);
    assert_eq!((published.runs.as_slice(), published.replayed), ([first.id, new.id].as_slice(), false));
    let subject = subject.reopened();
    let again = subject.store().publish(vec![event.clone()], at(2)).await.expect("publishes").remove(0);
    assert_eq!((again.runs, again.replayed), (vec![first.id, new.id], true));
    let kept = subject.query().event(&event.reference.id).await.expect("reads").expect("is known");
    assert_eq!((kept.data, kept.runs), (event.data, vec![first.id, new.id]));
}

pub async fn a_run_is_kept_for_as_long_as_its_key_stands(subject: Subject) {
    let window = 3 * limits::UNIQUE_WINDOW;
    let held = subject.unique(window, UniqueStates::All);
    let unheld = NewRun { unique_key: Some("bob".to_owned()), ..subject.unique(window, UniqueStates::Unfinished) };
    subject.enqueued(vec![held.clone(), unheld.clone()]).await;
    for claimed in subject.claim(2, at(0)).await {
        subject.complete(&claimed, at(1)).await;
    }
    let retention = Retention { completed: Some(Duration::ZERO), ..Retention::default() };
    let prune = async |now| subject.store().prune(retention, at(now)).await.expect("prunes").runs;
    assert_eq!(prune(millis(2 * limits::UNIQUE_WINDOW)).await, 1);
    assert_eq!(subject.query().run(unheld.id).await, Ok(None), "a key of unfinished runs holds nothing");
    assert!(is_existing(&subject.answer(subject.unique(window, UniqueStates::All), millis(window) - 1).await, &held));
    assert_eq!(prune(millis(window)).await, 1);
    assert_eq!(subject.query().run(held.id).await, Ok(None));
}

pub async fn no_more_runs_of_a_job_wait_than_may(subject: Subject) {
    let run = || subject.bounded("welcome", Some(2), None);
    subject.enqueued(vec![run(), run(), subject.bounded("refund", Some(2), None)]).await;
    let crowded = StoreError::Crowded { job: Some(job("welcome")), limit: 2 };
    assert_eq!(subject.store().enqueue(vec![run()], at(0)).await, Err(crowded.clone()));
    assert!(crowded.to_string().contains("2 runs of welcome wait already"), "{crowded}");
    // What has begun waits no longer; what is tried again does.
    let claimed = subject.claim_one(at(0)).await;
    subject.enqueued(vec![run()]).await;
    subject.end(&claimed, super::subject::transient(), at(0)).await;
    assert_eq!(subject.store().enqueue(vec![run()], at(1)).await, Err(crowded));
}

pub async fn no_more_runs_wait_in_all_than_may(subject: Subject) {
    let run = |name| subject.bounded(name, Some(9), Some(3));
    let later = NewRun { scheduled_at: at(9_000), ..run("report") };
    subject.enqueued(vec![run("welcome"), run("refund"), later]).await;
    let crowded = Err(StoreError::Crowded { job: None, limit: 3 });
    assert_eq!(subject.store().enqueue(vec![run("welcome")], at(0)).await, crowded);
    let event = NewEvent { runs: vec![run("refund")], ..subject.new_event("e", &[]) };
    assert_eq!(subject.store().publish(vec![event], at(0)).await.map(|_| ()), crowded.map(|_| ()));
    let unbounded = subject.new_run("welcome");
    subject.enqueued(vec![unbounded]).await;
}

pub async fn a_batch_that_does_not_fit_leaves_nothing(subject: Subject) {
    let run = |name| subject.bounded(name, Some(2), None);
    let batch = vec![run("refund"), run("welcome"), run("welcome"), run("welcome")];
    let crowded = StoreError::Crowded { job: Some(job("welcome")), limit: 2 };
    assert_eq!(subject.store().enqueue(batch, at(0)).await, Err(crowded));
    let counts = subject.query().counts(None, at(0)).await.expect("reads");
    assert_eq!(counts.0.iter().sum::<usize>(), 0);
    subject.enqueued(vec![run("welcome"), run("welcome")]).await;
}

pub async fn a_repeat_is_answered_however_many_wait(subject: Subject) {
    let run = NewRun { unique_key: Some("ada".to_owned()), ..subject.bounded("welcome", Some(1), None) };
    subject.enqueued(vec![run.clone()]).await;
    let again = NewRun { id: subject.new_run("welcome").id, ..run.clone() };
    assert!(is_existing(&subject.answer(again, 1).await, &run));
}

pub async fn concurrent_enqueues_do_not_exceed_the_bound(subject: Subject) {
    let mut tasks = Vec::new();
    for _ in 0..32 {
        let store = std::sync::Arc::clone(&subject.store);
        let run = subject.bounded("welcome", Some(5), None);
        tasks.push(tokio::spawn(async move { store.enqueue(vec![run], at(0)).await }));
    }
    let mut taken = 0;
    for task in tasks {
        taken += usize::from(task.await.expect("ends").is_ok());
    }
    let counts = subject.query().counts(None, at(0)).await.expect("reads");
    assert_eq!((taken, counts.of(RunState::Available)), (5, 5));
}
