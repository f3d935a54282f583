//! The test host keeps the engine's promises: what is done once for a run, what a retry sees, what a job describes.
//! It is tested through jobs, as their authors use it.

use jobmill_sdk::prelude::*;
use jobmill_sdk::testing::{self, LogLine, TestHost};
use jobmill_sdk::{Backoff, Concurrency, Debounce, Level, RateLimit, Trigger};
use std::cell::Cell;
use std::time::Duration;

#[payload]
struct OrderId {
    order_id: String,
}

fn payload() -> Value {
    json!({ "orderId": "1042" })
}

thread_local! {
    static CHARGES: Cell<u32> = const { Cell::new(0) };
}

/// Charges once, and then asks
/// the order book.
///
/// A second paragraph.
#[job(
    event = "order/placed",
    event = "order/changed",
    cron = "TZ=Europe/Berlin 0 9 * * MON",
    queue = "slow",
    priority = 2,
    retries = 4,
    timeout = "1m30s",
    backoff(base = "2s", factor = 3, max = "10m", jitter = 0.5),
    concurrency(limit = 1, key = "/orderId"),
    concurrency(limit = 8),
    rate_limit(limit = 100, period = "1m"),
    debounce(period = "10s", max_wait = "1m", key = "/orderId"),
    unique_key = "/orderId",
    unique_for = "1h",
    example = r#"{ "orderId": "1042" }"#
)]
fn charge_2(context: &Context, payload: OrderId) -> Result<String, Failure> {
    let receipt: String = step("charge", || {
        CHARGES.set(CHARGES.get() + 1);
        Ok("paid".to_owned())
    })?;
    let attempt = context.attempt;
    info!("attempt {attempt}", order = payload.order_id, of = context.max_attempts);
    fetch_order(&payload.order_id)?;
    Ok(receipt)
}

#[test]
fn a_step_that_is_done_is_not_done_again() {
    let host = TestHost::new().with_order(testing::order("1042"));
    host.fail_next_fetch(OrderError::Unavailable("down".into()));
    assert!(matches!(host.run(charge_2, payload()), Err(Failure::Transient(_))));
    assert_eq!(host.run(charge_2, payload()), Ok(Some(json!("paid"))));
    assert_eq!(CHARGES.get(), 1);
}

#[test]
fn a_log_line_has_its_level_message_and_fields() {
    let host = TestHost::new().with_order(testing::order("1042"));
    host.run(charge_2, payload()).unwrap();
    let fields = vec![("order".to_owned(), "1042".to_owned()), ("of".to_owned(), "5".to_owned())];
    assert_eq!(host.logs(), [LogLine { level: Level::Info, message: "attempt 1".to_owned(), fields }]);
}

#[test]
fn every_argument_reaches_the_descriptor() {
    let descriptor = TestHost::new().describe(charge_2);
    let key = Some("/orderId".to_owned());
    assert_eq!((descriptor.id.as_str(), descriptor.title.as_str()), ("charge-2", "Charge 2"));
    assert_eq!(
        descriptor.description.as_deref(),
        Some("Charges once, and then asks the order book.\n\nA second paragraph.")
    );
    assert_eq!(
        descriptor.triggers,
        [
            Trigger::Event("order/placed".into()),
            Trigger::Event("order/changed".into()),
            Trigger::Cron("TZ=Europe/Berlin 0 9 * * MON".into()),
        ]
    );
    assert_eq!(
        (descriptor.queue.as_deref(), descriptor.priority, descriptor.retries),
        (Some("slow"), Some(2), Some(4))
    );
    assert_eq!(descriptor.timeout, Some(Duration::from_secs(90)));
    let (base, max) = (Duration::from_secs(2), Duration::from_mins(10));
    assert_eq!(descriptor.backoff, Some(Backoff::Exponential { base, factor: 3.0, max, jitter: 0.5 }));
    assert_eq!(
        descriptor.concurrency,
        [Concurrency { limit: 1, key: key.clone() }, Concurrency { limit: 8, key: None }]
    );
    assert_eq!(descriptor.rate_limit, Some(RateLimit { limit: 100, period: Duration::from_mins(1), key: None }));
    let (period, max_wait) = (Duration::from_secs(10), Some(Duration::from_mins(1)));
    assert_eq!(descriptor.debounce, Some(Debounce { period, max_wait, key: key.clone() }));
    assert_eq!((descriptor.unique_key, descriptor.unique_for), (key, Some(Duration::from_hours(1))));
    assert_eq!(descriptor.payload_schema.unwrap()["required"], json!(["orderId"]));
    assert_eq!(descriptor.payload_example.as_deref(), Some(r#"{ "orderId": "1042" }"#));
}

#[job(backoff = "5s")]
fn bare(_context: &Context, payload: OrderId) -> Result<(), Failure> {
    debug!("nothing to do", order = payload.order_id);
    Ok(())
}

#[test]
fn what_is_not_said_is_left_to_the_engine() {
    let descriptor = TestHost::new().describe(bare);
    assert_eq!(descriptor.backoff, Some(Backoff::Fixed(Duration::from_secs(5))));
    assert_eq!((descriptor.title.as_str(), descriptor.description, descriptor.triggers), ("Bare", None, vec![]));
    assert_eq!((descriptor.retries, descriptor.timeout, descriptor.queue), (None, None, None));
}

#[test]
fn a_job_without_output_has_none() {
    assert_eq!(TestHost::new().run(bare, payload()), Ok(None));
}

#[job(title = "Twice")]
fn twice(_context: &Context, payload: OrderId) -> Result<Vec<Receipt>, Failure> {
    let message = |text: &str| Message::new("note", "ada@example.com").subject(&payload.order_id).text(text);
    Ok(vec![send_email(&message("first"))?, send_email(&message("second"))?])
}

#[test]
fn the_same_mail_twice_in_an_attempt_is_two_mails_and_none_in_the_next() {
    let host = TestHost::new();
    host.run(twice, payload()).unwrap();
    assert_eq!(host.mails().len(), 2);
    let output = host.run(twice, payload()).unwrap().unwrap();
    assert_eq!(host.mails().len(), 2);
    assert!(output.as_array().unwrap().iter().all(|receipt| receipt["delivery"] == "already-sent"));
}

#[job(title = "Same step twice")]
fn same_step_twice(_context: &Context, payload: OrderId) -> Result<u64, Failure> {
    let number = step("number", || Ok(payload.order_id.len() as u64))?;
    step("number", || Ok(number))
}

#[test]
fn a_step_begun_twice_in_an_attempt_is_permanent() {
    let failure = TestHost::new().run(same_step_twice, payload()).unwrap_err();
    assert!(matches!(&failure, Failure::Permanent(reason) if reason.contains("\"number\"")), "{failure:?}");
}

#[job(title = "Annotate")]
fn annotate(_context: &Context, payload: OrderId) -> Result<u64, Failure> {
    let order = fetch_order(&payload.order_id)?;
    let patch = OrderPatch {
        status: Some(OrderStatus::Refunded),
        metadata: Some(json!({ "note": { "by": "job" }, "old": null })),
        expected_revision: Some(order.revision),
    };
    Ok(update_order(&order.id, patch)?.revision)
}

#[test]
fn a_change_of_an_order_is_merged_and_raises_the_revision() {
    let host = TestHost::new().with_order(Order { metadata: json!({ "old": 1, "kept": 2 }), ..testing::order("1042") });
    assert_eq!(host.run(annotate, payload()), Ok(Some(json!(2))));
    let order = host.order("1042").unwrap();
    assert_eq!(order.metadata, json!({ "kept": 2, "note": { "by": "job" } }));
    assert!(order.refunded_at.is_some());
}

#[test]
fn a_change_that_the_order_book_would_refuse_is_refused() {
    let host = TestHost::new().with_order(Order { status: OrderStatus::Cancelled, ..testing::order("1042") });
    assert_eq!(
        host.run(annotate, payload()),
        Err(Failure::permanent(
            "the order can't change its status like this: order \"1042\" is cancelled, and a cancelled order can't become refunded"
        ))
    );
}

#[test]
#[should_panic(expected = "Call the job through `jobmill_sdk::testing::TestHost::run`")]
fn a_host_call_outside_of_a_job_says_what_to_do() {
    let _ = fetch_order("1042");
}
