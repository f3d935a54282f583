//! Trials: capabilities answer as they would, and nothing leaves the machine or is written.

use jobmill_backends::{FaultKind, MailMode};
use jobmill_core::Clock as _;
use jobmill_core::journal::EntryKind;
use jobmill_core::mail::MailStatus;
use jobmill_core::order::OrderStatus;
use jobmill_core::suppression::{Suppression, SuppressionSource};
use jobmill_runtime::InDoubt;

use crate::bench::{Bench, output};
use crate::mails::{mail_server, mailing};
use crate::orders::{ordering, shop};

/// Where each mail stands that a trial kept to itself.
fn mails(entries: &[EntryKind]) -> Vec<MailStatus> {
    let settled = entries.iter().filter_map(|kind| match kind {
        EntryKind::MailSettled { status, .. } => Some(*status),
        _ => None,
    });
    settled.collect()
}

#[tokio::test]
async fn a_trial_sends_no_mail_and_uses_no_planned_failure_up() {
    let (settings, mut sent) = mail_server(0).await;
    let bench = Bench::with(MailMode::Smtp(settings), InDoubt::Resend);
    bench.mail_faults.fail_next(1, FaultKind::Transient);
    let loaded = bench.load(&mailing("(call $tell (call $send))")).await;
    let run = bench.enqueue("{}").await;
    let (outcome, kept) = bench.trial(&loaded).await;
    // `captured`, whatever the mail server would have said.
    assert_eq!(output(&outcome), "1");
    assert_eq!(mails(&kept), [MailStatus::Captured]);
    assert!(sent.try_recv().is_err(), "the mail server got nothing");
    assert_eq!(bench.record(run).await.journal.len(), 2, "enqueued and started, and nothing more");
    bench.store.rescue(bench.clock.now()).await.expect("rescued");
    // `unavailable`: the failure is still there for the attempt that counts.
    assert_eq!(output(&bench.attempt(&loaded).await), "-5");
}

#[tokio::test]
async fn a_trial_looks_at_the_suppression_list() {
    let bench = Bench::new();
    let suppression = Suppression::new("a@example.com", None, SuppressionSource::Bounce, bench.clock.now());
    bench.store.suppress(suppression.expect("an address")).await.expect("kept");
    let loaded = bench.load(&mailing("(call $tell (call $send))")).await;
    let run = bench.enqueue("{}").await;
    assert_eq!(mails(&bench.trial(&loaded).await.1), [MailStatus::Suppressed]);
    assert_eq!(bench.record(run).await.journal.len(), 2);
}

/// Reads a paid order, makes it fulfilled, and gives what it reads then.
const FULFIL: &str = "(if (i32.ne (call $read) (i32.const 1)) (then (unreachable)))
    (drop (call $set (i32.const 2))) (call $good (call $read))";

#[tokio::test]
async fn a_trial_shows_its_own_change_of_an_order_and_leaves_the_book_as_it_is() {
    let bench = Bench::new();
    let before = bench.put_order("o1").await;
    bench.order_faults.fail_next(1, FaultKind::Transient);
    let loaded = bench.load(&ordering(FULFIL)).await;
    let run = bench.enqueue("{}").await;
    let (outcome, kept) = bench.trial(&loaded).await;
    assert_eq!(output(&outcome), "2");
    let [EntryKind::OrderUpdated { order, patch, .. }] = kept.as_slice() else { panic!("one change: {kept:?}") };
    assert_eq!((order.as_str(), patch.status), ("o1", Some(OrderStatus::Fulfilled)));
    assert_eq!(bench.store.order("o1").await.expect("readable"), Some(before));
    assert_eq!(bench.record(run).await.journal.len(), 2);
}

#[tokio::test]
async fn a_trial_follows_the_rules_of_orders() {
    let bench = Bench::new();
    bench.put_order("o1").await;
    let backwards = ordering("(drop (call $set (i32.const 0))) (call $bad (call $error))");
    let loaded = bench.load(&backwards).await;
    bench.enqueue("{}").await;
    let (outcome, kept) = bench.trial(&loaded).await;
    // `invalid-transition`.
    assert_eq!((output(&outcome), kept.len()), ("-2", 0));
}

#[tokio::test]
async fn a_trial_reads_an_order_of_the_shop_and_asks_for_no_change() {
    let (settings, mut asked) = shop(0).await;
    let bench = Bench::of_shop(settings);
    let loaded = bench.load(&ordering(FULFIL)).await;
    let run = bench.enqueue("{}").await;
    assert_eq!(output(&bench.trial(&loaded).await.0), "2");
    assert!(asked.try_recv().is_err(), "the shop was asked to change nothing");
    assert_eq!(bench.record(run).await.journal.len(), 2);
}

#[tokio::test]
async fn what_is_done_stays_done_in_a_trial() {
    let bench = Bench::new();
    let guest = mailing(&format!(
        "(local $sent i32) (local.set $sent (call $send)) {} (call $tell (local.get $sent))",
        crate::guest::FAIL_FIRST
    ));
    let loaded = bench.load(&guest).await;
    bench.enqueue("{}").await;
    bench.attempt(&loaded).await;
    let (outcome, kept) = bench.trial(&loaded).await;
    // `already-sent`.
    assert_eq!((output(&outcome), kept.len()), ("3", 0));
}
