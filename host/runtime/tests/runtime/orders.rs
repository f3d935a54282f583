//! Order changes: shown at once, committed with their attempt, made once for a run.

use jobmill_backends::FaultKind;
use jobmill_core::order::OrderStatus;
use jobmill_core::{Clock, FailureKind};

use crate::bench::{Bench, output};
use crate::guest::{DATA, FAIL_FIRST, Guest, RESULT};
use crate::outcomes::failure;

/// With the orders interface and the order `o1`; `$status` reads the status of a result, or 9 for an error.
fn ordering(run: &str) -> Guest {
    Guest::counting(run)
        .import("orders", "fetch-order", "$fetch", "(param i32 i32 i32)")
        .import("orders", "update-order", "$update", "(param i32 i32 i32 i32 i32 i32 i32 i32 i64 i32)")
        .item(&format!(
            "(func $read (result i32)
               (call $fetch (i32.const {DATA}) (i32.const 2) (i32.const {RESULT})) (call $status))
             (func $set (param $status i32) (result i32)
               (call $update (i32.const {DATA}) (i32.const 2) (i32.const 1) (local.get $status)
                 (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const {RESULT}))
               (call $status))
             (func $status (result i32)
               (if (result i32) (i32.load8_u (i32.const {RESULT}))
                 (then (i32.const 9)) (else (i32.load8_u (i32.const {})))))
             (func $error (result i32) (i32.load8_u (i32.const {})))",
            RESULT + 16,
            RESULT + 8
        ))
        .data(DATA, "o1")
}

#[tokio::test]
async fn an_order_that_is_changed_shows_it_at_once_and_keeps_it_with_the_attempt() {
    let bench = Bench::new();
    bench.put_order("o1").await;
    // Paid is 1, fulfilled 2.
    let guest = ordering(
        "(if (i32.ne (call $read) (i32.const 1)) (then (unreachable)))
         (drop (call $set (i32.const 2))) (call $good (call $read))",
    );
    let loaded = bench.load(&guest).await;
    let run = bench.enqueue("{}").await;
    let context = bench.claim().await;
    let before = bench.store.order("o1").await.expect("readable");
    assert_eq!(before.map(|order| order.status), Some(OrderStatus::Paid));
    drop(context);
    bench.store.rescue(bench.clock.now()).await.expect("rescued");
    assert_eq!(output(&bench.attempt(&loaded).await), "2");
    let order = bench.store.order("o1").await.expect("readable").expect("in the book");
    assert_eq!((order.status, order.fulfilled_at), (OrderStatus::Fulfilled, Some(bench.clock.now())));
    assert_eq!(bench.record(run).await.memory().orders.len(), 1);
}

#[tokio::test]
async fn a_change_of_an_order_is_done_once_over_all_attempts() {
    let bench = Bench::new();
    let revision = bench.put_order("o1").await.revision;
    let guest =
        ordering(&format!("(drop (call $set (i32.const 2))) {FAIL_FIRST} (call $good (call $set (i32.const 2)))"));
    let loaded = bench.load(&guest).await;
    bench.enqueue("{}").await;
    assert_eq!(failure(&bench.attempt(&loaded).await).0, FailureKind::Transient);
    let after = |order: Option<jobmill_core::order::Order>| order.map(|order| order.revision);
    assert_eq!(after(bench.store.order("o1").await.expect("readable")), Some(revision + 1));
    assert_eq!(output(&bench.attempt(&loaded).await), "2");
    assert_eq!(after(bench.store.order("o1").await.expect("readable")), Some(revision + 1));
}

#[tokio::test]
async fn what_an_order_refuses_is_told_by_its_case() {
    let bench = Bench::new();
    let missing = ordering("(drop (call $read)) (call $bad (call $error))");
    // `not-found` is the first case, `invalid-transition` the third, `denied` the fourth, `unavailable` the sixth.
    assert_eq!(output(&bench.first_attempt(&missing).await), "-0");
    bench.put_order("o1").await;
    let backwards = ordering("(drop (call $set (i32.const 0))) (call $bad (call $error))");
    assert_eq!(output(&bench.first_attempt(&backwards).await), "-2");
    let forwards = ordering("(drop (call $set (i32.const 2))) (call $bad (call $error))");
    bench.order_faults.fail_next(1, FaultKind::Permanent);
    assert_eq!(output(&bench.first_attempt(&forwards).await), "-3");
    bench.order_faults.fail_next(1, FaultKind::Transient);
    assert_eq!(output(&bench.first_attempt(&forwards).await), "-5");
    let stale = ordering(&format!(
        "(call $update (i32.const {DATA}) (i32.const 2) (i32.const 1) (i32.const 2)
           (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i64.const 77) (i32.const {RESULT}))
         (call $bad (call $error))"
    ));
    assert_eq!(output(&bench.first_attempt(&stale).await), "-1");
}
