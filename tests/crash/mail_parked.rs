//! A mail that may have been sent, where a person is to decide what becomes of it.

use serde_json::{Value, json};

use crate::crash::setting;
use crate::support::server::Server;
use crate::support::smtp::{MailServer, Reply};

/// Runs a job whose mail was taken without an answer; gives the dead run.
fn parked(mail: &MailServer, server: &Server) -> Value {
    mail.script([Reply::Cut]);
    let payload = json!({ "userId": "u_1", "email": "ada@example.com" });
    let run = server.finished(&server.enqueue("welcome-email", &payload));
    assert_eq!((&run["state"], &run["attempt"]), (&json!("dead"), &json!(1)), "{run:#}");
    assert_eq!(server.mails()[0]["status"], "in-doubt");
    run
}

fn parking(mail: &MailServer) -> Server {
    let address = mail.address;
    let mut server = setting::prepared(&format!(
        "[mail]\nmode = \"smtp\"\nfrom = \"shop@example.com\"\nin_doubt = \"park\"\nsmtp = {{ url = \"smtp://{address}\" }}\n"
    ));
    server.restart();
    server
}

/// Puts the run back with this choice; gives the completed run.
fn put_back(server: &Server, run: &Value, choice: &[&str]) -> Value {
    let id = run["id"].as_str().expect("an id");
    let output = server.run(&[&["runs", "retry", id], choice].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = server.finished(id);
    assert_eq!(run["state"], "completed", "{run:#}");
    assert_eq!(server.mails()[0]["status"], "sent");
    run
}

#[test]
fn a_mail_in_doubt_is_told_with_what_to_look_for() {
    let mail = MailServer::start();
    let server = parking(&mail);
    let run = parked(&mail, &server);
    let error = &run["attempts"][0]["error"];
    let text = error["message"].as_str().expect("a text");
    assert_eq!(error["kind"], "permanent");
    assert!(text.contains("ada@example.com") && text.contains(&mail.taken()[0].header("Message-ID")), "{text}");
    // Nothing is decided by leaving the choice out.
    let id = run["id"].as_str().expect("an id");
    let output = server.run(&["runs", "retry", id]);
    let refusal = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && refusal.contains("ada@example.com"), "{refusal}");
    assert_eq!((&server.run_of(id)["state"], mail.taken().len()), (&json!("dead"), 1));
}

#[test]
fn a_mail_that_was_found_sent_is_not_sent_again() {
    let mail = MailServer::start();
    let server = parking(&mail);
    let run = put_back(&server, &parked(&mail, &server), &["--in-doubt", "sent"]);
    assert_eq!(run["output"]["delivery"], "already-sent");
    assert_eq!(mail.taken().len(), 1);
}

#[test]
fn a_mail_that_was_not_found_is_sent_again_as_the_same_one() {
    let mail = MailServer::start();
    let server = parking(&mail);
    put_back(&server, &parked(&mail, &server), &["--in-doubt", "resend"]);
    let copies = mail.taken();
    assert_eq!(copies.len(), 2);
    for name in ["Message-ID", "Date"] {
        assert_eq!(copies[0].header(name), copies[1].header(name));
    }
}

#[test]
fn a_mail_that_was_under_way_when_the_engine_was_killed_is_in_doubt_too() {
    let mail = MailServer::start();
    mail.script([Reply::Stall]);
    let mut server = parking(&mail);
    let id = server.enqueue("welcome-email", &json!({ "userId": "u_1", "email": "ada@example.com" }));
    mail.wait(1);
    server.kill();
    server.restart();
    let run = server.finished(&id);
    assert_eq!((&run["state"], &run["attempt"]), (&json!("dead"), &json!(2)), "{run:#}");
    assert_eq!(run["attempts"][1]["error"]["kind"], "permanent");
    put_back(&server, &run, &["--in-doubt", "sent"]);
    assert_eq!(mail.taken().len(), 1);
}
