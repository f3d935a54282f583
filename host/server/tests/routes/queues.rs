//! Queues: listed, limited, paused.

use std::time::Duration;

use axum::http::StatusCode;
use insta::assert_snapshot;
use jobmill_core::RunState;
use serde_json::{Value, json};

use crate::world::World;

/// The queue as the list shows it.
async fn listed(world: &World, name: &str) -> Value {
    let list = world.get("/api/v1/queues").await.json();
    let items = list["items"].as_array().expect("items");
    items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name} is not in {list:#}")).clone()
}

#[tokio::test]
async fn queues_are_listed_also_when_nothing_was_ever_in_them() {
    let world = World::start().await;
    assert_snapshot!("list", world.get("/api/v1/queues").await.whole());
}

#[tokio::test]
async fn a_paused_queue_says_who_paused_it_and_when_until_it_goes_on() {
    let world = World::start().await;
    let paused = world.patch("/api/v1/queues/default", r#"{ "paused": true, "by": "anna@shop" }"#).await;
    assert_snapshot!("paused", paused.whole());
    world.clock.advance(Duration::from_mins(5));
    let again = world.patch("/api/v1/queues/default", r#"{ "paused": true, "by": "bo" }"#).await;
    assert_eq!(again.body, paused.body, "whoever paused it first is whom to ask");

    let first = world.enqueue("stuck", "1").await;
    let second = world.enqueue("stuck", "1").await;
    assert_snapshot!("waiting_run", world.get(&format!("/api/v1/runs/{second}")).await.whole());
    assert_eq!(listed(&world, "default").await["waiting"], 2);
    let resumed = world.patch("/api/v1/queues/default", r#"{ "paused": false }"#).await.json();
    assert_eq!(
        [&resumed["paused"], &resumed["paused_by"], &resumed["paused_at"]],
        [&json!(false), &Value::Null, &Value::Null]
    );
    for run in [first, second] {
        world.until_run_is(&run, RunState::Running).await;
    }
    let queue = listed(&world, "default").await;
    assert_eq!([&queue["running"], &queue["waiting"]], [&json!(2), &json!(0)]);
}

#[tokio::test]
async fn a_queue_is_paused_and_goes_on_by_routes_of_its_own() {
    let world = World::start().await;
    let paused = world.post("/api/v1/queues/default/pause", r#"{ "by": "anna@shop" }"#).await;
    assert_eq!(paused.status, StatusCode::OK);
    let patched = world.patch("/api/v1/queues/default", "{}").await;
    assert_eq!((paused.json(), &paused.json()["paused_by"]), (patched.json(), &json!("anna@shop")));
    let resumed = world.post("/api/v1/queues/default/resume", "").await.json();
    assert_eq!((&resumed["paused"], &resumed["paused_by"]), (&json!(false), &Value::Null));
    let unnamed = world.post("/api/v1/queues/default/pause", "").await.json();
    assert_eq!(unnamed["paused_by"], "the API");
    for (path, body, refusal) in [
        ("/api/v1/queues/deep/pause", "", "404 unknown-queue"),
        ("/api/v1/queues/deep/resume", "", "404 unknown-queue"),
        ("/api/v1/queues/default/pause", r#"{ "by": "" }"#, "400 invalid-member /by"),
        ("/api/v1/queues/default/resume", r#"{ "paused": false }"#, "400 unknown-member /paused"),
        ("/api/v1/queues/default/pause?by=anna", "", "400 unknown-parameter"),
    ] {
        assert_eq!(world.post(path, body).await.refusal(), refusal, "{path} {body}");
    }
}

#[tokio::test]
async fn an_operators_limit_goes_before_the_configuration_until_it_is_taken_back() {
    let world = World::start().await;
    for (body, concurrency) in [
        ("{}", json!(3)),
        (r#"{ "concurrency": 7 }"#, json!(7)),
        (r#"{ "paused": false }"#, json!(7)),
        (r#"{ "concurrency": null }"#, json!(3)),
    ] {
        let answer = world.patch("/api/v1/queues/bulk", body).await;
        assert_eq!((answer.status, &answer.json()["concurrency"]), (StatusCode::OK, &concurrency), "{body}");
        assert_eq!(listed(&world, "bulk").await["concurrency"], concurrency, "{body}");
    }
    assert_eq!(world.patch("/api/v1/queues/slow", r#"{ "concurrency": 7 }"#).await.json()["concurrency"], 7);
    let taken_back = world.patch("/api/v1/queues/slow", r#"{ "concurrency": null }"#).await;
    assert_eq!(taken_back.json()["concurrency"], Value::Null);
}

#[tokio::test]
async fn a_limited_queue_holds_up_what_is_beyond_and_says_so() {
    let world = World::start().await;
    world.patch("/api/v1/queues/default", r#"{ "concurrency": 1 }"#).await;
    let first = world.enqueue("stuck", "1").await;
    world.until_run_is(&first, RunState::Running).await;
    let second = world.enqueue("stuck", "1").await;
    let waiting = world.get(&format!("/api/v1/runs/{second}")).await.json()["waiting_for"].clone();
    let detail = "the queue default is full: 1 of 1 run";
    assert_eq!(waiting, json!({ "kind": "queue-full", "detail": detail, "until": null, "position": 0 }));
    world.patch("/api/v1/queues/default", r#"{ "concurrency": null }"#).await;
    world.until_run_is(&second, RunState::Running).await;
}

#[tokio::test]
async fn what_can_not_be_said_of_a_queue_is_refused_by_name() {
    let world = World::start().await;
    for (queue, body, refusal) in [
        ("default", r#"{ "concurrency": 0 }"#, "400 invalid-member /concurrency"),
        ("default", r#"{ "concurrency": -1 }"#, "400 invalid-member /concurrency"),
        ("default", r#"{ "concurrency": "many" }"#, "400 wrong-type /concurrency"),
        ("default", r#"{ "paused": "yes" }"#, "400 wrong-type /paused"),
        ("default", r#"{ "pause": true }"#, "400 unknown-member /pause"),
        ("default", r#"{ "paused": true, "by": "" }"#, "400 invalid-member /by"),
        ("default", "", "400 malformed-json"),
        ("No%20Queue", "{}", "404 unknown-queue"),
        ("deep", "{}", "404 unknown-queue"),
    ] {
        let answer = world.patch(&format!("/api/v1/queues/{queue}"), body).await;
        assert_eq!(answer.refusal(), refusal, "{queue} {body}");
    }
    assert_snapshot!("unknown", world.patch("/api/v1/queues/defalt", "{}").await.whole());
    assert_eq!(world.get("/api/v1/queues?limit=1").await.refusal(), "400 unknown-parameter");
    let untouched = listed(&world, "default").await;
    assert_eq!([&untouched["concurrency"], &untouched["paused"]], [&Value::Null, &json!(false)]);
    let (starting, _engine) = World::prepare(&["stuck"]);
    assert_eq!(starting.patch("/api/v1/queues/default", r#"{ "paused": true }"#).await.refusal(), "503 not-ready");
}
