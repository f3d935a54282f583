//! A job that takes the whole engine down whenever it is tried. No guest can; here the shim kills the process when the
//! attempt's mail passes by.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::crash::fault_points::{arrived, fault};
use crate::crash::kills::READY_WITHIN;
use crate::crash::{ledger, setting};
use crate::support::WATCHDOG;
use crate::support::server::pause;
use crate::support::smtp::MailServer;

#[test]
fn a_run_that_takes_the_engine_down_with_it_ends_dead_and_the_others_go_on() {
    let mail = MailServer::start();
    let mut server = setting::sends_with_few_retries(&mail);
    server.set_environment(fault("send", "RCPT TO:<poison@example.com>", "", "before", 1));
    server.restart();
    let welcome = json!({ "userId": "u_1", "email": "poison@example.com" });
    let later = json!({ "payload": welcome, "delay": "700ms" });
    let poison =
        server.post("/api/v1/jobs/welcome-email/runs", &later).json()["id"].as_str().expect("an id").to_owned();
    let others: Vec<String> = (0..40)
        .map(|number| {
            let address = format!("other{number}@example.com");
            let order = json!({ "status": "paid", "customer_email": address, "items": [], "total": { "minor": 1, "currency": "EUR" } });
            assert!(server.put(&format!("/api/v1/orders/o{number}"), &order).status < 300);
            server.enqueue("purchase-confirmation", &json!({ "orderId": format!("o{number}"), "customerEmail": address }))
        })
        .collect();
    let (mut starts, began) = (1, Instant::now());
    let run = loop {
        assert!(began.elapsed() < WATCHDOG, "the poison goes on");
        if server.ended().is_some() {
            starts += 1;
            server.begin();
            server.ready(READY_WITHIN).unwrap_or_else(|reason| panic!("{reason}"));
        } else if let Some(run) = server.run_if_served(&poison, Duration::from_secs(1)) {
            if run["state"] == "dead" {
                break run;
            }
            assert_ne!(run["state"], "completed", "{run:#}");
        }
        pause();
    };
    assert_eq!((&run["attempt"], &run["max_attempts"], starts), (&json!(2), &json!(2), 3), "{run:#}");
    for attempt in run["attempts"].as_array().expect("attempts") {
        assert_eq!(attempt["error"]["kind"], "host", "{run:#}");
    }
    ledger::all_final(&server);
    for id in others {
        let run = server.run_of(&id);
        assert_eq!(run["state"], "completed", "{run:#}");
    }
    assert!(!arrived(&mail).contains_key("poison"));
    assert_eq!(server.ended(), None, "it went on to serve");
}
