//! The page of queues, and what its forms do.
//! What a pause and a limit do to runs is tested with the API.

use axum::http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::page_forms::{HOSTILE, followed, is_escaped, is_guarded, main_part, send, send_with, shown};
use crate::world::World;
use jobmill_core::RunState;

async fn queue(world: &World, name: &str) -> Value {
    let list = world.get("/api/v1/queues").await.json();
    list["items"].as_array().expect("items").iter().find(|it| it["name"] == name).expect("the queue").clone()
}

#[tokio::test]
async fn queues_show_how_full_they_are_and_what_waits() {
    let world = World::start().await;
    world.patch("/api/v1/queues/default", r#"{ "concurrency": 2 }"#).await;
    for _ in 0..2 {
        let run = world.enqueue("stuck", "1").await;
        world.until_run_is(&run, RunState::Running).await;
    }
    world.enqueue("stuck", "1").await;
    world.patch("/api/v1/queues/default", r#"{ "concurrency": 1 }"#).await;
    assert_snapshot!(shown(&world, "/queues").await);
}

#[tokio::test]
async fn a_queue_is_paused_and_goes_on_by_its_forms() {
    let world = World::start().await;
    let (place, main) = followed(&world, send(&world, "/queues", "/queues/bulk/pause", &[]).await).await;
    assert_eq!(place, "/queues?changed=bulk");
    assert!(main.contains("by the dashboard <time datetime=\"2026-03-01T09:00:00.007Z\""), "{main}");
    let page = world.get(&place).await.body;
    assert!(page.contains("The queue bulk is paused: none of its runs begins; at most 3 of its runs go on at once."));
    assert_eq!(queue(&world, "bulk").await["paused_by"], "the dashboard");
    let (place, _) = followed(&world, send(&world, "/queues", "/queues/bulk/resume", &[]).await).await;
    assert!(world.get(&place).await.body.contains("The queue bulk goes on; at most 3 of its runs go on at once."));
    assert_eq!(queue(&world, "bulk").await["paused"], false);
}

#[tokio::test]
async fn a_limit_is_set_and_taken_back_by_its_form() {
    let world = World::start().await;
    let set = async |limit: &str| send(&world, "/queues", "/queues/slow/limit", &[("limit", limit)]).await;
    for (limit, kept) in [("7", json!(7)), (" 1 ", json!(1)), ("", Value::Null)] {
        followed(&world, set(limit).await).await;
        assert_eq!(queue(&world, "slow").await["concurrency"], kept, "{limit:?}");
    }
    for limit in ["0", "-1", "many", "4294967296", HOSTILE] {
        let refused = set(limit).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{limit:?}");
        assert!(refused.body.contains("must be a number from 1 to 4294967295; pause the queue to stop it"));
        assert!(refused.body.contains("aria-describedby=\"refused-slow\""));
        assert_eq!(queue(&world, "slow").await["concurrency"], Value::Null, "{limit:?}");
    }
    is_escaped(&set(HOSTILE).await.body);
}

#[tokio::test]
async fn queues_that_are_not_there_and_parameters_that_are_none_are_refused() {
    let world = World::start().await;
    assert_eq!(send(&world, "/queues", "/queues/defalt/pause", &[]).await.refusal(), "404 unknown-queue");
    let refused = send(&world, "/queues", "/queues/deep/limit", &[("limit", "x")]).await;
    assert_eq!(refused.refusal(), "404 unknown-queue");
    assert_eq!(world.get("/queues?pausd=bulk").await.refusal(), "400 unknown-parameter");
    assert_eq!(world.get("/queues?changed=%3Cscript%3E").await.refusal(), "400 invalid-parameter");
    assert!(!world.get("/queues?changed=deep").await.body.contains("class=\"notice\""));
}

#[tokio::test]
async fn only_operators_with_the_pages_key_change_queues() {
    for path in ["/queues/bulk/pause", "/queues/bulk/resume", "/queues/bulk/limit"] {
        is_guarded(&World::start().await, "/queues", path, &[]).await;
    }
}

#[tokio::test]
async fn whoever_paused_a_queue_is_named_by_their_token_and_escaped() {
    let world = World::start().await;
    let name = json!(HOSTILE);
    let (_, secret) = world.token(&format!(r#"{{ "scope": "operate", "name": {name} }}"#)).await;
    let answer = send_with(&world, "/queues", "/queues/bulk/pause", &secret).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    is_escaped(&main_part(&world.get_with("/queues", &secret).await.body));
}

#[tokio::test]
async fn a_queue_of_the_configuration_is_a_row_before_any_job_is_there() {
    let world = World::with(&[]).await;
    assert_snapshot!(shown(&world, "/queues").await);
}
