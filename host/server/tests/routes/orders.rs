//! The embedded order book.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::World;

fn order() -> Value {
    json!({
        "status": "paid",
        "customer_email": "ada@example.com",
        "customer_name": "Ada",
        "items": [
            { "sku": "A-1", "name": "Mug <large>", "quantity": 2, "unit_price": { "minor": 1250, "currency": "EUR" } },
            { "sku": "D-9", "name": "Discount", "quantity": 1, "unit_price": { "minor": -500, "currency": "EUR" } },
        ],
        "total": { "minor": 2000, "currency": "EUR" },
        "metadata": { "note": "gift" },
    })
}

#[tokio::test]
async fn an_order_is_put_and_read_back() {
    let world = World::start().await;
    let put = world.put("/api/v1/orders/order_123", &order().to_string()).await;
    assert_snapshot!(put.whole());
    assert_eq!(world.get("/api/v1/orders/order_123").await.body, put.body);
    assert_eq!(world.get("/api/v1/orders/order_124").await.refusal(), "404 unknown-order");
}

#[tokio::test]
async fn a_put_replaces_the_order_and_raises_its_revision() {
    let world = World::start().await;
    let first = world.put("/api/v1/orders/1", &order().to_string()).await.json();
    let mut fulfilled = order();
    fulfilled["status"] = json!("fulfilled");
    fulfilled["items"] = json!([]);
    fulfilled["metadata"] = Value::Null;
    let second = world.put("/api/v1/orders/1", &fulfilled.to_string()).await.json();
    assert!(second["revision"].as_u64() > first["revision"].as_u64());
    assert_eq!(second["items"], json!([]));
    assert_eq!(second["metadata"], json!({}));
    assert_eq!(second["fulfilled_at"], "2026-03-01T09:00:00.007Z");
    world.clock.advance(Duration::from_secs(5));
    fulfilled["status"] = json!("refunded");
    let third = world.put("/api/v1/orders/1", &fulfilled.to_string()).await.json();
    assert_eq!(third["fulfilled_at"], "2026-03-01T09:00:00.007Z");
    assert_eq!(third["refunded_at"], "2026-03-01T09:00:05.007Z");
    let back = world.put("/api/v1/orders/1", &order().to_string()).await.json();
    assert_eq!((&back["fulfilled_at"], &back["refunded_at"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn orders_are_listed_in_pages_by_id() {
    let world = World::start().await;
    for id in ["b", "a", "c%2Fd"] {
        world.put(&format!("/api/v1/orders/{id}"), &order().to_string()).await;
    }
    let first = world.get("/api/v1/orders?limit=2").await.json();
    assert_eq!((first["items"][0]["id"].as_str(), first["items"][1]["id"].as_str()), (Some("a"), Some("b")));
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let second = world.get(&format!("/api/v1/orders?limit=2&cursor={cursor}")).await.json();
    assert_eq!(second["items"][0]["id"], "c/d");
    assert_eq!(second["next_cursor"], Value::Null);
}

#[tokio::test]
async fn what_is_no_order_is_refused_by_name() {
    let world = World::start().await;
    let changed = |pointer: &str, value: Value| {
        let mut order = order();
        *order.pointer_mut(pointer).expect("a member") = value;
        order.to_string()
    };
    for (pointer, value, code) in [
        ("/status", json!("sold"), "invalid-member"),
        ("/customer_email", json!(""), "invalid-member"),
        ("/customer_name", json!("A\nB"), "invalid-member"),
        ("/items/0/quantity", json!("two"), "wrong-type"),
        ("/items/1/sku", json!(""), "invalid-member"),
        ("/items/1/unit_price/currency", json!("eur"), "invalid-member"),
        ("/total/currency", json!("EURO"), "invalid-member"),
        ("/total/minor", json!(-1), "invalid-member"),
        ("/total/minor", json!(19.99), "wrong-type"),
        ("/metadata", json!([]), "invalid-member"),
    ] {
        let refusal = world.put("/api/v1/orders/1", &changed(pointer, value)).await.refusal();
        assert_eq!(refusal, format!("400 {code} {pointer}"));
    }
    for required in ["status", "customer_email", "items", "total"] {
        let mut order = order();
        order.as_object_mut().expect("an object").remove(required);
        let refusal = world.put("/api/v1/orders/1", &order.to_string()).await.refusal();
        assert_eq!(refusal, format!("400 missing-member /{required}"));
    }
    let mut unknown = order();
    unknown["revision"] = json!(7);
    assert_eq!(world.put("/api/v1/orders/1", &unknown.to_string()).await.refusal(), "400 unknown-member /revision");
    let long = "x".repeat(129);
    for id in [long.as_str(), "a%0Ab", "%00"] {
        let refusal = world.put(&format!("/api/v1/orders/{id}"), &order().to_string()).await.refusal();
        assert_eq!(refusal, "400 invalid-parameter", "{id}");
    }
}
