//! The doors while everything behind them stands: the mail server takes mails and never answers, every attempt hangs on it.
//! What is answered is checked; how fast is printed beside the disk's own time, and judged by whoever reads it.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::random::rounds;
use crate::support::server::{Server, agent, ask};
use crate::support::signature::{self, checkout};
use crate::support::smtp::{MailServer, Reply};

/// Clients that keep their connections.
const CLIENTS: u64 = 16;
/// Requests a second, over all clients.
const RATE: u64 = 500;

/// The fdatasync of a small write, in the store's directory, now and then while the requests come.
fn disk_times(directory: &std::path::Path, until: Instant) -> Vec<Duration> {
    let file = File::create(directory.join("disk-probe")).expect("created");
    let mut times = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        file.write_all_at(&[7; 512], 0).expect("written");
        file.sync_data().expect("synced");
        times.push(started.elapsed());
        std::thread::park_timeout(Duration::from_millis(50));
    }
    times
}

fn at(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    let rank = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(rank).copied().unwrap_or_default()
}

/// `FRONT_DOOR_SECONDS=60 cargo test -p jobmill-tests --test suite front_doors -- --nocapture` goes on for a minute.
#[test]
fn webhooks_and_events_are_answered_while_every_attempt_hangs() {
    let seconds = rounds("FRONT_DOOR_SECONDS", 3);
    let mail = MailServer::start();
    mail.script(std::iter::repeat_n(Reply::Stall, 10_000));
    let configuration = format!(
        "[mail]\nmode = \"smtp\"\nfrom = \"Shop <shop@example.com>\"\nsmtp = {{ url = \"smtp://{}\" }}\n{}",
        mail.address,
        signature::CONFIGURATION
    );
    let server = Server::start(&["dev"], Some(&configuration));
    let until = Instant::now() + Duration::from_secs(seconds);
    let times = Arc::new(Mutex::new(Vec::new()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (url, times) = (server.url.clone(), Arc::clone(&times));
            std::thread::spawn(move || send_until(until, client, &url, &times))
        })
        .collect();
    let mut disk = disk_times(server.path(), until);
    let sent: u64 = clients.into_iter().map(|client| client.join().expect("every request is answered")).sum();
    let mut times = std::mem::take(&mut *times.lock().expect("not poisoned"));
    let counts = server.get("/api/v1/stats").json();
    let mut report = std::io::stderr();
    writeln!(
        report,
        "{sent} requests in {seconds} s, {RATE}/s asked: answers p50 {:?}, p99 {:?}, longest {:?}; fdatasync p50 {:?}, p99 {:?}",
        at(&mut times, 0.5),
        at(&mut times, 0.99),
        at(&mut times, 1.0),
        at(&mut disk, 0.5),
        at(&mut disk, 0.99),
    )
    .expect("written");
    assert!(sent > 0 && times.len() as u64 == sent);
    let all = counts["runs"].as_object().expect("counts by state");
    let kept: u64 = all.values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(kept, sent, "runs that are kept for requests that were answered: {counts:#}");
}

fn send_until(until: Instant, client: u64, url: &str, times: &Mutex<Vec<Duration>>) -> u64 {
    let agent = agent(Duration::from_secs(30));
    let pause = Duration::from_micros(1_000_000 * CLIENTS / RATE);
    let mut next = Instant::now() + pause * u32::try_from(client).expect("few") / u32::try_from(CLIENTS).expect("few");
    let mut sent = 0;
    while Instant::now() < until {
        std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
        next += pause;
        let email = format!("c{client}-{sent}@example.com");
        let started = Instant::now();
        let status = if sent % 2 == 0 {
            let body = checkout(&format!("evt_{client}_{sent}"), "order_123", &email);
            let header = signature::stripe(body.as_bytes());
            let path = format!("{url}/webhooks/stripe");
            ask(&agent, "POST", &path, &[("stripe-signature", &header)], Some(body.as_bytes()))
                .expect("an answer")
                .status
        } else {
            let body = json!([{ "name": "email/welcome", "data": { "userId": "u", "email": email } }]).to_string();
            let path = format!("{url}/e/any-key");
            let headers = [("content-type", "application/json")];
            ask(&agent, "POST", &path, &headers, Some(body.as_bytes())).expect("an answer").status
        };
        let took = started.elapsed();
        assert_eq!(status, 200);
        times.lock().expect("not poisoned").push(took);
        sent += 1;
    }
    sent
}
