//! The page of schedules, and a start ahead of time.
//! When schedules fire is tested with the engine.

use std::time::Duration;

use insta::assert_snapshot;
use jobmill_core::flow::CatchUp;
use jobmill_core::{JobOverrides, RunState};
use serde_json::json;

use crate::page_forms::{followed, is_guarded, section, send, shown};
use crate::world::World;

async fn scheduled(crons: &[&str]) -> World {
    let overrides = JobOverrides {
        cron: Some(crons.iter().map(ToString::to_string).collect()),
        cron_catch_up: Some(CatchUp::Skip),
        ..JobOverrides::default()
    };
    World::overriding("flaky", overrides).await
}

#[tokio::test]
async fn without_a_schedule_the_page_says_how_to_make_one() {
    let world = World::start().await;
    assert_snapshot!(shown(&world, "/schedule").await);
}

#[tokio::test]
async fn schedules_show_their_next_times_their_last_run_and_the_next_day() {
    let world = scheduled(&["TZ=Europe/Berlin 30 2 28-30 * *", "0 */9 * * *", "0 0 29 FEB *"]).await;
    world.clock.is_awaited_in(Duration::from_hours(9) - Duration::from_millis(7)).await;
    assert_snapshot!("before", shown(&world, "/schedule").await);
    world.clock.advance(Duration::from_hours(9));
    world.clock.is_awaited_in(Duration::from_hours(6) - Duration::from_millis(7)).await;
    assert_snapshot!("after", section(&shown(&world, "/schedule").await, "schedules"));
}

#[tokio::test]
async fn a_schedule_is_told_in_words_and_what_it_missed_with_what_came_of_it() {
    let world = scheduled(&["TZ=Europe/Berlin 0 9 * * MON-FRI", "0 * * * *"]).await;
    world.clock.is_awaited_in(Duration::from_hours(1) - Duration::from_millis(7)).await;
    let before = shown(&world, "/schedule").await;
    assert!(before.contains("Weekdays at 9:00, Europe/Berlin<br>"), "{before}");
    assert!(
        before.contains("2026-03-02 08:00</time> <span class=\"quiet\">2026-03-02 09:00 Europe/Berlin"),
        "{before}"
    );
    world.clock.advance(Duration::from_hours(1));
    world.clock.is_awaited_in(Duration::from_hours(1) - Duration::from_millis(7)).await;
    assert!(!shown(&world, "/schedule").await.contains("missed and skipped."));
    world.clock.advance(Duration::from_mins(5 * 60 + 30));
    world.clock.is_awaited_in(Duration::from_mins(30) - Duration::from_millis(7)).await;
    let after = shown(&world, "/schedule").await;
    assert!(after.contains("5 times since the last run were missed and skipped."), "{after}");
}

#[tokio::test]
async fn a_day_of_minutes_is_cut_and_says_so() {
    let world = scheduled(&["* * * * *", "@hourly"]).await;
    world.clock.is_awaited_in(Duration::from_mins(1) - Duration::from_millis(7)).await;
    let next = section(&shown(&world, "/schedule").await, "next");
    assert_eq!(next.matches("<tr>").count(), 1 + 50);
    assert!(next.contains("There are more within the day; these are the first 50."), "{next}");
    assert!(next.find("2026-03-01 09:49") < next.find("2026-03-01 09:50"), "the soonest stands first");
}

#[tokio::test]
async fn a_job_is_started_ahead_of_its_schedule_which_goes_on_as_it_was() {
    let world = scheduled(&["@yearly"]).await;
    let before = world.get("/api/v1/schedule").await.json();
    let (place, main) = followed(&world, send(&world, "/schedule", "/schedule/flaky/trigger", &[]).await).await;
    assert_eq!(place, "/schedule?started=run_1");
    assert!(main.contains("Started ahead of time as <a href=\"/runs/run_1\">"), "{main}");
    let runs = world.get("/api/v1/runs").await.json();
    world.until_run_is(runs["items"][0]["id"].as_str().expect("an id"), RunState::Completed).await;
    assert_eq!((&runs["items"][0]["job"], &runs["items"][0]["payload"]), (&json!("flaky"), &json!({})));
    assert_eq!(world.get("/api/v1/schedule").await.json(), before);
}

#[tokio::test]
async fn a_paused_job_is_marked_in_its_schedule() {
    let world = scheduled(&["@yearly"]).await;
    world.post("/api/v1/jobs/flaky/pause", "").await;
    let main = shown(&world, "/schedule").await;
    assert!(main.contains("<i aria-hidden=\"true\">‖</i> paused</span>"), "{main}");
}

#[tokio::test]
async fn what_has_no_schedule_is_not_triggered() {
    let world = World::start().await;
    let page = "/queues";
    assert_eq!(send(&world, page, "/schedule/stuck/trigger", &[]).await.refusal(), "409 wrong-state");
    assert_eq!(send(&world, page, "/schedule/stuk/trigger", &[]).await.refusal(), "404 unknown-job");
    assert_eq!(world.get("/schedule?started=soon").await.refusal(), "400 invalid-parameter");
    assert_eq!(world.get("/schedule?job=flaky").await.refusal(), "400 unknown-parameter");
    assert_eq!(world.get("/api/v1/runs").await.json()["items"], json!([]));
}

#[tokio::test]
async fn only_operators_with_the_pages_key_trigger() {
    is_guarded(&scheduled(&["@yearly"]).await, "/schedule", "/schedule/flaky/trigger", &[]).await;
}
