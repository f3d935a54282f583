//! Webhook deliveries: taken in once, with everything that each comes to.
//! What a delivery means is for whoever takes it in.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::suppression::{Suppression, SuppressionSource};
use jobmill_core::{DeliveryId, Json, Timestamp, limits};

use super::Subject;
use super::subject::{ID_WINDOW, at};
use crate::forgetting::{Forget, Forgotten};
use crate::log::Record;
use crate::portable;
use crate::query::{DeliveryFilter, DeliverySummary, EventFilter, RunFilter};
use crate::store::{NewDelivery, NewEvent, Received, Retention};

const ADA: &str = "ada@example.com";

impl Subject {
    async fn receive(&self, new: &NewDelivery, now: Timestamp) -> Received {
        self.store().receive(new.clone(), now).await.expect("takes in")
    }

    /// A delivery that is published as an event with this id, which starts a run of `refund`.
    fn publishing(&self, sender_id: &str, event: &str, now: Timestamp) -> NewDelivery {
        NewDelivery { event: Some(self.new_event(event, &["refund"])), ..self.new_delivery(sender_id, now) }
    }

    async fn delivery(&self, id: DeliveryId) -> Option<Delivery> {
        self.query().delivery(id).await.expect("reads")
    }

    async fn deliveries(&self, filter: &DeliveryFilter) -> Vec<DeliverySummary> {
        self.query().deliveries(filter, None, 100).await.expect("reads").items
    }

    async fn runs_and_events(&self) -> (usize, usize) {
        let runs = self.query().runs(&RunFilter::default(), None, 100, at(0)).await.expect("reads");
        let events = self.query().events(&EventFilter::default(), None, 100).await.expect("reads");
        (runs.items.len(), events.items.len())
    }
}

fn published(new: &NewDelivery) -> Delivery {
    let event = new.event.as_ref().expect("an event").reference.key;
    Delivery { outcome: DeliveryOutcome::Published { event }, ..new.delivery.clone() }
}

fn stopped(address: &str, now: Timestamp) -> Suppression {
    let source = SuppressionSource::Webhook("postmark".to_owned());
    Suppression::new(address, Some("a hard bounce".to_owned()), source, now).expect("an address")
}

pub async fn a_delivery_is_kept_with_the_event_that_it_is(subject: Subject) {
    let new = subject.publishing("evt_1", "order-42", at(3));
    let event = new.event.clone().expect("an event");
    let received = subject.receive(&new, at(3)).await;
    let runs = vec![event.runs[0].id];
    assert_eq!(received, Received { id: new.delivery.id, is_repeat: false, runs: runs.clone() });
    let subject = subject.reopened();
    assert_eq!(subject.delivery(new.delivery.id).await, Some(published(&new)));
    let kept = subject.query().event_by_key(event.reference.key).await.expect("reads").expect("is there");
    assert_eq!((kept.reference, kept.runs), (event.reference, runs));
    assert_eq!(subject.delivery(DeliveryId::from_bytes([9; 16])).await, None);
}

pub async fn what_its_sender_delivers_again_does_nothing(subject: Subject) {
    let first = subject.publishing("evt_1", "order-42", at(0));
    let received = subject.receive(&first, at(0)).await;
    let subject = subject.reopened();
    // Under another event id, so that only the delivery can be what is known.
    let again = subject.publishing("evt_1", "order-43", at(5));
    let repeat = subject.receive(&again, at(5)).await;
    assert_eq!(repeat, Received { is_repeat: true, ..received });
    let ignored = subject.new_delivery("evt_1", at(6));
    assert!(subject.receive(&ignored, at(6)).await.is_repeat, "whatever it comes to now");
    assert_eq!(subject.runs_and_events().await, (1, 1));
    assert_eq!(subject.deliveries(&DeliveryFilter::default()).await, [DeliverySummary::from(&published(&first))]);
    // At another endpoint it is another delivery.
    let mut other = subject.new_delivery("evt_1", at(7));
    "postmark".clone_into(&mut other.delivery.endpoint);
    assert!(!subject.receive(&other, at(7)).await.is_repeat);
}

pub async fn concurrent_deliveries_start_one_run(subject: Subject) {
    let mut tasks = Vec::new();
    for number in 0..16 {
        let store = Arc::clone(&subject.store);
        let new = subject.publishing("evt_1", &format!("order-{number}"), at(0));
        tasks.push(tokio::spawn(async move { store.receive(new, at(0)).await }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("ends").expect("takes in"));
    }
    assert_eq!(answers.iter().filter(|answer| !answer.is_repeat).count(), 1);
    assert!(answers.iter().all(|answer| (answer.id, &answer.runs) == (answers[0].id, &answers[0].runs)));
    assert_eq!(subject.runs_and_events().await, (1, 1));
}

pub async fn an_id_of_a_sender_is_new_again_after_its_window(subject: Subject) {
    let first = subject.publishing("evt_1", "order-42", at(0));
    subject.receive(&first, at(0)).await;
    let last = u64::try_from(ID_WINDOW.as_millis()).expect("a minute");
    assert!(subject.receive(&subject.publishing("evt_1", "order-43", at(9)), at(last - 1)).await.is_repeat);
    let again = subject.publishing("evt_1", "order-43", at(last));
    assert_eq!(subject.receive(&again, at(last)).await.id, again.delivery.id);
    // The old one is taken in once more, and the new one is still what is known.
    let replay = NewDelivery { replay: true, event: Some(subject.new_event("order-44", &["refund"])), ..first.clone() };
    assert!(!subject.receive(&replay, at(last + 1)).await.is_repeat);
    let subject = subject.reopened();
    let repeat = subject.receive(&subject.publishing("evt_1", "order-45", at(last)), at(last + 9)).await;
    assert_eq!((repeat.id, repeat.is_repeat), (again.delivery.id, true));
    assert_eq!(subject.runs_and_events().await, (3, 3));
}

pub async fn an_older_delivery_is_known_when_a_newer_one_is_gone(subject: Subject) {
    let (old, late) = (at(9).after(ID_WINDOW), at(9).after(ID_WINDOW * 2));
    let first = subject.new_delivery("evt_1", old);
    subject.receive(&first, old).await;
    let mut newer = subject.new_delivery("evt_1", late);
    newer.delivery.body = format!("[\"{ADA}\"]");
    assert!(!subject.receive(&newer, late).await.is_repeat);
    let what = Forget { email: Some(ADA.to_owned()), value: None };
    assert_eq!(subject.store().forget(what, false).await.expect("forgets").deliveries, 1);
    // The clock is set back to before either.
    let repeat = subject.receive(&subject.new_delivery("evt_1", at(0)), at(0)).await;
    assert_eq!((repeat.id, repeat.is_repeat), (first.delivery.id, true));
}

pub async fn an_event_that_was_published_before_is_what_the_delivery_names(subject: Subject) {
    let event = subject.new_event("order-42", &["refund"]);
    let answers = subject.store().publish(vec![event.clone()], at(0)).await.expect("publishes");
    let new = subject.publishing("evt_1", "order-42", at(1));
    let received = subject.receive(&new, at(1)).await;
    assert_eq!((received.is_repeat, &received.runs), (false, &answers[0].runs));
    let kept = subject.delivery(new.delivery.id).await.expect("is there");
    assert_eq!(kept.outcome, DeliveryOutcome::Published { event: event.reference.key });
    assert_eq!(subject.runs_and_events().await, (1, 1));
}

pub async fn a_delivery_that_is_taken_in_again_keeps_its_place(subject: Subject) {
    let first = subject.new_delivery("evt_1", at(0));
    subject.receive(&first, at(0)).await;
    let event = Some(subject.new_event("order-42", &["refund"]));
    let replay = NewDelivery { event, replay: true, ..first.clone() };
    let received = subject.receive(&replay, at(9)).await;
    assert_eq!((received.id, received.is_repeat, received.runs.len()), (first.delivery.id, false, 1));
    let expected = Delivery { replays: 1, ..published(&replay) };
    let subject = subject.reopened();
    assert_eq!(subject.delivery(first.delivery.id).await.as_ref(), Some(&expected));
    assert_eq!(subject.deliveries(&DeliveryFilter::default()).await, [DeliverySummary::from(&expected)]);
    // Two operators at once: both are counted.
    let replay = NewDelivery { event: None, ..replay };
    subject.receive(&replay, at(10)).await;
    subject.receive(&replay, at(10)).await;
    assert_eq!(subject.delivery(first.delivery.id).await.map(|delivery| delivery.replays), Some(3));
}

pub async fn what_is_gone_is_not_taken_in_again(subject: Subject) {
    let first = subject.publishing("evt_1", "order-42", at(0));
    let replay = NewDelivery { replay: true, ..first };
    let received = subject.receive(&replay, at(1)).await;
    assert_eq!(received, Received { id: replay.delivery.id, is_repeat: true, runs: Vec::new() });
    assert_eq!((subject.delivery(replay.delivery.id).await, subject.runs_and_events().await), (None, (0, 0)));
}

pub async fn addresses_get_no_mail_from_the_delivery_on(subject: Subject) {
    let outcome = DeliveryOutcome::Suppressed { addresses: vec![ADA.to_owned(), "bob@example.com".to_owned()] };
    let mut new = subject.new_delivery("evt_1", at(1));
    new.delivery.outcome = outcome;
    // Named twice, and in another case.
    new.suppressions = vec![stopped(ADA, at(1)), stopped("Ada@Example.com", at(1)), stopped("bob@example.com", at(1))];
    assert!(!subject.receive(&new, at(1)).await.is_repeat);
    let subject = subject.reopened();
    assert_eq!(subject.query().suppression(ADA).await, Ok(Some(stopped(ADA, at(1)))));
    assert!(subject.query().suppression("bob@example.com").await.expect("reads").is_some());
    assert_eq!(subject.delivery(new.delivery.id).await, Some(new.delivery.clone()));
    // An operator's word stands; a repeat does not stop the mail again.
    subject.store().lift_suppression(ADA.to_owned()).await.expect("lifts");
    assert!(subject.receive(&new, at(2)).await.is_repeat);
    assert_eq!(subject.query().suppression(ADA).await, Ok(None));
}

pub async fn pages_of_deliveries_have_no_gap_and_no_repeat(subject: Subject) {
    let mut expected = Vec::new();
    for number in 0..7_u64 {
        let mut new = subject.new_delivery(&format!("evt_{number}"), at(number));
        if number % 2 == 0 {
            new.event = Some(subject.new_event(&format!("order-{number}"), &[]));
        }
        if number % 3 == 0 {
            "postmark".clone_into(&mut new.delivery.endpoint);
        }
        subject.receive(&new, at(number)).await;
        expected.insert(0, new.delivery.id);
    }
    let of = |endpoint: Option<&str>, outcome: Option<&str>| DeliveryFilter {
        endpoint: endpoint.map(str::to_owned),
        outcome: outcome.map(str::to_owned),
    };
    for limit in [1, 3, 7, 8] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = subject.query().deliveries(&DeliveryFilter::default(), after, limit).await.expect("reads");
            seen.extend(page.items.into_iter().map(|it| it.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
    for (filter, count) in [
        (of(Some("postmark"), None), 3),
        (of(None, Some("published")), 4),
        (of(Some("postmark"), Some("published")), 2),
        (of(None, Some("suppressed")), 0),
    ] {
        assert_eq!(subject.deliveries(&filter).await.len(), count, "{filter:?}");
    }
}

pub async fn old_deliveries_are_pruned_and_their_ids_with_them(subject: Subject) {
    let (old, young) = (subject.publishing("evt_1", "order-42", at(0)), subject.new_delivery("evt_2", at(9)));
    subject.receive(&old, at(0)).await;
    subject.receive(&young, at(9)).await;
    // However short they are to be kept: the ids are remembered so long.
    let retention = Retention { deliveries: Some(Duration::ZERO), ..Retention::default() };
    let prune = async |now| subject.store().prune(retention, now).await.expect("prunes").deliveries;
    assert_eq!(prune(at(9)).await, 0);
    assert_eq!(prune(at(5).after(limits::DELIVERY_WINDOW)).await, 1);
    assert_eq!(subject.deliveries(&DeliveryFilter::default()).await.len(), 1);
    let subject = subject.reopened();
    assert_eq!(subject.delivery(old.delivery.id).await, None);
    assert_eq!(subject.runs_and_events().await, (1, 1), "what it started is not its own");
    let again = NewDelivery { window: limits::DELIVERY_WINDOW * 2, ..subject.publishing("evt_1", "order-43", at(9)) };
    assert!(!subject.receive(&again, at(5).after(limits::DELIVERY_WINDOW)).await.is_repeat);
    let kept = Retention { completed: Some(Duration::ZERO), ..Retention::default() };
    let pruned = subject.store().prune(kept, at(0).after(limits::DELIVERY_WINDOW * 9)).await.expect("prunes");
    assert_eq!(pruned.deliveries, 0, "for ever, where no time is named");
}

pub async fn a_delivery_that_carries_an_address_is_forgotten(subject: Subject) {
    let about = |address: &str| serde_json::json!({ "data": { "email": address } }).to_string();
    let mut hers = subject.new_delivery("evt_1", at(0));
    hers.delivery.body = about("ADA@example.com").replace('@', "\\u0040");
    hers.event = Some(NewEvent { data: Json::parse(&about(ADA)).expect("JSON"), ..subject.new_event("visited", &[]) });
    let mut not_mapped = subject.new_delivery("evt_2", at(0));
    not_mapped.delivery.outcome = DeliveryOutcome::Unmapped { reason: format!("{ADA} is no order") };
    let mut others = subject.new_delivery("evt_3", at(0));
    others.delivery.body = about("joada@example.com");
    for new in [&hers, &not_mapped, &others] {
        subject.receive(new, at(0)).await;
    }
    let what = Forget { email: Some("Ada@Example.com".to_owned()), value: None };
    let expected = Forgotten { events: 1, deliveries: 2, ..Forgotten::default() };
    assert_eq!(subject.store().forget(what.clone(), true).await, Ok(expected.clone()));
    assert_eq!(subject.deliveries(&DeliveryFilter::default()).await.len(), 3, "a dry run changes nothing");
    assert_eq!(subject.store().forget(what.clone(), false).await, Ok(expected));
    assert_eq!(subject.store().forget(what, false).await, Ok(Forgotten::default()));
    let subject = subject.reopened();
    assert_eq!(subject.deliveries(&DeliveryFilter::default()).await, [DeliverySummary::from(&others.delivery)]);
    let at_pointer = Forget {
        email: None,
        value: Some(("/data/email".to_owned().try_into().expect("a pointer"), "joada@example.com".to_owned())),
    };
    assert_eq!(subject.store().forget(at_pointer, false).await.expect("forgets").deliveries, 1);
}

pub async fn deliveries_go_along_to_another_store(subject: Subject) {
    let new = subject.publishing("evt_1", "order-42", at(0));
    subject.receive(&new, at(0)).await;
    subject.receive(&subject.new_delivery("evt_2", at(1)), at(1)).await;
    let mut reading = portable::Reading::default();
    let mut records = Vec::new();
    for line in portable::lines(subject.query().export().await.expect("exports"), at(9)) {
        records.extend(reading.take(&line.expect("reads")).expect("is a record"));
    }
    assert_eq!(reading.finish(), Ok(()));
    let deliveries = records.iter().filter(|record| matches!(record, Record::Delivery(_))).count();
    assert_eq!((records.len(), deliveries), (3, 2));
    assert_eq!(subject.store().import(records).await, Ok(0), "all of it is here already");
    let other = subject.new_delivery("evt_9", at(2)).delivery;
    assert_eq!(subject.store().import(vec![Record::Delivery(other.clone())]).await, Ok(1));
    assert!(subject.receive(&subject.new_delivery("evt_9", at(3)), at(3)).await.is_repeat, "and is known");
    assert_eq!(subject.delivery(other.id).await, Some(other));
}
