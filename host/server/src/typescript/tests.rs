//! Schemas of the shop's jobs, of every keyword that has a type, and of people who mean no good.
//! Whether the texts are TypeScript is seen by the compiler, which the end-to-end tests run over these snapshots.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::declarations;

fn one(schema: &Value) -> String {
    declarations([("test/event", Some(schema))].into_iter())
}

/// What the event carries, without the rest of the file.
fn data(schema: &Value) -> String {
    let text = one(schema);
    let (_, rest) = text.split_once("data: ").expect("it carries something");
    rest.split_once(";\n  };\n}").expect("the interface ends").0.to_owned()
}

fn welcome() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Welcome",
        "type": "object",
        "properties": {
            "userId": { "type": "string" },
            "email": { "type": "string", "format": "email" },
            "name": { "type": ["string", "null"] },
        },
        "required": ["userId", "email"],
    })
}

fn mail_about_an_order(title: &str, more: &Value) -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": { "orderId": { "type": "string" }, "customerEmail": { "type": "string", "format": "email" } },
        "required": ["orderId", "customerEmail"],
    });
    for (name, is) in more.as_object().expect("members") {
        schema["properties"][name] = is.clone();
    }
    schema
}

#[test]
fn the_jobs_of_the_shop() {
    let (purchase, welcome) = (mail_about_an_order("Purchase", &json!({})), welcome());
    let refund = mail_about_an_order("Notice", &json!({ "refundReason": { "type": ["string", "null"] } }));
    let events = [
        ("email/welcome", Some(&welcome)),
        ("email/refund-notification", Some(&refund)),
        ("email/purchase-confirmation", Some(&purchase)),
    ];
    let text = declarations(events.into_iter());
    assert_snapshot!(text);
}

#[test]
fn every_keyword_that_has_a_type() {
    let text = one(&json!({
        "description": "An order, as the shop's back office sees it.\n\nMade by hand.",
        "type": "object",
        "properties": {
            "id": { "type": "string", "description": "Of the order.", "pattern": "^order_", "examples": ["order_1"] },
            "count": { "type": "integer", "format": "uint32", "minimum": 0, "default": 1 },
            "gift": { "type": "boolean", "deprecated": true },
            "status": { "enum": ["paid", "shipped", null] },
            "priority": { "type": "integer", "enum": [1, 2, -3, "four"] },
            "kind": { "const": "order" },
            "origin": { "const": { "shop": [1, "two", {}] } },
            "tags": { "type": "array", "items": { "type": "string" } },
            "notes": { "type": ["array", "null"], "items": { "type": ["string", "number"] } },
            "anything": {},
            "pair": { "type": "array", "prefixItems": [{ "type": "string" }, { "type": "number" }], "minItems": 2, "maxItems": 2 },
            "path": { "type": "array", "prefixItems": [{ "type": "string" }, { "type": ["number", "null"] }], "items": { "type": "boolean" }, "minItems": 1 },
            "closed": { "type": "array", "items": [{ "type": "string" }], "additionalItems": false, "minItems": 1 },
            "address": { "$ref": "#/$defs/Address" },
            "billing": { "anyOf": [{ "$ref": "#/$defs/Address" }, { "type": "null" }], "description": "Where it differs." },
            "payment": { "oneOf": [
                { "type": "object", "properties": { "by": { "const": "card" }, "last4": { "type": "string" } }, "required": ["by", "last4"] },
                { "type": "object", "properties": { "by": { "const": "invoice" }, "days": { "type": "integer" } }, "required": ["by"] },
            ] },
            "amount": { "allOf": [{ "$ref": "#/$defs/Money" }, { "required": ["tax"] }] },
            "old": { "type": "string", "nullable": true },
            "never": false,
            "metadata": { "type": "object", "additionalProperties": { "type": "string" } },
            "labels": { "type": "object", "properties": { "lang": { "type": "string" } }, "additionalProperties": { "type": "number" } },
            "headers": { "type": "object", "patternProperties": { "^x-": { "type": "string" } }, "additionalProperties": false },
            "empty": { "type": "object", "additionalProperties": false },
            "open": { "type": "object", "properties": { "a": { "type": "array" } }, "additionalProperties": true },
            "a name with \"quotes\"": { "type": "null" },
        },
        "required": ["id", "address", "unsaid"],
        "anyOf": [{ "required": ["count"] }, { "required": ["tags"] }],
        "$defs": {
            "Address": { "title": "Postal address", "type": "object", "properties": { "street": { "type": "string" }, "country": { "type": "string" } }, "required": ["street"] },
            "Money": { "type": "object", "properties": { "minor": { "type": "integer" }, "currency": { "type": "string" } }, "required": ["minor"] },
        },
    }));
    assert_snapshot!(text);
}

#[test]
fn schemas_that_refer_to_themselves() {
    let text = one(&json!({
        "type": "object",
        "properties": {
            "tree": { "$ref": "#/$defs/Tree" },
            "list": { "$ref": "#/$defs/a%20list~1of" },
            "again": { "$ref": "#" },
            "loop": { "$ref": "#/$defs/loop" },
            "ping": { "$ref": "#/$defs/ping" },
            "pair": { "$ref": "#/$defs/pair" },
            "nowhere": { "$ref": "#/$defs/nowhere" },
            "elsewhere": { "$ref": "https://example.com/schema.json" },
        },
        "$defs": {
            "Tree": { "type": "object", "properties": { "children": { "type": "array", "items": { "$ref": "#/$defs/Tree" } } } },
            "a list/of": { "type": ["array", "string"], "items": { "$ref": "#/$defs/a%20list~1of" } },
            "loop": { "$ref": "#/$defs/loop" },
            "ping": { "anyOf": [{ "$ref": "#/$defs/pong" }, { "type": "string" }] },
            "pong": { "allOf": [{ "$ref": "#/$defs/ping" }] },
            "pair": { "allOf": [{ "required": ["length"] }, { "prefixItems": [{ "type": "string" }, { "$ref": "#/$defs/pair" }] }] },
        },
    }));
    assert_snapshot!(text);
}

#[test]
fn texts_that_would_end_a_comment_or_a_literal() {
    let evil = "*/ } declare const evil: any; /* \u{2028} \" \\ \r\n * @deprecated\n*/";
    let schema = json!({
        "description": evil,
        "type": "object",
        "properties": {
            evil: { "type": "string", "description": evil, "format": evil, "examples": [evil, { evil: evil }] },
            "values": { "enum": [evil, "`${1}`", "'"] },
            "__proto__": { "const": { evil: evil } },
            "constructor": { "$ref": "#/$defs/*~1 = never; declare const evil: any" },
        },
        "$defs": { "*/ = never; declare const evil: any": { "type": "string" } },
    });
    let text = declarations([("*/;\"evil`${", Some(&schema)), ("3d/*", None)].into_iter());
    assert_snapshot!(text);
}

#[test]
fn an_event_of_several_jobs_fits_them_all() {
    let (purchase, welcome) = (mail_about_an_order("Purchase", &json!({})), welcome());
    let named = json!({ "type": "object", "properties": { "at": { "$ref": "#/$defs/at" } }, "$defs": { "at": { "type": "string" } } });
    let also = json!({ "type": "object", "properties": { "by": { "$ref": "#/$defs/at" } }, "$defs": { "at": { "type": "number" } } });
    let events = [
        ("b", Some(&purchase)),
        ("a", Some(&welcome)),
        ("b", None),
        ("a", Some(&welcome)),
        ("b", Some(&welcome)),
        ("c", Some(&named)),
        ("c", Some(&also)),
    ];
    let text = declarations(events.into_iter());
    assert_snapshot!(text);
}

#[test]
fn no_event_is_an_empty_interface() {
    assert!(declarations(std::iter::empty()).contains("export interface JobmillEvents {\n}\n"));
}

#[test]
fn what_says_nothing_is_any_object_and_what_is_not_understood_is_unknown() {
    for nothing in [json!(true), json!({})] {
        assert_eq!(data(&nothing), "{ [key: string]: unknown }");
    }
    for strange in
        [json!({ "if": { "type": "string" } }), json!({ "type": "date" }), json!(7), json!({ "$dynamicRef": "#x" })]
    {
        assert_eq!(data(&strange), "unknown", "{strange}");
    }
    assert_eq!(data(&json!(false)), "never");
    assert_eq!(data(&json!({ "not": true })), "never");
    assert_eq!(data(&json!({ "anyOf": [{}, { "type": "string" }] })), "unknown");
    assert_eq!(data(&json!({ "enum": [] })), "never");
}

#[test]
fn depth_and_size_are_bounded() {
    let mut deep = json!({ "type": "string" });
    for _ in 0..100 {
        deep = json!({ "type": "object", "properties": { "a": deep, "b": { "type": "object", "additionalProperties": deep } } });
        if deep.to_string().len() > 1_000_000 {
            break;
        }
    }
    let text = one(&deep);
    assert!(text.len() < 300_000 && text.contains("unknown"), "{}", text.len());

    let wide: serde_json::Map<String, Value> =
        (0..20_000).map(|number| (format!("m{number}"), json!({ "type": "string" }))).collect();
    let text = one(&json!({ "properties": wide, "enum": (0..1000).collect::<Vec<_>>() }));
    assert!(text.contains("m999") && text.contains("unknown") && !text.contains("999 |"), "{}", text.len());

    let long = json!({ "type": "object", "properties": { "a": { "const": "x".repeat(10_000) } }, "description": "y".repeat(10_000) });
    assert!(one(&long).len() < 2_000);

    let large = json!({ "type": "object", "properties": { "z".repeat(100_000): { "type": "string" } } });
    let events: Vec<String> = (0..50).map(|number| format!("event/{number}")).collect();
    let text = declarations(events.iter().map(|event| (event.as_str(), Some(&large))));
    assert!(text.len() < 1_300_000 && text.contains("event/49"), "{}", text.len());
}

#[test]
fn chains_of_references_end() {
    let mut definitions = serde_json::Map::new();
    for number in 0..5000 {
        definitions.insert(format!("d{number}"), json!({ "allOf": [{ "$ref": format!("#/$defs/d{}", number + 1) }] }));
    }
    let text = one(&json!({ "$ref": "#/$defs/d0", "$defs": definitions }));
    assert!(text.contains("TestEventD0 = TestEventD1;"), "{}", text.len());
}
