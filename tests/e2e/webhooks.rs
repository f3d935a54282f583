//! Signed webhooks from the senders' own libraries: each starts its job once, whatever is sent again, and nothing else enters.

use std::ffi::OsStr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::node::script;
use crate::support::server::{Answer, Server};
use crate::support::signature::{self, checkout};

const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn configuration() -> String {
    let standard = format!("[webhooks.clerk]\nkind = \"standard\"\nsecrets = [\"{STANDARD_SECRET}\"]\n");
    format!("{}{standard}", signature::CONFIGURATION)
}

fn serving() -> Server {
    Server::start(&["dev"], Some(&configuration()))
}

fn deliver(server: &Server, endpoint: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    server.send("POST", &format!("/webhooks/{endpoint}"), headers, body.as_bytes())
}

/// The headers by the sender's own library.
fn signed(name: &str, before: &[&str], body: &str, after: &[&str]) -> Value {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), body).expect("written");
    let mut arguments: Vec<&OsStr> = before.iter().map(OsStr::new).collect();
    arguments.push(file.path().as_os_str());
    arguments.extend(after.iter().map(OsStr::new));
    script(name, &arguments, &[])
}

fn deliveries(server: &Server) -> Vec<Value> {
    server.get("/api/v1/webhooks/deliveries").json()["items"].as_array().expect("items").clone()
}

#[test]
fn a_delivery_by_stripes_own_library_starts_its_job_once_also_when_it_comes_five_times_at_once() {
    let server = Arc::new(serving());
    let body = checkout("evt_1", "order_123", "ada@example.com");
    let header = signed("stripe", &[signature::SECRET], &body, &[])["header"].as_str().expect("a header").to_owned();
    let threads: Vec<_> = (0..5)
        .map(|_| {
            let (server, body, header) = (Arc::clone(&server), body.clone(), header.clone());
            std::thread::spawn(move || deliver(&server, "stripe", &[("stripe-signature", &header)], &body))
        })
        .collect();
    let answers: Vec<Answer> = threads.into_iter().map(|thread| thread.join().expect("ends")).collect();
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let firsts = answers.iter().filter(|answer| answer.json()["duplicate"] == false).count();
    assert_eq!(firsts, 1, "{answers:?}");
    let run = answers[0].json()["runs"][0].as_str().expect("a run").to_owned();
    assert!(answers.iter().all(|answer| answer.json()["runs"] == json!([run])), "{answers:?}");
    let run = server.finished(&run);
    assert_eq!((&run["job"], &run["state"]), (&json!("purchase-confirmation"), &json!("completed")), "{run:#}");
    assert_eq!(run["payload"], json!({ "orderId": "order_123", "customerEmail": "ada@example.com" }));
    assert_eq!((server.mails().len(), deliveries(&server).len()), (1, 1));
}

#[test]
fn a_delivery_by_the_library_of_standard_webhooks_welcomes_a_new_user() {
    let server = serving();
    let user = json!({
        "type": "user.created",
        "object": "event",
        "data": {
            "id": "user_1",
            "first_name": "Ada",
            "last_name": "Lovelace",
            "primary_email_address_id": "idn_2",
            "email_addresses": [
                { "id": "idn_1", "email_address": "old@example.com" },
                { "id": "idn_2", "email_address": "ada@example.com" },
            ],
        },
    });
    let body = user.to_string();
    let headers = signed("standardwebhooks", &[STANDARD_SECRET], &body, &["msg_1"]);
    let headers: Vec<(&str, &str)> = headers
        .as_object()
        .expect("headers")
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().expect("a text")))
        .collect();
    let answer = deliver(&server, "clerk", &headers, &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let run = server.finished(answer.json()["runs"][0].as_str().expect("a run"));
    assert_eq!(run["payload"], json!({ "userId": "user_1", "email": "ada@example.com", "name": "Ada Lovelace" }));
    assert_eq!(deliver(&server, "clerk", &headers, &body).json()["duplicate"], true);
}

#[test]
fn what_is_not_signed_as_it_must_be_is_refused_with_one_sentence() {
    let server = serving();
    let body = checkout("evt_1", "order_123", "ada@example.com");
    let good = signature::stripe(body.as_bytes());
    let old = signed("stripe", &[signature::SECRET], &body, &["1700000000"])["header"].clone();
    let other = signed("stripe", &["whsec_another_secret_altogether"], &body, &[])["header"].clone();
    let v0 = good.replace("v1=", "v0=");
    let refused = [
        deliver(&server, "stripe", &[], &body),
        deliver(&server, "stripe", &[("stripe-signature", old.as_str().expect("a text"))], &body),
        deliver(&server, "stripe", &[("stripe-signature", other.as_str().expect("a text"))], &body),
        deliver(&server, "stripe", &[("stripe-signature", &v0)], &body),
        deliver(&server, "stripe", &[("stripe-signature", &good)], &body.replace("order_123", "order_124")),
    ];
    for answer in &refused {
        assert_eq!((answer.status, &answer.text), (401, &refused[0].text));
    }
    assert_eq!((deliveries(&server).len(), server.get("/api/v1/runs").json()["items"].clone()), (0, json!([])));
    assert_eq!(deliver(&server, "stripe", &[("stripe-signature", &good)], &body).status, 200);
}

#[test]
fn what_the_map_lacks_is_kept_told_and_taken_in_again() {
    let server = serving();
    let without = json!({
        "id": "evt_9", "type": "checkout.session.completed",
        "data": { "object": { "customer_details": { "email": "ada@example.com" } } },
    });
    let other = json!({ "id": "evt_10", "type": "invoice.paid", "data": { "object": {} } });
    for body in [without.to_string(), other.to_string()] {
        let answer = deliver(&server, "stripe", &[("stripe-signature", &signature::stripe(body.as_bytes()))], &body);
        assert_eq!((answer.status, &answer.json()["runs"]), (200, &json!([])), "{answer:?}");
    }
    let listed = server.run(&["webhooks", "list", "-o", "json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let outcomes: Vec<&str> =
        listed["items"].as_array().expect("items").iter().filter_map(|it| it["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["ignored", "unmapped"]);
    let unmapped = &listed["items"][1];
    assert!(unmapped["reason"].as_str().is_some_and(|reason| reason.contains("orderId")), "{unmapped:#}");
    let id = unmapped["id"].as_str().expect("an id");
    let shown = server.get(&format!("/api/v1/webhooks/deliveries/{id}")).json();
    assert_eq!(shown["body"], without.to_string());

    // Once it was understood, another replay starts the job again.
    let body = checkout("evt_11", "order_123", "ada@example.com");
    let first = deliver(&server, "stripe", &[("stripe-signature", &signature::stripe(body.as_bytes()))], &body).json();
    server.finished(first["runs"][0].as_str().expect("a run"));
    let replayed = server.run(&["webhooks", "replay", first["delivery"].as_str().expect("an id")]);
    assert!(replayed.status.success(), "{replayed:?}");
    let runs = server.get("/api/v1/runs?job=purchase-confirmation").json();
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(2), "{runs:#}");
}

#[test]
fn a_bounce_told_by_the_mail_service_stops_mail_to_the_address() {
    let server = serving();
    let bounced = json!({
        "type": "email.bounced", "created_at": "2026-03-01T09:00:00.000Z",
        "data": { "email_id": "e_1", "to": ["Gone@example.com"], "subject": "Hello",
                  "bounce": { "type": "Permanent", "subType": "General", "message": "no such mailbox" } },
    });
    let body = bounced.to_string();
    let headers = signed("standardwebhooks", &[STANDARD_SECRET], &body, &["msg_2"]);
    let headers: Vec<(String, String)> = headers
        .as_object()
        .expect("headers")
        .iter()
        // As Svix and with it Resend name them.
        .map(|(name, value)| (name.replace("webhook-", "svix-"), value.as_str().expect("a text").to_owned()))
        .collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(deliver(&server, "clerk", &headers, &body).status, 200);
    let suppressed = server.get("/api/v1/suppressions/gone@example.com");
    assert_eq!((suppressed.status, &suppressed.json()["source"]), (200, &json!("webhook")), "{suppressed:?}");
    let run = server.enqueue("welcome-email", &json!({ "userId": "u", "email": "gone@example.com" }));
    assert_eq!(server.finished(&run)["output"]["delivery"], "suppressed");
}
