//! Hands one mail to one mail server, over connections that are kept for the next.
//! It decides nothing about retries: it tells apart what was refused, what failed, and what is in doubt.

use std::future::Future;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jobmill_core::mail::Mail;
use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::mime::{envelope, mime};
use super::refusal::{Stage, of_error, of_silence, reply};
use super::{MailError, MailSettingsError, Security, SmtpSettings};

/// Connections kept open; more only serve bursts, and servers count them.
const IDLE_CONNECTIONS: usize = 10;
/// How long a connection is kept: shorter than servers wait for the next command.
const IDLE_TIME: std::time::Duration = std::time::Duration::from_secs(30);

/// A mail server.
///
/// lettre's own transport hides how far a delivery came, and with it whether a lost answer leaves the mail in doubt.
/// So the conversation is led here, on lettre's connection.
pub(super) struct Smtp {
    settings: SmtpSettings,
    tls: Option<TlsParameters>,
    hello: ClientId,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Smtp {
    /// Prepares TLS; connects to nothing.
    pub(super) fn new(settings: SmtpSettings) -> Result<Self, MailSettingsError> {
        let tls = match settings.security {
            Security::Plain => None,
            Security::Tls | Security::StartTls => {
                let parameters = TlsParameters::new(settings.host.clone()).map_err(|error| MailSettingsError::Tls {
                    host: settings.host.clone(),
                    reason: error.to_string(),
                })?;
                Some(parameters)
            }
        };
        Ok(Self { settings, tls, hello: ClientId::default(), idle: Mutex::default() })
    }

    /// Hands the mail over; the server's last reply.
    pub(super) async fn deliver(&self, mail: &Mail) -> Result<String, MailError> {
        let (envelope, content) = (envelope(mail)?, mime(mail)?);
        let mut stage = Stage::Connection;
        let conversation = self.converse(&envelope, &content, &mut stage);
        match timeout(self.settings.delivery_timeout, conversation).await {
            Ok(response) => response,
            Err(_) => Err(of_silence(stage, &format!("not delivered within {:?}", self.settings.delivery_timeout))),
        }
    }

    async fn converse(&self, envelope: &Envelope, content: &[u8], stage: &mut Stage) -> Result<String, MailError> {
        let mut connection = match self.idle_connection().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        *stage = Stage::Envelope;
        self.answer(*stage, connection.command(MailFrom::new(envelope.from().cloned(), Vec::new()))).await?;
        for recipient in envelope.to() {
            self.answer(*stage, connection.command(Rcpt::new(recipient.clone(), Vec::new()))).await?;
        }
        self.answer(*stage, connection.command(Data)).await?;
        *stage = Stage::Content;
        let response = self.answer(*stage, connection.message(content)).await?;
        self.keep(connection);
        let text: Vec<&str> = response.message().collect();
        Ok(reply(&response.code().to_string(), &text.join(" ")))
    }

    /// A kept connection that still answers.
    async fn idle_connection(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let idle = self.kept().pop()?;
            // The newest is on top: when it is too old, so are all others.
            if idle.since.elapsed() > IDLE_TIME {
                self.kept().clear();
                return None;
            }
            let mut connection = idle.connection;
            if timeout(self.settings.command_timeout, connection.test_connected()).await == Ok(true) {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, MailError> {
        let SmtpSettings { security, host, port, credentials, command_timeout, .. } = &self.settings;
        let server = (host.as_str(), *port);
        let mut connection = if *security == Security::Tls {
            let tls = self.tls.clone();
            let connecting =
                AsyncSmtpConnection::connect_tokio1(server, Some(*command_timeout), &self.hello, tls, None);
            self.answer(Stage::Connection, connecting).await?
        } else {
            let stream = timeout(*command_timeout, TcpStream::connect(server)).await;
            let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            // The end of a mail is a write of its own: without this it waits 40 ms for an acknowledgement.
            let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
            let stream = stream.map_err(|error| of_silence(Stage::Connection, &error.to_string()))?;
            let connecting = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello);
            self.answer(Stage::Connection, connecting).await?
        };
        if let (Security::StartTls, Some(tls)) = (security, &self.tls) {
            if !connection.can_starttls() {
                let reason = "it offers no STARTTLS, and mail goes unencrypted to this machine only";
                return Err(of_silence(Stage::Connection, reason));
            }
            self.answer(Stage::Connection, connection.starttls(tls.clone(), &self.hello)).await?;
        }
        if let Some(credentials) = credentials {
            let credentials = Credentials::new(credentials.user.clone(), credentials.password.expose().to_owned());
            let signing_in = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials);
            self.answer::<Response>(Stage::Connection, signing_in).await?;
        }
        Ok(connection)
    }

    async fn answer<T>(&self, stage: Stage, exchange: impl Future<Output = Result<T, Error>>) -> Result<T, MailError> {
        match timeout(self.settings.command_timeout, exchange).await {
            Ok(answer) => answer.map_err(|error| of_error(stage, &error)),
            Err(_) => Err(of_silence(stage, &format!("no answer within {:?}", self.settings.command_timeout))),
        }
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.kept();
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::mime::tests::{body, mail};
    use super::super::sink::{Act, At, Sink};
    use super::super::{Credentials as SignIn, Security};
    use super::*;
    use crate::secret::Secret;

    fn smtp(settings: SmtpSettings) -> Smtp {
        Smtp::new(settings).expect("usable settings")
    }

    async fn delivered_to(script: impl IntoIterator<Item = (At, Act)>) -> Result<String, MailError> {
        let sink = Sink::start(script).await;
        smtp(sink.settings()).deliver(&mail()).await
    }

    fn transient(result: &Result<String, MailError>) -> bool {
        matches!(result, Err(MailError::Unavailable { .. }))
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
        let smtp = smtp(sink.settings());
        for _ in 0..3 {
            smtp.deliver(&mail()).await.expect("taken");
        }
        assert_eq!((sink.connections(), sink.taken().len()), (1, 3));

        let closing = Sink::start([(At::Taken, Act::Cut)]).await;
        let smtp = super::tests::smtp(closing.settings());
        for _ in 0..2 {
            smtp.deliver(&mail()).await.expect("taken");
        }
        assert_eq!((closing.connections(), closing.taken().len()), (2, 2));
    }

    #[tokio::test]
    async fn four_hundreds_are_worth_another_try_wherever_they_come() {
        let points = [At::Greeting, At::Ehlo, At::From, At::Recipient, At::Data, At::Content];
        for point in points {
            let result = delivered_to([(point, Act::Say("451 4.3.0 later"))]).await;
            assert!(transient(&result), "{point:?}: {result:?}");
            let reply = result.as_ref().expect_err("refused").reply().map(str::to_owned);
            assert_eq!(reply.as_deref(), Some("451 4.3.0 later"), "{point:?}");
        }
    }

    #[tokio::test]
    async fn five_hundreds_refuse_the_mail_for_good() {
        for point in [At::From, At::Recipient, At::Data, At::Content] {
            let result = delivered_to([(point, Act::Say("550 5.1.1 no such user"))]).await;
            let refused = MailError::Rejected { reply: "550 5.1.1 no such user".to_owned() };
            assert_eq!(result, Err(refused), "{point:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_take_us_refuses_no_mail() {
        for point in [At::Greeting, At::Ehlo] {
            let result = delivered_to([(point, Act::Say("554 5.7.1 go away"))]).await;
            assert!(transient(&result), "{point:?}: {result:?}");
        }
        let result = delivered_to([(At::From, Act::Say("530 5.7.0 sign in first"))]).await;
        assert!(transient(&result), "{result:?}");
    }

    #[tokio::test]
    async fn a_full_mailbox_and_a_rate_limit_are_not_for_good() {
        let full = delivered_to([(At::Recipient, Act::Say("552 5.2.2 mailbox full"))]).await;
        assert!(transient(&full), "{full:?}");
        let limited = delivered_to([(At::Content, Act::Say("421 4.7.28 too many"))]).await;
        assert_eq!(limited, Err(MailError::RateLimited { reply: "421 4.7.28 too many".to_owned() }));
    }

    #[tokio::test]
    async fn an_answer_lost_before_the_content_leaves_nothing_in_doubt() {
        for point in [At::Greeting, At::Ehlo, At::From, At::Recipient, At::Data] {
            let result = delivered_to([(point, Act::Cut)]).await;
            assert!(transient(&result), "{point:?}: {result:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_lost_after_the_content_leaves_the_mail_in_doubt() {
        let cut = delivered_to([(At::Content, Act::Cut)]).await;
        assert!(matches!(cut, Err(MailError::InDoubt { .. })), "{cut:?}");
        let sink = Sink::start([(At::Content, Act::Silence)]).await;
        let impatient = SmtpSettings { command_timeout: Duration::from_millis(50), ..sink.settings() };
        let silence = smtp(impatient).deliver(&mail()).await;
        assert_eq!(silence, Err(MailError::InDoubt { reason: "no answer within 50ms".to_owned() }));
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        for point in [At::Greeting, At::Ehlo, At::From, At::Recipient, At::Data] {
            let sink = Sink::start([(point, Act::Silence)]).await;
            let impatient = SmtpSettings { command_timeout: Duration::from_millis(50), ..sink.settings() };
            let result = smtp(impatient).deliver(&mail()).await;
            assert!(transient(&result), "{point:?}: {result:?}");
            assert!(format!("{result:?}").contains("within 50ms"), "{point:?}: {result:?}");
        }
    }

    #[tokio::test]
    async fn a_delivery_is_bounded_as_a_whole_too() {
        let sink = Sink::start([(At::Recipient, Act::Silence)]).await;
        let bounded = SmtpSettings { delivery_timeout: Duration::from_millis(50), ..sink.settings() };
        let result = smtp(bounded).deliver(&mail()).await;
        assert!(format!("{result:?}").contains("not delivered within 50ms"), "{result:?}");
    }

    #[tokio::test]
    async fn nobody_listening_is_worth_another_try() {
        let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = unused.local_addr().expect("bound").port();
        drop(unused);
        let sink = Sink::start([]).await;
        let result = smtp(SmtpSettings { port, ..sink.settings() }).deliver(&mail()).await;
        assert!(transient(&result), "{result:?}");
    }

    #[tokio::test]
    async fn a_server_without_starttls_gets_neither_password_nor_mail() {
        let sink = Sink::start([]).await;
        let credentials = SignIn { user: "shop".to_owned(), password: Secret::new("hunter2") };
        let settings = SmtpSettings { security: Security::StartTls, credentials: Some(credentials), ..sink.settings() };
        let result = smtp(settings).deliver(&mail()).await;
        assert!(transient(&result), "{result:?}");
        assert!(format!("{result:?}").contains("STARTTLS"), "{result:?}");
        assert!(sink.commands().iter().all(|command| command.starts_with("EHLO")), "{:?}", sink.commands());
    }

    #[tokio::test]
    async fn a_wrong_password_is_our_fault_and_is_not_shown() {
        let sink = Sink::start([(At::Auth, Act::Say("535 5.7.8 bad credentials"))]).await;
        let credentials = SignIn { user: "shop".to_owned(), password: Secret::new("hunter2") };
        let settings = SmtpSettings { credentials: Some(credentials), ..sink.settings() };
        let refused = smtp(settings.clone()).deliver(&mail()).await;
        assert!(transient(&refused), "{refused:?}");
        assert!(format!("{refused:?}").contains("check [mail.smtp]"), "{refused:?}");
        assert!(!format!("{refused:?} {settings:?}").contains("hunter2"));
        smtp(settings).deliver(&mail()).await.expect("the second try is let in");
        assert_eq!(sink.commands().iter().filter(|command| command.starts_with("AUTH PLAIN")).count(), 2);
    }

    #[tokio::test]
    async fn a_body_that_looks_like_a_conversation_arrives_as_one_mail() {
        let sink = Sink::start([]).await;
        let mut mail = mail();
        let text = "Hello\n.\nMAIL FROM:<evil@example.com>\n..\r\n.\r\nRCPT TO:<evil@example.com>\n.hidden\nbye";
        mail.message.text = text.to_owned();
        mail.message.html = None;
        smtp(sink.settings()).deliver(&mail).await.expect("taken");
        let taken = sink.taken();
        assert_eq!(taken.len(), 1);
        assert_eq!(body(&taken[0].content, "text/plain"), text.replace("\r\n", "\n"));
    }
}
