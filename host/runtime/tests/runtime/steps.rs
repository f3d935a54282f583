//! Steps: done once for a run, whatever happens to its attempts; and attempts that may record no more.

use jobmill_core::journal::EntryKind;
use jobmill_core::{Clock, FailureKind, Outcome};
use jobmill_engine::Stop;

use crate::bench::{Bench, TIMEOUT, output};
use crate::guest::{DATA, Guest, RESULT};
use crate::outcomes::failure;

/// With the steps interface, and the step named `charge` at `DATA`.
fn stepping(run: &str) -> Guest {
    Guest::counting(run)
        .import("steps", "begin", "$begin", "(param i32 i32 i32)")
        .import("steps", "complete", "$complete", "(param i32 i32 i32 i32 i32)")
        .data(DATA, "charge")
        .data(DATA + 16, "[42]")
}

#[tokio::test]
async fn a_completed_step_is_not_done_again() {
    let guest = stepping(&format!(
        "(call $begin (i32.const 2048) (i32.const 6) (i32.const {RESULT}))
         (if (i32.load8_u (i32.const {}))
           (then (return (call $output (i32.load (i32.const {})) (i32.load (i32.const {}))))))
         (call $complete (i32.const 2048) (i32.const 6) (i32.const 2064) (i32.const 4) (i32.const {RESULT}))
         (unreachable)",
        RESULT + 4,
        RESULT + 8,
        RESULT + 12,
    ));
    let bench = Bench::new();
    let loaded = bench.load(&guest).await;
    let run = bench.enqueue("{}").await;
    assert_eq!(failure(&bench.attempt(&loaded).await).0, FailureKind::Trap);
    assert_eq!(output(&bench.attempt(&loaded).await), "[42]");
    let journal = bench.record(run).await.journal;
    let steps = journal.iter().filter(|entry| matches!(entry.kind, EntryKind::StepCompleted { .. }));
    assert_eq!(steps.count(), 1);
}

#[tokio::test]
async fn steps_are_begun_once_and_before_they_are_completed() {
    let bench = Bench::new();
    let begin = format!("(call $begin (i32.const 2048) (i32.const 6) (i32.const {RESULT}))");
    let tell = |at: usize| {
        format!(
            "(if (i32.eqz (i32.load8_u (i32.const {RESULT}))) (then (return (call $good (i32.const 0)))))
             (call $bad (i32.load8_u (i32.const {at})))"
        )
    };
    let twice = stepping(&format!("{begin} {begin} {}", tell(RESULT + 4)));
    assert_eq!(output(&bench.first_attempt(&twice).await), "-0");
    let complete =
        format!("(call $complete (i32.const 2048) (i32.const 6) (i32.const 2064) (i32.const 4) (i32.const {RESULT}))");
    let never = stepping(&format!("{complete} {}", tell(RESULT + 1)));
    assert_eq!(output(&bench.first_attempt(&never).await), "-1");
}

#[tokio::test]
async fn a_step_has_a_short_name_and_a_value_of_json() {
    let bench = Bench::new();
    let nameless = stepping(&format!("(call $begin (i32.const 0) (i32.const 0) (i32.const {RESULT})) (call $done)"));
    assert_eq!(failure(&bench.first_attempt(&nameless).await).0, FailureKind::Limit);
    let long = stepping(&format!("(call $begin (i32.const 0) (i32.const 129) (i32.const {RESULT})) (call $done)"));
    assert_eq!(failure(&bench.first_attempt(&long).await).0, FailureKind::Limit);
    let text = stepping(&format!(
        "(call $begin (i32.const 2048) (i32.const 6) (i32.const {RESULT}))
         (call $complete (i32.const 2048) (i32.const 6) (i32.const 2048) (i32.const 6) (i32.const {RESULT}))
         (call $done)"
    ));
    let outcome = bench.first_attempt(&text).await;
    assert_eq!(failure(&outcome).0, FailureKind::BadOutput);
    assert!(failure(&outcome).1.contains("the value of step \"charge\" is not JSON"), "{outcome:?}");
}

#[tokio::test]
async fn a_full_journal_takes_no_more_steps_and_still_ends() {
    let guest = stepping(&format!(
        "(local.set $attempt (i32.const 0))
         (loop $l
           (local.set $attempt (i32.add (local.get $attempt) (i32.const 1)))
           (i32.store8 (i32.const 2048) (i32.add (i32.const 65) (i32.rem_u (local.get $attempt) (i32.const 26))))
           (i32.store8 (i32.const 2049) (i32.add (i32.const 65)
             (i32.rem_u (i32.div_u (local.get $attempt) (i32.const 26)) (i32.const 26))))
           (i32.store8 (i32.const 2050) (i32.add (i32.const 65) (i32.div_u (local.get $attempt) (i32.const 676))))
           (call $begin (i32.const 2048) (i32.const 3) (i32.const {RESULT}))
           (call $complete (i32.const 2048) (i32.const 3) (i32.const 2064) (i32.const 4) (i32.const {RESULT}))
           (br_if $l (i32.eqz (i32.load8_u (i32.const {RESULT})))))
         (call $bad (i32.load8_u (i32.const {})))",
        RESULT + 1
    ));
    let bench = Bench::new();
    let loaded = bench.load(&guest).await;
    let run = bench.enqueue("{}").await;
    assert_eq!(output(&bench.attempt(&loaded).await), "-2");
    let record = bench.record(run).await;
    assert!(record.run.head.state.is_final());
    assert!(record.journal.len() <= 1_000, "{}", record.journal.len());
}

#[tokio::test]
async fn an_attempt_that_lost_its_lease_ends_at_its_next_record() {
    let guest = stepping(&format!(
        "(call $begin (i32.const 2048) (i32.const 6) (i32.const {RESULT}))
         (call $complete (i32.const 2048) (i32.const 6) (i32.const 2064) (i32.const 4) (i32.const {RESULT}))
         (call $done)"
    ));
    let bench = Bench::new();
    let loaded = bench.load(&guest).await;
    bench.enqueue("{}").await;
    let context = bench.claim().await;
    bench.store.rescue(bench.clock.now()).await.expect("rescued");
    let (outcome, _) = loaded.runner.run(context, TIMEOUT, Stop::default()).await;
    assert_eq!(outcome, Outcome::Interrupted);
}

#[tokio::test]
async fn a_store_that_fails_is_the_hosts_fault() {
    let guest = stepping(&format!(
        "(call $begin (i32.const 2048) (i32.const 6) (i32.const {RESULT}))
         (call $complete (i32.const 2048) (i32.const 6) (i32.const 2064) (i32.const 4) (i32.const {RESULT}))
         (call $done)"
    ));
    let bench = Bench::new();
    let loaded = bench.load(&guest).await;
    bench.enqueue("{}").await;
    let context = bench.claim().await;
    bench.log.fail_syncs(true);
    let (outcome, _) = loaded.runner.run(context, TIMEOUT, Stop::default()).await;
    assert_eq!(failure(&outcome).0, FailureKind::Host);
}
