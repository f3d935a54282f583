//! Numbers, health and readiness.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use insta::assert_snapshot;
use jobmill_server::{Alarm, ServerSettings};
use serde_json::json;

use crate::world::{World, settings_with};

#[tokio::test]
async fn stats_count_jobs_and_runs() {
    let world = World::start().await;
    world.finish("flaky", "{}").await;
    world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await;
    world.clock.advance(Duration::from_secs(90));
    let text = world.get("/api/v1/stats").await.whole().replace(env!("CARGO_PKG_VERSION"), "VERSION");
    // The minutes have a test of their own.
    let (before, rest) = text.split_once("\"minutes\": [").expect("minutes");
    let text = format!("{before}\"minutes\": […{}", &rest[rest.find(']').expect("their end")..]);
    assert_snapshot!(text);
}

#[tokio::test]
async fn stats_tell_what_was_done_in_the_last_hour_and_the_last_day() {
    let world = World::start().await;
    world.finish("flaky", "{}").await;
    world.clock.advance(Duration::from_mins(59));
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    let activity = world.get("/api/v1/stats").await.json()["activity"].clone();
    let minutes = activity["minutes"].as_array().expect("minutes");
    assert_eq!(minutes.len(), 60);
    assert_eq!(minutes[0], json!({ "at": "2026-03-01T09:00:00.000Z", "completed": 1, "failed": 0, "dead": 0 }));
    assert_eq!(minutes[59], json!({ "at": "2026-03-01T09:59:00.000Z", "completed": 0, "failed": 1, "dead": 1 }));
    assert!(minutes[1..59].iter().all(|minute| minute["completed"] == 0 && minute["failed"] == 0));
    let durations = json!({ "count": 2, "p50": "0s", "p95": "0s" });
    let counts = json!({ "job": "flaky", "completed": 1, "dead": 1, "failed_attempts": 1,
                         "attempts": durations, "runs": durations });
    assert_eq!(activity["jobs"], json!([counts]));
    assert_eq!(activity["jobs_since"], "2026-02-28T10:00:00.000Z");
}

#[tokio::test]
async fn what_an_operator_has_to_see_to_is_among_the_numbers_and_on_top_of_the_page() {
    let mut world = World::start().await;
    let settings = ServerSettings {
        alarms: Arc::new(|now| {
            let detail = "mail is kept back: 535 <no>".to_owned();
            vec![Alarm { kind: "mail", detail, since: now, next_try: now.after(Duration::from_secs(30)) }]
        }),
        ..settings_with(None)
    };
    world.router = jobmill_server::router(world.handle.clone(), settings);
    let stats = world.get("/api/v1/stats").await.body;
    let alarm = "\"alarms\":[{\"kind\":\"mail\",\"detail\":\"mail is kept back: 535 <no>\",\
                 \"since\":\"2026-03-01T09:00:00.007Z\",\"next_try\":\"2026-03-01T09:00:30.007Z\"}]";
    assert!(stats.contains(alarm), "{stats}");
    let page = world.get("/").await.body;
    assert!(page.contains("mail is kept back: 535 &#60;no&#62;"), "{page}");
}

#[tokio::test]
async fn ready_means_that_the_jobs_are_loaded() {
    let (world, engine) = World::prepare(&[]);
    assert_eq!(world.get("/healthz").await.body, "{\"status\":\"ok\"}");
    let refused = world.get("/readyz").await;
    assert_eq!(
        (refused.refusal().as_str(), &refused.headers["retry-after"]),
        ("503 not-ready", &"1".parse().expect("a header"))
    );
    let engine = tokio::spawn(engine.run());
    world.until(|world| world.handle.is_ready()).await;
    assert_eq!(world.get("/readyz").await.status, StatusCode::OK);
    world.handle.shutdown();
    engine.await.expect("no panic").expect("stops");
    assert_eq!(world.get("/readyz").await.refusal(), "503 not-ready");
    assert_eq!(world.get("/healthz").await.status, StatusCode::OK);
}
