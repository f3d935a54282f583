//! More than one process on a data directory, and a process that stands still for a while.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::crash::kills::{READY_WITHIN, park};
use crate::crash::ledger::{self, Ledger};
use crate::crash::setting;
use crate::support::random::Random;
use crate::support::server::jobmill;

/// A second process gives up within this.
const REFUSED_WITHIN: Duration = Duration::from_secs(3);

#[test]
fn a_second_process_says_who_is_there_and_harms_nothing() {
    let mut random = Random::of_this_run("second process");
    let mut server = setting::captures();
    let mut ledger = Ledger::new(&mut random);
    server.restart();
    let load = ledger.begin(&server.url, usize::MAX);
    for _ in 0..3 {
        let started = Instant::now();
        let output = jobmill(server.path()).args(["up", "--listen", "127.0.0.1:0"]).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{text}");
        assert!(started.elapsed() < REFUSED_WITHIN, "after {:?}: {text}", started.elapsed());
        let pid = server.process_id().to_string();
        assert!(text.split(|c: char| !c.is_ascii_digit()).any(|word| word == pid), "{pid} is not named: {text}");
    }
    ledger.stop(load);
    assert_eq!(server.ended(), None, "the first one was harmed");
    assert!(ledger.take_refusals().is_empty(), "the first one was harmed");
    let before = ledger.acknowledged();
    assert!(before > 0);
    server.kill();
    let started = Instant::now();
    server.begin();
    server.ready(READY_WITHIN).unwrap_or_else(|reason| panic!("{reason}"));
    println!("{before} answered; a new one serves {:?} after the first was killed", started.elapsed());
    let runs = ledger.settle(&server);
    ledger::all_completed(&runs);
    ledger::one_mail_each(&server, &runs);
}

#[test]
fn a_process_that_stood_still_goes_on_as_if_nothing_had_been() {
    let mut random = Random::of_this_run("standing still");
    let mut server = setting::captures();
    let mut ledger = Ledger::new(&mut random);
    server.restart();
    let load = ledger.begin(&server.url, usize::MAX);
    for _ in 0..2 {
        park(Duration::from_millis(200 + random.below(200)));
        server.signal(Signal::STOP);
        park(Duration::from_secs(3));
        server.signal(Signal::CONT);
    }
    let before = Instant::now();
    park(Duration::from_millis(300));
    assert_eq!(server.get("/readyz").status, 200);
    assert!(before.elapsed() < Duration::from_secs(2), "it answers {:?} late", before.elapsed());
    ledger.stop(load);
    assert!(ledger.take_refusals().is_empty(), "refused though nothing is short");
    let runs = ledger.settle(&server);
    assert_eq!(ledger::all_completed(&runs), 0, "no attempt was lost");
    ledger::one_mail_each(&server, &runs);
}
