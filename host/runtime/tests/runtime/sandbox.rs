//! What the operator says of a job's sandbox: its limits hold, and what is not allowed is refused, told, and final.

use std::sync::Arc;

use jobmill_core::job::allow::{MailAllow, OrderOperation};
use jobmill_core::job::{Allow, Limit, Sandbox};
use jobmill_core::journal::LogLevel;
use jobmill_core::mail::MailStatus;
use jobmill_core::{FailureKind, Outcome, RunState};
use jobmill_engine::Stop;

use crate::bench::{Bench, TIMEOUT, output};
use crate::guest::{DATA, FAIL_FIRST, Guest};
use crate::mails::mailing;
use crate::orders::ordering;
use crate::outcomes::{WRITE, failure};

/// What a guest does to fail for good with the words "no luck" at 2500.
const GIVE_UP: &str = "(call $fail (i32.const 1) (i32.const 2500) (i32.const 7))";

fn allowing(allow: Allow) -> Bench {
    Bench::in_sandbox(Sandbox { allow, ..Sandbox::default() })
}

fn no_mail() -> Bench {
    let mail = MailAllow { kinds: Some(Vec::new()), ..MailAllow::default() };
    allowing(Allow { mail: Some(mail), ..Allow::default() })
}

const MAIL_DENIED: &str = "a mail of the kind \"welcome\" is not allowed for guest; to allow it, say in jobmill.toml: \
                           [jobs.guest.allow] mail.kinds = [\"welcome\"]";

#[tokio::test]
async fn a_mail_that_is_not_allowed_is_denied_and_the_run_says_what_would_allow_it() {
    let bench = no_mail();
    let loaded = bench.load(&mailing(&format!("(drop (call $send)) {GIVE_UP}")).data(2500, "no luck")).await;
    let run = bench.enqueue("{}").await;
    let outcome = bench.attempt(&loaded).await;
    let told = format!("no luck ({MAIL_DENIED})");
    assert_eq!(failure(&outcome), (FailureKind::Denied, told.as_str(), None));
    let record = bench.record(run).await;
    assert_eq!(record.run.head.state, RunState::Dead, "no retry helps");
    assert!(record.memory().mails.is_empty());
}

#[tokio::test]
async fn a_denial_is_a_warning_in_the_runs_log_and_an_error_that_the_guest_can_read() {
    let bench = no_mail();
    // The case `denied` is the third; a guest that can do without goes on.
    let loaded = bench.load(&mailing("(call $tell (call $send))")).await;
    bench.enqueue("{}").await;
    let (outcome, context) = loaded.runner.run(bench.claim().await, TIMEOUT, Stop::default()).await;
    assert_eq!(output(&outcome), "-3");
    let log = context.into_remainder().log;
    assert_eq!((log[0].level, log[0].message.as_str(), log.len()), (LogLevel::Warn, MAIL_DENIED, 1));
}

#[tokio::test]
async fn a_denial_is_the_failure_even_where_the_guest_swallows_it() {
    for (end, ends, told) in [
        ("(unreachable)", FailureKind::Denied, "wasm trap: wasm `unreachable` instruction executed"),
        ("(call $fail (i32.const 1) (i32.const 2500) (i32.const 7))", FailureKind::Denied, "no luck"),
        // It may have met something else since.
        ("(call $fail (i32.const 0) (i32.const 2500) (i32.const 7))", FailureKind::Transient, "no luck"),
    ] {
        let guest = mailing(&format!("(drop (call $send)) {end}")).data(2500, "no luck");
        let outcome = no_mail().first_attempt(&guest).await;
        let (kind, message, _) = failure(&outcome);
        assert_eq!((kind, message), (ends, format!("{told} ({MAIL_DENIED})").as_str()));
    }
}

#[tokio::test]
async fn a_mail_that_went_out_before_the_operator_narrowed_it_does_not_hold_its_run_up() {
    let mut bench = Bench::new();
    let run = format!("(local $sent i32) (local.set $sent (call $send)) {FAIL_FIRST} (call $tell (local.get $sent))");
    let loaded = bench.load(&mailing(&run)).await;
    let id = bench.enqueue("{}").await;
    assert_eq!(failure(&bench.attempt(&loaded).await).0, FailureKind::Transient);
    bench.sandbox = Arc::clone(&no_mail().sandbox);
    assert_eq!(output(&bench.attempt(&loaded).await), "3", "already sent");
    let mails = bench.record(id).await.memory().mails;
    assert!(mails.values().all(|mail| mail.status == MailStatus::Captured && mail.attempts == 1), "{mails:?}");
}

#[tokio::test]
async fn orders_are_read_and_changed_as_far_as_that_is_allowed() {
    for (allowed, body, line) in [
        (OrderOperation::Update, "(drop (call $read))", "orders = [\"update\", \"fetch\"]"),
        (
            OrderOperation::Fetch,
            "(drop (call $read)) (drop (call $set (i32.const 2)))",
            "orders = [\"fetch\", \"update\"]",
        ),
    ] {
        let bench = allowing(Allow { orders: Some(vec![allowed]), ..Allow::default() });
        let before = bench.put_order("o1").await;
        let outcome = bench.first_attempt(&ordering(&format!("{body} {GIVE_UP}")).data(2500, "no luck")).await;
        let (kind, message, _) = failure(&outcome);
        assert_eq!(kind, FailureKind::Denied);
        assert!(message.ends_with(&format!("[jobs.guest.allow] {line})")), "{message}");
        assert_eq!(bench.store.order("o1").await.expect("readable"), Some(before));
    }
}

#[tokio::test]
async fn a_trial_is_denied_the_same() {
    let bench = no_mail();
    let loaded = bench.load(&mailing(&format!("(drop (call $send)) {GIVE_UP}")).data(2500, "no luck")).await;
    bench.enqueue("{}").await;
    let (outcome, entries) = bench.trial(&loaded).await;
    assert_eq!(failure(&outcome).0, FailureKind::Denied);
    assert!(entries.is_empty(), "{entries:?}");
}

/// Gives as output the digit of `tag`, of a result that says by its first byte whether it is an error: 0 if it is none.
fn socket(call: &str) -> Guest {
    let told = "(i32.add (i32.load8_u (i32.const 4100)) (i32.load8_u (i32.const 4096)))";
    Guest::counting(&format!("{call} (call $good {told})"))
}

#[tokio::test]
async fn there_are_no_sockets_and_no_names() {
    let tcp = socket("(call $tcp (i32.const 0) (i32.const 4096))").import_from(
        "wasi:sockets/tcp-create-socket@0.2.0",
        "create-tcp-socket",
        "$tcp",
        "(param i32 i32)",
    );
    let udp = socket("(call $udp (i32.const 1) (i32.const 4096))").import_from(
        "wasi:sockets/udp-create-socket@0.2.0",
        "create-udp-socket",
        "$udp",
        "(param i32 i32)",
    );
    let name = socket("(call $resolve (call $network) (i32.const 2048) (i32.const 9) (i32.const 4096))")
        .data(DATA, "localhost")
        .import_from("wasi:sockets/instance-network@0.2.0", "instance-network", "$network", "(result i32)")
        .import_from("wasi:sockets/ip-name-lookup@0.2.0", "resolve-addresses", "$resolve", "(param i32 i32 i32 i32)");
    for (guest, what) in [(tcp, "a TCP socket"), (udp, "a UDP socket"), (name, "a look-up of \"localhost\"")] {
        let bench = Bench::new();
        let loaded = bench.load(&guest).await;
        bench.enqueue("{}").await;
        let (outcome, context) = loaded.runner.run(bench.claim().await, TIMEOUT, Stop::default()).await;
        // An error (1), which is `access-denied` (1).
        assert_eq!(output(&outcome), "2", "{what}");
        let log = context.into_remainder().log;
        let told =
            format!("{what} is not allowed for guest; to allow it, say in jobmill.toml: [jobs.guest.allow] http = ");
        assert!(log.len() == 1 && log[0].message.starts_with(&told), "{log:?}");
    }
}

#[tokio::test]
async fn a_guest_that_gives_up_without_a_network_is_told_how_it_gets_one() {
    let guest = Guest::new("(call $tcp (i32.const 0) (i32.const 4096)) (unreachable)").import_from(
        "wasi:sockets/tcp-create-socket@0.2.0",
        "create-tcp-socket",
        "$tcp",
        "(param i32 i32)",
    );
    let outcome = Bench::new().first_attempt(&guest).await;
    let (kind, message, _) = failure(&outcome);
    assert_eq!(kind, FailureKind::Denied);
    assert!(message.contains("http = [\"HOST\"], and have the job ask by wasi:http"), "{message}");
}

#[tokio::test]
async fn there_are_no_files_and_no_arguments() {
    let count = |call: &str| {
        Guest::counting(&format!("(call {call} (i32.const 4096)) (call $good (i32.load (i32.const 4100)))"))
    };
    let files =
        count("$files").import_from("wasi:filesystem/preopens@0.2.0", "get-directories", "$files", "(param i32)");
    let arguments =
        count("$arguments").import_from("wasi:cli/environment@0.2.0", "get-arguments", "$arguments", "(param i32)");
    for guest in [files, arguments] {
        assert_eq!(output(&Bench::new().first_attempt(&guest).await), "0");
    }
}

#[tokio::test]
async fn a_job_may_have_more_memory_than_others_or_less() {
    // 100 MiB.
    let guest = Guest::new("(drop (memory.grow (i32.const 1600))) (call $done)");
    let outcome = Bench::new().first_attempt(&guest).await;
    assert_eq!(failure(&outcome).0, FailureKind::Memory);
    let bench = Bench::limited(Limit::Memory, 128 << 20);
    assert_eq!(bench.first_attempt(&guest).await, Outcome::Completed { output: None });
    // What a component declares counts too: 20 pages of 64 KiB.
    let declared = Guest::new("(call $done)").pages(20);
    let outcome = Bench::limited(Limit::Memory, 1 << 20).first_attempt(&declared).await;
    let (kind, message, _) = failure(&outcome);
    assert_eq!(kind, FailureKind::Memory);
    assert!(message.ends_with("it may have 1 MiB (limits.memory)"), "{message}");
}

#[tokio::test]
async fn each_limit_that_is_narrowed_holds_and_is_named() {
    const LOG: &str = "(param i32 i32 i32 i32 i32)";
    let logging = |bytes: u32| {
        let call =
            format!("(call $log (i32.const 2) (i32.const 2048) (i32.const {bytes}) (i32.const 0) (i32.const 0))");
        Guest::new(&format!("{call} {call} {call} (call $done)")).pages(4).import("log", "log", "$log", LOG)
    };
    let table =
        Guest::new("(drop (table.grow $t (ref.null func) (i32.const 200))) (call $done)").item("(table $t 0 funcref)");
    let output = Guest::new("(call $output (i32.const 2048) (i32.const 3))").data(DATA, "123");
    let random = Guest::new("(call $random (i64.const 100) (i32.const 4096)) (call $done)").import_from(
        "wasi:random/random@0.2.0",
        "get-random-bytes",
        "$random",
        "(param i64 i32)",
    );
    let timers = "(loop $l (drop (call $timer (i64.const 1))) (br_if $l (i32.lt_s (local.tee $n (i32.add (local.get $n) \
                  (i32.const 1))) (i32.const 200)))) (call $done)";
    let timers = Guest::new(&format!("(local $n i32) {timers}")).import_from(
        "wasi:clocks/monotonic-clock@0.2.0",
        "subscribe-duration",
        "$timer",
        "(param i64) (result i32)",
    );
    for (limit, most, guest, told) in [
        (Limit::HostCalls, 2, logging(1), "more than 2 host calls (limits.host_calls)"),
        (Limit::HostCall, 65_536, logging(65_537), "more than 64 KiB (limits.host_call) at once"),
        (Limit::TableElements, 100, table, "it may have 100 (limits.table_elements)"),
        (Limit::Output, 2, output, "it may have 2 B (limits.output)"),
        (Limit::Random, 99, random, "than it may have: 99 B (limits.random)"),
        (Limit::Handles, 100, timers, "than it may have: 100 (limits.handles)"),
    ] {
        let outcome = Bench::new().first_attempt(&guest).await;
        assert!(matches!(outcome, Outcome::Completed { .. }), "{limit} is enough by default: {outcome:?}");
        let outcome = Bench::limited(limit, most).first_attempt(&guest).await;
        let (kind, message, _) = failure(&outcome);
        assert_eq!(kind, FailureKind::Limit, "{message}");
        assert!(message.contains(told), "{message}");
    }
}

#[tokio::test]
async fn the_log_of_a_run_is_as_long_as_its_limit() {
    let prints = "(call $write (call $stdout) (i32.const 2048) (i32.const 10) (i32.const 4096)) (call $done)";
    let guest = Guest::new(prints)
        .data(DATA, &"x\n".repeat(5))
        .import_from("wasi:cli/stdout@0.2.0", "get-stdout", "$stdout", "(result i32)")
        .import_from("wasi:io/streams@0.2.0", WRITE, "$write", "(param i32 i32 i32 i32)");
    for (limit, most) in [(Limit::LogLines, 2), (Limit::Log, 2)] {
        let bench = Bench::limited(limit, most);
        let loaded = bench.load(&guest).await;
        bench.enqueue("{}").await;
        let (outcome, context) = loaded.runner.run(bench.claim().await, TIMEOUT, Stop::default()).await;
        assert_eq!(outcome, Outcome::Completed { output: None });
        let remainder = context.into_remainder();
        assert_eq!((remainder.log.len(), remainder.log_dropped), (2, 3), "{limit}");
    }
}
