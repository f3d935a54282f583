//! The three jobs, unchanged, on a shop whose orders are behind its own HTTP endpoint.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::support::WATCHDOG;
use crate::support::server::{Server, pause};

/// A request that the shop got.
#[derive(Debug, Clone)]
struct Received {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// What the shop does with the next change, instead of making and answering it.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    /// Answers this, and changes nothing.
    Refuse(&'static str),
    /// Makes the change and closes the connection without an answer.
    Cut,
    /// Makes the change and never answers.
    Stall,
}

#[derive(Default)]
struct Kept {
    orders: BTreeMap<String, Value>,
    received: Vec<Received>,
    mishaps: VecDeque<Mishap>,
    changes: u32,
}

/// A shop; it serves until the test process ends.
#[derive(Clone)]
struct Shop {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Shop {
    fn with_order(id: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let shop = Self { address: listener.local_addr().expect("an address"), kept: Arc::default() };
        let order = json!({
            "state": "PAID", "customer": { "email": "user@example.com", "name": "Zoë" },
            "items": [{ "sku": "MUG-07", "name": "Mug <b>", "quantity": 2, "unit_price": { "minor": 1450, "currency": "EUR" } }],
            "total": { "minor": 2900, "currency": "EUR" }, "created_at": "2026-03-01T09:00:00Z", "revision": 1,
        });
        shop.lock().orders.insert(id.to_owned(), order);
        let serving = shop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                // A client that breaks off ends its own connection only.
                std::thread::spawn(move || serving.session(&stream));
            }
        });
        shop
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("not poisoned")
    }

    fn mishaps(&self, mishaps: impl IntoIterator<Item = Mishap>) {
        self.lock().mishaps.extend(mishaps);
    }

    fn order(&self, id: &str) -> Value {
        self.lock().orders[id].clone()
    }

    fn changes(&self) -> u32 {
        self.lock().changes
    }

    fn patches(&self) -> Vec<Received> {
        self.lock().received.iter().filter(|request| request.method == "PATCH").cloned().collect()
    }

    /// Once the shop was asked for so many changes.
    fn wait_for_patches(&self, count: usize) {
        let started = std::time::Instant::now();
        while self.patches().len() < count {
            assert!(started.elapsed() < WATCHDOG, "{:?}", self.patches());
            pause();
        }
    }

    fn session(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length: u64 = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
        let mut body = String::new();
        reader.take(length).read_to_string(&mut body).ok()?;
        let answer = self.answer(&Received { method, path, headers, body });
        match answer {
            Some(answer) => {
                let (mut out, length) = (stream, answer.1.len());
                let head = format!("HTTP/1.1 {}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n", answer.0);
                out.write_all(head.as_bytes()).and_then(|()| out.write_all(answer.1.as_bytes())).ok()
            }
            None => std::io::copy(&mut &*stream, &mut std::io::sink()).ok().map(drop),
        }
    }

    /// The status and the body; none for silence.
    fn answer(&self, request: &Received) -> Option<(&'static str, String)> {
        let mut kept = self.lock();
        kept.received.push(request.clone());
        if request.headers.get("authorization").map(String::as_str) != Some("Bearer of the shop") {
            return Some(("401 Unauthorized", String::new()));
        }
        let id = request.path.rsplit('/').next()?.to_owned();
        if !kept.orders.contains_key(&id) {
            return Some(("404 Not Found", "{}".to_owned()));
        }
        if request.method == "PATCH" {
            let mishap = kept.mishaps.pop_front();
            if let Some(Mishap::Refuse(status)) = mishap {
                return Some((status, "{\"revision\":1,\"detail\":\"not now\"}".to_owned()));
            }
            let change: Value = serde_json::from_str(&request.body).expect("JSON");
            kept.changes += 1;
            let order = kept.orders.get_mut(&id)?;
            order["state"] = change["status"].clone();
            order["revision"] = json!(order["revision"].as_u64()? + 1);
            match mishap {
                Some(Mishap::Stall) => return None,
                // No HTTP that a client could take for an answer.
                Some(Mishap::Cut) => return Some(("", String::new())),
                _ => {}
            }
        }
        Some(("200 OK", kept.orders[&id].to_string()))
    }

    fn serve_jobs(&self) -> Server {
        Server::up(&self.configuration())
    }

    fn configuration(&self) -> String {
        format!(
            r#"
[mail]
mode = "capture"
from = "Shop <shop@example.com>"
[orders]
source = "http"
[orders.http]
base_url = "http://{}/api/orders"
token = "of the shop"
fields = {{ status = "/state", customer_email = "/customer/email", customer_name = "/customer/name" }}
statuses = {{ "PAID" = "paid", "COMPLETE" = "fulfilled", "RETURNED" = "refunded" }}
"#,
            self.address
        )
    }
}

fn payload(order: &str) -> Value {
    json!({ "orderId": order, "customerEmail": "user@example.com" })
}

#[test]
fn the_three_jobs_run_unchanged_on_the_shop_s_endpoint() {
    let shop = Shop::with_order("A-1");
    let server = shop.serve_jobs();
    for (job, state) in [("purchase-confirmation", "COMPLETE"), ("refund-notification", "RETURNED")] {
        let run = server.finished(&server.enqueue(job, &payload("A-1")));
        assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run:#}");
        assert_eq!(shop.order("A-1")["state"], state);
    }
    let welcome = json!({ "userId": "u_1", "email": "ada@example.com" });
    assert_eq!(server.finished(&server.enqueue("welcome-email", &welcome))["state"], "completed");
    let mails = server.mails();
    let mail = server.get(&format!("/api/v1/mail/{}", mails[2]["id"].as_str().expect("an id"))).json();
    assert!(mail["text"].as_str().expect("text").contains("29.00"), "{mail:#}");
    let patches = shop.patches();
    assert_eq!(patches[0].body, "{\"status\":\"COMPLETE\"}");
    assert_ne!(patches[0].headers["idempotency-key"], patches[1].headers["idempotency-key"]);
    assert_eq!(shop.changes(), 2);
}

#[test]
fn a_shop_that_is_busy_is_asked_again_under_the_same_key() {
    let shop = Shop::with_order("A-1");
    shop.mishaps([Mishap::Refuse("503 Service Unavailable"), Mishap::Refuse("409 Conflict")]);
    let server = shop.serve_jobs();
    let run = server.finished(&server.enqueue("purchase-confirmation", &payload("A-1")));
    assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(3)), "{run:#}");
    let said = |attempt: usize| run["attempts"][attempt]["error"]["message"].as_str().expect("a text").to_owned();
    assert!(said(0).contains("503") && said(1).contains("revision 1"), "{run:#}");
    let patches = shop.patches();
    let keys: Vec<&String> = patches.iter().map(|patch| &patch.headers["idempotency-key"]).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!((shop.changes(), server.mails().len()), (1, 1), "one mail, one change");
}

#[test]
fn an_order_that_the_shop_does_not_know_is_dead_at_once() {
    let shop = Shop::with_order("A-1");
    let server = shop.serve_jobs();
    let run = server.finished(&server.enqueue("refund-notification", &payload("A-2")));
    assert_eq!((&run["state"], &run["attempt"]), (&json!("dead"), &json!(1)), "{run:#}");
    assert_eq!(run["attempts"][0]["error"]["kind"], "permanent");
    assert!(server.mails().is_empty() && shop.patches().is_empty());
}

#[test]
fn a_change_whose_answer_is_lost_is_made_once() {
    let shop = Shop::with_order("A-1");
    shop.mishaps([Mishap::Cut]);
    let server = shop.serve_jobs();
    let run = server.finished(&server.enqueue("purchase-confirmation", &payload("A-1")));
    assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(2)), "{run:#}");
    assert_eq!((shop.changes(), shop.patches().len(), server.mails().len()), (1, 1, 1));
    assert_eq!(shop.order("A-1")["state"], "COMPLETE");
}

#[test]
fn a_change_under_which_the_engine_was_killed_is_made_once() {
    let shop = Shop::with_order("A-1");
    shop.mishaps([Mishap::Stall]);
    let mut server = shop.serve_jobs();
    let id = server.enqueue("purchase-confirmation", &payload("A-1"));
    shop.wait_for_patches(1);
    server.kill();
    server.restart();
    let run = server.finished(&id);
    assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(2)), "{run:#}");
    assert_eq!(run["attempts"][0]["error"]["kind"], "host");
    assert_eq!((shop.changes(), shop.patches().len(), server.mails().len()), (1, 1, 1));
}

#[test]
fn a_token_that_the_shop_refuses_is_told_as_the_operator_s_to_mend() {
    let shop = Shop::with_order("A-1");
    let server = Server::up(&shop.configuration().replace("of the shop", "of another"));
    let run = server.finished(&server.enqueue("purchase-confirmation", &payload("A-1")));
    let error = run["attempts"][0]["error"]["message"].as_str().expect("a text");
    assert!(run["state"] == "dead" && error.contains("orders.http.token"), "{run:#}");
    assert!(!server.log().contains("of another"));
}
