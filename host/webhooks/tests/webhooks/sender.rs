//! A sender: headers as Stripe and Standard Webhooks make them, and what a test may do to them.
//! It asserts nothing.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jobmill_core::Timestamp;
use jobmill_webhooks::{Endpoint, Refused, Verified, WebhookKind};
use sha2::Sha256;

pub(crate) const STRIPE_SECRET: &str = "whsec_test_secret";
pub(crate) const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// When everything in these tests is signed unless it says otherwise: seconds.
pub(crate) const SIGNED_AT: u64 = 1_700_000_000;

/// The headers of a request.
#[derive(Debug, Clone)]
pub(crate) struct Headers(pub(crate) Vec<(String, Vec<u8>)>);

impl Headers {
    pub(crate) fn of(headers: &[(&str, &str)]) -> Self {
        Self(headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    pub(crate) fn value(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value).expect("the header")
    }
}

fn mac(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(content);
    mac.finalize().into_bytes().to_vec()
}

/// The digits of a signature of Stripe's.
pub(crate) fn stripe_digits(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let content = [timestamp.as_bytes(), b".", body].concat();
    jobmill_core::id::hex(&mac(secret.as_bytes(), &content))
}

/// A request as Stripe signs it.
pub(crate) fn stripe(secret: &str, timestamp: u64, body: &[u8]) -> Headers {
    let digits = stripe_digits(secret, &timestamp.to_string(), body);
    Headers::of(&[("stripe-signature", &format!("t={timestamp},v1={digits}"))])
}

/// A signature of Standard Webhooks, without its scheme.
pub(crate) fn standard_digits(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = BASE64_STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    BASE64_STANDARD.encode(mac(&key, &content))
}

/// A request as a sender of Standard Webhooks signs it; `prefix` is `svix` or `webhook`.
pub(crate) fn standard(prefix: &str, secret: &str, id: &str, timestamp: u64, body: &[u8]) -> Headers {
    let timestamp = timestamp.to_string();
    let signature = format!("v1,{}", standard_digits(secret, id, &timestamp, body));
    Headers::of(&[
        (&format!("{prefix}-id"), id),
        (&format!("{prefix}-timestamp"), &timestamp),
        (&format!("{prefix}-signature"), &signature),
    ])
}

/// A request of either kind, signed by the secret that [`endpoint`] knows.
pub(crate) fn signed(kind: WebhookKind, body: &[u8]) -> Headers {
    match kind {
        WebhookKind::Stripe => stripe(STRIPE_SECRET, SIGNED_AT, body),
        WebhookKind::Standard => standard("svix", STANDARD_SECRET, "msg_1", SIGNED_AT, body),
    }
}

/// An endpoint with the kind's preset.
pub(crate) fn endpoint(kind: WebhookKind) -> Endpoint {
    let secret = match kind {
        WebhookKind::Stripe => STRIPE_SECRET,
        WebhookKind::Standard => STANDARD_SECRET,
    };
    Endpoint::new("shop", kind, &[secret.to_owned()], None).expect("an endpoint")
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

/// Takes a request in at the moment at which it was signed.
pub(crate) fn deliver(endpoint: &Endpoint, headers: &Headers, body: &[u8]) -> Result<Verified, Refused> {
    endpoint.verify(|name| headers.get(name), body, at(SIGNED_AT))
}
