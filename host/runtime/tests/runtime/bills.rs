//! What an attempt used stands in its run, however it ended.
//! How the numbers are measured is tested where they are; here are real components.

use std::time::Duration;

use jobmill_core::bill::Bill;
use jobmill_core::{FailureKind, Outcome};

use crate::bench::{Bench, TIMEOUT};
use crate::guest::Guest;
use crate::orders::ordering;
use crate::outcomes::failure;

/// The outcome of a new run's first attempt, and the bill that is on record.
async fn billed(bench: &Bench, guest: &Guest) -> (Outcome, Bill) {
    let loaded = bench.load(guest).await;
    let run = bench.enqueue("{}").await;
    let outcome = bench.attempt(&loaded).await;
    let bill = bench.record(run).await.run.attempts[0].bill.clone();
    (outcome, *bill.expect("the end was seen"))
}

#[tokio::test]
async fn a_guest_that_computes_uses_a_processor() {
    let bench = Bench::new();
    let busy = Guest::new(
        "(local $n i32) (local $x i64)
         (loop $l
           (local.set $x (i64.add (i64.mul (local.get $x) (i64.const 6364136223846793005)) (i64.const 1)))
           (i64.store (i32.const 0) (local.get $x))
           (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000000))))
         (call $done)",
    );
    let (outcome, busy) = billed(&bench, &busy).await;
    assert_eq!(outcome, Outcome::Completed { output: None });
    // A hundred million rounds take no processor of today less.
    assert!(busy.cpu() >= Duration::from_millis(10), "{busy}");
    let (_, idle) = billed(&bench, &Guest::new("(call $done)")).await;
    assert!(idle.cpu_micros > 0 && idle.cpu() < busy.cpu(), "{idle} and {busy}");
    assert_eq!((idle.wall_micros, idle.host_calls), (0, 0), "the clock stands still");
}

#[tokio::test]
async fn a_guest_that_waits_takes_time_and_hardly_a_processor_and_a_timeout_has_its_bill() {
    let guest = Guest::new("(call $block (call $timer (i64.const 9000000000000000000))) (call $done)")
        .import_from("wasi:clocks/monotonic-clock@0.2.0", "subscribe-duration", "$timer", "(param i64) (result i32)")
        .import_from("wasi:io/poll@0.2.0", "[method]pollable.block", "$block", "(param i32)");
    let bench = Bench::new();
    let passing = async {
        bench.clock.has_sleeper().await;
        bench.clock.advance(TIMEOUT);
    };
    let ((outcome, bill), ()) = tokio::join!(billed(&bench, &guest), passing);
    assert_eq!(failure(&outcome).0, FailureKind::Timeout);
    assert_eq!(bill.wall(), TIMEOUT);
    assert!(bill.cpu() < TIMEOUT / 5, "{bill}");
}

#[tokio::test]
async fn a_trap_has_its_bill_with_the_memory_that_was_taken() {
    let (outcome, small) = billed(&Bench::new(), &Guest::new("(unreachable)")).await;
    assert_eq!(failure(&outcome).0, FailureKind::Trap);
    let (_, large) = billed(&Bench::new(), &Guest::new("(drop (memory.grow (i32.const 16))) (unreachable)")).await;
    assert!(small.memory > 0);
    assert_eq!(large.memory - small.memory, 16 * 65_536);
}

#[tokio::test]
async fn calls_beyond_the_sandbox_are_listed_in_their_order_with_those_that_failed() {
    let bench = Bench::new();
    bench.put_order("o1").await;
    let changed = ordering("(drop (call $read)) (drop (call $set (i32.const 2))) (call $good (call $read))");
    let (_, bill) = billed(&bench, &changed).await;
    let told = |bill: &Bill| bill.calls.iter().map(|call| (call.name.to_string(), call.failed)).collect::<Vec<_>>();
    let call = |name: &str, failed| (name.to_owned(), failed);
    assert_eq!(told(&bill), [call("fetch-order", false), call("update-order", false), call("fetch-order", false)]);
    assert_eq!(bill.host_calls, 3);
    // In a book without the order both fail.
    let (_, bill) = billed(&Bench::new(), &changed).await;
    assert_eq!(told(&bill), [call("fetch-order", true), call("update-order", true), call("fetch-order", true)]);
}

#[tokio::test]
async fn a_trial_has_its_bill_too() {
    let bench = Bench::new();
    let loaded = bench.load(&Guest::new("(call $done)")).await;
    bench.enqueue("{}").await;
    let context = bench.claim().await.in_trial();
    let (_, context) = loaded.runner.run(context, TIMEOUT, jobmill_engine::Stop::default()).await;
    assert!(context.into_remainder().bill.is_some_and(|bill| bill.memory > 0));
}
