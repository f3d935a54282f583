//! Schedules from the configuration and the command line. When they fire is tested on clocks that are set by hand.

use serde_json::{Value, json};

use crate::support::server::Server;

const DAILY: &str = "[jobs.welcome-email]\ncron = [\"TZ=Europe/Berlin 30 6 * * MON-FRI\"]\n";

fn said(output: &std::process::Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_job_that_can_not_do_without_a_payload_is_broken_by_a_cron_and_serves_without() {
    let mut server = Server::start(&["dev"], Some(DAILY));
    let jobs = server.get("/api/v1/jobs").json();
    let broken: Vec<&Value> =
        jobs["items"].as_array().expect("items").iter().filter(|job| job["status"] == "broken").collect();
    assert_eq!(broken.len(), 1, "{jobs:#}");
    assert_eq!((&broken[0]["file"], &broken[0]["id"]), (&json!("welcome-email.wasm"), &Value::Null));
    let error = broken[0]["error"].as_str().expect("an error");
    assert!(error.contains("TZ=Europe/Berlin 30 6") && error.contains("/userId is required"), "{error}");
    let component = server.hopper().join("welcome-email.wasm");
    let (code, _, stderr) = said(&server.run(&["check", component.to_str().expect("UTF-8")]));
    assert!(code == Some(1) && stderr.contains("/userId is required"), "{stderr}");
    server.stop();
    std::fs::write(server.path().join("jobmill.toml"), "[jobs.welcome-email]\ncron = []\n").expect("written");
    server.restart();
    server.until_job("welcome-email", |job| job["status"] == "loaded");
}

#[test]
fn where_nothing_starts_by_itself_the_schedule_is_empty_and_triggers_nothing() {
    let server = Server::dev();
    assert_eq!(server.get("/api/v1/schedule").json(), json!({ "items": [], "next_cursor": null }));
    let (code, stdout, stderr) = said(&server.run(&["schedule", "list"]));
    assert_eq!((code, stdout.as_str()), (Some(0), ""));
    assert!(stderr.contains("no loaded job has a schedule"), "{stderr}");
    let (code, stdout, _) = said(&server.run(&["schedule", "list", "-o", "json"]));
    assert_eq!((code, stdout.as_str()), (Some(0), "{\"items\":[],\"next_cursor\":null}\n"));
    let (code, stdout, stderr) = said(&server.run(&["schedule", "trigger", "welcome-email"]));
    assert_eq!((code, stdout.as_str()), (Some(3), ""));
    assert!(stderr.starts_with("error[no-schedule]: the job welcome-email has no schedule\n"), "{stderr}");
    let (code, _, stderr) = said(&server.run(&["schedule", "trigger", "welcome-mail"]));
    assert!(code == Some(3) && stderr.contains("did you mean \"welcome-email\"?"), "{stderr}");
    assert_eq!(server.get("/api/v1/runs").json()["items"], json!([]));
}
