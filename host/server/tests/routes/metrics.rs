//! What a monitoring system reads.

use axum::http::{StatusCode, header};
use insta::assert_snapshot;

use crate::world::World;

#[tokio::test]
async fn what_stands_and_what_was_done_is_told_as_openmetrics() {
    let world = World::start().await;
    world.finish("welcome-email", r#"{ "userId": "user_1", "email": "ada@example.com" }"#).await;
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await;
    let answer = world.get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    let content_type = answer.headers[header::CONTENT_TYPE].to_str().expect("text");
    assert!(content_type.starts_with("application/openmetrics-text"), "{content_type}");
    let lines = answer.body.lines();
    // How much memory the test has says nothing, and each bucket of the others is as that of the first.
    let is_shown = |line: &&str| {
        !line.starts_with("process_resident_memory_bytes ")
            && (!line.contains("_bucket{") || line.starts_with("jobmill_attempt_duration_seconds_bucket{le=\"0.005\""))
    };
    assert_snapshot!(lines.filter(is_shown).collect::<Vec<_>>().join("\n"));
    for family in ["attempt", "run"] {
        let all = format!("jobmill_{family}_duration_seconds_bucket{{le=\"+Inf\",job=\"flaky\"}} 1");
        assert!(answer.body.contains(&all), "{}", answer.body);
    }
}

#[tokio::test]
async fn who_may_only_bring_work_in_reads_no_numbers() {
    let world = World::with(&["stuck"]).await;
    let (_, operate) = world.token(r#"{ "scope": "operate" }"#).await;
    let secret = async |scope: &str| {
        let body = format!("{{ \"scope\": \"{scope}\" }}");
        let made = world.post_with("/api/v1/tokens", &body, &operate).await.json();
        made["secret"].as_str().expect("a secret").to_owned()
    };
    let (read, enqueue) = (secret("read").await, secret("enqueue").await);
    assert_eq!(world.get_with("/metrics", &read).await.status, StatusCode::OK);
    assert_eq!(world.get_with("/metrics", &enqueue).await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.get("/metrics").await.status, StatusCode::UNAUTHORIZED);
}
