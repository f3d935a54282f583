//! Jobs as they are listed: loaded, broken, retired.

use insta::assert_snapshot;

use crate::world::World;

#[tokio::test]
async fn jobs_are_listed_with_their_settings_and_broken_files_after_them() {
    let world = World::start().await;
    assert_snapshot!(world.get("/api/v1/jobs").await.whole());
}

#[tokio::test]
async fn a_job_is_read_by_its_id() {
    let world = World::start().await;
    let listed = world.get("/api/v1/jobs").await.json();
    let read = world.get("/api/v1/jobs/welcome-email").await;
    assert_eq!(read.json(), listed["items"][2]);
    let schema = world.handle.catalog().all_serving().find_map(|loaded| loaded.job.payload_schema.clone());
    assert!(read.body.contains(schema.expect("a schema").as_str()), "the schema is kept byte for byte");
    assert_snapshot!(world.get("/api/v1/jobs/welcome-mail").await.whole());
}

#[tokio::test]
async fn a_broken_file_over_a_good_version_leaves_the_job_loaded_and_says_so() {
    let world = World::start().await;
    std::fs::write(world.hopper.path().join("flaky.wasm"), "not what it was").expect("written");
    let flaky = "flaky".parse().expect("a job id");
    world.until(|world| world.handle.catalog().listing(&flaky).is_some_and(|it| it.breakage.is_some())).await;
    let job = world.get("/api/v1/jobs/flaky").await.json();
    assert_eq!(job["status"], "loaded");
    assert_eq!(job["broken_since"], "2026-03-01T09:00:00.007Z");
    assert!(job["error"].as_str().is_some_and(|error| error.contains("not what it was")), "{job}");
}

#[tokio::test]
async fn a_job_whose_file_is_gone_is_retired() {
    let world = World::start().await;
    std::fs::remove_file(world.hopper.path().join("stuck.wasm")).expect("removed");
    let stuck = "stuck".parse().expect("a job id");
    world.until(|world| world.handle.catalog().serving(&stuck).is_none()).await;
    assert_eq!(world.get("/api/v1/jobs/stuck").await.json()["status"], "retired");
    assert_eq!(world.post("/api/v1/jobs/stuck/runs", "{\"payload\": 1}").await.refusal(), "404 unknown-job");
}
