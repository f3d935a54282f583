//! A mail server on loopback that does what a test tells it to.
//! It takes a bare LF or CR for the end of a line, as careless servers do, so that an injected command would be obeyed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Security, SmtpSettings};

/// A point of the conversation at which the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Greeting,
    Ehlo,
    StartTls,
    Auth,
    From,
    Recipient,
    Data,
    /// In the middle of the content, where the server can only go.
    InContent,
    Content,
    /// After a mail was taken.
    Taken,
}

/// What the server does there, once, instead of being content.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Say(&'static str),
    /// One byte at a time, with a pause after each.
    Drip(&'static str),
    Cut,
    Silence,
}

/// The pause between two bytes that are dripped.
pub(crate) const DRIP: Duration = Duration::from_millis(20);

/// A mail as the server took it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Taken {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) content: String,
}

#[derive(Default)]
struct Heard {
    script: VecDeque<(At, Act)>,
    connections: usize,
    commands: Vec<String>,
    taken: Vec<Taken>,
}

pub(crate) struct Sink {
    address: SocketAddr,
    security: Security,
    heard: Arc<Mutex<Heard>>,
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink {
    /// Listens, without TLS. Each act is done once, when the conversation first comes to its point.
    pub(crate) async fn start(script: impl IntoIterator<Item = (At, Act)>) -> Self {
        Self::listen(script, Security::Plain, None).await
    }

    /// The same with TLS.
    pub(crate) async fn start_secure(
        script: impl IntoIterator<Item = (At, Act)>,
        security: Security,
        tls: ServerConfig,
    ) -> Self {
        Self::listen(script, security, Some(TlsAcceptor::from(Arc::new(tls)))).await
    }

    async fn listen(script: impl IntoIterator<Item = (At, Act)>, security: Security, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let heard = Arc::new(Mutex::new(Heard { script: script.into_iter().collect(), ..Heard::default() }));
        let served = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                lock(&served).connections += 1;
                let conversation = Conversation { heard: Arc::clone(&served), offers_tls: false };
                tokio::spawn(serve(conversation, stream, security, tls.clone()));
            }
        });
        Self { address, security, heard }
    }

    /// Settings by which a mailer finds this server.
    pub(crate) fn settings(&self) -> SmtpSettings {
        SmtpSettings {
            security: self.security,
            host: self.address.ip().to_string(),
            port: self.address.port(),
            credentials: None,
            command_timeout: Duration::from_secs(10),
            delivery_timeout: Duration::from_secs(30),
            authority: None,
            dkim: None,
        }
    }

    pub(crate) fn connections(&self) -> usize {
        lock(&self.heard).connections
    }

    pub(crate) fn commands(&self) -> Vec<String> {
        lock(&self.heard).commands.clone()
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        lock(&self.heard).taken.clone()
    }
}

async fn serve(mut conversation: Conversation, stream: TcpStream, security: Security, tls: Option<TlsAcceptor>) {
    match (security, tls) {
        (Security::Tls, Some(tls)) => {
            let Ok(stream) = tls.accept(stream).await else { return };
            conversation.lead(Lines::of(stream), true).await;
        }
        (Security::StartTls, Some(tls)) => {
            conversation.offers_tls = true;
            let Some(plain) = conversation.lead(Lines::of(stream), true).await else { return };
            let Ok(stream) = tls.accept(plain).await else { return };
            conversation.offers_tls = false;
            conversation.lead(Lines::of(stream), false).await;
        }
        _ => {
            conversation.lead(Lines::of(stream), true).await;
        }
    }
}

struct Conversation {
    heard: Arc<Mutex<Heard>>,
    offers_tls: bool,
}

impl Conversation {
    /// Ends when the client goes or an act says so; the stream if it goes on with TLS.
    async fn lead<S: AsyncRead + AsyncWrite + Unpin>(&self, mut lines: Lines<S>, greets: bool) -> Option<S> {
        let mut mail = Taken::default();
        if greets && self.answer(&mut lines, At::Greeting, "220 sink").await == Next::HangUp {
            return None;
        }
        loop {
            let line = lines.next().await?;
            lock(&self.heard).commands.push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            let next = match verb.as_str() {
                "EHLO" => {
                    let tls = if self.offers_tls { "250-STARTTLS\r\n" } else { "" };
                    let extensions = format!("250-sink\r\n{tls}250-AUTH PLAIN\r\n250 8BITMIME");
                    self.answer(&mut lines, At::Ehlo, &extensions).await
                }
                "STARTTLS" => match self.answer(&mut lines, At::StartTls, "220 2.0.0 go on").await {
                    Next::AsAsked => return Some(lines.stream.into_inner()),
                    next => next,
                },
                "AUTH" => self.answer(&mut lines, At::Auth, "235 2.7.0 welcome").await,
                "MAIL" => {
                    mail = Taken { from: line, ..Taken::default() };
                    self.answer(&mut lines, At::From, "250 2.1.0 ok").await
                }
                "RCPT" => {
                    mail.to.push(line);
                    self.answer(&mut lines, At::Recipient, "250 2.1.5 ok").await
                }
                "DATA" => match self.answer(&mut lines, At::Data, "354 go on").await {
                    Next::AsAsked => self.take(&mut lines, &mut mail).await,
                    next => next,
                },
                "RSET" => {
                    mail = Taken::default();
                    lines.say("250 2.0.0 ok").await
                }
                "QUIT" => {
                    lines.say("221 2.0.0 bye").await;
                    return None;
                }
                _ => lines.say("500 5.5.2 what?").await,
            };
            if next == Next::HangUp {
                return None;
            }
        }
    }

    async fn take<S: AsyncRead + AsyncWrite + Unpin>(&self, lines: &mut Lines<S>, mail: &mut Taken) -> Next {
        if self.answer(lines, At::InContent, "").await == Next::HangUp {
            return Next::HangUp;
        }
        loop {
            match lines.next().await.as_deref() {
                None => return Next::HangUp,
                Some(".") => break,
                Some(line) => {
                    mail.content.push_str(line.strip_prefix('.').unwrap_or(line));
                    mail.content.push_str("\r\n");
                }
            }
        }
        lock(&self.heard).taken.push(std::mem::take(mail));
        match self.answer(lines, At::Content, "250 2.0.0 queued as 1").await {
            Next::HangUp => Next::HangUp,
            _ => self.answer(lines, At::Taken, "").await,
        }
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(&self, lines: &mut Lines<S>, at: At, content: &str) -> Next {
        let act = {
            let mut heard = lock(&self.heard);
            let place = heard.script.iter().position(|(point, _)| *point == at);
            place.and_then(|place| heard.script.remove(place))
        };
        match act {
            None if content.is_empty() => Next::AsAsked,
            None => lines.say(content).await,
            Some((_, Act::Say(reply))) => match lines.say(reply).await {
                Next::AsAsked if !reply.starts_with(['2', '3']) => Next::Refused,
                next => next,
            },
            Some((_, Act::Drip(reply))) => lines.drip(reply).await,
            Some((_, Act::Cut)) => Next::HangUp,
            Some((_, Act::Silence)) => {
                // Until the client gives up and goes.
                while lines.next().await.is_some() {}
                Next::HangUp
            }
        }
    }
}

/// How the conversation goes on.
#[derive(PartialEq, Eq)]
enum Next {
    AsAsked,
    Refused,
    HangUp,
}

/// Lines that end with CRLF, LF or CR.
struct Lines<S> {
    stream: BufReader<S>,
    after_carriage_return: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lines<S> {
    fn of(stream: S) -> Self {
        Self { stream: BufReader::new(stream), after_carriage_return: false }
    }

    async fn next(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            let byte = self.stream.read_u8().await.ok()?;
            match byte {
                b'\n' if std::mem::take(&mut self.after_carriage_return) => continue,
                b'\n' => break,
                b'\r' => {
                    self.after_carriage_return = true;
                    break;
                }
                _ => line.push(byte),
            }
            self.after_carriage_return = false;
        }
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    async fn say(&mut self, reply: &str) -> Next {
        self.write(format!("{reply}\r\n").as_bytes()).await
    }

    async fn drip(&mut self, reply: &str) -> Next {
        let mut pace = tokio::time::interval(DRIP);
        for byte in format!("{reply}\r\n").bytes() {
            pace.tick().await;
            if self.write(&[byte]).await == Next::HangUp {
                return Next::HangUp;
            }
        }
        Next::AsAsked
    }

    async fn write(&mut self, bytes: &[u8]) -> Next {
        let stream = self.stream.get_mut();
        match (stream.write_all(bytes).await, stream.flush().await) {
            (Ok(()), Ok(())) => Next::AsAsked,
            _ => Next::HangUp,
        }
    }
}
