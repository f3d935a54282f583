//! A disk that fills up: no answer that is lost, a refusal that says why, and work goes on once there is room.
//! The disk is a shim's, so it needs no privileges and no file system of its own.

use std::time::{Duration, Instant};

use crate::crash::kills::READY_WITHIN;
use crate::crash::ledger::{self, Ledger};
use crate::crash::setting;
use crate::crash::shim::{self, Dial};
use crate::support::WATCHDOG;
use crate::support::random::Random;
use crate::support::server::{Server, pause};

pub(crate) const MIB: i64 = 1024 * 1024;

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
pub(crate) fn server_with_room(room: i64) -> (Server, Dial) {
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
fn a_full_disk_loses_nothing_that_was_answered_and_work_goes_on_once_there_is_room() {
    let mut random = Random::of_this_run("disk full");
    let (mut server, dial) = server_with_room(MIB);
    let mut ledger = Ledger::new(&mut random);
    let load = ledger.begin(&server.url, usize::MAX);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) && server.ended().is_none() {
        pause();
    }
    ledger.stop(load);
    let refusals = ledger.take_refusals();
    println!("{} answered, {} refused, ended: {:?}", ledger.acknowledged(), refusals.len(), server.ended());
    assert!(server.ended().is_some() || !refusals.is_empty(), "the disk never filled up");
    for refusal in &refusals {
        assert!(matches!(refusal.status, 503 | 507), "{refusal:?}");
        assert!(!refusal.code().is_empty(), "{refusal:?}");
    }
    let before = ledger.acknowledged();
    dial.set(i64::MAX / 2);
    if server.ended().is_some() {
        // A supervisor's part: it ended by itself and says so.
        assert!(server.ended().is_some_and(|status| status.code().is_some_and(|code| code != 0)), "{}", server.log());
        server.begin();
        server.ready(READY_WITHIN).unwrap_or_else(|reason| panic!("{reason}"));
    }
    let started = Instant::now();
    while ledger.acknowledged() < before + 100 {
        assert!(started.elapsed() < WATCHDOG, "it does not go on: {:?}", ledger.take_refusals().pop());
        let load = ledger.begin(&server.url, 20);
        ledger.end(load);
    }
    ledger.take_refusals();
    let runs = ledger.settle(&server);
    ledger::all_completed(&runs);
    ledger::one_mail_each(&server, &runs);
}
