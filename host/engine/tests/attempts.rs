//! What becomes of runs: retries on time, cancels, snoozes, crashes, shutdown.

mod support;

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::journal::{EffectKey, EntryKind};
use jobmill_core::order::{Money, Order, OrderPatch, OrderStatus};
use jobmill_core::{FailureKind, Json, Outcome, RunState, Timestamp};
use jobmill_engine::{EngineError, EnqueueError, EnqueueRequest, EventRequest};
use jobmill_store::{DeadFilter, StoreError};
use support::{ManualClock, Mill, put, watchdog};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_enqueued_claimed_and_completed() {
    let mill = Mill::start();
    let run = mill.enqueue().await;
    let record = mill.finished(run).await;
    assert_eq!(record.run.head.state, RunState::Completed);
    assert_eq!(record.run.output, Some(Json::empty_object()));
    let kinds: Vec<_> = record.journal.iter().map(|entry| std::mem::discriminant(&entry.kind)).collect();
    assert_eq!(kinds.len(), 3, "enqueued, started, finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_come_after_one_and_two_seconds_and_then_the_run_is_dead() {
    let mut mill = Mill::start();
    for _ in 0..3 {
        mill.script.fail(FailureKind::Transient);
    }
    let run = mill.enqueue().await;
    let start = mill.until(run, RunState::Retryable).await.started_at.expect("started");
    mill.clock.advance(SECOND.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(mill.record(run).await.run.attempts.len(), 1, "not a millisecond early");
    mill.clock.advance(Duration::from_millis(1));
    let second = mill.until(run, RunState::Retryable).await;
    assert_eq!(second.started_at, Some(start.after(SECOND)));
    mill.clock.advance(2 * SECOND);
    let record = mill.finished(run).await;
    assert_eq!(record.run.head.state, RunState::Dead);
    assert_eq!(record.run.head.started_at, Some(start.after(3 * SECOND)));
    assert_eq!(record.run.attempts.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_one_run_back_for_no_fault_of_its_own_keeps_the_job_back_and_costs_no_attempt() {
    let mut mill = Mill::start();
    let reason = "the mail server refuses us: 535".to_owned();
    mill.script.outcome(Outcome::Held { delay: 30 * SECOND, reason, whole_job: true });
    let first = mill.enqueue().await;
    let held = mill.until(first, RunState::Scheduled).await;
    assert_eq!(held.attempt, 0);
    assert_eq!(held.error.expect("told").message.as_ref(), "the mail server refuses us: 535");

    let second = mill.enqueue().await;
    let waiting = mill.handle.waiting_for(&mill.record(second).await.run.head).await.expect("readable");
    let waiting = waiting.expect("it waits");
    assert_eq!(waiting.kind, "breaker");
    assert!(waiting.detail.contains("the mail server refuses us: 535"), "{}", waiting.detail);
    assert_eq!(waiting.until, Some(held.scheduled_at));

    mill.clock.advance(30 * SECOND);
    for run in [first, second] {
        let record = mill.finished(run).await;
        assert_eq!((record.run.head.state, record.run.head.attempt), (RunState::Completed, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_one_run_back_alone_lets_the_others_go_on() {
    let mut mill = Mill::start();
    let reason = "shop.example asks to slow down".to_owned();
    mill.script.outcome(Outcome::Held { delay: 30 * SECOND, reason, whole_job: false });
    let first = mill.enqueue().await;
    mill.until(first, RunState::Scheduled).await;
    let second = mill.enqueue().await;
    assert_eq!(mill.finished(second).await.run.head.state, RunState::Completed);
    mill.clock.advance(30 * SECOND);
    assert_eq!(mill.finished(first).await.run.head.state, RunState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_run_completes_after_it_is_put_back() {
    let mill = Mill::start();
    mill.script.fail(FailureKind::Permanent);
    let run = mill.enqueue().await;
    assert_eq!(mill.finished(run).await.run.head.state, RunState::Dead);
    let filter = DeadFilter { ids: Some(vec![run]), ..DeadFilter::default() };
    let outcome = mill.handle.requeue_many(filter, Duration::ZERO, None, false).await.expect("requeued");
    assert_eq!(outcome.changed, [run]);
    let record = watchdog(async {
        loop {
            let record = mill.finished(run).await;
            if record.run.head.state == RunState::Completed {
                return record;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(record.run.attempts.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_the_attempt_that_runs() {
    let mut mill = Mill::start();
    mill.script.hang();
    let run = mill.enqueue().await;
    mill.until(run, RunState::Running).await;
    let head = watchdog(mill.handle.cancel(run, "ordered twice")).await.expect("cancelled");
    assert_eq!((head.state, head.cancel_reason.as_deref()), (RunState::Cancelled, Some("ordered twice")));
    let refused = mill.handle.cancel(run, "again").await.expect_err("final");
    assert!(refused.to_string().contains("is cancelled"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_host_fails_the_attempt_only() {
    let mut mill = Mill::start();
    mill.script.play(Box::new(|_, _| Box::pin(async { panic!("a bug") })));
    let run = mill.enqueue().await;
    mill.until(run, RunState::Available).await;
    let record = mill.finished(run).await;
    assert_eq!(record.run.head.state, RunState::Completed);
    let error = record.run.attempts[0].error.clone().expect("failed");
    assert_eq!((error.kind, error.message.as_str()), (FailureKind::Host, "the engine panicked: a bug"));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_go_on_after_a_crash_and_the_attempt_counts() {
    let mut mill = Mill::start();
    let begun = mill.script.hang();
    mill.script.fail(FailureKind::Transient);
    let running = mill.enqueue().await;
    watchdog(begun.notified()).await;
    let retrying = mill.enqueue().await;
    mill.until(retrying, RunState::Retryable).await;
    mill.engine.abort();
    let Mill { hopper, log, clock, .. } = mill;
    log.crash();
    let mill = Mill::open(hopper, log, Arc::clone(&clock), 4);
    mill.ready().await;
    let record = mill.finished(running).await;
    assert_eq!((record.run.head.state, record.run.attempts.len()), (RunState::Completed, 2));
    assert_eq!(record.run.attempts[0].error.as_ref().map(|error| error.kind), Some(FailureKind::Host));
    clock.advance(SECOND);
    assert_eq!(mill.finished(retrying).await.run.head.state, RunState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_waits_for_the_grace_then_interrupts_and_charges_nothing() {
    let mut mill = Mill::start();
    let interrupted = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&interrupted);
    mill.script.play(Box::new(move |context, stop| {
        Box::pin(async move {
            stop.interrupted.cancelled().await;
            told.notify_one();
            (Outcome::Interrupted, context)
        })
    }));
    let run = mill.enqueue().await;
    mill.until(run, RunState::Running).await;
    mill.handle.shutdown();
    // The grace is 30 s from when the loop notices. After the interruption the clock stands still again.
    let mut steps = 0;
    while tokio::time::timeout(Duration::from_millis(500), interrupted.notified()).await.is_err() {
        assert!(steps < 20, "it was never interrupted");
        mill.clock.advance(Duration::from_secs(10));
        steps += 1;
    }
    assert!(steps >= 3, "it was interrupted before its grace was over");
    let (hopper, log, clock, ended) = mill.stop().await;
    assert_eq!(ended, Ok(()));
    let mill = Mill::open(hopper, log, clock, 4);
    let record = mill.record(run).await;
    assert!(record.run.attempts[0].error.is_none(), "interrupted, not failed");
    mill.ready().await;
    let record = mill.finished(run).await;
    assert_eq!((record.run.head.state, record.run.head.attempt), (RunState::Completed, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_attempts_run_at_once_than_there_is_room_for() {
    let hopper = tempfile::tempdir().expect("a directory");
    put(hopper.path(), "hello.wasm", "hello");
    let mut mill = Mill::open(hopper, jobmill_store::MemoryLog::new(), Arc::new(ManualClock::new()), 1);
    mill.script.hang();
    let first = mill.enqueue().await;
    mill.until(first, RunState::Running).await;
    let second = mill.enqueue().await;
    let third = mill.enqueue().await;
    let head = mill.record(third).await.run.head;
    let waiting = mill.handle.waiting_for(&head).await.expect("readable").expect("waits");
    assert_eq!((waiting.kind, waiting.position), ("queue-full", Some(1)));
    mill.handle.cancel(first, "room").await.expect("cancelled");
    assert_eq!(mill.finished(second).await.run.head.state, RunState::Completed);
    assert_eq!(mill.finished(third).await.run.head.state, RunState::Completed);
}

fn order() -> Order {
    Order {
        id: "order_1".to_owned(),
        status: OrderStatus::Paid,
        customer_email: "ada@example.com".to_owned(),
        customer_name: None,
        items: Vec::new(),
        total: Money { minor: 1, currency: "EUR".to_owned() },
        created_at: Timestamp::from_millis(0),
        fulfilled_at: None,
        refunded_at: None,
        metadata: Json::empty_object(),
        revision: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_changed_under_an_attempt_makes_it_try_again() {
    let mut mill = Mill::start();
    mill.handle.put_order(order()).await.expect("kept");
    let (reached, may_end) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let gate = (Arc::clone(&reached), Arc::clone(&may_end));
    mill.script.play(Box::new(move |mut context, _| {
        Box::pin(async move {
            let patch = OrderPatch { status: Some(OrderStatus::Fulfilled), ..OrderPatch::default() };
            let key = EffectKey::order("order_1", &patch, 0);
            context.keep_order_update(key, "order_1".to_owned(), patch).expect("room in the journal");
            gate.0.notify_one();
            gate.1.notified().await;
            (Outcome::Completed { output: None }, context)
        })
    }));
    let run = mill.enqueue().await;
    watchdog(reached.notified()).await;
    let refunded = Order { status: OrderStatus::Refunded, ..order() };
    mill.handle.put_order(refunded).await.expect("kept");
    may_end.notify_one();
    let head = mill.until(run, RunState::Retryable).await;
    assert!(head.error.expect("failed").message.starts_with("order changed meanwhile"));
    let kept = mill.handle.query().order("order_1").await.expect("readable").expect("there");
    assert_eq!((kept.status, kept.revision), (OrderStatus::Refunded, 2));
    let journal = mill.record(run).await.journal;
    assert!(!journal.iter().any(|entry| matches!(entry.kind, EntryKind::OrderUpdated { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_start_a_run_of_every_job_that_listens_once() {
    let mill = Mill::start();
    put(mill.hopper.path(), "other.wasm", "other event=greet");
    mill.until_catalog(|handle| handle.catalog().all_serving().count() == 2).await;
    let event = |name: &str| EventRequest {
        id: Some(format!("{name}-1").parse().expect("an event id")),
        ..EventRequest::new(name.to_owned(), Json::empty_object())
    };
    let first = mill.handle.publish(vec![event("greet"), event("unheard")]).await.expect("published");
    assert_eq!((first[0].runs.len(), first[1].runs.len()), (2, 0));
    let again = mill.handle.publish(vec![event("greet")]).await.expect("published");
    assert_eq!((again[0].replayed, &again[0].runs), (true, &first[0].runs));
    let kept = mill.handle.query().event(&first[1].id).await.expect("readable").expect("kept");
    assert_eq!(kept.data, Json::empty_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_at_the_door() {
    let mill = Mill::start();
    put(mill.hopper.path(), "strict.wasm", "strict event=greet schema={\"required\":[\"orderId\"]}");
    mill.until_catalog(|handle| handle.catalog().all_serving().count() == 2).await;
    let enqueue = |job: &str| mill.handle.enqueue(EnqueueRequest::new(job.parse().expect("id"), Json::empty_object()));
    let unknown = enqueue("helo").await.expect_err("unknown");
    assert_eq!(unknown.to_string(), "there is no job \"helo\"; did you mean \"hello\"?");
    let Err(EnqueueError::Payload { problems, .. }) = enqueue("strict").await else { panic!("it fits nothing") };
    assert_eq!(problems[0].pointer, "/orderId");
    let event = EventRequest::new("greet".to_owned(), Json::empty_object());
    assert!(matches!(mill.handle.publish(vec![event]).await, Err(EnqueueError::Payload { event: Some(0), .. })));
    let counts = mill.handle.query().counts(None, mill.handle.now()).await.expect("readable");
    assert_eq!(counts.0, [0; 7], "all or nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_stops_the_engine() {
    let mill = Mill::start();
    mill.ready().await;
    mill.log.fail_syncs(true);
    let request = EnqueueRequest::new("hello".parse().expect("a job id"), Json::empty_object());
    let refused = mill.handle.enqueue(request).await.expect_err("not durable");
    assert!(matches!(refused, EnqueueError::Store(StoreError::Failed(_))), "{refused}");
    mill.clock.advance(Duration::from_secs(10));
    let ended = watchdog(mill.engine).await.expect("no panic");
    assert!(matches!(ended, Err(EngineError::Store(StoreError::Failed(_)))), "{ended:?}");
}
