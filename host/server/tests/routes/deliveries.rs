//! Webhook deliveries as operators see them: listed, shown whole, and taken in once more.
//! How they come in is in `webhooks`.

use axum::http::StatusCode;
use jobmill_core::RunState;
use serde_json::json;

use crate::sender::{self, USER_CREATED, delivery};
use crate::world::World;

const DELIVERIES: &str = "/api/v1/webhooks/deliveries";

async fn received(world: &World, id: &str, body: &str) -> String {
    let answer = world.send(delivery(world, id, body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()["delivery"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_delivery_is_shown_with_what_became_of_it() {
    let world = sender::world().await;
    let id = received(&world, "msg_1", USER_CREATED).await;
    let shown = world.get(&format!("{DELIVERIES}/{id}")).await.json();
    let runs = world.get("/api/v1/runs").await.json()["items"].clone();
    assert_eq!(
        shown,
        json!({
            "id": id,
            "endpoint": "users",
            "sender_id": "msg_1",
            "kind": "user.created",
            "received_at": "2026-03-01T09:00:00.007Z",
            "outcome": "published",
            "reason": null,
            "event_id": "msg_1",
            "runs": [runs[0]["id"]],
            "addresses": [],
            "replays": 0,
            "body": USER_CREATED,
        })
    );
    let nobody = format!("{DELIVERIES}/dlv_01JQDAE4RQF8MBCR55T5AK4KXS");
    assert_eq!(world.get(&nobody).await.refusal(), "404 unknown-delivery");
    assert_eq!(world.get(&format!("{DELIVERIES}/nonsense")).await.refusal(), "404 unknown-delivery");
    assert_eq!(world.post(&format!("{nobody}/replay"), "").await.refusal(), "404 unknown-delivery");
}

#[tokio::test]
async fn deliveries_are_listed_in_pages_by_webhook_and_outcome() {
    let world = sender::world().await;
    let published = received(&world, "msg_1", USER_CREATED).await;
    let ignored = received(&world, "msg_2", r#"{ "type": "session.ended" }"#).await;
    let unmapped = received(&world, "msg_3", r#"{ "type": "user.created", "data": {} }"#).await;
    let listed = async |query: &str| {
        let answer = world.get(&format!("{DELIVERIES}{query}")).await;
        let items = answer.json()["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, [unmapped.as_str(), &ignored, &published]);
    assert_eq!(listed("?outcome=published&endpoint=users").await, [published.as_str()]);
    assert_eq!(listed("?endpoint=shop").await, [""; 0]);
    let first = world.get(&format!("{DELIVERIES}?limit=2")).await.json();
    let cursor = first["next_cursor"].as_str().expect("more").to_owned();
    assert_eq!(listed(&format!("?limit=2&cursor={cursor}")).await, [published.as_str()]);
    let reason = first["items"][0]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("/data/id"), "{reason}");
    assert_eq!(first["items"][0].get("body"), None);
    assert_eq!(world.get(&format!("{DELIVERIES}?outcome=lost")).await.refusal(), "400 invalid-parameter");
}

#[tokio::test]
async fn a_delivery_is_taken_in_once_more_and_starts_its_job_again() {
    let world = sender::world().await;
    let id = received(&world, "msg_1", USER_CREATED).await;
    let replayed = world.post(&format!("{DELIVERIES}/{id}/replay"), "").await;
    assert_eq!(replayed.status, StatusCode::OK, "{}", replayed.body);
    let shown = replayed.json();
    assert_eq!((&shown["id"], &shown["replays"], &shown["outcome"]), (&json!(id), &json!(1), &json!("published")));
    let run = shown["runs"][0].as_str().expect("a run").to_owned();
    world.until_run_is(&run, RunState::Completed).await;
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(world.get("/api/v1/mail").await.json()["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_delivery_whose_webhook_is_gone_is_not_taken_in_again() {
    let mut world = sender::world().await;
    let id = received(&world, "msg_1", USER_CREATED).await;
    world.router = jobmill_server::router(world.handle.clone(), crate::world::settings_with(None));
    let refused = world.post(&format!("{DELIVERIES}/{id}/replay"), "").await;
    assert_eq!(refused.refusal(), "409 webhook-not-configured");
    assert!(refused.body.contains("[webhooks.users]"), "{}", refused.body);
}
