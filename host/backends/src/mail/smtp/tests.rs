//! How mails are handed over, against a server that does what it is told.
//! It does not list what each reply means; the table of stages does.

use super::super::mime::tests::mail;
use super::super::sink::{Act, At, Sink};
use super::super::{Credentials as SignIn, MailError};
use super::*;
use crate::secret::Secret;

pub(in super::super) fn smtp(settings: SmtpSettings) -> Smtp {
    Smtp::new(settings, &mail().from).expect("usable settings")
}

async fn refused(settings: SmtpSettings) -> MailError {
    smtp(settings).deliver(&mail()).await.expect_err("not delivered").error
}

fn heard(sink: &Sink, verb: &str) -> usize {
    sink.commands().iter().filter(|command| command.starts_with(verb)).count()
}

#[tokio::test]
async fn a_mail_is_handed_over_with_its_envelope_and_the_reply_is_kept() {
    let sink = Sink::start([]).await;
    let reply = smtp(sink.settings()).deliver(&mail()).await;
    assert_eq!(reply, Ok("250 2.0.0 queued as 1".to_owned()));
    let taken = sink.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].from, "MAIL FROM:<shop@shop.example>");
    assert_eq!(taken[0].to, ["RCPT TO:<ada@example.com>"]);
    assert!(taken[0].content.contains("Message-ID: <run_1.abc@shop.example>"), "{}", taken[0].content);
}

#[tokio::test]
async fn a_connection_serves_the_next_mail_and_is_replaced_when_the_server_has_closed_it() {
    let sink = Sink::start([]).await;
    let kept = smtp(sink.settings());
    for _ in 0..3 {
        kept.deliver(&mail()).await.expect("taken");
    }
    assert_eq!((sink.connections(), sink.taken().len()), (1, 3));

    let closing = Sink::start([(At::Taken, Act::Cut)]).await;
    let kept = smtp(closing.settings());
    for _ in 0..2 {
        kept.deliver(&mail()).await.expect("taken");
    }
    assert_eq!((closing.connections(), closing.taken().len()), (2, 2));
}

#[tokio::test]
async fn a_refused_mail_leaves_the_connection_to_the_next_after_a_reset() {
    for at in [At::From, At::Recipient, At::Data, At::Content] {
        let sink = Sink::start([(at, Act::Say("550 5.7.1 no"))]).await;
        let kept = smtp(sink.settings());
        kept.deliver(&mail()).await.expect_err("refused");
        kept.deliver(&mail()).await.expect("taken");
        assert_eq!((sink.connections(), heard(&sink, "RSET")), (1, 1), "{at:?}");
        assert_eq!(sink.taken().pop().expect("taken").to.len(), 1, "{at:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_it_hangs_up_is_asked_nothing_more() {
    let sink = Sink::start([(At::Recipient, Act::Say("421 4.3.2 shutting down"))]).await;
    let kept = smtp(sink.settings());
    kept.deliver(&mail()).await.expect_err("refused");
    kept.deliver(&mail()).await.expect("taken");
    assert_eq!((sink.connections(), heard(&sink, "RSET")), (2, 0));
}

#[tokio::test]
async fn connections_that_have_been_idle_for_long_are_left_with_a_farewell() {
    let sink = Sink::start([]).await;
    let kept = smtp(sink.settings());
    kept.deliver(&mail()).await.expect("taken");
    tokio::time::pause();
    tokio::time::advance(IDLE_TIME + Duration::from_secs(1)).await;
    tokio::time::resume();
    kept.deliver(&mail()).await.expect("taken");
    assert_eq!((sink.connections(), heard(&sink, "QUIT")), (2, 1));
}

#[tokio::test]
async fn an_exchange_and_a_delivery_are_bounded() {
    let soon = Duration::from_millis(200);
    let sink = Sink::start([(At::Content, Act::Silence), (At::Recipient, Act::Silence)]).await;
    let whole = refused(SmtpSettings { delivery_timeout: soon, ..sink.settings() }).await;
    assert!(whole.to_string().ends_with("not delivered within 200ms"), "{whole}");
    let exchange = refused(SmtpSettings { command_timeout: soon, ..sink.settings() }).await;
    assert_eq!(exchange, MailError::InDoubt { reason: "no answer within 200ms".to_owned() });
}

#[tokio::test]
async fn nobody_listening_is_worth_another_try() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = unused.local_addr().expect("bound").port();
    drop(unused);
    let sink = Sink::start([]).await;
    let error = refused(SmtpSettings { port, ..sink.settings() }).await;
    assert!(matches!(error, MailError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_password_is_shown_in_no_error() {
    let sink = Sink::start([(At::Auth, Act::Say("535 5.7.8 bad credentials"))]).await;
    let credentials = SignIn { user: "shop".to_owned(), password: Secret::new("hunter2") };
    let settings = SmtpSettings { credentials: Some(credentials), ..sink.settings() };
    let error = refused(settings.clone()).await;
    assert!(error.to_string().contains("check [mail]"), "{error}");
    assert!(!format!("{error:?} {settings:?}").contains("hunter2"));
    smtp(settings).deliver(&mail()).await.expect("the second try is let in");
    assert_eq!(heard(&sink, "AUTH PLAIN"), 2);
}

#[tokio::test]
async fn a_server_that_offers_no_way_to_sign_in_is_for_the_operator() {
    let sink = Sink::start([(At::Ehlo, Act::Say("250 sink"))]).await;
    let credentials = SignIn { user: "shop".to_owned(), password: Secret::new("hunter2") };
    let error = refused(SmtpSettings { credentials: Some(credentials), ..sink.settings() }).await;
    assert!(matches!(error, MailError::Misconfigured { reply: None, .. }), "{error:?}");
}
