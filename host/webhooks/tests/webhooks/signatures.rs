//! Which requests are a sender's own: vectors, tampering, rolled secrets, other schemes, clocks that differ.
//! What a delivery comes to is not looked at here.

use jobmill_webhooks::{Endpoint, EndpointError, WebhookKind};

use crate::sender::{
    Headers, SIGNED_AT, STANDARD_SECRET, STRIPE_SECRET, at, deliver, endpoint, signed, standard, standard_digits,
    stripe, stripe_digits,
};

const KINDS: [WebhookKind; 2] = [WebhookKind::Stripe, WebhookKind::Standard];
const BODY: &[u8] = br#"{"id":"evt_1","type":"ping","data":{"to":["ada@example.com"]}}"#;

fn with(kind: WebhookKind, secrets: &[&str]) -> Endpoint {
    let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    Endpoint::new("shop", kind, &secrets, None).expect("an endpoint")
}

#[test]
fn the_vector_of_stripe_is_accepted() {
    let body = br#"{"id":"evt_1","object":"event"}"#;
    let header = "t=1700000000,v1=0c8670ed117751cc551a20e35839447075c42800ea3cf3e8a2fbda99cd1e6edd";
    let headers = Headers::of(&[("stripe-signature", header)]);
    let endpoint = with(WebhookKind::Stripe, &["whsec_test_secret"]);
    let verified = endpoint.verify(|name| headers.get(name), body, at(1_700_000_000)).expect("accepted");
    assert_eq!((verified.sender_id.as_str(), verified.kind.as_str()), ("evt_1", ""));
    assert_eq!(verified.body.as_bytes(), body);
}

#[test]
fn the_vector_of_standard_webhooks_is_accepted_by_either_name_of_its_headers() {
    let body = br#"{"test": 2432232314}"#;
    for prefix in ["svix", "webhook"] {
        let headers = Headers::of(&[
            (&format!("{prefix}-id"), "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            (&format!("{prefix}-timestamp"), "1614265330"),
            (&format!("{prefix}-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ]);
        for secret in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"] {
            let endpoint = with(WebhookKind::Standard, &[secret]);
            let verified = endpoint.verify(|name| headers.get(name), body, at(1_614_265_330)).expect("accepted");
            assert_eq!(verified.sender_id, "msg_p5jXN8AQM9LWM0D4loKWxJek");
        }
    }
}

#[test]
fn no_bit_of_body_or_headers_can_be_changed() {
    for kind in KINDS {
        let endpoint = endpoint(kind);
        let headers = signed(kind, BODY);
        deliver(&endpoint, &headers, BODY).expect("accepted as it is");
        for place in 0..BODY.len() * 8 {
            let mut body = BODY.to_vec();
            body[place / 8] ^= 1 << (place % 8);
            assert!(deliver(&endpoint, &headers, &body).is_err(), "{kind}: bit {place} of the body");
        }
        for header in 0..headers.0.len() {
            for place in 0..headers.0[header].1.len() * 8 {
                let mut changed = headers.clone();
                changed.0[header].1[place / 8] ^= 1 << (place % 8);
                let refused = deliver(&endpoint, &changed, BODY);
                assert!(refused.is_err(), "{kind}: bit {place} of {}", headers.0[header].0);
            }
        }
    }
}

#[test]
fn nothing_can_be_cut_off_or_put_on() {
    for kind in KINDS {
        let endpoint = endpoint(kind);
        let headers = signed(kind, BODY);
        for length in 0..BODY.len() {
            assert!(deliver(&endpoint, &headers, &BODY[..length]).is_err(), "{kind}: {length} bytes");
        }
        assert!(deliver(&endpoint, &headers, &[BODY, b"\n"].concat()).is_err(), "{kind}");
        for header in 0..headers.0.len() {
            for length in 0..headers.0[header].1.len() {
                let mut changed = headers.clone();
                changed.0[header].1.truncate(length);
                assert!(deliver(&endpoint, &changed, BODY).is_err(), "{kind}: {changed:?}");
            }
            let mut changed = headers.clone();
            changed.0.remove(header);
            assert!(deliver(&endpoint, &changed, BODY).is_err(), "{kind}: {changed:?}");
        }
    }
}

#[test]
fn a_body_that_was_written_anew_is_another_body() {
    let spaced = br#"{ "id": "evt_1", "total": 1.50 }"#;
    let anew = serde_json::to_vec(&serde_json::from_slice::<serde_json::Value>(spaced).expect("JSON")).expect("JSON");
    for kind in KINDS {
        let headers = signed(kind, spaced);
        assert_eq!(deliver(&endpoint(kind), &headers, spaced).expect("accepted").body.as_bytes(), spaced);
        assert!(deliver(&endpoint(kind), &headers, &anew).is_err());
    }
}

#[test]
fn while_a_secret_is_rolled_either_signs_and_afterwards_only_the_new_one() {
    let (old, new) = ("whsec_old_secret", "whsec_new_secret");
    let digits = |secret| stripe_digits(secret, &SIGNED_AT.to_string(), BODY);
    // The sender signs with both.
    let both = format!("t={SIGNED_AT},v1={},v1={}", digits(new), digits(old));
    for secrets in [&[old][..], &[new], &[new, old]] {
        let endpoint = with(WebhookKind::Stripe, secrets);
        deliver(&endpoint, &Headers::of(&[("stripe-signature", &both)]), BODY).expect("one of both");
    }
    let rolled = with(WebhookKind::Stripe, &[new, old]);
    for secret in [old, new] {
        deliver(&rolled, &stripe(secret, SIGNED_AT, BODY), BODY).expect("we know both");
    }
    assert!(deliver(&with(WebhookKind::Stripe, &[new]), &stripe(old, SIGNED_AT, BODY), BODY).is_err());

    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let mut headers = signed(WebhookKind::Standard, BODY);
    let signature = standard_digits(other, "msg_1", &SIGNED_AT.to_string(), BODY);
    headers.value("svix-signature").extend_from_slice(format!(" v1,{signature}").as_bytes());
    for secrets in [&[STANDARD_SECRET][..], &[other], &[other, STANDARD_SECRET]] {
        deliver(&with(WebhookKind::Standard, secrets), &headers, BODY).expect("one of both");
    }
}

#[test]
fn a_signature_of_another_scheme_never_counts() {
    let digits = stripe_digits(STRIPE_SECRET, &SIGNED_AT.to_string(), BODY);
    for scheme in ["v0", "v2", "V1", "v1a", " v1", "v1 ", "", "v11"] {
        let header = format!("t={SIGNED_AT},{scheme}={digits}");
        let refused = deliver(&endpoint(WebhookKind::Stripe), &Headers::of(&[("stripe-signature", &header)]), BODY);
        assert!(refused.expect_err(scheme).reason().contains("v1"), "{scheme}");
    }
    // Beside a good one they do no harm.
    let header = format!("v0={digits},t={SIGNED_AT},v9=x,nonsense,,v1={digits},v0=6ffbb59b");
    deliver(&endpoint(WebhookKind::Stripe), &Headers::of(&[("stripe-signature", &header)]), BODY).expect("v1 is there");

    let mut headers = signed(WebhookKind::Standard, BODY);
    let signature = standard_digits(STANDARD_SECRET, "msg_1", &SIGNED_AT.to_string(), BODY);
    for scheme in ["v0,", "v1a,", "v2,", "V1,", "v1", "v1=", "v1.", ""] {
        *headers.value("svix-signature") = format!("{scheme}{signature}").into_bytes();
        assert!(deliver(&endpoint(WebhookKind::Standard), &headers, BODY).is_err(), "{scheme}");
    }
    *headers.value("svix-signature") = format!("v1a,AAAA v0,x  v1,{signature} v2").into_bytes();
    deliver(&endpoint(WebhookKind::Standard), &headers, BODY).expect("v1 is there");
}

#[test]
fn clocks_may_differ_by_five_minutes_either_way() {
    for kind in KINDS {
        let endpoint = endpoint(kind);
        let headers = signed(kind, BODY);
        let verify = |seconds: u64| endpoint.verify(|name| headers.get(name), BODY, at(seconds));
        for seconds in [SIGNED_AT - 300, SIGNED_AT, SIGNED_AT + 300] {
            verify(seconds).expect("within five minutes");
        }
        let late = verify(SIGNED_AT + 301).expect_err("too late").reason();
        assert!(late.contains("301 s ago") && late.contains("clock"), "{late}");
        let early = verify(SIGNED_AT - 301).expect_err("too early").reason();
        assert!(early.contains("301 s ahead") && early.contains("clock"), "{early}");
        assert!(verify(0).is_err() && verify(u64::MAX / 1_000).is_err());
    }
}

#[test]
fn a_timestamp_is_signed_as_it_was_written_and_is_digits_only() {
    let body = BODY;
    for (timestamp, accepted) in [
        ("1700000000", true),
        ("01700000000", true),
        ("+1700000000", false),
        ("1700000000.0", false),
        (" 1700000000", false),
        ("1.7e9", false),
        ("-1700000000", false),
        ("", false),
        ("99999999999999999999999999", false),
    ] {
        let header = format!("t={timestamp},v1={}", stripe_digits(STRIPE_SECRET, timestamp, body));
        let verified = deliver(&endpoint(WebhookKind::Stripe), &Headers::of(&[("stripe-signature", &header)]), body);
        assert_eq!(verified.is_ok(), accepted, "{timestamp:?}");
        let signature = format!("v1,{}", standard_digits(STANDARD_SECRET, "msg_1", timestamp, body));
        let headers =
            Headers::of(&[("svix-id", "msg_1"), ("svix-timestamp", timestamp), ("svix-signature", &signature)]);
        let verified = deliver(&endpoint(WebhookKind::Standard), &headers, body);
        assert_eq!(verified.is_ok(), accepted, "{timestamp:?}");
    }
    let digits = stripe_digits(STRIPE_SECRET, "1700000000", body);
    for header in [format!("v1={digits}"), format!("t=1700000000,t=1700000000,v1={digits}"), "t=1700000000".to_owned()]
    {
        let headers = Headers::of(&[("stripe-signature", &header)]);
        assert!(deliver(&endpoint(WebhookKind::Stripe), &headers, body).is_err(), "{header}");
    }
}

#[test]
fn headers_of_the_two_names_are_never_mixed() {
    let endpoint = endpoint(WebhookKind::Standard);
    let svix = standard("svix", STANDARD_SECRET, "msg_1", SIGNED_AT, BODY);
    let webhook = standard("webhook", STANDARD_SECRET, "msg_1", SIGNED_AT, BODY);
    for taken in 0..3 {
        let mut mixed = svix.clone();
        mixed.0[taken] = webhook.0[taken].clone();
        assert!(deliver(&endpoint, &mixed, BODY).is_err(), "{mixed:?}");
    }
    // Where both are whole, Svix's alone are looked at.
    let forged = standard("svix", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "msg_2", SIGNED_AT, BODY);
    let both = |first: &Headers, second: &Headers| Headers([first.0.clone(), second.0.clone()].concat());
    assert!(deliver(&endpoint, &both(&forged, &webhook), BODY).is_err());
    deliver(&endpoint, &both(&svix, &webhook), BODY).expect("Svix's are good");
    // A part of Svix's is not in the way.
    let part = Headers(svix.0[..1].to_vec());
    deliver(&endpoint, &both(&part, &webhook), BODY).expect("the standard's are whole");
}

#[test]
fn only_the_first_sixteen_signatures_are_looked_at() {
    let good = format!("v1={}", stripe_digits(STRIPE_SECRET, &SIGNED_AT.to_string(), BODY));
    let bad = format!("v1={}", "0".repeat(64));
    let deliver_after = |others: usize| {
        let header = format!("t={SIGNED_AT},{}{good}", format!("{bad},").repeat(others));
        deliver(&endpoint(WebhookKind::Stripe), &Headers::of(&[("stripe-signature", &header)]), BODY)
    };
    deliver_after(15).expect("the sixteenth");
    let reason = deliver_after(16).expect_err("the seventeenth").reason();
    assert!(reason.contains("looked at: 16"), "{reason}");

    let mut headers = signed(WebhookKind::Standard, BODY);
    let good = String::from_utf8(headers.value("svix-signature").clone()).expect("text");
    let bad = format!("v1,{}= ", "A".repeat(43));
    *headers.value("svix-signature") = format!("{}{good}", bad.repeat(15)).into_bytes();
    deliver(&endpoint(WebhookKind::Standard), &headers, BODY).expect("the sixteenth");
    *headers.value("svix-signature") = format!("{}{good}", bad.repeat(16)).into_bytes();
    assert!(deliver(&endpoint(WebhookKind::Standard), &headers, BODY).is_err());
}

#[test]
fn every_refusal_reads_the_same_and_only_the_log_knows_more() {
    let endpoint = endpoint(WebhookKind::Stripe);
    let good = signed(WebhookKind::Stripe, BODY);
    let refused = [
        deliver(&endpoint, &Headers(vec![]), BODY),
        deliver(&endpoint, &Headers::of(&[("stripe-signature", "t=1,v1=00")]), BODY),
        deliver(&endpoint, &Headers(vec![("stripe-signature".to_owned(), vec![0xff])]), BODY),
        deliver(&endpoint, &stripe("whsec_other", SIGNED_AT, BODY), BODY),
        endpoint.verify(|name| good.get(name), BODY, at(SIGNED_AT + 1_000)),
    ]
    .map(|refused| refused.expect_err("refused"));
    let mut reasons: Vec<String> = refused.iter().map(jobmill_webhooks::Refused::reason).collect();
    for refused in &refused {
        assert_eq!(refused.to_string(), refused_text());
    }
    reasons.sort();
    reasons.dedup();
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    let none = deliver(&self::endpoint(WebhookKind::Standard), &good, BODY).expect_err("no headers").reason();
    assert!(none.contains("svix-id") && none.contains("webhook-"), "{none}");
}

fn refused_text() -> &'static str {
    "the signature of this delivery can't be accepted"
}

#[test]
fn an_endpoint_that_could_accept_nothing_is_refused_at_the_start() {
    let refused = |name: &str, kind, secrets: &[&str]| {
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        Endpoint::new(name, kind, &secrets, None).expect_err("refused")
    };
    assert_eq!(refused("shop", WebhookKind::Stripe, &[]), EndpointError::NoSecret("shop".to_owned()));
    for name in ["", "a/b", "a b", "ä", &"a".repeat(65)] {
        assert_eq!(refused(name, WebhookKind::Stripe, &["whsec_1"]), EndpointError::Name(name.to_owned()));
    }
    for (kind, secret, reason) in [
        (WebhookKind::Stripe, "  ", "is empty"),
        (WebhookKind::Stripe, "sk_test_hunter2", "key of Stripe's API"),
        (WebhookKind::Standard, "", "is empty"),
        (WebhookKind::Standard, "whsec_hunter2!", "not base64"),
        (WebhookKind::Standard, "whsec_aHVudGVyMg==", "7 bytes"),
        (WebhookKind::Standard, "whpk_aHVudGVyMg==", "public key"),
    ] {
        let text = refused("shop", kind, &[STANDARD_SECRET, secret]).to_string();
        assert!(text.starts_with("webhooks.shop.secrets.1: ") && text.contains(reason), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
    }
    let text = refused("shop", WebhookKind::Stripe, &["whsec_1"; 9]).to_string();
    assert!(text.contains("there are 9") && text.contains("at most 8"), "{text}");
}

#[test]
fn secrets_are_not_in_what_an_endpoint_shows() {
    for kind in KINDS {
        let shown = format!("{:?}", endpoint(kind));
        assert!(shown.contains("secrets: 1") && !shown.contains("test_secret") && !shown.contains("MfKQ"), "{shown}");
    }
}
