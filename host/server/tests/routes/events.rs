//! Events: one or many, all or nothing, once by their id.

use axum::http::StatusCode;
use insta::assert_snapshot;

use crate::world::World;

const ADA: &str = r#"{ "userId": "user_1", "email": "ada@example.com" }"#;

#[tokio::test]
async fn an_event_starts_a_run_of_each_job_that_listens() {
    let world = World::start().await;
    let answer = world.post("/api/v1/events", &format!(r#"{{ "name": "email/welcome", "data": {ADA} }}"#)).await;
    assert_snapshot!(answer.whole());
    let event = answer.json()["events"][0].clone();
    let run = world.get(&format!("/api/v1/runs/{}", event["runs"][0].as_str().expect("a run"))).await;
    assert_eq!(run.json()["event_id"], event["id"]);
    assert!(run.body.contains(ADA));
}

#[tokio::test]
async fn an_event_is_read_back_with_its_runs() {
    let world = World::start().await;
    let event = format!(r#"{{ "id": "signup/1 ü", "name": "email/welcome", "data": {ADA}, "ts": 1772355600000 }}"#);
    world.post("/api/v1/events", &event).await;
    let answer = world.get("/api/v1/events/signup%2F1%20%C3%BC").await;
    assert_snapshot!(answer.whole());
    assert!(answer.body.contains(ADA));
    assert_eq!(world.get("/api/v1/events/nobody").await.refusal(), "404 unknown-event");
}

#[tokio::test]
async fn an_array_is_published_in_order_and_a_known_id_starts_nothing_again() {
    let world = World::start().await;
    let welcome = format!(r#"{{ "id": "a", "name": "email/welcome", "data": {ADA} }}"#);
    let unheard = r#"{ "id": "b", "name": "cart/emptied", "data": null, "ts": "2026-03-01T08:00:00Z" }"#;
    let body = format!(" [{welcome}, {unheard}]");
    let first = world.post("/api/v1/events", &body).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!(first.json()["events"][1]["runs"], serde_json::json!([]));
    let again = world.post("/api/v1/events", &body).await;
    assert_eq!(again.body, first.body);
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.get("/api/v1/events/b").await.json()["ts"], "2026-03-01T08:00:00.000Z");
}

#[tokio::test]
async fn one_bad_event_keeps_all_of_them_out() {
    let world = World::start().await;
    let body =
        format!(r#"[{{ "name": "email/welcome", "data": {ADA} }}, {{ "name": "email/welcome", "data": {{}} }}]"#);
    assert_snapshot!(world.post("/api/v1/events", &body).await.whole());
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn what_is_no_event_is_refused_by_name() {
    let world = World::start().await;
    for (body, refusal) in [
        (r#"{ "name": "a b", "data": 1 }"#, "400 invalid-member /name"),
        (r#"[{ "name": "a", "data": 1 }, { "name": "", "data": 1 }]"#, "400 invalid-member /1/name"),
        (r#"{ "name": "a" }"#, "400 missing-member /data"),
        (r#"[{ "data": 1 }]"#, "400 missing-member /0/name"),
        (r#"{ "name": "a", "data": 1, "user": {} }"#, "400 unknown-member /user"),
        (r#"[{ "name": "a", "data": 1, "id": "" }]"#, "400 invalid-member /0/id"),
        (r#"{ "name": "a", "data": 1, "ts": "noon" }"#, "400 invalid-member /ts"),
        (r#"{ "name": "a", "data": 1, "ts": -5 }"#, "400 wrong-type /ts"),
        (r#"{ "name": "a", "data": 1, "ts": 1.5 }"#, "400 wrong-type /ts"),
        ("7", "400 wrong-type "),
        ("[", "400 malformed-json"),
    ] {
        assert_eq!(world.post("/api/v1/events", body).await.refusal(), refusal, "{body}");
    }
    let many = vec![r#"{"name":"a","data":1}"#; 5_001].join(",");
    assert_eq!(world.post("/api/v1/events", &format!("[{many}]")).await.refusal(), "400 invalid-member");
}
