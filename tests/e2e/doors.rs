//! What is refused, and how it is said.

use serde_json::json;

use crate::support::server::Server;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[test]
fn every_refusal_has_its_status_and_code() {
    let server = Server::dev();
    let path = "/api/v1/jobs/welcome-email/runs";
    let cases: [(&str, &str, &[u8], u16, &str); 9] = [
        ("POST", path, b"{ nonsense", 400, "malformed-json"),
        ("POST", path, b"{\"payload\":{},\"prioritty\":1}", 400, "unknown-member"),
        ("POST", path, b"{\"payload\":{},\"priority\":\"high\"}", 400, "wrong-type"),
        ("POST", path, b"{\"payload\":{\"userId\":1}}", 422, "payload-invalid"),
        ("POST", "/api/v1/jobs/welcome-mail/runs", b"{\"payload\":{}}", 404, "unknown-job"),
        ("POST", "/api/v1/events", b"{\"name\":\"a b\",\"data\":{}}", 400, ""),
        ("POST", "/api/v1/events", b"{\"name\":\"a\",\"data\":{},\"idd\":1}", 400, "unknown-member"),
        ("POST", "/api/v1/dead/requeue", b"{\"filter\":{}}", 400, "empty-filter"),
        ("PUT", "/api/v1/orders/order_9", b"{\"status\":\"lost\"}", 400, ""),
    ];
    for (method, path, body, status, code) in cases {
        let answer = server.send(method, path, &JSON, body);
        assert_eq!(answer.status, status, "{path} {answer:?}");
        assert!(code.is_empty() || answer.code() == code, "{path} {answer:?}");
    }
    assert_eq!(server.get("/api/v1/nowhere").status, 404);
    assert_eq!(server.get("/api/v1/runs/run_nonsense").status, 404);
    assert_eq!(server.get("/api/v1/runs?statee=dead").status, 400);
}

#[test]
fn a_payload_off_its_schema_is_told_by_pointer() {
    let server = Server::dev();
    let answer =
        server.post("/api/v1/jobs/purchase-confirmation/runs", &json!({ "payload": { "customerEmail": "no" } }));
    assert_eq!(answer.status, 422);
    let errors = answer.json()["errors"].clone();
    let errors = errors.as_array().expect("errors");
    assert!(errors.contains(&json!({ "pointer": "/orderId", "detail": "is required" })), "{errors:?}");
    assert!(errors.iter().any(|error| error["pointer"] == "/customerEmail"), "{errors:?}");
    assert_eq!(server.get("/api/v1/runs").json()["items"], json!([]));
}

#[test]
fn events_are_taken_all_or_none() {
    let server = Server::dev();
    let good = json!({ "name": "email/welcome", "data": { "userId": "u", "email": "a@example.com" } });
    let bad = json!({ "name": "email/welcome", "data": { "userId": "u" } });
    assert_eq!(server.post("/api/v1/events", &json!([good, bad])).status, 422);
    assert_eq!(server.get("/api/v1/runs").json()["items"], json!([]));
    let unheard = server.post("/api/v1/events", &json!({ "name": "nobody/listens", "data": { "a": 1 } }));
    assert_eq!((unheard.status, &unheard.json()["events"][0]["runs"]), (202, &json!([])));
}

#[test]
fn other_content_types_and_large_bodies_are_refused() {
    let server = Server::dev();
    let path = "/api/v1/jobs/welcome-email/runs";
    let plain = server.send("POST", path, &[("content-type", "text/plain")], b"{\"payload\":{}}");
    assert_eq!(plain.status, 415, "{plain:?}");
    let large = format!("{{\"payload\":\"{}\"}}", "x".repeat(5 * 1024 * 1024));
    let answer = server.send("POST", path, &JSON, large.as_bytes());
    assert_eq!((answer.status, answer.code().as_str()), (413, "body-too-large"));
}

#[test]
fn other_sites_are_refused() {
    let server = Server::dev();
    let path = "/api/v1/jobs/welcome-email/runs";
    let body = b"{\"payload\":{\"userId\":\"u\",\"email\":\"a@example.com\"}}";
    for header in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("host", "evil.example")] {
        let answer = server.send("POST", path, &[JSON[0], header], body);
        assert_eq!(answer.status, 403, "{header:?} {answer:?}");
    }
    assert_eq!(server.get("/api/v1/runs").json()["items"], json!([]));
}

#[test]
fn the_status_page_shows_jobs_and_runs_and_escapes_what_it_shows() {
    let server = Server::dev();
    let empty = server.get("/");
    assert_eq!(empty.status, 200);
    assert!(empty.text.contains("purchase-confirmation") && empty.text.contains("curl"), "{}", empty.text);
    let payload = json!({ "orderId": "<script>alert(1)</script>", "customerEmail": "user@example.com" });
    let id = server.enqueue("purchase-confirmation", &payload);
    server.finished(&id);
    let page = server.get("/");
    assert!(page.text.contains(&id) && !page.text.contains("<script>alert"), "{}", page.text);
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
}
