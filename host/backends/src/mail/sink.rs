//! A mail server on loopback that does what a test tells it to.
//! It takes a bare LF for the end of a line, as careless servers do, so that an injected command would be obeyed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{Security, SmtpSettings};

/// A point of the conversation at which the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Greeting,
    Ehlo,
    Auth,
    From,
    Recipient,
    Data,
    Content,
    /// After a mail was taken.
    Taken,
}

/// What the server does there, once, instead of being content.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Say(&'static str),
    Cut,
    Silence,
}

/// A mail as the server took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) content: String,
}

#[derive(Default)]
struct Heard {
    script: VecDeque<(At, Act)>,
    connections: usize,
    commands: Vec<String>,
    taken: Vec<Taken>,
}

pub(super) struct Sink {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink {
    /// Listens. Each act is done once, when the conversation first comes to its point.
    pub(super) async fn start(script: impl IntoIterator<Item = (At, Act)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let heard = Arc::new(Mutex::new(Heard { script: script.into_iter().collect(), ..Heard::default() }));
        let served = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                lock(&served).connections += 1;
                tokio::spawn(Conversation { heard: Arc::clone(&served) }.lead(stream));
            }
        });
        Self { address, heard }
    }

    /// Settings by which a mailer finds this server.
    pub(super) fn settings(&self) -> SmtpSettings {
        SmtpSettings {
            security: Security::Plain,
            host: self.address.ip().to_string(),
            port: self.address.port(),
            credentials: None,
            command_timeout: Duration::from_secs(10),
            delivery_timeout: Duration::from_secs(30),
        }
    }

    pub(super) fn connections(&self) -> usize {
        lock(&self.heard).connections
    }

    pub(super) fn commands(&self) -> Vec<String> {
        lock(&self.heard).commands.clone()
    }

    pub(super) fn taken(&self) -> Vec<Taken> {
        lock(&self.heard).taken.clone()
    }
}

struct Conversation {
    heard: Arc<Mutex<Heard>>,
}

impl Conversation {
    /// Ends when the client goes or an act says so.
    async fn lead(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut mail = Taken { from: String::new(), to: Vec::new(), content: String::new() };
        if !self.answer(&mut stream, At::Greeting, "220 sink").await {
            return;
        }
        while let Some(line) = read_line(&mut stream).await {
            lock(&self.heard).commands.push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            let goes_on = match verb.as_str() {
                "EHLO" => self.answer(&mut stream, At::Ehlo, "250-sink\r\n250-AUTH PLAIN\r\n250 8BITMIME").await,
                "AUTH" => self.answer(&mut stream, At::Auth, "235 2.7.0 welcome").await,
                "MAIL" => {
                    mail.from = line;
                    self.answer(&mut stream, At::From, "250 2.1.0 ok").await
                }
                "RCPT" => {
                    mail.to.push(line);
                    self.answer(&mut stream, At::Recipient, "250 2.1.5 ok").await
                }
                "DATA" => {
                    self.answer(&mut stream, At::Data, "354 go on").await && self.take(&mut stream, &mut mail).await
                }
                _ => say(&mut stream, "250 ok").await,
            };
            if !goes_on {
                return;
            }
        }
    }

    async fn take(&self, stream: &mut BufReader<TcpStream>, mail: &mut Taken) -> bool {
        loop {
            match read_line(stream).await.as_deref() {
                None => return false,
                Some(".") => break,
                Some(line) => {
                    mail.content.push_str(line.strip_prefix('.').unwrap_or(line));
                    mail.content.push_str("\r\n");
                }
            }
        }
        let taken = std::mem::replace(mail, Taken { from: String::new(), to: Vec::new(), content: String::new() });
        lock(&self.heard).taken.push(taken);
        self.answer(stream, At::Content, "250 2.0.0 queued as 1").await && self.answer(stream, At::Taken, "").await
    }

    /// Whether the conversation goes on.
    async fn answer(&self, stream: &mut BufReader<TcpStream>, at: At, content: &str) -> bool {
        let act = {
            let mut heard = lock(&self.heard);
            let place = heard.script.iter().position(|(point, _)| *point == at);
            place.and_then(|place| heard.script.remove(place))
        };
        match act {
            None if content.is_empty() => true,
            None => say(stream, content).await,
            Some((_, Act::Say(reply))) => say(stream, reply).await,
            Some((_, Act::Cut)) => false,
            Some((_, Act::Silence)) => {
                // Until the client gives up and goes.
                while read_line(stream).await.is_some() {}
                false
            }
        }
    }
}

async fn say(stream: &mut BufReader<TcpStream>, reply: &str) -> bool {
    stream.get_mut().write_all(format!("{reply}\r\n").as_bytes()).await.is_ok()
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    match stream.read_until(b'\n', &mut line).await {
        Ok(read) if read > 0 => Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()),
        _ => None,
    }
}
