//! Runs that wait for their time or their next attempt and are asked to begin now, by the API and from their page.
//! Runs that have ended and are put back are in `runs` and `pages_runs`.

use std::time::Duration;

use axum::http::StatusCode;
use jobmill_core::RunState;

use crate::page_forms::{followed, is_guarded, send, shown};
use crate::world::World;

const FAILS: &str = r#"{ "fail": "transient" }"#;

/// A run whose first attempt failed, and that waits for the second.
async fn waiting(world: &World) -> String {
    let run = world.enqueue("flaky", FAILS).await;
    world.until_run_is(&run, RunState::Retryable).await;
    run
}

async fn later(world: &World, job: &str) -> String {
    world.post(&format!("/api/v1/jobs/{job}/runs"), r#"{ "payload": 1, "delay": "1h" }"#).await.id()
}

#[tokio::test]
async fn it_begins_at_once_with_the_attempts_that_it_had() {
    let world = World::start().await;
    let run = waiting(&world).await;
    world.clock.advance(Duration::from_millis(400));
    let answer = world.post(&format!("/api/v1/runs/{run}/retry"), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.json()["scheduled_at"], "2026-03-01T09:00:00.407Z");
    // The clock stands still: it does not begin by itself.
    world.until_run_is(&run, RunState::Dead).await;
    let shown = world.get(&format!("/api/v1/runs/{run}")).await.json();
    let numbers: Vec<_> = shown["attempts"].as_array().expect("attempts").iter().map(|it| &it["number"]).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(shown["attempts"][0]["next_at"], "2026-03-01T09:00:00.407Z");
    let journal = world.get(&format!("/api/v1/runs/{run}/journal")).await.json();
    let entry = &journal["items"][3];
    assert_eq!((&entry["kind"], &entry["instead_of"]), (&"made-due".into(), &"2026-03-01T09:00:01.007Z".into()));
}

#[tokio::test]
async fn one_that_is_scheduled_begins_at_once() {
    let world = World::start().await;
    let run = later(&world, "flaky").await;
    world.post(&format!("/api/v1/runs/{run}/retry"), "{}").await;
    world.until_run_is(&run, RunState::Completed).await;
}

#[tokio::test]
async fn what_is_due_or_runs_is_refused_and_told_so() {
    let world = World::start().await;
    let mut running = Vec::new();
    for _ in 0..2 {
        let run = world.enqueue("stuck", "1").await;
        world.until_run_is(&run, RunState::Running).await;
        running.push(run);
    }
    let due = world.enqueue("stuck", "1").await;
    for (run, told) in [
        (&due, "is available, so it can't be made due: it is due already and waits to begin"),
        (&running[0], "is running, so it can't be made due"),
    ] {
        let answer = world.post(&format!("/api/v1/runs/{run}/retry"), "").await;
        assert_eq!(answer.refusal(), "409 wrong-state");
        assert_eq!(answer.json()["detail"], format!("{run} {told}"));
        let page = shown(&world, &format!("/runs/{run}")).await;
        assert!(!page.contains("Retry now"), "{page}");
    }
}

#[tokio::test]
async fn it_waits_for_what_keeps_its_job_back_and_says_so() {
    let world = World::start().await;
    let run = waiting(&world).await;
    world.post("/api/v1/jobs/flaky/pause", r#"{ "by": "ada" }"#).await;
    let answer = world.post(&format!("/api/v1/runs/{run}/retry"), "").await.json();
    assert_eq!((answer["state"].as_str(), answer["attempt"].as_u64()), (Some("available"), Some(1)));
    assert_eq!(answer["waiting_for"]["kind"], "job-paused");
    let page = shown(&world, &format!("/runs/{run}")).await;
    assert!(page.contains("Due, and waiting to begin attempt 2 of 2: the job flaky is paused by ada"), "{page}");
    world.post("/api/v1/jobs/flaky/resume", "{}").await;
    world.until_run_is(&run, RunState::Dead).await;
}

#[tokio::test]
async fn its_page_has_a_button_that_says_what_it_does() {
    let world = World::start().await;
    // Nothing of it begins, so that the page can be looked at.
    let run = later(&world, "stuck").await;
    world.post("/api/v1/jobs/stuck/pause", r#"{ "by": "ada" }"#).await;
    let (page, path) = (format!("/runs/{run}"), format!("/runs/{run}/retry"));
    let before = shown(&world, &page).await;
    assert!(before.contains("From scheduled to available: it is due at once, and its attempts count on"), "{before}");
    let (place, told) = followed(&world, send(&world, &page, &path, &[]).await).await;
    assert_eq!(place, "/runs/run_1?done=due");
    assert!(told.contains("Due, and waiting to begin attempt 1 of 4: the job stuck is paused by ada"), "{told}");
    assert!(told.contains("made due") && told.contains("at once, instead of in 1h"), "{told}");
    let journal = shown(&world, &format!("/runs/{run}/journal")).await;
    assert!(
        journal.contains("<td>made-due</td>") && journal.contains("at once, instead of 2026-03-01T10:00"),
        "{journal}"
    );
    let again = send(&world, &page, &path, &[]).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.body.contains("it is due already"), "{}", again.body);
}

#[tokio::test]
async fn whoever_may_only_look_lets_nothing_begin() {
    let world = World::start().await;
    let run = later(&world, "stuck").await;
    is_guarded(&world, &format!("/runs/{run}"), &format!("/runs/{run}/retry"), &[]).await;
}
