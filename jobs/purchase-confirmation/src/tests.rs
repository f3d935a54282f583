//! What the purchase confirmation promises, on the native test host.
//! It tests neither the engine nor the sandbox.

use super::purchase_confirmation;
use jobmill_sdk::Trigger;
use jobmill_sdk::prelude::*;
use jobmill_sdk::testing::{self, TestHost};

fn payload() -> Value {
    json!({ "orderId": "1042", "customerEmail": "ada@example.com" })
}

#[test]
fn confirms_the_order_and_marks_it_fulfilled() {
    let host = TestHost::new().with_order(testing::order("1042"));
    let output = host.run(purchase_confirmation, payload()).unwrap().unwrap();
    assert_eq!(output["delivery"], "sent");
    assert_eq!(host.order("1042").unwrap().status, OrderStatus::Fulfilled);

    let [mail] = &host.mails()[..] else { panic!("expected one mail") };
    assert_eq!((mail.kind.as_str(), mail.to.address.as_str()), ("purchase-confirmation", "ada@example.com"));
    assert_eq!(mail.subject, "Your order 1042 is confirmed");
    for body in [&mail.text, mail.html.as_ref().unwrap()] {
        for part in ["Ada Lovelace", "1042", "3 March 2026", "Earl Grey, 250 g", "TEA-01"] {
            assert!(body.contains(part), "{part} is missing in {body}");
        }
        for amount in ["EUR 12.50", "EUR 25.00", "EUR 19.90", "EUR 44.90"] {
            assert!(body.contains(amount), "{amount} is missing in {body}");
        }
    }
}

#[test]
fn amounts_have_the_minor_units_of_their_currency() {
    let mut order = testing::order("1042");
    order.items[0].unit_price = Money::new(1250, "JPY");
    order.total = Money::new(2500, "JPY");
    let host = TestHost::new().with_order(order);
    host.run(purchase_confirmation, payload()).unwrap();
    assert!(host.mails()[0].text.contains("Total:   JPY 2500\n"), "{}", host.mails()[0].text);
}

#[test]
fn a_customer_without_a_name_is_addressed_by_their_address() {
    let host = TestHost::new().with_order(Order { customer_name: None, ..testing::order("1042") });
    host.run(purchase_confirmation, payload()).unwrap();
    assert!(host.mails()[0].text.starts_with("Hello ada@example.com,"));
}

#[test]
fn nothing_from_the_order_is_markup() {
    let mut order = testing::order("<b>1042</b>");
    order.customer_name = Some("<script>alert(1)</script>".into());
    order.items[0].name = "<img src=x onerror=alert(1)>".into();
    order.items[0].sku = "\"><script>".into();
    let host = TestHost::new().with_order(order);
    host.run(purchase_confirmation, json!({ "orderId": "<b>1042</b>", "customerEmail": "ada@example.com" })).unwrap();
    let mail = &host.mails()[0];
    let html = mail.html.as_ref().unwrap();
    for markup in ["<script>", "<img", "<b>1042"] {
        assert!(!html.contains(markup), "{markup} got into the mail");
    }
    assert!(mail.text.contains("<script>alert(1)</script>"), "plain text stays as written");
}

#[test]
fn an_unknown_order_is_permanent() {
    let failure = TestHost::new().run(purchase_confirmation, payload()).unwrap_err();
    assert_eq!(failure, Failure::permanent("there is no order \"1042\""));
}

#[test]
fn an_order_that_is_fulfilled_already_is_success() {
    let order = Order { status: OrderStatus::Fulfilled, ..testing::order("1042") };
    let host = TestHost::new().with_order(order.clone());
    assert!(host.run(purchase_confirmation, payload()).is_ok());
    assert_eq!(host.order("1042"), Some(order));
}

#[test]
fn a_refunded_order_is_not_confirmed() {
    let host = TestHost::new().with_order(Order { status: OrderStatus::Refunded, ..testing::order("1042") });
    assert!(matches!(host.run(purchase_confirmation, payload()), Err(Failure::Permanent(_))));
    assert_eq!(host.mails(), []);
}

#[test]
fn an_update_that_fails_after_the_mail_sends_no_second_mail() {
    let host = TestHost::new().with_order(testing::order("1042"));
    host.fail_next_update(OrderError::Unavailable("connection refused".into()));
    assert!(matches!(host.run(purchase_confirmation, payload()), Err(Failure::Transient(_))));
    assert_eq!(host.order("1042").unwrap().status, OrderStatus::Paid);

    let output = host.run(purchase_confirmation, payload()).unwrap().unwrap();
    assert_eq!(output["delivery"], "already-sent");
    assert_eq!(host.mails().len(), 1);
    assert_eq!(host.order("1042").unwrap().status, OrderStatus::Fulfilled);
}

#[test]
fn a_bad_payload_is_permanent_and_names_the_member() {
    let host = TestHost::new();
    let failure = host.run(purchase_confirmation, json!({ "customerEmail": "ada@example.com" })).unwrap_err();
    assert_eq!(failure, Failure::permanent("the payload does not fit: /orderId: is required"));
}

#[test]
fn a_price_that_overflows_is_permanent() {
    let mut order = testing::order("1042");
    order.items[0].unit_price.minor = i64::MAX;
    let host = TestHost::new().with_order(order);
    assert!(matches!(host.run(purchase_confirmation, payload()), Err(Failure::Permanent(_))));
    assert_eq!(host.mails(), []);
}

#[test]
fn the_descriptor_says_what_the_engine_has_to_know() {
    let descriptor = TestHost::new().describe(purchase_confirmation);
    assert_eq!(descriptor.id, "purchase-confirmation");
    assert_eq!(descriptor.triggers, [Trigger::Event("email/purchase-confirmation".into())]);
    assert_eq!(descriptor.retries, Some(3));
    assert_eq!(descriptor.payload_schema.unwrap()["required"], json!(["orderId", "customerEmail"]));
}
