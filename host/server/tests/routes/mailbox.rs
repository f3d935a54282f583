//! Mails in doubt, and mails that leave the development mailbox.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::http::StatusCode;
use jobmill_core::RunState;
use jobmill_core::mail::{Mail, MailStatus};
use jobmill_engine::MailOutlet;
use jobmill_store::Settlement;
use serde_json::{Value, json};

use crate::world::{World, settings_with};

/// A run that is dead, and whose mail may have been sent.
async fn with_a_mail_in_doubt() -> (World, String) {
    let world = World::with(&["doubtful"]).await;
    let run = world.finish("doubtful", "{}").await;
    (world, run)
}

#[tokio::test]
async fn a_run_with_a_mail_in_doubt_is_put_back_only_with_a_choice() {
    for (choice, before) in [("sent", "sent"), ("resend", "failed")] {
        let (world, run) = with_a_mail_in_doubt().await;
        let mails = world.get(&format!("/api/v1/runs/{run}")).await.json()["mails_in_doubt"].clone();
        assert_eq!(mails[0]["to"], "ada@example.com", "{mails}");
        let retry = format!("/api/v1/runs/{run}/retry");
        let refused = world.post(&retry, "{}").await;
        assert_eq!(refused.refusal(), "409 mail-in-doubt");
        let message_id = mails[0]["message_id"].as_str().expect("an id");
        for part in ["ada@example.com", message_id, "\\\"sent\\\"", "\\\"resend\\\""] {
            assert!(refused.body.contains(part), "{part} is missing in {}", refused.body);
        }
        assert_eq!(world.post(&retry, r#"{ "in_doubt": "drop" }"#).await.refusal(), "400 invalid-member /in_doubt");
        let answer = world.post(&retry, &format!(r#"{{ "in_doubt": "{choice}" }}"#)).await;
        assert_eq!((answer.status, &answer.json()["mails_in_doubt"]), (StatusCode::OK, &json!([])), "{}", answer.body);
        world.until_run_is(&run, RunState::Completed).await;
        let run = world.get(&format!("/api/v1/runs/{run}")).await.json();
        assert_eq!(run["output"]["before"], before, "what the next attempt found");
    }
}

#[tokio::test]
async fn dead_runs_with_mails_in_doubt_are_skipped_and_a_dry_run_tells() {
    let (world, run) = with_a_mail_in_doubt().await;
    for dry_run in ["true", "false"] {
        let body = format!(r#"{{ "filter": {{ "job": "doubtful" }}, "dry_run": {dry_run} }}"#);
        let outcome = world.post("/api/v1/dead/requeue", &body).await.json();
        assert_eq!((&outcome["matched"], &outcome["changed"]), (&json!(1), &json!(0)));
        assert_eq!(outcome["skipped"][0]["id"], json!(run));
        assert!(outcome["skipped"][0]["reason"].as_str().expect("a text").contains("ada@example.com"), "{outcome}");
    }
    let body = r#"{ "filter": { "job": "doubtful" }, "in_doubt": "sent" }"#;
    assert_eq!(world.post("/api/v1/dead/requeue", body).await.json()["changed"], json!(1));
    world.until_run_is(&run, RunState::Completed).await;
}

/// A mail server that answers as it is told, for addresses at example.com.
struct Outlet {
    status: MailStatus,
    taken: Mutex<Vec<Mail>>,
}

#[async_trait]
impl MailOutlet for Outlet {
    fn allows(&self, address: &str) -> bool {
        address.ends_with("@example.com")
    }

    async fn deliver(&self, mail: &Mail) -> Settlement {
        self.taken.lock().expect("not poisoned").push(mail.clone());
        // Whoever else asks for the same gets to ask.
        tokio::task::yield_now().await;
        let error = (self.status != MailStatus::Sent).then(|| "no such mailbox".to_owned());
        Settlement { status: self.status, reply: Some("the server's words".to_owned()), error }
    }
}

/// A captured mail to this address that may leave through the outlet; answers the path by which it does.
async fn with_a_captured_mail(to: &str, status: MailStatus) -> (World, Arc<Outlet>, String) {
    let mut world = World::start().await;
    let outlet = Arc::new(Outlet { status, taken: Mutex::default() });
    let mut settings = settings_with(None);
    settings.mail_outlet = Some(Arc::clone(&outlet) as Arc<_>);
    world.router = jobmill_server::router(world.handle.clone(), settings);
    world.finish("welcome-email", &format!(r#"{{ "userId": "user_1", "email": "{to}" }}"#)).await;
    let mail = world.get("/api/v1/mail").await.json()["items"][0]["id"].as_str().expect("a mail").to_owned();
    (world, outlet, format!("/api/v1/mail/{mail}/release"))
}

async fn journal_kinds(world: &World) -> Vec<Value> {
    let run = world.get("/api/v1/runs").await.json()["items"][0]["id"].as_str().expect("a run").to_owned();
    let journal = world.get(&format!("/api/v1/runs/{run}/journal")).await.json();
    journal["items"].as_array().expect("entries").iter().map(|entry| entry["kind"].clone()).collect()
}

#[tokio::test]
async fn a_captured_mail_leaves_once_and_the_journal_says_so() {
    let (world, outlet, release) = with_a_captured_mail("ada@example.com", MailStatus::Sent).await;
    let (one, other) = tokio::join!(world.post(&release, "{}"), world.post(&release, ""));
    let (sent, refused) = if one.status == StatusCode::OK { (one, other) } else { (other, one) };
    assert_eq!(refused.refusal(), "409 wrong-state");
    let sent = sent.json();
    assert_eq!(
        (&sent["status"], &sent["reply"], &sent["attempts"]),
        (&json!("sent"), &json!("the server's words"), &json!(2))
    );
    assert_eq!(world.post(&release, "{}").await.refusal(), "409 wrong-state");
    let taken = outlet.taken.lock().expect("not poisoned").clone();
    assert_eq!((taken.len(), &json!(taken[0].message_id)), (1, &sent["message_id"]), "the same mail");
    let kinds = journal_kinds(&world).await;
    assert_eq!(kinds[kinds.len() - 2..], [json!("mail-intended"), json!("mail-settled")], "{kinds:?}");
}

#[tokio::test]
async fn a_mail_that_the_server_refused_stays_captured_and_says_why() {
    let (world, outlet, release) = with_a_captured_mail("ada@example.com", MailStatus::Failed).await;
    for attempts in 2..4 {
        let mail = world.post(&release, "{}").await.json();
        assert_eq!((&mail["status"], &mail["attempts"]), (&json!("captured"), &json!(attempts)));
        assert_eq!(mail["error"], "not released: no such mailbox");
    }
    assert_eq!(outlet.taken.lock().expect("not poisoned").len(), 2);
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_is_in_doubt_and_leaves_no_more() {
    let (world, _, release) = with_a_captured_mail("ada@example.com", MailStatus::InDoubt).await;
    assert_eq!(world.post(&release, "{}").await.json()["status"], "in-doubt");
    assert_eq!(world.post(&release, "{}").await.refusal(), "409 wrong-state");
}

#[tokio::test]
async fn only_named_and_unsuppressed_addresses_get_released_mail() {
    let (world, outlet, release) = with_a_captured_mail("ada@elsewhere.example", MailStatus::Sent).await;
    assert_eq!(world.post(&release, "{}").await.refusal(), "409 address-not-allowed");
    let (other, more, release) = with_a_captured_mail("ada@example.com", MailStatus::Sent).await;
    other.put("/api/v1/suppressions/ada@example.com", "{}").await;
    assert_eq!(other.post(&release, "{}").await.refusal(), "409 address-suppressed");
    assert!([outlet, more].iter().all(|outlet| outlet.taken.lock().expect("not poisoned").is_empty()));
    assert_eq!(
        other.post("/api/v1/mail/mail_01ARZ3NDEKTSV4RRFFQ69G5FAV/release", "").await.refusal(),
        "404 unknown-mail"
    );
}

#[tokio::test]
async fn without_a_configured_way_out_the_refusal_says_what_to_configure() {
    let (mut world, _, release) = with_a_captured_mail("ada@example.com", MailStatus::Sent).await;
    world.router = jobmill_server::router(world.handle.clone(), settings_with(None));
    let refused = world.post(&release, "{}").await;
    assert_eq!(refused.refusal(), "409 release-not-configured");
    assert!(refused.body.contains("mail.release.allow"), "{}", refused.body);
}
