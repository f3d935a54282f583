//! kill -9 at any moment, most of all while it starts.

use std::time::{Duration, Instant};

use crate::crash::ledger::Ledger;
use crate::crash::{ledger, setting};
use crate::support::random::{Random, rounds};
use crate::support::server::pause;

/// It serves again within this, however it was ended. A debug build on two busy cores takes below a second.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(10);
/// Attempts that may be under way when it is killed: what `engine.concurrency` is unless said otherwise.
pub(crate) const UNDER_WAY: usize = 64;

/// `CRASH_ROUNDS=200 cargo test -p jobmill-tests --test suite crash` makes more rounds.
#[test]
fn what_was_answered_is_there_once_and_done_once_after_kills_at_any_moment() {
    let mut random = Random::of_this_run("kills");
    let rounds = rounds("CRASH_ROUNDS", 30);
    let mut server = setting::captures();
    let mut ledger = Ledger::new(&mut random);
    let mut while_starting = 0;
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        let started = Instant::now();
        server.begin();
        if random.percent(60) {
            while_starting += 1;
            park(Duration::from_millis(random.below(60)));
            assert_eq!(server.ended(), None, "it refused to start\n{}", server.log());
            server.kill();
            continue;
        }
        server.ready(READY_WITHIN).unwrap_or_else(|reason| panic!("{reason}"));
        slowest = slowest.max(started.elapsed());
        let load = ledger.begin(&server.url, 40);
        park(Duration::from_millis(random.below(800)));
        server.kill();
        ledger.end(load);
        assert!(ledger.take_refusals().is_empty(), "refused though nothing is short");
    }
    server.restart();
    let runs = ledger.settle(&server);
    let died = ledger::all_completed(&runs);
    ledger::one_mail_each(&server, &runs);
    println!(
        "{rounds} kills, {while_starting} of them while it started; {} answered, {} runs, {died} attempts died; ready within {slowest:?}",
        ledger.acknowledged(),
        runs.len()
    );
    assert!(died <= usize::try_from(rounds).expect("few") * UNDER_WAY);
    assert!(rounds < 10 || ledger.acknowledged() > 100, "the clients hardly got through");
}

/// Lets time pass: for a fault at a moment that nothing tells of.
pub(crate) fn park(time: Duration) {
    let started = Instant::now();
    while started.elapsed() + Duration::from_millis(10) < time {
        pause();
    }
    std::thread::park_timeout(time.saturating_sub(started.elapsed()));
}
