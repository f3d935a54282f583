//! What goes to a terminal and what does not: colours, quiet, pipes that close, completions, exit codes, one run in words.

use std::process::Stdio;

use serde_json::json;

use crate::command_line::{WELCOME, assert_refused, run_in, text};
use crate::support::server::{Server, jobmill};

#[test]
fn colours_are_for_terminals_unless_somebody_says_otherwise() {
    let server = Server::dev();
    server.run(&["run", "welcome-email", "--payload", WELCOME, "--wait"]);
    let coloured = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = jobmill(server.path());
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI", "TERM"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied()).args(["--server", &server.url]).args(arguments);
        let output = command.args(["runs", "list"]).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout).contains('\u{1b}')
    };
    assert!(!coloured(&[("TERM", "xterm")], &[]), "a pipe is no terminal");
    assert!(coloured(&[("TERM", "xterm"), ("CLICOLOR_FORCE", "1")], &[]));
    assert!(!coloured(&[("TERM", "xterm"), ("CLICOLOR_FORCE", "1")], &["--no-color"]));
    assert!(!coloured(&[("TERM", "xterm"), ("NO_COLOR", "1")], &[]));
    assert!(!coloured(&[("TERM", "dumb")], &[]));
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let server = Server::dev();
    for arguments in [vec!["orders", "list"], vec!["completions", "bash"], vec!["store", "export"], vec![]] {
        let mut command = jobmill(server.path());
        command.args(["--server", &server.url]).args(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        // Nobody reads: the pipe is closed before anything is written, or while it is.
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(
            (output.status.code(), text(&output.stderr).contains("error")),
            (Some(0), false),
            "{arguments:?} {output:?}"
        );
    }
}

#[test]
fn quiet_says_nothing_but_data_and_errors() {
    let server = Server::dev();
    let output = server.run(&["-q", "emit", "email/welcome", "--data", WELCOME]);
    assert!(text(&output.stdout).contains("run_") && output.stderr.is_empty(), "{output:?}");
    assert_refused(&server.run(&["-q", "runs", "show", "run_01ARZ3NDEKTSV4RRFFQ69G5FAV"]), 3, &["unknown-run"]);
}

#[test]
fn every_exit_code_has_its_reason() {
    let server = Server::dev();
    let code = |arguments: &[&str]| server.run(arguments).status.code();
    assert_eq!(code(&["jobs", "list"]), Some(0));
    assert_eq!(code(&["run", "welcome-email", "--payload", "{}"]), Some(1));
    assert_eq!(code(&["runs", "list", "--state", "busy"]), Some(2));
    assert_eq!(code(&["orders", "show", "nowhere"]), Some(3));
    let unknown = r#"{"orderId":"nowhere","customerEmail":"a@example.com"}"#;
    assert_eq!(code(&["run", "purchase-confirmation", "--payload", unknown, "--wait"]), Some(4));
    assert_eq!(code(&["--server", "http://127.0.0.1:9", "jobs", "list"]), Some(2), "named twice");
    let nobody = run_in(server.path(), &["--server", "http://127.0.0.1:9", "jobs", "list"]);
    assert_eq!(nobody.status.code(), Some(5));
    assert!(server.run(&["queues", "pause", "default"]).status.success());
    assert_eq!(code(&["run", "welcome-email", "--payload", WELCOME, "--wait=100ms"]), Some(6));
}

#[test]
fn shells_complete_every_command() {
    let directory = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "zsh", "fish"] {
        let output = run_in(directory.path(), &["completions", shell]);
        let script = text(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        for word in ["requeue", "suppress", "watch", "fail"] {
            assert!(script.contains(word), "{shell} does not offer {word}");
        }
    }
}

#[test]
fn faults_and_schedules_have_commands() {
    let server = Server::dev();
    let fail = server.run(&["mail", "fail", "1"]);
    assert!(text(&fail.stdout).contains("the next mail fails"), "{fail:?}");
    let run = server.finished(&server.enqueue("welcome-email", &serde_json::from_str(WELCOME).expect("JSON")));
    assert_eq!((&run["attempts"][0]["outcome"], &run["state"]), (&json!("failed"), &json!("completed")));
    let orders = server.run(&["-o", "json", "orders", "fail", "0"]);
    assert_eq!(text(&orders.stdout).trim(), r#"{"fail_next":0}"#);
    assert_refused(
        &server.run(&["schedule", "trigger", "welcome-email"]),
        3,
        &["no-schedule", "jobmill run welcome-email"],
    );
    assert_refused(&server.run(&["schedule", "trigger", "welcome-emial"]), 3, &["unknown-job", "did you mean"]);
}

#[test]
fn one_run_is_told_with_what_its_attempts_did() {
    let server = Server::dev();
    server.run(&["mail", "fail", "1"]);
    let purchase = json!({ "orderId": "order_123", "customerEmail": "ada@example.com" });
    let run = server.finished(&server.enqueue("purchase-confirmation", &purchase));
    let id = run["id"].as_str().expect("an id");
    let shown = text(&server.run(&["runs", "show", id]).stdout);
    for part in [
        "✓ completed  Completed ",
        "with attempt 2 of 4.",
        "✗ attempt 1  failed after",
        "✗ mail purchase-confirmation to ada@example.com  failed",
        "✓ attempt 2  completed after",
        "✓ mail purchase-confirmation to ada@example.com  captured",
        "✓ order order_123 to fulfilled",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
    }
    let unknown = json!({ "orderId": "nowhere", "customerEmail": "a@example.com" });
    let dead = server.finished(&server.enqueue("purchase-confirmation", &unknown));
    let group = server.get("/api/v1/dead").json()["items"][0]["fingerprint"].as_str().expect("a group").to_owned();
    let shown = text(&server.run(&["dead", "show", &group]).stdout);
    let version = dead["version"].as_str().expect("a version");
    for part in [dead["id"].as_str().expect("an id"), version, "Dead after attempt 1 of 4", "nowhere", "✗ attempt 1"]
    {
        assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
    }
}
