//! Trials as programs ask for them and as people do: what would be done is told, and none of it is.

use async_trait::async_trait;
use axum::http::{StatusCode, header};
use jobmill_core::journal::{EffectKey, LogLevel, LogLine};
use jobmill_core::order::{Money, Order, OrderPatch, OrderStatus};
use jobmill_core::{Json, Outcome, RunId, RunState};
use jobmill_engine::{AttemptContext, Runner, Stop};
use serde_json::json;

use crate::browsing::{main_part, shown, shown_to_reader, submit, submit_forged};
use crate::scripts::mail;
use crate::world::World;

/// What `flaky` is once it is mended: it sends a mail and fulfils an order.
pub(crate) struct Mended;

#[async_trait]
impl Runner for Mended {
    async fn run(&self, mut context: AttemptContext, _: std::time::Duration, _: Stop) -> (Outcome, AttemptContext) {
        assert!(context.is_trial(), "nothing here is run for real");
        let (key, mail) = mail(&context, "ada@example.com");
        context.rehearse_mail(key, mail.into(), None).expect("there is room");
        let patch = OrderPatch { status: Some(OrderStatus::Fulfilled), ..OrderPatch::default() };
        let paid = order(&context);
        let fulfilled = paid.patched(&patch, context.now()).expect("allowed");
        context.rehearse_order(EffectKey::order("o1", &patch, 0), patch, &paid, &fulfilled).expect("there is room");
        let at = context.now();
        context.log(LogLine { at, level: LogLevel::Info, message: "<b>sent</b>".to_owned(), fields: Vec::new() });
        (Outcome::Completed { output: Some(Json::empty_object()) }, context)
    }
}

fn order(context: &AttemptContext) -> Order {
    Order {
        id: "o1".to_owned(),
        status: OrderStatus::Paid,
        customer_email: "ada@example.com".to_owned(),
        customer_name: None,
        items: Vec::new(),
        total: Money { minor: 1250, currency: "EUR".to_owned() },
        created_at: context.now(),
        fulfilled_at: None,
        refunded_at: None,
        metadata: Json::empty_object(),
        revision: 0,
    }
}

/// A dead run of `flaky`, which is mended since.
async fn dead_and_mended(world: &World) -> String {
    let id = world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    let flaky = "flaky".parse().expect("a job id");
    let version = |world: &World| world.handle.catalog().serving(&flaky).map(|loaded| loaded.version);
    let before = version(world);
    std::fs::write(world.hopper.path().join("flaky.wasm"), "mended").expect("written");
    world.until(|world| version(world) != before).await;
    id
}

#[tokio::test]
async fn a_trial_tells_what_a_dead_run_would_do_and_leaves_it_dead() {
    let world = World::start().await;
    let id = dead_and_mended(&world).await;
    let before = world.get(&format!("/api/v1/runs/{id}/journal")).await.json();
    let answer = world.post(&format!("/api/v1/runs/{id}/trial"), "{}").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let trial = answer.json();
    let version = trial["version"].as_str().expect("a version");
    let summary =
        format!("On version {version} it would complete: 1 mail, 1 order changed. Nothing was sent or changed.");
    assert_eq!((trial["summary"].as_str(), &trial["state"]), (Some(summary.as_str()), &json!("completed")));
    assert_ne!(trial["earlier_version"], trial["version"]);
    assert_eq!(trial["effects"][0]["mail"]["to"]["address"], "ada@example.com");
    assert_eq!(trial["effects"][0]["mail"]["attachments"][0]["size"], 1_234);
    let change = json!({ "kind": "order", "order": "o1", "before": "paid", "after": "fulfilled",
        "patch": { "status": "fulfilled", "metadata": null, "expected_revision": null } });
    assert_eq!(trial["effects"][1], change);
    assert_eq!((&trial["done_before"], &trial["output"]), (&json!([]), &json!({})));
    assert_eq!(trial["log"][0]["message"], "<b>sent</b>");

    assert_eq!(world.get(&format!("/api/v1/runs/{id}/journal")).await.json(), before);
    assert_eq!(world.get(&format!("/api/v1/runs/{id}")).await.json()["state"], "dead");
    assert_eq!(world.get("/api/v1/mail").await.json()["items"], json!([]));
}

#[tokio::test]
async fn what_would_fail_again_says_so() {
    let world = World::start().await;
    let id = world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    let trial = world.post(&format!("/api/v1/runs/{id}/trial"), "").await.json();
    assert_eq!((&trial["state"], &trial["error"]["kind"]), (&json!("dead"), &json!("permanent")));
    let summary = trial["summary"].as_str().expect("a sentence");
    let told = "it would end dead (permanent: there is no order <42>): no mail, no order changed.";
    assert!(summary.contains(told), "{summary}");
}

#[tokio::test]
async fn what_can_not_be_tried_is_refused_by_its_reason() {
    let world = World::start().await;
    let nowhere = "/api/v1/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV/trial";
    assert_eq!(world.post(nowhere, "{}").await.refusal(), "404 unknown-run");
    let id = world.enqueue("stuck", "1").await;
    world.until_run_is(&id, RunState::Running).await;
    let path = format!("/api/v1/runs/{id}/trial");
    let run: RunId = id.parse().expect("a run id");
    let trials =
        [world.handle.clone(), world.handle.clone()].map(|handle| tokio::spawn(async move { handle.trial(run).await }));
    // Each takes its place when it is first polled.
    tokio::task::yield_now().await;
    let busy = world.post(&path, "{}").await;
    assert_eq!(
        (busy.refusal().as_str(), &busy.headers[header::RETRY_AFTER]),
        ("429 too-many-trials", &"5".parse().expect("a number"))
    );
    for trial in trials {
        trial.abort();
    }
    std::fs::remove_file(world.hopper.path().join("stuck.wasm")).expect("removed");
    let stuck = "stuck".parse().expect("a job id");
    world.until(|world| world.handle.catalog().serving(&stuck).is_none()).await;
    assert_eq!(world.post(&path, "{}").await.refusal(), "409 job-not-loaded");
    let page = submit(&world, &format!("/runs/{id}"), &format!("/runs/{id}/trial"), &[]).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.body.contains("Not done: no component of stuck is loaded"), "{}", page.body);
}

#[tokio::test]
async fn people_try_the_example_of_a_group_and_are_led_to_putting_the_group_back() {
    let world = World::start().await;
    let id = dead_and_mended(&world).await;
    let path = format!("/runs/{id}/trial");
    let button = format!("method=\"post\" action=\"{path}\"");
    let fingerprint = world.get("/api/v1/dead").await.json()["items"][0]["fingerprint"].clone();
    let fingerprint = fingerprint.as_str().expect("a fingerprint");
    for place in ["/dead".to_owned(), format!("/dead/{fingerprint}?job=flaky"), format!("/runs/{id}")] {
        let page = world.get(&place).await.body;
        assert!(page.contains(&button), "{place}: {page}");
    }
    let answer = submit(&world, "/dead", &path, &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(!answer.body.contains("data-live"), "it is never loaded again by itself");
    let page = main_part(&answer.body);
    for part in [
        "it would complete: 1 mail, 1 order changed. Nothing was sent or changed.</strong>",
        "Welcome &#38; &#60;b&#62;hello&#60;/b&#62;",
        "<pre>Hello Ada</pre>",
        "&#60;p&#62;Hello Ada&#60;/p&#62;",
        "paid → fulfilled",
        "&#60;b&#62;sent&#60;/b&#62;",
        "action=\"/runs/run_1/retry\"",
        &format!("href=\"/dead/requeue?job=flaky&#38;fingerprint={fingerprint}\""),
    ] {
        assert!(page.contains(part), "{part:?} is missing in {page}");
    }
    assert!(
        shown(&world, &format!("/dead/requeue?job=flaky&fingerprint={fingerprint}")).await.contains("Requeue 1 run")
    );
    assert_eq!(submit_forged(&world, &path, &[]).await, "403 forbidden-origin");
    let secret = crate::browsing::reader(&world).await;
    for place in ["/dead".to_owned(), format!("/runs/{id}")] {
        shown_to_reader(&world, &place, &secret).await;
    }
    assert_eq!(world.post_with(&format!("/api/v1{path}"), "{}", &secret).await.refusal(), "403 scope-missing");
}
