//! What the client sends and how it takes what comes back, over a real socket.
//! The other side is a script of answers, not a Jobmill; the end-to-end tests have that.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

use jobmill_client::{
    CancelRuns, Change, Client, DeliveryFilter, Enqueue, Error, FaultKind, NewEvent, NewToken, PurchaseConfirmation,
    RefundNotification, RunFilter, RunSelection, RunState, Scope, WelcomeEmail,
};
use serde_json::{Value, json};

/// A request as it came in.
#[derive(Debug)]
struct Request {
    line: String,
    headers: Vec<String>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|header| {
            let (found, value) = header.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

/// Gives these answers, one a connection, and hands over the requests.
fn script(answers: Vec<String>) -> (Client, JoinHandle<Vec<Request>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let answering = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line");
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_owned()),
                }
            }
            let mut request = Request { line: lines.remove(0), headers: lines, body: String::new() };
            let length = request.header("content-length").map_or(0, |length| length.parse().expect("a length"));
            reader.take(length).read_to_string(&mut request.body).expect("a body");
            requests.push(request);
            stream.write_all(answer.as_bytes()).expect("answered");
        }
        requests
    });
    (Client::new(&format!("http://{address}"), Some("jm_secret")).expect("a client"), answering)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}")
}

fn ok(body: &str) -> String {
    answer("200 OK", "", body)
}

fn run(state: &str) -> String {
    json!({
        "id": "run_01J00000000000000000000000", "job": "welcome-email", "version": null, "queue": "default",
        "state": state, "priority": 5, "payload": { "userId": "u1" }, "output": null, "attempt": 0, "max_attempts": 2,
        "enqueued_at": "2026-03-01T09:00:00.000Z", "scheduled_at": "2026-03-01T09:00:00.000Z", "started_at": null,
        "finished_at": null, "event_id": null, "tags": [], "unique_key": null, "rerun_of": null, "waiting_for": null,
        "cancel_reason": null, "mails_in_doubt": [], "attempts": [], "of_a_later_version": 1,
    })
    .to_string()
}

#[test]
fn an_enqueue_is_one_request_with_token_and_key() {
    let replayed = answer("200 OK", "Idempotency-Replayed: true\r\n", &run("available"));
    let (client, answering) = script(vec![replayed]);
    let payload = json!({ "userId": "u1" });
    let enqueue = Enqueue { idempotency_key: Some("k1"), ..Enqueue::new("welcome-email", &payload) };
    let run = client.enqueue(&enqueue).expect("enqueued");
    assert!(run.is_replayed() && run.text().contains("of_a_later_version"));
    assert_eq!((run.job.as_str(), run.state), ("welcome-email", RunState::Available));
    let requests = answering.join().expect("answered");
    assert_eq!(requests[0].line, "POST /api/v1/jobs/welcome-email/runs HTTP/1.1");
    assert_eq!(requests[0].header("authorization"), Some("Bearer jm_secret"));
    assert_eq!(requests[0].header("idempotency-key"), Some("k1"));
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].json(), json!({ "payload": { "userId": "u1" } }));
}

#[test]
fn the_shops_jobs_are_enqueued_by_name() {
    let (client, answering) = script(vec![ok(&run("available")); 3]);
    let (order_id, customer_email) = ("o1", "ada@example.com");
    client.enqueue_purchase_confirmation(&PurchaseConfirmation { order_id, customer_email }).expect("enqueued");
    let refund = RefundNotification { order_id, customer_email, refund_reason: None };
    client.enqueue_refund_notification(&refund).expect("enqueued");
    let welcome = WelcomeEmail { user_id: "u1", email: customer_email, name: Some("Ada") };
    client.enqueue_welcome_email(&welcome).expect("enqueued");
    let requests = answering.join().expect("answered");
    let paths: Vec<&str> = requests.iter().filter_map(|request| request.line.split(' ').nth(1)).collect();
    let jobs = ["purchase-confirmation", "refund-notification", "welcome-email"];
    assert_eq!(paths, jobs.map(|job| format!("/api/v1/jobs/{job}/runs")));
    let order = json!({ "payload": { "orderId": "o1", "customerEmail": "ada@example.com" } });
    assert_eq!([requests[0].json(), requests[1].json()], [order.clone(), order]);
    let user = json!({ "payload": { "userId": "u1", "email": "ada@example.com", "name": "Ada" } });
    assert_eq!(requests[2].json(), user);
}

#[test]
fn a_list_is_asked_for_page_by_page_until_there_are_enough() {
    let first = ok(&format!(r#"{{"items":[{0},{0}],"next_cursor":"c 1"}}"#, run("dead")));
    let second = ok(&format!(r#"{{"items":[{}],"next_cursor":"c2"}}"#, run("dead")));
    let (client, answering) = script(vec![first, second]);
    let filter = RunFilter { state: Some(RunState::Dead), job: Some("welcome-email"), ..RunFilter::default() };
    let page = client.runs(&filter, 3).expect("listed");
    assert_eq!((page.items().expect("runs").len(), page.next_cursor()), (3, Some("c2")));
    let requests = answering.join().expect("answered");
    let query = "/api/v1/runs?state=dead&job=welcome-email";
    assert_eq!(requests[0].line, format!("GET {query}&limit=3 HTTP/1.1"));
    assert_eq!(requests[1].line, format!("GET {query}&limit=1&cursor=c%201 HTTP/1.1"));
}

#[test]
fn a_refusal_says_what_and_when_to_come_again() {
    let body = r#"{"status":429,"code":"rate-limited","detail":"this token makes too many requests"}"#;
    let (client, answering) = script(vec![answer("429 Too Many Requests", "Retry-After: 7\r\n", body)]);
    let error = client.publish(&NewEvent::new("order/paid", &json!({}))).expect_err("refused");
    assert!(error.is_passing());
    let Error::Refused { status, code, retry_after, .. } = error else { panic!("{error:?}") };
    assert_eq!((status, code.as_str(), retry_after), (429, "rate-limited", Some(Duration::from_secs(7))));
    let requests = answering.join().expect("answered");
    assert_eq!(requests[0].json(), json!({ "name": "order/paid", "data": {} }));
}

#[test]
fn waiting_ends_with_the_run_or_with_the_time() {
    let (client, answering) = script(vec![ok(&run("running")), ok(&run("running")), ok(&run("completed"))]);
    let id = "run_01J00000000000000000000000".parse().expect("an id");
    let run = client.wait(id, Duration::from_mins(1)).expect("asked");
    assert_eq!(run.state, RunState::Completed);
    assert_eq!(answering.join().expect("answered").len(), 3);
}

#[test]
fn a_wait_of_no_time_looks_once() {
    let (client, answering) = script(vec![ok(&run("running"))]);
    let id = "run_01J00000000000000000000000".parse().expect("an id");
    assert_eq!(client.wait(id, Duration::ZERO).expect("asked").state, RunState::Running);
    assert_eq!(answering.join().expect("answered").len(), 1);
}

#[test]
fn operators_calls_go_to_their_routes() {
    let report =
        r#"{"matched":2,"changed":1,"skipped":[{"id":"run_01J00000000000000000000000","reason":"it is completed"}]}"#;
    let token = json!({ "id": "tok_01J00000000000000000000000", "name": "shop", "scope": "read",
        "created_at": "2026-03-01T09:00:00.000Z", "expires_at": null, "revoked_at": null, "last_used_at": null,
        "rate_limit": null, "max_waiting": null, "source": "created" });
    let created = json!({ "token": token, "secret": "jm_new" }).to_string();
    let nothing = answer("204 No Content", "", "");
    let deliveries = ok(r#"{"items":[],"next_cursor":null}"#);
    let (client, answering) = script(vec![ok(report), ok(&created), ok(&token.to_string()), nothing, deliveries]);
    let filter = RunSelection { tag: Some("vip"), ..RunSelection::default() };
    let cancelled = client.cancel_runs(&CancelRuns { filter, reason: None, dry_run: true }).expect("cancelled");
    assert_eq!((cancelled.matched, cancelled.skipped[0].reason.as_str()), (2, "it is completed"));
    let new = NewToken { name: None, scope: Scope::Read, expires_at: None, rate_limit: None, max_waiting: None };
    let created = client.create_token(&new).expect("created");
    assert_eq!(created.secret, "jm_new");
    client.revoke_token(created.token.id).expect("revoked");
    client.lift_suppression("ada@example.com").expect("lifted");
    assert!(
        client.deliveries(&DeliveryFilter { endpoint: Some("shop"), outcome: None }, 10).expect("listed").is_empty()
    );
    let requests = answering.join().expect("answered");
    let lines: Vec<&str> = requests.iter().map(|request| request.line.trim_end_matches(" HTTP/1.1")).collect();
    assert_eq!(
        lines,
        [
            "POST /api/v1/runs/cancel",
            "POST /api/v1/tokens",
            "POST /api/v1/tokens/tok_01J00000000000000000000000/revoke",
            "DELETE /api/v1/suppressions/ada%40example.com",
            "GET /api/v1/webhooks/deliveries?endpoint=shop&limit=10",
        ]
    );
    assert_eq!(requests[0].json(), json!({ "filter": { "tag": "vip" }, "dry_run": true }));
}

#[test]
fn queues_schedules_and_faults_have_routes_of_their_own() {
    let queue = ok(r#"{"name":"mail","concurrency":null,"running":0,"waiting":0,"paused":true}"#);
    let faults = ok(r#"{"fail_next":2}"#);
    let (client, answering) = script(vec![queue.clone(), queue, ok(&run("available")), faults.clone(), faults]);
    client.pause_queue("mail", "anna").expect("paused");
    client.resume_queue("mail", "anna").expect("resumed");
    client.trigger_schedule("report").expect("started");
    assert_eq!(client.fail_mail(2, FaultKind::Transient).expect("set").fail_next, 2);
    client.fail_orders(2, FaultKind::Permanent).expect("set");
    let requests = answering.join().expect("answered");
    let asked: Vec<(&str, Value)> =
        requests.iter().map(|request| (request.line.trim_end_matches(" HTTP/1.1"), request.json())).collect();
    assert_eq!(
        asked,
        [
            ("POST /api/v1/queues/mail/pause", json!({ "by": "anna" })),
            ("POST /api/v1/queues/mail/resume", json!({ "by": "anna" })),
            ("POST /api/v1/schedule/report/trigger", json!({})),
            ("POST /api/v1/mail/faults", json!({ "fail_next": 2, "kind": "transient" })),
            ("POST /api/v1/orders/faults", json!({ "fail_next": 2, "kind": "permanent" })),
        ]
    );
}

#[test]
fn changes_are_told_until_the_server_ends_the_stream_or_is_gone() {
    let events = "retry: 2000\n\n: still here\n\nevent: missed\ndata: {}\n\n";
    let cut_off = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{events}", events.len() + 100);
    let (client, answering) = script(vec![ok(events), cut_off, answer("503 Service Unavailable", "", "{}")]);
    let told: Vec<_> = client.changes().expect("begun").collect();
    assert!(matches!(told.as_slice(), [Ok(Change::Nothing), Ok(Change::Missed)]), "{told:?}");
    let told: Vec<_> = client.changes().expect("begun").collect();
    assert!(matches!(told.as_slice(), [Ok(_), Ok(_), Err(error)] if error.is_passing()), "{told:?}");
    assert!(client.changes().is_err_and(|error| error.is_passing()));
    let requests = answering.join().expect("answered");
    assert_eq!(requests[0].line, "GET /api/v1/stream HTTP/1.1");
    assert_eq!(requests[0].header("authorization"), Some("Bearer jm_secret"));
}

#[test]
fn what_is_no_jobmill_is_told_apart_from_one_that_refuses() {
    let (client, answering) = script(vec![answer("502 Bad Gateway", "", "<html>"), ok("[]")]);
    let gateway = client.jobs().expect_err("no Jobmill");
    assert!(matches!(gateway, Error::UnexpectedAnswer { status: Some(502), .. }), "{gateway:?}");
    let shape = client.stats().expect_err("another shape");
    assert!(matches!(shape, Error::UnexpectedAnswer { status: None, .. }), "{shape:?}");
    answering.join().expect("answered");
}
