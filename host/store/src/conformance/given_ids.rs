//! The ids that publishers give their events: how long each is remembered, and what other names under one id start.
//! It makes no ids; whoever publishes gives them.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::journal::EventReference;
use jobmill_core::{EventId, Json, RunId, Timestamp};

use super::Subject;
use super::subject::{ID_WINDOW, at};
use crate::query::RunFilter;
use crate::store::{NewEvent, Published, Retention};

impl Subject {
    fn under_name(&self, id: &str, name: &str, jobs: &[&str]) -> NewEvent {
        let event = self.new_event(id, jobs);
        NewEvent { reference: EventReference { name: name.into(), ..event.reference.clone() }, ..event }
    }

    async fn publish_one(&self, event: &NewEvent, now: Timestamp) -> Published {
        let mut answers = self.store().publish(vec![event.clone()], now).await.expect("publishes");
        answers.pop().expect("an answer")
    }

    async fn all_runs(&self) -> Vec<RunId> {
        let page = self.query().runs(&RunFilter::default(), None, 100, at(0)).await.expect("reads");
        page.items.into_iter().rev().map(|run| run.head.id).collect()
    }

    async fn newest(&self, id: &str) -> EventReference {
        let id: EventId = id.parse().expect("an event id");
        self.query().event(&id).await.expect("reads").expect("is there").reference
    }
}

fn ids(event: &NewEvent) -> Vec<RunId> {
    event.runs.iter().map(|run| run.id).collect()
}

pub async fn an_id_is_new_again_after_its_window(subject: Subject) {
    let first = subject.new_event("order-42", &["welcome"]);
    subject.publish_one(&first, at(0)).await;
    let last = u64::try_from(ID_WINDOW.as_millis()).expect("a minute");
    let repeat = subject.publish_one(&subject.new_event("order-42", &["welcome"]), at(last - 1)).await;
    assert_eq!((repeat.key, repeat.replayed, repeat.runs), (first.reference.key, true, ids(&first)));
    let again = subject.new_event("order-42", &["welcome"]);
    let new = subject.publish_one(&again, at(last)).await;
    assert_eq!((new.key, new.replayed, new.runs), (again.reference.key, false, ids(&again)));
    // From then on it is the newer one that is repeated, also after a restart.
    let subject = subject.reopened();
    let repeat = subject.publish_one(&subject.new_event("order-42", &["welcome"]), at(2 * last - 1)).await;
    assert_eq!((repeat.key, repeat.replayed, repeat.runs), (again.reference.key, true, ids(&again)));
    assert_eq!(subject.newest("order-42").await, again.reference);
    let kept = subject.query().event_by_key(first.reference.key).await.expect("reads").expect("is there");
    assert_eq!((kept.reference, kept.runs), (first.reference.clone(), ids(&first)));
    assert_eq!(subject.all_runs().await, [ids(&first), ids(&again)].concat());
}

pub async fn a_clock_set_back_keeps_an_id(subject: Subject) {
    let first = subject.new_event("order-42", &["welcome"]);
    subject.publish_one(&first, at(600_000)).await;
    let repeat = subject.publish_one(&subject.new_event("order-42", &["welcome"]), at(0)).await;
    assert_eq!((repeat.key, repeat.replayed), (first.reference.key, true));
}

pub async fn the_same_id_under_another_name_starts_each_job_once(subject: Subject) {
    let paid = subject.under_name("order-42", "order/paid", &["welcome", "refund"]);
    let shipped = subject.under_name("order-42", "order/shipped", &["refund", "report"]);
    subject.publish_one(&paid, at(0)).await;
    let answer = subject.publish_one(&shipped, at(5)).await;
    let (relative, own) = (paid.runs[1].id, shipped.runs[1].id);
    assert_eq!((answer.key, answer.replayed, &answer.runs), (shipped.reference.key, false, &vec![relative, own]));
    // It is kept with the run that there was, and is known by its own name.
    let subject = subject.reopened();
    let kept = subject.query().event_by_key(shipped.reference.key).await.expect("reads").expect("is there");
    assert_eq!((&kept.reference, kept.received_at), (&shipped.reference, at(5)));
    assert_eq!((kept.data, kept.runs), (shipped.data.clone(), vec![relative, own]));
    let repeat = subject.publish_one(&subject.under_name("order-42", "order/shipped", &["refund"]), at(6)).await;
    assert_eq!((repeat.key, repeat.replayed, repeat.runs), (shipped.reference.key, true, vec![relative, own]));
    assert_eq!(subject.newest("order-42").await, shipped.reference);
    // A third name has nothing left to start.
    let lost = subject.under_name("order-42", "order/lost", &["welcome", "refund", "report"]);
    assert_eq!(subject.publish_one(&lost, at(7)).await.runs, [paid.runs[0].id, relative, own]);
    assert_eq!(subject.all_runs().await, [paid.runs[0].id, relative, own]);
    // After the window the job runs again.
    let late = subject.under_name("order-42", "order/late", &["welcome"]);
    assert_eq!(subject.publish_one(&late, at(7).after(ID_WINDOW)).await.runs, ids(&late));
}

pub async fn names_and_repeats_within_a_batch_are_as_if_one_by_one(subject: Subject) {
    let paid = subject.under_name("order-42", "order/paid", &["welcome"]);
    let shipped = subject.under_name("order-42", "order/shipped", &["welcome", "refund"]);
    let repeat = subject.under_name("order-42", "order/shipped", &["report"]);
    let batch = vec![paid.clone(), shipped.clone(), repeat];
    let answers = subject.store().publish(batch, at(0)).await.expect("publishes");
    let runs = vec![paid.runs[0].id, shipped.runs[1].id];
    assert_eq!((answers[0].key, answers[0].replayed), (paid.reference.key, false));
    assert_eq!((answers[1].key, answers[1].replayed, &answers[1].runs), (shipped.reference.key, false, &runs));
    assert_eq!((answers[2].key, answers[2].replayed, &answers[2].runs), (shipped.reference.key, true, &runs));
    assert_eq!(subject.all_runs().await, runs);
}

pub async fn concurrent_names_under_one_id_start_a_job_once(subject: Subject) {
    let mut tasks = Vec::new();
    for number in 0..16 {
        let store = std::sync::Arc::clone(&subject.store);
        let event = subject.under_name("order-42", &format!("name-{}", number % 8), &["welcome"]);
        tasks.push(tokio::spawn(async move { store.publish(vec![event], at(0)).await }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await.expect("ends").expect("publishes"));
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 8);
    assert!(answers.iter().all(|answer| answer.runs == answers[0].runs && answer.runs.len() == 1));
    assert_eq!(subject.all_runs().await, answers[0].runs);
}

pub async fn a_key_is_known_whatever_the_id_and_the_time(subject: Subject) {
    let first = subject.new_event("order-42", &["welcome"]);
    subject.publish_one(&first, at(0)).await;
    let again = subject.new_event("order-43", &["welcome"]);
    let reference = EventReference { key: first.reference.key, ..again.reference.clone() };
    let late = at(0).after(ID_WINDOW * 9);
    let repeat = subject.publish_one(&NewEvent { reference, ..again }, late).await;
    assert_eq!((repeat.key, repeat.id, repeat.replayed), (first.reference.key, first.reference.id, true));
    assert_eq!(subject.all_runs().await, [first.runs[0].id]);
}

pub async fn an_event_without_an_id_of_its_own_is_found_by_its_key(subject: Subject) {
    for bare in [false, true] {
        let event = subject.new_event("x", &["welcome"]);
        let key = event.reference.key;
        let id: EventId = if bare { key.ulid().to_string().parse().expect("an id") } else { EventId::of(key) };
        let reference = EventReference { id: id.clone(), ..event.reference.clone() };
        assert!(!reference.has_given_id() && event.reference.has_given_id());
        subject.publish_one(&NewEvent { reference: reference.clone(), ..event.clone() }, at(0)).await;
        for id in [id, EventId::of(key)] {
            let kept = subject.query().event(&id).await.expect("reads").expect("is there");
            assert_eq!((&kept.reference, kept.runs), (&reference, ids(&event)));
        }
        let by_key = RunFilter { event: Some(key.to_string()), ..RunFilter::default() };
        let runs = subject.query().runs(&by_key, None, 9, at(0)).await.expect("reads").items;
        assert_eq!(runs.into_iter().map(|run| run.head.id).collect::<Vec<_>>(), ids(&event));
    }
}

pub async fn an_id_is_free_once_its_event_is_pruned(subject: Subject) {
    let alone = subject.new_event("lonely", &[]);
    let started = subject.new_event("order-42", &["welcome"]);
    subject.store().publish(vec![alone.clone(), started.clone()], at(0)).await.expect("publishes");
    let claimed = subject.claim_one(at(0)).await;
    subject.complete(&claimed, at(1)).await;
    let day = std::time::Duration::from_hours(24);
    let retention = Retention { completed: Some(day), ..Retention::default() };
    let pruned = subject.store().prune(retention, at(2).after(day)).await.expect("prunes");
    assert_eq!((pruned.runs, pruned.events), (1, 1));
    let subject = subject.reopened();
    for event in [alone, started] {
        assert_eq!(subject.query().event(&event.reference.id).await, Ok(None));
        assert_eq!(subject.query().event_by_key(event.reference.key).await, Ok(None));
        let answer = subject.publish_one(&NewEvent { id_window: day * 9, ..event }, at(3).after(day)).await;
        assert!(!answer.replayed);
    }
}

pub async fn data_of_an_event_survive_every_run_but_one(subject: Subject) {
    let data = Json::parse("{ \"user\" : 7.0 }").expect("a document");
    let mut event = NewEvent { data: data.clone(), ..subject.new_event("order-42", &["welcome", "refund"]) };
    event.runs.iter_mut().for_each(|run| run.payload = data.clone());
    subject.publish_one(&event, at(0)).await;
    let claimed = subject.claim_one(at(0)).await;
    subject.complete(&claimed, at(1)).await;
    let retention = Retention { completed: Some(std::time::Duration::ZERO), ..Retention::default() };
    let late = at(2).after(std::time::Duration::from_hours(24));
    assert_eq!(subject.store().prune(retention, late).await.expect("prunes").runs, 1);
    let subject = subject.reopened();
    let kept = subject.query().event_by_key(event.reference.key).await.expect("reads").expect("is there");
    assert_eq!((kept.data.as_str(), kept.runs.len(), kept.received_at), (data.as_str(), 1, at(0)));
}
