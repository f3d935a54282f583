//! Queues, pauses and limits, as operators and callers meet them on the real binary.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::server::{Answer, Server};

const MAIL: &str = "[mail]\nmode = \"capture\"\nfrom = \"Shop <shop@example.com>\"\n";

/// Serves with this said of the welcome e-mail.
fn with(settings: &str) -> Server {
    Server::up(&format!("{MAIL}[jobs.welcome-email]\n{settings}\n"))
}

fn welcome(user: &str) -> Value {
    json!({ "userId": user, "email": "ada@example.com" })
}

fn enqueue(server: &Server, user: &str) -> Answer {
    server.post("/api/v1/jobs/welcome-email/runs", &json!({ "payload": welcome(user) }))
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().expect("an id").to_owned()
}

fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// When the only attempts of these runs began and ended, in the order of their begins.
fn spans(runs: &[Value]) -> Vec<(String, String)> {
    let span = |run: &Value| {
        let time = |member: &str| run["attempts"][0][member].as_str().expect("a time").to_owned();
        (time("started_at"), time("finished_at"))
    };
    let mut spans: Vec<_> = runs.iter().map(span).collect();
    spans.sort();
    spans
}

#[test]
fn a_paused_queue_is_paused_after_a_restart_and_its_run_says_by_whom() {
    let mut server = with("queue = \"mail\"");
    let paused = said(&server.run(&["queues", "pause", "mail"]));
    assert!(paused.contains("paused by "), "{paused}");
    let run = server.enqueue("welcome-email", &welcome("u_1"));
    let before = server.get("/api/v1/queues").json()["items"].clone();
    let queue = before.as_array().expect("items").iter().find(|queue| queue["name"] == "mail").expect("listed").clone();
    assert_eq!((&queue["paused"], &queue["waiting"]), (&json!(true), &json!(1)));
    let by = queue["paused_by"].as_str().expect("a name").to_owned();

    server.kill();
    server.restart();
    assert_eq!(server.get("/api/v1/queues").json()["items"], before, "who and when are kept");
    let listed = said(&server.run(&["queues", "list"]));
    assert!(listed.contains("mail") && listed.contains(&format!("paused by {by}")), "{listed}");
    let shown = said(&server.run(&["runs", "show", &run]));
    let sentence = format!("the queue mail is paused by {by} since ");
    assert!(shown.contains("available") && shown.contains(&sentence), "{shown}");

    said(&server.run(&["queues", "resume", "mail"]));
    assert_eq!(server.finished(&run)["state"], "completed");
    let unknown = server.run(&["queues", "pause", "mial"]);
    assert_eq!(unknown.status.code(), Some(3), "{unknown:?}");
}

#[test]
fn a_paused_job_waits_until_it_is_resumed() {
    let server = Server::dev();
    let paused = said(&server.run(&["jobs", "pause", "welcome-email"]));
    assert!(paused.starts_with("welcome-email is paused by "), "{paused}");
    let run = server.enqueue("welcome-email", &welcome("u_1"));
    let listed = said(&server.run(&["jobs", "list"]));
    assert!(listed.contains("‖ paused"), "{listed}");
    assert_eq!(server.run_of(&run)["waiting_for"]["kind"], "job-paused");
    said(&server.run(&["jobs", "resume", "welcome-email"]));
    assert_eq!(server.finished(&run)["state"], "completed");
}

#[test]
fn a_job_with_a_concurrency_of_one_does_one_run_after_the_other() {
    let server = with("concurrency = [{ limit = 1 }]");
    server.run(&["jobs", "pause", "welcome-email"]);
    let runs: Vec<String> =
        (0..8).map(|user| server.enqueue("welcome-email", &welcome(&format!("u_{user}")))).collect();
    server.run(&["jobs", "resume", "welcome-email"]);
    let runs: Vec<Value> = runs.iter().map(|run| server.finished(run)).collect();
    assert!(runs.iter().all(|run| run["state"] == "completed"), "{runs:#?}");
    for pair in spans(&runs).windows(2) {
        assert!(pair[0].1 <= pair[1].0, "one ended at {}, and another began at {}", pair[0].1, pair[1].0);
    }
}

#[test]
fn the_same_value_at_the_unique_key_of_the_configuration_is_one_run() {
    let server = with("unique_key = \"/userId\"");
    let first = enqueue(&server, "u_1");
    let again = server.post(
        "/api/v1/jobs/welcome-email/runs",
        &json!({ "payload": { "userId": "u_1", "email": "other@example.com" } }),
    );
    assert_eq!((first.status, again.status, again.header("idempotency-replayed")), (202, 200, Some("true")));
    assert_eq!(id(&again), id(&first));
    let other = enqueue(&server, "u_2");
    for run in [&first, &other] {
        server.finished(&id(run));
    }
    assert_eq!(server.mails().len(), 2);
}

#[test]
fn more_runs_than_may_wait_are_refused_for_now() {
    let server = with("max_waiting = 1");
    server.run(&["jobs", "pause", "welcome-email"]);
    let first = enqueue(&server, "u_1");
    let refused = enqueue(&server, "u_2");
    assert_eq!((first.status, refused.status, refused.header("retry-after")), (202, 429, Some("10")));
    assert_eq!(refused.code(), "too-many-waiting");
    let command = server.run(&["run", "welcome-email", "--example"]);
    let text = String::from_utf8(command.stderr).expect("UTF-8");
    assert_eq!(command.status.code(), Some(1), "{text}");
    assert!(text.contains("error[too-many-waiting]") && text.contains("try again in 10s"), "{text}");
    server.run(&["jobs", "resume", "welcome-email"]);
    server.finished(&id(&first));
    assert_eq!(enqueue(&server, "u_2").status, 202);
}

#[test]
fn enqueues_that_come_close_together_are_one_run_with_the_last_payload() {
    let server = with("debounce = { period = \"2s\", key = \"/userId\" }");
    let first = enqueue(&server, "u_1");
    let last = json!({ "userId": "u_1", "email": "last@example.com" });
    let again = server.post("/api/v1/jobs/welcome-email/runs", &json!({ "payload": last }));
    assert_eq!((again.status, id(&again)), (202, id(&first)));
    let run = server.finished(&id(&first));
    assert_eq!((&run["state"], &run["payload"]), (&json!("completed"), &last));
    assert_eq!(server.get("/api/v1/runs").json()["items"].as_array().map(Vec::len), Some(1));
    let mails = server.mails();
    assert_eq!((mails.len(), &mails[0]["to"]), (1, &json!("last@example.com")));
}
