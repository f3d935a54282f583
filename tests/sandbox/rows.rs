//! The hostile components of `guests`, each dropped into the hopper of one server and run there, beside the canary.
//! The server is the same process at the end, its memory stays within what it grants, and it still loads jobs.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sandbox::guests::{End, LOOPS_AT_EACH_START, Refused, Running, named, refused, running};
use crate::sandbox::{canary, server};
use crate::support::guest::Guest;
use crate::support::server::{Server, pause};
use crate::support::{WATCHDOG, component};

/// Hostile runs at once.
const AT_ONCE: u64 = 4;
/// What one attempt may have, and what all may have beside that of the server itself.
const GRANTED: u64 = 64 << 20;
/// Mails that a run may send, and one of them floods mailboxes.
const MAILS: usize = 3;
/// Runs on the idle server.
const IDLE_RUNS: usize = 20;

/// What the server may have, if it has this before: what it grants, and a fifth.
fn cap(before: u64) -> u64 {
    (before + AT_ONCE * GRANTED) * 6 / 5
}

fn configuration(rows: &[Running]) -> String {
    let mut text = format!("[queues.hostile]\nconcurrency = {AT_ONCE}\n");
    for row in rows {
        // What is to meet another bound has the time to, however busy the machine is.
        let timeout = if matches!(row.end, End::Failed("timeout", _)) { "1s" } else { "30s" };
        let bounds = format!("queue = \"hostile\"\nretries = 0\nmails_per_run = {MAILS}");
        writeln!(text, "[jobs.{}]\n{bounds}\ntimeout = \"{timeout}\"", row.id).expect("a String");
    }
    writeln!(text, "[jobs.{LOOPS_AT_EACH_START}.config]\nloop = \"yes\"").expect("a String");
    text
}

/// What the run came to, if that is not what it must come to.
fn difference(run: &Value, end: End) -> Option<String> {
    let error = &run["attempts"][0]["error"];
    let is_so = match end {
        End::Failed(kind, message) => {
            run["state"] == "dead"
                && error["kind"] == kind
                && error["message"].as_str().is_some_and(|told| told.contains(message))
        }
        End::Output(output) => {
            let told = run["output"].as_str().map_or_else(|| run["output"].to_string(), str::to_owned);
            run["state"] == "completed" && told == output
        }
    };
    (!is_so).then(|| format!("must be {end:?}, and is {}: {error:#} {}", run["state"], run["output"]))
}

/// What a browser shows has no markup of a guest in it.
fn assert_no_markup(page: &str, text: &str) {
    assert!(text.contains("</html>"), "{page} is no page: {text}");
    assert!(!text.contains("<script>alert"), "{page}");
    assert_no_control(page, text);
}

/// What a terminal shows moves no cursor.
fn assert_no_control(place: &str, text: &str) {
    let control = text.chars().find(|it| it.is_control() && !matches!(it, '\n' | '\t' | '\r'));
    assert_eq!(control, None, "{place}");
}

/// Hands every component over and waits until each is loaded.
fn drop_all(server: &Server, rows: &[Running]) {
    for row in rows {
        component::put(&server.hopper(), &format!("{}.wasm", row.id), &row.guest.component());
    }
    for row in rows {
        server.until_job(row.id, |job| job["status"] == "loaded");
    }
}

#[test]
fn a_hostile_run_fails_alone_and_by_its_right_name() {
    let rows = running();
    let server = server(&configuration(&rows));
    let process = server.process_id();
    let bound = canary::idle(&server, IDLE_RUNS).bound();
    drop_all(&server, &rows);
    let before = canary::memory(&server);
    let (seen, runs) = canary::beside(&server, || {
        let ids: Vec<String> = rows.iter().map(|row| server.enqueue(row.id, &json!({}))).collect();
        let again = server.enqueue("s35-memory-of-another-run", &json!({}));
        let mut runs: Vec<Value> = ids.iter().map(|id| server.finished(id)).collect();
        runs.push(server.finished(&again));
        runs
    });
    let ends = rows.iter().map(|row| (row.id, row.end)).chain([("s35 once more", End::Output("1"))]);
    let wrong: Vec<String> =
        ends.zip(&runs).filter_map(|((id, end), run)| Some(format!("{id} {}", difference(run, end)?))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.memory <= cap(before), "{} MiB, and before {} MiB", seen.memory >> 20, before >> 20);
    assert_eq!(server.mails().len(), MAILS);
    for run in &runs {
        let id = run["id"].as_str().expect("an id");
        assert_no_markup(id, &server.get(&format!("/runs/{id}")).text);
        let shown = server.run(&["runs", "show", id]);
        assert!(shown.status.success(), "{shown:?}");
        assert_no_control(id, &String::from_utf8_lossy(&shown.stdout));
        let logs = server.get(&format!("/api/v1/runs/{id}/logs")).json();
        assert!(logs["items"].as_array().is_some_and(|lines| lines.len() <= 501), "{logs:#}");
    }
    assert_no_control("the log", &std::fs::read_to_string(server.path().join("jobmill.log")).expect("readable"));
    assert_goes_on(server, process);
    assert!(seen.p99() <= bound, "{:?} instead of {bound:?} at most: {:?}", seen.p99(), seen.runs);
}

/// The files that are listed as broken, as (file, reason).
fn broken(server: &Server) -> Vec<(String, String)> {
    let jobs = server.get("/api/v1/jobs").json();
    let items = jobs["items"].as_array().expect("items").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    items.filter(|job| job["error"].is_string()).map(|job| (text(&job["file"]), text(&job["error"]))).collect()
}

#[test]
fn a_hostile_component_is_refused_by_its_right_reason_and_the_others_serve() {
    let rows = refused();
    let server = server("");
    let process = server.process_id();
    let bound = canary::idle(&server, IDLE_RUNS).bound();
    let before = canary::memory(&server);
    let began = Instant::now();
    let (seen, listed) = canary::beside(&server, || {
        for Refused { file, bytes, .. } in &rows {
            component::put(&server.hopper(), &format!("{file}.wasm"), bytes);
        }
        loop {
            let listed = broken(&server);
            if listed.len() == rows.len() || began.elapsed() > WATCHDOG {
                return listed;
            }
            pause();
        }
    });
    let mut wrong = Vec::new();
    for Refused { file, reason, .. } in &rows {
        let told = listed.iter().find(|(name, _)| *name == format!("{file}.wasm")).map(|(_, told)| told.as_str());
        if !told.is_some_and(|told| told.contains(reason) && told.len() < 5_000) {
            wrong.push(format!("{file}: must be refused for {reason:?}, and is {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.memory <= cap(before), "{} MiB, and before {} MiB", seen.memory >> 20, before >> 20);
    for page in ["/", "/jobs"] {
        assert_no_markup(page, &server.get(page).text);
    }
    assert_no_control("the log", &std::fs::read_to_string(server.path().join("jobmill.log")).expect("readable"));
    assert_goes_on(server, process);
    assert!(seen.p99() <= bound, "{:?} instead of {bound:?} at most: {:?}", seen.p99(), seen.runs);
}

/// It is the same process, and it loads and runs a job that comes now.
fn assert_goes_on(mut server: Server, process: u32) {
    component::put(&server.hopper(), "late.wasm", &named(Guest::new("(call $done)"), "late").component());
    server.until_job("late", |job| job["status"] == "loaded");
    let answer = server.post("/api/v1/jobs/late/runs?wait=20s", &json!({ "payload": {} }));
    assert_eq!(answer.json()["state"], "completed", "{answer:?}");
    assert_eq!((server.ended(), server.process_id()), (None, process), "{}", server.log());
    assert!(canary::idle(&server, 1).p99() < Duration::from_secs(20));
}
