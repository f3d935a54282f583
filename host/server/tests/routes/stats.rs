//! Numbers, health and readiness.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use insta::assert_snapshot;
use jobmill_server::{Alarm, ServerSettings};

use crate::world::{World, settings_with};

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
async fn what_an_operator_has_to_see_to_is_among_the_numbers_and_on_top_of_the_page() {
    let mut world = World::start().await;
    let settings = ServerSettings {
        alarms: Arc::new(|now| {
            let detail = "mail is kept back: 535 <no>".to_owned();
            vec![Alarm { kind: "mail", detail, since: now, next_try: now.after(Duration::from_secs(30)) }]
        }),
        ..settings_with(None)
    };
    world.router = jobmill_server::router(world.handle.clone(), settings);
    let stats = world.get("/api/v1/stats").await.body;
    let alarm = "\"alarms\":[{\"kind\":\"mail\",\"detail\":\"mail is kept back: 535 <no>\",\
                 \"since\":\"2026-03-01T09:00:00.007Z\",\"next_try\":\"2026-03-01T09:00:30.007Z\"}]";
    assert!(stats.contains(alarm), "{stats}");
    let page = world.get("/").await.body;
    assert!(page.contains("mail is kept back: 535 &#60;no&#62;"), "{page}");
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
