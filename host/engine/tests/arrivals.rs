//! What comes in at the doors besides enqueues: webhook deliveries, ids of events for as long as they are remembered, and
//! work that is refused because too much waits.
//! What is kept of them is the store's.

mod support;

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::suppression::SuppressionSource;
use jobmill_core::{EventKey, Json, RunState, limits};
use jobmill_engine::{DeliveryMeaning, DeliveryRequest, EnqueueError, EnqueueRequest, EventRequest};
use jobmill_store::{MemoryLog, RunFilter, StoreError};
use support::{ManualClock, Mill, put};

const HOUR: Duration = Duration::from_hours(1);

fn greet() -> EventRequest {
    EventRequest::new("greet".to_owned(), Json::empty_object())
}

fn delivery(sender_id: &str, meaning: DeliveryMeaning) -> DeliveryRequest {
    DeliveryRequest {
        endpoint: "stripe".to_owned(),
        sender_id: sender_id.to_owned(),
        kind: "charge.refunded".to_owned(),
        body: "{ \"id\" : 1.0 }".to_owned(),
        meaning,
    }
}

async fn kept(mill: &Mill, id: jobmill_core::DeliveryId) -> Delivery {
    mill.handle.query().delivery(id).await.expect("readable").expect("there")
}

async fn runs(mill: &Mill) -> usize {
    let page = mill.handle.query().runs(&RunFilter::default(), None, 100, mill.handle.now()).await.expect("readable");
    page.items.len()
}

async fn started() -> Mill {
    let mill = Mill::start();
    mill.ready().await;
    mill
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_starts_the_jobs_that_listen_to_its_event_once() {
    let mill = started().await;
    let request = delivery("evt_1", DeliveryMeaning::Event(greet()));
    let received = mill.handle.receive(request.clone()).await.expect("taken in");
    assert_eq!((received.is_repeat, received.runs.len()), (false, 1));
    assert_eq!(mill.finished(received.runs[0]).await.run.head.state, RunState::Completed);
    let delivery = kept(&mill, received.id).await;
    assert_eq!(delivery.body, request.body, "byte for byte");
    let DeliveryOutcome::Published { event } = delivery.outcome else { panic!("{delivery:?}") };
    let event = mill.handle.query().event_by_key(event).await.expect("readable").expect("there");
    assert_eq!((&*event.reference.name, &event.runs), ("greet", &received.runs));
    mill.clock.advance(limits::DELIVERY_WINDOW);
    let again = mill.handle.receive(request.clone()).await.expect("taken in");
    assert_eq!((again.id, again.is_repeat, &again.runs), (received.id, true, &received.runs));
    mill.clock.advance(2 * HOUR);
    let late = mill.handle.receive(request).await.expect("taken in");
    assert!(!late.is_repeat && late.id != received.id);
    assert_eq!(runs(&mill).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_no_job_takes_is_kept_and_says_why() {
    let mill = started().await;
    put(mill.hopper.path(), "strict.wasm", "strict event=paid schema={\"required\":[\"orderId\"]}");
    mill.until_catalog(|handle| handle.catalog().all_serving().count() == 2).await;
    let paid = EventRequest::new("paid".to_owned(), Json::empty_object());
    let reserved = EventRequest::new("jobmill/run.dead".to_owned(), Json::empty_object());
    let nameless = EventRequest::new(String::new(), Json::empty_object());
    for (number, (event, said)) in
        [(paid, "/orderId"), (reserved, "reserved"), (nameless, "name")].into_iter().enumerate()
    {
        let request = delivery(&format!("evt_{number}"), DeliveryMeaning::Event(event));
        let received = mill.handle.receive(request.clone()).await.expect("taken in");
        assert_eq!((received.is_repeat, received.runs.len()), (false, 0));
        let DeliveryOutcome::Unmapped { reason } = kept(&mill, received.id).await.outcome else { panic!("{said}") };
        assert!(reason.contains(said), "{reason}");
        assert!(mill.handle.receive(request).await.expect("taken in").is_repeat);
    }
    assert_eq!(runs(&mill).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_a_delivery_names_get_no_mail() {
    let mill = started().await;
    let addresses = ["Ada@example.com", "ada@example.com", "no address", "bob@example.com"].map(str::to_owned).to_vec();
    let reason = "a hard bounce".to_owned();
    let request = delivery("evt_1", DeliveryMeaning::Suppress { addresses, reason });
    let received = mill.handle.receive(request).await.expect("taken in");
    let DeliveryOutcome::Suppressed { addresses } = kept(&mill, received.id).await.outcome else {
        panic!("suppressed")
    };
    assert!(addresses.contains(&"bob@example.com".to_owned()) && !addresses.contains(&"no address".to_owned()));
    for address in ["ada@example.com", "bob@example.com"] {
        let suppression = mill.handle.query().suppression(address).await.expect("readable").expect("there");
        assert_eq!(suppression.source, SuppressionSource::Webhook("stripe".to_owned()));
        assert_eq!(suppression.reason.as_deref(), Some("a hard bounce"));
    }
    let nobody = DeliveryMeaning::Suppress { addresses: vec!["nobody".to_owned()], reason: String::new() };
    let received = mill.handle.receive(delivery("evt_2", nobody)).await.expect("taken in");
    assert!(matches!(kept(&mill, received.id).await.outcome, DeliveryOutcome::Unmapped { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_taken_in_again_as_it_is_understood_now() {
    let mill = started().await;
    let request = delivery("evt_1", DeliveryMeaning::Unmapped { reason: "x".repeat(2_000) });
    let received = mill.handle.receive(request).await.expect("taken in");
    let DeliveryOutcome::Unmapped { reason } = kept(&mill, received.id).await.outcome else { panic!("unmapped") };
    assert_eq!(reason.len(), 500);
    // Once as what it is, and once more although that was published already.
    let named = EventRequest { id: Some("evt_1".parse().expect("an event id")), ..greet() };
    for replays in 1..=2_u32 {
        let understand = |delivery: &Delivery| {
            assert_eq!(delivery.replays, replays - 1);
            DeliveryMeaning::Event(named.clone())
        };
        let replayed = mill.handle.replay(received.id, understand).await.expect("taken in").expect("is there");
        assert_eq!((replayed.id, replayed.is_repeat, replayed.runs.len()), (received.id, false, 1));
        let delivery = kept(&mill, received.id).await;
        assert_eq!((delivery.replays, delivery.outcome.as_str()), (replays, "published"));
        mill.finished(replayed.runs[0]).await;
    }
    assert_eq!(runs(&mill).await, 2);
    let unknown = jobmill_core::DeliveryId::from_bytes([1; 16]);
    assert_eq!(mill.handle.replay(unknown, |_| DeliveryMeaning::Ignored).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_an_event_is_remembered_for_as_long_as_is_set() {
    let hopper = tempfile::tempdir().expect("a directory");
    put(hopper.path(), "hello.wasm", "hello event=greet");
    let clock = Arc::new(ManualClock::new());
    let mill = Mill::compose(hopper, MemoryLog::new(), clock, |settings| settings.event_id_window = 2 * HOUR);
    mill.ready().await;
    let named = EventRequest { id: Some("order-1".parse().expect("an event id")), ..greet() };
    let publish = async || mill.handle.publish(vec![named.clone()]).await.expect("published").pop().expect("an answer");
    let first = publish().await;
    mill.clock.advance(HOUR);
    let again = publish().await;
    assert_eq!((again.key, again.replayed, &again.runs), (first.key, true, &first.runs));
    mill.clock.advance(HOUR);
    let late = publish().await;
    assert!(!late.replayed && late.key != first.key && late.runs != first.runs);
    // A key is given to be remembered whatever the time.
    let keyed = EventRequest { key: Some(EventKey::first_at(mill.handle.now())), ..greet() };
    let first = mill.handle.publish(vec![keyed.clone()]).await.expect("published");
    mill.clock.advance(9 * HOUR);
    let again = mill.handle.publish(vec![keyed]).await.expect("published");
    assert_eq!((again[0].replayed, again[0].key), (true, first[0].key));
    assert_eq!(again[0].id.as_str(), first[0].key.to_string(), "an event without an id is named by its key");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_have_less_waiting_is_refused_sooner() {
    let mill = started().await;
    let far = mill.handle.now().after(HOUR);
    let later = |max_waiting| EnqueueRequest {
        scheduled_at: Some(far),
        max_waiting,
        ..EnqueueRequest::new("hello".parse().expect("a job id"), Json::empty_object())
    };
    mill.handle.enqueue(later(Some(1))).await.expect("there is room for one");
    let refused = mill.handle.enqueue(later(Some(1))).await.expect_err("refused");
    assert!(matches!(refused, EnqueueError::Store(StoreError::Crowded { job: None, limit: 1 })), "{refused}");
    let event = EventRequest { ts: Some(far), max_waiting: Some(1), ..greet() };
    let refused = mill.handle.publish(vec![event.clone()]).await.expect_err("refused");
    assert!(matches!(refused, EnqueueError::Store(StoreError::Crowded { job: None, limit: 1 })), "{refused}");
    let refused = mill.handle.receive(delivery("evt_1", DeliveryMeaning::Event(event))).await;
    assert_eq!(refused, Err(StoreError::Crowded { job: None, limit: 1 }), "so that its sender comes again");
    mill.handle.enqueue(later(None)).await.expect("others may");
    mill.handle.enqueue(later(Some(3))).await.expect("and who may have more");
    assert_eq!(runs(&mill).await, 3);
}
