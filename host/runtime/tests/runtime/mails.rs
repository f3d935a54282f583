//! Mails: sent once for a run, whatever happens to its attempts and to the mail server.

use std::sync::Arc;
use std::time::Duration;

use jobmill_backends::{FaultKind, MailMode, Security, SmtpSettings};
use jobmill_core::flow::RateLimit;
use jobmill_core::journal::{EffectKey, EntryKind, RememberedMail};
use jobmill_core::mail::{Mail, MailStatus, Mailbox, Message};
use jobmill_core::suppression::{Suppression, SuppressionSource};
use jobmill_core::{Clock, FailureKind, MailId, Outcome, RunId};
use jobmill_engine::{MailAllowance, Stop};
use jobmill_runtime::InDoubt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::bench::{Bench, TIMEOUT, output};
use crate::guest::{DATA, FAIL_FIRST, Guest, RESULT};
use crate::outcomes::failure;

/// Where a mail lies.
const MAIL: usize = 3072;

/// With `$send`, which sends the mail at `MAIL` and gives the delivery (0 sent, 1 captured, 3 already sent), or −1
/// and less for the cases of `email-error`; and `$tell`, which makes that the output.
pub(crate) fn mailing(run: &str) -> Guest {
    Guest::counting(run)
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

async fn only_mail(bench: &Bench, run: RunId) -> RememberedMail {
    let memory = bench.record(run).await.memory();
    assert_eq!(memory.mails.len(), 1);
    memory.mails.into_values().next().expect("one mail")
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
async fn a_job_that_has_sent_what_it_may_is_tried_again_when_it_may_send_more() {
    let bench = Bench::new();
    let (hour, jobs) = (Duration::from_hours(1), Arc::default());
    let allowance = MailAllowance::new(10, Some(RateLimit { limit: 1, period: hour, key: None }), &jobs);
    let loaded = bench.load(&mailing("(call $tell (call $send))")).await;
    for _ in 0..2 {
        bench.enqueue("{}").await;
    }
    let first = bench.claim().await.with_mails(allowance.clone());
    let (outcome, _) = loaded.runner.run(first, TIMEOUT, Stop::default()).await;
    assert_eq!(output(&outcome), "1");
    let second = bench.claim().await.with_mails(allowance);
    let (outcome, _) = loaded.runner.run(second, TIMEOUT, Stop::default()).await;
    let Outcome::Failed { error, retry_after } = outcome else { panic!("{outcome:?}") };
    assert_eq!((error.kind, retry_after), (FailureKind::RetryAfter, Some(hour)));
    assert_eq!(error.message, "the job has reached its mail_limit of 1 in 1h; the next mail may go in 1h");
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
    context
        .intend_mail(EffectKey::mail("welcome", "a@example.com", 0), Arc::new(mail.clone()))
        .await
        .expect("recorded");
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
    assert_eq!((mail.mail, mail.status, mail.attempts), (Arc::new(first), MailStatus::Captured, 2));
    let record = bench.record(run).await;
    let told = record.journal.iter().filter_map(|entry| match &entry.kind {
        EntryKind::Finished(finished) => finished.log.first().map(|line| line.message.clone()),
        _ => None,
    });
    let told: Vec<String> = told.collect();
    assert!(told.concat().contains("Message-ID <first@shop.example>"), "{told:?}");
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
pub(crate) async fn mail_server(mut silent: usize) -> (SmtpSettings, tokio::sync::mpsc::Receiver<String>) {
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
    (settings_for(address), mails)
}

fn settings_for(address: std::net::SocketAddr) -> SmtpSettings {
    SmtpSettings {
        security: Security::Plain,
        host: address.ip().to_string(),
        port: address.port(),
        credentials: None,
        command_timeout: Duration::from_mins(1),
        delivery_timeout: Duration::from_mins(1),
        authority: None,
        dkim: None,
    }
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
async fn a_mail_server_that_takes_no_mail_from_us_holds_the_job_back_and_fails_no_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"554 5.7.1 not from you\r\n").await;
        }
    });
    let bench = Bench::with(MailMode::Smtp(settings_for(address)), InDoubt::Resend);
    let loaded = bench.load(&mailing("(call $tell (call $send))")).await;
    let run = bench.enqueue("{}").await;
    let Outcome::Held { delay, reason, whole_job: true } = bench.attempt(&loaded).await else {
        panic!("every run of the job is held back");
    };
    assert!(delay > Duration::ZERO && reason.contains("554 5.7.1 not from you"), "{delay:?} {reason}");
    let failed = only_mail(&bench, run).await;
    assert_eq!((failed.status, failed.attempts), (MailStatus::Failed, 1));
    assert_eq!(failed.reply.as_deref(), Some("554 5.7.1 not from you"));

    // While it is known to be closed it is not even asked, and nothing is written about it.
    bench.clock.advance(delay);
    let Outcome::Held { whole_job: true, .. } = bench.attempt(&loaded).await else { panic!("it is held back again") };
    assert_eq!(only_mail(&bench, run).await.attempts, 1);
}

#[tokio::test]
async fn a_suppressed_address_gets_nothing_and_the_job_is_told() {
    let bench = Bench::new();
    let suppression = Suppression::new("A@example.com", None, SuppressionSource::Bounce, bench.clock.now());
    bench.store.suppress(suppression.expect("an address")).await.expect("kept");
    let guest = mailing(&format!(
        "(local $sent i32) (local.set $sent (call $send)) {FAIL_FIRST} (call $tell (local.get $sent))"
    ));
    let loaded = bench.load(&guest).await;
    let run = bench.enqueue("{}").await;
    bench.attempt(&loaded).await;
    // `suppressed`, and so in every attempt.
    assert_eq!(output(&bench.attempt(&loaded).await), "2");
    let mail = only_mail(&bench, run).await;
    assert_eq!((mail.status, mail.attempts), (MailStatus::Suppressed, 1));
    assert!(mail.error.expect("why").contains("suppression list"));
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
