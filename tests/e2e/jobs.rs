//! The three jobs on `jobmill dev`.

use serde_json::{Value, json};

use crate::support::server::Server;

fn purchase() -> Value {
    json!({ "name": "email/purchase-confirmation", "data": { "orderId": "order_123", "customerEmail": "user@example.com" } })
}

#[test]
fn a_purchase_is_confirmed_by_mail_and_the_order_fulfilled() {
    let server = Server::dev();
    let answer = server.post("/api/v1/events", &purchase());
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.json()["events"][0]["runs"][0].as_str().expect("a run").to_owned();
    let run = server.finished(&id);
    assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run:#}");
    assert_eq!(run["output"]["delivery"], "captured");
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!((&mails[0]["to"], &mails[0]["kind"]), (&json!("user@example.com"), &json!("purchase-confirmation")));
    assert_eq!((&mails[0]["status"], &mails[0]["run"]), (&json!("captured"), &json!(id)));
    assert_eq!(mails[0]["message_id"], run["output"]["messageId"]);
    let mail = server.get(&format!("/api/v1/mail/{}", mails[0]["id"].as_str().expect("an id"))).json();
    for part in ["text", "html"] {
        assert!(mail[part].as_str().expect(part).contains("order_123"), "{mail:#}");
    }
    let order = server.order("order_123");
    assert_eq!(order["status"], "fulfilled");
    assert!(order["fulfilled_at"].is_string());
}

#[test]
fn a_refund_is_told_by_mail_with_its_reason_escaped() {
    let server = Server::dev();
    let payload = json!({ "orderId": "order_123", "customerEmail": "user@example.com", "refundReason": "<b>late</b>" });
    let run = server.finished(&server.enqueue("refund-notification", &payload));
    assert_eq!(run["state"], "completed", "{run:#}");
    assert_eq!(server.order("order_123")["status"], "refunded");
    let mails = server.mails();
    let mail = server.get(&format!("/api/v1/mail/{}", mails[0]["id"].as_str().expect("an id"))).json();
    assert!(!mail["html"].as_str().expect("HTML").contains("<b>late</b>"), "{mail:#}");
    assert!(mail["text"].as_str().expect("text").contains("<b>late</b>"));
}

#[test]
fn a_new_customer_is_welcomed() {
    let server = Server::dev();
    let body = json!({ "payload": { "userId": "u_1", "email": "ada@example.com", "name": "Ada" } });
    let answer = server.post("/api/v1/jobs/welcome-email/runs?wait=30s", &body);
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("completed")), "{answer:?}");
    assert_eq!(server.mails()[0]["kind"], "welcome");
}

#[test]
fn an_order_that_is_not_found_is_dead_at_once() {
    let server = Server::dev();
    let payload = json!({ "orderId": "order_nowhere", "customerEmail": "user@example.com" });
    let run = server.finished(&server.enqueue("purchase-confirmation", &payload));
    assert_eq!((&run["state"], &run["attempt"]), (&json!("dead"), &json!(1)), "{run:#}");
    assert_eq!(run["attempts"][0]["error"]["kind"], "permanent");
    assert!(server.mails().is_empty());
    let groups = server.get("/api/v1/dead").json();
    let group = &groups["items"][0];
    assert_eq!((&group["count"], &group["job"]), (&json!(1), &json!("purchase-confirmation")), "{groups:#}");
}

#[test]
fn an_order_that_is_fulfilled_already_is_confirmed_all_the_same() {
    let server = Server::dev();
    let payload = json!({ "orderId": "order_123", "customerEmail": "user@example.com" });
    for _ in 0..2 {
        let run = server.finished(&server.enqueue("purchase-confirmation", &payload));
        assert_eq!(run["state"], "completed", "{run:#}");
    }
    assert_eq!(server.mails().len(), 2, "each run is a purchase of its own");
}

#[test]
fn the_logs_of_a_run_are_kept_with_it() {
    let server = Server::dev();
    let id = server.enqueue("welcome-email", &json!({ "userId": "u_1", "email": "ada@example.com" }));
    server.finished(&id);
    let logs = server.get(&format!("/api/v1/runs/{id}/logs")).json();
    assert!(logs["items"].as_array().is_some_and(|lines| !lines.is_empty()), "{logs:#}");
    let journal = server.get(&format!("/api/v1/runs/{id}/journal")).json();
    let kinds: Vec<_> = journal["items"].as_array().expect("items").iter().map(|entry| entry["kind"].clone()).collect();
    assert_eq!(kinds, ["enqueued", "started", "mail-intended", "mail-settled", "finished"], "{journal:#}");
}
