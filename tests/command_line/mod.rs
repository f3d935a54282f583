//! The binary at a terminal: exit codes, what goes to which stream, and errors that offer the fix.

mod bench;
mod build;
mod compile;
mod many;
mod store;
mod terminal;
mod trial;
mod watch;

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::server::{Server, jobmill};
use crate::support::{component, target_directory};

const WELCOME: &str = r#"{"userId":"u_1","email":"ada@example.com"}"#;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run_in(directory: &Path, arguments: &[&str]) -> Output {
    jobmill(directory).args(arguments).output().expect("it starts")
}

/// It ends by itself with this code and says all of this on stderr.
fn assert_refused(output: &Output, code: i32, said: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for part in said {
        assert!(error.contains(part), "{part:?} is missing in {error}");
    }
}

#[test]
fn run_and_wait_exits_by_the_outcome() {
    let server = Server::dev();
    let done = server.run(&["run", "welcome-email", "--payload", WELCOME, "--wait"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(text(&done.stdout).contains("run_"));
    let example = server.run(&["run", "welcome-email", "--example", "--wait=30s"]);
    assert_eq!(example.status.code(), Some(0), "{example:?}");
    let unknown_order = r#"{"orderId":"nowhere","customerEmail":"a@example.com"}"#;
    let dead = server.run(&["run", "purchase-confirmation", "--payload", unknown_order, "--wait"]);
    assert_eq!(dead.status.code(), Some(4), "{dead:?}");
    server.post("/api/v1/mail/faults", &json!({ "fail_next": 3, "kind": "transient" }));
    let purchase = r#"{"orderId":"order_123","customerEmail":"a@example.com"}"#;
    let going = server.run(&["run", "purchase-confirmation", "--payload", purchase, "--wait=500ms"]);
    assert_eq!(going.status.code(), Some(6), "{going:?}");
}

#[test]
fn mistakes_are_told_with_their_fix() {
    let server = Server::dev();
    assert_refused(
        &server.run(&["run", "welcome-mail", "--payload", WELCOME]),
        3,
        &["welcome-mail", "did you mean", "welcome-email"],
    );
    assert_refused(&server.run(&["run", "welcome-email", "--payload", "{"]), 2, &["malformed-json", "JSON"]);
    assert_refused(
        &server.run(&["run", "welcome-email", "--payload", r#"{"userId":"u"}"#]),
        1,
        &["/email", "is required"],
    );
    assert_refused(
        &server.run(&["runs", "show", "run_01ARZ3NDEKTSV4RRFFQ69G5FAV"]),
        3,
        &["run_01ARZ3NDEKTSV4RRFFQ69G5FAV"],
    );
    assert_refused(&server.run(&["rnus"]), 2, &["runs"]);
    let elsewhere =
        jobmill(server.path()).args(["--server", "http://127.0.0.1:9", "jobs", "list"]).output().expect("starts");
    assert_refused(&elsewhere, 5, &["127.0.0.1:9", "jobmill dev"]);
    let help = run_in(server.path(), &[]);
    assert!(text(&help.stdout).contains("Usage") || text(&help.stderr).contains("Usage"));
}

#[test]
fn lists_are_json_when_asked_and_data_goes_to_stdout_alone() {
    let server = Server::dev();
    server.run(&["run", "welcome-email", "--payload", WELCOME, "--wait"]);
    for (arguments, member) in [
        (vec!["jobs", "list"], "welcome-email"),
        (vec!["runs", "list", "--state", "completed"], "run_"),
        (vec!["mail", "list"], "mail_"),
        (vec!["orders", "list"], "order_123"),
        (vec!["dead", "list"], ""),
    ] {
        let output = server.run(&[vec!["-o", "json"], arguments.clone()].concat());
        assert!(output.status.success(), "{output:?}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        assert!(json.to_string().contains(member), "{arguments:?}: {json}");
        let table = server.run(&arguments);
        assert!(text(&table.stdout).contains(member) && !text(&table.stdout).contains('\u{1b}'), "{table:?}");
    }
}

#[test]
fn emit_tells_which_runs_an_event_started() {
    let server = Server::dev();
    let output = server.run(&["emit", "email/welcome", "--data", WELCOME]);
    assert!(output.status.success() && text(&output.stdout).contains("run_"), "{output:?}");
}

#[test]
fn a_port_in_use_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    component::fill(&directory.path().join("hopper"));
    assert_refused(&run_in(directory.path(), &["dev", "--listen", &address]), 1, &[&address, "in use", "--listen"]);
}

#[test]
fn a_data_directory_in_use_by_another_process_is_said_and_the_first_is_unharmed() {
    let server = Server::dev();
    let second = server.run(&["dev", "--listen", "127.0.0.1:0"]);
    assert_refused(&second, 1, &[".jobmill", "process"]);
    let run = server.finished(&server.enqueue("welcome-email", &json!({ "userId": "u", "email": "a@example.com" })));
    assert_eq!(run["state"], "completed");
}

#[test]
fn a_hopper_that_is_no_directory_is_said() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("hopper"), "a file").expect("written");
    assert_refused(&run_in(directory.path(), &["dev", "--listen", "127.0.0.1:0"]), 1, &["hopper"]);
}

#[test]
fn configuration_mistakes_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("jobmill.toml");
    let cases: [(&str, &[&str]); 5] = [
        ("[mail]\nmoode = \"capture\"\n", &["moode", "mode"]),
        ("[enginee]\nconcurrency = 1\n", &["enginee", "engine"]),
        ("[engine]\nconcurrency = \"many\"\n", &["concurrency"]),
        ("[mail\n", &["jobmill.toml"]),
        ("[jobs.welcome-email]\nretires = 2\n", &["retires", "retries"]),
    ];
    for (content, said) in cases {
        std::fs::write(&file, content).expect("written");
        assert_refused(&run_in(directory.path(), &["dev", "--listen", "127.0.0.1:0"]), 2, said);
    }
    std::fs::remove_file(file).expect("removed");
    let variable =
        jobmill(directory.path()).env("JOBMILL_ENGINE__CONCURENCY", "3").args(["dev"]).output().expect("starts");
    assert_refused(&variable, 2, &["JOBMILL_ENGINE__CONCURENCY", "JOBMILL_ENGINE__CONCURRENCY"]);
    assert_refused(&run_in(directory.path(), &["up"]), 2, &["mail.mode", "mail.from"]);
}

#[test]
fn the_configuration_that_init_writes_is_the_default() {
    let directory = tempfile::tempdir().expect("a directory");
    assert!(run_in(directory.path(), &["config", "init"]).status.success());
    let shown = run_in(directory.path(), &["config", "show"]);
    assert!(shown.status.success() && text(&shown.stdout).contains("concurrency"), "{shown:?}");
    assert_eq!(run_in(directory.path(), &["config", "init"]).status.code(), Some(1), "it is not written over");
}

#[test]
fn check_tells_what_a_component_is_and_refuses_what_is_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = target_directory().join("components/welcome-email.wasm");
    let output = run_in(directory.path(), &["check", good.to_str().expect("UTF-8")]);
    assert!(output.status.success() && text(&output.stdout).contains("email/welcome"), "{output:?}");
    std::fs::write(directory.path().join("bad.wasm"), "garbage").expect("written");
    assert_refused(&run_in(directory.path(), &["check", "bad.wasm"]), 1, &["bad.wasm"]);
    assert_refused(&run_in(directory.path(), &["check", "nowhere.wasm"]), 3, &["nowhere.wasm"]);
}

#[test]
fn doctor_names_what_is_wrong_and_how_to_mend_it() {
    let server = Server::dev();
    let address = server.url.trim_start_matches("http://");
    let well = server.run(&["doctor", "--listen", address]);
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("hopper"), "a file").expect("written");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ill = run_in(directory.path(), &["doctor", "--listen", &address]);
    let said = text(&ill.stdout);
    assert_eq!(ill.status.code(), Some(1), "{ill:?}");
    for part in ["✗ hopper", "--hopper", "✗ address", "--listen"] {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
}
