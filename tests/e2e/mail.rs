//! Mail to a real server over SMTP.

use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::smtp::{MailServer, Reply};

fn configuration(mail: &MailServer) -> String {
    format!(
        "[mail]\nmode = \"smtp\"\nfrom = \"Shop <shop@example.com>\"\nsmtp = {{ url = \"smtp://{}\" }}\n",
        mail.address
    )
}

fn welcome() -> Value {
    json!({ "userId": "u_1", "email": "ada@example.com", "name": "Zoë" })
}

#[test]
fn a_mail_arrives_with_both_parts_and_its_message_id() {
    let mail = MailServer::start();
    let server = Server::up(&configuration(&mail));
    let run = server.finished(&server.enqueue("welcome-email", &welcome()));
    assert_eq!((&run["state"], &run["output"]["delivery"]), (&json!("completed"), &json!("sent")), "{run:#}");
    let mails = mail.wait(1);
    let message_id = run["output"]["messageId"].as_str().expect("an id").trim_matches(['<', '>']);
    for expected in ["From: ", "shop@example.com", "ada@example.com", "text/plain", "text/html", message_id] {
        assert!(mails[0].contains(expected), "{expected} is missing in\n{}", mails[0]);
    }
    assert_eq!(mails[0].matches("\nMessage-ID:").count(), 1);
    let log = server.mails();
    assert_eq!((&log[0]["status"], log.len()), (&json!("sent"), 1), "{log:?}");
    let journal = server.get(&format!("/api/v1/runs/{}/journal", run["id"].as_str().expect("an id"))).text;
    assert!(journal.contains("250"), "the server's reply is on record: {journal}");
}

#[test]
fn a_mail_server_that_says_4xx_is_asked_again_with_the_same_message_id() {
    let mail = MailServer::start();
    mail.script([Reply::Recipient("451 4.7.1 try again later"), Reply::End("452 4.3.1 no room")]);
    let server = Server::up(&configuration(&mail));
    let payload = json!({ "orderId": "order_1", "customerEmail": "user@example.com" });
    let order = json!({ "status": "paid", "customer_email": "user@example.com", "items": [], "total": { "minor": 100, "currency": "EUR" } });
    assert!(server.put("/api/v1/orders/order_1", &order).status < 300);
    let run = server.finished(&server.enqueue("purchase-confirmation", &payload));
    assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(3)), "{run:#}");
    assert!(run["attempts"][0]["error"]["message"].as_str().expect("a text").contains("451"), "{run:#}");
    assert_eq!(mail.mails().len(), 1);
    assert_eq!(server.order("order_1")["status"], "fulfilled");
}

#[test]
fn a_mail_server_that_says_5xx_ends_the_run() {
    let mail = MailServer::start();
    mail.script([Reply::Recipient("550 5.1.1 no such user")]);
    let server = Server::up(&configuration(&mail));
    let run = server.finished(&server.enqueue("welcome-email", &welcome()));
    assert_eq!((&run["state"], &run["attempt"]), (&json!("dead"), &json!(1)), "{run:#}");
    let error = &run["attempts"][0]["error"];
    assert_eq!(error["kind"], "permanent");
    assert!(error["message"].as_str().expect("a text").contains("550"), "{run:#}");
    assert_eq!(server.mails()[0]["status"], "failed");
}
