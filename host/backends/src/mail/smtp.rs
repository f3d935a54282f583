//! Hands one mail to one mail server, over connections that are kept for the next.
//! It decides nothing about retries: it tells apart what was refused, what failed, and what is in doubt.

mod line_by_line;

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, iter, mem};

use jobmill_core::mail::{Mail, Mailbox};
use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use line_by_line::LineByLine;

use super::dkim::Signer;
use super::mime::{envelope, mime};
use super::refusal::{Refusal, Stage, reply};
use super::{MailSettingsError, Security, SmtpSettings};

/// Connections kept open; more only serve bursts, and servers count them.
const IDLE_CONNECTIONS: usize = 10;
/// How long a connection is kept: shorter than servers wait for the next command.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// How long a server may take to say goodbye.
const FAREWELL_TIME: Duration = Duration::from_secs(1);

/// A mail server.
///
/// lettre's own transport hides how far a delivery came, and with it whether a lost answer leaves the mail in doubt.
/// So the conversation is led here, on lettre's connection.
pub(super) struct Smtp {
    settings: SmtpSettings,
    tls: Option<TlsParameters>,
    signer: Option<Signer>,
    hello: ClientId,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Smtp {
    /// Prepares TLS and the signing of mails by this sender; connects to nothing.
    pub(super) fn new(settings: SmtpSettings, sender: &Mailbox) -> Result<Self, MailSettingsError> {
        let tls = match settings.security {
            Security::Plain => None,
            Security::Tls | Security::StartTls => Some(tls_parameters(&settings)?),
        };
        let signer = settings.dkim.as_ref().map(|dkim| Signer::new(dkim, sender.domain())).transpose()?;
        Ok(Self { settings, tls, signer, hello: ClientId::default(), idle: Mutex::default() })
    }

    /// Hands the mail over; the server's last reply.
    pub(super) async fn deliver(&self, mail: &Mail) -> Result<String, Refusal> {
        let envelope = envelope(mail).map_err(Refusal::unwritten)?;
        let content = mime(mail).map_err(Refusal::unwritten)?;
        let content = match &self.signer {
            Some(signer) => signer.sign(&content, mail.created_at).map_err(|error| Refusal::misfit(&error))?,
            None => content,
        };
        let mut stage = Stage::Connection;
        let conversation = self.converse(&envelope, &content, &mut stage);
        let delivered = timeout(self.settings.delivery_timeout, conversation).await;
        delivered.unwrap_or_else(|_| {
            let reason = format!("not delivered within {:?}", self.settings.delivery_timeout);
            Err(Refusal::of_silence(stage, &reason))
        })
    }

    async fn converse(&self, envelope: &Envelope, content: &[u8], stage: &mut Stage) -> Result<String, Refusal> {
        let mut connection = match self.idle_connection().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let result = self.hand_over(&mut connection, envelope, content, stage).await;
        // A refused mail is no fault of the connection. What has answered with anything else is not to be relied on.
        if result.as_ref().map_or_else(Refusal::leaves_connection_open, |_| true) {
            self.keep(connection);
        }
        result
    }

    async fn hand_over(
        &self,
        connection: &mut AsyncSmtpConnection,
        envelope: &Envelope,
        content: &[u8],
        stage: &mut Stage,
    ) -> Result<String, Refusal> {
        *stage = Stage::Sender;
        self.answer(*stage, connection.command(MailFrom::new(envelope.from().cloned(), Vec::new()))).await?;
        *stage = Stage::Recipient;
        for recipient in envelope.to() {
            self.answer(*stage, connection.command(Rcpt::new(recipient.clone(), Vec::new()))).await?;
        }
        *stage = Stage::Data;
        self.answer(*stage, connection.command(Data)).await?;
        // The server can't have taken the mail before the line that ends it, which is written after the last part.
        let mut parts = Some(content).into_iter();
        let exchange = connection.message_iter(iter::from_fn(|| {
            let part = parts.next();
            if part.is_none() {
                *stage = Stage::Content;
            }
            part
        }));
        let answer = timeout(self.settings.command_timeout, exchange).await;
        let response = self.judged(*stage, answer)?;
        let text: Vec<&str> = response.message().collect();
        Ok(reply(&response.code().to_string(), &text.join(" ")))
    }

    /// A kept connection that still answers. `RSET` ends what a refused mail has begun on it (RFC 5321, 4.1.1.5).
    async fn idle_connection(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let idle = self.kept().pop()?;
            // The newest is on top: when it is too old, so are all others.
            if idle.since.elapsed() > IDLE_TIME {
                let mut old = mem::take(&mut *self.kept());
                old.push(idle);
                dismiss(old).await;
                return None;
            }
            let mut connection = idle.connection;
            if let Ok(Ok(_)) = timeout(self.settings.command_timeout, connection.command(Rset)).await {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Refusal> {
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
            let stream = stream.map_err(|error| Refusal::of_silence(Stage::Connection, &error.to_string()))?;
            let stream: Box<dyn AsyncTokioStream> = match security {
                Security::StartTls => Box::new(LineByLine(stream)),
                _ => Box::new(stream),
            };
            let connecting = AsyncSmtpConnection::connect_with_transport(stream, &self.hello);
            self.answer(Stage::Connection, connecting).await?
        };
        if let (Security::StartTls, Some(tls)) = (security, &self.tls) {
            if !connection.can_starttls() {
                let reason = "it offers no STARTTLS, and mail goes unencrypted to this machine only";
                return Err(Refusal::misfit(reason));
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

    async fn answer<T>(&self, stage: Stage, exchange: impl Future<Output = Result<T, Error>>) -> Result<T, Refusal> {
        let answer = timeout(self.settings.command_timeout, exchange).await;
        self.judged(stage, answer)
    }

    fn judged<T>(&self, stage: Stage, answer: Result<Result<T, Error>, Elapsed>) -> Result<T, Refusal> {
        let answer = answer.map_err(|_| {
            let reason = format!("no answer within {:?}", self.settings.command_timeout);
            Refusal::of_silence(stage, &reason)
        })?;
        answer.map_err(|error| Refusal::of_error(stage, &error))
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

/// Leaves as servers expect it (RFC 5321, 4.1.1.10), without waiting for those that are gone.
async fn dismiss(connections: Vec<Idle>) {
    let farewells = connections.into_iter().map(|mut idle| async move {
        // Whether the server says goodbye makes no difference.
        let _ = timeout(FAREWELL_TIME, idle.connection.quit()).await;
    });
    farewells.collect::<JoinSet<()>>().join_all().await;
}

/// How the server proves who it is.
fn tls_parameters(settings: &SmtpSettings) -> Result<TlsParameters, MailSettingsError> {
    let parameters = TlsParameters::builder(settings.host.clone());
    let Some(authority) = &settings.authority else {
        let unusable = |error: Error| MailSettingsError::Tls { host: settings.host.clone(), reason: error.to_string() };
        return parameters.build().map_err(unusable);
    };
    let unusable = |reason: String| MailSettingsError::Authority(reason);
    if !authority.contains("-----BEGIN CERTIFICATE-----") {
        return Err(unusable("it holds none".to_owned()));
    }
    Certificate::from_pem(authority.as_bytes())
        .and_then(|certificates| {
            parameters.certificate_store(CertificateStore::None).add_root_certificate(certificates).build()
        })
        .map_err(|error| unusable(error.to_string()))
}

#[cfg(test)]
mod stages;
#[cfg(test)]
pub(super) mod tests;
#[cfg(test)]
mod tls;
