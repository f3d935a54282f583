//! The e-mail log and its raw messages; failures on demand.

use axum::http::{Method, StatusCode};
use insta::assert_snapshot;
use jobmill_server::FaultKind;

use crate::world::{World, json, settings_with};

async fn with_a_mail() -> (World, String) {
    let world = World::start().await;
    world.finish("welcome-email", r#"{ "userId": "user_1", "email": "ada@example.com" }"#).await;
    let mails = world.get("/api/v1/mail").await.json();
    let id = mails["items"][0]["id"].as_str().expect("a mail").to_owned();
    (world, id)
}

#[tokio::test]
async fn a_mail_is_listed_and_read_with_its_content() {
    let (world, id) = with_a_mail().await;
    assert_snapshot!("list", world.get("/api/v1/mail").await.whole());
    assert_snapshot!("detail", world.get(&format!("/api/v1/mail/{id}")).await.whole());
}

#[tokio::test]
async fn a_mail_is_read_as_it_goes_over_the_wire() {
    let (world, id) = with_a_mail().await;
    assert_snapshot!(world.get(&format!("/api/v1/mail/{id}/raw")).await.whole());
}

#[tokio::test]
async fn an_attachment_is_a_file_to_keep_and_never_a_page() {
    let (world, id) = with_a_mail().await;
    let answer = world.get(&format!("/api/v1/mail/{id}/attachments/0")).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 1_234));
    let header = |name: &str| answer.headers[name].to_str().expect("a text").to_owned();
    assert_eq!(header("content-type"), "application/pdf");
    assert_eq!(header("content-disposition"), "attachment; filename=\"terms.pdf\"");
    assert_eq!(header("x-content-type-options"), "nosniff");
    for number in ["1", "-1", "x"] {
        let refused = world.get(&format!("/api/v1/mail/{id}/attachments/{number}")).await;
        assert_eq!(refused.refusal(), "404 unknown-attachment", "{number}");
    }
    assert_eq!(world.get("/api/v1/mail/mail_7/attachments/0").await.refusal(), "404 unknown-mail");
}

#[tokio::test]
async fn mails_are_found_by_recipient_kind_status_and_run() {
    let (world, _) = with_a_mail().await;
    let run = world.get("/api/v1/runs").await.json()["items"][0]["id"].as_str().expect("a run").to_owned();
    for (query, count) in [
        ("to=ADA@example.com".to_owned(), 1),
        ("to=bob@example.com".to_owned(), 0),
        ("kind=welcome&status=captured".to_owned(), 1),
        ("status=in-doubt".to_owned(), 0),
        (format!("run={run}"), 1),
        ("since=2026-03-01T09:00:00Z".to_owned(), 1),
        ("since=2026-03-01T10:00:00%2B01:00&until=2026-03-01T09:00:01Z".to_owned(), 1),
        ("since=2026-03-01T09:00:01Z".to_owned(), 0),
        ("until=2026-03-01T09:00:00Z".to_owned(), 0),
    ] {
        let answer = world.get(&format!("/api/v1/mail?{query}")).await;
        assert_eq!(answer.json()["items"].as_array().map(Vec::len), Some(count), "{query}");
    }
    assert_eq!(world.get("/api/v1/mail?status=lost").await.refusal(), "400 invalid-parameter");
    assert_eq!(world.get("/api/v1/mail?since=yesterday").await.refusal(), "400 invalid-parameter");
    assert_eq!(world.get("/api/v1/mail?from=x").await.refusal(), "400 unknown-parameter");
    assert_eq!(world.get("/api/v1/mail/mail_7").await.refusal(), "404 unknown-mail");
    assert_eq!(world.get("/api/v1/mail/mail_01ARZ3NDEKTSV4RRFFQ69G5FAV/raw").await.refusal(), "404 unknown-mail");
}

#[tokio::test]
async fn the_log_is_emptied_and_the_runs_stay() {
    let (world, _) = with_a_mail().await;
    assert_eq!(world.delete("/api/v1/mail").await.body, "{\"cleared\":1}");
    assert_eq!(world.get("/api/v1/mail").await.json()["items"], serde_json::json!([]));
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn failures_are_asked_for_per_target() {
    let world = World::start().await;
    let answer = world.post("/api/v1/mail/faults", r#"{ "fail_next": 2, "kind": "transient" }"#).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "{\"fail_next\":2}"));
    world.post("/api/v1/orders/faults", r#"{ "fail_next": 1, "kind": "permanent" }"#).await;
    let asked = world.faults.0.lock().expect("not poisoned").clone();
    assert_eq!(asked, [("mail", 2, FaultKind::Transient), ("orders", 1, FaultKind::Permanent)]);
    for (body, refusal) in [
        (r#"{ "fail_next": 1 }"#, "400 missing-member /kind"),
        (r#"{ "fail_next": 1, "kind": "lethal" }"#, "400 invalid-member /kind"),
        (r#"{ "fail_next": -1, "kind": "transient" }"#, "400 invalid-member /fail_next"),
    ] {
        assert_eq!(world.post("/api/v1/mail/faults", body).await.refusal(), refusal, "{body}");
    }
}

#[tokio::test]
async fn in_production_nothing_fails_on_demand() {
    let mut world = World::start().await;
    world.router = jobmill_server::router(world.handle.clone(), settings_with(None));
    for target in ["mail", "orders"] {
        let request = json(Method::POST, &format!("/api/v1/{target}/faults"), "not even JSON");
        assert_eq!(world.send(request).await.refusal(), "404 not-found");
    }
}

#[tokio::test]
async fn a_mail_that_can_not_be_written_as_a_message_says_why() {
    let (mut world, id) = with_a_mail().await;
    let mut settings = settings_with(None);
    settings.raw_mail = std::sync::Arc::new(|_| Err("the subject has a line break".to_owned()));
    world.router = jobmill_server::router(world.handle.clone(), settings);
    assert_snapshot!(world.get(&format!("/api/v1/mail/{id}/raw")).await.whole());
}
