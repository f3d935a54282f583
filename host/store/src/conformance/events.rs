//! What an event starts, once.
//! Which jobs listen is the engine's to say.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::{Json, RunId};

use super::Subject;
use super::subject::at;
use crate::query::RunFilter;
use crate::store::NewEvent;

fn ids(event: &NewEvent) -> Vec<RunId> {
    event.runs.iter().map(|run| run.id).collect()
}

pub async fn an_event_starts_all_its_runs(subject: Subject) {
    let mut event = subject.new_event("order-42", &["welcome", "refund", "report"]);
    let expected = ids(&event);
    event.runs.reverse();
    let answers = subject.store().publish(vec![event.clone()], at(3)).await.expect("publishes");
    assert_eq!((answers[0].id.as_str(), &answers[0].runs, answers[0].replayed), ("order-42", &expected, false));
    let kept = subject.query().event(&event.reference.id).await.expect("reads").expect("is there");
    assert_eq!((kept.reference, kept.received_at), (event.reference.clone(), at(3)));
    assert_eq!((kept.data.as_str(), kept.runs), (event.data.as_str(), expected.clone()));
    for run in expected {
        let head = subject.head(run).await;
        assert_eq!(head.event.as_deref(), Some(&event.reference));
    }
}

pub async fn an_event_that_nobody_listens_to_is_kept(subject: Subject) {
    let event = subject.new_event("lonely", &[]);
    let answers = subject.store().publish(vec![event.clone()], at(3)).await.expect("publishes");
    assert_eq!((answers[0].runs.len(), answers[0].replayed), (0, false));
    let kept = subject.query().event(&event.reference.id).await.expect("reads").expect("is there");
    assert_eq!((kept.data, kept.received_at, kept.runs), (event.data, at(3), Vec::new()));
    let unknown = "unknown".parse().expect("an event id");
    assert_eq!(subject.query().event(&unknown).await, Ok(None));
}

pub async fn a_known_event_starts_nothing(subject: Subject) {
    let store = subject.store();
    let first = subject.new_event("order-42", &["welcome", "refund"]);
    store.publish(vec![first.clone(), subject.new_event("lonely", &[])], at(0)).await.expect("publishes");
    let again = vec![
        subject.new_event("lonely", &["welcome"]),
        subject.new_event("new", &["welcome"]),
        subject.new_event("order-42", &["welcome", "refund", "report"]),
    ];
    let answers = store.publish(again, at(9)).await.expect("publishes");
    assert_eq!((answers[0].replayed, answers[0].runs.len()), (true, 0));
    assert_eq!((answers[1].replayed, answers[1].runs.len()), (false, 1));
    assert_eq!((answers[2].replayed, &answers[2].runs), (true, &ids(&first)));
    let all = subject.query().runs(&RunFilter::default(), None, 100, at(9)).await.expect("reads");
    assert_eq!(all.items.len(), 3);
}

pub async fn a_repeat_within_a_batch_starts_nothing(subject: Subject) {
    let first = subject.new_event("order-42", &["welcome", "refund"]);
    let batch = vec![first.clone(), subject.new_event("order-42", &["welcome"])];
    let answers = subject.store().publish(batch, at(0)).await.expect("publishes");
    assert_eq!((answers[0].replayed, &answers[0].runs), (false, &ids(&first)));
    assert_eq!((answers[1].replayed, &answers[1].runs), (true, &ids(&first)));
    let all = subject.query().runs(&RunFilter::default(), None, 100, at(9)).await.expect("reads");
    assert_eq!(all.items.len(), 2);
}

pub async fn concurrent_repeats_start_one_run(subject: Subject) {
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let store = std::sync::Arc::clone(&subject.store);
        let event = subject.new_event("order-42", &["welcome"]);
        tasks.push(tokio::spawn(async move { store.publish(vec![event], at(0)).await }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await.expect("ends").expect("publishes"));
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.runs == answers[0].runs && answer.runs.len() == 1));
}

pub async fn many_large_events_are_published_at_once(subject: Subject) {
    let data = Json::of(&"x".repeat(60_000)).expect("a document");
    let mut batch = Vec::new();
    for number in 0..20 {
        let mut event = subject.new_event(&format!("event-{number}"), &["welcome", "refund"][..number % 3]);
        event.data = data.clone();
        event.runs.iter_mut().for_each(|run| run.payload = data.clone());
        batch.push(event);
    }
    let answers = subject.store().publish(batch, at(0)).await.expect("publishes");
    for answer in answers {
        let kept = subject.query().event(&answer.id).await.expect("reads").expect("is there");
        assert_eq!((kept.data.as_str(), kept.runs), (data.as_str(), answer.runs));
    }
}
