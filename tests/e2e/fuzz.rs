//! Bytes that are no request, and requests that are nearly one, on the bare socket: none brings the server to its knees.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::random::{Random, rounds};
use crate::support::server::Server;
use crate::support::signature::{self, checkout};

/// What good requests look like: each round damages one of them.
fn requests() -> Vec<Vec<u8>> {
    let with_body = |line: &str, headers: &str, body: &str| {
        format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    };
    let json = "Content-Type: application/json\r\n";
    let event = r#"{"name":"email/welcome","data":{"userId":"u","email":"a@example.com"},"id":"i","ts":1767225600000}"#;
    let delivery = checkout("evt_fuzz", "order_123", "a@example.com");
    let signed = format!("Stripe-Signature: {}\r\n", signature::stripe(delivery.as_bytes()));
    let seed = format!("{json}x-inngest-event-id-seed: 1743130137367,eii2YKXRVTJPuA==\r\n");
    vec![
        with_body("POST /api/v1/events", json, event),
        with_body("POST /api/v1/events", json, &format!("[{event},{event}]")),
        with_body("POST /e/key", &seed, &format!("[{event}]")),
        with_body("POST /e/key", json, event),
        with_body("POST /webhooks/stripe", &signed, &delivery),
        with_body("POST /api/v1/jobs/welcome-email/runs?wait=1ms", json, r#"{"payload":{"userId":"u","email":"a@b.example"}}"#),
        with_body("POST /api/v1/runs/cancel", json, r#"{"filter":{"job":"nobody"},"dry_run":true}"#),
        with_body("GET /api/v1/runs?state=dead&limit=3&cursor=run_01JQDAE4RQF8MBCR55T5AK4KXS", "", ""),
        with_body("GET /v1/events?limit=2&received_after=2026-01-01T00:00:00Z&cursor=01JQDAE4RQF8MBCR55T5AK4KXS", "", ""),
        with_body("GET /api/v1/webhooks/deliveries?endpoint=stripe", "", ""),
        // Bodies that end in two places at once.
        b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_vec(),
        b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n{}{}{}".to_vec(),
    ]
}

/// What parsers stumble over.
const ODD: [&[u8]; 8] = [b"\r\n", b"\0", b"%00", b"..%2f", b"\xff\xfe", b"-1", b"\"\"", b"1e999"];

fn damage(request: &mut Vec<u8>, random: &mut Random) {
    let mut index = |length: usize| usize::try_from(random.below(length.max(1) as u64)).unwrap_or_default();
    for _ in 0..=index(6) {
        let at = index(request.len());
        match index(7) {
            0 if !request.is_empty() => request[at] ^= 1 << index(8),
            1 if !request.is_empty() => request[at] = u8::try_from(index(256)).unwrap_or_default(),
            2 => request.truncate(at),
            3 => {
                let piece = request[at..(at + index(64)).min(request.len())].to_vec();
                request.splice(at..at, piece);
            }
            4 => _ = request.splice(at..at, std::iter::repeat_n(b'[', index(5_000))),
            5 => _ = request.splice(at..at, std::iter::repeat_n(b'x', index(70_000))),
            _ => _ = request.splice(at..at, ODD[index(ODD.len())].iter().copied()),
        }
    }
}

/// The status of each answer that came back; the connection may also just be closed.
fn statuses(server: &Server, bytes: &[u8]) -> Vec<u16> {
    let address = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the server takes connections");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    // A server that has refused the head need not read the rest.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    answer.match_indices("HTTP/1.1 ").filter_map(|(at, _)| answer.get(at + 9..at + 12)?.parse().ok()).collect()
}

/// `FUZZ_ROUNDS=20000 cargo test -p jobmill-tests --test suite fuzz` makes more rounds.
#[test]
fn damaged_requests_are_refused_and_others_are_served_meanwhile() {
    let mut random = Random::of_this_run("damaged requests");
    let server = Server::start(&["dev"], Some(signature::CONFIGURATION));
    let requests = requests();
    let mut answered = 0;
    for round in 0..rounds("FUZZ_ROUNDS", 1_500) {
        let which = usize::try_from(random.below(requests.len() as u64)).expect("few");
        let mut request = requests[which].clone();
        if round >= requests.len() as u64 {
            damage(&mut request, &mut random);
        } else {
            request.clone_from(&requests[usize::try_from(round).expect("few")]);
        }
        let statuses = statuses(&server, &request);
        answered += statuses.len();
        let refused = statuses.iter().find(|status| **status >= 500);
        assert_eq!(refused, None, "round {round}: {:?}", String::from_utf8_lossy(&request));
    }
    assert!(answered > 100, "hardly anything was answered");
    let log = std::fs::read_to_string(server.path().join("jobmill.log")).expect("a log");
    assert!(!log.contains("panicked"), "{log}");
    let id = server.enqueue("welcome-email", &json!({ "userId": "u", "email": "after@example.com" }));
    assert_eq!(server.finished(&id)["state"], "completed");
}

#[test]
fn clients_that_send_slowly_or_without_end_hold_up_nobody_else() {
    let server = Server::dev();
    let address = server.url.trim_start_matches("http://").to_owned();
    let heads: [&[u8]; 3] = [
        b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nX-Sl",
        b"POST /e/key HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[{\"na",
        b"",
    ];
    let slow: Vec<TcpStream> = (0..90)
        .map(|number| {
            let mut stream = TcpStream::connect(&address).expect("connects");
            stream.write_all(heads[number % heads.len()]).expect("written");
            stream
        })
        .collect();
    let started = Instant::now();
    for number in 0..50 {
        let id = server.enqueue("welcome-email", &json!({ "userId": number.to_string(), "email": "a@example.com" }));
        assert!(id.starts_with("run_"));
    }
    assert!(started.elapsed() < Duration::from_secs(10), "the others had to wait: {:?}", started.elapsed());

    // A head without an end is refused before it is all there.
    let mut endless = TcpStream::connect(&address).expect("connects");
    endless.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n").expect("written");
    let line = [b"X-Long: ".as_slice(), &[b'x'; 4_000], b"\r\n"].concat();
    let written = (0..10_000).take_while(|_| endless.write_all(&line).is_ok()).count();
    assert!(written < 10_000, "40 MB of headers were taken");
    drop(slow);
}
