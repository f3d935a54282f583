//! Webhooks as Stripe signs them, for tests that send more of them than a script could.
//! It asserts nothing about the product.

use std::fmt::Write as _;
use std::time::SystemTime;

use ring::hmac;

/// The secret of the endpoint.
pub(crate) const SECRET: &str = "whsec_test_secret_of_the_tests";

/// Of `[webhooks.stripe]` with that secret.
pub(crate) const CONFIGURATION: &str = r#"
[webhooks.stripe]
kind = "stripe"
secrets = ["whsec_test_secret_of_the_tests"]
"#;

/// The header `Stripe-Signature` for a body that is sent now.
pub(crate) fn stripe(body: &[u8]) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let mut signed = format!("{now}.").into_bytes();
    signed.extend(body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let mut header = format!("t={now},v1=");
    for byte in hmac::sign(&key, &signed).as_ref() {
        write!(header, "{byte:02x}").expect("a text takes everything");
    }
    header
}

/// A paid checkout of an order.
pub(crate) fn checkout(id: &str, order: &str, email: &str) -> String {
    let session = serde_json::json!({
        "id": format!("cs_{id}"),
        "object": "checkout.session",
        "client_reference_id": order,
        "customer_details": { "email": email },
        "payment_status": "paid",
    });
    let event = serde_json::json!({
        "id": id, "object": "event", "type": "checkout.session.completed", "livemode": false, "data": { "object": session },
    });
    event.to_string()
}
