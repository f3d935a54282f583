//! Deliveries of other services: taken once when they are signed, and refused alike when they are not.
//! Which signatures are good is tested where they are checked.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use jobmill_core::RunState;
use serde_json::json;

use crate::sender::{self, USER_CREATED, delivery, stripe_delivery};
use crate::world::{World, request};

const BOUNCED: &str = r#"{
  "type": "email.bounced",
  "data": { "to": ["Grace@Example.com"], "bounce": { "type": "Permanent", "message": "no such mailbox" } }
}"#;

#[tokio::test]
async fn a_signed_delivery_starts_the_job_that_listens() {
    let world = sender::world().await;
    let answer = world.send(delivery(&world, "msg_1", USER_CREATED)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let body = answer.json();
    assert_eq!((&body["duplicate"], body["runs"].as_array().map(Vec::len)), (&json!(false), Some(1)));
    assert!(body["delivery"].as_str().is_some_and(|id| id.starts_with("dlv_")), "{body}");
    let run = body["runs"][0].as_str().expect("a run");
    world.until_run_is(run, RunState::Completed).await;
    let run = world.get(&format!("/api/v1/runs/{run}")).await.json();
    assert_eq!(run["payload"], json!({ "userId": "user_1", "email": "ada@example.com", "name": "Ada" }));
    assert_eq!(run["event_id"], "msg_1");
}

#[tokio::test]
async fn a_delivery_that_comes_again_is_answered_as_one_and_starts_nothing() {
    let world = sender::world().await;
    let first = world.send(delivery(&world, "msg_1", USER_CREATED)).await.json();
    // Senders sign each try anew.
    world.clock.advance(Duration::from_hours(60));
    let again = world.send(delivery(&world, "msg_1", USER_CREATED)).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.json(), json!({ "delivery": first["delivery"], "duplicate": true, "runs": first["runs"] }));
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(1));
    world.clock.advance(Duration::from_hours(24 * 6));
    let new = world.send(delivery(&world, "msg_1", USER_CREATED)).await.json();
    assert_eq!(new["duplicate"], json!(false), "an id is remembered for seven days");
}

#[tokio::test]
async fn every_refusal_says_the_same_and_is_counted() {
    let world = sender::world().await;
    let mut tampered = delivery(&world, "msg_1", USER_CREATED);
    *tampered.body_mut() = Body::from(USER_CREATED.replace("user_1", "user_2"));
    let mut unsigned = delivery(&world, "msg_1", USER_CREATED);
    unsigned.headers_mut().remove("svix-signature");
    let stale = delivery(&world, "msg_1", USER_CREATED);
    let mut elsewhere = delivery(&world, "msg_1", USER_CREATED);
    *elsewhere.uri_mut() = "/webhooks/nowhere".parse().expect("a path");
    let mut of_another_kind = delivery(&world, "msg_1", USER_CREATED);
    *of_another_kind.uri_mut() = "/webhooks/shop".parse().expect("a path");
    let mut answers = Vec::new();
    for request in [tampered, unsigned, elsewhere, of_another_kind] {
        answers.push(world.send(request).await);
    }
    world.clock.advance(Duration::from_secs(301));
    answers.push(world.send(stale).await);
    for answer in &answers {
        assert_eq!(answer.refusal(), "401 signature-refused");
        assert_eq!(answer.body, answers[0].body);
    }
    assert_eq!(world.get("/api/v1/webhooks/deliveries").await.json()["items"], json!([]));
    let webhooks = world.get("/api/v1/webhooks").await.json()["items"].clone();
    assert_eq!((&webhooks[0]["name"], &webhooks[0]["refused"]), (&json!("shop"), &json!(1)));
    assert_eq!((&webhooks[1]["path"], &webhooks[1]["refused"]), (&json!("/webhooks/users"), &json!(3)));
    assert_eq!(webhooks[1]["refused_at"], "2026-03-01T09:05:01.007Z");
    assert!(webhooks[1]["refused_because"].as_str().is_some_and(|reason| reason.contains("301 s ago")), "{webhooks}");
}

#[tokio::test]
async fn a_bounce_stops_mail_to_the_address() {
    let world = sender::world().await;
    let answer = world.send(delivery(&world, "msg_2", BOUNCED)).await;
    assert_eq!((answer.status, &answer.json()["runs"]), (StatusCode::OK, &json!([])));
    let suppression = world.get("/api/v1/suppressions/grace@example.com").await;
    assert_eq!(suppression.status, StatusCode::OK, "{}", suppression.body);
    assert_eq!(suppression.json()["source"], "webhook");
}

#[tokio::test]
async fn what_no_map_and_no_job_takes_is_kept_and_not_sent_again_for_ever() {
    let world = sender::world().await;
    for (id, body) in [
        ("msg_1", r#"{ "type": "session.ended" }"#),
        ("msg_2", r#"{ "type": "user.created", "data": { "id": "user_1" } }"#),
        ("msg_3", "not JSON at all"),
    ] {
        let answer = world.send(delivery(&world, id, body)).await;
        assert_eq!((answer.status, &answer.json()["runs"]), (StatusCode::OK, &json!([])), "{body}");
    }
    let kept = world.get("/api/v1/webhooks/deliveries").await.json()["items"].clone();
    let outcomes: Vec<_> = kept.as_array().expect("items").iter().map(|item| item["outcome"].clone()).collect();
    assert_eq!(outcomes, ["unmapped", "unmapped", "ignored"]);
}

#[tokio::test]
async fn stripe_is_answered_too_and_its_own_id_counts() {
    let world = sender::world().await;
    let body = r#"{ "id": "evt_1", "type": "checkout.session.completed", "data": { "object": {
        "metadata": { "orderId": "order-42" }, "customer_details": { "email": "ada@example.com" } } } }"#;
    let answer = world.send(stripe_delivery(&world, body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let event = world.get("/api/v1/events/evt_1").await.json();
    assert_eq!(event["name"], "email/purchase-confirmation");
    assert_eq!(event["data"], json!({ "orderId": "order-42", "customerEmail": "ada@example.com" }));
}

#[tokio::test]
async fn a_delivery_that_can_not_be_kept_is_sent_again_later() {
    let (mut starting, _engine) = World::prepare(&["welcome-email"]);
    starting.router = jobmill_server::router(starting.handle.clone(), sender::settings());
    let answer = starting.send(delivery(&starting, "msg_1", USER_CREATED)).await;
    assert_eq!(answer.refusal(), "503 not-ready");
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    let world = sender::world().await;
    let full = vec![
        r#"{ "name": "email/welcome", "ts": 1772442000000, "data": { "userId": "u", "email": "a@b.example" } }"#;
        20
    ];
    assert_eq!(world.post("/e/key", &format!("[{}]", full.join(","))).await.status, StatusCode::OK);
    let answer = world.send(delivery(&world, "msg_1", USER_CREATED)).await;
    assert_eq!(answer.refusal(), "429 too-many-waiting");
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    let large = request(Method::POST, "/webhooks/users").body(Body::from(" ".repeat(4 * 1024 * 1024 + 1)));
    assert_eq!(world.send(large.expect("a request")).await.refusal(), "413 body-too-large");
    world.log.fill(true);
    let answer = world.send(delivery(&world, "msg_1", r#"{ "type": "session.ended" }"#)).await;
    assert_eq!(answer.refusal(), "503 store-unavailable");
    assert_eq!(answer.headers[header::RETRY_AFTER], "60");
    world.log.fill(false);
    world.log.fail_syncs(true);
    let answer = world.send(delivery(&world, "msg_1", r#"{ "type": "session.ended" }"#)).await;
    assert_eq!(answer.refusal(), "503 store-unavailable");
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
}
