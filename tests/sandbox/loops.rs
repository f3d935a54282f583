//! More endless loops than there are cores: whoever asks the server something is answered all the same.
//! A deadline that only ended guests, and never made them give way, would fail this.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::sandbox::guests::named;
use crate::sandbox::{canary, server};
use crate::support::component;
use crate::support::guest::Guest;
use crate::support::server::{Server, agent, ask};

/// The loops spin until they are cancelled.
const CONFIGURATION: &str = "[jobs.loop]\nretries = 0\ntimeout = \"1m\"\n";
const MEASURED: Duration = Duration::from_secs(5);
const BOUND: Duration = Duration::from_millis(100);

/// How long the server took to answer, all but one in a hundred, while so many loops spin.
fn answers_beside_loops(server: &Server, loops: usize) -> Duration {
    let ids: Vec<String> = (0..loops).map(|_| server.enqueue("loop", &json!({}))).collect();
    for id in &ids {
        server.until(id, |run| run["state"] == "running");
    }
    let (agent, url) = (agent(Duration::from_secs(30)), format!("{}/healthz", server.url));
    let (began, mut spans) = (Instant::now(), Vec::new());
    while began.elapsed() < MEASURED {
        let asked = Instant::now();
        let answer = ask(&agent, "GET", &url, &[], None).expect("an answer");
        spans.push(asked.elapsed());
        assert_eq!(answer.status, 200);
        std::thread::park_timeout(Duration::from_millis(20));
    }
    for id in &ids {
        assert_eq!(server.run_of(id)["state"], "running", "they spin to the end of the measurement");
    }
    for id in &ids {
        assert_eq!(server.post(&format!("/api/v1/runs/{id}/cancel"), &json!({})).status, 200);
        assert_eq!(server.finished(id)["state"], "cancelled");
    }
    let answered = canary::percentile(&spans, 99);
    println!("{answered:?} beside {loops} loops");
    answered
}

#[test]
fn more_endless_loops_than_cores_leave_the_server_answering() {
    let server = server(CONFIGURATION);
    let guest = named(Guest::new("(loop $l (br $l)) (unreachable)"), "loop");
    component::put(&server.hopper(), "loop.wasm", &guest.component());
    server.until_job("loop", |job| job["status"] == "loaded");
    let loops = std::thread::available_parallelism().map_or(2, usize::from) + 2;
    let first = answers_beside_loops(&server, loops);
    // Other tests run at the same time, so once may be bad luck.
    let answered = if first < BOUND { first } else { first.min(answers_beside_loops(&server, loops)) };
    assert!(answered < BOUND, "{answered:?}");
}
