//! What was done once is not done again.

use serde_json::{Value, json};

use crate::support::server::Server;

fn purchase() -> Value {
    json!({ "orderId": "order_123", "customerEmail": "user@example.com" })
}

#[test]
fn a_retry_after_a_refused_order_update_sends_no_second_mail() {
    let server = Server::dev();
    server.post("/api/v1/orders/faults", &json!({ "fail_next": 1, "kind": "transient" }));
    let run = server.finished(&server.enqueue("purchase-confirmation", &purchase()));
    assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(2)), "{run:#}");
    assert_eq!(run["output"]["delivery"], "already-sent");
    let mails = server.mails();
    assert_eq!((mails.len(), &mails[0]["attempts"]), (1, &json!(1)));
    assert_eq!(server.order("order_123")["status"], "fulfilled");
}

#[test]
fn clearing_the_mail_log_leaves_the_runs_alone() {
    let server = Server::dev();
    let id = server.enqueue("purchase-confirmation", &purchase());
    server.finished(&id);
    assert!(server.delete("/api/v1/mail").status < 300);
    assert!(server.mails().is_empty());
    assert_eq!(server.run_of(&id)["state"], "completed");
}

#[test]
fn a_repeated_request_is_the_same_run() {
    let server = Server::dev();
    let body = json!({ "payload": purchase() }).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", "order-123-paid")];
    let send = |body: &str| server.send("POST", "/api/v1/jobs/purchase-confirmation/runs", &headers, body.as_bytes());
    let first = send(&body);
    assert_eq!(first.status, 202);
    assert!(first.header("location").is_some_and(|location| location.contains("/runs/run_")));
    let again = send(&body);
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(again.json()["id"], first.json()["id"]);
    let other = json!({ "payload": { "orderId": "order_124", "customerEmail": "user@example.com" } }).to_string();
    assert_eq!(send(&other).status, 409);
}

#[test]
fn an_event_with_an_id_starts_its_runs_once() {
    let server = Server::dev();
    let event = json!([{ "name": "email/purchase-confirmation", "id": "evt-1", "data": purchase() }]);
    let first = server.post("/api/v1/events", &event).json();
    let again = server.post("/api/v1/events", &event).json();
    assert_eq!(first["events"][0]["runs"], again["events"][0]["runs"]);
    let kept = server.get("/api/v1/events/evt-1").json();
    assert_eq!(kept["runs"], first["events"][0]["runs"], "{kept:#}");
}
