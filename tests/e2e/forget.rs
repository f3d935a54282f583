//! What carries an address is forgotten, in every list and in the files, and nothing else is.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::server::Server;

/// Of nobody else: not the one in the examples of jobs, which are no one's.
const ADDRESS: &str = "ann@shop.example";
/// Runs of each kind.
const RUNS: usize = 60;

/// Runs of every kind that carry the address or that of somebody else; answers those that stay.
fn mixed_runs(server: &Server) -> Vec<String> {
    let mut others = Vec::new();
    for number in 0..RUNS {
        let (address, is_other) = if number % 3 == 0 { ("other@example.com", true) } else { (ADDRESS, false) };
        let welcome = json!({ "userId": format!("u{number}"), "email": address, "name": "Ann" });
        let order = json!({ "orderId": format!("missing_{number}"), "customerEmail": address });
        let scheduled = json!({ "payload": welcome, "delay": "1h", "unique_key": format!("later-{address}-{number}") });
        let ids = [
            server.enqueue("welcome-email", &welcome),
            server.enqueue("purchase-confirmation", &order),
            server.post("/api/v1/jobs/welcome-email/runs", &scheduled).json()["id"].as_str().expect("an id").to_owned(),
        ];
        if is_other {
            others.extend(ids);
        }
    }
    server.post("/api/v1/events", &json!([{ "name": "shop/visited", "id": "evt-visit", "data": { "who": ADDRESS } }]));
    let price = json!({ "minor": 1000, "currency": "EUR" });
    let items = json!([{ "sku": "tea", "name": "Tea", "quantity": 1, "unit_price": price }]);
    let order = json!({ "status": "paid", "customer_email": ADDRESS, "items": items, "total": price });
    assert!(server.put("/api/v1/orders/order_ann", &order).status < 300);
    let purchase = json!({ "orderId": "order_ann", "customerEmail": ADDRESS });
    server.finished(&server.enqueue("purchase-confirmation", &purchase));
    let is_done = |state: &str| {
        let page = server.get(&format!("/api/v1/runs?state={state}&limit=1")).json();
        page["items"].as_array().is_some_and(Vec::is_empty)
    };
    while !(is_done("available") && is_done("running") && is_done("retryable")) {
        crate::support::server::pause();
    }
    others
}

fn carries(text: &[u8]) -> bool {
    text.windows(ADDRESS.len()).any(|bytes| bytes.eq_ignore_ascii_case(ADDRESS.as_bytes()))
}

fn files_carry(directory: &Path) -> bool {
    fs::read_dir(directory).expect("readable").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files_carry(&path) } else { carries(&fs::read(&path).unwrap_or_default()) }
    })
}

/// Every list of the API, and everything that is kept.
fn lists(server: &Server) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for path in ["/api/v1/runs", "/api/v1/mail", "/api/v1/orders", "/api/v1/dead", "/api/v1/store/export"] {
        let mut cursor = String::new();
        loop {
            let answer = server.get(&format!("{path}{cursor}"));
            let text = answer.text;
            let next = serde_json::from_str::<Value>(&text).ok();
            texts.push((path.to_owned(), text));
            match next.as_ref().and_then(|page| page["next_cursor"].as_str()) {
                Some(next) => cursor = format!("?cursor={next}"),
                None => break,
            }
        }
    }
    texts
}

#[test]
fn an_address_is_forgotten_in_every_list_and_in_the_files() {
    let mut server = Server::dev();
    let others = mixed_runs(&server);
    assert!(lists(&server).iter().any(|(_, text)| carries(text.as_bytes())), "the test could not fail");
    let forget = |more: &[&str]| {
        let output = server.run(&[&["store", "forget", "--email", "Ann@Shop.Example", "-o", "json"], more].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let (dry, forgotten): (Value, Value) = (forget(&["--dry-run"]), forget(&[]));
    let of_the_address = RUNS - RUNS.div_ceil(3);
    assert_eq!(forgotten["runs"], json!(of_the_address * 3 + 1), "{forgotten:#}");
    assert_eq!((&forgotten["dead"], &forgotten["events"]), (&json!(of_the_address), &json!(1)));
    assert_eq!((&dry["runs"], &dry["mails"]), (&forgotten["runs"], &forgotten["mails"]));
    for _ in 0..2 {
        for (path, text) in lists(&server) {
            assert!(!carries(text.as_bytes()), "{path} still carries it: {text}");
        }
        assert_eq!(server.get("/api/v1/events/evt-visit").status, 404);
        for id in &others {
            assert_eq!(server.get(&format!("/api/v1/runs/{id}")).status, 200, "{id} is gone");
        }
        assert!(!files_carry(&server.data()), "the files still carry it");
        server.kill();
        server.restart();
    }
    let welcome = json!({ "userId": "u", "email": "new@example.com" });
    assert_eq!(server.finished(&server.enqueue("welcome-email", &welcome))["state"], "completed");
}
