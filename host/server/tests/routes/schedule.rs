//! Schedules as they are listed: what is to come, and what was.

use std::time::Duration;

use axum::http::StatusCode;
use insta::assert_snapshot;
use jobmill_core::flow::CatchUp;
use jobmill_core::{JobOverrides, RunState};

use crate::world::World;

#[tokio::test]
async fn a_schedule_is_listed_with_its_next_times_and_its_last_run() {
    let crons = ["TZ=Europe/Berlin 30 2 28-30 * *", "@hourly", "0 0 29 FEB *"];
    let overrides = JobOverrides {
        cron: Some(crons.iter().map(ToString::to_string).collect()),
        cron_catch_up: Some(CatchUp::Skip),
        ..JobOverrides::default()
    };
    let world = World::overriding("flaky", overrides).await;
    // The earliest of them: whoever sleeps until then has begun all three.
    world.clock.is_awaited_in(Duration::from_hours(1) - Duration::from_millis(7)).await;
    assert_snapshot!(world.get("/api/v1/schedule").await.whole());
    world.clock.advance(Duration::from_hours(1));
    world.clock.is_awaited_in(Duration::from_hours(1) - Duration::from_millis(7)).await;
    let listed = world.get("/api/v1/schedule").await.json();
    assert_eq!(listed["items"][0]["last_run"], serde_json::Value::Null);
    let run = listed["items"][1]["last_run"].as_str().expect("a run");
    let run = world.get(&format!("/api/v1/runs/{run}")).await.json();
    assert_eq!((&run["scheduled_at"], &run["payload"]), (&"2026-03-01T10:00:00.000Z".into(), &serde_json::json!({})));
    assert_eq!(listed["items"][1]["next"][0], "2026-03-01T11:00:00.000Z");
}

#[tokio::test]
async fn a_job_is_started_ahead_of_its_schedule_which_goes_on_as_it_was() {
    let overrides = JobOverrides { cron: Some(vec!["@yearly".to_owned()]), ..JobOverrides::default() };
    let world = World::overriding("flaky", overrides).await;
    let before = world.get("/api/v1/schedule").await.json();
    let started = world.post("/api/v1/schedule/flaky/trigger", "").await;
    assert_eq!(started.status, StatusCode::ACCEPTED);
    assert_eq!(started.headers["location"], format!("/api/v1/runs/{}", started.id()));
    assert_eq!((&started.json()["job"], &started.json()["payload"]), (&"flaky".into(), &serde_json::json!({})));
    world.until_run_is(&started.id(), RunState::Completed).await;
    assert_eq!(world.get("/api/v1/schedule").await.json(), before);
}

#[tokio::test]
async fn what_has_no_schedule_is_not_triggered() {
    let world = World::start().await;
    for (path, body, refusal) in [
        ("/api/v1/schedule/stuck/trigger", "", "409 wrong-state"),
        ("/api/v1/schedule/stuk/trigger", "", "404 unknown-job"),
        ("/api/v1/schedule/stuck/trigger", r#"{ "payload": {} }"#, "400 unknown-member /payload"),
        ("/api/v1/schedule/stuck/trigger?now=1", "", "400 unknown-parameter"),
    ] {
        assert_eq!(world.post(path, body).await.refusal(), refusal, "{path} {body}");
    }
    assert_eq!(world.get("/api/v1/runs").await.json()["items"], serde_json::json!([]));
    let (starting, _engine) = World::prepare(&["stuck"]);
    assert_eq!(starting.post("/api/v1/schedule/stuck/trigger", "").await.refusal(), "503 not-ready");
}

#[tokio::test]
async fn without_a_schedule_the_list_is_empty() {
    let world = World::start().await;
    assert_eq!(world.get("/api/v1/schedule").await.body, "{\"items\":[],\"next_cursor\":null}");
    assert_eq!(world.get("/api/v1/schedule?job=flaky").await.refusal(), "400 unknown-parameter");
}

#[tokio::test]
async fn a_job_whose_schema_refuses_what_a_schedule_sends_is_broken() {
    let overrides = JobOverrides { cron: Some(vec!["@daily".to_owned()]), ..JobOverrides::default() };
    let world = World::overriding("welcome-email", overrides).await;
    let jobs = world.get("/api/v1/jobs").await.json();
    assert_eq!((&jobs["items"][0]["status"], &jobs["items"][0]["id"]), (&"broken".into(), &serde_json::Value::Null));
    let error = jobs["items"][0]["error"].as_str().expect("an error");
    assert!(error.contains("\"@daily\"") && error.contains("/userId is required"), "{error}");
}
