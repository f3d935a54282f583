//! A small well-behaved job that runs beside the hostile ones: how long its runs take, and how much memory the server has
//! meanwhile. It judges nothing by itself but that each run completes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::sandbox::guests::named;
use crate::support::component;
use crate::support::guest::Guest;
use crate::support::server::{Server, agent, ask, pause};

/// Its id.
pub(crate) const CANARY: &str = "canary";

/// A run every so often.
const EVERY: Duration = Duration::from_millis(200);

/// No run of a server that is alive takes longer, however busy the machine is: an attempt that blocks a thread does so until its
/// timeout, which is a second.
const FLOOR: Duration = Duration::from_millis(200);

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) runs: Vec<Duration>,
    /// The most memory that the server had, in bytes.
    pub(crate) memory: u64,
}

impl Seen {
    /// All but one in a hundred took no longer.
    pub(crate) fn p99(&self) -> Duration {
        percentile(&self.runs, 99)
    }

    /// How long a run may take beside what is hostile, if these are those of an idle server.
    pub(crate) fn bound(&self) -> Duration {
        FLOOR.max(self.p99() * 2)
    }
}

/// So many of a hundred took no longer.
pub(crate) fn percentile(spans: &[Duration], percent: usize) -> Duration {
    let mut spans = spans.to_vec();
    spans.sort_unstable();
    spans.get((spans.len() * percent / 100).min(spans.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Puts it into the hopper and waits until it is loaded.
pub(crate) fn put(server: &Server) {
    let component = named(Guest::new("(call $done)"), CANARY).component();
    component::put(&server.hopper(), &format!("{CANARY}.wasm"), &component);
    server.until_job(CANARY, |job| job["status"] == "loaded");
}

/// Runs it while the work goes on.
pub(crate) fn beside<Made>(server: &Server, work: impl FnOnce() -> Made) -> (Seen, Made) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut seen = Seen::default();
            while !over.load(Ordering::Relaxed) {
                once(server, &mut seen);
            }
            seen
        });
        // A panic of the work must end the watching, or the scope would wait for ever.
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        let seen = watching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (seen, made.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// So many runs with nothing beside them.
pub(crate) fn idle(server: &Server, runs: usize) -> Seen {
    let mut seen = Seen::default();
    for _ in 0..runs {
        once(server, &mut seen);
    }
    seen
}

fn once(server: &Server, seen: &mut Seen) {
    let agent = agent(Duration::from_secs(30));
    let url = format!("{}/api/v1/jobs/{CANARY}/runs?wait=20s", server.url);
    let body = json!({ "payload": {} }).to_string();
    let began = Instant::now();
    let answer = ask(&agent, "POST", &url, &[("content-type", "application/json")], Some(body.as_bytes()));
    seen.runs.push(began.elapsed());
    let answer = answer.unwrap_or_else(|error| panic!("the server answers no more: {error}\n{}", server.log()));
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("completed")), "{answer:?}");
    seen.memory = seen.memory.max(memory(server));
    while began.elapsed() < EVERY {
        pause();
    }
}

/// What the server has in memory, in bytes.
pub(crate) fn memory(server: &Server) -> u64 {
    let path = format!("/proc/{}/status", server.process_id());
    let status = std::fs::read_to_string(path).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}
