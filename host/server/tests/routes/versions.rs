//! The versions of a job: as the API lists them, on the job's page, and between the attempts of a run.
//! How two descriptions are compared is tested where it is done.

use std::time::Duration;

use axum::http::StatusCode;
use insta::{assert_json_snapshot, assert_snapshot};
use jobmill_core::RunState;
use serde_json::{Value, json};

use crate::page_forms::{section, shown};
use crate::world::{WATCHDOG, World};

async fn versions(world: &World) -> Vec<Value> {
    let answer = world.get("/api/v1/jobs/flaky/versions").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()["items"].as_array().expect("a list").clone()
}

/// Puts this script in the place of `flaky`, until it serves and is on record as the last loaded.
async fn replace(world: &World, script: &str) {
    let before = versions(world).await[0]["version"].clone();
    std::fs::write(world.hopper.path().join("flaky.wasm"), script).expect("written");
    let is_replaced = async {
        loop {
            let newest = versions(world).await.swap_remove(0);
            if newest["version"] != before && newest["serves"] == true {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WATCHDOG, is_replaced).await.expect("it was never replaced");
}

#[tokio::test]
async fn versions_are_listed_with_what_each_says_otherwise() {
    let world = World::with(&["flaky"]).await;
    let first = versions(&world).await;
    assert_eq!((first.len(), &first[0]["changes"]), (1, &Value::Null), "nothing is known of what was before it");
    world.clock.advance(Duration::from_mins(1));
    replace(&world, "patient").await;
    assert_json_snapshot!(versions(&world).await);
    // The one before serves again: no third one, and the changes the other way round.
    world.clock.advance(Duration::from_mins(1));
    replace(&world, "flaky").await;
    let back = versions(&world).await;
    assert_eq!((back.len(), &back[0]["version"]), (2, &first[0]["version"]));
    assert_eq!(back[0]["first_loaded_at"], first[0]["first_loaded_at"]);
    let changes: Vec<&Value> = back[0]["changes"].as_array().expect("changes").iter().map(|it| &it["text"]).collect();
    let expected =
        ["payload-schema removed", "retries 5 → 1", "timeout not set → 1m30s", "triggers lost event order/<late>"];
    assert_eq!(json!(changes), json!(expected));
}

#[tokio::test]
async fn a_job_that_nobody_knows_has_no_versions_and_one_whose_file_is_gone_has() {
    let world = World::start().await;
    assert_eq!(world.get("/api/v1/jobs/flakey/versions").await.refusal(), "404 unknown-job");
    std::fs::remove_file(world.hopper.path().join("flaky.wasm")).expect("removed");
    let flaky = "flaky".parse().expect("a job id");
    world.until(|world| world.handle.catalog().serving(&flaky).is_none()).await;
    let kept = versions(&world).await;
    assert_eq!((kept.len(), &kept[0]["serves"]), (1, &json!(false)));
}

#[tokio::test]
async fn the_page_of_a_job_shows_its_versions() {
    let world = World::with(&["flaky"]).await;
    world.clock.advance(Duration::from_mins(1));
    replace(&world, "patient").await;
    let page = shown(&world, "/jobs/flaky").await;
    assert_snapshot!(section(&page, "versions"));
    assert!(!page.contains("order/<late>"), "what a component says never becomes markup");
}

#[tokio::test]
async fn the_page_of_a_run_tells_what_changed_between_its_attempts() {
    let world = World::with(&["flaky"]).await;
    let id = world.enqueue("flaky", r#"{ "fail": "transient" }"#).await;
    world.until_run_is(&id, RunState::Retryable).await;
    let page = shown(&world, &format!("/runs/{id}")).await;
    assert!(!page.contains("was replaced by"), "{page}");
    // Before the next attempt is due.
    world.clock.advance(Duration::from_millis(10));
    replace(&world, "patient").await;
    world.clock.advance(Duration::from_hours(1));
    world.until_run_is(&id, RunState::Dead).await;
    let page = shown(&world, &format!("/runs/{id}")).await;
    let (_, replaced) = page.split_once("<li>Between").unwrap_or_else(|| panic!("it is told: {page}"));
    assert_snapshot!(replaced.split("</section>").next().expect("its end"));
}
