//! Flow control as callers see it: what is refused at the door, what is the same run, and what a run waits for.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use insta::assert_snapshot;
use jobmill_core::flow::{CancelOn, Concurrency, Debounce, Pointer, RateLimit};
use jobmill_core::job::Switch;
use jobmill_core::{JobOverrides, RunState};
use serde_json::{Value, json};

use crate::world::{WAITING, World};

const LATER: &str = r#"{ "payload": { "id": 1 }, "delay": "1h" }"#;

fn pointer(text: &str) -> Pointer {
    Pointer::try_from(text.to_owned()).expect("a pointer")
}

async fn waits_for(world: &World, run: &str) -> Value {
    world.get(&format!("/api/v1/runs/{run}")).await.json()["waiting_for"].clone()
}

async fn runs(world: &World) -> usize {
    world.get("/api/v1/runs").await.json()["items"].as_array().expect("items").len()
}

#[tokio::test]
async fn a_job_with_as_many_waiting_runs_as_may_takes_no_more() {
    let limited = JobOverrides { max_waiting: Some(2), ..JobOverrides::default() };
    let world = World::overriding("flaky", limited).await;
    let dead = world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    for _ in 0..2 {
        assert_eq!(world.post("/api/v1/jobs/flaky/runs", LATER).await.status, StatusCode::ACCEPTED);
    }
    assert_snapshot!("too_many", world.post("/api/v1/jobs/flaky/runs", LATER).await.whole());
    assert_eq!(world.post(&format!("/api/v1/runs/{dead}/rerun"), "").await.refusal(), "429 too-many-waiting");
    assert_eq!(runs(&world).await, 3);
    world.post("/api/v1/runs/cancel", r#"{ "filter": { "job": "flaky" } }"#).await;
    assert_eq!(world.post("/api/v1/jobs/flaky/runs", LATER).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn events_that_would_start_more_runs_than_may_wait_start_none() {
    let world = World::start().await;
    let event = r#"{ "name": "email/welcome", "ts": "2026-03-02T09:00:00Z", "data": { "userId": "u", "email": "a@example.com" } }"#;
    let events = |count: u32| format!("[{}]", vec![event; count as usize].join(","));
    let refused = world.post("/api/v1/events", &events(WAITING + 1)).await;
    assert_eq!(refused.refusal(), "429 too-many-waiting");
    assert_eq!((&refused.headers["retry-after"], runs(&world).await), (&HeaderValue::from_static("10"), 0));
    assert_eq!(world.post("/api/v1/events", &events(WAITING)).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.post("/api/v1/jobs/stuck/runs", LATER).await.refusal(), "429 too-many-waiting");
}

#[tokio::test]
async fn a_run_at_its_concurrency_limit_names_the_run_that_holds_it() {
    let one_each = vec![Concurrency { limit: 1, key: Some(pointer("/customer")) }];
    let world =
        World::overriding("stuck", JobOverrides { concurrency: Some(one_each), ..JobOverrides::default() }).await;
    let first = world.enqueue("stuck", r#"{ "customer": "ada" }"#).await;
    world.until_run_is(&first, RunState::Running).await;
    let second = world.enqueue("stuck", r#"{ "customer": "ada" }"#).await;
    let third = world.enqueue("stuck", r#"{ "customer": "ada" }"#).await;
    let detail = format!("1 of 1 run of stuck with \"ada\" at /customer: {first}");
    let expected = |position| json!({ "kind": "concurrency", "detail": detail, "until": null, "position": position });
    assert_eq!(waits_for(&world, &second).await, expected(0));
    assert_eq!(waits_for(&world, &third).await, expected(1));
    let other = world.enqueue("stuck", r#"{ "customer": "bo" }"#).await;
    world.until_run_is(&other, RunState::Running).await;
}

#[tokio::test]
async fn a_run_at_its_rate_limit_says_when_the_next_may_begin() {
    let rate = RateLimit { limit: 1, period: Duration::from_mins(1), key: None };
    let rate = JobOverrides { rate_limit: Some(Switch::On(rate)), ..JobOverrides::default() };
    let world = World::overriding("flaky", rate).await;
    world.finish("flaky", "{}").await;
    let second = world.enqueue("flaky", "{}").await;
    let detail = "at most 1 attempt of flaky begins in 1m: the next at 2026-03-01T09:01:00.007Z";
    let until = "2026-03-01T09:01:00.007Z";
    let expected = json!({ "kind": "rate-limit", "detail": detail, "until": until, "position": 0 });
    assert_eq!(waits_for(&world, &second).await, expected);
    world.clock.advance(Duration::from_mins(1));
    world.until_run_is(&second, RunState::Completed).await;
}

#[tokio::test]
async fn the_same_value_at_the_pointer_of_a_unique_key_is_the_first_run() {
    let unique = JobOverrides { unique_key: Some(Switch::On(pointer("/id"))), ..JobOverrides::default() };
    let world = World::overriding("flaky", unique).await;
    let first = world.enqueue("flaky", r#"{ "id": 1, "try": 1 }"#).await;
    let again = world.post("/api/v1/jobs/flaky/runs", r#"{ "payload": { "id": 1, "try": 2 } }"#).await;
    assert_eq!((again.status, again.id()), (StatusCode::OK, first));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    world.enqueue("flaky", r#"{ "id": 2 }"#).await;
}

#[tokio::test]
async fn a_debounced_enqueue_answers_with_the_one_waiting_run_and_its_new_payload() {
    let quiet = Debounce { period: Duration::from_secs(10), max_wait: None, key: None };
    let quiet = JobOverrides { debounce: Some(Switch::On(quiet)), ..JobOverrides::default() };
    let world = World::overriding("flaky", quiet).await;
    let first = world.enqueue("flaky", r#"{ "try": 1 }"#).await;
    world.clock.advance(Duration::from_secs(5));
    let second = world.post("/api/v1/jobs/flaky/runs", r#"{ "payload": { "try": 2 } }"#).await;
    assert_eq!((second.status, second.id()), (StatusCode::ACCEPTED, first.clone()));
    assert!(!second.headers.contains_key("idempotency-replayed"));
    for run in [second.json(), world.get(&format!("/api/v1/runs/{first}")).await.json()] {
        assert_eq!(run["payload"], json!({ "try": 2 }));
        assert_eq!(run["scheduled_at"], "2026-03-01T09:00:15.007Z");
    }
    world.clock.advance(Duration::from_secs(10));
    world.until_run_is(&first, RunState::Completed).await;
    assert_eq!(runs(&world).await, 1);
}

#[tokio::test]
async fn an_event_takes_the_waiting_runs_back_that_it_matches() {
    let cancel_on = vec![CancelOn { event: "order/gone".to_owned(), pointer: pointer("/id") }];
    let world =
        World::overriding("stuck", JobOverrides { cancel_on: Some(cancel_on), ..JobOverrides::default() }).await;
    let matching = world.post("/api/v1/jobs/stuck/runs", LATER).await.id();
    let other = world.post("/api/v1/jobs/stuck/runs", &LATER.replace('1', "2")).await.id();
    world.post("/api/v1/events", r#"{ "name": "order/gone", "data": { "id": 1 } }"#).await;
    world.until_run_is(&matching, RunState::Cancelled).await;
    assert_eq!(world.get(&format!("/api/v1/runs/{other}")).await.json()["state"], "scheduled");
    let reason = world.get(&format!("/api/v1/runs/{matching}")).await.json()["cancel_reason"].clone();
    assert!(reason.as_str().is_some_and(|reason| reason.contains("order/gone")), "{reason}");
}

#[tokio::test]
async fn a_run_that_was_not_begun_in_its_time_is_cancelled_and_says_so() {
    let expiring = JobOverrides { expires: Some(Duration::from_mins(10)), ..JobOverrides::default() };
    let world = World::overriding("stuck", expiring).await;
    world.post("/api/v1/jobs/stuck/pause", "").await;
    let id = world.enqueue("stuck", "1").await;
    world.clock.advance(Duration::from_mins(11));
    // The next claim notices.
    world.post("/api/v1/jobs/stuck/resume", "").await;
    world.until_run_is(&id, RunState::Cancelled).await;
    let reason = world.get(&format!("/api/v1/runs/{id}")).await.json()["cancel_reason"].clone();
    assert!(reason.as_str().is_some_and(|reason| reason.contains("09:10:00")), "{reason}");
}

#[tokio::test]
async fn a_filter_cancels_runs_that_wait_and_runs_that_go_on() {
    let world = World::start().await;
    let running = world.enqueue("stuck", "1").await;
    world.until_run_is(&running, RunState::Running).await;
    world.post("/api/v1/jobs/stuck/pause", "").await;
    let waiting = world.enqueue("stuck", "1").await;
    let scheduled = world.post("/api/v1/jobs/stuck/runs", LATER).await.id();
    let filter = r#"{ "filter": { "job": "stuck" }, "reason": "sold out" }"#;
    let answer = world.post("/api/v1/runs/cancel", filter).await;
    assert_eq!(answer.json(), json!({ "matched": 3, "changed": 3, "skipped": [] }));
    for run in [running, waiting, scheduled] {
        world.until_run_is(&run, RunState::Cancelled).await;
        assert_eq!(world.get(&format!("/api/v1/runs/{run}")).await.json()["cancel_reason"], "sold out");
    }
}
