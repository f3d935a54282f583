//! A trial at a terminal: what a dead run would do now, with an exit code that says how it would end.

use serde_json::{Value, json};

use super::text;
use crate::support::server::Server;

#[test]
fn a_trial_says_how_a_dead_run_would_end_now_and_does_nothing() {
    let server = Server::dev();
    let purchase = json!({ "orderId": "order_late", "customerEmail": "ada@example.com" });
    let id = server.enqueue("purchase-confirmation", &purchase);
    assert_eq!(server.finished(&id)["state"], "dead");
    let again = server.run(&["runs", "trial", &id]);
    assert_eq!(again.status.code(), Some(4), "{again:?}");
    assert!(text(&again.stdout).contains("it would end dead"), "{again:?}");

    let order = json!({ "status": "paid", "customer_email": "ada@example.com", "items": [], "total": { "minor": 100, "currency": "EUR" } });
    let put = server.put("/api/v1/orders/order_late", &order);
    assert!(put.status < 300, "{put:?}");
    let before = (server.order("order_late"), server.mails(), server.run_of(&id));
    let trial = server.run(&["runs", "trial", &id]);
    let said = text(&trial.stdout);
    assert_eq!(trial.status.code(), Some(0), "{trial:?}");
    for part in ["it would complete: 1 mail, 1 order changed", "ada@example.com", "order_late: paid → fulfilled"] {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
    let document = server.run(&["-o", "json", "runs", "trial", &id]);
    let document: Value = serde_json::from_slice(&document.stdout).expect("the server's answer");
    assert_eq!(document["effects"][1]["after"], "fulfilled");
    assert_eq!((server.order("order_late"), server.mails(), server.run_of(&id)), before, "nothing was done");

    let nowhere = server.run(&["runs", "trial", "run_01ARZ3NDEKTSV4RRFFQ69G5FAV"]);
    assert_eq!(nowhere.status.code(), Some(3), "{nowhere:?}");
}
