//! What a receiver gets, and what becomes of each of its answers: against servers of the test's own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobmill_core::mail::Mailbox;
use jobmill_core::notice::{News, NoticeDelivery, NoticeMessage, NoticedGroup};
use jobmill_core::{FailureKind, NoticeId, RunId, Timestamp};
use jobmill_webhooks::{Endpoint, WebhookKind};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::mail::sink::{Act, At, Sink};
use crate::{MailMode, MailSettings, Mailer, Secret};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn now() -> Timestamp {
    Timestamp::from_millis(1_772_355_600_000)
}

fn message() -> NoticeMessage {
    let group = NoticedGroup {
        job: "welcome-email".parse().expect("a job id"),
        fingerprint: 0xab,
        error: "no user \u{1b}[31m17".to_owned(),
        kind: FailureKind::Permanent,
        count: 3,
        first_seen: now(),
        last_seen: now(),
        example: RunId::from_bytes([0; 16]),
    };
    NoticeMessage { id: NoticeId::from_bytes([7; 16]), news: News::Appeared, at: now(), groups: vec![group] }
}

/// What an endpoint was sent: headers and body, in order.
type Received = Arc<Mutex<Vec<(Vec<(String, String)>, Vec<u8>)>>>;

/// An endpoint that answers each request with the next of these, and then nothing at all.
async fn endpoint(answers: &'static [&'static str]) -> (NoticeWebhook, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/duty?team=shop", listener.local_addr().expect("an address"));
    let received = Received::default();
    let kept = Arc::clone(&received);
    tokio::spawn(async move {
        let mut answers = answers.iter();
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut headers = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.expect("reads");
                if line.trim().is_empty() {
                    break;
                }
                let (name, value) = line.trim().split_once(": ").unwrap_or(("request", line.trim()));
                headers.push((name.to_lowercase(), value.to_owned()));
            }
            let length = headers.iter().find(|(name, _)| name == "content-length").expect("a length");
            let mut body = vec![0; length.1.parse().expect("a number")];
            stream.read_exact(&mut body).await.expect("reads");
            kept.lock().expect("not poisoned").push((headers, body));
            let Some(answer) = answers.next() else { return std::future::pending().await };
            let text = format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(text.as_bytes()).await.expect("writes");
        }
    });
    (NoticeWebhook::new(&url, Some(&Secret::new(SECRET))).expect("usable"), received)
}

#[tokio::test]
async fn a_message_is_signed_so_that_its_receiver_can_check_it() {
    let (webhook, received) = endpoint(&["204 No Content"]).await;
    assert_eq!(webhook.deliver(&message(), now()).await, NoticeDelivery::Taken);
    let received = received.lock().expect("not poisoned").clone();
    let [(headers, body)] = received.as_slice() else { panic!("one request: {received:?}") };
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(header("request"), Some("POST /duty?team=shop HTTP/1.1"));
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(String::from_utf8_lossy(body), message().body().expect("JSON"));
    let on_duty = Endpoint::new("duty", WebhookKind::Standard, &[SECRET.to_owned()], None).expect("an endpoint");
    let verified = on_duty.verify(|name| header(name).map(str::as_bytes), body, now()).expect("good");
    assert_eq!((verified.sender_id, verified.kind.as_str()), (message().id.to_string(), "dead.group_appeared"));
}

#[tokio::test]
async fn each_answer_says_whether_it_is_tried_again() {
    let (webhook, received) = endpoint(&[
        "503 Service Unavailable\r\nretry-after: 7",
        "400 Bad Request",
        "302 Found\r\nlocation: http://127.0.0.1:1/",
        "200 OK",
        "410 Gone",
    ])
    .await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(webhook.deliver(&message(), now()).await);
    }
    let not_now = |reason: &str, delay: Option<u64>| NoticeDelivery::NotNow {
        reason: reason.to_owned(),
        delay: delay.map(Duration::from_secs),
    };
    assert_eq!(answers[0], not_now("it answered 503 Service Unavailable", Some(7)));
    assert_eq!(answers[1], not_now("it answered 400 Bad Request", None));
    assert_eq!(
        answers[2],
        not_now("it answered 302 Found, and redirects are not followed: check notify.webhook", None)
    );
    assert_eq!(answers[3], NoticeDelivery::Taken);
    assert!(matches!(&answers[4], NoticeDelivery::Refused(reason) if reason.contains("410")), "{:?}", answers[4]);
    assert!(matches!(&answers[5], NoticeDelivery::Refused(reason) if reason.contains("410")), "{:?}", answers[5]);
    assert_eq!(received.lock().expect("not poisoned").len(), 5, "one that is gone is not asked again");
}

#[tokio::test]
async fn an_endpoint_that_is_away_or_silent_is_tried_again() {
    let (silent, received) = endpoint(&[]).await;
    let asked = tokio::spawn(async move { silent.deliver(&message(), now()).await });
    while received.lock().expect("not poisoned").is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    let reason = "it did not answer within 10s".to_owned();
    assert_eq!(asked.await.expect("ends"), NoticeDelivery::NotNow { reason, delay: None });
    tokio::time::resume();
    let away = NoticeWebhook::new("http://127.0.0.1:1/", Some(&Secret::new(SECRET))).expect("usable");
    let answer = away.deliver(&message(), now()).await;
    assert!(
        matches!(&answer, NoticeDelivery::NotNow { reason, .. } if reason.contains("can't be reached")),
        "{answer:?}"
    );
}

#[test]
fn a_setting_that_nobody_could_be_told_by_is_refused_and_not_repeated() {
    for (url, secret, key) in [
        ("duty.example", Some(SECRET), "notify.webhook "),
        ("ftp://duty.example/", Some(SECRET), "notify.webhook "),
        ("https://ops:hunter2@duty.example/", Some(SECRET), "notify.webhook "),
        ("https://duty.example/", None, "notify.webhook_secret is missing"),
        ("https://duty.example/", Some("hunter2"), "notify.webhook_secret is no secret"),
    ] {
        let refused = NoticeWebhook::new(url, secret.map(Secret::new).as_ref()).map(|_| ()).expect_err("refused");
        let refused = refused.to_string();
        assert!(refused.starts_with(key) && !refused.contains("hunter2"), "{refused}");
    }
    let webhook = NoticeWebhook::new("https://duty.example/T0/secret", Some(&Secret::new(SECRET))).expect("usable");
    assert_eq!(webhook.place(), "https://duty.example");
}

fn mailer(mode: MailMode) -> Arc<Mailer> {
    let from = Mailbox { address: "jobmill@shop.example".to_owned(), name: None };
    Arc::new(Mailer::new(MailSettings { mode, from }, Arc::default()).expect("usable"))
}

#[tokio::test]
async fn a_mail_says_what_to_look_at_and_is_the_same_when_it_is_sent_again() {
    let sink = Sink::start([(At::Recipient, Act::Say("451 4.3.0 later"))]).await;
    let addresses = ["ops@shop.example", "ada@shop.example"].map(str::to_owned);
    let each = NoticeMail::to_each(&mailer(MailMode::Smtp(sink.settings())), &addresses).expect("usable");
    let [ops, ada] = each.as_slice() else { panic!("two") };
    let later = ops.deliver(&message()).await;
    assert!(matches!(later, NoticeDelivery::NotNow { .. }), "{later:?}");
    for address in [ops, ada, ops] {
        assert_eq!(address.deliver(&message()).await, NoticeDelivery::Taken, "{}", address.address());
    }
    let taken = sink.taken();
    let [first, second, again] = taken.as_slice() else { panic!("three: {taken:?}") };
    assert!(first.to[0].contains(&addresses[0]) && second.to[0].contains(&addresses[1]), "{taken:?}");
    assert_eq!(first, again);
    let id = |content: &str| content.lines().find(|line| line.starts_with("Message-ID:")).map(str::to_owned);
    assert!(id(&first.content).is_some() && id(&first.content) != id(&second.content));
    for wanted in [
        "Subject: Jobmill: dead runs of welcome-email",
        "welcome-email: 3 runs, permanent",
        "no user  [31m17",
        "first at 2026-03-01T09:00:00.000Z",
        "jobmill dead show 00000000000000ab",
    ] {
        assert!(first.content.contains(wanted), "{wanted}: {}", first.content);
    }
}

#[tokio::test]
async fn an_address_that_is_refused_for_good_is_not_tried_again() {
    let sink = Sink::start([(At::Recipient, Act::Say("550 5.1.1 no such user"))]).await;
    let addresses = ["gone@shop.example".to_owned()];
    let each = NoticeMail::to_each(&mailer(MailMode::Smtp(sink.settings())), &addresses).expect("usable");
    let refused = each[0].deliver(&message()).await;
    assert!(matches!(&refused, NoticeDelivery::Refused(reason) if reason.contains("no such user")), "{refused:?}");
}

#[tokio::test]
async fn a_mail_that_would_not_leave_is_not_said_to_have_been_sent() {
    let addresses = ["ops@shop.example".to_owned()];
    let each = NoticeMail::to_each(&mailer(MailMode::Capture), &addresses).expect("usable");
    assert!(matches!(each[0].deliver(&message()).await, NoticeDelivery::Refused(_)));
}

#[test]
fn addresses_that_are_none_or_too_many_are_refused() {
    let mailer = mailer(MailMode::Capture);
    for addresses in [vec!["ops".to_owned()], vec!["ops@shop.example".to_owned(); 11]] {
        let refused = NoticeMail::to_each(&mailer, &addresses).map(|_| ()).expect_err("refused").to_string();
        assert!(refused.starts_with("notify.mail "), "{refused}");
    }
}
