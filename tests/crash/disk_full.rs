//! A disk that fills up: no answer that is lost, a refusal that says why, and work goes on once there is room.
//! The disk is a shim's, so it needs no privileges and no file system of its own.

use std::time::{Duration, Instant};

use crate::crash::ledger::{self, Ledger};
use crate::crash::setting;
use crate::crash::shim::{self, Dial};
use crate::support::WATCHDOG;
use crate::support::random::Random;
use crate::support::server::{Server, pause};

const MIB: i64 = 1024 * 1024;

fn bytes_under(directory: &std::path::Path) -> i64 {
    let entries = std::fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable"));
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_under(&entry.path()),
            Ok(metadata) => i64::try_from(metadata.len()).expect("small"),
            Err(_) => 0,
        })
        .sum()
}

/// Serves from a disk with this much room beside what is there.
fn server_with_room(room: i64) -> (Server, Dial) {
    let mut server = setting::captures();
    server.restart();
    assert_eq!(server.stop(), Some(0));
    let data = server.data().canonicalize().expect("it is there");
    let dial = Dial::new(server.path().join("room"), bytes_under(&data) + room);
    let settings = [("DISK_ROOM_DIRECTORY", data.into()), ("DISK_ROOM_FILE", dial.path().into())];
    server.set_environment(shim::environment("disk_room", settings));
    server.restart();
    (server, dial)
}

#[test]
fn a_full_disk_is_answered_with_a_refusal_loses_nothing_and_needs_no_restart() {
    let mut random = Random::of_this_run("disk full");
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
    println!("{} answered, {} refused", ledger.acknowledged(), refusals.len());
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
