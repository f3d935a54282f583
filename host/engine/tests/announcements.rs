//! Events that the engine publishes when a run ends: what they say, who is told, and that nothing goes round.
//! That they are on record with the end or not at all is the store's, and the simulator's.

mod support;

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::{EventKey, FailureKind, Json, Outcome, RunId, RunState};
use jobmill_engine::{EnqueueError, EventRequest};
use jobmill_store::{EventFilter, EventRecord, Kept, MemoryLog, RunFilter};
use serde_json::{Value, json};
use support::{ManualClock, Mill, put, watchdog};

const DEAD: &str = "jobmill/run.dead";
const COMPLETED: &str = "jobmill/run.completed";
const FAILED: &str = "inngest/function.failed";

/// `hello` without retries, and a job that listens with these words.
async fn watched(words: &str) -> Mill {
    let hopper = tempfile::tempdir().expect("a directory");
    put(hopper.path(), "hello.wasm", "hello retries=0 event=greet");
    put(hopper.path(), "watcher.wasm", &format!("watcher retries=0 {words}"));
    let mill = Mill::open(hopper, MemoryLog::new(), Arc::new(ManualClock::new()), 4);
    mill.until_catalog(|handle| handle.catalog().all_serving().count() == 2).await;
    mill
}

/// A run of `hello` that an event of its own started, once it is final.
async fn greeted(mill: &Mill) -> RunId {
    let request = EventRequest {
        id: Some("order-1".parse().expect("an event id")),
        ..EventRequest::new("greet".to_owned(), Json::of(&json!({ "user": 7 })).expect("a document"))
    };
    let published = mill.handle.publish(vec![request]).await.expect("published");
    let run = published[0].runs[0];
    mill.finished(run).await;
    run
}

async fn events_of(mill: &Mill, name: &str) -> Vec<EventRecord> {
    let filter = EventFilter { name: Some(name.to_owned()), ..EventFilter::default() };
    mill.handle.query().events(&filter, None, 100).await.expect("readable").items
}

/// The only event of this name, once there is one.
async fn told(mill: &Mill, name: &str) -> (EventRecord, Value) {
    let event = watchdog(async {
        loop {
            if let Some(event) = events_of(mill, name).await.pop() {
                return event;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(events_of(mill, name).await.len(), 1);
    let data = event.data.to_value().expect("a document");
    (event, data)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_listens_to_dead_runs_gets_all_there_is_to_say() {
    let mill = watched("event=jobmill/run.dead").await;
    mill.script.fail(FailureKind::Permanent);
    let run = greeted(&mill).await;
    let (event, data) = told(&mill, DEAD).await;
    let head = mill.record(run).await.run.head;
    assert_eq!((&data["run"]["id"], &data["run"]["job"]), (&json!(run), &json!("hello")));
    assert_eq!((&data["run"]["attempt"], &data["run"]["max_attempts"]), (&json!(1), &json!(1)));
    assert_eq!(data["run"]["version"], json!(head.version.expect("ran")));
    assert_eq!(data["run"]["finished_at"], json!(head.finished_at));
    assert_eq!(data["run"]["event"], json!({ "id": "order-1", "name": "greet" }));
    assert_eq!((&data["payload"], &data["error"]["message"]), (&json!({ "user": 7 }), &json!("scripted")));
    assert_eq!(data["error"]["kind"], json!(FailureKind::Permanent));
    assert_eq!(Some(event.received_at), head.finished_at, "in the commit of the end");
    let watcher = mill.finished(event.runs[0]).await.run;
    assert_eq!((watcher.head.job.as_str(), watcher.payload.as_str()), ("watcher", event.data.as_str()));
    assert!(events_of(&mill, FAILED).await.is_empty(), "nobody listens to that one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_run_is_told_with_what_it_returned() {
    let mill = watched("event=jobmill/run.completed").await;
    mill.script.outcome(Outcome::Completed { output: Some(Json::of(&json!([1, 2])).expect("a document")) });
    greeted(&mill).await;
    let (event, data) = told(&mill, COMPLETED).await;
    assert_eq!((&data["output"], data.get("error")), (&json!([1, 2]), None));
    mill.finished(event.runs[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_from_inngest_is_told_in_its_shape() {
    let mill = watched("event=inngest/function.failed").await;
    mill.script.fail(FailureKind::Permanent);
    let run = greeted(&mill).await;
    let (_, data) = told(&mill, FAILED).await;
    assert_eq!((&data["function_id"], &data["run_id"]), (&json!("hello"), &json!(run)));
    assert_eq!(data["error"]["message"], json!("scripted"));
    let event = &data["event"];
    assert_eq!(
        (&event["id"], &event["name"], &event["data"]),
        (&json!("order-1"), &json!("greet"), &json!({ "user": 7 }))
    );
    assert!(event["ts"].is_u64(), "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_told_something_is_not_told_of() {
    let mill = watched("event=jobmill/run.dead event=jobmill/run.completed").await;
    mill.script.fail(FailureKind::Permanent);
    mill.script.fail(FailureKind::Permanent);
    greeted(&mill).await;
    let (event, _) = told(&mill, DEAD).await;
    assert_eq!(mill.finished(event.runs[0]).await.run.head.state, RunState::Dead);
    // Whatever tells of it would be on record with its end.
    assert_eq!((events_of(&mill, DEAD).await.len(), events_of(&mill, COMPLETED).await.len()), (1, 0));
    let page = mill.handle.query().runs(&RunFilter::default(), None, 100, mill.handle.now()).await.expect("readable");
    assert_eq!(page.items.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_tried_again_is_not_told() {
    let hopper = tempfile::tempdir().expect("a directory");
    put(hopper.path(), "hello.wasm", "hello retries=1 event=greet");
    put(hopper.path(), "watcher.wasm", "watcher event=jobmill/run.dead");
    let mut mill = Mill::open(hopper, MemoryLog::new(), Arc::new(ManualClock::new()), 4);
    mill.until_catalog(|handle| handle.catalog().all_serving().count() == 2).await;
    mill.script.fail(FailureKind::Transient);
    mill.script.fail(FailureKind::Transient);
    let run = mill.enqueue().await;
    mill.until(run, RunState::Retryable).await;
    assert!(events_of(&mill, DEAD).await.is_empty());
    mill.clock.advance(Duration::from_mins(1));
    mill.finished(run).await;
    let (_, data) = told(&mill, DEAD).await;
    assert_eq!((&data["run"]["attempt"], &data["run"]["event"]), (&json!(2), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_take_what_is_said_holds_nothing_up() {
    let mill = watched("event=jobmill/run.dead schema={\"required\":[\"orderId\"]}").await;
    mill.script.fail(FailureKind::Permanent);
    let run = greeted(&mill).await;
    assert_eq!(mill.record(run).await.run.head.state, RunState::Dead);
    assert!(events_of(&mill, DEAD).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_where_nobody_listens() {
    let mill = watched("event=other").await;
    mill.script.fail(FailureKind::Permanent);
    greeted(&mill).await;
    let all = mill.handle.query().events(&EventFilter::default(), None, 100).await.expect("readable").items;
    assert_eq!(all.iter().map(|event| &*event.reference.name).collect::<Vec<_>>(), ["greet"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_crash_ended_is_told_at_the_next_start() {
    let mill = watched("event=jobmill/run.dead").await;
    let begun = mill.script.hang();
    let request = EventRequest::new("greet".to_owned(), Json::empty_object());
    let run = mill.handle.publish(vec![request]).await.expect("published")[0].runs[0];
    watchdog(begun.notified()).await;
    mill.engine.abort();
    let Mill { log, hopper, clock, .. } = mill;
    log.crash_keeping(Kept { groups: 0, notes: true });
    let mill = Mill::open(hopper, log, clock, 4);
    assert_eq!(mill.finished(run).await.run.head.state, RunState::Dead);
    let (event, data) = told(&mill, DEAD).await;
    assert_eq!((&data["run"]["id"], &data["error"]["kind"]), (&json!(run), &json!(FailureKind::Host)));
    assert_eq!(mill.finished(event.runs[0]).await.run.head.job.as_str(), "watcher");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_engine_publishes_under_its_own_names() {
    let mill = watched("event=jobmill/run.dead").await;
    for name in [DEAD, "JobMill/anything", FAILED] {
        let own = EventRequest::new(name.to_owned(), Json::empty_object());
        let batch = vec![EventRequest::new("greet".to_owned(), Json::empty_object()), own];
        let refused = mill.handle.publish(batch).await.expect_err("refused");
        let EnqueueError::Invalid { member, reason } = &refused else { panic!("{refused}") };
        assert!(member == "name" && reason.contains("reserved") && reason.contains(name), "{refused}");
    }
    let all = mill.handle.query().events(&EventFilter::default(), None, 100).await.expect("readable").items;
    assert_eq!(all, Vec::new(), "all or nothing");
    assert_eq!(mill.handle.query().event_by_key(EventKey::from_bytes([1; 16])).await, Ok(None));
}
