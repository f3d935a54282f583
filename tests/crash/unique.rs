//! Many clients enqueue the same things many times over while the server is killed: each is one run, and all are told so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::crash::kills::park;
use crate::crash::setting;
use crate::support::WATCHDOG;
use crate::support::random::{Random, rounds};
use crate::support::server::{Server, agent, ask, pause};

const CLIENTS: usize = 64;
const COPIES: usize = 8;

/// What the clients share.
struct Work {
    /// Keys, each as often as there are copies, in an order by chance.
    keys: Vec<usize>,
    next: AtomicUsize,
    url: Mutex<String>,
    /// Which runs were answered to whom, by key.
    answers: Mutex<BTreeMap<usize, BTreeSet<String>>>,
}

fn client(work: &Work) {
    let agent = agent(Duration::from_secs(20));
    while let Some(key) = work.keys.get(work.next.fetch_add(1, Ordering::Relaxed)) {
        let payload = json!({ "userId": format!("u{key}"), "email": format!("u{key}@example.com") });
        let body = json!({ "payload": payload, "unique_key": format!("k{key}") }).to_string();
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < WATCHDOG, "k{key} was not answered");
            let url = work.url.lock().expect("no panic").clone();
            let path = format!("{url}/api/v1/jobs/welcome-email/runs");
            let headers = [("content-type", "application/json")];
            match ask(&agent, "POST", &path, &headers, Some(body.as_bytes())) {
                Ok(answer) if matches!(answer.status, 200 | 202) => {
                    let run = answer.json()["id"].as_str().expect("a run").to_owned();
                    work.answers.lock().expect("no panic").entry(*key).or_default().insert(run);
                    break;
                }
                Ok(answer) => assert!(matches!(answer.status, 404 | 503), "{answer:?}"),
                Err(_) => {}
            }
            pause();
        }
    }
}

fn shuffled(keys: usize, random: &mut Random) -> Vec<usize> {
    let mut all: Vec<usize> = (0..keys * COPIES).map(|number| number % keys).collect();
    for last in (1..all.len()).rev() {
        all.swap(last, usize::try_from(random.below(last as u64 + 1)).expect("small"));
    }
    all
}

/// `UNIQUE_KEYS=1000 UNIQUE_KILLS=20 cargo test -p jobmill-tests --test suite unique` is the whole of it.
#[test]
fn copies_of_a_unique_enqueue_are_one_run_through_kills() {
    let mut random = Random::of_this_run("unique");
    let keys = usize::try_from(rounds("UNIQUE_KEYS", 150)).expect("small");
    let kills = rounds("UNIQUE_KILLS", 4);
    let mut server = setting::captures();
    server.restart();
    let work = Arc::new(Work {
        keys: shuffled(keys, &mut random),
        next: AtomicUsize::new(0),
        url: Mutex::new(server.url.clone()),
        answers: Mutex::default(),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            std::thread::spawn({
                let work = Arc::clone(&work);
                move || client(&work)
            })
        })
        .collect();
    let mut killed = 0;
    // Evenly over the work, however fast it goes.
    while killed < kills {
        let done = work.next.load(Ordering::Relaxed);
        let share =
            work.keys.len() * usize::try_from(killed + 1).expect("few") / usize::try_from(kills + 1).expect("few");
        if done < share {
            pause();
            continue;
        }
        park(Duration::from_millis(random.below(5)));
        server.kill();
        killed += 1;
        server.restart();
        work.url.lock().expect("no panic").clone_from(&server.url);
    }
    for client in clients {
        client.join().expect("no panic");
    }
    let answers = work.answers.lock().expect("no panic");
    let several: Vec<_> = answers.iter().filter(|(_, runs)| runs.len() != 1).collect();
    assert!(several.is_empty(), "answered with several runs: {several:?}");
    let there = all_runs(&server);
    let answered: BTreeSet<String> = answers.values().flatten().cloned().collect();
    println!("{kills} kills; {} answers for {keys} keys; {} runs", work.keys.len(), there.len());
    assert_eq!(there, answered);
    assert_eq!(there.len(), keys);
    let other = json!({ "payload": { "userId": "x", "email": "x@example.com" }, "unique_key": "k0" });
    assert_eq!(server.post("/api/v1/jobs/welcome-email/runs", &other).status, 409);
}

fn all_runs(server: &Server) -> BTreeSet<String> {
    let mut runs = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/api/v1/runs?limit=200{cursor}")).json();
        let items = page["items"].as_array().expect("a list").iter();
        runs.extend(items.map(|run| run["id"].as_str().expect("an id").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return runs,
        }
    }
}
