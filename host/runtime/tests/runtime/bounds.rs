//! What a hostile component can't take: memory, stack, host calls, the log, the host's own memory, another's run.

use jobmill_core::{FailureKind, Outcome, limits};
use jobmill_engine::Stop;

use crate::bench::{Bench, TIMEOUT, output};
use crate::guest::{DATA, Guest};
use crate::outcomes::{WRITE, failure};

const LOG: &str = "(param i32 i32 i32 i32 i32)";
const LOG_CALL: &str = "(call $log (i32.const 2) (i32.const 2048) (i32.const 1) (i32.const 0) (i32.const 0))";

async fn kind_of(guest: &Guest) -> FailureKind {
    failure(&Bench::new().first_attempt(guest).await).0
}

#[tokio::test]
async fn memory_ends_at_its_limit() {
    let guest = Guest::new("(loop $l (drop (memory.grow (i32.const 16))) (br $l)) (unreachable)");
    let outcome = Bench::new().first_attempt(&guest).await;
    let (kind, message, trace) = failure(&outcome);
    assert_eq!(kind, FailureKind::Memory);
    assert!(message.contains("it may have 64 MiB (limits.memory)"), "{message}");
    assert!(trace.is_some());
}

#[tokio::test]
async fn tables_end_at_their_limit() {
    let guest = Guest::new("(drop (table.grow $t (ref.null func) (i32.const 30000))) (call $done)")
        .item("(table $t 0 funcref)");
    assert_eq!(kind_of(&guest).await, FailureKind::Limit);
}

#[tokio::test]
async fn endless_recursion_is_a_trap_with_or_without_host_calls() {
    let plain = Guest::new("(call $again) (call $done)").item("(func $again (call $again))");
    let outcome = Bench::new().first_attempt(&plain).await;
    assert_eq!(failure(&outcome).1, "wasm trap: call stack exhausted");
    // Large frames, so that the stack is full before the host calls are used up.
    let locals = "(local v128)".repeat(200);
    let each = |write: fn(usize) -> String| (0..200).map(write).collect::<Vec<_>>().concat();
    let sets = each(|n| format!("(local.set {n} (v128.load (i32.const {})))", n * 16));
    let gets = each(|n| format!("(v128.store (i32.const {}) (local.get {n}))", n * 16));
    let calling = Guest::new("(call $again) (call $done)")
        .import("log", "log", "$log", LOG)
        .item(&format!("(func $again {locals} {sets} {LOG_CALL} (call $again) {gets})"));
    assert_eq!(kind_of(&calling).await, FailureKind::Trap);
}

#[tokio::test]
async fn a_flood_of_host_calls_ends_and_leaves_a_bounded_log() {
    let guest = Guest::new(&format!("(loop $l {LOG_CALL} (br $l)) (unreachable)"))
        .data(DATA, "x")
        .import("log", "log", "$log", LOG);
    let bench = Bench::new();
    let loaded = bench.load(&guest).await;
    bench.enqueue("{}").await;
    let (outcome, context) = loaded.runner.run(bench.claim().await, TIMEOUT, Stop::default()).await;
    let (kind, message, _) = failure(&outcome);
    assert_eq!(
        (kind, message),
        (FailureKind::Limit, "the attempt made more than 10000 host calls (limits.host_calls)")
    );
    let remainder = context.into_remainder();
    assert_eq!(remainder.log.len(), limits::LOG_LINES);
    assert_eq!(remainder.log_dropped, limits::HOST_CALLS - limits::LOG_LINES as u64);
}

#[tokio::test]
async fn a_flood_of_prints_ends_and_leaves_a_bounded_log() {
    let guest = Guest::new(
        "(local $stdout i32) (local.set $stdout (call $stdout))
         (loop $l (call $write (local.get $stdout) (i32.const 2048) (i32.const 4000) (i32.const 1024)) (br $l))
         (unreachable)",
    )
    .data(DATA, &"x\n".repeat(2_000))
    .import_from("wasi:cli/stdout@0.2.0", "get-stdout", "$stdout", "(result i32)")
    .import_from("wasi:io/streams@0.2.0", WRITE, "$write", "(param i32 i32 i32 i32)");
    let bench = Bench::new();
    let loaded = bench.load(&guest).await;
    bench.enqueue("{}").await;
    let (outcome, context) = loaded.runner.run(bench.claim().await, TIMEOUT, Stop::default()).await;
    assert_eq!(failure(&outcome).0, FailureKind::Limit);
    let remainder = context.into_remainder();
    assert_eq!(remainder.log.len(), limits::LOG_LINES);
    assert_eq!(remainder.log_dropped, limits::HOST_CALLS * 2_000 - limits::LOG_LINES as u64);
}

#[tokio::test]
async fn one_host_call_lifts_no_more_than_its_limit() {
    let giant = Guest::new(
        "(call $log (i32.const 2) (i32.const 65536) (i32.const 2000000) (i32.const 0) (i32.const 0)) (call $done)",
    )
    .pages(64)
    .import("log", "log", "$log", LOG);
    let outcome = Bench::new().first_attempt(&giant).await;
    let (kind, message, _) = failure(&outcome);
    assert_eq!(
        (kind, message),
        (FailureKind::Limit, "the component handed over more than 1 MiB (limits.host_call) at once")
    );
    // A thousand fields that share one text: small in the guest, large once lifted.
    let overlapping: Vec<usize> = (0..1_000).flat_map(|_| [65_536, 500_000, 65_536, 500_000]).collect();
    let amplified = Guest::new(
        "(call $log (i32.const 2) (i32.const 2048) (i32.const 1) (i32.const 4096) (i32.const 1000)) (call $done)",
    )
    .pages(16)
    .words(4096, &overlapping)
    .import("log", "log", "$log", LOG);
    assert_eq!(kind_of(&amplified).await, FailureKind::Limit);
}

#[tokio::test]
async fn an_output_beyond_its_limit_is_not_kept() {
    let guest = Guest::new("(call $output (i32.const 65536) (i32.const 300000))").pages(16);
    let outcome = Bench::new().first_attempt(&guest).await;
    let (kind, message, _) = failure(&outcome);
    assert_eq!(
        (kind, message),
        (FailureKind::Limit, "the output has 300000 bytes; it may have 256 KiB (limits.output)")
    );
}

#[tokio::test]
async fn handles_and_randomness_are_bounded() {
    let timers = Guest::new("(loop $l (drop (call $timer (i64.const 1))) (br $l)) (unreachable)").import_from(
        "wasi:clocks/monotonic-clock@0.2.0",
        "subscribe-duration",
        "$timer",
        "(param i64) (result i32)",
    );
    assert_eq!(kind_of(&timers).await, FailureKind::Limit);
    let random = Guest::new("(call $random (i64.const 1000000) (i32.const 4096)) (call $done)").import_from(
        "wasi:random/random@0.2.0",
        "get-random-bytes",
        "$random",
        "(param i64 i32)",
    );
    let outcome = Bench::new().first_attempt(&random).await;
    let (kind, message, _) = failure(&outcome);
    assert_eq!(kind, FailureKind::Limit);
    assert!(message.ends_with("than it may have: 64 KiB (limits.random)"), "{message}");
}

#[tokio::test]
async fn nothing_of_one_attempt_is_left_for_the_next() {
    // The output is 1 plus a byte of memory plus a global; both are changed afterwards.
    let guest = Guest::new(
        "(i32.store8 (i32.const 2048)
           (i32.add (i32.const 49) (i32.add (global.get $seen) (i32.load8_u (i32.const 100000)))))
         (memory.fill (i32.const 65536) (i32.const 1) (i32.const 65536))
         (global.set $seen (i32.const 1))
         (call $output (i32.const 2048) (i32.const 1))",
    )
    .item("(global $seen (mut i32) (i32.const 0))");
    let bench = Bench::new();
    let loaded = bench.load(&guest).await;
    for _ in 0..5 {
        bench.enqueue("{}").await;
        assert_eq!(output(&bench.attempt(&loaded).await), "1");
    }
}

#[tokio::test]
async fn attempts_can_be_torn_down_in_the_middle_hundreds_of_times() {
    let bench = Bench::new();
    let endless = bench.load(&Guest::new("(loop $l (br $l)) (unreachable)")).await;
    for _ in 0..300 {
        bench.enqueue("{}").await;
        let stop = Stop::default();
        stop.cancelled.cancel();
        assert_eq!(bench.attempt_until(&endless, stop).await, Outcome::Cancelled);
    }
    assert_eq!(bench.first_attempt(&Guest::new("(call $done)")).await, Outcome::Completed { output: None });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loops_in_every_place_leave_room_for_others() {
    let bench = Bench::new();
    let endless = bench.load(&Guest::new("(loop $l (br $l)) (unreachable)")).await;
    let mut loops = tokio::task::JoinSet::new();
    let stop = Stop::default();
    for _ in 0..2 {
        bench.enqueue("{}").await;
        let (context, runner, stop) = (bench.claim().await, std::sync::Arc::clone(&endless.runner), stop.clone());
        loops.spawn(async move { runner.run(context, TIMEOUT, stop).await.0 });
    }
    bench.clock.has_sleeper().await;
    // Two loops on two threads: the loader still gets its turn on both.
    bench.load(&Guest::new("(call $done)")).await;
    stop.cancelled.cancel();
    while let Some(outcome) = loops.join_next().await {
        assert_eq!(outcome.expect("no panic"), Outcome::Cancelled);
    }
}
