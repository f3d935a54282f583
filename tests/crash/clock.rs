//! The wall clock jumps by an hour, there and back, while it serves. Time as it really passes is the monotonic clock's.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::crash::kills::park;
use crate::crash::ledger::{self, Ledger};
use crate::crash::setting;
use crate::crash::shim::{self, Dial};
use crate::support::random::Random;
use crate::support::server::Server;
use crate::support::smtp::{MailServer, Reply};

const HOUR: i64 = 3600;

/// Starts a server behind a wall clock that the dial moves.
fn dial_for(server: &mut Server) -> Dial {
    let dial = Dial::new(server.path().join("clock"), 0);
    server.set_environment(shim::environment("wall_clock", [("WALL_CLOCK_FILE", dial.path().into())]));
    server.restart();
    dial
}

/// The processor time that a process took so far.
fn processor_time(id: u32) -> Duration {
    let text = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat")).expect("it runs");
    let after_name = &text[text.rfind(')').expect("a name")..];
    let ticks: u64 = after_name.split(' ').skip(12).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn jumps_of_the_clock_lose_nothing_double_nothing_and_spin_nothing() {
    let mut random = Random::of_this_run("clock jumps");
    let mut server = setting::captures();
    let dial = dial_for(&mut server);
    let mut ledger = Ledger::new(&mut random);
    let load = ledger.begin(&server.url, usize::MAX);
    for hours in [1, 0, -1, 1, -1, 0] {
        park(Duration::from_millis(300 + random.below(200)));
        dial.set(hours * HOUR);
    }
    park(Duration::from_millis(300));
    ledger.stop(load);
    assert!(ledger.take_refusals().is_empty(), "refused though nothing is short");
    let runs = ledger.settle(&server);
    assert_eq!(ledger::all_completed(&runs), 0, "an attempt died");
    println!("{} answered, {} runs", ledger.acknowledged(), runs.len());
    ledger::one_mail_each(&server, &runs);
    for hours in [1, -1, 0] {
        dial.set(hours * HOUR);
        let before = processor_time(server.process_id());
        park(Duration::from_secs(1));
        let taken = processor_time(server.process_id()).saturating_sub(before);
        assert!(taken < Duration::from_millis(300), "{taken:?} of a second spent on nothing at {hours} h");
    }
}

#[test]
fn a_run_that_waits_is_not_stuck_by_a_clock_that_went_back_and_is_right_again() {
    let mut server = setting::captures();
    let dial = dial_for(&mut server);
    dial.set(-HOUR);
    let body = json!({ "payload": { "userId": "u_1", "email": "a@example.com" }, "delay": "1s" });
    let asked = Instant::now();
    let answer = server.post("/api/v1/jobs/welcome-email/runs", &body);
    assert_eq!(answer.status, 202, "{answer:?}");
    dial.set(0);
    let run = server.finished(answer.json()["id"].as_str().expect("an id"));
    assert_eq!(run["state"], "completed");
    assert!(run["started_at"].as_str() >= run["scheduled_at"].as_str(), "{run:#}");
    assert!(asked.elapsed() < Duration::from_secs(4), "it started {:?} after it was asked for", asked.elapsed());
}

#[test]
fn an_attempt_under_way_is_not_ended_by_a_jump_of_the_clock() {
    let mail = MailServer::start();
    mail.script([Reply::Stall]);
    let mut server = setting::sends(&mail);
    let dial = dial_for(&mut server);
    let id = server.enqueue("welcome-email", &json!({ "userId": "u_1", "email": "a@example.com" }));
    mail.wait(1);
    dial.set(HOUR);
    park(Duration::from_secs(2));
    let run = server.run_of(&id);
    assert_eq!((&run["state"], &run["attempt"]), (&json!("running"), &json!(1)), "{run:#}");
}
