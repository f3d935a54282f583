//! Webhook deliveries while the engine is killed: the sender tries until it is answered, and each starts its job once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::crash::fault_points::fault;
use crate::crash::kills::{READY_WITHIN, park};
use crate::support::random::{Random, rounds};
use crate::support::server::{Server, agent, ask, pause};
use crate::support::signature::{self, checkout};

/// Senders at once; each delivery is sent by all of them.
const SENDERS: usize = 4;

/// What the senders share: how far they are to go, how far one of them has come, and how often they were answered.
struct Progress {
    /// Deliveries there are; without an end until the last kill, however fast the server is.
    end: AtomicU64,
    begun: AtomicU64,
    answered: AtomicU64,
}

fn send_all(url: &str, progress: &Progress) {
    let agent = agent(Duration::from_secs(5));
    for number in 0.. {
        if number >= progress.end.load(Ordering::SeqCst) {
            return;
        }
        progress.begun.fetch_max(number + 1, Ordering::SeqCst);
        let body = checkout(&format!("evt_{number}"), "order_123", &format!("c{number}@example.com"));
        loop {
            let header = signature::stripe(body.as_bytes());
            let path = format!("{url}/webhooks/stripe");
            match ask(&agent, "POST", &path, &[("stripe-signature", &header)], Some(body.as_bytes())) {
                Ok(answer) if answer.status == 200 => break,
                Ok(answer) if answer.status == 503 => pause(),
                Ok(answer) => panic!("{answer:?}"),
                Err(_) => pause(),
            }
        }
        progress.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// `WEBHOOK_KILLS=50 cargo test -p jobmill-tests --test suite crash::webhooks` makes more.
#[test]
fn a_delivery_that_is_tried_until_it_is_answered_starts_one_run_whenever_it_is_killed() {
    let mut random = Random::of_this_run("webhooks");
    let kills = rounds("WEBHOOK_KILLS", 8);
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let listen = format!("127.0.0.1:{port}");
    let mut server = Server::prepared(&["dev", "--listen", &listen], Some(signature::CONFIGURATION));
    let progress =
        Arc::new(Progress { end: AtomicU64::new(u64::MAX), begun: AtomicU64::new(0), answered: AtomicU64::new(0) });
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (url, progress) = (format!("http://{listen}"), Arc::clone(&progress));
            std::thread::spawn(move || send_all(&url, &progress))
        })
        .collect();
    for kill in 0..kills {
        // Every other time at the very answer: the delivery is stored, and its sender does not hear of it.
        let at_answer = kill % 2 == 0;
        let count = 1 + u32::try_from(random.below(30)).expect("few");
        let when = if random.percent(50) { "before" } else { "after" };
        let environment = fault("send", "HTTP/1.1 200", "", when, count);
        server.set_environment(if at_answer { environment } else { Vec::new() });
        server.begin();
        // It may be gone before it has said where it serves.
        let ready = server.ready(READY_WITHIN);
        if at_answer {
            let ended = server.wait_for_end();
            assert!(!ended.success(), "it ended by itself\n{}", server.log());
            continue;
        }
        ready.unwrap_or_else(|reason| panic!("{reason}"));
        park(Duration::from_millis(random.below(400)));
        server.kill();
    }
    server.set_environment(Vec::new());
    server.restart();
    progress.end.store(progress.begun.load(Ordering::SeqCst), Ordering::SeqCst);
    for sender in senders {
        sender.join().expect("every delivery is answered in the end");
    }
    // One more than the end, if a sender had begun it by then.
    let deliveries = usize::try_from(progress.begun.load(Ordering::SeqCst)).expect("few");
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/api/v1/runs?limit=200{cursor}")).json();
        for run in page["items"].as_array().expect("items") {
            *runs.entry(run["payload"]["customerEmail"].as_str().expect("an address").to_owned()).or_default() += 1;
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(runs.len(), deliveries, "deliveries without a run");
    assert!(runs.values().all(|count| *count == 1), "a delivery started more than one run: {runs:?}");
    let answered = progress.answered.load(Ordering::Relaxed);
    println!("{kills} kills, {deliveries} deliveries, each sent by {SENDERS} senders, {answered} answers");
}
