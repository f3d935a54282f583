//! The list of runs: cancelling those that were selected, and all that a filter names.

use axum::http::StatusCode;
use insta::assert_snapshot;

use crate::pages_runs::{led_to, main_part, state, submit};
use crate::world::World;

#[tokio::test]
async fn selected_runs_are_cancelled_once_that_is_confirmed() {
    let world = World::start().await;
    let completed = world.finish("flaky", "{}").await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        waiting.push(world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await.id());
    }
    let selected = [("run", completed.as_str()), ("run", waiting[0].as_str()), ("job", "stuck")];
    let asked = submit(&world, "/runs/cancel", &selected).await;
    assert_eq!(asked.status, StatusCode::OK);
    assert_snapshot!(main_part(&asked.body));
    assert_eq!(state(&world, &waiting[0]).await, "scheduled", "nothing was done yet");
    let confirmed = [&selected[..], &[("confirmed", "yes"), ("reason", "sold out")]].concat();
    let answer = submit(&world, "/runs/cancel", &confirmed).await;
    assert_eq!(led_to(&answer), "/runs?job=stuck&cancelled=1&skipped=1");
    let page = world.get(led_to(&answer)).await.body;
    assert!(page.contains("1 run cancelled; 1 skipped, already final."), "{page}");
    assert_eq!(
        (state(&world, &waiting[0]).await.as_str(), state(&world, &waiting[1]).await.as_str()),
        ("cancelled", "scheduled")
    );
    let none = submit(&world, "/runs/cancel", &[]).await;
    assert_eq!(led_to(&none), "/runs?cancelled=0&skipped=0");
}

#[tokio::test]
async fn all_runs_that_match_a_filter_are_cancelled_and_an_empty_filter_is_refused() {
    let world = World::start().await;
    for job in ["stuck", "stuck", "flaky"] {
        world.post(&format!("/api/v1/jobs/{job}/runs"), r#"{ "payload": {}, "delay": "1h" }"#).await;
    }
    assert_eq!(submit(&world, "/runs/cancel", &[("all", "yes")]).await.refusal(), "400 empty-filter");
    for (query, words) in [
        ("?job=stuck", Some("Cancel all 2 that match")),
        ("?job=flaky&state=scheduled", Some("Cancel the 1 that matches")),
        ("?since=1h", Some("Cancel all 3 that match")),
        ("", None),
    ] {
        let page = world.get(&format!("/runs{query}")).await.body;
        let button = page.split_once("name=\"all\" value=\"yes\">").and_then(|(_, rest)| rest.split('<').next());
        assert_eq!(button, words, "{query}");
    }
    let filter = [("all", "yes"), ("job", "stuck"), ("since", "1h")];
    let asked = submit(&world, "/runs/cancel", &filter).await.body;
    assert!(
        asked.contains("<h1>Cancel 2 runs?</h1>")
            && asked.contains("name=\"since\" value=\"2026-03-01T08:00:00.007Z\""),
        "{asked}"
    );
    let answer = submit(&world, "/runs/cancel", &[&filter[..], &[("confirmed", "yes")]].concat()).await;
    assert_eq!(led_to(&answer), "/runs?job=stuck&since=1h&cancelled=2&skipped=0");
    let left = world.get("/api/v1/runs?state=scheduled").await.json();
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1), "{left}");
}
