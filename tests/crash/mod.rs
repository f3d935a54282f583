//! kill -9 and graceful stops: what was answered is there, what ran goes on.

mod clock;
mod disk_full;
mod fault_points;
mod kills;
mod ledger;
mod mail;
mod mail_exim;
mod mail_lines;
mod mail_orders;
mod mail_parked;
mod poison;
mod power_cuts;
mod processes;
mod setting;
mod shim;
mod unique;
mod webhooks;

use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::smtp::{MailServer, Reply};

fn purchase() -> Value {
    json!({ "orderId": "order_123", "customerEmail": "user@example.com" })
}

fn welcome(number: usize) -> Value {
    json!({ "userId": format!("u_{number}"), "email": format!("user{number}@example.com") })
}

#[test]
fn a_run_that_waits_for_its_retry_goes_on_after_a_kill() {
    let mut server = Server::dev();
    server.post("/api/v1/mail/faults", &json!({ "fail_next": 1, "kind": "transient" }));
    let id = server.enqueue("purchase-confirmation", &purchase());
    server.until(&id, |run| run["state"] == "retryable");
    server.kill();
    server.restart();
    let run = server.finished(&id);
    assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(2)), "{run:#}");
    assert_eq!(server.mails().len(), 1);
    assert_eq!(server.order("order_123")["status"], "fulfilled");
}

#[test]
fn a_run_that_was_cut_off_is_tried_again_and_its_mail_keeps_its_message_id() {
    let mail = MailServer::start();
    mail.script([Reply::Stall]);
    let mut server = Server::up(&format!(
        "[mail]\nmode = \"smtp\"\nfrom = \"shop@example.com\"\nsmtp = {{ url = \"smtp://{}\" }}\n",
        mail.address
    ));
    let id = server.enqueue("welcome-email", &welcome(1));
    mail.wait(1);
    assert_eq!(server.run_of(&id)["state"], "running");
    server.kill();
    server.restart();
    let run = server.finished(&id);
    assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(2)), "{run:#}");
    assert_eq!(run["attempts"][0]["error"]["kind"], "host");
    let mails = mail.wait(2);
    let header = |mail: &String, name: &str| mail.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    for name in ["Message-ID:", "Date:"] {
        assert!(header(&mails[0], name).is_some());
        assert_eq!(header(&mails[0], name), header(&mails[1], name), "the copy can be told by its {name}");
    }
}

#[test]
fn a_graceful_stop_exits_with_zero_and_loses_nothing() {
    let mut server = Server::dev();
    let ids: Vec<String> = (0..20).map(|number| server.enqueue("welcome-email", &welcome(number))).collect();
    assert_eq!(server.stop(), Some(0));
    server.restart();
    for id in ids {
        let run = server.finished(&id);
        assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run:#}");
    }
}

#[test]
fn delayed_runs_survive_and_start_on_time() {
    let mut server = Server::dev();
    let body = json!({ "payload": welcome(1), "delay": "2s" });
    let answer = server.post("/api/v1/jobs/welcome-email/runs", &body);
    assert_eq!((answer.status, &answer.json()["state"]), (202, &json!("scheduled")));
    assert_eq!(answer.json()["waiting_for"]["kind"], "due");
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    server.kill();
    server.restart();
    let run = server.finished(&id);
    assert_eq!(run["state"], "completed");
    assert!(run["started_at"].as_str() >= run["scheduled_at"].as_str(), "{run:#}");
}
