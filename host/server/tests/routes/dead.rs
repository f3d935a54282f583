//! Dead letters: grouped, put back, put aside.

use insta::assert_snapshot;
use jobmill_core::RunState;

use crate::world::World;

const PERMANENT: &str = r#"{ "fail": "permanent" }"#;

async fn fingerprint(world: &World) -> String {
    let groups = world.get("/api/v1/dead").await.json();
    groups["items"][0]["fingerprint"].as_str().expect("a fingerprint").to_owned()
}

#[tokio::test]
async fn dead_runs_of_one_job_with_one_error_are_one_group() {
    let world = World::start().await;
    world.finish("flaky", PERMANENT).await;
    world.finish("flaky", PERMANENT).await;
    assert_snapshot!(world.get("/api/v1/dead").await.whole());
    assert_eq!(fingerprint(&world).await.len(), 16);
}

#[tokio::test]
async fn a_group_is_put_back_over_a_while() {
    let world = World::start().await;
    for _ in 0..3 {
        world.finish("flaky", PERMANENT).await;
    }
    let filter = format!(r#""filter": {{ "fingerprint": "{}" }}, "spread": "1m""#, fingerprint(&world).await);
    let dry = world.post("/api/v1/dead/requeue", &format!("{{ {filter}, \"dry_run\": true }}")).await;
    assert_snapshot!(dry.whole());
    assert_eq!(world.get("/api/v1/runs?state=dead").await.json()["items"].as_array().map(Vec::len), Some(3));
    let done = world.post("/api/v1/dead/requeue", &format!("{{ {filter} }}")).await;
    assert_eq!(done.body, dry.body);
    let waiting = world.get("/api/v1/runs?state=scheduled").await.json();
    assert_eq!(waiting["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_discarded_run_ends_cancelled_with_the_reason() {
    let world = World::start().await;
    let id = world.finish("flaky", PERMANENT).await;
    let body = format!(r#"{{ "filter": {{ "ids": ["{id}"] }}, "reason": "test order" }}"#);
    assert_eq!(world.post("/api/v1/dead/discard", &body).await.json()["changed"], 1);
    world.until_run_is(&id, RunState::Cancelled).await;
    assert_eq!(world.get(&format!("/api/v1/runs/{id}")).await.json()["cancel_reason"], "test order");
    assert_eq!(world.get("/api/v1/dead").await.json()["items"], serde_json::json!([]));
}

#[tokio::test]
async fn an_empty_filter_and_nonsense_are_refused() {
    let world = World::start().await;
    for action in ["requeue", "discard"] {
        let path = format!("/api/v1/dead/{action}");
        for (body, refusal) in [
            (r#"{ "filter": {} }"#, "400 empty-filter /filter"),
            (r#"{ "filter": { "job": null } }"#, "400 empty-filter /filter"),
            ("{}", "400 missing-member /filter"),
            (r#"{ "filter": { "fingerprint": "xyz" } }"#, "400 invalid-member /filter/fingerprint"),
            (r#"{ "filter": { "fingerprint": "+123456789abcdef" } }"#, "400 invalid-member /filter/fingerprint"),
            (r#"{ "filter": { "error": "x" } }"#, "400 unknown-member /filter/error"),
        ] {
            assert_eq!(world.post(&path, body).await.refusal(), refusal, "{action} {body}");
        }
    }
    let spread = r#"{ "filter": { "job": "flaky" }, "spread": "500d" }"#;
    assert_eq!(world.post("/api/v1/dead/requeue", spread).await.refusal(), "400 invalid-member /spread");
}
