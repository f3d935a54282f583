//! What attempts used: in a run, over the attempts of each version of its job, on both pages and in the metrics.
//! How the numbers come about is tested where they are measured and added up.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use jobmill_core::bill::{Bill, HostCall};
use jobmill_core::{FailureKind, Outcome, RunState};
use jobmill_engine::{AttemptContext, Runner, Stop};
use serde_json::{Value, json};

use crate::page_forms::{section, shown};
use crate::world::World;

/// Attempts of each version, from which on they are compared.
const COMPARED: usize = 20;

/// Says that each attempt took so many microseconds.
pub(crate) struct Billed(pub(crate) u64);

#[async_trait]
impl Runner for Billed {
    async fn run(&self, mut context: AttemptContext, _: Duration, _: Stop) -> (Outcome, AttemptContext) {
        let call = |name: &str, at_micros, failed| HostCall {
            name: name.to_owned().into(),
            at_micros,
            took_micros: 2_500,
            failed,
        };
        context.put_bill(Bill {
            wall_micros: self.0,
            cpu_micros: 3_100,
            memory: 2_228_224,
            host_calls: 9,
            calls: vec![call("fetch-order", 500, false), call("GET <api>.example", 4_000, true)],
        });
        let payload = context.payload().to_value().expect("a payload");
        let outcome = match payload["fail"].as_str() {
            Some(_) => Outcome::failed(FailureKind::Trap, "unreachable"),
            None => Outcome::Completed { output: None },
        };
        (outcome, context)
    }
}

async fn versions(world: &World) -> Vec<Value> {
    let answer = world.get("/api/v1/jobs/billed/versions").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()["items"].as_array().expect("a list").clone()
}

/// As many attempts of a version as are compared, and as many of one that is slower.
async fn of_two_versions() -> World {
    let world = World::with(&["billed"]).await;
    let billed = "billed".parse().expect("a job id");
    let version = |world: &World| world.handle.catalog().serving(&billed).map(|loaded| loaded.version);
    let before = version(&world);
    for _ in 0..COMPARED {
        world.finish("billed", "{}").await;
    }
    world.clock.advance(Duration::from_mins(1));
    std::fs::write(world.hopper.path().join("billed.wasm"), "slow").expect("written");
    world.until(|world| version(world) != before).await;
    for _ in 1..COMPARED {
        world.finish("billed", "{}").await;
    }
    let trapped = world.enqueue("billed", r#"{ "fail": "now" }"#).await;
    world.until_run_is(&trapped, RunState::Retryable).await;
    world
}

#[tokio::test]
async fn an_attempt_tells_what_it_used() {
    let world = World::with(&["billed"]).await;
    let id = world.finish("billed", "{}").await;
    let usage = json!({
        "wall_ms": 12.4, "cpu_ms": 3.1, "memory_bytes": 2_228_224, "host_calls": 9,
        "calls": [
            { "name": "fetch-order", "at_ms": 0.5, "took_ms": 2.5, "failed": false },
            { "name": "GET <api>.example", "at_ms": 4.0, "took_ms": 2.5, "failed": true },
        ],
    });
    assert_eq!(world.get(&format!("/api/v1/runs/{id}")).await.json()["attempts"][0]["usage"], usage);
    let page = shown(&world, &format!("/runs/{id}")).await;
    assert!(page.contains("12.4 ms · 3.1 ms processor · 2.1 MiB · 9 host calls"), "{page}");
    assert!(page.contains("failed after 2.5 ms") && !page.contains("<api>"), "{page}");
    let metrics = world.get("/metrics").await.body;
    assert!(metrics.contains("jobmill_attempt_cpu_seconds_total{job=\"billed\"} 0.0031"), "{metrics}");
}

#[tokio::test]
async fn a_version_that_is_slower_than_the_one_before_says_so() {
    let world = of_two_versions().await;
    let versions = versions(&world).await;
    let before = versions[1]["version"].as_str().expect("a version");
    let spread = |number: Value| json!({ "p50": number, "p95": number, "max": number });
    let usage = json!({
        "attempts": COMPARED, "failed": 1, "trapped": 1, "timeouts": 0,
        "wall_ms": spread(json!(28.52)), "cpu_ms": spread(json!(3.1)),
        "memory_bytes": spread(json!(2_228_224)), "host_calls": spread(json!(9)),
        "worse": [{ "what": "wall", "times": 2.3, "than": before, "text": format!("2.3× slower than {before}") }],
    });
    assert_eq!(versions[0]["usage"], usage);
    assert_eq!((&versions[1]["usage"]["failed"], &versions[1]["usage"]["worse"]), (&json!(0), &json!([])));
    let page = shown(&world, "/jobs/billed").await;
    let section = section(&page, "usage");
    assert!(section.contains(&format!("2.3× slower than {before}")) && section.contains("1 trapped"), "{section}");
    assert!(section.contains("28.5 ms") && section.contains("12.4 ms"), "{section}");
}

#[tokio::test]
async fn of_a_job_that_has_not_run_nothing_is_known() {
    let world = World::with(&["billed"]).await;
    assert_eq!(versions(&world).await[0]["usage"], Value::Null);
    assert!(section(&shown(&world, "/jobs/billed").await, "usage").contains("Nothing is known yet"));
}
