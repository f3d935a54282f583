//! Maps of an operator's own: what they take from a delivery, and what is refused with its place in the configuration.
//! They are read through the same library as the configuration, so that the places are the ones that it names.

use std::collections::BTreeMap;

use figment::Figment;
use figment::providers::Serialized;
use jobmill_webhooks::{Endpoint, Map, Mapped, WebhookKind};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::sender::STRIPE_SECRET;

#[derive(Deserialize)]
struct Configuration {
    webhooks: BTreeMap<String, Section>,
}

#[derive(Deserialize)]
struct Section {
    map: Map,
}

/// A map, or why it is none, after the place.
fn read(text: &str) -> Result<Map, String> {
    let table: toml::Table = toml::from_str(text).expect("TOML");
    let layers = Figment::from(Serialized::default("webhooks.shop.map", table));
    let configuration = layers.extract::<Configuration>();
    let mut read = configuration.map_err(|error| format!("{}: {}", error.path.join("."), error.kind))?;
    Ok(read.webhooks.remove("shop").expect("the section").map)
}

fn apply(text: &str, document: &Value) -> Mapped {
    let map = read(text).expect("a map");
    let endpoint = Endpoint::new("shop", WebhookKind::Stripe, &[STRIPE_SECRET.to_owned()], Some(map));
    endpoint.expect("an endpoint").map("it", document)
}

fn data(text: &str, document: &Value) -> Value {
    match apply(text, document) {
        Mapped::Event { data, .. } => data.to_value().expect("JSON"),
        other => panic!("no event: {other:?}"),
    }
}

fn reason(text: &str, document: &Value) -> String {
    match apply(text, document) {
        Mapped::Unmapped { reason } => reason,
        other => panic!("not unmapped: {other:?}"),
    }
}

#[test]
fn values_are_taken_as_they_are() {
    let map = "[it]\nevent = \"a/b\"\ndata = { text = \"/v/0\", whole = \"/v/1\", part = \"/v/2\", no = \"/v/3\", list = \"/v\", table = \"/t\" }";
    let document = json!({ "v": ["x", 9_007_199_254_740_993_u64, 1.25, false], "t": { "deep": { "er": [null] } } });
    let wanted = json!({
        "text": "x", "whole": 9_007_199_254_740_993_u64, "part": 1.25, "no": false,
        "list": ["x", 9_007_199_254_740_993_u64, 1.25, false], "table": { "deep": { "er": [null] } },
    });
    assert_eq!(data(map, &document), wanted);
    assert_eq!(data("[it]\nevent = \"a/b\"", &document), json!({}));
}

#[test]
fn the_first_alternative_that_says_something_counts() {
    let map = "[it]\nevent = \"a/b\"\ndata = { it = [\"/a\", \"/b\", \"/c\"] }";
    assert_eq!(data(map, &json!({ "a": 0, "b": 1 })), json!({ "it": 0 }));
    assert_eq!(data(map, &json!({ "a": null, "b": "", "c": "last" })), json!({ "it": "last" }));
    let reason = reason(map, &json!({ "a": null, "b": "" }));
    assert_eq!(reason, "\"it\" is missing: nothing stands at /a or /b or /c");
}

#[test]
fn an_optional_member_is_left_out_and_texts_and_numbers_are_joined() {
    let map = r#"
        [it]
        event = "a/b"
        data = { note = { at = ["/x", "/y"], optional = true }, name = { join = ["/first", "/middle", "/last"] } }
    "#;
    let wanted = json!({ "name": "Ada 2" });
    assert_eq!(data(map, &json!({ "first": "Ada", "middle": ["x"], "last": 2 })), wanted);
    assert_eq!(data(map, &json!({ "y": 1, "last": "L" })), json!({ "note": 1, "name": "L" }));
    let reason = reason(map, &json!({ "first": "", "middle": {} }));
    assert_eq!(reason, "\"name\" is missing: neither a text nor a number stands at /first or /middle or /last");
}

#[test]
fn an_event_can_have_an_id_of_its_own() {
    let map = "[it]\nevent = \"a/b\"\nid = [\"/order/number\", \"/id\"]";
    let id = |document: &Value| match apply(map, document) {
        Mapped::Event { id, .. } => id,
        other => panic!("no event: {other:?}"),
    };
    assert_eq!(id(&json!({ "order": { "number": 17 }, "id": "x" })).as_deref(), Some("17"));
    assert_eq!(id(&json!({ "id": "evt_1" })).as_deref(), Some("evt_1"));
    assert_eq!(reason(map, &json!({})), "the event's id is missing: nothing stands at /order/number or /id");
    assert!(reason(map, &json!({ "id": {} })).contains("neither a text nor a number at /order/number or /id"));
    assert!(reason(map, &json!({ "id": "a".repeat(257) })).contains("1 to 256 printable characters"));
}

#[test]
fn a_condition_that_does_not_hold_lets_the_delivery_pass() {
    let map = r#"
        [it]
        event = "a/b"
        when = { "/status" = ["paid", "free"], "/live" = true, "/version" = 2 }
    "#;
    let with = |status: Value, live: Value, version: Value| {
        apply(map, &json!({ "status": status, "live": live, "version": version }))
    };
    for status in ["paid", "free"] {
        assert!(matches!(with(json!(status), json!(true), json!(2)), Mapped::Event { .. }), "{status}");
    }
    for (status, live, version) in [
        (json!("unpaid"), json!(true), json!(2)),
        (json!("paid"), json!(false), json!(2)),
        (json!("paid"), json!("true"), json!(2)),
        (json!("paid"), json!(true), json!("2")),
        (json!("paid"), json!(true), json!(null)),
        (json!(["paid"]), json!(true), json!(2)),
    ] {
        assert_eq!(with(status.clone(), live, version), Mapped::Ignored, "{status}");
    }
    assert_eq!(apply(map, &json!({})), Mapped::Ignored);
}

#[test]
fn addresses_are_a_text_or_a_list_and_each_is_taken_once() {
    let map = "[it]\nsuppress = [\"/to\", \"/email\"]";
    let addresses = |document: &Value| match apply(map, document) {
        Mapped::Suppress { addresses, reason } => {
            assert_eq!(reason, "it, told by the webhook shop");
            addresses
        }
        other => panic!("no suppression: {other:?}"),
    };
    assert_eq!(addresses(&json!({ "email": " ada@example.com " })), ["ada@example.com"]);
    let listed = json!({ "to": ["Ada <ada@example.com>", "ADA@example.com", 7, "junk", "b@example.com"] });
    assert_eq!(addresses(&listed), ["ada@example.com", "b@example.com"]);
    assert_eq!(reason(map, &json!({})), "the addresses are missing: nothing stands at /to or /email");
    for to in [json!([]), json!("junk"), json!([null]), json!({ "a": 1 }), json!(["a@b.c\r\nBcc: d@e.f"])] {
        let reason = reason(map, &json!({ "to": to }));
        assert_eq!(reason, "no address that mail could be sent to stands at /to or /email");
    }
    let many: Vec<String> = (0..101).map(|number| format!("a{number}@example.com")).collect();
    assert!(reason(map, &json!({ "to": many })).starts_with("101 addresses at once"));
}

#[test]
fn data_that_no_event_takes_is_unmapped_and_a_reason_stays_short() {
    let map = "[it]\nevent = \"a/b\"\ndata = { a = \"/a\", b = \"/a\" }";
    let reason_of_large = reason(map, &json!({ "a": "x".repeat(140_000) }));
    assert!(reason_of_large.contains("262144"), "{reason_of_large}");
    let members: Vec<String> = (0..500).map(|number| format!("m{number} = \"/nowhere/{number}\"")).collect();
    let members = members.join("\n");
    let text = reason(&format!("[it]\nevent = \"a/b\"\n[it.data]\n{members}"), &json!({}));
    assert!(text.len() <= 4_096 && text.starts_with("\"m0\" is missing"), "{text}");
}

#[test]
fn a_map_takes_the_place_of_the_preset() {
    let map = read("").expect("a map");
    let endpoint = Endpoint::new("shop", WebhookKind::Stripe, &[STRIPE_SECRET.to_owned()], Some(map)).expect("one");
    assert_eq!(endpoint.map("checkout.session.completed", &json!({})), Mapped::Ignored);
}

#[test]
fn what_is_wrong_with_a_map_is_told_with_its_place() {
    let refused = |text: &str, place: &str, reason: &str| {
        let error = read(text).expect_err(text);
        let place = format!("webhooks.shop.map.{place}: ");
        assert!(error.starts_with(&place) && error.contains(reason), "{error}");
    };
    refused("[it]\nevnt = \"a/b\"", "it.evnt", "expected `one of `event`");
    refused("[it]\ndata = {}", "it", "neither `event` nor `suppress`");
    refused("[it]\nevent = \"a/b\"\nsuppress = \"/to\"", "it", "both");
    refused("[it]\nsuppress = \"/to\"\nid = \"/id\"", "it", "`id` belongs to `event`");
    refused("[it]\nsuppress = \"/to\"\ndata = {}", "it", "`data` belongs to `event`");
    refused("[it]\nevent = \"a b\"", "it", "white space");
    refused("[it]\nevent = \"a/b\"\nid = \"id\"", "it.id", "\"id\" is no JSON Pointer; write it like");
    refused("[it]\nevent = \"a/b\"\nid = []", "it.id", "the list is empty");
    refused("[it]\nevent = \"a/b\"\nid = 7", "it.id", "a JSON Pointer like \"/data/id\", or a list of them");
    refused("[it]\nevent = \"a/b\"\ndata = { a = \"$.a\" }", "it.data.a", "\"$.a\" is no JSON Pointer");
    refused("[it]\nevent = \"a/b\"\ndata = { a = [\"/a\", \"/b/[id]\"] }", "it.data.a.1", "in brackets");
    refused("[it]\nevent = \"a/b\"\ndata = { a = true }", "it.data.a", "optional = true");
    refused("[it]\nevent = \"a/b\"\ndata = { a = { optional = true } }", "it.data.a", "from `at` or from `join`");
    refused(
        "[it]\nevent = \"a/b\"\ndata = { a = { at = \"/a\", join = \"/b\" } }",
        "it.data.a",
        "from `at` or from `join`",
    );
    refused("[it]\nevent = \"a/b\"\ndata = { a = { at = \"a\" } }", "it.data.a.at", "no JSON Pointer");
    refused("[it]\nevent = \"a/b\"\ndata = { a = { att = \"/a\" } }", "it.data.a.att", "`at`");
    refused("[it]\nevent = \"a/b\"\ndata = { \"\" = \"/a\" }", "it", "a member has no name");
    refused("[it]\nevent = \"a/b\"\nwhen = { a = 1 }", "it.when.a", "\"a\" is no JSON Pointer");
    refused("[it]\nevent = \"a/b\"\nwhen = { \"/a\" = { b = 1 } }", "it.when./a", "a text, a number, true or false");
    refused("[it]\nevent = \"a/b\"\nwhen = { \"/a\" = [] }", "it.when./a", "a text, a number, true or false");
    refused("[it]\nevent = \"a/b\"\nwhen = { \"/a\" = 2026-01-01 }", "it.when./a", "a text, a number, true or false");
    refused("it = \"/to\"", "it", "a table with `event`, or with `suppress`");
}
