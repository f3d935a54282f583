//! What the refund notification promises, on the native test host.
//! It tests neither the engine nor the sandbox.

use super::refund_notification;
use jobmill_sdk::Trigger;
use jobmill_sdk::prelude::*;
use jobmill_sdk::testing::{self, TestHost};

fn payload() -> Value {
    json!({ "orderId": "1042", "customerEmail": "ada@example.com", "refundReason": "Zerbrochen, tut uns leid – Größe 38" })
}

#[test]
fn tells_about_the_refund_and_marks_the_order_refunded() {
    let host = TestHost::new().with_order(testing::order("1042"));
    let output = host.run(refund_notification, payload()).unwrap().unwrap();
    assert_eq!(output["delivery"], "sent");
    assert_eq!(host.order("1042").unwrap().status, OrderStatus::Refunded);

    let [mail] = &host.mails()[..] else { panic!("expected one mail") };
    assert_eq!((mail.kind.as_str(), mail.to.address.as_str()), ("refund-notification", "ada@example.com"));
    assert_eq!(mail.subject, "Your refund for order 1042");
    for body in [&mail.text, mail.html.as_ref().unwrap()] {
        for part in ["Ada Lovelace", "1042", "Porcelain cup", "EUR 25.00", "EUR 44.90", "tut uns leid – Größe 38"] {
            assert!(body.contains(part), "{part} is missing in {body}");
        }
    }
}

#[test]
fn the_reason_is_optional() {
    let host = TestHost::new().with_order(testing::order("1042"));
    host.run(refund_notification, json!({ "orderId": "1042", "customerEmail": "ada@example.com" })).unwrap();
    let mail = &host.mails()[0];
    assert!(!mail.text.contains("Reason"), "{}", mail.text);
    assert!(!mail.html.as_ref().unwrap().contains("Reason"));
}

#[test]
fn neither_the_reason_nor_the_order_is_markup() {
    let order = Order { customer_name: Some("<script>alert(1)</script>".into()), ..testing::order("1042") };
    let host = TestHost::new().with_order(order);
    let payload = json!({ "orderId": "1042", "customerEmail": "ada@example.com", "refundReason": "<img src=x>" });
    host.run(refund_notification, payload).unwrap();
    let mail = &host.mails()[0];
    let html = mail.html.as_ref().unwrap();
    assert!(!html.contains("<script>") && !html.contains("<img"), "{html}");
    assert!(mail.text.contains("Reason:   <img src=x>"), "plain text stays as written");
}

#[test]
fn an_unknown_order_is_permanent() {
    let failure = TestHost::new().run(refund_notification, payload()).unwrap_err();
    assert_eq!(failure, Failure::permanent("there is no order \"1042\""));
}

#[test]
fn an_order_that_is_refunded_already_is_success() {
    let order = Order { status: OrderStatus::Refunded, ..testing::order("1042") };
    let host = TestHost::new().with_order(order.clone());
    assert!(host.run(refund_notification, payload()).is_ok());
    assert_eq!(host.order("1042"), Some(order));
}

#[test]
fn a_cancelled_order_is_not_refunded() {
    let host = TestHost::new().with_order(Order { status: OrderStatus::Cancelled, ..testing::order("1042") });
    assert!(matches!(host.run(refund_notification, payload()), Err(Failure::Permanent(_))));
    assert_eq!(host.mails(), []);
}

#[test]
fn an_update_that_fails_after_the_mail_sends_no_second_mail() {
    let host = TestHost::new().with_order(testing::order("1042"));
    host.fail_next_update(OrderError::Unavailable("connection refused".into()));
    assert!(matches!(host.run(refund_notification, payload()), Err(Failure::Transient(_))));

    let output = host.run(refund_notification, payload()).unwrap().unwrap();
    assert_eq!(output["delivery"], "already-sent");
    assert_eq!(host.mails().len(), 1);
    assert_eq!(host.order("1042").unwrap().status, OrderStatus::Refunded);
}

#[test]
fn a_bad_payload_is_permanent_and_names_the_member() {
    let host = TestHost::new();
    let failure = host.run(refund_notification, json!({ "orderId": "1042", "customerEmail": "ada" })).unwrap_err();
    let Failure::Permanent(reason) = failure else { panic!("expected a permanent failure") };
    assert!(reason.starts_with("the payload does not fit: /customerEmail: \"ada\" is not"), "{reason}");
}

#[test]
fn the_descriptor_says_what_the_engine_has_to_know() {
    let descriptor = TestHost::new().describe(refund_notification);
    assert_eq!(descriptor.id, "refund-notification");
    assert_eq!(descriptor.triggers, [Trigger::Event("email/refund-notification".into())]);
    assert_eq!(descriptor.retries, Some(2));
    assert_eq!(descriptor.payload_schema.unwrap()["required"], json!(["orderId", "customerEmail"]));
}
