//! kill -9 just before and just after named calls, as they are seen from outside: writes to the store's files, flushes,
//! syncs, the answer to a client, the end of a mail, and the first write after it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::crash::kills::{READY_WITHIN, UNDER_WAY};
use crate::crash::ledger::{self, Ledger};
use crate::crash::{setting, shim};
use crate::support::WATCHDOG;
use crate::support::random::Random;
use crate::support::server::{Server, pause};
use crate::support::smtp::MailServer;

/// How a mail ends, and what an answered enqueue begins with.
const END_OF_MAIL: &str = "\r\n.\r\n";
const ACKNOWLEDGEMENT: &str = "HTTP/1.1 202";

/// The how-many-eth of which call ends the process.
struct Point {
    call: &'static str,
    target: &'static str,
    /// Counted from when this was sent.
    first: &'static str,
    counts: &'static [u32],
}

const POINTS: [Point; 8] = [
    Point { call: "write", target: "db", first: "", counts: &[1, 2, 40] },
    Point { call: "flush", target: "db", first: "", counts: &[1, 25] },
    Point { call: "sync", target: "db", first: "", counts: &[1, 2, 30] },
    Point { call: "write", target: "starts", first: "", counts: &[1, 10] },
    Point { call: "write", target: "synced", first: "", counts: &[1, 15] },
    Point { call: "send", target: ACKNOWLEDGEMENT, first: "", counts: &[1, 30] },
    Point { call: "send", target: END_OF_MAIL, first: "", counts: &[1, 12] },
    Point { call: "write", target: "db", first: END_OF_MAIL, counts: &[1, 5] },
];

pub(crate) fn fault(call: &str, target: &str, first: &str, when: &str, count: u32) -> Vec<(&'static str, OsString)> {
    let settings = [
        ("FAULT_CALL", call.into()),
        ("FAULT_TARGET", target.into()),
        ("FAULT_FIRST", first.into()),
        ("FAULT_WHEN", when.into()),
        ("FAULT_COUNT", count.to_string().into()),
    ];
    shim::environment("fault_point", settings)
}

/// Serves, under load, until it comes to the point.
fn serve_until_killed(server: &mut Server, ledger: &mut Ledger, point: &str) {
    server.begin();
    if server.ready(READY_WITHIN).is_ok() {
        let load = ledger.begin(&server.url, 40);
        let started = Instant::now();
        while server.ended().is_none() && (!load.is_over() || started.elapsed() < Duration::from_secs(5)) {
            assert!(started.elapsed() < WATCHDOG, "{point}: neither killed nor done");
            pause();
        }
        assert!(server.ended().is_some(), "{point} was never reached");
        ledger.end(load);
        assert!(ledger.take_refusals().is_empty(), "refused though nothing is short");
    }
    let ended = server.wait_for_end();
    assert_eq!(ended.signal(), Some(9), "{point}: it ended by itself: {ended}\n{}", server.log());
}

/// The mails that arrived, by whom they are to.
pub(crate) fn arrived(mail: &MailServer) -> BTreeMap<String, Vec<String>> {
    let mut arrived: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in mail.mails() {
        let header =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect("a header").trim().to_owned();
        let key = header("To:").trim_matches(['<', '>']).split('@').next().expect("an address").to_owned();
        arrived.entry(key).or_default().push(header("Message-ID:"));
    }
    arrived
}

/// Each run's mail arrived, and any copy of it carries the same `Message-ID`, which no other mail has.
fn copies_can_be_told(mail: &MailServer, runs: &BTreeMap<String, Value>) -> usize {
    let arrived = arrived(mail);
    assert!(arrived.keys().eq(runs.keys()), "mails to others than the runs' addresses, or none to some");
    let mut seen = BTreeSet::new();
    let mut copies = 0;
    for (key, ids) in &arrived {
        assert!(ids.iter().all(|id| id == &ids[0]), "{key}: copies with other Message-IDs: {ids:?}");
        assert!(seen.insert(ids[0].clone()), "{key} has the Message-ID of another mail");
        let attempts = runs[key]["attempts"].as_array().expect("attempts").len();
        assert!(ids.len() <= attempts, "{key}: {} mails in {attempts} attempts", ids.len());
        copies += ids.len() - 1;
    }
    copies
}

#[test]
fn what_was_answered_is_done_wherever_it_was_killed() {
    let mut random = Random::of_this_run("fault points");
    let mail = MailServer::start();
    let mut server = setting::sends(&mail);
    let mut ledger = Ledger::new(&mut random);
    let mut kills = 0;
    for point in &POINTS {
        for (when, count) in
            ["before", "after"].iter().flat_map(|when| point.counts.iter().map(move |count| (*when, *count)))
        {
            let name = format!("{when} the {count}. {} {:?} after {:?}", point.call, point.target, point.first);
            server.set_environment(fault(point.call, point.target, point.first, when, count));
            serve_until_killed(&mut server, &mut ledger, &name);
            kills += 1;
        }
    }
    server.set_environment(Vec::new());
    server.restart();
    let runs = ledger.settle(&server);
    let died = ledger::all_completed(&runs);
    ledger::one_mail_each(&server, &runs);
    let copies = copies_can_be_told(&mail, &runs);
    println!(
        "{kills} points; {} answered, {} runs, {died} attempts died, {copies} copies",
        ledger.acknowledged(),
        runs.len()
    );
    assert!(died <= kills * UNDER_WAY);
    assert!(copies > 0, "a kill after the end of a mail leaves a copy");
}
