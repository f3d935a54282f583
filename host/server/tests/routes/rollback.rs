//! Rolling a job back and unpinning it: by the API, on pages, and what is refused.
//! What then serves is tested with the engine.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::page_forms::{followed, section, send, shown};
use crate::world::{WATCHDOG, World};

async fn job(world: &World) -> Value {
    world.get("/api/v1/jobs/flaky").await.json()
}

async fn versions(world: &World) -> Vec<Value> {
    world.get("/api/v1/jobs/flaky/versions").await.json()["items"].as_array().expect("a list").clone()
}

/// `flaky`, which was replaced once; its versions, the older first.
async fn replaced() -> (World, [String; 2]) {
    let world = World::with(&["flaky"]).await;
    let first = versions(&world).await[0]["version"].as_str().expect("a version").to_owned();
    world.clock.advance(Duration::from_mins(1));
    std::fs::write(world.hopper.path().join("flaky.wasm"), "patient").expect("written");
    let is_replaced = async {
        loop {
            let newest = versions(&world).await.swap_remove(0);
            if newest["version"] != json!(first) && newest["serves"] == true && newest["kept"] == true {
                return newest["version"].as_str().expect("a version").to_owned();
            }
            tokio::task::yield_now().await;
        }
    };
    let second = tokio::time::timeout(WATCHDOG, is_replaced).await.expect("it was never replaced");
    (world, [first, second])
}

#[tokio::test]
async fn a_job_is_rolled_back_and_unpinned() {
    let (world, [first, second]) = replaced().await;
    assert_eq!((job(&world).await["pinned"].clone(), job(&world).await["waits"].clone()), (Value::Null, Value::Null));
    let body = r#"{ "reason": "mails are empty", "by": "anna@shop" }"#;
    let rolled_back = world.post("/api/v1/jobs/flaky/rollback", body).await;
    assert_eq!(rolled_back.status, StatusCode::OK, "{}", rolled_back.body);
    let shown = rolled_back.json();
    let pin = json!({ "version": first, "at": shown["pinned"]["at"], "by": "anna@shop", "reason": "mails are empty" });
    assert_eq!((&shown["version"], &shown["pinned"], &shown["waits"]), (&json!(first), &pin, &json!(second)));
    let serves: Vec<(Value, Value)> =
        versions(&world).await.iter().map(|it| (it["version"].clone(), it["serves"].clone())).collect();
    assert!(serves.contains(&(json!(first), json!(true))) && serves.contains(&(json!(second), json!(false))));
    let unpinned = world.post("/api/v1/jobs/flaky/unpin", "").await;
    assert_eq!(unpinned.status, StatusCode::OK, "{}", unpinned.body);
    let shown = unpinned.json();
    assert_eq!((&shown["version"], &shown["pinned"], &shown["waits"]), (&json!(second), &Value::Null, &Value::Null));
    let entries = world.get("/api/v1/audit").await.json();
    let told: Vec<(&str, &str)> = entries["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| (it["action"].as_str().expect("text"), it["detail"].as_str().expect("text")))
        .collect();
    let to = format!("asked for by anna@shop; to {first}: mails are empty");
    assert_eq!(told, [("jobs unpin", format!("from {first}").as_str()), ("jobs rollback", &to)]);
}

#[tokio::test]
async fn what_can_not_be_rolled_back_to_is_refused() {
    let (world, [first, second]) = replaced().await;
    let refusal = async |body: Value| world.post("/api/v1/jobs/flaky/rollback", &body.to_string()).await.refusal();
    assert_eq!(refusal(json!({ "version": second })).await, "409 wrong-state");
    assert_eq!(refusal(json!({ "version": "0123456789ab" })).await, "404 unknown-version");
    assert_eq!(refusal(json!({ "version": "" })).await, "404 unknown-version");
    assert_eq!(refusal(json!({ "reason": "x".repeat(1025) })).await, "400 invalid-member /reason");
    assert_eq!(refusal(json!({ "to": first })).await, "400 unknown-member /to");
    assert_eq!(world.post("/api/v1/jobs/nobody/rollback", "").await.refusal(), "404 unknown-job");
    assert_eq!(world.post("/api/v1/jobs/nobody/unpin", "").await.refusal(), "404 unknown-job");
    assert_eq!(world.post("/api/v1/jobs/flaky/unpin", "").await.refusal(), "409 wrong-state");
    let components = jobmill_store::LogOpener::components(&world.log);
    components.remove_all_but(&std::collections::BTreeSet::new()).expect("removes");
    assert_eq!(refusal(json!({ "version": first })).await, "409 version-not-kept");
    assert_eq!(refusal(json!({})).await, "409 version-not-kept");
    let alone = versions(&world).await;
    assert!(alone.iter().all(|version| version["kept"] == false), "{alone:?}");
    std::fs::remove_file(world.hopper.path().join("flaky.wasm")).expect("removed");
    let flaky = "flaky".parse().expect("a job id");
    world.until(|world| world.handle.catalog().serving(&flaky).is_none()).await;
    assert_eq!(refusal(json!({})).await, "409 job-not-loaded");
}

#[tokio::test]
async fn a_page_asks_before_it_rolls_back_and_another_unpins() {
    let (world, [first, second]) = replaced().await;
    let ask = format!("/jobs/flaky/rollback?version={first}");
    let listed = section(&shown(&world, "/jobs/flaky").await, "versions");
    assert!(listed.contains(&format!("<a href=\"{ask}\">Roll back…</a>")), "{listed}");
    assert!(!listed.contains(&format!("rollback?version={second}")), "what serves is not rolled back to: {listed}");
    let question = shown(&world, &ask).await;
    assert!(question.contains(&first) && question.contains(&second), "{question}");
    assert_eq!(job(&world).await["pinned"], Value::Null, "to ask changes nothing");
    let fields = [("version", first.as_str()), ("reason", "it <b>traps</b>")];
    let (place, main) = followed(&world, send(&world, &ask, "/jobs/flaky/rollback", &fields).await).await;
    assert_eq!(place, "/jobs/flaky#versions");
    let banner = section(&main, "pinned");
    assert!(banner.contains(&format!("Pinned to <code>{first}</code>")), "{banner}");
    assert!(main.contains("by the dashboard, because it &#60;b&#62;traps&#60;/b&#62;."), "{main}");
    assert!(main.contains(&format!("The newer <code>{second}</code> in the hopper waits")), "{main}");
    let again = send(&world, &ask, "/jobs/flaky/rollback", &fields).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.body.contains("serves already"), "{}", again.body);
    let (place, main) = followed(&world, send(&world, "/jobs/flaky", "/jobs/flaky/unpin", &[]).await).await;
    assert_eq!(place, "/jobs/flaky");
    assert!(!main.contains("Pinned to"), "{main}");
    assert_eq!(job(&world).await["version"], json!(second));
    assert_eq!(world.get("/jobs/flaky/rollback").await.refusal(), "400 invalid-parameter");
}
