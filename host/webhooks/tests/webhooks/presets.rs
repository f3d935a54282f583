//! The presets on bodies as Stripe, Clerk and Resend send them.
//! Signing is a detail here; each body goes through it, as it would.

use jobmill_webhooks::{Map, Mapped, Verified, WebhookKind, preset};
use serde_json::{Value, json};

use crate::sender::{deliver, endpoint, signed};

/// What a body comes to, and what was verified of it.
fn take_in(kind: WebhookKind, body: &[u8]) -> (Verified, Mapped) {
    let endpoint = endpoint(kind);
    let verified = deliver(&endpoint, &signed(kind, body), body).expect("accepted");
    let mapped = endpoint.map(&verified.kind, &verified.document);
    (verified, mapped)
}

fn changed(body: &str, change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut body: Value = serde_json::from_str(body).expect("JSON");
    change(&mut body);
    serde_json::to_vec(&body).expect("JSON")
}

fn assert_event(mapped: Mapped, wanted_name: &str, wanted_data: &Value) {
    let Mapped::Event { name, id, data } = mapped else { panic!("no event: {mapped:?}") };
    assert_eq!((name.as_str(), id), (wanted_name, None));
    assert_eq!(&data.to_value().expect("JSON"), wanted_data);
}

fn reason(mapped: Mapped) -> String {
    let Mapped::Unmapped { reason } = mapped else { panic!("not unmapped: {mapped:?}") };
    reason
}

const CHECKOUT: &str = include_str!("../fixtures/stripe-checkout-session-completed.json");
const REFUND: &str = include_str!("../fixtures/stripe-charge-refunded.json");
const OLD_REFUND: &str = include_str!("../fixtures/stripe-charge-refunded-2019.json");
const USER: &str = include_str!("../fixtures/clerk-user-created.json");
const BOUNCE: &str = include_str!("../fixtures/resend-email-bounced.json");
const FULL_MAILBOX: &str = include_str!("../fixtures/resend-email-bounced-transient.json");
const COMPLAINT: &str = include_str!("../fixtures/resend-email-complained.json");

#[test]
fn a_checkout_of_stripe_is_a_purchase() {
    let (verified, mapped) = take_in(WebhookKind::Stripe, CHECKOUT.as_bytes());
    assert_eq!(verified.sender_id, "evt_1QVx3kLkdIwHu7ix0Wb2cYpA");
    assert_eq!((verified.kind.as_str(), verified.body.as_str()), ("checkout.session.completed", CHECKOUT));
    let purchase = json!({ "orderId": "order_90210", "customerEmail": "ada@example.com" });
    assert_event(mapped, "email/purchase-confirmation", &purchase);
}

#[test]
fn the_order_of_a_checkout_is_looked_for_in_three_places_and_its_address_in_two() {
    let event = |order: &str, email: &str| json!({ "orderId": order, "customerEmail": email });
    let take_in = |change: &dyn Fn(&mut Value)| take_in(WebhookKind::Stripe, &changed(CHECKOUT, change)).1;
    let mapped = take_in(&|body| body["data"]["object"]["metadata"] = json!({ "order_id": "order_1" }));
    assert_event(mapped, "email/purchase-confirmation", &event("order_1", "ada@example.com"));
    let mapped = take_in(&|body| body["data"]["object"]["metadata"] = json!({ "orderId": "" }));
    assert_event(mapped, "email/purchase-confirmation", &event("order_90211", "ada@example.com"));
    let mapped = take_in(&|body| {
        body["data"]["object"]["customer_details"] = Value::Null;
        body["data"]["object"]["customer_email"] = json!("grace@example.com");
    });
    assert_event(mapped, "email/purchase-confirmation", &event("order_90210", "grace@example.com"));
}

#[test]
fn a_checkout_without_order_or_address_says_everything_that_is_missing_and_where_it_was_looked_for() {
    let body = changed(CHECKOUT, |body| {
        let session = &mut body["data"]["object"];
        session["metadata"] = json!({});
        session["client_reference_id"] = Value::Null;
        session["customer_details"]["email"] = Value::Null;
    });
    let reason = reason(take_in(WebhookKind::Stripe, &body).1);
    for part in [
        "\"orderId\" is missing",
        "/data/object/metadata/orderId or /data/object/metadata/order_id or /data/object/client_reference_id",
        "\"customerEmail\" is missing",
        "/data/object/customer_details/email or /data/object/customer_email",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn a_refund_of_stripe_is_a_refund_notice_with_its_reason_where_the_charge_has_one() {
    let (verified, mapped) = take_in(WebhookKind::Stripe, REFUND.as_bytes());
    assert_eq!(verified.sender_id, "evt_3QVx3gLkdIwHu7ix1rZ5tU8w");
    let refund = json!({ "orderId": "order_90210", "customerEmail": "ada@example.com" });
    assert_event(mapped, "email/refund-notification", &refund);
    let refund = json!({ "orderId": "order_4711", "customerEmail": "grace@example.com", "refundReason": "requested_by_customer" });
    assert_event(take_in(WebhookKind::Stripe, OLD_REFUND.as_bytes()).1, "email/refund-notification", &refund);
}

#[test]
fn a_user_of_clerk_is_welcomed_at_the_primary_address() {
    let (verified, mapped) = take_in(WebhookKind::Standard, USER.as_bytes());
    assert_eq!((verified.sender_id.as_str(), verified.kind.as_str()), ("msg_1", "user.created"));
    let user = "user_2h5QxWo9VjY6qL0uSm3rAbCdEfG";
    assert_event(
        mapped,
        "email/welcome",
        &json!({ "userId": user, "email": "ada@example.com", "name": "Ada Lovelace" }),
    );
    let one_name = changed(USER, |body| body["data"]["last_name"] = Value::Null);
    let welcome = json!({ "userId": user, "email": "ada@example.com", "name": "Ada" });
    assert_event(take_in(WebhookKind::Standard, &one_name).1, "email/welcome", &welcome);
    let nameless = changed(USER, |body| {
        body["data"]["first_name"] = Value::Null;
        body["data"]["last_name"] = json!("");
    });
    let welcome = json!({ "userId": user, "email": "ada@example.com" });
    assert_event(take_in(WebhookKind::Standard, &nameless).1, "email/welcome", &welcome);
}

#[test]
fn a_user_of_clerk_without_an_address_is_unmapped() {
    let by_phone = changed(USER, |body| {
        body["data"]["email_addresses"] = json!([]);
        body["data"]["primary_email_address_id"] = Value::Null;
    });
    let reason = reason(take_in(WebhookKind::Standard, &by_phone).1);
    assert!(reason.starts_with("\"email\" is missing") && reason.contains("primary_email_address_id"), "{reason}");
}

#[test]
fn a_bounce_of_resend_stops_mail_only_when_it_is_permanent() {
    let stops = |addresses: &[&str], kind: &str| Mapped::Suppress {
        addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        reason: format!("{kind}, told by the webhook shop"),
    };
    let mapped = |body: &str| take_in(WebhookKind::Standard, body.as_bytes()).1;
    assert_eq!(mapped(BOUNCE), stops(&["gone@example.org"], "email.bounced"));
    assert_eq!(mapped(FULL_MAILBOX), Mapped::Ignored);
    assert_eq!(mapped(COMPLAINT), stops(&["Grace@Example.org"], "email.complained"));
    let unsaid = changed(BOUNCE, |body| body["data"]["bounce"] = json!({ "message": "hard bounce" }));
    assert_eq!(take_in(WebhookKind::Standard, &unsaid).1, Mapped::Ignored);
}

#[test]
fn kinds_without_a_rule_are_ignored() {
    for (kind, body) in [
        (WebhookKind::Stripe, r#"{"id":"evt_1","object":"event","type":"invoice.paid"}"#),
        (WebhookKind::Stripe, r#"{"id":"evt_1","object":"v2.core.event","type":"v1.charge.refunded"}"#),
        (WebhookKind::Standard, r#"{"type":"user.deleted","data":{"id":"user_1"}}"#),
        (WebhookKind::Standard, r#"{"type":"charge.refunded"}"#),
    ] {
        assert_eq!(take_in(kind, body.as_bytes()).1, Mapped::Ignored, "{body}");
    }
}

#[test]
fn a_signed_body_that_says_nothing_is_kept_and_unmapped() {
    let digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for body in [&b""[..], b"{", b"[1]", b"null", b"\"type\"", b"\xff\xfe{}", b"{\"id\":\"\xff\"}"] {
        let (verified, mapped) = take_in(WebhookKind::Stripe, body);
        assert!(verified.kind.is_empty() && digest(&verified.sender_id), "{verified:?}");
        assert_eq!(verified.body, String::from_utf8_lossy(body));
        assert!(reason(mapped).contains("not a JSON object"), "{verified:?}");
        assert_eq!(take_in(WebhookKind::Standard, body).0.sender_id, "msg_1");
    }
    let long = format!(r#"{{"id":"evt_1","type":"{}"}}"#, "a".repeat(257));
    for body in ["{}", r#"{"id":"evt_1"}"#, r#"{"type":7}"#, r#"{"type":""}"#, r#"{"type":"a\nb"}"#, &long] {
        let (verified, mapped) = take_in(WebhookKind::Stripe, body.as_bytes());
        assert!(verified.kind.is_empty() && reason(mapped).contains("no \"type\""), "{verified:?}");
    }
}

#[test]
fn an_id_that_is_missing_or_unfit_becomes_a_digest_that_stays_the_same() {
    let id = |body: &str| take_in(WebhookKind::Stripe, body.as_bytes()).0.sender_id;
    // The SHA-256 of the body.
    assert_eq!(id("{}"), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    assert_eq!(id(r#"{"id":7}"#), id(r#"{"id":7}"#));
    let long = "e".repeat(257);
    let first = id(&format!(r#"{{"id":"{long}","pending_webhooks":1}}"#));
    assert_eq!(first, id(&format!(r#"{{"id":"{long}","pending_webhooks":2}}"#)));
    assert_eq!(first.len(), 64);
    assert_eq!(id(&format!(r#"{{"id":"{}"}}"#, "e".repeat(256))).len(), 256);
}

#[test]
fn the_presets_can_be_read_and_have_what_their_senders_send() {
    let kinds = |kind| {
        let map: Map = toml::from_str(preset(kind)).expect("a map");
        map.kinds().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(kinds(WebhookKind::Stripe), ["charge.refunded", "checkout.session.completed"]);
    assert_eq!(kinds(WebhookKind::Standard), ["email.bounced", "email.complained", "user.created"]);
}
