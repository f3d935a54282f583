//! Very many replacements of a job under load: no run fails, old versions are freed, and memory comes to rest.
//! `REPLACEMENTS=1000` is the full size.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sandbox::guests::named;
use crate::sandbox::{canary, server};
use crate::support::guest::Guest;
use crate::support::random::rounds;
use crate::support::server::{Server, agent, ask, pause};
use crate::support::{WATCHDOG, component};

const REPLACEMENTS: u64 = 100;
/// Between two runs: fifty a second.
const EVERY: Duration = Duration::from_millis(20);
/// So many callers share that, so that one slow answer does not thin the load.
const CALLERS: u32 = 4;

/// Versions of jobs that are in memory.
fn components(server: &Server) -> u64 {
    let metrics = server.get("/metrics").text;
    let line = metrics.lines().find_map(|line| line.strip_prefix("jobmill_components ")).expect("it is counted");
    line.parse().expect("a number")
}

/// Runs the canary all the time, and gives the ids.
fn load(server: &Server, over: &AtomicBool) -> Vec<String> {
    let (agent, url) = (agent(WATCHDOG), format!("{}/api/v1/jobs/{}/runs", server.url, canary::CANARY));
    let body = json!({ "payload": {} }).to_string();
    let (began, mut ids) = (Instant::now(), Vec::new());
    for number in 0_u32.. {
        while began.elapsed() < EVERY * CALLERS * number {
            pause();
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
        let answer = ask(&agent, "POST", &url, &[("content-type", "application/json")], Some(body.as_bytes()));
        let answer = answer.unwrap_or_else(|error| panic!("the server answers no more: {error}\n{}", server.log()));
        assert_eq!(answer.status, 202, "{answer:?}");
        ids.push(answer.json()["id"].as_str().expect("an id").to_owned());
    }
    ids
}

/// Replaces the canary so often, each time once the last one serves, and gives how much memory there was after each.
fn replace(server: &Server, replacements: u64) -> Vec<u64> {
    let guest = named(Guest::new("(call $done)"), canary::CANARY);
    let mut last = Value::Null;
    let mut memory = Vec::new();
    for build in 0..replacements {
        // Other code each time, so that none of it is in the cache.
        let code = format!("(func (export \"build\") (result i32) (i32.const {build}))");
        component::put(&server.hopper(), "canary.wasm", &guest.clone().item(&code).component());
        let now = server.until_job(canary::CANARY, |job| job["version"] != last && job["error"].is_null());
        last = now["version"].clone();
        memory.push(canary::memory(server));
    }
    memory
}

fn mean(numbers: &[u64]) -> u64 {
    numbers.iter().sum::<u64>() / numbers.len() as u64
}

#[test]
fn very_many_replacements_under_load_fail_no_run_and_leave_nothing_behind() {
    let server = server("[hopper]\nquiet_ms = 50\n");
    assert_eq!(components(&server), 1);
    let over = AtomicBool::new(false);
    let (memory, ids) = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(|| load(&server, &over))).collect();
        let memory = replace(&server, rounds("REPLACEMENTS", REPLACEMENTS));
        over.store(true, Ordering::Relaxed);
        let ids: Vec<String> = callers.into_iter().flat_map(|caller| caller.join().expect("no panic")).collect();
        (memory, ids)
    });
    for id in &ids {
        let run = server.finished(id);
        assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run:#}");
    }
    let ended = Instant::now();
    while components(&server) != 1 {
        assert!(ended.elapsed() < WATCHDOG, "{} versions are still in memory", components(&server));
        pause();
    }
    let quarter = memory.len() / 4;
    let (second, fourth) = (mean(&memory[quarter..quarter * 2]), mean(&memory[quarter * 3..]));
    println!("{} runs; {} MiB in the second quarter, {} MiB in the last", ids.len(), second >> 20, fourth >> 20);
    assert!(fourth < second * 6 / 5, "{} MiB in the second quarter, {} MiB in the last", second >> 20, fourth >> 20);
}
