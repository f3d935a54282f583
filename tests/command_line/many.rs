//! Actions on everything that a filter names: asked about with the number, and reported run by run.

use serde_json::{Value, json};

use crate::command_line::{assert_refused, text};
use crate::support::server::Server;

/// Dead runs of an order that is nowhere.
fn dead(server: &Server, runs: usize) -> Vec<String> {
    let payload = json!({ "orderId": "nowhere", "customerEmail": "a@example.com" });
    let ids: Vec<String> = (0..runs).map(|_| server.enqueue("purchase-confirmation", &payload)).collect();
    for id in &ids {
        assert_eq!(server.finished(id)["state"], "dead");
    }
    ids
}

fn report(server: &Server, arguments: &[&str]) -> Value {
    let output = server.run(&[&["-y", "-o", "json"][..], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_filter_is_asked_about_with_the_number_and_nobody_there_is_wrong_usage() {
    let server = Server::dev();
    let ids = dead(&server, 3);
    let cases: [(&[&str], &str); 5] = [
        (&["runs", "retry", "--state", "dead"], "Retry 3 runs (3 dead)?"),
        (&["runs", "rerun", "--error", "nowhere"], "Rerun 3 runs (3 dead)?"),
        (&["dead", "requeue", "--job", "purchase-confirmation"], "Requeue 3 runs?"),
        (&["dead", "discard", "--job", "purchase-confirmation"], "Discard 3 runs?"),
        (&["dead", "discard", &ids[0]], "Discard 1 run?"),
    ];
    for (arguments, question) in cases {
        assert_refused(&server.run(arguments), 2, &["not-confirmed", question, "--yes"]);
    }
    server.post("/api/v1/queues/default/pause", &json!({}));
    let welcome = json!({ "userId": "u", "email": "a@example.com" });
    let waiting = [server.enqueue("welcome-email", &welcome), server.enqueue("welcome-email", &welcome)];
    for filter in [["--job", "welcome-email"], ["--since", "1h"]] {
        let question = ["not-confirmed", "Cancel 2 runs"];
        assert_refused(&server.run(&[&["runs", "cancel"][..], &filter[..]].concat()), 2, &question);
    }
    for id in &waiting {
        assert_eq!(server.run_of(id)["state"], "available", "nothing was changed");
    }
    for action in ["cancel", "retry", "rerun"] {
        assert_refused(&server.run(&["-y", "runs", action]), 2, &["nothing-named", "--state"]);
    }
}

#[test]
fn many_runs_are_retried_rerun_and_cancelled_with_a_report() {
    let server = Server::dev();
    let ids = dead(&server, 2);
    server.post("/api/v1/queues/default/pause", &json!({}));
    let would = report(&server, &["runs", "retry", "--job", "purchase-confirmation", "--dry-run"]);
    assert_eq!((&would["matched"], &would["changed"]), (&json!(2), &json!(2)));
    let rerun = report(&server, &["runs", "rerun", "--state", "dead", "--job", "purchase-confirmation"]);
    assert_eq!((&rerun["changed"], rerun["runs"].as_array().map(Vec::len)), (&json!(2), Some(2)));
    let copy = server.run_of(rerun["runs"][0].as_str().expect("an id"));
    assert!(ids.iter().any(|id| copy["rerun_of"] == id.as_str()), "{copy:#}");
    let retried = report(&server, &["runs", "retry", "--job", "purchase-confirmation"]);
    assert_eq!((&retried["matched"], &retried["changed"]), (&json!(4), &json!(2)), "{retried:#}");
    assert_eq!(retried["skipped"][0]["reason"], "it is available", "{retried:#}");
    for id in &ids {
        assert_eq!(server.run_of(id)["state"], "available");
    }
    let again = server.run(&["-y", "runs", "retry", "--job", "purchase-confirmation"]);
    assert_eq!(again.status.code(), Some(1), "none could be changed");
    assert!(text(&again.stdout).contains("0 runs retried") && text(&again.stderr).contains("4 of 4 left alone"));
    let cancelled = server.run(&["-y", "runs", "cancel", "--since", "1h", "--reason", "a test"]);
    assert!(cancelled.status.success() && text(&cancelled.stdout).contains("4 runs cancelled"), "{cancelled:?}");
    assert_eq!(server.run_of(&ids[0])["cancel_reason"], "a test");
}
