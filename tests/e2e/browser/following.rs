//! A page that is open follows what happens elsewhere, and does what its keys say.

use serde_json::{Value, json};

use super::browse;
use crate::support::server::Server;

/// Milliseconds that a run may take to appear. Mostly it is a few dozen; machines that do other things are slow.
const APPEARS_WITHIN: u64 = 5_000;

#[test]
fn a_page_follows_what_happens_elsewhere_and_does_what_its_keys_say() {
    let server = Server::dev();
    let told = browse("browser_following", &server.url, &[]);
    let wanted = json!({
        "appears": true,
        "same_page": true,
        "paused": "paused",
        "appears_while_paused": false,
        "appears_afterwards": true,
        "help": true,
        "help_is_gone": true,
        "theme": "dark",
        "focus": true,
        "opened": true,
        "folds": true,
        "copied": "{ \"userId\": \"exact\", \"email\": \"ada@example.com\", \"number\": 12345678901234567890.10 }",
        "without_script": true,
    });
    assert_eq!(told["steps"], wanted, "{told:#}");
    assert_eq!((&told["said"], &told["outside"]), (&json!([]), &json!([])));
    let took: Vec<u64> = told["milliseconds"].as_array().expect("figures").iter().filter_map(Value::as_u64).collect();
    println!("runs appeared on the page after {took:?} ms");
    assert!(took.len() == 3 && took.iter().all(|it| *it < APPEARS_WITHIN), "{took:?}");
}
