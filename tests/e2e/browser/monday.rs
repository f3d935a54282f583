//! Monday morning: four hundred runs died over the weekend, of a mistake in a job, of orders that nobody has, and of a mail
//! server. All of them complete in the end, and nobody gets a mail twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::browse;
use crate::support::component;
use crate::support::server::{Server, pause};

/// Runs whose component has a control character in its letter, as word processors leave them.
const BY_MISTAKE: usize = 150;
/// Runs of orders that nobody has.
const BY_ORDER: usize = 120;
/// Runs whose mail the server refused for good.
const BY_MAIL: usize = 130;
/// Orders that the runs of the second group are about.
const ORDERS: usize = 10;
/// The spread that is chosen, and room for a machine that is slow.
const SPREAD: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_mins(2);

fn event(name: &str, data: &Value) -> Value {
    json!({ "name": name, "data": data })
}

/// What came in over the weekend.
fn weekend(server: &Server) -> Vec<String> {
    server.post("/api/v1/mail/faults", &json!({ "fail_next": BY_MAIL, "kind": "permanent" }));
    let order = |id: String| json!({ "orderId": id, "customerEmail": "user@example.com" });
    let mistake = (0..BY_MISTAKE).map(|_| event("email/purchase-confirmation", &order("order_123".to_owned())));
    let missing = (0..BY_ORDER).map(|it| event("email/refund-notification", &order(format!("order_9{}", it % ORDERS))));
    let refused = (0..BY_MAIL).map(|it| {
        event("email/welcome", &json!({ "userId": format!("u{it}"), "email": format!("u{it}@example.com") }))
    });
    let events: Value = mistake.chain(missing).chain(refused).collect();
    let answer = server.post("/api/v1/events", &events);
    assert_eq!(answer.status, 202, "{answer:?}");
    let events = answer.json()["events"].as_array().expect("events").clone();
    let runs = events.iter().flat_map(|event| event["runs"].as_array().expect("runs").clone());
    runs.map(|run| run.as_str().expect("an id").to_owned()).collect()
}

/// Waits until so many runs are in this state.
fn until_all(server: &Server, state: &str, number: usize, within: Duration) {
    let started = Instant::now();
    loop {
        let counts = server.get("/api/v1/stats").json()["runs"].clone();
        if counts[state] == number {
            return;
        }
        assert!(started.elapsed() < within, "not all {number} are {state}: {counts}");
        pause();
    }
}

/// How many mails of each run the log has.
fn mails(server: &Server) -> BTreeMap<String, usize> {
    let mut of_runs = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/api/v1/mail?status=captured&limit=200{cursor}")).json();
        for mail in page["items"].as_array().expect("items") {
            *of_runs.entry(mail["run"].as_str().expect("a run").to_owned()).or_default() += 1;
        }
        let Some(next) = page["next_cursor"].as_str() else { return of_runs };
        cursor = format!("&cursor={next}");
    }
}

#[test]
fn a_weekend_of_dead_runs_is_understood_tried_out_and_put_back_in_the_browser() {
    let mut server = Server::prepared(&["dev"], None);
    let mistaken = component::altered("purchase-confirmation", "Your order ", "Your\u{b}order ");
    component::put(&server.hopper(), "purchase-confirmation.wasm", &mistaken);
    server.restart();
    let runs = weekend(&server);
    assert_eq!(runs.len(), BY_MISTAKE + BY_ORDER + BY_MAIL);
    until_all(&server, "dead", runs.len(), PATIENCE);
    // What the shop does about the second group: it writes the orders that were missing.
    let total = json!({ "minor": 0, "currency": "EUR" });
    let order = json!({ "status": "paid", "customer_email": "user@example.com", "items": [], "total": total });
    for number in 0..ORDERS {
        let answer = server.put(&format!("/api/v1/orders/order_9{number}"), &order);
        assert!(answer.status < 300, "{answer:?}");
    }

    let file = server.path().join("mended.wasm");
    std::fs::write(&file, component::bytes("purchase-confirmation")).expect("written");
    let (file, hopper) = (file.to_str().expect("text").to_owned(), server.hopper());
    let started = Instant::now();
    let told = browse("browser_monday", &server.url, &[&file, hopper.to_str().expect("text")]);
    let steps = &told["steps"];
    let groups = json!({
        "purchase-confirmation": BY_MISTAKE.to_string(),
        "refund-notification": BY_ORDER.to_string(),
        "welcome-email": BY_MAIL.to_string(),
    });
    assert_eq!(steps["groups"], groups, "{told:#}");
    assert_eq!(steps["fix"], json!({ "before": 0, "after": 1 }), "{told:#}");
    assert_eq!(steps["trial"], json!({ "mail": true, "nothing": true, "dead": BY_MISTAKE.to_string() }), "{told:#}");
    let requeued = [BY_MISTAKE, BY_ORDER, BY_MAIL].map(|number| {
        json!({ "question": format!("Requeue {number} runs?"), "report": format!("Requeued {number} of {number} runs.") })
    });
    assert_eq!(steps["requeued"], json!(requeued), "{told:#}");
    let progress = &steps["progress"];
    assert_eq!(progress["at_first"][1], BY_MISTAKE, "{told:#}");
    assert!(progress["at_first"][0].as_u64() < progress["at_first"][1].as_u64(), "spread over a while: {told:#}");
    assert_eq!(progress["in_the_end"], json!([BY_MISTAKE, BY_MISTAKE]), "{told:#}");
    assert_eq!((&told["said"], &told["outside"]), (&json!([]), &json!([])));

    until_all(&server, "completed", runs.len(), SPREAD + PATIENCE);
    println!("all of them completed {:?} after the browser was opened", started.elapsed());
    let sent = mails(&server);
    let once: BTreeMap<String, usize> = runs.iter().map(|run| (run.clone(), 1)).collect();
    assert_eq!(sent, once, "each run sent one mail");
}
