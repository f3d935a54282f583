//! Jobs as they are listed: loaded, broken, retired.

use std::collections::BTreeMap;
use std::time::Duration;

use insta::{assert_json_snapshot, assert_snapshot};
use jobmill_core::JobOverrides;
use jobmill_core::RunState;
use jobmill_core::flow::{BreakerSettings, CancelOn, CatchUp, Debounce, Pointer, RateLimit, UniqueStates};
use jobmill_core::job::{Limit, LimitOverrides, Switch};
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn jobs_are_listed_with_their_settings_and_broken_files_after_them() {
    let world = World::start().await;
    assert_snapshot!(world.get("/api/v1/jobs").await.whole());
}

#[tokio::test]
async fn every_setting_is_shown_with_who_said_it() {
    let key = || Pointer::try_from("/orderId".to_owned()).expect("a pointer");
    let minute = Duration::from_mins(1);
    let overrides = JobOverrides {
        priority: Some(1),
        concurrency: Some(vec![]),
        rate_limit: Some(Switch::On(RateLimit { limit: 100, period: minute, key: Some(key()) })),
        debounce: Some(Switch::On(Debounce { period: minute, max_wait: Some(2 * minute), key: None })),
        unique_key: Some(Switch::On(key())),
        unique_for: Some(60 * minute),
        unique_states: Some(UniqueStates::Unfinished),
        cron: Some(vec!["0 9 * * 1".to_owned()]),
        cron_catch_up: Some(CatchUp::Skip),
        expires: Some(minute),
        cancel_on: Some(vec![CancelOn { event: "order/cancelled".to_owned(), pointer: key() }]),
        max_waiting: Some(500),
        breaker: Some(BreakerSettings { failures: 0.5, window: minute, min_attempts: 20, pause: minute }),
        ..JobOverrides::default()
    };
    let world = World::overriding("flaky", overrides).await;
    let job = world.get("/api/v1/jobs/flaky").await.json();
    assert_eq!(job["triggers"], serde_json::json!([{ "cron": "0 9 * * 1" }]));
    assert_json_snapshot!(job["settings"]);
}

#[tokio::test]
async fn limits_and_what_may_be_reached_are_shown_with_who_said_so() {
    let allow = json!({ "mail": { "to": ["@example.com"] }, "http": ["api.example.com"] });
    let overrides = JobOverrides {
        limits: LimitOverrides::from_iter([(Limit::Memory, 16 << 20)]),
        allow: serde_json::from_value(allow.clone()).expect("valid"),
        config: Some(BTreeMap::from([("url".to_owned(), "https://api.example.com".to_owned())])),
        ..JobOverrides::default()
    };
    let world = World::overriding("flaky", overrides).await;
    let job = world.get("/api/v1/jobs/flaky").await.json();
    assert_eq!(job["limits"]["memory"], json!({ "value": 16 << 20, "source": "configuration" }));
    assert_eq!(job["limits"]["host_calls"], json!({ "value": 10_000, "source": "default" }));
    assert_eq!(job["limits"].as_object().map(serde_json::Map::len), Some(Limit::ALL.len()));
    let shown = json!({ "orders": null, "mail": allow["mail"], "http": allow["http"] });
    assert_eq!(job["settings"]["allow"], json!({ "value": shown, "source": "configuration" }));
    assert_eq!(job["settings"]["config"]["value"], json!({ "url": "https://api.example.com" }));
    let mail = json!({
        "interface": "jobmill:job/email@0.1.0", "what": "sends mail", "allowed": "narrowed",
        "detail": "mail.to = [\"@example.com\"]",
    });
    assert_eq!(job["capabilities"][0], mail);
    assert_eq!(job["capabilities"][1]["allowed"], "none-needed");
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

#[tokio::test]
async fn a_paused_job_says_who_paused_it_and_when_until_it_goes_on() {
    let world = World::start().await;
    let paused = world.post("/api/v1/jobs/stuck/pause", r#"{ "by": "anna@shop" }"#).await.json();
    let said = |job: &Value| [job["paused"].clone(), job["paused_by"].clone(), job["paused_at"].clone()];
    assert_eq!(said(&paused), [json!(true), json!("anna@shop"), json!("2026-03-01T09:00:00.007Z")]);
    world.clock.advance(Duration::from_mins(1));
    let again = world.post("/api/v1/jobs/stuck/pause", "").await.json();
    assert_eq!(said(&again), said(&paused), "whoever paused it first is whom to ask");
    assert_eq!(world.get("/api/v1/jobs/stuck").await.json(), again);

    let id = world.enqueue("stuck", "1").await;
    assert_json_snapshot!(world.get(&format!("/api/v1/runs/{id}")).await.json()["waiting_for"]);
    let resumed = world.post("/api/v1/jobs/stuck/resume", "{}").await.json();
    assert_eq!(said(&resumed), [json!(false), Value::Null, Value::Null]);
    world.until_run_is(&id, RunState::Running).await;
    let by_nobody = world.post("/api/v1/jobs/stuck/pause", "").await.json();
    assert_eq!(by_nobody["paused_by"], "the API");
}

#[tokio::test]
async fn pausing_a_job_is_refused_by_name() {
    let world = World::start().await;
    for verb in ["pause", "resume"] {
        let refused =
            async |job: &str, body: &str| world.post(&format!("/api/v1/jobs/{job}/{verb}"), body).await.refusal();
        assert_eq!(refused("stuk", "").await, "404 unknown-job");
        assert_eq!(refused("stuck", r#"{ "bye": "anna" }"#).await, "400 unknown-member /bye");
        assert_eq!(refused("stuck", r#"{ "by": 7 }"#).await, "400 wrong-type /by");
        for nobody in [r#"" ""#, r#""a\u0007""#] {
            assert_eq!(refused("stuck", &format!("{{ \"by\": {nobody} }}")).await, "400 invalid-member /by");
        }
    }
    let (starting, _engine) = World::prepare(&["stuck"]);
    assert_eq!(starting.post("/api/v1/jobs/stuck/pause", "").await.refusal(), "503 not-ready");
}

#[tokio::test]
async fn a_job_whose_attempts_fail_shows_its_breaker_until_it_is_resumed() {
    let minute = Duration::from_mins(1);
    let breaker = BreakerSettings { failures: 0.5, window: minute, min_attempts: 1, pause: minute };
    let world = World::overriding("flaky", JobOverrides { breaker: Some(breaker), ..JobOverrides::default() }).await;
    let shown = async || world.get("/api/v1/jobs/flaky").await.json()["breaker"].clone();
    assert_eq!(shown().await, json!({ "state": "closed", "until": null }));
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    assert_eq!(shown().await, json!({ "state": "open", "until": "2026-03-01T09:01:00.007Z" }));
    let id = world.enqueue("flaky", "{}").await;
    assert_json_snapshot!("breaker", world.get(&format!("/api/v1/runs/{id}")).await.json()["waiting_for"]);
    let resumed = world.post("/api/v1/jobs/flaky/resume", "").await.json();
    assert_eq!(resumed["breaker"]["state"], "closed");
    world.until_run_is(&id, RunState::Completed).await;
}
