//! What an attempt may write, for as long as it holds its lease, and what becomes of it when the engine dies.
//! Outcomes are decided by `core::transition`; here they only have to be kept.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::journal::{EntryKind, Memory, RememberedChange};
use jobmill_core::mail::MailStatus;
use jobmill_core::order::{OrderError, OrderPatch, OrderStatus};
use jobmill_core::{FailureKind, Json, Outcome, RunId, RunState, limits};

use super::Subject;
use super::subject::{at, finished, order, order_updated, settled, step, to_status, transient};
use crate::query::RunFilter;
use crate::store::{LeaseReference, RecordError};

pub async fn steps_and_effects_survive_to_the_next_attempt(subject: Subject) {
    let store = subject.store();
    store.put_order(order("order_1", OrderStatus::Paid)).await.expect("puts");
    let claimed = subject.running("welcome").await;
    let (key, mail) = subject.mail("welcome", "ada@example.com");
    let lease = claimed.lease();
    store.record(lease, vec![step("one")], at(1)).await.expect("records");
    store
        .record(lease, vec![EntryKind::MailIntended { key: key.clone(), mail: mail.clone() }], at(2))
        .await
        .expect("ok");
    store.record(lease, vec![settled(&key, MailStatus::Sent), step("two")], at(3)).await.expect("records");
    let end =
        vec![order_updated("order_1", &to_status(OrderStatus::Fulfilled)), finished(&claimed.head, transient(), at(4))];
    store.finish(lease, end, Vec::new(), at(4)).await.expect("finishes");
    let again = subject.claim_one(at(5_000)).await;
    let memory = Memory::of(&again.journal);
    assert_eq!(memory.steps.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(memory.mails[&key].status, MailStatus::Sent);
    assert_eq!(memory.mails[&key].mail, mail);
    assert_eq!(memory.orders.values().collect::<Vec<_>>(), [&RememberedChange::Made]);
    assert_eq!(again.journal.last().map(|entry| entry.at), Some(at(5_000)));
}

pub async fn a_stale_lease_writes_nothing(subject: Subject) {
    let store = subject.store();
    let first = subject.running("welcome").await;
    let run = first.head.id;
    subject.end(&first, Outcome::Interrupted, at(1)).await;
    let second = subject.claim_one(at(2)).await;
    let before = subject.journal(run).await;
    let lost = Err(RecordError::LeaseLost(run));
    assert_eq!(store.record(first.lease(), vec![step("late")], at(3)).await, lost);
    let end = vec![finished(&first.head, Outcome::Completed { output: None }, at(3))];
    assert_eq!(store.finish(first.lease(), end.clone(), Vec::new(), at(3)).await, Err(RecordError::LeaseLost(run)));
    let ahead = LeaseReference { run, token: second.head.lease + 1 };
    assert_eq!(store.finish(ahead, end, Vec::new(), at(3)).await, Err(RecordError::LeaseLost(run)));
    assert_eq!(subject.journal(run).await, before);
    assert_eq!(store.record(second.lease(), vec![step("in time")], at(4)).await, Ok(()));
}

pub async fn a_lease_ends_with_its_attempt(subject: Subject) {
    let store = subject.store();
    let claimed = subject.running("welcome").await;
    let run = claimed.head.id;
    subject.end(&claimed, Outcome::Completed { output: Some(Json::empty_object()) }, at(1)).await;
    let end = vec![finished(&claimed.head, transient(), at(2))];
    assert_eq!(store.finish(claimed.lease(), end, Vec::new(), at(2)).await, Err(RecordError::LeaseLost(run)));
    let record = subject.query().run(run).await.expect("reads").expect("is there");
    assert_eq!((record.run.head.state, record.run.head.finished_at), (RunState::Completed, Some(at(1))));
    assert_eq!(record.run.output, Some(Json::empty_object()));
}

pub async fn an_unknown_run_has_no_lease(subject: Subject) {
    let run = RunId::from_bytes([9; 16]);
    let lease = LeaseReference { run, token: 1 };
    assert_eq!(subject.store().record(lease, vec![step("one")], at(0)).await, Err(RecordError::LeaseLost(run)));
    assert_eq!(subject.query().run(run).await, Ok(None));
}

pub async fn order_changes_are_committed_with_the_end_of_the_attempt(subject: Subject) {
    let store = subject.store();
    let put = store.put_order(order("order_1", OrderStatus::Paid)).await.expect("puts");
    assert_eq!(put.revision, 1);
    let claimed = subject.running("welcome").await;
    let end = vec![
        order_updated("order_1", &to_status(OrderStatus::Fulfilled)),
        finished(&claimed.head, Outcome::Completed { output: None }, at(5)),
    ];
    store.finish(claimed.lease(), end, Vec::new(), at(5)).await.expect("finishes");
    let order = subject.order("order_1").await;
    assert_eq!((order.status, order.fulfilled_at, order.revision), (OrderStatus::Fulfilled, Some(at(5)), 2));
}

pub async fn order_changes_apply_to_the_newest_revision(subject: Subject) {
    let store = subject.store();
    store.put_order(order("order_1", OrderStatus::Paid)).await.expect("puts");
    let runs = (0..8).map(|_| subject.new_run("welcome")).collect();
    subject.enqueue(runs, at(0)).await;
    let mut tasks = Vec::new();
    for (number, claimed) in subject.claim(8, at(0)).await.into_iter().enumerate() {
        let metadata = Json::parse(&format!("{{\"run {number}\":true}}")).expect("a document");
        let patch = OrderPatch { metadata: Some(metadata), ..OrderPatch::default() };
        let end = finished(&claimed.head, Outcome::Completed { output: None }, at(5));
        let entries = vec![order_updated("order_1", &patch), end];
        let store = std::sync::Arc::clone(&subject.store);
        tasks.push(tokio::spawn(async move { store.finish(claimed.lease(), entries, Vec::new(), at(5)).await }));
    }
    for task in tasks {
        task.await.expect("ends").expect("finishes");
    }
    let order = subject.order("order_1").await;
    let metadata = order.metadata.to_value().expect("a document");
    assert_eq!((order.revision, metadata.as_object().into_iter().flatten().count()), (9, 8));
}

pub async fn an_order_change_that_is_no_longer_allowed_writes_nothing(subject: Subject) {
    let store = subject.store();
    store.put_order(order("order_1", OrderStatus::Refunded)).await.expect("puts");
    store.put_order(order("order_2", OrderStatus::Paid)).await.expect("puts");
    let claimed = subject.running("welcome").await;
    let before = subject.journal(claimed.head.id).await;
    let fulfilled = to_status(OrderStatus::Fulfilled);
    let outdated = OrderPatch { expected_revision: Some(7), ..OrderPatch::default() };
    let refused = [
        order_updated("order_1", &fulfilled),
        order_updated("order_9", &fulfilled),
        order_updated("order_2", &outdated),
    ];
    for change in refused {
        let allowed = order_updated("order_2", &fulfilled);
        let end = finished(&claimed.head, Outcome::Completed { output: None }, at(5));
        let written = store.finish(claimed.lease(), vec![allowed, change, end], Vec::new(), at(5)).await;
        let Err(RecordError::Order(error)) = written else { panic!("not refused: {written:?}") };
        match error {
            OrderError::InvalidTransition(text) => assert!(text.contains("order_1"), "{text}"),
            OrderError::NotFound(id) => assert_eq!(id, "order_9"),
            OrderError::RevisionConflict(revision) => assert_eq!(revision, 2),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(subject.journal(claimed.head.id).await, before);
    assert_eq!(subject.order("order_2").await.status, OrderStatus::Paid);
    // The lease is still there, to end the attempt in another way.
    assert_eq!(subject.end(&claimed, transient(), at(6)).await.state, RunState::Retryable);
}

pub async fn an_order_change_without_effect_keeps_the_revision(subject: Subject) {
    let store = subject.store();
    store.put_order(order("order_1", OrderStatus::Fulfilled)).await.expect("puts");
    let before = subject.order("order_1").await;
    let claimed = subject.running("welcome").await;
    let end = vec![
        order_updated("order_1", &to_status(OrderStatus::Fulfilled)),
        finished(&claimed.head, Outcome::Completed { output: None }, at(5)),
    ];
    store.finish(claimed.lease(), end, Vec::new(), at(5)).await.expect("finishes");
    assert_eq!(subject.order("order_1").await, before);
}

pub async fn a_full_journal_takes_the_end_of_an_attempt_and_nothing_else(subject: Subject) {
    let store = subject.store();
    let claimed = subject.running("welcome").await;
    let steps = |count: usize| (0..count).map(|number| step(&format!("step {number}"))).collect::<Vec<_>>();
    let free = limits::JOURNAL_ENTRIES - 2;
    assert_eq!(store.record(claimed.lease(), steps(free + 1), at(1)).await, Err(RecordError::JournalFull));
    assert_eq!(store.record(claimed.lease(), steps(free), at(1)).await, Ok(()));
    assert_eq!(store.record(claimed.lease(), steps(1), at(1)).await, Err(RecordError::JournalFull));
    let head = subject.end(&claimed, Outcome::Completed { output: None }, at(2)).await;
    assert_eq!(head.state, RunState::Completed);
    assert_eq!(subject.journal(claimed.head.id).await.len(), limits::JOURNAL_ENTRIES + 1);
}

pub async fn a_rescued_attempt_counts(subject: Subject) {
    let claimed = subject.running("welcome").await;
    let run = claimed.head.id;
    assert_eq!(subject.store().rescue(at(50)).await, Ok(vec![run]));
    let record = subject.query().run(run).await.expect("reads").expect("is there");
    assert_eq!((record.run.head.state, record.run.head.attempt), (RunState::Available, 1));
    let error = record.run.attempts[0].error.clone().expect("an error");
    assert_eq!((error.kind, record.run.attempts[0].finished_at), (FailureKind::Host, Some(at(50))));
    assert_eq!(
        subject.store().record(claimed.lease(), vec![step("late")], at(51)).await,
        Err(RecordError::LeaseLost(run))
    );
    let again = subject.claim_one(at(51)).await;
    assert_eq!((again.head.attempt, again.head.lease), (2, 2));
    assert_eq!(subject.store().rescue(at(52)).await, Ok(vec![run]));
    assert_eq!(subject.store().rescue(at(53)).await, Ok(Vec::new()));
}

pub async fn a_rescue_ends_dead_when_the_retries_are_spent(subject: Subject) {
    let run = subject.running("welcome").await.head.id;
    subject.store().rescue(at(1)).await.expect("rescues");
    subject.claim_one(at(2)).await;
    subject.store().rescue(at(3)).await.expect("rescues");
    let head = subject.head(run).await;
    assert_eq!((head.state, head.attempt, head.finished_at), (RunState::Dead, 2, Some(at(3))));
    assert_eq!(head.error.map(|error| error.kind), Some(FailureKind::Host));
    assert_eq!(subject.claim(9, at(9)).await, Vec::new());
}

pub async fn a_rescue_touches_only_what_runs(subject: Subject) {
    let mut others = vec![subject.completed("welcome").await, subject.dead("welcome", "no", at(1)).await];
    let running = subject.running("welcome").await.head.id;
    others.push(subject.waiting("welcome").await);
    let mut before = Vec::new();
    for run in &others {
        before.push(subject.journal(*run).await);
    }
    assert_eq!(subject.store().rescue(at(5)).await, Ok(vec![running]));
    for (run, journal) in others.iter().zip(before) {
        assert_eq!(subject.journal(*run).await, journal);
    }
}

pub async fn an_attempt_that_ends_while_it_is_cancelled_ends_once(subject: Subject) {
    let runs = (0..16).map(|_| subject.new_run("welcome")).collect();
    subject.enqueue(runs, at(0)).await;
    let mut tasks = Vec::new();
    for claimed in subject.claim(16, at(0)).await {
        let (cancelling, ending) = (std::sync::Arc::clone(&subject.store), std::sync::Arc::clone(&subject.store));
        let run = claimed.head.id;
        let entries = vec![finished(&claimed.head, Outcome::Completed { output: None }, at(5))];
        tasks.push(tokio::spawn(async move { cancelling.cancel(run, "no".to_owned(), at(5)).await.map(drop) }));
        let ended = async move { ending.finish(claimed.lease(), entries, Vec::new(), at(5)).await };
        tasks.push(tokio::spawn(async move { ended.await.map(drop).map_err(|error| panic!("{error}")) }));
    }
    for task in tasks {
        task.await.expect("ends").expect("answers");
    }
    let ends = |kind: &EntryKind| matches!(kind, EntryKind::Finished(_));
    for run in subject.query().runs(&RunFilter::default(), None, 100, at(9)).await.expect("reads").items {
        assert_eq!(run.head.state, RunState::Completed);
        assert_eq!(subject.journal(run.head.id).await.iter().filter(|entry| ends(&entry.kind)).count(), 1);
    }
}
