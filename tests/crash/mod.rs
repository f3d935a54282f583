//! kill -9 and graceful stops: what was answered is there, what ran goes on.

use std::time::{Duration, Instant};

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
fn nothing_that_was_answered_is_missing_after_kills() {
    let mut server = Server::dev();
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let url = server.url.clone();
        // Clients that enqueue until the server is gone, each with its own list of what was answered.
        let clients: Vec<_> = (0..4)
            .map(|client| {
                std::thread::spawn({
                    let url = url.clone();
                    move || enqueue_until_gone(&url, round * 1_000 + client * 100)
                })
            })
            .collect();
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(150 * (u64::try_from(round).expect("small") + 1)) {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        server.kill();
        for client in clients {
            acknowledged.extend(client.join().expect("no panic"));
        }
        server.restart();
    }
    assert!(!acknowledged.is_empty());
    for id in &acknowledged {
        let run = server.finished(id);
        // A welcome has two attempts: two kills in a row may spend them.
        assert!(matches!(run["state"].as_str(), Some("completed" | "dead")), "{run:#}");
    }
    let mails = server.get("/api/v1/mail?limit=200").json();
    assert!(mails["items"].as_array().is_some_and(|items| !items.is_empty()));
}

fn enqueue_until_gone(url: &str, first: usize) -> Vec<String> {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut acknowledged = Vec::new();
    for number in first..first + 100 {
        let body = json!({ "payload": welcome(number) }).to_string();
        let sent = agent
            .post(format!("{url}/api/v1/jobs/welcome-email/runs"))
            .header("content-type", "application/json")
            .send(body);
        let Ok(mut response) = sent else { break };
        let Ok(text) = response.body_mut().read_to_string() else { break };
        assert_eq!(response.status().as_u16(), 202, "{text}");
        let run: Value = serde_json::from_str(&text).expect("a run");
        acknowledged.push(run["id"].as_str().expect("an id").to_owned());
    }
    acknowledged
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
