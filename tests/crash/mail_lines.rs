//! Text that looks like the end of a mail and the beginning of another, towards a mail server that is easily taken in.

use serde_json::{Value, json};

use crate::crash::setting;
use crate::support::server::Server;
use crate::support::smtp::MailServer;

/// What would be a second mail, if a mail server took these line ends as such in the middle of the first.
fn second_mail(line_end: &str) -> String {
    ["Ada", ".", "MAIL FROM:<mallory@example.com>", "RCPT TO:<eve@example.com>", "DATA", "Hello", ".", ""]
        .join(line_end)
}

fn welcome(server: &Server, name: &str) -> Value {
    let payload = json!({ "userId": "u", "email": "ada@example.com", "name": name });
    server.finished(&server.enqueue("welcome-email", &payload))
}

#[test]
fn what_arrives_at_a_server_that_takes_any_line_end_is_the_one_mail_that_was_meant() {
    let mail = MailServer::taking_bare_line_ends();
    let mut server = setting::sends_with_few_retries(&mail);
    server.restart();
    for line_end in ["\r", "\n\r", "\u{b}", "\u{c}", "\u{85}"] {
        let run = welcome(&server, &second_mail(line_end));
        assert_eq!((&run["state"], &run["attempt"]), (&json!("dead"), &json!(1)), "{line_end:?}: {run:#}");
        let text = run["attempts"][0]["error"]["message"].as_str().expect("a text");
        assert!(text.contains("control character"), "{line_end:?}: {text}");
    }
    assert!(mail.taken().is_empty(), "what is no text is refused before anything is sent");
    let meant = ["\n", "\r\n", "\u{2028}", "\u{2029}", "=0D=0A", "\\r\\n", "&#13;&#10;", "%0D%0A"].map(second_mail);
    let lone_dots = [".", "..", ". QUIT", "Ada\n\n.\n\n"].map(str::to_owned);
    for name in meant.iter().chain(&lone_dots) {
        let run = welcome(&server, name);
        assert_eq!(run["state"], "completed", "{name:?}: {run:#}");
    }
    let mut taken = mail.taken().into_iter();
    for logged in server.mails().iter().rev().filter(|logged| logged["status"] == "sent") {
        let mail = taken.next().expect("every one arrived");
        assert_eq!(mail.envelope, ["MAIL FROM:<shop@example.com>", "RCPT TO:<ada@example.com>"]);
        let raw = server.get(&format!("/api/v1/mail/{}/raw", logged["id"].as_str().expect("an id"))).text;
        assert_eq!(mail.content.trim_end(), raw.replace("\r\n", "\n").trim_end());
    }
    assert_eq!(taken.count(), 0, "mails that nobody asked for");
}
