//! Steps, mails and order changes: done once for a run, whatever happens to its attempts.

use std::time::Duration;

use jobmill_backends::{FaultKind, MailMode, Security, SmtpSettings};
use jobmill_core::journal::{EffectKey, EntryKind, RememberedMail};
use jobmill_core::mail::{Mail, MailStatus, Mailbox, Message};
use jobmill_core::order::OrderStatus;
use jobmill_core::{Clock, FailureKind, MailId, Outcome, RunId};
use jobmill_engine::Stop;
use jobmill_runtime::InDoubt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::bench::{Bench, TIMEOUT, output};
use crate::guest::{DATA, Guest};
use crate::outcomes::failure;

/// Where the guests here keep the result of a host call.
const RESULT: usize = 4096;
/// Where a mail lies.
const MAIL: usize = 3072;

/// A guest whose functions `$good` and `$bad` give the number n as the output `n` or `-n`.
fn counting(run: &str) -> Guest {
    Guest::new(run).item(
        "(func $good (param $n i32) (result i32)
           (i32.store8 (i32.const 2000) (i32.add (i32.const 48) (local.get $n)))
           (call $output (i32.const 2000) (i32.const 1)))
         (func $bad (param $n i32) (result i32)
           (i32.store8 (i32.const 2001) (i32.const 45))
           (i32.store8 (i32.const 2002) (i32.add (i32.const 48) (local.get $n)))
           (call $output (i32.const 2001) (i32.const 2)))",
    )
}

/// With the steps interface, and the step named `charge` at `DATA`.
fn stepping(run: &str) -> Guest {
    counting(run)
        .import("steps", "begin", "$begin", "(param i32 i32 i32)")
        .import("steps", "complete", "$complete", "(param i32 i32 i32 i32 i32)")
        .data(DATA, "charge")
        .data(DATA + 16, "[42]")
}

/// With `$send`, which sends the mail at `MAIL`: the delivery (0 sent, 1 captured, 3 already sent), or −1 − the error.
fn mailing(run: &str) -> Guest {
    counting(run)
        .import("email", "send-email", "$send_email", "(param i32 i32)")
        .item(&format!(
            "(func $send (result i32)
               (call $send_email (i32.const {MAIL}) (i32.const {RESULT}))
               (if (result i32) (i32.load8_u (i32.const {RESULT}))
                 (then (i32.sub (i32.const -1) (i32.load8_u (i32.const {}))))
                 (else (i32.load8_u (i32.const {})))))
             (func $tell (param $sent i32) (result i32)
               (if (result i32) (i32.lt_s (local.get $sent) (i32.const 0))
                 (then (call $bad (i32.sub (i32.const 0) (local.get $sent))))
                 (else (call $good (local.get $sent)))))",
            RESULT + 8,
            RESULT + 16
        ))
        .data(DATA, "welcome")
        .data(DATA + 16, "a@example.com")
        .data(DATA + 48, "Hello")
        .words(MAIL, &[DATA, 7, DATA + 16, 13])
        .words(MAIL + 52, &[DATA + 48, 5, DATA + 48, 5])
}

/// With the orders interface and the order `o1`; `$status` reads the status of a result, or 9 for an error.
fn ordering(run: &str) -> Guest {
    counting(run)
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

const FAIL_FIRST: &str = "(if (i32.eq (local.get $attempt) (i32.const 1))
    (then (return (call $fail (i32.const 0) (i32.const 2048) (i32.const 2)))))";

async fn only_mail(bench: &Bench, run: RunId) -> RememberedMail {
    let memory = bench.record(run).await.memory();
    assert_eq!(memory.mails.len(), 1);
    memory.mails.into_values().next().expect("one mail")
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

#[tokio::test]
async fn a_panic_in_a_host_function_is_the_hosts_fault_and_ends_one_attempt_only() {
    let bench = Bench::new();
    let loaded = bench.load(&mailing("(call $tell (call $send))")).await;
    bench.enqueue("{}").await;
    let context = bench.claim().await;
    bench.entropy.panic_next();
    let (outcome, _) = loaded.runner.run(context, TIMEOUT, Stop::default()).await;
    let (kind, message, _) = failure(&outcome);
    assert_eq!(kind, FailureKind::Host);
    assert!(message.ends_with("a bug in the engine"), "{message}");
    bench.enqueue("{}").await;
    assert_eq!(output(&bench.attempt(&loaded).await), "1");
}

#[tokio::test]
async fn a_captured_mail_is_sent_once_over_all_attempts() {
    let bench = Bench::new();
    let guest = mailing(&format!(
        "(local $sent i32) (local.set $sent (call $send)) {FAIL_FIRST} (call $tell (local.get $sent))"
    ));
    let loaded = bench.load(&guest).await;
    let run = bench.enqueue("{}").await;
    assert_eq!(failure(&bench.attempt(&loaded).await).0, FailureKind::Transient);
    assert_eq!(output(&bench.attempt(&loaded).await), "3");
    let mail = only_mail(&bench, run).await;
    assert_eq!((mail.status, mail.attempts), (MailStatus::Captured, 1));
    assert_eq!(mail.mail.from.address, "shop@shop.example");
    assert_eq!(mail.mail.message.to.address, "a@example.com");
    assert!(mail.mail.message_id.ends_with("@shop.example"));
}

#[tokio::test]
async fn the_same_mail_twice_in_one_attempt_is_two_mails_in_every_attempt() {
    let bench = Bench::new();
    let guest = mailing(&format!("(drop (call $send)) (drop (call $send)) {FAIL_FIRST} (call $done)"));
    let loaded = bench.load(&guest).await;
    let run = bench.enqueue("{}").await;
    bench.attempt(&loaded).await;
    bench.attempt(&loaded).await;
    let mails = bench.record(run).await.memory().mails;
    assert_eq!(mails.len(), 2);
    assert!(mails.values().all(|mail| mail.attempts == 1));
}

#[tokio::test]
async fn a_send_that_failed_is_tried_again_as_the_same_mail() {
    let bench = Bench::new();
    bench.mail_faults.fail_next(1, FaultKind::Transient);
    let loaded = bench.load(&mailing("(call $tell (call $send))")).await;
    let run = bench.enqueue("{}").await;
    // -1 and then the fifth case, `unavailable`.
    assert_eq!(output(&bench.attempt(&loaded).await), "-5");
    let failed = only_mail(&bench, run).await;
    assert_eq!((failed.status, failed.error.as_deref()), (MailStatus::Failed, Some("injected fault")));

    let within = mailing("(drop (call $send)) (call $tell (call $send))");
    bench.mail_faults.fail_next(1, FaultKind::Permanent);
    let loaded = bench.load(&within).await;
    let run = bench.enqueue("{}").await;
    assert_eq!(output(&bench.attempt(&loaded).await), "1");
    let sent = only_mail(&bench, run).await;
    assert_eq!((sent.status, sent.attempts), (MailStatus::Captured, 2));
}

#[tokio::test]
async fn a_run_sends_ten_mails_and_no_more() {
    let bench = Bench::new();
    let guest = mailing(
        "(local $n i32) (local $sent i32)
         (loop $l
           (i32.store8 (i32.const 2064) (i32.add (i32.const 97) (local.get $n)))
           (local.set $sent (call $send))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if $l (i32.gt_s (local.get $sent) (i32.const 0))))
         (call $tell (local.get $sent))",
    );
    let loaded = bench.load(&guest).await;
    let run = bench.enqueue("{}").await;
    // `denied`.
    assert_eq!(output(&bench.attempt(&loaded).await), "-3");
    assert_eq!(bench.record(run).await.memory().mails.len(), 10);
}

#[tokio::test]
async fn a_mail_that_cannot_be_sent_as_it_is_reaches_no_mailer() {
    let bench = Bench::new();
    let guest = mailing("(call $tell (call $send))").data(DATA + 48, "Hel\r\n");
    let loaded = bench.load(&guest).await;
    let run = bench.enqueue("{}").await;
    assert_eq!(output(&bench.attempt(&loaded).await), "-1");
    assert!(bench.record(run).await.memory().mails.is_empty());
}

/// An attempt that ends between handing the mail over and recording the answer.
async fn attempt_cut_off(bench: &Bench) -> Mail {
    let mut context = bench.claim().await;
    let mailbox = |address: &str| Mailbox { address: address.to_owned(), name: None };
    let mail = Mail {
        id: MailId::from_bytes([9; 16]),
        message_id: "first@shop.example".to_owned(),
        from: mailbox("shop@shop.example"),
        created_at: bench.clock.now(),
        message: Message {
            kind: "welcome".to_owned(),
            to: mailbox("a@example.com"),
            reply_to: None,
            subject: "As it was".to_owned(),
            text: "As it was".to_owned(),
            html: None,
            attachments: Vec::new(),
            headers: Vec::new(),
        },
    };
    context.intend_mail(EffectKey::mail("welcome", "a@example.com", 0), mail.clone()).await.expect("recorded");
    bench.store.rescue(bench.clock.now()).await.expect("rescued");
    mail
}

#[tokio::test]
async fn a_mail_in_doubt_is_sent_again_as_the_same_mail() {
    let bench = Bench::with(MailMode::Capture, InDoubt::Resend);
    let loaded = bench.load(&mailing("(call $tell (call $send))")).await;
    let run = bench.enqueue("{}").await;
    let first = attempt_cut_off(&bench).await;
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(output(&bench.attempt(&loaded).await), "1");
    let mail = only_mail(&bench, run).await;
    assert_eq!((mail.mail, mail.status, mail.attempts), (first, MailStatus::Captured, 2));
}

#[tokio::test]
async fn a_mail_in_doubt_is_parked_where_that_is_asked_for() {
    let bench = Bench::with(MailMode::Capture, InDoubt::Park);
    let loaded = bench.load(&mailing("(call $tell (call $send))")).await;
    let run = bench.enqueue("{}").await;
    attempt_cut_off(&bench).await;
    // `in-doubt`.
    assert_eq!(output(&bench.attempt(&loaded).await), "-6");
    assert_eq!(only_mail(&bench, run).await.status, MailStatus::Sending);
}

/// A mail server that takes mails, but says nothing after the content of the first `silent` of them.
async fn mail_server(mut silent: usize) -> (SmtpSettings, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let (taken, mails) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let (mut line, mut content, mut in_content) = (String::new(), String::new(), false);
            let mut reply = "220 here\r\n";
            loop {
                if stream.get_mut().write_all(reply.as_bytes()).await.is_err() {
                    break;
                }
                line.clear();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    break;
                }
                reply = match (in_content, line.trim_end()) {
                    (true, ".") => {
                        taken.send(std::mem::take(&mut content)).await.expect("somebody reads");
                        in_content = false;
                        if silent > 0 {
                            silent -= 1;
                            ""
                        } else {
                            "250 taken\r\n"
                        }
                    }
                    (true, text) => {
                        content.push_str(text);
                        content.push('\n');
                        ""
                    }
                    (false, "DATA") => {
                        in_content = true;
                        "354 go on\r\n"
                    }
                    (false, _) => "250 ok\r\n",
                };
            }
        }
    });
    let settings = SmtpSettings {
        security: Security::Plain,
        host: address.ip().to_string(),
        port: address.port(),
        credentials: None,
        command_timeout: Duration::from_secs(60),
        delivery_timeout: Duration::from_secs(60),
    };
    (settings, mails)
}

fn message_id(mail: &str) -> &str {
    mail.lines().find(|line| line.starts_with("Message-ID: ")).expect("a Message-ID")
}

#[tokio::test]
async fn a_mail_is_on_record_before_it_is_handed_over_and_its_answer_after() {
    let (settings, mut mails) = mail_server(1).await;
    let bench = Bench::with(MailMode::Smtp(settings), InDoubt::Resend);
    let loaded = bench.load(&mailing("(call $tell (call $send))")).await;
    let run = bench.enqueue("{}").await;
    // The mail server has the mail and says nothing: the attempt ends at its deadline, in the middle of a host call.
    let handing_over = async {
        let mail = mails.recv().await.expect("handed over");
        assert_eq!(only_mail(&bench, run).await.status, MailStatus::Sending);
        bench.clock.advance(TIMEOUT);
        mail
    };
    let (outcome, first) = tokio::join!(bench.attempt(&loaded), handing_over);
    assert_eq!(failure(&outcome).0, FailureKind::Timeout);
    assert_eq!(only_mail(&bench, run).await.status, MailStatus::Sending);

    assert_eq!(output(&bench.attempt(&loaded).await), "0");
    let second = mails.recv().await.expect("handed over again");
    assert_eq!(message_id(&first), message_id(&second));
    assert_eq!(first, second);
    let mail = only_mail(&bench, run).await;
    assert_eq!((mail.status, mail.reply.as_deref(), mail.attempts), (MailStatus::Sent, Some("250 taken"), 2));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_on_record_as_doubt() {
    let (settings, mut mails) = mail_server(1).await;
    let impatient = SmtpSettings { command_timeout: Duration::from_millis(50), ..settings };
    let bench = Bench::with(MailMode::Smtp(impatient), InDoubt::Park);
    let loaded = bench.load(&mailing("(call $tell (call $send))")).await;
    let run = bench.enqueue("{}").await;
    // `in-doubt`.
    assert_eq!(output(&bench.attempt(&loaded).await), "-6");
    mails.recv().await.expect("handed over");
    let mail = only_mail(&bench, run).await;
    assert_eq!(mail.status, MailStatus::InDoubt);
    assert!(mail.error.expect("why").contains("no answer within 50ms"));
}

#[tokio::test]
async fn an_order_that_is_changed_shows_it_at_once_and_keeps_it_with_the_attempt() {
    let bench = Bench::new();
    bench.put_order("o1").await;
    // Paid is 1, fulfilled 2.
    let guest = ordering(
        "(if (i32.ne (call $read) (i32.const 1)) (then (unreachable))) (drop (call $set (i32.const 2))) (call $good (call $read))",
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
