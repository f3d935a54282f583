//! Addresses that get no mail, the development mailbox, and mails that leave it.

use serde_json::{Value, json};

use crate::support::server::{Answer, Server, pause};
use crate::support::smtp::{MailServer, Reply};

/// Captured mails that the e-mail log shows.
const CAPTURED: usize = 500;

fn welcome(address: &str) -> Value {
    json!({ "userId": "u_1", "email": address, "name": "Zoë" })
}

fn output(server: &Server, arguments: &[&str]) -> String {
    let output = server.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// How the mail of a run to this address was delivered, as the run says.
fn delivery(server: &Server, address: &str) -> Value {
    let run = server.finished(&server.enqueue("welcome-email", &welcome(address)));
    assert_eq!(run["state"], "completed", "{run:#}");
    run["output"]["delivery"].clone()
}

fn newest_status(server: &Server) -> Value {
    server.mails()[0]["status"].clone()
}

#[test]
fn a_suppressed_address_gets_no_mail_until_it_is_lifted_even_when_it_was_forgotten() {
    let mut server = Server::dev();
    let shown = output(&server, &["mail", "suppress", "Ada@example.com", "--reason", "asked for it"]);
    assert!(shown.contains("ada@example.com") && shown.contains("asked for it"), "{shown}");
    assert_eq!(
        (delivery(&server, "ada@example.com"), newest_status(&server)),
        (json!("suppressed"), json!("suppressed"))
    );
    assert_eq!(delivery(&server, "bob@example.com"), "captured");
    let forgotten = output(&server, &["store", "forget", "--email", "ada@example.com", "-o", "json"]);
    let forgotten: Value = serde_json::from_str(&forgotten).expect("JSON");
    assert_eq!((&forgotten["suppressions"], &forgotten["runs"]), (&json!(1), &json!(1)), "{forgotten:#}");
    server.kill();
    server.restart();
    let listed = output(&server, &["mail", "suppressions"]);
    assert!(listed.contains("(forgotten)") && !listed.contains("ada@"), "{listed}");
    assert_eq!(delivery(&server, "ADA@example.com"), "suppressed", "by its digest alone");
    output(&server, &["mail", "lift", "ada@example.com"]);
    assert_eq!(delivery(&server, "ada@example.com"), "captured");
    assert_eq!(server.run(&["mail", "lift", "ada@example.com"]).status.code(), Some(3));
}

#[test]
fn the_log_is_asked_by_time_and_shows_the_servers_words() {
    let mail = MailServer::start();
    let configuration = format!(
        "[mail]\nmode = \"smtp\"\nfrom = \"Shop <shop@example.com>\"\nsmtp = {{ url = \"smtp://{}\" }}\n",
        mail.address
    );
    let server = Server::up(&configuration);
    assert_eq!(delivery(&server, "ada@example.com"), "sent");
    let line = output(&server, &["mail", "list", "--since", "1h"]);
    assert!(line.contains("ada@example.com") && line.contains("250"), "{line}");
    for none in [["--until", "1h"], ["--since", "2100-01-01T00:00:00Z"]] {
        let shown = output(&server, &[&["mail", "list", "-o", "json"], none.as_slice()].concat());
        assert!(!shown.contains("ada@example.com"), "{none:?}: {shown}");
    }
    let mails = server.mails();
    let at = mails[0]["created_at"].as_str().expect("a time");
    let of = |query: &str| server.get(&format!("/api/v1/mail?{query}")).json()["items"].as_array().map(Vec::len);
    assert_eq!(
        (of(&format!("since={at}")), of(&format!("until={at}"))),
        (Some(1), Some(0)),
        "since {at}, and not until it"
    );
}

#[test]
fn the_development_mailbox_shows_the_newest_mails_and_runs_keep_theirs() {
    let mut server = Server::dev();
    let first = server.finished(&server.enqueue("welcome-email", &welcome("first@example.com")));
    let first = first["id"].as_str().expect("an id").to_owned();
    let events: Vec<Value> = (0..CAPTURED + 99)
        .map(|number| json!({ "name": "email/welcome", "data": welcome(&format!("user{number}@example.com")) }))
        .collect();
    server.post("/api/v1/events", &Value::Array(events));
    while server.get("/api/v1/stats").json()["runs"]["completed"] != json!(CAPTURED + 100) {
        pause();
    }
    for _ in 0..2 {
        let shown = output(&server, &["mail", "list", "--limit", "10000", "-o", "jsonl"]);
        assert_eq!(shown.lines().count(), CAPTURED);
        assert!(!shown.contains("first@example.com"));
        let of_run = server.get(&format!("/api/v1/runs/{first}/mail")).json();
        let mail = of_run["items"][0]["id"].as_str().expect("its run still shows it");
        assert_eq!(server.get(&format!("/api/v1/mail/{mail}")).json()["to"], "first@example.com");
        server.kill();
        server.restart();
    }
}

/// `jobmill dev` with a mail server that captured mails may leave to; answers it with a captured mail to this address.
fn with_a_captured_mail(mail: &MailServer, address: &str) -> (Server, String) {
    let configuration = format!(
        "[mail]\nsmtp = {{ url = \"smtp://{}\" }}\nrelease = {{ allow = [\"ada@example.com\", \"*@shop.example\"] }}\n",
        mail.address
    );
    let server = Server::start(&["dev"], Some(&configuration));
    assert_eq!(delivery(&server, address), "captured");
    let id = server.mails()[0]["id"].as_str().expect("an id").to_owned();
    (server, id)
}

fn release(server: &Server, id: &str) -> Answer {
    server.post(&format!("/api/v1/mail/{id}/release"), &json!({}))
}

#[test]
fn a_captured_mail_is_released_to_whom_the_configuration_names() {
    let mail = MailServer::start();
    let (server, id) = with_a_captured_mail(&mail, "ada@example.com");
    let message_id = server.mails()[0]["message_id"].as_str().expect("an id").to_owned();
    let shown = output(&server, &["mail", "release", &id]);
    assert!(shown.contains("sent") && shown.contains("250"), "{shown}");
    assert!(mail.wait(1)[0].contains(&message_id), "the same mail");
    assert_eq!(release(&server, &id).code(), "wrong-state");
    assert_eq!(delivery(&server, "eve@elsewhere.example"), "captured");
    let other = server.mails()[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(release(&server, &other).code(), "address-not-allowed");
    assert_eq!(delivery(&server, "bob@shop.example"), "captured");
    let other = server.mails()[0]["id"].as_str().expect("an id").to_owned();
    output(&server, &["mail", "suppress", "bob@shop.example"]);
    assert_eq!(release(&server, &other).code(), "address-suppressed");
    output(&server, &["mail", "lift", "bob@shop.example"]);
    assert_eq!(release(&server, &other).json()["status"], "sent");
    assert_eq!(mail.wait(2).len(), 2);
}

#[test]
fn without_an_allow_list_no_mail_leaves() {
    let server = Server::dev();
    assert_eq!(delivery(&server, "ada@example.com"), "captured");
    let id = server.mails()[0]["id"].as_str().expect("an id").to_owned();
    let answer = release(&server, &id);
    assert_eq!((answer.status, answer.code().as_str()), (409, "release-not-configured"));
    assert!(answer.text.contains("mail.release.allow"), "{}", answer.text);
}

#[test]
fn a_run_with_a_mail_in_doubt_goes_on_as_the_operator_decides() {
    for (choice, mails, delivered) in [("sent", 1, "already-sent"), ("resend", 2, "sent")] {
        let mail = MailServer::start();
        mail.script([Reply::Cut]);
        let configuration = format!(
            "[mail]\nmode = \"smtp\"\nfrom = \"Shop <shop@example.com>\"\nsmtp = {{ url = \"smtp://{}\" }}\nin_doubt = \"park\"\n",
            mail.address
        );
        let server = Server::up(&configuration);
        let run = server.finished(&server.enqueue("welcome-email", &welcome("ada@example.com")));
        let id = run["id"].as_str().expect("an id");
        assert_eq!(
            (&run["state"], &run["attempts"][0]["error"]["kind"]),
            (&json!("dead"), &json!("permanent")),
            "{run:#}"
        );
        let message_id = run["mails_in_doubt"][0]["message_id"].as_str().expect("it is told").to_owned();
        let group = server.get("/api/v1/dead").json()["items"][0]["fingerprint"].as_str().expect("a group").to_owned();
        for shown in [output(&server, &["runs", "show", id]), output(&server, &["dead", "show", &group])] {
            for part in [message_id.as_str(), "ada@example.com", "--in-doubt sent", "--in-doubt resend"] {
                assert!(shown.contains(part), "{part} is missing in\n{shown}");
            }
        }
        let refused = server.run(&["runs", "retry", id]);
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && text.contains("mail-in-doubt") && text.contains(&message_id), "{text}");
        output(&server, &["-y", "dead", "requeue", "--fingerprint", &group, "--in-doubt", choice]);
        let run = server.until(id, |run| run["state"] == "completed");
        assert_eq!(run["output"]["delivery"], delivered, "{choice}: {run:#}");
        let taken = mail.wait(mails);
        assert_eq!(taken.len(), mails, "{choice}");
        assert!(taken.iter().all(|mail| mail.contains(&message_id)), "each is the same mail");
        assert_eq!(newest_status(&server), "sent");
    }
}
