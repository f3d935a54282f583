//! What is wanted and not there yet: declare this module beside the others once it is.
//! It repeats nothing that is tested already.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::crash::clock::{HOUR, dial_for};
use crate::crash::disk_full::{MIB, server_with_room};
use crate::crash::kills::park;
use crate::crash::ledger::{self, Ledger};
use crate::crash::setting;
use crate::support::WATCHDOG;
use crate::support::random::Random;
use crate::support::server::pause;
use crate::support::smtp::{MailServer, Reply};

#[test]
fn a_run_that_waits_starts_neither_early_nor_late_by_a_jump_of_the_clock() {
    for hours in [1, -1] {
        let mut server = setting::captures();
        let dial = dial_for(&mut server);
        let delay = Duration::from_secs(2);
        let body = json!({ "payload": { "userId": "u_1", "email": "a@example.com" }, "delay": "2s" });
        let asked = Instant::now();
        let answer = server.post("/api/v1/jobs/welcome-email/runs", &body);
        assert_eq!(answer.status, 202, "{answer:?}");
        dial.set(hours * HOUR);
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        let run = server.finished(&id);
        let waited = asked.elapsed();
        assert_eq!(run["state"], "completed");
        assert!(waited >= delay, "it started {:?} early by a jump of {hours} h", delay.checked_sub(waited));
        assert!(
            waited < delay + Duration::from_secs(3),
            "it started {waited:?} after it was asked for by a jump of {hours} h"
        );
    }
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

#[test]
fn a_full_disk_is_answered_with_a_refusal_and_needs_no_restart() {
    let mut random = Random::of_this_run("disk full, served");
    let (mut server, dial) = server_with_room(MIB);
    let mut ledger = Ledger::new(&mut random);
    let load = ledger.begin(&server.url, usize::MAX);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        assert_eq!(server.ended(), None, "it ended\n{}", server.log());
        pause();
    }
    ledger.stop(load);
    let refusals = ledger.take_refusals();
    assert!(!refusals.is_empty(), "{} answered and the disk is not full", ledger.acknowledged());
    for refusal in &refusals {
        assert!(matches!(refusal.status, 503 | 507), "{refusal:?}");
        assert!(!refusal.code().is_empty(), "{refusal:?}");
    }
    assert_eq!(server.get("/api/v1/runs").status, 200, "what is there can be read");
    let before = ledger.acknowledged();
    dial.set(i64::MAX / 2);
    let started = Instant::now();
    while ledger.acknowledged() < before + 100 {
        assert!(started.elapsed() < WATCHDOG, "it does not go on: {:?}", ledger.take_refusals().pop());
        let load = ledger.begin(&server.url, 20);
        ledger.end(load);
    }
    ledger.take_refusals();
    assert_eq!(server.ended(), None, "it ended\n{}", server.log());
    let runs = ledger.settle(&server);
    ledger::all_completed(&runs);
    ledger::one_mail_each(&server, &runs);
}
