//! Order changes: shown at once, committed with their attempt, made once for a run.

use std::collections::BTreeMap;
use std::time::Duration;

use jobmill_backends::{FaultKind, HttpOrders, OrderFields};
use jobmill_core::flow::Pointer;
use jobmill_core::journal::{EntryKind, RememberedChange};
use jobmill_core::order::OrderStatus;
use jobmill_core::{Clock, FailureKind};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::bench::{Bench, output};
use crate::guest::{DATA, FAIL_FIRST, Guest, RESULT};
use crate::outcomes::failure;

/// With the orders interface and the order `o1`; `$status` reads the status of a result, or 9 for an error.
pub(crate) fn ordering(run: &str) -> Guest {
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

/// An order as the embedded book shows it.
fn fields() -> OrderFields {
    let at = |pointer: &str| Pointer::try_from(pointer.to_owned()).expect("a pointer");
    OrderFields {
        status: at("/status"),
        customer_email: at("/customer_email"),
        customer_name: at("/customer_name"),
        items: at("/items"),
        total: at("/total/minor"),
        currency: at("/total/currency"),
        created_at: at("/created_at"),
        fulfilled_at: at("/fulfilled_at"),
        refunded_at: at("/refunded_at"),
        metadata: at("/metadata"),
        revision: at("/revision"),
        item_sku: at("/sku"),
        item_name: at("/name"),
        item_quantity: at("/quantity"),
        item_unit_price: at("/unit_price/minor"),
        item_currency: at("/unit_price/currency"),
    }
}

/// A shop with the one order `o1`, which hangs up on the first `lost` changes and makes none of those. Tells the key of
/// each that is asked for.
pub(crate) async fn shop(mut lost: usize) -> (HttpOrders, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let (asked, keys) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut status = "paid";
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let (mut first, mut length, mut key) = (String::new(), 0, String::new());
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.expect("a request");
                match line.trim_end().split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value)) {
                    Some((name, value)) if name == "content-length" => length = value.parse().expect("a length"),
                    Some((name, value)) if name == "idempotency-key" => value.clone_into(&mut key),
                    None if first.is_empty() => first = line,
                    None if line == "\r\n" => break,
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.expect("a body");
            if first.starts_with("PATCH") {
                assert_eq!(body, br#"{"status":"fulfilled"}"#);
                asked.send(key).await.expect("somebody reads");
                if lost > 0 {
                    lost -= 1;
                    continue;
                }
                status = "fulfilled";
            }
            let order = format!(
                r#"{{"id":"o1","status":"{status}","customer_email":"ada@example.com","items":[],
                "total":{{"minor":1250,"currency":"EUR"}},"created_at":"2026-03-01T09:00:00Z"}}"#
            );
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", order.len());
            stream.write_all((head + &order).as_bytes()).await.expect("answers");
        }
    });
    let settings = HttpOrders {
        base_url: format!("http://{address}/orders"),
        token: None,
        timeout: Duration::from_secs(5),
        fields: fields(),
        statuses: BTreeMap::new(),
    };
    (settings, keys)
}

#[tokio::test]
async fn a_change_in_the_shop_whose_answer_is_lost_is_asked_for_again_under_the_same_key() {
    let (settings, mut keys) = shop(1).await;
    let bench = Bench::of_shop(settings);
    let guest = ordering(&format!(
        "(local $set i32) (local.set $set (call $set (i32.const 2))) {FAIL_FIRST} (call $good (local.get $set))"
    ));
    let loaded = bench.load(&guest).await;
    let run = bench.enqueue("{}").await;
    bench.attempt(&loaded).await;
    let standing = |memory: jobmill_core::journal::Memory| memory.orders.into_values().collect::<Vec<_>>();
    assert_eq!(standing(bench.record(run).await.memory()), [RememberedChange::InDoubt]);
    assert_eq!(output(&bench.attempt(&loaded).await), "2");
    assert_eq!(standing(bench.record(run).await.memory()), [RememberedChange::Made]);
    let first = keys.recv().await.expect("asked");
    assert_eq!((first.len(), keys.recv().await.as_ref()), (32, Some(&first)));
    let effects = bench.record(run).await.journal.into_iter().filter_map(|entry| match entry.kind {
        EntryKind::OrderIntended { .. } => Some("intended"),
        EntryKind::OrderSettled { error: None, .. } => Some("made"),
        EntryKind::OrderUpdated { .. } => Some("written to our own store"),
        _ => None,
    });
    assert_eq!(effects.collect::<Vec<_>>(), ["intended", "intended", "made"]);
}

#[tokio::test]
async fn a_change_in_the_shop_is_made_once_over_all_attempts() {
    let (settings, mut keys) = shop(0).await;
    let bench = Bench::of_shop(settings);
    let guest =
        ordering(&format!("(drop (call $set (i32.const 2))) {FAIL_FIRST} (call $good (call $set (i32.const 2)))"));
    let loaded = bench.load(&guest).await;
    bench.enqueue("{}").await;
    assert_eq!(failure(&bench.attempt(&loaded).await).0, FailureKind::Transient);
    assert_eq!(output(&bench.attempt(&loaded).await), "2");
    keys.recv().await.expect("asked once");
    assert!(keys.try_recv().is_err(), "and not again");
}
