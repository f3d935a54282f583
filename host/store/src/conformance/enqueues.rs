//! What an enqueue keeps, and when a second one is the first again.
//! Requests and schemas are the engine's; the store compares digests.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::time::Duration;

use jobmill_core::journal::EntryKind;
use jobmill_core::{Json, RunId, RunState, limits};

use super::Subject;
use super::subject::at;
use crate::query::RunFilter;
use crate::store::{Enqueued, NewRun};

const DIGEST: Option<[u8; 32]> = Some([1; 32]);
const OTHER_DIGEST: Option<[u8; 32]> = Some([2; 32]);

impl Subject {
    fn keyed(&self, job: &str, key: &str) -> NewRun {
        NewRun { unique_key: Some(key.to_owned()), request_digest: DIGEST, ..self.new_run(job) }
    }

    fn idempotent(&self, job: &str, key: &str) -> NewRun {
        NewRun { idempotency_key: Some(key.to_owned()), request_digest: DIGEST, ..self.new_run(job) }
    }

    async fn runs(&self) -> usize {
        let page = self.query().runs(&RunFilter::default(), None, 100, at(0)).await.expect("reads");
        page.items.len()
    }
}

fn created(answer: &Enqueued) -> RunId {
    match answer {
        Enqueued::Created(head) => head.id,
        other => panic!("not created: {other:?}"),
    }
}

pub(super) fn existing(answer: &Enqueued) -> RunId {
    match answer {
        Enqueued::Existing(head) => head.id,
        other => panic!("not existing: {other:?}"),
    }
}

pub async fn an_enqueued_run_is_kept_as_it_was_sent(subject: Subject) {
    let first = subject.waiting("refund").await;
    let run = NewRun {
        queue: "slow".to_owned(),
        priority: 3,
        payload: Json::parse("{ \"amount\":1.00,\t\"text\":\"\\u0000ü\" }").expect("a document"),
        max_attempts: 7,
        tags: vec!["a".to_owned(), "b".to_owned()],
        unique_key: Some("unique".to_owned()),
        idempotency_key: Some("key".to_owned()),
        request_digest: DIGEST,
        rerun_of: Some(first),
        ..subject.new_run("welcome")
    };
    let answered = subject.enqueue(vec![run.clone()], at(4)).await.pop().expect("an answer");
    let record = subject.query().run(run.id).await.expect("reads").expect("is there");
    assert_eq!(record.run.head, answered);
    assert_eq!(record.run.payload.as_str(), run.payload.as_str());
    let head = &record.run.head;
    assert_eq!((head.id, &head.job, &*head.queue, head.priority), (run.id, &run.job, "slow", 3));
    assert_eq!((head.state, head.attempt, head.max_attempts), (RunState::Available, 0, 7));
    assert_eq!((head.enqueued_at, head.scheduled_at), (at(4), at(0)));
    assert_eq!((&*head.tags, head.unique_key.as_deref()), (run.tags.as_slice(), Some("unique")));
    assert_eq!(head.rerun_of, Some(first));
    let [entry] = record.journal.as_slice() else { panic!("one entry") };
    assert!(matches!(&entry.kind, EntryKind::Enqueued(enqueued) if enqueued.idempotency_key.as_deref() == Some("key")));
}

pub async fn a_batch_is_answered_in_its_order(subject: Subject) {
    let mut runs: Vec<_> = (0..5).map(|_| subject.new_run("welcome")).collect();
    runs.reverse();
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    let answered: Vec<_> = subject.enqueue(runs, at(0)).await.into_iter().map(|head| head.id).collect();
    assert_eq!(answered, ids);
    assert_eq!(subject.query().run(RunId::from_bytes([9; 16])).await, Ok(None));
}

pub async fn a_run_is_due_when_it_says(subject: Subject) {
    let later = NewRun { scheduled_at: at(1_000), ..subject.new_run("welcome") };
    let head = subject.enqueue(vec![later], at(0)).await.pop().expect("an answer");
    assert_eq!(head.state, RunState::Scheduled);
    assert_eq!(head.state_at(at(999)), RunState::Scheduled);
    assert_eq!(head.state_at(at(1_000)), RunState::Available);
}

pub async fn a_unique_key_names_its_first_run(subject: Subject) {
    let store = subject.store();
    let first = store.enqueue(vec![subject.keyed("welcome", "ada")], at(0)).await.expect("enqueues");
    let again = store.enqueue(vec![subject.keyed("welcome", "ada")], at(5)).await.expect("enqueues");
    assert_eq!(existing(&again[0]), created(&first[0]));
    // It counts within its job, and apart from idempotency keys.
    let elsewhere = vec![subject.keyed("refund", "ada"), subject.idempotent("welcome", "ada")];
    for answer in store.enqueue(elsewhere, at(5)).await.expect("enqueues") {
        assert_ne!(created(&answer), created(&first[0]));
    }
    // The first run is named however it stands.
    store.cancel(created(&first[0]), "no".to_owned(), at(6)).await.expect("cancels");
    let again = store.enqueue(vec![subject.keyed("welcome", "ada")], at(7)).await.expect("enqueues");
    assert!(matches!(&again[0], Enqueued::Existing(head) if head.state == RunState::Cancelled));
}

pub async fn an_idempotency_key_counts_for_every_job(subject: Subject) {
    let store = subject.store();
    let first = store.enqueue(vec![subject.idempotent("welcome", "k")], at(0)).await.expect("enqueues");
    let again = store.enqueue(vec![subject.idempotent("refund", "k")], at(5)).await.expect("enqueues");
    assert_eq!(existing(&again[0]), created(&first[0]));
}

pub async fn a_key_with_another_request_is_a_conflict(subject: Subject) {
    let store = subject.store();
    let first = store.enqueue(vec![subject.keyed("welcome", "ada")], at(0)).await.expect("enqueues");
    let first = created(&first[0]);
    let other = NewRun { request_digest: OTHER_DIGEST, ..subject.keyed("welcome", "ada") };
    assert_eq!(store.enqueue(vec![other], at(1)).await, Ok(vec![Enqueued::Conflict(first)]));
    // One key that fits does not excuse the other.
    let second = subject.idempotent("welcome", "k");
    let second = NewRun { request_digest: OTHER_DIGEST, ..second };
    created(&store.enqueue(vec![second.clone()], at(1)).await.expect("enqueues")[0]);
    let mixed = NewRun { idempotency_key: Some("k".to_owned()), ..subject.keyed("welcome", "ada") };
    assert_eq!(store.enqueue(vec![mixed], at(1)).await, Ok(vec![Enqueued::Conflict(second.id)]));
    assert_eq!(subject.runs().await, 2);
}

pub async fn a_conflict_refuses_the_whole_batch(subject: Subject) {
    let store = subject.store();
    let first = created(&store.enqueue(vec![subject.keyed("welcome", "ada")], at(0)).await.expect("enqueues")[0]);
    let other = NewRun { request_digest: OTHER_DIGEST, ..subject.keyed("welcome", "ada") };
    let batch = vec![subject.keyed("welcome", "bob"), other, subject.keyed("welcome", "ada")];
    let answers = store.enqueue(batch, at(1)).await.expect("answers");
    assert_eq!(answers[0], Enqueued::Conflict(first));
    assert_eq!(answers[1], Enqueued::Conflict(first));
    assert_eq!(existing(&answers[2]), first);
    assert_eq!(subject.runs().await, 1);
    // Nor is a key of it taken.
    created(&store.enqueue(vec![subject.keyed("welcome", "bob")], at(2)).await.expect("enqueues")[0]);
}

pub async fn a_key_is_free_again_after_its_window(subject: Subject) {
    let store = subject.store();
    let both = || NewRun { idempotency_key: Some("k".to_owned()), ..subject.keyed("welcome", "ada") };
    let first = created(&store.enqueue(vec![both()], at(0)).await.expect("enqueues")[0]);
    let end = at(0).after(limits::UNIQUE_WINDOW);
    let just_before = at(0).after(limits::UNIQUE_WINDOW.checked_sub(Duration::from_millis(1)).expect("a day"));
    assert_eq!(existing(&store.enqueue(vec![both()], just_before).await.expect("enqueues")[0]), first);
    let second = created(&store.enqueue(vec![both()], end).await.expect("enqueues")[0]);
    assert_ne!(second, first);
    assert_eq!(existing(&store.enqueue(vec![both()], end).await.expect("enqueues")[0]), second);
}

pub async fn repeats_within_a_batch_are_one_run(subject: Subject) {
    let batch = vec![subject.keyed("welcome", "ada"), subject.keyed("welcome", "bob"), subject.keyed("welcome", "ada")];
    let answers = subject.store().enqueue(batch, at(0)).await.expect("enqueues");
    assert_eq!(existing(&answers[2]), created(&answers[0]));
    assert_ne!(created(&answers[1]), created(&answers[0]));
    assert_eq!(subject.runs().await, 2);
}

pub async fn a_key_of_a_repeated_request_names_only_runs_that_exist(subject: Subject) {
    let store = subject.store();
    let first = created(&store.enqueue(vec![subject.keyed("welcome", "ada")], at(0)).await.expect("enqueues")[0]);
    // The first of these is the run that is there, so its other key is not taken by anything.
    let repeat = NewRun { idempotency_key: Some("k".to_owned()), ..subject.keyed("welcome", "ada") };
    let batch = vec![repeat, subject.keyed("welcome", "ada"), subject.idempotent("welcome", "k")];
    let answers = store.enqueue(batch, at(1)).await.expect("enqueues");
    assert_eq!((existing(&answers[0]), existing(&answers[1])), (first, first));
    assert_ne!(created(&answers[2]), first);
}

pub async fn a_known_id_is_not_begun_again(subject: Subject) {
    let store = subject.store();
    let run = subject.new_run("welcome");
    let twice = vec![run.clone(), run.clone()];
    let answers = store.enqueue(twice, at(0)).await.expect("enqueues");
    assert_eq!((created(&answers[0]), existing(&answers[1])), (run.id, run.id));
    subject.claim_one(at(0)).await;
    let answers = store.enqueue(vec![run.clone()], at(9)).await.expect("enqueues");
    assert!(matches!(&answers[0], Enqueued::Existing(head) if head.state == RunState::Running));
    assert_eq!(subject.journal(run.id).await.len(), 2);
}

pub async fn concurrent_enqueues_under_one_key_make_one_run(subject: Subject) {
    let mut tasks = Vec::new();
    for _ in 0..32 {
        let store = std::sync::Arc::clone(&subject.store);
        let run = subject.keyed("welcome", "ada");
        tasks.push(tokio::spawn(async move { store.enqueue(vec![run], at(0)).await }));
    }
    let mut news = 0;
    let mut named = std::collections::BTreeSet::new();
    for task in tasks {
        match task.await.expect("ends").expect("enqueues").pop() {
            Some(Enqueued::Created(head)) => {
                news += 1;
                named.insert(head.id);
            }
            Some(Enqueued::Existing(head)) => drop(named.insert(head.id)),
            other => panic!("no run: {other:?}"),
        }
    }
    assert_eq!((news, named.len(), subject.runs().await), (1, 1, 1));
}
