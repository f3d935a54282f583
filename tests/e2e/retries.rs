//! Attempts at their times, dead letters, and their way back.

use serde_json::{Value, json};

use crate::support::server::Server;

/// Milliseconds of an RFC 3339 time within its day.
fn millis(time: &Value) -> i64 {
    let text = time.as_str().expect("a time");
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().expect("digits");
    ((number(11, 13) * 60 + number(14, 16)) * 60 + number(17, 19)) * 1000 + number(20, 23)
}

/// When each attempt began, in milliseconds after the first.
fn starts(run: &Value) -> Vec<i64> {
    let attempts = run["attempts"].as_array().expect("attempts");
    let begun: Vec<i64> = attempts.iter().map(|attempt| millis(&attempt["started_at"])).collect();
    // A run that began just before midnight goes on after it.
    begun.iter().map(|start| (start - begun[0]).rem_euclid(86_400_000)).collect()
}

fn assert_starts(run: &Value, expected: &[i64]) {
    let starts = starts(run);
    assert_eq!(starts.len(), expected.len(), "{run:#}");
    for (start, expected) in starts.iter().zip(expected) {
        assert!((start - expected).abs() <= 300, "attempts began at {starts:?}, not at {expected:?}");
    }
}

fn purchase() -> Value {
    json!({ "orderId": "order_123", "customerEmail": "user@example.com" })
}

#[test]
fn attempts_come_after_one_second_and_then_two() {
    let server = Server::dev();
    let set = server.post("/api/v1/mail/faults", &json!({ "fail_next": 2, "kind": "transient" }));
    assert_eq!((set.status, set.json()), (200, json!({ "fail_next": 2 })));
    let run = server.finished(&server.enqueue("purchase-confirmation", &purchase()));
    assert_eq!(run["state"], "completed", "{run:#}");
    assert_starts(&run, &[0, 1_000, 3_000]);
    assert_eq!(run["attempts"][0]["error"]["kind"], "transient");
    let (due, started) = (millis(&run["attempts"][0]["next_at"]), millis(&run["attempts"][1]["started_at"]));
    assert!((0..=300).contains(&(started - due).rem_euclid(86_400_000)), "never early, and soon: {run:#}");
    assert!(run["attempts"][2]["next_at"].is_null(), "{run:#}");
    let mails = server.mails();
    assert_eq!((mails.len(), &mails[0]["attempts"], &mails[0]["status"]), (1, &json!(3), &json!("captured")));
}

#[test]
fn a_run_is_dead_after_its_attempts_and_completes_after_it_is_requeued() {
    let server = Server::dev();
    server.post("/api/v1/mail/faults", &json!({ "fail_next": 9, "kind": "transient" }));
    let id = server.enqueue("purchase-confirmation", &purchase());
    let run = server.finished(&id);
    assert_eq!((&run["state"], &run["max_attempts"]), (&json!("dead"), &json!(4)), "{run:#}");
    assert_starts(&run, &[0, 1_000, 3_000, 7_000]);
    server.post("/api/v1/mail/faults", &json!({ "fail_next": 0, "kind": "transient" }));
    let requeued = server.run(&["-y", "dead", "requeue", "--job", "purchase-confirmation"]);
    assert!(requeued.status.success(), "{requeued:?}");
    let run = server.until(&id, |run| run["state"] == "completed");
    assert_eq!(run["attempts"].as_array().map(Vec::len), Some(5));
    assert!(!server.get("/api/v1/dead").text.contains(&id));
}

#[test]
fn each_job_has_its_own_number_of_attempts() {
    let server = Server::dev();
    server.post("/api/v1/mail/faults", &json!({ "fail_next": 5, "kind": "transient" }));
    let welcome = json!({ "userId": "u_1", "email": "ada@example.com" });
    let run = server.finished(&server.enqueue("welcome-email", &welcome));
    assert_eq!((&run["state"], run["attempts"].as_array().map(Vec::len)), (&json!("dead"), Some(2)));
    let run = server.finished(&server.enqueue("refund-notification", &purchase()));
    assert_eq!((&run["state"], run["attempts"].as_array().map(Vec::len)), (&json!("dead"), Some(3)));
}

#[test]
fn a_permanent_fault_needs_no_second_attempt() {
    let server = Server::dev();
    server.post("/api/v1/mail/faults", &json!({ "fail_next": 1, "kind": "permanent" }));
    let run = server.finished(&server.enqueue("purchase-confirmation", &purchase()));
    assert_eq!((&run["state"], &run["attempt"]), (&json!("dead"), &json!(1)), "{run:#}");
    assert_eq!(server.mails()[0]["status"], "failed");
}

#[test]
fn a_run_that_waits_for_its_time_begins_when_it_is_asked_to_and_is_found_by_its_repeats() {
    let server = Server::dev();
    let welcome = json!({ "userId": "u_1", "email": "ada@example.com" });
    let body = json!({ "payload": welcome, "delay": "1h" });
    let id = server.post("/api/v1/jobs/welcome-email/runs", &body).json()["id"].as_str().expect("an id").to_owned();
    let asked = server.run(&["runs", "retry", &id]);
    assert!(asked.status.success(), "{asked:?}");
    server.until(&id, |run| run["state"] == "completed");
    let journal = server.run(&["runs", "journal", &id]);
    let journal = String::from_utf8_lossy(&journal.stdout).into_owned();
    assert!(journal.contains("made-due") && journal.contains("instead_of="), "{journal}");
    let refused = server.run(&["runs", "retry", &id]);
    assert!(!refused.status.success(), "{refused:?}");
    let rerun = server.run(&["runs", "rerun", &id]);
    let rerun = String::from_utf8_lossy(&rerun.stdout).trim().to_owned();
    let listed = server.run(&["runs", "list", "--rerun-of", &id]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(&rerun) && !listed.contains(&id), "{listed}");
}
