//! The hopper while it is being worked on: copies that are half done, files that take each other's place, a directory that is
//! gone for a while. Runs go on, and which file serves is the same after every start.

use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sandbox::guests::named;
use crate::sandbox::{bytes, canary, server};
use crate::support::guest::Guest;
use crate::support::server::{Server, pause};
use crate::support::{WATCHDOG, component};

/// A job under this id that says which text it is, and so has bytes of its own.
fn telling(id: &str, text: &str) -> Vec<u8> {
    let output = format!("\"{text}\"");
    let run = format!("(call $output (i32.const 2048) (i32.const {}))", output.len());
    named(Guest::new(&run).data(2048, &output), id).component()
}

fn told(server: &Server, id: &str) -> Value {
    let answer = server.post(&format!("/api/v1/jobs/{id}/runs?wait=20s"), &json!({ "payload": {} }));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["output"].clone()
}

/// Waits until runs of the job tell this.
fn until_told(server: &Server, id: &str, text: &str) {
    let began = Instant::now();
    loop {
        let now = told(server, id);
        if now == text {
            return;
        }
        assert!(began.elapsed() < WATCHDOG, "still {now} and not {text}: {}", server.log());
        pause();
    }
}

/// Writes the bytes over the file in place, in this time.
fn copy_slowly(file: &mut File, bytes: &[u8], span: Duration) {
    let chunks = 30;
    for chunk in bytes.chunks(bytes.len() / chunks + 1) {
        file.write_all(chunk).and_then(|()| file.flush()).expect("written");
        std::thread::park_timeout(span / u32::try_from(chunks).expect("few"));
    }
}

#[test]
fn half_a_copy_never_serves_and_no_run_fails_meanwhile() {
    let server = server("");
    let path = server.hopper().join("canary.wasm");
    let good = server.until_job(canary::CANARY, |job| job["status"] == "loaded")["version"].clone();
    // Each part is complete after its sections, so a copy that stands still may well be read.
    let later: Vec<Vec<u8>> = (1..=4).map(|build| telling(canary::CANARY, &build.to_string())).collect();
    // The canary's runs are the check: each must complete.
    canary::beside(&server, || {
        let mut copied = File::create(&path).expect("created");
        copy_slowly(&mut copied, &later[0], Duration::from_secs(3));
        drop(copied);
        until_told(&server, canary::CANARY, "1");
        component::put(&server.hopper(), "canary.wasm", &later[1]);
        until_told(&server, canary::CANARY, "2");
        let mut truncated = File::options().write(true).open(&path).expect("opened");
        truncated.set_len(0).and_then(|()| truncated.rewind()).expect("truncated");
        server.until_job(canary::CANARY, |job| job["error"].is_string());
        assert_eq!(told(&server, canary::CANARY), "2", "the last good one serves");
        copy_slowly(&mut truncated, &later[2], Duration::from_millis(500));
        drop(truncated);
        until_told(&server, canary::CANARY, "3");
        let touched = File::options().write(true).open(&path).expect("opened");
        touched.set_modified(std::time::SystemTime::now()).expect("touched");
        component::put(&server.hopper(), "canary.wasm", &later[3]);
        until_told(&server, canary::CANARY, "4");
    });
    assert_ne!(server.until_job(canary::CANARY, |job| job["error"].is_null())["version"], good);
}

/// Whether the server has a child, which is a compiler.
fn is_compiling(server: &Server) -> bool {
    let processes = fs::read_dir("/proc").expect("listed").filter_map(Result::ok);
    let mut parents = processes.filter_map(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        // After the name in parentheses: the state, and the parent.
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    });
    parents.any(|parent| parent == server.process_id())
}

#[test]
fn a_component_that_takes_long_to_compile_holds_up_no_other() {
    let server = server("");
    component::put(&server.hopper(), "long.wasm", &bytes::blocks(100_000));
    let began = Instant::now();
    while !is_compiling(&server) {
        assert!(began.elapsed() < WATCHDOG, "{}", server.log());
        pause();
    }
    component::put(&server.hopper(), "quick.wasm", &telling("quick", "1"));
    server.until_job("quick", |job| job["status"] == "loaded");
    assert!(is_compiling(&server), "it waited for the other, {:?}", began.elapsed());
    assert_eq!(told(&server, "quick"), "1");
}

#[test]
fn a_directory_that_is_gone_takes_no_job_with_it_and_is_followed_when_it_is_back() {
    let server = server("");
    let (hopper, aside) = (server.hopper(), server.path().join("aside"));
    canary::beside(&server, || {
        fs::rename(&hopper, &aside).expect("renamed");
        let began = Instant::now();
        while !server.log().contains("the hopper can't be read") {
            assert!(began.elapsed() < WATCHDOG, "nobody is told: {}", server.log());
            pause();
        }
        fs::rename(&aside, &hopper).expect("renamed");
        component::put(&hopper, "back.wasm", &telling("back", "1"));
        server.until_job("back", |job| job["status"] == "loaded");
        // Another directory under the same name.
        fs::rename(&hopper, &aside).expect("renamed");
        let fresh = server.path().join("fresh");
        fs::create_dir(&fresh).expect("made");
        fs::copy(aside.join("canary.wasm"), fresh.join("canary.wasm")).expect("copied");
        fs::write(fresh.join("other.wasm"), telling("other", "1")).expect("written");
        fs::rename(&fresh, &hopper).expect("renamed");
        server.until_job("other", |job| job["status"] == "loaded");
        server.until_job("back", |job| job["status"] == "retired");
    });
}

#[test]
fn of_two_files_with_one_id_the_same_serves_after_every_start() {
    let mut server = server("");
    component::put(&server.hopper(), "b.wasm", &telling("shared", "b"));
    until_loaded(&server, "shared");
    component::put(&server.hopper(), "a.wasm", &telling("shared", "a"));
    component::put(&server.hopper(), "c.wasm", &telling("shared", "c"));
    for _ in 0..3 {
        until_told(&server, "shared", "a");
        let began = Instant::now();
        loop {
            let jobs = server.get("/api/v1/jobs").json();
            let items = jobs["items"].as_array().expect("items").iter();
            let reasons: Vec<&str> = items.filter_map(|job| job["error"].as_str()).collect();
            if reasons.len() == 2 && reasons.iter().all(|told| told.contains("shared") && told.contains("a.wasm")) {
                break;
            }
            assert!(began.elapsed() < WATCHDOG, "{jobs:#}");
            pause();
        }
        server.kill();
        server.restart();
    }
    fs::remove_file(server.hopper().join("a.wasm")).expect("removed");
    until_told(&server, "shared", "b");
}

fn until_loaded(server: &Server, id: &str) {
    server.until_job(id, |job| job["status"] == "loaded");
}

#[test]
fn a_run_ends_on_what_it_began_with_when_its_file_is_replaced_or_removed() {
    let server = server("[jobs.slow]\nretries = 0\n");
    // A sleep of two seconds, and then a word.
    let slow = |text: &str| {
        let output = format!("\"{text}\"");
        let run = format!(
            "(call $block (call $timer (i64.const 2000000000))) (call $output (i32.const 2048) (i32.const {}))",
            output.len()
        );
        let guest = Guest::new(&run)
            .data(2048, &output)
            .import_from(
                "wasi:clocks/monotonic-clock@0.2.0",
                "subscribe-duration",
                "$timer",
                "(param i64) (result i32)",
            )
            .import_from("wasi:io/poll@0.2.0", "[method]pollable.block", "$block", "(param i32)");
        named(guest, "slow").component()
    };
    component::put(&server.hopper(), "slow.wasm", &slow("first"));
    let first = server.until_job("slow", |job| job["status"] == "loaded")["version"].clone();
    let running = server.enqueue("slow", &json!({}));
    server.until(&running, |run| run["state"] == "running");
    component::put(&server.hopper(), "slow.wasm", &slow("second"));
    server.until_job("slow", |job| job["version"] != first);
    let next = server.enqueue("slow", &json!({}));
    server.until(&next, |run| run["state"] == "running");
    fs::remove_file(server.hopper().join("slow.wasm")).expect("removed");
    server.until_job("slow", |job| job["status"] == "retired");
    assert_eq!(server.finished(&running)["output"], "first");
    assert_eq!(server.finished(&next)["output"], "second");
}
