//! A service that delivers webhooks: what it signs, and how.
//! It asserts nothing.

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jobmill_server::ServerSettings;
use jobmill_webhooks::{Endpoint, WebhookKind};
use sha2::Sha256;

use crate::world::{World, request, settings_with};

const STRIPE_SECRET: &str = "whsec_test_secret";
const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A user of Clerk's, as its webhook tells of one.
pub(crate) const USER_CREATED: &str = r#"{
  "type": "user.created",
  "data": {
    "id": "user_1",
    "first_name": "Ada",
    "primary_email_address_id": "idn_1",
    "email_addresses": [{ "id": "idn_1", "email_address": "ada@example.com" }]
  }
}"#;

/// The settings with two webhooks, `shop` of Stripe and `users` of Clerk.
pub(crate) fn settings() -> ServerSettings {
    let endpoint =
        |name: &str, kind, secret: &str| Endpoint::new(name, kind, &[secret.to_owned()], None).expect("a webhook");
    let mut settings = settings_with(None);
    settings.webhooks = vec![
        endpoint("shop", WebhookKind::Stripe, STRIPE_SECRET),
        endpoint("users", WebhookKind::Standard, STANDARD_SECRET),
    ];
    settings
}

/// A world with these webhooks.
pub(crate) async fn world() -> World {
    let mut world = World::start().await;
    world.router = jobmill_server::router(world.handle.clone(), settings());
    world
}

fn mac(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(content);
    mac.finalize().into_bytes().to_vec()
}

/// A delivery as Clerk makes it, signed now.
pub(crate) fn delivery(world: &World, id: &str, body: &str) -> Request<Body> {
    let timestamp = world.handle.now().as_millis() / 1_000;
    let key = STANDARD.decode(STANDARD_SECRET.trim_start_matches("whsec_")).expect("base64");
    let signature = STANDARD.encode(mac(&key, format!("{id}.{timestamp}.{body}").as_bytes()));
    request(Method::POST, "/webhooks/users")
        .header("svix-id", id)
        .header("svix-timestamp", timestamp)
        .header("svix-signature", format!("v1,{signature}"))
        .body(Body::from(body.to_owned()))
        .expect("a request")
}

/// A delivery as Stripe makes it, signed now.
pub(crate) fn stripe_delivery(world: &World, body: &str) -> Request<Body> {
    let timestamp = world.handle.now().as_millis() / 1_000;
    let digits = jobmill_core::id::hex(&mac(STRIPE_SECRET.as_bytes(), format!("{timestamp}.{body}").as_bytes()));
    request(Method::POST, "/webhooks/shop")
        .header("content-type", "application/json; charset=utf-8")
        .header("stripe-signature", format!("t={timestamp},v1={digits}"))
        .body(Body::from(body.to_owned()))
        .expect("a request")
}
