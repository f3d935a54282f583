//! Enqueues that come one after the other are one run, which waits until they have been quiet and works on the last.
//! How long that is, each enqueue says.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::time::Duration;

use jobmill_core::journal::{Entry, EntryKind};
use jobmill_core::{EventId, Json, RunHead, RunId, RunState, limits};

use super::Subject;
use super::subject::{at, pointer};
use crate::store::{Enqueued, NewEvent, NewRun, Retention, RunDebounce, RunFlow, WaitingBounds};

/// How long it has to be quiet.
const PERIOD: u64 = 1_000;

impl Subject {
    /// An enqueue at a time, with a payload that has this number in it.
    fn debounced(&self, value: Option<&str>, millis: u64, number: u64) -> NewRun {
        let debounce = RunDebounce { value: value.map(str::to_owned), max_wait: None };
        NewRun {
            payload: Json::of(&number).expect("a document"),
            scheduled_at: at(millis + PERIOD),
            flow: RunFlow { debounce: Some(debounce), ..RunFlow::default() },
            ..self.new_run("welcome")
        }
    }

    async fn send(&self, run: NewRun, millis: u64) -> Enqueued {
        self.store().enqueue(vec![run], at(millis)).await.expect("enqueues").remove(0)
    }

    async fn payload(&self, run: RunId) -> String {
        let record = self.query().run(run).await.expect("reads").expect("is there");
        record.run.payload.as_str().to_owned()
    }
}

fn created(answer: Enqueued) -> RunHead {
    match answer {
        Enqueued::Created(head) => head,
        other => panic!("not created: {other:?}"),
    }
}

fn debounced(answer: Enqueued) -> RunHead {
    match answer {
        Enqueued::Debounced(head) => head,
        other => panic!("not debounced: {other:?}"),
    }
}

fn with_key(run: NewRun, key: &str, digest: u8) -> NewRun {
    NewRun { idempotency_key: Some(key.to_owned()), request_digest: Some([digest; 32]), ..run }
}

pub async fn the_last_payload_of_several_is_worked_on_once(subject: Subject) {
    let first = created(subject.send(subject.debounced(None, 0, 1), 0).await);
    assert_eq!((first.state, first.scheduled_at), (RunState::Scheduled, at(1_000)));
    let second = debounced(subject.send(subject.debounced(None, 600, 2), 600).await);
    assert_eq!((second.id, second.scheduled_at, second.enqueued_at), (first.id, at(1_600), at(0)), "it is put off");
    assert_eq!(subject.claim(9, at(1_599)).await, []);
    let claimed = subject.claim_one(at(1_600)).await;
    assert_eq!((claimed.head.id, claimed.payload.as_str()), (first.id, "2"));
    assert_eq!(subject.claim(9, at(9_000)).await, []);
}

pub async fn each_value_waits_for_itself(subject: Subject) {
    let ada = created(subject.send(subject.debounced(Some("ada"), 0, 1), 0).await).id;
    let bob = created(subject.send(subject.debounced(Some("bob"), 0, 2), 0).await).id;
    let none = created(subject.send(subject.debounced(None, 0, 3), 0).await).id;
    let other_job = NewRun { job: "refund".parse().expect("a job id"), ..subject.debounced(Some("ada"), 0, 4) };
    created(subject.send(other_job, 0).await);
    assert_eq!(debounced(subject.send(subject.debounced(Some("bob"), 1, 5), 1).await).id, bob);
    assert_eq!((subject.payload(ada).await, subject.payload(bob).await), ("1".to_owned(), "5".to_owned()));
    assert_eq!(subject.payload(none).await, "3");
}

pub async fn it_is_put_off_no_longer_than_its_longest_wait(subject: Subject) {
    let restless = |millis, number| {
        let run = subject.debounced(None, millis, number);
        let debounce = RunDebounce { value: None, max_wait: Some(Duration::from_millis(1_500)) };
        NewRun { flow: RunFlow { debounce: Some(debounce), ..RunFlow::default() }, ..run }
    };
    created(subject.send(restless(0, 1), 0).await);
    assert_eq!(debounced(subject.send(restless(400, 2), 400).await).scheduled_at, at(1_400));
    assert_eq!(debounced(subject.send(restless(800, 3), 800).await).scheduled_at, at(1_500));
    assert_eq!(debounced(subject.send(restless(1_400, 4), 1_400).await).scheduled_at, at(1_500));
    assert_eq!(subject.claim_one(at(1_500)).await.payload.as_str(), "4");
}

pub async fn what_has_begun_is_not_replaced(subject: Subject) {
    let first = created(subject.send(subject.debounced(None, 0, 1), 0).await);
    let claimed = subject.claim_one(at(1_000)).await;
    let second = created(subject.send(subject.debounced(None, 1_001, 2), 1_001).await);
    assert_ne!(second.id, first.id);
    subject.end(&claimed, super::subject::transient(), at(1_002)).await;
    let third = debounced(subject.send(subject.debounced(None, 1_003, 3), 1_003).await);
    assert_eq!(third.id, second.id, "nor is what is tried again");
    assert_eq!((subject.payload(first.id).await, subject.payload(second.id).await), ("1".to_owned(), "3".to_owned()));
}

pub async fn what_was_cancelled_is_not_replaced(subject: Subject) {
    let first = created(subject.send(subject.debounced(None, 0, 1), 0).await);
    subject.store().cancel(first.id, "no".to_owned(), at(1)).await.expect("cancels");
    assert_ne!(created(subject.send(subject.debounced(None, 2, 2), 2).await).id, first.id);
}

pub async fn the_limits_keys_of_the_last_payload_count(subject: Subject) {
    let keyed = |millis, user: &str| {
        let keys = subject.with_keys("welcome", &[("/user", user)]).flow.keys;
        let run = subject.debounced(None, millis, 1);
        NewRun { flow: RunFlow { keys, ..run.flow.clone() }, ..run }
    };
    let first = created(subject.send(keyed(0, "ada"), 0).await);
    assert_eq!(debounced(subject.send(keyed(1, "bob"), 1).await).id, first.id);
    let limit = jobmill_core::flow::Concurrency { limit: 1, key: Some(pointer("/user")) };
    let rules = super::subject::rules_of("welcome", |rules| rules.concurrency = vec![limit]);
    let bob = subject.enqueued(vec![subject.with_keys("welcome", &[("/user", "bob")])]).await;
    assert_eq!(subject.claim_under(&rules, 9, at(0)).await, bob);
    assert_eq!(subject.claim_under(&rules, 9, at(5_000)).await, [], "bob has one under way");
}

pub async fn every_request_is_answered_with_the_run_that_took_it_in(subject: Subject) {
    let request = |subject: &Subject, number: u8| {
        let run = subject.debounced(None, u64::from(number), u64::from(number));
        with_key(run, &format!("request {number}"), number)
    };
    let first = created(subject.send(request(&subject, 1), 1).await);
    for number in 2..5 {
        assert_eq!(debounced(subject.send(request(&subject, number), u64::from(number)).await).id, first.id);
    }
    let repeats = async |subject: &Subject| {
        for number in 1..5 {
            let answer = subject.send(request(subject, number), 9).await;
            assert!(matches!(&answer, Enqueued::Existing(head) if head.id == first.id), "{number}: {answer:?}");
            let other = with_key(request(subject, number), &format!("request {number}"), 99);
            assert_eq!(subject.send(other, 9).await, Enqueued::Conflict(first.id), "{number}");
        }
        assert_eq!(subject.payload(first.id).await, "4", "a repeat replaces nothing");
    };
    repeats(&subject).await;
    let subject = subject.reopened();
    repeats(&subject).await;
    subject.complete(&subject.claim_one(at(2_000)).await, at(2_000)).await;
    repeats(&subject.reopened()).await;
}

pub async fn a_payload_that_is_taken_in_takes_no_room_of_those_that_may_wait(subject: Subject) {
    let bounded = |millis, number| {
        let run = subject.debounced(None, millis, number);
        let waiting = WaitingBounds { of_job: Some(1), in_all: Some(1) };
        NewRun { flow: RunFlow { waiting, ..run.flow.clone() }, ..run }
    };
    let first = created(subject.send(bounded(0, 1), 0).await);
    assert_eq!(debounced(subject.send(bounded(1, 2), 1).await).id, first.id);
}

pub async fn the_key_of_a_late_request_stands_from_that_request_on(subject: Subject) {
    let day = 24 * 60 * 60 * 1_000;
    let first = created(subject.send(with_key(subject.debounced(None, 0, 0), "early", 1), 0).await);
    let late = with_key(subject.debounced(None, day - 1, 1), "late", 2);
    debounced(subject.send(late.clone(), day - 1).await);
    subject.complete(&subject.claim_one(at(2 * day - 2)).await, at(2 * day - 2)).await;
    let repeat = NewRun { id: subject.new_run("report").id, ..late };
    assert_eq!(super::enqueues::existing(&subject.send(repeat, 2 * day - 2).await), first.id);
}

pub async fn its_journal_does_not_grow(subject: Subject) {
    let first = created(subject.send(subject.debounced(None, 0, 0), 0).await);
    for number in 1..200 {
        let run = with_key(subject.debounced(None, number, number), &format!("request {number}"), 1);
        debounced(subject.send(run, number).await);
    }
    let journal = subject.journal(first.id).await;
    let [Entry { kind: EntryKind::Enqueued(enqueued), .. }] = &*journal else { panic!("one enqueue") };
    let terms = enqueued.terms.as_ref().and_then(|terms| terms.debounce.as_ref()).expect("is debounced");
    assert_eq!(terms.earlier.len(), limits::DEBOUNCED_KEYS);
    assert_eq!(terms.earlier.last().map(|earlier| earlier.key.as_str()), Some("request 199"), "the newest are kept");
    let counts = subject.query().counts(None, at(0)).await.expect("reads");
    assert_eq!(counts.of(RunState::Scheduled), 1);
}

pub async fn a_batch_is_debounced_as_if_it_came_one_by_one(subject: Subject) {
    let batch = vec![
        with_key(subject.debounced(None, 0, 1), "a", 1),
        with_key(subject.debounced(Some("ada"), 0, 2), "b", 2),
        with_key(subject.debounced(None, 5, 3), "c", 3),
    ];
    let answers = subject.store().enqueue(batch, at(5)).await.expect("enqueues");
    let [one, ada, again] = <[Enqueued; 3]>::try_from(answers).expect("three");
    let (one, ada, again) = (created(one), created(ada), debounced(again));
    assert!(again.id == one.id && ada.id != one.id);
    assert_eq!((subject.payload(one.id).await, subject.payload(ada.id).await), ("3".to_owned(), "2".to_owned()));
    let repeat = with_key(subject.debounced(None, 0, 1), "a", 1);
    assert!(matches!(subject.send(repeat, 6).await, Enqueued::Existing(head) if head.id == one.id));
}

pub async fn a_debounced_run_waits_on_after_a_restart(subject: Subject) {
    let first = created(subject.send(subject.debounced(Some("ada"), 0, 1), 0).await);
    let subject = subject.reopened();
    assert_eq!(debounced(subject.send(subject.debounced(Some("ada"), 10, 2), 10).await).id, first.id);
    let subject = subject.reopened();
    assert_eq!((subject.payload(first.id).await.as_str(), subject.journal(first.id).await.len()), ("2", 1));
    assert_eq!(subject.claim(9, at(1_009)).await, []);
    assert_eq!(subject.claim_one(at(1_010)).await.payload.as_str(), "2");
}

pub async fn every_event_is_known_and_names_the_run_that_took_it_in(subject: Subject) {
    let event = |id: &str, millis: u64, number: u64| {
        let run = subject.debounced(None, millis, number);
        NewEvent { data: run.payload.clone(), runs: vec![run], ..subject.new_event(id, &[]) }
    };
    let store = subject.store();
    let first = event("first", 0, 1);
    let run = first.runs[0].id;
    let batch = vec![first, event("second", 0, 2)];
    for published in store.publish(batch, at(0)).await.expect("publishes") {
        assert_eq!((published.runs, published.replayed), (vec![run], false));
    }
    let third = store.publish(vec![event("third", 10, 3)], at(10)).await.expect("publishes");
    assert_eq!((third[0].runs.as_slice(), third[0].replayed), ([run].as_slice(), false));
    let again = store.publish(vec![event("first", 20, 9)], at(20)).await.expect("publishes");
    assert_eq!((again[0].runs.as_slice(), again[0].replayed), ([run].as_slice(), true));
    assert_eq!(subject.payload(run).await, "3", "a repeated event replaces nothing");
    let subject = subject.reopened();
    for (id, data) in [("first", "1"), ("second", "2"), ("third", "3")] {
        let id: EventId = id.parse().expect("an event id");
        let kept = subject.query().event(&id).await.expect("reads").expect("is known");
        assert_eq!((kept.data.as_str(), kept.runs), (data, vec![run]));
    }
}

pub async fn an_event_is_known_for_as_long_as_the_run_that_took_it_in(subject: Subject) {
    let run = subject.debounced(None, 0, 1);
    let event = NewEvent { data: run.payload.clone(), runs: vec![run], ..subject.new_event("first", &[]) };
    subject.store().publish(vec![event], at(0)).await.expect("publishes");
    let retention = Retention { completed: Some(Duration::from_hours(24)), ..Retention::default() };
    let later = at(1_000).after(Duration::from_hours(24));
    let prune = async || {
        let pruned = subject.store().prune(retention, later).await.expect("prunes");
        (pruned.runs, pruned.events)
    };
    assert_eq!(prune().await, (0, 0), "its run still waits");
    subject.complete(&subject.claim_one(at(1_000)).await, at(1_000)).await;
    assert_eq!(prune().await, (1, 0));
    assert_eq!(prune().await, (0, 1));
    let id: EventId = "first".parse().expect("an event id");
    assert_eq!(subject.query().event(&id).await, Ok(None));
    assert_eq!(subject.reopened().query().event(&id).await, Ok(None));
}
