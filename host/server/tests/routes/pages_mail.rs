//! The pages about mail as a browser uses them: the log, one mail, release, clearing, failures on demand.
//! What the actions do is tested with the API; here is that the pages say it first, and then do it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{StatusCode, header};
use insta::assert_snapshot;
use jobmill_core::mail::{Mail, MailStatus};
use jobmill_engine::MailOutlet;
use jobmill_server::FaultKind;
use jobmill_store::Settlement;
use serde_json::json;

use crate::browsing::{
    SCRIPT, assert_harmless, followed, main_part, notice, reader, shown, shown_to_reader, submit, submit_as_reader,
    submit_forged,
};
use crate::world::{World, settings_with};

const ADA: &str = r#"{ "userId": "user_1", "email": "ada@example.com" }"#;

async fn mail_id(world: &World) -> String {
    let mails = world.get("/api/v1/mail").await.json();
    mails["items"][0]["id"].as_str().expect("a mail").to_owned()
}

async fn with_a_mail() -> (World, String) {
    let world = World::start().await;
    world.finish("welcome-email", ADA).await;
    let id = mail_id(&world).await;
    (world, id)
}

/// A mail server that takes what it is told to take, for addresses at example.com.
struct Outlet(MailStatus);

#[async_trait]
impl MailOutlet for Outlet {
    fn allows(&self, address: &str) -> bool {
        address.ends_with("@example.com")
    }

    async fn deliver(&self, _: &Mail) -> Settlement {
        let error = (self.0 != MailStatus::Sent).then(|| "no such mailbox".to_owned());
        Settlement { status: self.0, reply: Some("the server's words".to_owned()), error }
    }
}

async fn with_an_outlet(status: MailStatus, payload: &str) -> (World, String) {
    let mut world = World::start().await;
    let mut settings = settings_with(None);
    settings.mail_outlet = Some(Arc::new(Outlet(status)));
    world.router = jobmill_server::router(world.handle.clone(), settings);
    world.finish("welcome-email", payload).await;
    let id = mail_id(&world).await;
    (world, id)
}

#[tokio::test]
async fn an_empty_log_says_what_comes_here() {
    let world = World::with(&[]).await;
    assert_snapshot!(shown(&world, "/mail").await);
}

#[tokio::test]
async fn mails_are_rows_that_say_where_each_stands() {
    let world = World::with(&["welcome-email", "doubtful"]).await;
    world.finish("welcome-email", ADA).await;
    world.finish("doubtful", "{}").await;
    assert_snapshot!(shown(&world, "/mail").await);
}

#[tokio::test]
async fn the_log_is_filtered_by_its_address_and_paged_from_the_newest_to_the_oldest() {
    let world = World::with(&["letter"]).await;
    for number in 0..51 {
        world
            .finish("letter", &format!(r#"{{ "to": "a{}@example.com", "subject": "letter {number}" }}"#, number % 2))
            .await;
    }
    let page = shown(&world, "/mail?to=A0%40example.com&kind=letter&status=captured").await;
    assert_eq!(page.matches("<tr>").count(), 27);
    assert!(
        page.contains(r#"value="A0@example.com""#) && page.contains(r#"<option value="captured" selected>"#),
        "{page}"
    );
    let first = world.get("/mail?kind=letter").await.body;
    assert!(first.contains(">letter 50</a>") && !first.contains(">letter 0</a>"));
    let (_, rest) = first.split_once("<a href=\"/mail?kind=letter&#38;cursor=").expect("an older page");
    let cursor = rest.split('"').next().expect("a cursor");
    let older = shown(&world, &format!("/mail?kind=letter&cursor={cursor}")).await;
    assert!(older.contains(">letter 0</a>") && !older.contains(">letter 1</a>"));
    assert!(older.contains(r#"<a href="/mail?kind=letter">Newest mails</a>"#) && !older.contains("Older mails"));
    let none = shown(&world, "/mail?to=b@example.com").await;
    assert!(none.contains("No mail matches"), "{none}");
    for query in ["status=lost", "run=x", "cursor=x", "cleared=many"] {
        assert_eq!(world.get(&format!("/mail?{query}")).await.refusal(), "400 invalid-parameter", "{query}");
    }
    assert_eq!(world.get("/mail?from=x").await.refusal(), "400 unknown-parameter");
}

#[tokio::test]
async fn a_mail_is_shown_with_the_run_that_sent_it() {
    let (world, id) = with_a_mail().await;
    assert_snapshot!(shown(&world, &format!("/mail/{id}")).await);
}

#[tokio::test]
async fn a_mail_is_previewed_at_the_width_of_a_phone_a_tablet_and_the_page() {
    let (world, id) = with_a_mail().await;
    for (query, width) in [("?width=375", "375"), ("?width=768", "768"), ("?width=full", "100%"), ("", "100%")] {
        let page = shown(&world, &format!("/mail/{id}{query}")).await;
        assert!(page.contains(&format!(r#"width="{width}" height="600""#)), "{query}: {page}");
        assert_eq!(page.matches(r#"aria-current="true""#).count(), 1);
    }
    assert_eq!(world.get(&format!("/mail/{id}?width=1e9")).await.refusal(), "400 invalid-parameter");
}

#[tokio::test]
async fn what_a_mail_shows_may_do_nothing_and_load_nothing() {
    let world = World::with(&["letter"]).await;
    let html = r#"<script>alert(1)</script><img src="https://evil.example/pixel"><a href="https://evil.example" target="_top">x</a>"#;
    world.finish("letter", &json!({ "to": "a@b.example", "subject": "s", "html": html }).to_string()).await;
    let id = mail_id(&world).await;
    let document = world.get(&format!("/mail/{id}/html")).await;
    assert_eq!((document.status, document.body.as_str()), (StatusCode::OK, html));
    assert_eq!(document.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(document.headers["x-dns-prefetch-control"], "off");
    let policy = document.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
    assert!(policy.starts_with("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:;"), "{policy}");
    assert!(!policy.contains("allow-"), "{policy}");
    let page = world.get(&format!("/mail/{id}")).await;
    assert!(page.body.contains("<iframe class=\"letter\" sandbox src=\"/mail/mail_"), "{}", page.body);
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
    assert!(policy.contains("frame-src 'self'"), "a link can't lead the frame to another site: {policy}");
    assert!(page.body.contains("no text part"), "{}", page.body);
}

#[tokio::test]
async fn a_mail_without_html_has_no_preview() {
    let world = World::with(&["letter"]).await;
    world.finish("letter", r#"{ "to": "a@b.example", "subject": "plain", "text": "Hello\nAda" }"#).await;
    let id = mail_id(&world).await;
    let page = shown(&world, &format!("/mail/{id}")).await;
    assert!(!page.contains("<iframe") && page.contains("<pre>Hello\nAda</pre>"), "{page}");
    assert_eq!(world.get(&format!("/mail/{id}/html")).await.refusal(), "404 not-found");
    assert_eq!(world.get("/mail/mail_01ARZ3NDEKTSV4RRFFQ69G5FAV").await.refusal(), "404 unknown-mail");
    assert_eq!(world.get("/mail/nonsense").await.refusal(), "404 unknown-mail");
}

#[tokio::test]
async fn what_a_job_writes_stays_text_in_every_field() {
    let world = World::with(&["letter"]).await;
    let payload = json!({
        "to": SCRIPT, "name": SCRIPT, "reply_to": SCRIPT, "subject": SCRIPT, "text": SCRIPT, "kind": SCRIPT,
        "file": SCRIPT, "type": SCRIPT, "header_name": SCRIPT, "header": SCRIPT, "html": "<p>",
    });
    world.finish("letter", &payload.to_string()).await;
    let id = mail_id(&world).await;
    for path in ["/mail".to_owned(), format!("/mail/{id}"), format!("/mail/{id}/release")] {
        let page = shown(&world, &path).await;
        assert_harmless(&page);
        assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
    }
    let query = "%3Cscript%3Ealert(1)%3C/script%3E%22%3E%3Cimg%20src=x%3E";
    assert_harmless(&shown(&world, &format!("/mail?to={query}&kind={query}")).await);
}

#[tokio::test]
async fn a_captured_mail_is_released_once_that_is_confirmed() {
    let (world, id) = with_an_outlet(MailStatus::Sent, ADA).await;
    let path = format!("/mail/{id}/release");
    assert!(shown(&world, &format!("/mail/{id}")).await.contains("Release to ada@example.com…"));
    assert_snapshot!(shown(&world, &path).await);
    submit_forged(&world, &path, &[]).await;
    let (place, page) = followed(&world, &submit(&world, &path, &path, &[]).await).await;
    assert_eq!((place.as_str(), notice(&page)), ("/mail/mail_1?released=1", "The mail server took it."));
    assert!(page.contains("the server&#39;s words") && !page.contains("Release to"), "{page}");
    assert!(shown(&world, &path).await.contains("only captured mails are released"));
}

#[tokio::test]
async fn a_mail_that_stays_says_why() {
    let (world, id) = with_an_outlet(MailStatus::Failed, ADA).await;
    let path = format!("/mail/{id}/release");
    let (_, page) = followed(&world, &submit(&world, &path, &path, &[]).await).await;
    assert!(page.contains("not released: no such mailbox"), "{page}");
    assert_eq!(notice(&page), "It was not sent, and stays in the mailbox: it is captured.");
    world.put("/api/v1/suppressions/ada@example.com", "{}").await;
    let refused = submit(&world, &path, &path, &[]).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(main_part(&refused.body).contains("It stays here</b> ada@example.com is suppressed"), "{}", refused.body);
    let (other, id) = with_an_outlet(MailStatus::Sent, r#"{ "userId": "u", "email": "ada@elsewhere.example" }"#).await;
    let page = shown(&other, &format!("/mail/{id}/release")).await;
    assert!(page.contains("mail.release.allow names neither") && !page.contains("<form"), "{page}");
    let (closed, id) = with_a_mail().await;
    let page = shown(&closed, &format!("/mail/{id}/release")).await;
    assert!(page.contains("set mail.smtp") && !page.contains("<form"), "{page}");
}

#[tokio::test]
async fn the_log_is_cleared_once_that_is_confirmed() {
    let (world, _) = with_a_mail().await;
    assert_snapshot!(shown(&world, "/mail/clear").await);
    submit_forged(&world, "/mail/clear", &[]).await;
    let (place, page) = followed(&world, &submit(&world, "/mail/clear", "/mail/clear", &[]).await).await;
    assert_eq!(place, "/mail?cleared=1");
    assert_eq!(notice(&page), "The log showed 1 mail and is empty now. Its run still shows it.");
    assert!(page.contains("No mail yet"), "{page}");
    assert!(shown(&world, "/mail/clear").await.contains("is empty already"));
}

#[tokio::test]
async fn the_next_mails_fail_on_demand_in_development_only() {
    let mut world = World::start().await;
    let fields = [("fail_next", "2"), ("kind", "transient")];
    submit_forged(&world, "/mail/faults", &fields).await;
    let (place, page) = followed(&world, &submit(&world, "/mail", "/mail/faults", &fields).await).await;
    assert_eq!((place.as_str(), notice(&page)), ("/mail?failing=2", "The next 2 mails fail."));
    let ended = submit(&world, "/mail", "/mail/faults", &[("fail_next", "0"), ("kind", "permanent")]).await;
    assert_eq!(notice(&followed(&world, &ended).await.1), "No mail fails on demand any more.");
    let asked = world.faults.0.lock().expect("not poisoned").clone();
    assert_eq!(asked, [("mail", 2, FaultKind::Transient), ("mail", 0, FaultKind::Permanent)]);
    for (fields, refusal) in [
        ([("fail_next", "-1"), ("kind", "transient")], "400 invalid-member /fail_next"),
        ([("fail_next", "1"), ("kind", "lethal")], "400 invalid-member /kind"),
        ([("fail_next", ""), ("kind", "transient")], "400 missing-member /fail_next"),
        ([("fail_next", "1"), ("kind", "")], "400 missing-member /kind"),
    ] {
        assert_eq!(submit(&world, "/mail", "/mail/faults", &fields).await.refusal(), refusal);
    }
    world.router = jobmill_server::router(world.handle.clone(), settings_with(None));
    world.finish("welcome-email", ADA).await;
    assert!(!shown(&world, "/mail").await.contains("/mail/faults"));
    assert_eq!(submit(&world, "/mail/clear", "/mail/faults", &fields).await.refusal(), "404 not-found");
}

#[tokio::test]
async fn whoever_may_only_look_sees_no_button_and_changes_nothing() {
    let (world, id) = with_a_mail().await;
    let secret = reader(&world).await;
    let (letter, release) = (format!("/mail/{id}"), format!("/mail/{id}/release"));
    for path in ["/mail", "/mail/clear", &letter, &release] {
        let main = shown_to_reader(&world, path, &secret).await;
        assert!(!main.contains("Clear the e-mail log…") && !main.contains("Release to"), "{main}");
    }
    for path in ["/mail/clear", "/mail/faults", &release] {
        let refused = submit_as_reader(&world, path, &[("fail_next", "1"), ("kind", "transient")], &secret).await;
        assert_eq!(refused.refusal(), "403 scope-missing", "{path}");
    }
}
