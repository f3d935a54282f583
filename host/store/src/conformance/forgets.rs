//! What is to be forgotten is gone, and everything else is as it was, also after the log was written anew.
//! That no byte of it is left in the files is for the tests of each log.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::flow::Pointer;
use jobmill_core::order::{Money, Order, OrderStatus};
use jobmill_core::{Json, RunState};

use super::Subject;
use super::subject::at;
use crate::forgetting::{Forget, Forgotten};
use crate::store::{NewEvent, NewRun, QueueChange};

const ADDRESS: &str = "ann@example.com";

fn ann() -> Forget {
    Forget { email: Some("Ann@Example.com".to_owned()), value: None }
}

fn about(address: &str) -> Json {
    Json::of(&serde_json::json!({ "userId": 7, "email": address })).expect("a document")
}

fn order(id: &str, address: &str) -> Order {
    Order {
        id: id.to_owned(),
        status: OrderStatus::Paid,
        customer_email: address.to_owned(),
        customer_name: Some("Ann".to_owned()),
        items: Vec::new(),
        total: Money { minor: 100, currency: "EUR".to_owned() },
        created_at: at(0),
        fulfilled_at: None,
        refunded_at: None,
        metadata: Json::empty_object(),
        revision: 0,
    }
}

impl Subject {
    fn run_about(&self, address: &str) -> NewRun {
        NewRun { payload: about(address), ..self.new_run("welcome") }
    }

    async fn forget(&self, what: Forget, dry_run: bool) -> Forgotten {
        self.store().forget(what, dry_run).await.expect("forgets")
    }
}

pub async fn what_carries_an_address_is_forgotten_and_nothing_else(subject: Subject) {
    let hers = subject.enqueued(vec![subject.run_about(ADDRESS), subject.run_about(ADDRESS)]).await;
    let others = subject.enqueued(vec![subject.run_about("joann@example.com"), subject.new_run("refund")]).await;
    let alone = NewEvent { data: about(ADDRESS), ..subject.new_event("visited", &[]) };
    subject.store().publish(vec![alone, subject.new_event("bought", &["refund"])], at(0)).await.expect("publishes");
    for order in [order("one", ADDRESS), order("two", "bob@example.com")] {
        subject.store().put_order(order).await.expect("writes");
    }
    let change = QueueChange { concurrency: Some(Some(3)), paused: None };
    subject.store().control_queue("default".to_owned(), change, at(0)).await.expect("writes");
    let expected = Forgotten { runs: 2, events: 1, orders: 1, ..Forgotten::default() };
    assert_eq!(subject.forget(ann(), true).await, expected, "a dry run tells");
    assert!(subject.query().run(hers[0]).await.expect("reads").is_some(), "and changes nothing");
    assert_eq!(subject.forget(ann(), false).await, expected);
    assert_eq!(subject.forget(ann(), false).await, Forgotten::default());
    let subject = subject.reopened();
    for run in hers {
        assert_eq!(subject.query().run(run).await, Ok(None));
    }
    for run in others {
        assert_eq!(subject.head(run).await.state, RunState::Available);
    }
    let event = async |id: &str| subject.query().event(&id.parse().expect("an id")).await.expect("reads");
    assert_eq!(event("visited").await, None);
    assert!(event("bought").await.is_some());
    let customer = async |id| subject.query().order(id).await.expect("reads").expect("is there").customer_email;
    assert_eq!((customer("one").await, customer("two").await), (String::new(), "bob@example.com".to_owned()));
    let queues = subject.query().queues(at(0)).await.expect("reads");
    assert_eq!(queues.first().and_then(|queue| queue.concurrency), Some(3), "what operators said stays");
}

pub async fn a_value_at_a_pointer_is_forgotten(subject: Subject) {
    let other = Json::of(&serde_json::json!({ "userId": 70, "note": "7" })).expect("a document");
    let other = NewRun { payload: other, ..subject.new_run("welcome") };
    let runs = subject.enqueued(vec![subject.run_about(ADDRESS), other]).await;
    let pointer = Pointer::try_from("/userId".to_owned()).expect("a pointer");
    let what = Forget { email: None, value: Some((pointer, "7".to_owned())) };
    assert_eq!(subject.forget(what, false).await.runs, 1);
    assert_eq!(subject.query().run(runs[0]).await, Ok(None));
    assert!(subject.query().run(runs[1]).await.expect("reads").is_some());
}

pub async fn a_run_under_way_is_left_and_named(subject: Subject) {
    let runs = subject.enqueued(vec![subject.run_about(ADDRESS)]).await;
    let claimed = subject.claim(1, at(0)).await;
    assert_eq!(claimed.len(), 1);
    let forgotten = subject.forget(ann(), false).await;
    assert_eq!(forgotten, Forgotten { running: runs.clone(), ..Forgotten::default() });
    assert_eq!(subject.head(runs[0]).await.state, RunState::Running, "and still holds its lease");
    subject.complete(&claimed[0], at(1)).await;
    assert_eq!(subject.forget(ann(), false).await.runs, 1);
}
