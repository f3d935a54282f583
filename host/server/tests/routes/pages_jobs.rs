//! The list of jobs in each state: none, some, broken, retired, paused.
//! What a job's own page does is in `pages_job`.

use insta::assert_snapshot;

use crate::page_forms::{HOSTILE, is_escaped, shown};
use crate::world::World;

#[tokio::test]
async fn without_a_job_the_list_says_how_to_make_one() {
    let world = World::with(&[]).await;
    assert_snapshot!(shown(&world, "/jobs").await);
}

#[tokio::test]
async fn one_job_is_one_row() {
    let world = World::with(&["welcome-email"]).await;
    assert_snapshot!(shown(&world, "/jobs").await);
}

#[tokio::test]
async fn jobs_show_their_runs_by_state_and_what_is_broken_paused_or_retired() {
    let world = World::start().await;
    world.finish("welcome-email", r#"{ "userId": "user_1", "email": "ada@example.com" }"#).await;
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    world.finish("flaky", "{}").await;
    world.post("/api/v1/jobs/flaky/pause", r#"{ "by": "anna@shop" }"#).await;
    world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await;
    std::fs::write(world.hopper.path().join("welcome-email.wasm"), "a newer one").expect("written");
    std::fs::remove_file(world.hopper.path().join("stuck.wasm")).expect("removed");
    let [welcome, stuck] = ["welcome-email", "stuck"].map(|id| id.parse().expect("a job id"));
    world
        .until(|world| {
            let catalog = world.handle.catalog();
            let is_broken = catalog.listing(&welcome).is_some_and(|it| it.breakage.is_some());
            is_broken && catalog.serving(&stuck).is_none()
        })
        .await;
    assert_snapshot!(shown(&world, "/jobs").await);
}

#[tokio::test]
async fn what_components_and_operators_write_is_escaped() {
    let world = World::with(&["hostile"]).await;
    is_escaped(&shown(&world, "/jobs").await);
    let world = World::with(&["stuck", "<script>alert(1)<"]).await;
    is_escaped(&shown(&world, "/jobs").await);
    let world = World::with(&["stuck"]).await;
    let by = serde_json::json!({ "by": HOSTILE });
    world.post("/api/v1/jobs/stuck/pause", &by.to_string()).await;
    is_escaped(&shown(&world, "/jobs").await);
}

#[tokio::test]
async fn unknown_parameters_are_refused() {
    let world = World::with(&[]).await;
    assert_eq!(world.get("/jobs?state=dead").await.refusal(), "400 unknown-parameter");
}
