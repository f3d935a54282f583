//! Jobs rolled back to an earlier version: by hand under load, by themselves, over restarts and kills.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::component;
use crate::support::server::{Server, agent, ask, pause};

const JOB: &str = "welcome-email";
/// The load of a rollback goes on for this long, at this many runs a second.
const LOAD: Duration = Duration::from_secs(6);
const RATE: u32 = 50;
const JSON: (&str, &str) = ("content-type", "application/json");

/// A version of the job that traps as soon as it runs.
const TRAPS: &[u8] = include_bytes!("../fixtures/components/traps/welcome-email.wasm");

fn welcome(number: u32) -> Value {
    json!({ "userId": format!("u_{number}"), "email": format!("user{number}@example.com") })
}

fn put(server: &Server, bytes: &[u8]) {
    component::put(&server.hopper(), &format!("{JOB}.wasm"), bytes);
}

/// Puts a version into the hopper and waits until it serves and its component is kept; answers it.
fn deploy(server: &Server, bytes: &[u8]) -> String {
    let before = server.get(&format!("/api/v1/jobs/{JOB}")).json()["version"].clone();
    put(server, bytes);
    let job = server.until_job(JOB, |job| job["version"] != before && job["error"].is_null());
    let version = job["version"].as_str().expect("a version").to_owned();
    until_kept(server, &version);
    version
}

fn until_kept(server: &Server, version: &str) {
    let began = Instant::now();
    loop {
        let versions = server.get(&format!("/api/v1/jobs/{JOB}/versions")).json();
        let mut items = versions["items"].as_array().expect("a list").iter();
        if items.any(|it| it["version"] == version && it["kept"] == true) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{versions:#}");
        pause();
    }
}

fn loaded(server: &Server) -> String {
    let job = server.until_job(JOB, |job| job["status"] == "loaded");
    let version = job["version"].as_str().expect("a version").to_owned();
    until_kept(server, &version);
    version
}

fn roll_back(server: &Server, body: &Value) -> Value {
    let answer = server.post(&format!("/api/v1/jobs/{JOB}/rollback"), body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The version on which a new run completes.
fn runs_on(server: &Server, number: u32) -> Value {
    let run = server.finished(&server.enqueue(JOB, &welcome(number)));
    assert_eq!(run["state"], "completed", "{run:#}");
    run["version"].clone()
}

#[test]
fn no_run_fails_while_a_job_is_rolled_back_and_unpinned_under_load() {
    let server = Server::dev();
    let first = loaded(&server);
    let second = deploy(&server, &component::version(JOB, 2));
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
        let rolling = scope.spawn(|| {
            for turn in 1..=4 {
                while started.elapsed() < LOAD * turn / 5 {
                    pause();
                }
                if turn % 2 == 1 {
                    assert_eq!(roll_back(&server, &json!({}))["version"], json!(first));
                } else {
                    let answer = server.post(&format!("/api/v1/jobs/{JOB}/unpin"), &json!({}));
                    assert_eq!(answer.json()["version"], json!(second), "{answer:?}");
                }
            }
        });
        rolling.join().expect("no panic");
        load.join().expect("no panic")
    });
    let mut ran = [0, 0];
    for id in &ids {
        let run = server.finished(id);
        assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run:#}");
        ran[usize::from(run["attempts"][0]["version"] == json!(second))] += 1;
    }
    assert!(ran[0] > 20 && ran[1] > 20, "both versions ran: {ran:?}");
}

#[test]
fn a_pin_holds_over_a_restart_and_a_newer_file_which_serves_once_it_is_taken_back() {
    let mut server = Server::dev();
    let first = loaded(&server);
    deploy(&server, &component::version(JOB, 2));
    let output = server.run(&["jobs", "rollback", JOB, &first[..6], "--reason", "mails are empty"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains(&format!("{JOB} serves {first} until")), "{told}");
    put(&server, &component::version(JOB, 3));
    let job = server.until_job(JOB, |job| job["waits"].is_string());
    assert_eq!((&job["version"], &job["pinned"]["reason"]), (&json!(first), &json!("mails are empty")));
    server.stop();
    server.restart();
    let job = server.until_job(JOB, |job| job["status"] == "loaded");
    assert_eq!(job["version"], json!(first), "before any work was taken");
    assert_eq!(runs_on(&server, 1), json!(first));
    put(&server, b"garbage");
    server.until_job(JOB, |job| job["error"].is_string());
    server.stop();
    server.restart();
    assert_eq!(runs_on(&server, 2), json!(first), "also where the file can't be loaded");
    put(&server, &component::version(JOB, 3));
    server.until_job(JOB, |job| job["error"].is_null() && job["waits"].is_string());
    let output = server.run(&["jobs", "unpin", JOB]);
    assert!(output.status.success(), "{output:?}");
    assert_ne!(runs_on(&server, 3), json!(first));
    let check = server.run(&["store", "check"]);
    assert!(String::from_utf8_lossy(&check.stdout).contains("components"), "{check:?}");
}

#[test]
fn a_rollback_that_was_answered_holds_over_a_kill_and_one_that_was_cut_off_is_whole_or_not_there() {
    let mut server = Server::dev();
    let first = loaded(&server);
    let second = deploy(&server, &component::version(JOB, 2));
    for turn in 0_u32..8 {
        if turn % 2 == 0 {
            // Answered: it is durable.
            roll_back(&server, &json!({ "version": first }));
            server.kill();
            server.restart();
            assert_eq!(runs_on(&server, turn), json!(first));
            assert_eq!(server.post(&format!("/api/v1/jobs/{JOB}/unpin"), &json!({})).status, 200);
        } else {
            // Cut off a moment after it was asked for.
            let path = format!("/api/v1/jobs/{JOB}/rollback");
            let url = server.url.clone();
            let asked = std::thread::spawn(move || {
                let agent = agent(Duration::from_secs(5));
                let _ = ask(&agent, "POST", &format!("{url}{path}"), &[JSON], Some(b"{}"));
            });
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(2) * turn {
                std::hint::spin_loop();
            }
            server.kill();
            asked.join().expect("no panic");
            server.restart();
            let job = server.until_job(JOB, |job| job["status"] == "loaded");
            let expected = if job["pinned"].is_null() { &second } else { &first };
            assert_eq!((&job["version"], &runs_on(&server, turn)), (&json!(expected), &json!(expected)), "{job:#}");
            if !job["pinned"].is_null() {
                assert_eq!(server.post(&format!("/api/v1/jobs/{JOB}/unpin"), &json!({})).status, 200);
            }
        }
    }
}

#[test]
fn a_version_that_traps_is_rolled_back_by_itself() {
    let server = Server::start(&["dev"], Some("[hopper]\nauto_rollback = true\n"));
    let first = loaded(&server);
    for number in 0..3 {
        assert_eq!(runs_on(&server, number), json!(first));
    }
    let second = deploy(&server, TRAPS);
    let ids: Vec<String> = (10..14).map(|number| server.enqueue(JOB, &welcome(number))).collect();
    let job = server.until_job(JOB, |job| job["pinned"].is_object());
    assert_eq!((&job["version"], &job["waits"]), (&json!(first), &json!(second)), "{job:#}");
    let pin = &job["pinned"];
    let reason = pin["reason"].as_str().expect("a reason");
    assert!(pin["by"] == "jobmill" && reason.contains(&second) && reason.contains("trap"), "{pin:#}");
    for id in &ids {
        // Each was tried again, on what serves then: some have died before.
        server.finished(id);
    }
    assert_eq!(runs_on(&server, 20), json!(first));
    let audit = server.get("/api/v1/audit").json();
    assert_eq!(
        (&audit["items"][0]["action"], &audit["items"][0]["outcome"]),
        (&json!("jobs rollback"), &json!("done"))
    );
}
