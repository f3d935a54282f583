//! How an attempt's end is told.

use std::time::Duration;

use jobmill_core::journal::LogLevel;
use jobmill_core::{FailureKind, Json, Outcome};
use jobmill_engine::Stop;

use crate::bench::{Bench, TIMEOUT, output};
use crate::guest::{DATA, Guest};

/// The function by which a guest prints.
pub(crate) const WRITE: &str = "[method]output-stream.blocking-write-and-flush";

/// The kind and the text of a failure, and its trace.
pub(crate) fn failure(outcome: &Outcome) -> (FailureKind, &str, Option<&str>) {
    match outcome {
        Outcome::Failed { error, .. } => (error.kind, error.message.as_str(), error.trace.as_deref()),
        other => panic!("not failed: {other:?}"),
    }
}

#[tokio::test]
async fn what_the_job_returns_is_the_outcome() {
    let bench = Bench::new();
    assert_eq!(bench.first_attempt(&Guest::new("(call $done)")).await, Outcome::Completed { output: None });
    let json = Guest::new("(call $output (i32.const 2048) (i32.const 13))").data(DATA, "{\"done\": true}");
    let truncated = bench.first_attempt(&json).await;
    assert_eq!(failure(&truncated).0, FailureKind::BadOutput);
    let json = Guest::new("(call $output (i32.const 2048) (i32.const 14))").data(DATA, "{\"done\": true}");
    let completed = Outcome::Completed { output: Json::parse("{\"done\": true}").ok() };
    assert_eq!(bench.first_attempt(&json).await, completed);
}

#[tokio::test]
async fn the_job_gets_its_payload_byte_for_byte() {
    let bench = Bench::new();
    let echo = bench.load(&Guest::new("(call $output (local.get $payload) (local.get $payload_bytes))")).await;
    bench.enqueue("{\"b\": 1.00, \"a\" : [\"ü\"]}").await;
    assert_eq!(output(&bench.attempt(&echo).await), "{\"b\": 1.00, \"a\" : [\"ü\"]}");
}

#[tokio::test]
async fn each_failure_keeps_its_kind_and_its_words() {
    let bench = Bench::new();
    let failing = |kind| Guest::new(&format!("(call $fail (i32.const {kind}) (i32.const 2048) (i32.const 8))"));
    let transient = bench.first_attempt(&failing(0).data(DATA, "no luck\u{1b}")).await;
    assert_eq!(failure(&transient), (FailureKind::Transient, "no luck\u{fffd}", None));
    let permanent = bench.first_attempt(&failing(1).data(DATA, "no order")).await;
    assert_eq!(failure(&permanent), (FailureKind::Permanent, "no order", None));
    let later = Guest::new(
        "(i64.store (i32.const 1040) (i64.const 90000)) (i32.store (i32.const 1048) (i32.const 2048))
         (i32.store (i32.const 1052) (i32.const 4)) (i32.store8 (i32.const 1032) (i32.const 2))
         (i32.store8 (i32.const 1024) (i32.const 1)) (i32.const 1024)",
    );
    let later = bench.first_attempt(&later.data(DATA, "busy")).await;
    assert_eq!(failure(&later).0, FailureKind::RetryAfter);
    assert!(matches!(later, Outcome::Failed { retry_after: Some(delay), .. } if delay == Duration::from_secs(90)));
}

#[tokio::test]
async fn a_snooze_is_no_failure() {
    let guest = Guest::new(
        "(i64.store (i32.const 1040) (i64.const 5000)) (i32.store8 (i32.const 1032) (i32.const 3))
         (i32.store8 (i32.const 1024) (i32.const 1)) (i32.const 1024)",
    );
    let outcome = Bench::new().first_attempt(&guest).await;
    assert_eq!(outcome, Outcome::Snoozed { delay: Duration::from_secs(5) });
}

#[tokio::test]
async fn a_trap_comes_with_its_backtrace() {
    let bench = Bench::new();
    let guest = Guest::new("(call $deep) (call $done)").item("(func $deep (unreachable))");
    let outcome = bench.first_attempt(&guest).await;
    let (kind, message, trace) = failure(&outcome);
    assert_eq!((kind, message), (FailureKind::Trap, "wasm trap: wasm `unreachable` instruction executed"));
    assert!(trace.expect("a trace").contains("deep"), "{trace:?}");
}

#[tokio::test]
async fn the_last_words_on_standard_error_tell_panics_apart() {
    let says =
        "\nthread 'main' panicked at src/lib.rs:3:5:\nno such shop\nnote: run with `RUST_BACKTRACE=1`\n   0: frame\n";
    let guest = Guest::new(&format!(
        "(call $write (call $stderr) (i32.const 2048) (i32.const {}) (i32.const 4096)) (unreachable)",
        says.len()
    ))
    .data(DATA, says)
    .import_from("wasi:cli/stderr@0.2.0", "get-stderr", "$stderr", "(result i32)")
    .import_from("wasi:io/streams@0.2.0", WRITE, "$write", "(param i32 i32 i32 i32)");
    let outcome = Bench::new().first_attempt(&guest).await;
    let told = "no such shop (wasm trap: wasm `unreachable` instruction executed)";
    assert_eq!(failure(&outcome).1, told);
}

#[tokio::test]
async fn names_in_a_backtrace_move_no_cursor() {
    let guest = Guest::new("(call $\"x\\1b[2J\\0a<script>\") (call $done)")
        .item("(func $\"x\\1b[2J\\0a<script>\" (unreachable))");
    let outcome = Bench::new().first_attempt(&guest).await;
    let trace = failure(&outcome).2.expect("a trace");
    assert!(trace.contains("<script>") && !trace.contains('\u{1b}'), "{trace:?}");
}

#[tokio::test]
async fn results_that_lie_about_their_memory_are_traps() {
    let bench = Bench::new();
    for body in [
        "(i32.const -16)",
        "(i32.const 1025)",
        "(call $output (i32.const 2147483632) (i32.const 100))",
        "(call $output (i32.const 2048) (i32.const 1))",
    ] {
        let outcome = bench.first_attempt(&Guest::new(body).data(DATA, "\u{e4}")).await;
        assert_eq!(failure(&outcome).0, FailureKind::Trap, "{body}");
    }
}

#[tokio::test]
async fn a_loop_ends_at_the_deadline_wherever_it_is() {
    for guest in [
        Guest::new("(loop $l (br $l)) (unreachable)"),
        // While the host hands the payload over.
        Guest::new("(call $done)").reallocating("(loop $l (br $l))"),
        // Each instruction of these takes long.
        Guest::new("(loop $l (memory.fill (i32.const 0) (i32.const 0) (i32.const 60000000)) (br $l)) (unreachable)")
            .pages(960),
    ] {
        let bench = Bench::new();
        let loaded = bench.load(&guest).await;
        bench.enqueue("{}").await;
        let passing = async {
            bench.clock.has_sleeper().await;
            bench.clock.advance(TIMEOUT);
        };
        let (outcome, ()) = tokio::join!(bench.attempt(&loaded), passing);
        assert_eq!(failure(&outcome), (FailureKind::Timeout, "took longer than 30s", None));
    }
}

#[tokio::test]
async fn a_sleep_in_a_host_call_ends_at_the_deadline_too() {
    let guest = Guest::new("(call $block (call $timer (i64.const 9000000000000000000))) (call $done)")
        .import_from("wasi:clocks/monotonic-clock@0.2.0", "subscribe-duration", "$timer", "(param i64) (result i32)")
        .import_from("wasi:io/poll@0.2.0", "[method]pollable.block", "$block", "(param i32)");
    let bench = Bench::new();
    let loaded = bench.load(&guest).await;
    bench.enqueue("{}").await;
    let passing = async {
        bench.clock.has_sleeper().await;
        bench.clock.advance(TIMEOUT);
    };
    let (outcome, ()) = tokio::join!(bench.attempt(&loaded), passing);
    assert_eq!(failure(&outcome).0, FailureKind::Timeout);
}

#[tokio::test]
async fn a_cancel_and_a_shutdown_stop_a_loop() {
    let bench = Bench::new();
    let loaded = bench.load(&Guest::new("(loop $l (br $l)) (unreachable)")).await;
    for (interrupt, expected) in [(false, Outcome::Cancelled), (true, Outcome::Interrupted)] {
        bench.enqueue("{}").await;
        let stop = Stop::default();
        let token = if interrupt { stop.interrupted.clone() } else { stop.cancelled.clone() };
        let stopping = async {
            bench.clock.has_sleeper().await;
            token.cancel();
        };
        let (outcome, ()) = tokio::join!(bench.attempt_until(&loaded, stop), stopping);
        assert_eq!(outcome, expected);
    }
}

#[tokio::test]
async fn an_exit_fails_the_attempt_and_not_the_engine() {
    let guest = Guest::new("(call $exit (i32.const 0)) (call $done)").import_from(
        "wasi:cli/exit@0.2.0",
        "exit",
        "$exit",
        "(param i32)",
    );
    let outcome = Bench::new().first_attempt(&guest).await;
    let (kind, message, _) = failure(&outcome);
    assert_eq!((kind, message), (FailureKind::Trap, "the component exited with status 0"));
}

#[tokio::test]
async fn the_environment_is_empty() {
    let guest = Guest::counting("(call $environment (i32.const 4096)) (call $good (i32.load (i32.const 4100)))")
        .import_from("wasi:cli/environment@0.2.0", "get-environment", "$environment", "(param i32)");
    assert_eq!(output(&Bench::new().first_attempt(&guest).await), "0");
}

#[tokio::test]
async fn what_is_logged_and_printed_stands_in_the_runs_log_in_order() {
    let guest = Guest::new(
        "(local $stdout i32) (local.set $stdout (call $stdout))
         (call $write (local.get $stdout) (i32.const 2048) (i32.const 12) (i32.const 4096))
         (call $log (i32.const 3) (i32.const 2064) (i32.const 7) (i32.const 2080) (i32.const 1))
         (call $write (local.get $stdout) (i32.const 2096) (i32.const 4) (i32.const 4096))
         (call $done)",
    )
    .data(DATA, "one\r\ntwo\nhal")
    .data(2064, "careful")
    .words(2080, &[16, 5, 16, 5])
    .data(2096, "f\nx!")
    .import("log", "log", "$log", "(param i32 i32 i32 i32 i32)")
    .import_from("wasi:cli/stdout@0.2.0", "get-stdout", "$stdout", "(result i32)")
    .import_from("wasi:io/streams@0.2.0", WRITE, "$write", "(param i32 i32 i32 i32)");
    let bench = Bench::new();
    let loaded = bench.load(&guest).await;
    bench.enqueue("{}").await;
    let context = bench.claim().await;
    let (_, context) = loaded.runner.run(context, TIMEOUT, Stop::default()).await;
    let remainder = context.into_remainder();
    let lines: Vec<_> = remainder.log.iter().map(|line| (line.level, line.message.as_str())).collect();
    let expected = [
        (LogLevel::Stdout, "one"),
        (LogLevel::Stdout, "two"),
        (LogLevel::Warn, "careful"),
        (LogLevel::Stdout, "half"),
        (LogLevel::Stdout, "x!"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(remainder.log[2].fields, [("guest".to_owned(), "guest".to_owned())]);
}
