//! The audit list: what operators do leaves an entry with who, what and how it ended, and what only looks leaves none.
//! How entries are kept is tested with the store.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use insta::assert_snapshot;
use jobmill_core::RunState;
use jobmill_core::token::Scope;
use jobmill_server::{Audit, Rule, route_table};
use serde_json::{Value, json};

use crate::page_forms::{followed, main_part, send};
use crate::world::{World, request};

const AUDIT: &str = "/api/v1/audit";

/// The list without ids and times, newest first.
async fn listed(world: &World) -> Vec<Value> {
    items(&world.get(&format!("{AUDIT}?limit=200")).await.json())
}

fn items(list: &Value) -> Vec<Value> {
    let items = list["items"].as_array().expect("items").clone();
    items
        .into_iter()
        .map(|mut item| {
            for name in ["id", "at"] {
                item.as_object_mut().expect("an object").remove(name).expect("is there");
            }
            item
        })
        .collect()
}

fn done(action: &str, target: &str, detail: &str) -> Value {
    let detail = Some(detail).filter(|detail| !detail.is_empty());
    let target = Some(target).filter(|target| !target.is_empty());
    json!({ "by": null, "action": action, "target": target, "detail": detail, "outcome": "done", "code": null })
}

fn refused(action: &str, target: &str, code: &str) -> Value {
    json!({ "by": null, "action": action, "target": target, "detail": null, "outcome": "refused", "code": code })
}

#[tokio::test]
async fn an_action_by_a_token_is_told_with_its_name() {
    let world = World::start().await;
    let run = world.enqueue("stuck", "1").await;
    let (id, secret) = world.token(r#"{ "scope": "operate", "name": "night shift" }"#).await;
    world.clock.advance(Duration::from_secs(5));
    let path = format!("/api/v1/runs/{run}/cancel");
    assert_eq!(world.post_with(&path, r#"{ "reason": "a mistake" }"#, &secret).await.status, StatusCode::OK);
    assert_snapshot!("list", world.get_with(AUDIT, &secret).await.whole());
    for by in ["night%20shift", &id] {
        let filtered = world.get_with(&format!("{AUDIT}?by={by}&action=runs%20cancel&target={run}"), &secret).await;
        assert_eq!(items(&filtered.json()).len(), 1, "{by}");
    }
    let other = world.get_with(&format!("{AUDIT}?by=without%20a%20token&limit=1"), &secret).await;
    assert_eq!(items(&other.json())[0]["action"], "token create");
    let wrong = world.get_with(&format!("{AUDIT}?action=runs%20cancle"), &secret).await;
    assert_eq!(wrong.refusal(), "400 invalid-parameter");
    assert!(wrong.body.contains("did you mean"), "{}", wrong.body);
}

#[tokio::test]
async fn a_refused_action_is_told_with_the_code_of_its_refusal() {
    let world = World::start().await;
    let run = "run_01J00000000000000000000000";
    world.post(&format!("/api/v1/runs/{run}/retry"), "").await;
    world.patch("/api/v1/queues/deep", r#"{ "paused": true }"#).await;
    let mut queue = refused("queues set", "deep", "unknown-queue");
    queue["detail"] = json!("paused");
    assert_eq!(listed(&world).await, [queue, refused("runs retry", run, "unknown-run")]);
}

#[tokio::test]
async fn what_only_asks_leaves_no_entry() {
    let world = World::start().await;
    let run = world.enqueue("stuck", "1").await;
    for (path, body) in [
        ("/api/v1/runs/cancel", r#"{ "filter": { "job": "stuck" }, "dry_run": true }"#),
        ("/api/v1/dead/requeue", r#"{ "filter": { "job": "flaky" }, "dry_run": true }"#),
        ("/api/v1/dead/discard", r#"{ "filter": { "job": "flaky" }, "dry_run": true }"#),
        ("/api/v1/forget", r#"{ "email": "ada@example.com", "dry_run": true }"#),
    ] {
        assert_eq!(world.post(path, body).await.status, StatusCode::OK, "{path}");
    }
    let asked = send(&world, "/runs", "/runs/cancel", &[("run", &run)]).await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
    let switched = send(&world, "/jobs/stuck", "/jobs/stuck/runs", &[("switch", "json"), ("payload", "1")]).await;
    assert_eq!(switched.status, StatusCode::OK, "{}", switched.body);
    assert_eq!(listed(&world).await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_is_done_to_many_runs_is_told_with_filter_reason_and_counts() {
    let world = World::start().await;
    let dead = world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    let waiting = world.enqueue("stuck", "1").await;
    world.post("/api/v1/dead/discard", &format!(r#"{{ "filter": {{ "ids": ["{dead}"] }}, "reason": "known" }}"#)).await;
    world.post("/api/v1/runs/cancel", r#"{ "filter": { "job": "stuck" }, "reason": "a mistake" }"#).await;
    world.post("/api/v1/forget", r#"{ "email": "ada@example.com" }"#).await;
    let forgotten = "runs 0, mails 0, events 0, deliveries 0, orders 0";
    assert_eq!(
        listed(&world).await,
        [
            done("store forget", "", forgotten),
            done("runs cancel", "", "job stuck; a mistake; 1 matched, 1 changed, 0 skipped"),
            done("dead discard", "", &format!("{dead}; known; 1 matched, 1 changed, 0 skipped")),
        ]
    );
    world.until_run_is(&waiting, RunState::Cancelled).await;
}

#[tokio::test]
async fn forms_are_told_as_the_api_is() {
    let world = World::start().await;
    let page = "/queues";
    assert_eq!(send(&world, page, "/queues/bulk/limit", &[("limit", "0")]).await.status, StatusCode::BAD_REQUEST);
    followed(&world, send(&world, page, "/queues/bulk/limit", &[("limit", "7")]).await).await;
    followed(&world, send(&world, "/suppressions", "/suppressions", &[("address", "ada@example.com")]).await).await;
    assert_eq!(
        listed(&world).await,
        [
            done("mail suppress", "ada@example.com", ""),
            done("queues set", "bulk", "limit 7"),
            refused("queues set", "bulk", "invalid-member"),
        ]
    );
    assert_eq!(world.post("/api/v1/forget", r#"{ "email": "ada@example.com" }"#).await.json()["audit"], 1);
    assert!(listed(&world).await.iter().all(|entry| entry["action"] != "mail suppress"));
}

#[tokio::test]
async fn whoever_may_only_look_leaves_no_entry_and_sees_no_list() {
    let world = World::start().await;
    let (_, operator) = world.token(r#"{ "scope": "operate", "name": "night shift" }"#).await;
    let made = world.post_with("/api/v1/tokens", r#"{ "scope": "read", "name": "wallboard" }"#, &operator).await.json();
    let secret = made["secret"].as_str().expect("a secret");
    let before = items(&world.get_with(AUDIT, &operator).await.json());
    assert_eq!(world.post_with("/api/v1/jobs/flaky/pause", "", secret).await.refusal(), "403 scope-missing");
    assert_eq!(world.get_with(AUDIT, secret).await.refusal(), "403 scope-missing");
    assert_eq!(world.get_with("/audit", secret).await.refusal(), "403 scope-missing");
    assert!(!world.get_with("/system", secret).await.body.contains("/audit"));
    assert_eq!(items(&world.get_with(AUDIT, &operator).await.json()), before);
}

/// Routes whose handlers say that what they do begins: the tests above show that each does.
const BY_THE_HANDLER: [&str; 6] = [
    "/api/v1/dead/discard",
    "/api/v1/dead/requeue",
    "/api/v1/forget",
    "/api/v1/runs/cancel",
    "/jobs/{id}/runs",
    "/runs/cancel",
];

#[tokio::test]
async fn every_route_by_which_an_operator_acts_is_on_record() {
    let world = World::start().await;
    let mut by_the_handler = Vec::new();
    for route in route_table() {
        let Some(action) = route.action.filter(|_| route.method != Method::GET) else { continue };
        if route.rule != Rule::Scope(Scope::Operate) {
            assert_eq!((route.audit, route.rule), (Audit::Never, Rule::Scope(Scope::Enqueue)), "{}", route.path);
            continue;
        }
        if route.audit == Audit::ByTheHandler {
            by_the_handler.push(route.path);
            continue;
        }
        let before = listed(&world).await.len();
        let path: Vec<&str> =
            route.path.split('/').map(|it| if it.starts_with('{') { "nothing" } else { it }).collect();
        let answer =
            world.send(request(route.method.clone(), &path.join("/")).body(Body::empty()).expect("a request")).await;
        let after = listed(&world).await;
        assert_eq!(after.len(), before + 1, "{} {}: {}", route.method, route.path, answer.body);
        assert_eq!(after[0]["action"], action.as_str(), "{} {}", route.method, route.path);
        let outcome = if answer.status.is_success() { "done" } else { "refused" };
        assert_eq!(after[0]["outcome"], outcome, "{} {}: {}", route.method, route.path, answer.body);
    }
    by_the_handler.sort_unstable();
    assert_eq!(by_the_handler, BY_THE_HANDLER);
}

#[tokio::test]
async fn the_page_shows_the_list_and_a_run_leads_to_what_was_done_to_it() {
    let world = World::start().await;
    let run = world.enqueue("stuck", "1").await;
    let link = format!("href=\"/audit?target={run}\"");
    let empty = main_part(&world.get("/audit").await.body);
    assert!(empty.contains("Nothing yet."), "{empty}");
    assert!(!world.get(&format!("/runs/{run}")).await.body.contains(&link));
    world.post(&format!("/api/v1/runs/{run}/cancel"), r#"{ "reason": "<b>a mistake</b>" }"#).await;
    world.post("/api/v1/jobs/nothing/pause", "").await;
    assert!(world.get(&format!("/runs/{run}")).await.body.contains(&link));
    assert_snapshot!("page", main_part(&world.get("/audit").await.body));
    let of_run = main_part(&world.get(&format!("/audit?target={run}")).await.body);
    assert!(of_run.contains("&#60;b&#62;a mistake") && !of_run.contains("unknown-job"), "{of_run}");
    assert!(world.get("/system").await.body.contains("href=\"/audit\""));
}

#[tokio::test]
async fn an_action_that_the_store_fails_is_answered_as_it_would_be_without_the_list() {
    let world = World::start().await;
    let run = world.enqueue("stuck", "1").await;
    world.log.fail_syncs(true);
    assert_eq!(world.post(&format!("/api/v1/runs/{run}/cancel"), "").await.refusal(), "503 store-unavailable");
}
