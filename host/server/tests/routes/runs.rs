//! Enqueue, read, list, cancel, put back, repeat.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use insta::assert_snapshot;
use jobmill_core::RunState;

use crate::world::{Answer, World, json};

const ADA: &str = r#"{ "userId": "user_1", "email": "ada@example.com" }"#;
const RUNS: &str = "/api/v1/jobs/welcome-email/runs";

async fn keyed(world: &World, key: &str, body: &str) -> Answer {
    let mut request = json(Method::POST, RUNS, body);
    request.headers_mut().insert("idempotency-key", key.parse().expect("a header"));
    world.send(request).await
}

#[tokio::test]
async fn an_enqueue_is_accepted_with_the_run_and_its_place() {
    let world = World::start().await;
    let body = r#"{ "payload": {}, "priority": 2, "unique_key": "k", "tags": ["import", "eu"] }"#;
    let answer = world.post("/api/v1/jobs/stuck/runs", body).await;
    assert_snapshot!(answer.whole());
}

#[tokio::test]
async fn waiting_for_the_end_answers_with_the_finished_run() {
    let world = World::start().await;
    let answer = world.post(&format!("{RUNS}?wait=30s"), &format!("{{ \"payload\": {ADA} }}")).await;
    assert_snapshot!(answer.whole());
    assert_eq!(world.get(&format!("/api/v1/runs/{}", answer.id())).await.body, answer.body);
}

#[tokio::test]
async fn waiting_ends_when_time_is_up() {
    let world = World::start().await;
    let (answer, ()) = tokio::join!(world.post("/api/v1/jobs/stuck/runs?wait=30s", "{\"payload\": 1}"), async {
        world.clock.is_awaited_in(Duration::from_secs(30)).await;
        world.clock.advance(Duration::from_secs(30));
    });
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.json()["output"], serde_json::Value::Null);
}

#[tokio::test]
async fn waiting_ends_when_the_engine_stops() {
    let world = World::start().await;
    let (answer, ()) = tokio::join!(world.post("/api/v1/jobs/stuck/runs?wait=5m", "{\"payload\": 1}"), async {
        world.clock.is_awaited_in(Duration::from_mins(5)).await;
        world.handle.shutdown();
    });
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn payloads_and_outputs_are_kept_byte_for_byte() {
    let world = World::start().await;
    let payload = "{ \"b\" : 1.50,\t\"a\":12345678901234567890123, \"é\": \"\\u00e9\" }";
    let id = world.finish("flaky", payload).await;
    for path in [format!("/api/v1/runs/{id}"), format!("/api/v1/runs/{id}/journal"), "/api/v1/runs".to_owned()] {
        assert!(world.get(&path).await.body.contains(payload), "{path}");
    }
    let id = world.finish("welcome-email", ADA).await;
    assert!(world.get(&format!("/api/v1/runs/{id}")).await.body.contains("{ \"delivery\":\"captured\" }"));
}

#[tokio::test]
async fn the_same_key_and_body_is_the_first_run() {
    let world = World::start().await;
    let body = format!("{{ \"payload\": {ADA} }}");
    let first = keyed(&world, "order-42", &body).await;
    world.until_run_is(&first.id(), RunState::Completed).await;
    let again = keyed(&world, "order-42", &body).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.id(), first.id());
    assert_eq!(again.json()["state"], "completed");
    assert!(!first.headers.contains_key("idempotency-replayed"));
}

#[tokio::test]
async fn the_same_key_with_another_body_is_a_conflict() {
    let world = World::start().await;
    keyed(&world, "order-42", &format!("{{ \"payload\": {ADA} }}")).await;
    let other = ADA.replace("user_1", "user_2");
    assert_snapshot!(keyed(&world, "order-42", &format!("{{ \"payload\": {other} }}")).await.whole());
}

#[tokio::test]
async fn a_payload_off_its_schema_is_refused_member_by_member() {
    let world = World::start().await;
    let answer = world.post(RUNS, r#"{ "payload": { "email": "nobody" } }"#).await;
    assert_snapshot!(answer.whole());
    assert!(world.get("/api/v1/runs").await.json()["items"].as_array().expect("items").is_empty());
}

#[tokio::test]
async fn an_unknown_job_is_named_with_the_nearest() {
    let world = World::start().await;
    assert_snapshot!(world.post("/api/v1/jobs/welcome-mail/runs", "{\"payload\": {}}").await.whole());
    assert_eq!(world.post("/api/v1/jobs/No%20Job/runs", "{\"payload\": {}}").await.refusal(), "404 unknown-job");
    assert_eq!(world.post("/api/v1/jobs/%ff/runs", "{\"payload\": {}}").await.refusal(), "404 unknown-job");
}

#[tokio::test]
async fn a_delayed_run_is_scheduled_and_says_until_when() {
    let world = World::start().await;
    let answer = world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1m30s" }"#).await;
    let run = answer.json();
    assert_eq!(run["state"], "scheduled");
    assert_eq!(run["scheduled_at"], "2026-03-01T09:01:30.007Z");
    assert_eq!(run["waiting_for"]["kind"], "due");
    assert_eq!(run["waiting_for"]["until"], "2026-03-01T09:01:30.007Z");
    let at =
        world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "scheduled_at": "2026-03-01T11:00:00+01:00" }"#).await;
    assert_eq!(at.json()["scheduled_at"], "2026-03-01T10:00:00.000Z");
}

#[tokio::test]
async fn what_can_not_be_enqueued_is_refused_by_name() {
    let world = World::start().await;
    for (body, refusal) in [
        (r#"{ "payload": 1, "delay": "5m", "scheduled_at": "2026-03-01T10:00:00Z" }"#, "400 invalid-member /delay"),
        (r#"{ "payload": 1, "delay": "soon" }"#, "400 invalid-member /delay"),
        (r#"{ "payload": 1, "delay": 5 }"#, "400 wrong-type /delay"),
        (r#"{ "payload": 1, "delay": "400d" }"#, "400 invalid-member /delay"),
        (r#"{ "payload": 1, "scheduled_at": "2126-03-01T10:00:00Z" }"#, "400 invalid-member /scheduled_at"),
        (r#"{ "payload": 1, "scheduled_at": "tomorrow" }"#, "400 invalid-member /scheduled_at"),
        (r#"{ "payload": 1, "priority": 10 }"#, "400 invalid-member /priority"),
        (r#"{ "payload": 1, "unique_key": "" }"#, "400 invalid-member /unique_key"),
        (r#"{ "payload": 1, "tags": ["a\nb"] }"#, "400 invalid-member /tags"),
        (r#"{ "payload": 1, "tags": "a" }"#, "400 wrong-type /tags"),
        (r#"{ "payload": 1, "queue": "fast" }"#, "400 unknown-member /queue"),
        ("{}", "400 missing-member /payload"),
    ] {
        assert_eq!(world.post("/api/v1/jobs/stuck/runs", body).await.refusal(), refusal, "{body}");
    }
    let large = format!("{{ \"payload\": \"{}\" }}", "x".repeat(256 * 1024));
    assert_eq!(world.post("/api/v1/jobs/stuck/runs", &large).await.refusal(), "400 invalid-member /payload");
    for wait in ["soon", "6m", "-1s"] {
        let path = format!("/api/v1/jobs/stuck/runs?wait={wait}");
        assert_eq!(world.post(&path, "{\"payload\": 1}").await.refusal(), "400 invalid-parameter", "{wait}");
    }
    assert_eq!(keyed(&world, "", &format!("{{ \"payload\": {ADA} }}")).await.refusal(), "400 invalid-parameter");
}

#[tokio::test]
async fn nothing_is_taken_before_the_jobs_are_loaded() {
    let (world, _engine) = World::prepare(&["stuck"]);
    assert_snapshot!(world.post("/api/v1/jobs/stuck/runs", "{\"payload\": 1}").await.whole());
    let event = r#"{ "name": "email/welcome", "data": {} }"#;
    assert_eq!(world.post("/api/v1/events", event).await.refusal(), "503 not-ready");
}

#[tokio::test]
async fn a_failing_run_shows_every_attempt_and_what_it_waits_for() {
    let world = World::start().await;
    let id = world.enqueue("flaky", r#"{ "fail": "transient" }"#).await;
    world.until_run_is(&id, RunState::Retryable).await;
    assert_snapshot!("retryable", world.get(&format!("/api/v1/runs/{id}")).await.whole());
    world.clock.advance(Duration::from_secs(1));
    world.until_run_is(&id, RunState::Dead).await;
    assert_snapshot!("dead", world.get(&format!("/api/v1/runs/{id}")).await.whole());
    assert_snapshot!("dead_journal", world.get(&format!("/api/v1/runs/{id}/journal")).await.whole());
}

#[tokio::test]
async fn a_journal_shows_mails_without_their_content() {
    let world = World::start().await;
    let id = world.finish("welcome-email", ADA).await;
    assert_snapshot!("journal", world.get(&format!("/api/v1/runs/{id}/journal")).await.whole());
    assert_snapshot!("logs", world.get(&format!("/api/v1/runs/{id}/logs")).await.whole());
    assert_snapshot!("mails", world.get(&format!("/api/v1/runs/{id}/mail")).await.whole());
}

#[tokio::test]
async fn a_run_without_room_says_so_and_how_many_go_before_it() {
    let world = World::start().await;
    for _ in 0..2 {
        let id = world.enqueue("stuck", "1").await;
        world.until_run_is(&id, RunState::Running).await;
    }
    world.enqueue("stuck", "1").await;
    let last = world.enqueue("stuck", "1").await;
    let waiting = world.get(&format!("/api/v1/runs/{last}")).await.json()["waiting_for"].clone();
    assert_eq!(waiting["kind"], "queue-full");
    assert_eq!(waiting["position"], 1);
}

#[tokio::test]
async fn a_run_of_a_job_whose_file_is_gone_says_so() {
    let world = World::start().await;
    let id = world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1m" }"#).await.id();
    std::fs::remove_file(world.hopper.path().join("stuck.wasm")).expect("removed");
    let stuck = "stuck".parse().expect("a job id");
    world.until(|world| world.handle.catalog().serving(&stuck).is_none()).await;
    world.clock.advance(Duration::from_mins(1));
    let run = world.get(&format!("/api/v1/runs/{id}")).await.json();
    assert_eq!(run["state"], "available");
    assert_eq!(run["waiting_for"]["kind"], "no-component");
}

#[tokio::test]
async fn lists_are_pages_newest_first() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.finish("flaky", "{}").await);
        world.clock.advance(Duration::from_millis(1));
    }
    let listed = |answer: &Answer| -> Vec<String> {
        let items = answer.json()["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    };
    let first = world.get("/api/v1/runs?limit=2").await;
    assert_eq!(listed(&first), [ids[2].clone(), ids[1].clone()]);
    let cursor = first.json()["next_cursor"].as_str().expect("a cursor").to_owned();
    let second = world.get(&format!("/api/v1/runs?limit=2&cursor={cursor}")).await;
    assert_eq!(listed(&second), [ids[0].clone()]);
    assert_eq!(second.json()["next_cursor"], serde_json::Value::Null);
    assert_snapshot!(world.get("/api/v1/runs?job=stuck").await.whole());
}

#[tokio::test]
async fn lists_are_filtered() {
    let world = World::start().await;
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    world.clock.advance(Duration::from_mins(1));
    let tagged = r#"{ "payload": {}, "tags": ["eu"] }"#;
    world.post("/api/v1/jobs/flaky/runs?wait=1m", tagged).await;
    world.post("/api/v1/events", &format!(r#"{{ "id": "e-1", "name": "email/welcome", "data": {ADA} }}"#)).await;
    for (query, count) in [
        ("", 3),
        ("state=dead", 1),
        ("job=flaky", 2),
        ("job=flaky&state=completed", 1),
        ("tag=eu", 1),
        ("event=email/welcome", 1),
        ("event=e-1", 1),
        ("error=NO+ORDER", 1),
        ("since=2026-03-01T09:01:00Z", 2),
        ("state=scheduled", 0),
    ] {
        let answer = world.get(&format!("/api/v1/runs?{query}")).await;
        assert_eq!(answer.json()["items"].as_array().map(Vec::len), Some(count), "{query}");
    }
    for (query, refusal) in [
        ("stat=dead", "400 unknown-parameter"),
        ("state=ded", "400 invalid-parameter"),
        ("limit=201", "400 invalid-parameter"),
        ("cursor=7", "400 invalid-parameter"),
        ("job=A", "400 invalid-parameter"),
        ("since=yesterday", "400 invalid-parameter"),
    ] {
        assert_eq!(world.get(&format!("/api/v1/runs?{query}")).await.refusal(), refusal, "{query}");
    }
}

#[tokio::test]
async fn a_running_run_is_stopped_by_a_cancel() {
    let world = World::start().await;
    let id = world.enqueue("stuck", "1").await;
    world.until_run_is(&id, RunState::Running).await;
    let answer = world.post(&format!("/api/v1/runs/{id}/cancel"), r#"{ "reason": "no longer wanted" }"#).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["state"], "cancelled");
    assert_eq!(answer.json()["cancel_reason"], "no longer wanted");
    assert_snapshot!(world.post(&format!("/api/v1/runs/{id}/cancel"), "").await.whole());
}

#[tokio::test]
async fn an_action_without_a_body_needs_no_content_type() {
    let world = World::start().await;
    let id = world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await.id();
    let mut request = json(Method::POST, &format!("/api/v1/runs/{id}/cancel"), "");
    request.headers_mut().remove(header::CONTENT_TYPE);
    assert_eq!(world.send(request).await.json()["state"], "cancelled");
    let mut request = json(Method::POST, &format!("/api/v1/runs/{id}/cancel"), "");
    *request.body_mut() = Body::from("reason=x");
    request.headers_mut().insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded".parse().expect("a header"));
    assert_eq!(world.send(request).await.refusal(), "415 unsupported-media-type");
}

#[tokio::test]
async fn a_dead_run_is_put_back_and_a_completed_one_is_not() {
    let world = World::start().await;
    let dead = world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    let answer = world.post(&format!("/api/v1/runs/{dead}/retry"), "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.id(), dead);
    let completed = world.finish("flaky", "{}").await;
    assert_snapshot!(world.post(&format!("/api/v1/runs/{completed}/retry"), "{}").await.whole());
}

#[tokio::test]
async fn a_rerun_is_a_new_run_with_the_same_payload_or_another() {
    let world = World::start().await;
    let first = world.finish("flaky", r#"{ "fail":  "permanent" }"#).await;
    let same = world.post(&format!("/api/v1/runs/{first}/rerun"), "").await;
    assert_eq!(same.status, StatusCode::ACCEPTED);
    assert_eq!(same.headers["location"], format!("/api/v1/runs/{}", same.id()));
    assert_ne!(same.id(), first);
    assert_eq!(same.json()["rerun_of"], first);
    assert!(same.body.contains(r#"{ "fail":  "permanent" }"#));
    let other = world.post(&format!("/api/v1/runs/{first}/rerun"), r#"{ "payload": {} }"#).await;
    assert!(other.body.contains("\"payload\":{}"));
    let welcome = world.finish("welcome-email", ADA).await;
    let refused = world.post(&format!("/api/v1/runs/{welcome}/rerun"), r#"{ "payload": {} }"#).await;
    assert_eq!(refused.refusal(), "422 payload-invalid /userId /email");
}

#[tokio::test]
async fn cancelling_many_says_what_it_did_and_what_not() {
    let world = World::start().await;
    let completed = world.finish("flaky", "{}").await;
    let waiting = world.post("/api/v1/jobs/flaky/runs", r#"{ "payload": 1, "delay": "1h" }"#).await.id();
    let filter = format!(r#""filter": {{ "ids": ["{completed}", "{waiting}"] }}"#);
    let dry = world.post("/api/v1/runs/cancel", &format!("{{ {filter}, \"dry_run\": true }}")).await;
    assert_snapshot!("cancel_many", dry.whole());
    assert_eq!(world.get(&format!("/api/v1/runs/{waiting}")).await.json()["state"], "scheduled");
    let done = world.post("/api/v1/runs/cancel", &format!("{{ {filter}, \"reason\": \"sold out\" }}")).await;
    assert_eq!(done.body, dry.body);
    let run = world.get(&format!("/api/v1/runs/{waiting}")).await.json();
    assert_eq!((run["state"].as_str(), run["cancel_reason"].as_str()), (Some("cancelled"), Some("sold out")));
}

#[tokio::test]
async fn cancelling_many_needs_a_filter() {
    let world = World::start().await;
    assert_snapshot!(world.post("/api/v1/runs/cancel", r#"{ "filter": {} }"#).await.whole());
    assert_eq!(world.post("/api/v1/runs/cancel", "{}").await.refusal(), "400 missing-member /filter");
    let mistyped = r#"{ "filter": { "jobs": "flaky" } }"#;
    assert_eq!(world.post("/api/v1/runs/cancel", mistyped).await.refusal(), "400 unknown-member /filter/jobs");
    let no_id = r#"{ "filter": { "ids": ["7"] } }"#;
    assert_eq!(world.post("/api/v1/runs/cancel", no_id).await.refusal(), "400 invalid-member /filter/ids/0");
}

#[tokio::test]
async fn an_id_that_no_run_has_is_not_found() {
    let world = World::start().await;
    let nobody = "/api/v1/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for path in [nobody.to_owned(), format!("{nobody}/journal"), format!("{nobody}/logs"), format!("{nobody}/mail")] {
        assert_eq!(world.get(&path).await.refusal(), "404 unknown-run", "{path}");
    }
    for action in ["cancel", "retry", "rerun"] {
        assert_eq!(world.post(&format!("{nobody}/{action}"), "").await.refusal(), "404 unknown-run", "{action}");
    }
    assert_snapshot!(world.get("/api/v1/runs/7").await.whole());
}
