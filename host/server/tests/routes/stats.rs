//! Numbers, health and readiness.

use std::time::Duration;

use axum::http::StatusCode;
use insta::assert_snapshot;

use crate::world::World;

#[tokio::test]
async fn stats_count_jobs_and_runs() {
    let world = World::start().await;
    world.finish("flaky", "{}").await;
    world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await;
    world.clock.advance(Duration::from_secs(90));
    let text = world.get("/api/v1/stats").await.whole().replace(env!("CARGO_PKG_VERSION"), "VERSION");
    assert_snapshot!(text);
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
