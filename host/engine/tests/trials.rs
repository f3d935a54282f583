//! Trials: what a run would do on what is loaded now, with nothing of it done.

mod support;

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::flow::RateLimit;
use jobmill_core::job::JobOverrides;
use jobmill_core::journal::{EffectKey, LogLevel, LogLine, RememberedRequest};
use jobmill_core::mail::{Mail, MailStatus, Mailbox, Message};
use jobmill_core::order::{Money, Order, OrderPatch, OrderStatus};
use jobmill_core::run::AttemptOutcome;
use jobmill_core::{Clock as _, FailureKind, Json, MailId, Outcome, RunId, RunState, Timestamp, limits};
use jobmill_engine::{AttemptContext, DoneBefore, Trial, TrialEffect, TrialError};
use jobmill_store::MemoryLog;
use jobmill_store::portable::lines;
use support::{ManualClock, Mill, Script, put, watchdog};

fn mail(kind: &str) -> (EffectKey, Arc<Mail>) {
    let to = Mailbox { address: "ada@example.com".to_owned(), name: None };
    let message = Message {
        kind: kind.to_owned(),
        to: to.clone(),
        reply_to: None,
        subject: kind.to_owned(),
        text: "Hello".to_owned(),
        html: None,
        attachments: Vec::new(),
        headers: Vec::new(),
    };
    let id = MailId::from_bytes([1; 16]);
    let mail = Mail { id, message_id: "1@shop".to_owned(), from: to, created_at: Timestamp::default(), message };
    (EffectKey::mail(kind, "ada@example.com", 0), Arc::new(mail))
}

fn order(status: OrderStatus) -> Order {
    Order {
        id: "o1".to_owned(),
        status,
        customer_email: "ada@example.com".to_owned(),
        customer_name: None,
        items: Vec::new(),
        total: Money { minor: 1250, currency: "EUR".to_owned() },
        created_at: Timestamp::default(),
        fulfilled_at: None,
        refunded_at: None,
        metadata: Json::empty_object(),
        revision: 0,
    }
}

fn fulfil() -> OrderPatch {
    OrderPatch { status: Some(OrderStatus::Fulfilled), ..OrderPatch::default() }
}

/// Everything in the store.
async fn everything(mill: &Mill) -> Vec<String> {
    let export = mill.handle.query().export().await.expect("readable");
    lines(export, Timestamp::default()).map(|line| line.expect("readable")).collect()
}

/// A dead run that has sent a mail, changed an order and completed a step.
async fn dead(mill: &Mill) -> RunId {
    mill.handle.put_order(order(OrderStatus::Pending)).await.expect("kept");
    mill.script.play(Box::new(|mut context: AttemptContext, _| {
        Box::pin(async move {
            let (key, mail) = mail("first");
            context.keep_mail(key, mail, MailStatus::Captured, None).expect("there is room");
            let pay = OrderPatch { status: Some(OrderStatus::Paid), ..OrderPatch::default() };
            context.keep_order_update(EffectKey::order("o1", &pay, 0), "o1".to_owned(), pay).expect("there is room");
            context.begin_step("charge").expect("begun");
            context.complete_step("charge", Json::empty_object()).await.expect("there is room");
            (Outcome::failed(FailureKind::Permanent, "a bug"), context)
        })
    }));
    let run = mill.enqueue().await;
    assert_eq!(mill.finished(run).await.run.head.state, RunState::Dead);
    run
}

async fn tried(mill: &Mill, run: RunId) -> Trial {
    watchdog(mill.handle.trial(run)).await.expect("tried")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_shows_what_a_run_would_do_on_the_new_version_and_stores_nothing() {
    let mill = Mill::start();
    let run = dead(&mill).await;
    let old = mill.record(run).await.run.head.version.expect("it ran");
    put(mill.hopper.path(), "hello.wasm", "hello retries=4 event=greet");
    let hello = "hello".parse().expect("a job id");
    mill.until_catalog(|handle| handle.catalog().serving(&hello).is_some_and(|it| it.version != old)).await;
    // That it is on record comes after it serves.
    while mill.handle.query().versions(&hello).await.expect("readable").len() < 2 {
        tokio::task::yield_now().await;
    }
    let before = everything(&mill).await;
    mill.script.play(Box::new(|mut context: AttemptContext, _| {
        Box::pin(async move {
            assert!(context.is_trial());
            assert_eq!((context.run().attempt, context.run().max_attempts), (1, 5));
            let (first, _) = mail("first");
            assert!(context.remembered_mail(&first).is_some_and(|it| it.status.is_done()), "done is done");
            assert_eq!(context.begin_step("charge").expect("begun"), Some(Json::empty_object()));
            context.begin_step("ship").expect("begun");
            context.complete_step("ship", Json::empty_object()).await.expect("kept");
            let (key, second) = mail("second");
            context.rehearse_mail(key, second, None).expect("kept");
            let (paid, fulfilled) = (order(OrderStatus::Paid), order(OrderStatus::Fulfilled));
            context.rehearse_order(EffectKey::order("o1", &fulfil(), 0), fulfil(), &paid, &fulfilled).expect("kept");
            assert_eq!(context.kept_order_patches("o1").count(), 1);
            // What a runner does by mistake is not written either.
            let (key, third) = mail("third");
            context.intend_mail(key.clone(), third).await.expect("kept");
            context.settle_mail(key, MailStatus::Sent, None, None).await.expect("kept");
            let key = EffectKey::order("o2", &fulfil(), 0);
            context.intend_order(key.clone(), "o2".to_owned(), fulfil()).await.expect("kept");
            context.settle_order(key, None).await.expect("kept");
            context.suppress_bounced("ada@example.com", "550").await.expect("nothing to do");
            let at = context.now();
            context.log(LogLine { at, level: LogLevel::Info, message: "hi".to_owned(), fields: Vec::new() });
            (Outcome::Completed { output: Some(Json::empty_object()) }, context)
        })
    }));
    let trial = tried(&mill, run).await;
    assert_eq!(everything(&mill).await, before, "nothing is stored");

    assert_eq!((trial.run, trial.earlier_version), (run, Some(old)));
    assert_ne!(trial.version, old);
    assert_eq!((trial.finished.to, trial.finished.outcome), (RunState::Completed, AttemptOutcome::Completed));
    assert_eq!((trial.attempt, trial.max_attempts, trial.finished.log.len()), (1, 5, 1));
    let [TrialEffect::Mail { mail, suppressed: None }, TrialEffect::Order { order, before, after, .. }] =
        trial.effects.as_slice()
    else {
        panic!("a mail and then an order: {:?}", trial.effects)
    };
    assert_eq!((mail.message.kind.as_str(), order.as_str()), ("second", "o1"));
    assert_eq!((*before, *after), (OrderStatus::Paid, OrderStatus::Fulfilled));
    let [DoneBefore::Mail { mail, status: MailStatus::Captured }, DoneBefore::Order { order, .. }] =
        trial.done_before.as_slice()
    else {
        panic!("a mail and then an order: {:?}", trial.done_before)
    };
    assert_eq!((mail.message.kind.as_str(), order.as_str()), ("first", "o1"));
    assert_eq!(trial.steps, [("ship".to_owned(), Json::empty_object())]);
    assert_eq!(trial.steps_before, ["charge"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_is_tried_as_its_next_attempt_and_told_what_would_follow() {
    let mut mill = Mill::start();
    mill.script.fail(FailureKind::Transient);
    let run = mill.enqueue().await;
    let head = mill.until(run, RunState::Retryable).await;
    mill.script.fail(FailureKind::Transient);
    let again = tried(&mill, run).await;
    assert_eq!((again.attempt, again.max_attempts, again.finished.to), (2, 3, RunState::Retryable));
    assert_eq!(again.finished.scheduled_at, mill.clock.now().after(Duration::from_secs(2)));
    mill.script.fail(FailureKind::Permanent);
    let dead = tried(&mill, run).await;
    assert_eq!(dead.finished.to, RunState::Dead);
    assert_eq!(dead.finished.error.expect("failed").message, "scripted");
    assert_eq!(mill.record(run).await.run.head, head, "the run is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_two_trials_go_on_at_once_and_a_shutdown_ends_them() {
    let mill = Mill::start();
    let run = dead(&mill).await;
    let mut trials = Vec::new();
    for _ in 0..limits::TRIALS {
        let begun = mill.script.hang();
        let handle = mill.handle.clone();
        trials.push(tokio::spawn(async move { handle.trial(run).await }));
        watchdog(begun.notified()).await;
    }
    assert_eq!(mill.handle.trial(run).await, Err(TrialError::Busy));
    mill.handle.shutdown();
    for trial in trials {
        assert_eq!(watchdog(trial).await.expect("no panic"), Err(TrialError::Stopping));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_tried_says_why_and_a_panic_is_a_failure() {
    let mill = Mill::start();
    let nowhere = RunId::from_bytes([7; 16]);
    assert_eq!(mill.handle.trial(nowhere).await, Err(TrialError::UnknownRun(nowhere)));
    let run = dead(&mill).await;
    mill.script.play(Box::new(|_, _| Box::pin(async { panic!("a bug in the engine") })));
    let trial = tried(&mill, run).await;
    let error = trial.finished.error.expect("failed");
    assert_eq!((error.kind, error.message.as_str()), (FailureKind::Host, "the engine panicked: a bug in the engine"));
    std::fs::remove_file(mill.hopper.path().join("hello.wasm")).expect("removed");
    let hello = "hello".parse().expect("a job id");
    mill.until_catalog(|handle| handle.catalog().serving(&hello).is_none()).await;
    assert_eq!(mill.handle.trial(run).await, Err(TrialError::NotLoaded(hello)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_takes_nothing_from_what_its_job_may_send() {
    let hopper = tempfile::tempdir().expect("a directory");
    put(hopper.path(), "hello.wasm", "hello retries=2 event=greet");
    let mill = Mill::compose(hopper, MemoryLog::new(), Arc::new(ManualClock::new()), |settings| {
        let limit = RateLimit { limit: 1, period: Duration::from_hours(1), key: None };
        let overrides = JobOverrides { mail_limit: Some(limit), ..JobOverrides::default() };
        settings.overrides.jobs.insert("hello".parse().expect("a job id"), overrides);
    });
    let sends = |script: &Script, expected: [bool; 2]| {
        script.play(Box::new(move |context: AttemptContext, _| {
            Box::pin(async move {
                assert_eq!([context.allow_mail().is_ok(), context.allow_mail().is_ok()], expected);
                (Outcome::Completed { output: None }, context)
            })
        }));
    };
    // A run before anything was sent, so that it is there to be tried.
    let run = mill.enqueue().await;
    mill.finished(run).await;
    sends(&mill.script, [true, false]);
    assert_eq!(tried(&mill, run).await.finished.to, RunState::Completed);
    sends(&mill.script, [true, false]);
    let real = mill.enqueue().await;
    assert_eq!(mill.finished(real).await.run.head.state, RunState::Completed);
    sends(&mill.script, [true, false]);
    assert_eq!(tried(&mill, run).await.finished.to, RunState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_tells_the_requests_that_it_would_send_and_those_that_are_done() {
    let mill = Mill::start();
    let url = "https://api.example.com/orders";
    let key = |occurrence| EffectKey::http("POST", url, b"{}", occurrence);
    mill.script.play(Box::new(move |mut context: AttemptContext, _| {
        Box::pin(async move {
            context.intend_request(key(0), "POST".to_owned(), url.to_owned()).await.expect("there is room");
            context.settle_request(key(0), Some(201), None, None).await.expect("there is room");
            context.intend_request(key(1), "POST".to_owned(), url.to_owned()).await.expect("there is room");
            let refused = Some("answered 503".to_owned());
            context.settle_request(key(1), Some(503), refused, None).await.expect("there is room");
            (Outcome::failed(FailureKind::Permanent, "a bug"), context)
        })
    }));
    let run = mill.enqueue().await;
    assert_eq!(mill.finished(run).await.run.head.state, RunState::Dead);
    mill.script.play(Box::new(move |mut context: AttemptContext, _| {
        Box::pin(async move {
            let done = RememberedRequest::Done { status: 201, answer: None };
            assert_eq!(context.remembered_request(&key(0)), Some(&done));
            assert_eq!(context.remembered_request(&key(1)), Some(&RememberedRequest::Failed));
            context.rehearse_request(key(1), "POST".to_owned(), url.to_owned(), 2).expect("there is room");
            (Outcome::Completed { output: None }, context)
        })
    }));
    let trial = tried(&mill, run).await;
    let (method, url) = ("POST".to_owned(), url.to_owned());
    let done = DoneBefore::Http { method: method.clone(), url: url.clone(), status: 201 };
    assert_eq!(trial.done_before, [done]);
    assert_eq!(trial.effects, [TrialEffect::Http { method, url, bytes: 2 }]);
}
