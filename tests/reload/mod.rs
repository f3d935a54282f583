//! Components replaced, broken and removed while work goes on.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::server::{Server, agent, ask, pause};
use crate::support::{WATCHDOG, component};

const JOB: &str = "welcome-email";
const REPLACEMENTS: u32 = 20;
/// The load goes on for this long, at this many runs a second.
const LOAD: Duration = Duration::from_secs(20);
const RATE: u32 = 50;

fn welcome(number: u32) -> Value {
    json!({ "userId": format!("u_{number}"), "email": format!("user{number}@example.com") })
}

/// Writes over the file in place, slowly: what `cp` does on a slow disk.
fn slow_copy(server: &Server, bytes: &[u8]) {
    let mut file = File::create(server.hopper().join(format!("{JOB}.wasm"))).expect("created");
    for chunk in bytes.chunks(bytes.len() / 8 + 1) {
        file.write_all(chunk).expect("written");
        std::thread::park_timeout(Duration::from_millis(40));
    }
}

#[test]
fn no_run_fails_while_a_job_is_replaced_twenty_times_under_load() {
    let server = Server::dev();
    let started = Instant::now();
    let ids = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut ids = Vec::new();
            for number in 0..RATE * u32::try_from(LOAD.as_secs()).expect("short") {
                while started.elapsed() < Duration::from_secs(1) * number / RATE {
                    pause();
                }
                ids.push(server.enqueue(JOB, &welcome(number)));
            }
            ids
        });
        let replacing = scope.spawn(|| {
            for build in 1..=REPLACEMENTS {
                while started.elapsed() < LOAD * build / (REPLACEMENTS + 1) {
                    pause();
                }
                let bytes = component::version(JOB, build);
                if build % 2 == 0 {
                    component::put(&server.hopper(), &format!("{JOB}.wasm"), &bytes);
                } else {
                    slow_copy(&server, &bytes);
                }
            }
        });
        replacing.join().expect("no panic");
        load.join().expect("no panic")
    });
    let mut versions = BTreeSet::new();
    for id in &ids {
        let run = server.finished(id);
        assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run:#}");
        versions.insert(run["attempts"][0]["version"].as_str().expect("a version").to_owned());
    }
    assert_eq!(ids.len(), 1_000);
    assert!(versions.len() >= 15, "only {} versions ran: {versions:?}", versions.len());
}

#[test]
fn the_last_version_serves_the_next_run() {
    let server = Server::dev();
    let before = server.until_job(JOB, |job| job["status"] == "loaded")["version"].clone();
    component::put(&server.hopper(), &format!("{JOB}.wasm"), &component::version(JOB, 99));
    let listing = server.until_job(JOB, |job| job["version"] != before);
    let run = server.finished(&server.enqueue(JOB, &welcome(1)));
    assert_eq!(run["attempts"][0]["version"], listing["version"]);
}

#[test]
fn a_garbage_file_leaves_the_last_good_version_serving_and_shows_why() {
    let server = Server::dev();
    let good = server.until_job(JOB, |job| job["status"] == "loaded")["version"].clone();
    for garbage in [b"garbage".as_slice(), b"", b"\0asm\x01\0\0\0", b"(component)", &component::bytes(JOB)[..5_000]] {
        component::put(&server.hopper(), &format!("{JOB}.wasm"), garbage);
        let broken = server.until_job(JOB, |job| job["error"].is_string());
        assert_eq!((&broken["status"], &broken["version"]), (&json!("loaded"), &good), "{broken:#}");
        assert!(broken["broken_since"].is_string());
        let run = server.finished(&server.enqueue(JOB, &welcome(1)));
        assert_eq!((&run["state"], &run["version"]), (&json!("completed"), &good));
        component::put(&server.hopper(), &format!("{JOB}.wasm"), &component::bytes(JOB));
        server.until_job(JOB, |job| job["error"].is_null());
    }
    component::put(&server.hopper(), "strange.wasm", b"never loaded");
    let started = Instant::now();
    loop {
        let jobs = server.get("/api/v1/jobs").json();
        let items = jobs["items"].as_array().expect("items");
        if let Some(strange) = items.iter().find(|job| job["file"] == "strange.wasm") {
            assert_eq!((&strange["id"], &strange["status"]), (&Value::Null, &json!("broken")));
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{jobs:#}");
        pause();
    }
}

#[test]
fn runs_of_a_removed_job_wait_without_spending_attempts() {
    let server = Server::dev();
    let body = json!({ "payload": welcome(1), "delay": "1s" });
    let id = server.post(&format!("/api/v1/jobs/{JOB}/runs"), &body).json()["id"].as_str().expect("an id").to_owned();
    std::fs::remove_file(server.hopper().join(format!("{JOB}.wasm"))).expect("removed");
    server.until_job(JOB, |job| job["status"] == "retired");
    let run = server.until(&id, |run| run["state"] == "available");
    assert_eq!((&run["waiting_for"]["kind"], &run["attempt"]), (&json!("no-component"), &json!(0)), "{run:#}");
    assert_eq!(server.post(&format!("/api/v1/jobs/{JOB}/runs"), &json!({ "payload": welcome(2) })).status, 404);
    component::put(&server.hopper(), &format!("{JOB}.wasm"), &component::bytes(JOB));
    assert_eq!(server.finished(&id)["state"], "completed");
}

#[test]
fn what_was_put_into_the_hopper_just_before_the_start_hears_the_first_event() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let listen = format!("127.0.0.1:{port}");
    // The three files were written this moment, so they have not been quiet for long.
    let mut server = Server::prepared(&["dev", "--listen", &listen], None);
    server.begin();
    let (agent, url) = (agent(WATCHDOG), format!("http://{listen}/api/v1/events"));
    let event = json!({ "name": "email/welcome", "data": { "userId": "u", "email": "ada@example.com" } }).to_string();
    let started = Instant::now();
    let answer = loop {
        match ask(&agent, "POST", &url, &[("content-type", "application/json")], Some(event.as_bytes())) {
            Ok(answer) if answer.status != 503 => break answer,
            _ => assert!(started.elapsed() < WATCHDOG, "it does not serve: {}", server.log()),
        }
        pause();
    };
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["events"][0]["runs"].as_array().map(Vec::len), Some(1), "{answer:?}");
}
