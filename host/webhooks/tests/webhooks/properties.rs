//! Whatever comes in: verifying and mapping never panic, and nothing unsigned is ever accepted.
//! The requests are drawn; those that are nearly right are made of a right one.

use jobmill_webhooks::{WebhookKind, document};
use proptest::prelude::*;

use crate::sender::{Headers, SIGNED_AT, deliver, endpoint, signed};

const NAMES: [&str; 7] = [
    "stripe-signature",
    "svix-id",
    "svix-timestamp",
    "svix-signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

fn kind() -> impl Strategy<Value = WebhookKind> {
    prop_oneof![Just(WebhookKind::Stripe), Just(WebhookKind::Standard)]
}

/// A header that looks like one, with signatures that nobody made, or anything at all.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let timestamp = SIGNED_AT.to_string();
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "[tv01=, .a-f]{0,200}".prop_map(String::into_bytes),
        Just(timestamp.clone().into_bytes()),
        "[0-9a-f]{64}".prop_map(move |digits| format!("t={timestamp},v1={digits}").into_bytes()),
        "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=".prop_map(|digits| format!("v1,{digits}").into_bytes()),
    ]
}

fn headers() -> impl Strategy<Value = Headers> {
    proptest::collection::vec((proptest::sample::select(&NAMES[..]), value()), 0..8)
        .prop_map(|headers| Headers(headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_that_nobody_signed_is_accepted(
        kind in kind(),
        headers in headers(),
        body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let endpoint = endpoint(kind);
        prop_assert!(deliver(&endpoint, &headers, &body).is_err());
    }

    #[test]
    fn any_body_that_was_signed_is_accepted_and_no_other_under_its_signature(
        kind in kind(),
        body in proptest::collection::vec(any::<u8>(), 0..300),
        other in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let endpoint = endpoint(kind);
        let headers = signed(kind, &body);
        let verified = deliver(&endpoint, &headers, &body).expect("signed");
        prop_assert_eq!(deliver(&endpoint, &headers, &other).is_ok(), body == other);
        prop_assert!((1..=256).contains(&verified.sender_id.len()));
        prop_assert!(verified.kind.len() <= 256);
        let _ = endpoint.map(&verified.kind, &verified.document);
    }

    #[test]
    fn any_json_under_any_kind_comes_to_something(
        kind in kind(),
        name in prop_oneof!["[a-z.]{0,20}", Just("user.created".to_owned()), Just("email.bounced".to_owned()),
            Just("charge.refunded".to_owned()), Just("checkout.session.completed".to_owned())],
        text in "(\\{\"data\":(\\{\"(object|to|id|bounce)\":){0,3}([0-9]{1,30}|\"[a-z@.]{0,9}\"|\\[{0,200}))|[\\[\\]{}:,\"a0]{0,40}",
    ) {
        let _ = endpoint(kind).map(&name, &document(text.as_bytes()));
    }
}
