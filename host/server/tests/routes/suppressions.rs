//! The suppression list: put on, looked at, forgotten, taken off.

use axum::http::StatusCode;
use insta::assert_snapshot;

use crate::world::World;

const ADA: &str = "/api/v1/suppressions/Ada%40example.com";

#[tokio::test]
async fn an_address_is_suppressed_once_whatever_its_case() {
    let world = World::start().await;
    assert_eq!(world.get(ADA).await.refusal(), "404 unknown-suppression");
    let first = world.put(ADA, r#"{ "reason": "asked for it", "by": "ops" }"#).await;
    assert_snapshot!("suppressed", first.whole());
    let again = world.put("/api/v1/suppressions/ada@EXAMPLE.com", "").await;
    assert_eq!((again.status, again.body.as_str()), (StatusCode::OK, first.body.as_str()));
    assert_eq!(world.get(ADA).await.body, first.body);
    assert_eq!(world.delete(ADA).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.delete(ADA).await.refusal(), "404 unknown-suppression");
}

#[tokio::test]
async fn what_no_mail_can_be_sent_to_is_refused() {
    let world = World::start().await;
    for address in ["ada", "a@b.c,d@e.f", "%0D%0ARCPT%20TO:x@y.z", "a%00@b.c", "%FF@b.c"] {
        let refused = world.put(&format!("/api/v1/suppressions/{address}"), "{}").await;
        assert_eq!(refused.refusal(), "400 invalid-address", "{address}");
    }
    assert_eq!(world.put(ADA, r#"{ "why": "x" }"#).await.refusal(), "400 unknown-member /why");
    assert_eq!(world.put(ADA, r#"{ "by": "" }"#).await.refusal(), "400 invalid-member /by");
    let long = format!("{{ \"reason\": \"{}\" }}", "x".repeat(5_000));
    assert_eq!(world.put(ADA, &long).await.refusal(), "400 invalid-member /reason");
}

#[tokio::test]
async fn the_list_is_paged_and_a_forgotten_address_stays_on_it_unnamed() {
    let world = World::start().await;
    for name in ["ada", "bob", "eve"] {
        world.put(&format!("/api/v1/suppressions/{name}@example.com"), "{}").await;
    }
    let mut addresses = Vec::new();
    let mut path = "/api/v1/suppressions?limit=2".to_owned();
    loop {
        let page = world.get(&path).await.json();
        addresses.extend(page["items"].as_array().expect("items").iter().map(|item| item["address"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/suppressions?limit=2&cursor={next}");
    }
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    assert_eq!(world.get("/api/v1/suppressions?cursor=x").await.refusal(), "400 invalid-parameter");
    let forgotten = world.post("/api/v1/forget", r#"{ "email": "Ada@example.com" }"#).await.json();
    assert_eq!((&forgotten["suppressions"], &forgotten["runs"]), (&1.into(), &0.into()), "{forgotten}");
    let list = world.get("/api/v1/suppressions").await;
    assert!(!list.body.contains("ada@"), "{}", list.body);
    assert_eq!(list.json()["items"].as_array().map(Vec::len), Some(3));
    let kept = world.get(ADA).await.json();
    assert_eq!((&kept["address"], &kept["source"]), (&serde_json::Value::Null, &"operator".into()));
}
