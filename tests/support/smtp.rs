//! A mail server on loopback that keeps what it is sent and can be told to refuse or to stall.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::support::WATCHDOG;

/// What the server does with the next mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Answers the recipient with this line.
    Recipient(&'static str),
    /// Answers the end of the mail with this line.
    End(&'static str),
    /// Takes the mail and never answers.
    Stall,
}

#[derive(Default)]
struct Kept {
    mails: Vec<String>,
    script: VecDeque<Reply>,
}

/// A mail server; it serves until the test process ends.
#[derive(Clone)]
pub(crate) struct MailServer {
    pub(crate) address: std::net::SocketAddr,
    kept: Arc<(Mutex<Kept>, Condvar)>,
}

impl MailServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self { address: listener.local_addr().expect("an address"), kept: Arc::default() };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                // A client that breaks off ends its own session only.
                std::thread::spawn(move || serving.session(&stream));
            }
        });
        server
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.0.lock().expect("not poisoned")
    }

    /// What becomes of the next mails, one reply each; after that they are taken.
    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.lock().script.extend(replies);
    }

    /// Every mail that was taken, or that was left without an answer.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.lock().mails.clone()
    }

    /// Once `count` mails arrived.
    pub(crate) fn wait(&self, count: usize) -> Vec<String> {
        let waited = self.kept.1.wait_timeout_while(self.lock(), WATCHDOG, |kept| kept.mails.len() < count);
        let (kept, timeout) = waited.expect("not poisoned");
        assert!(!timeout.timed_out(), "{} of {count} mails arrived", kept.mails.len());
        kept.mails.clone()
    }

    fn session(&self, stream: &TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let mut out = stream;
        let mut reply = None;
        out.write_all(b"220 sink ESMTP\r\n").ok()?;
        while let Some(Ok(line)) = lines.next() {
            let answer = match line.to_ascii_uppercase().split([' ', ':']).next()? {
                "EHLO" => "250-sink\r\n250-8BITMIME\r\n250 SMTPUTF8",
                "MAIL" => {
                    reply = self.lock().script.pop_front();
                    "250 ok"
                }
                "RCPT" => match &reply {
                    Some(Reply::Recipient(line)) => line,
                    _ => "250 ok",
                },
                "DATA" => {
                    out.write_all(b"354 go on\r\n").ok()?;
                    // A mail that is cut off before its end was never handed over.
                    let mail = whole_mail(&mut lines)?;
                    match self.taken(mail, reply.take().as_ref()) {
                        Some(answer) => answer,
                        None => return std::io::copy(&mut &*stream, &mut std::io::sink()).ok().map(|_| ()),
                    }
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            out.write_all(format!("{answer}\r\n").as_bytes()).ok()?;
        }
        Some(())
    }

    fn taken(&self, mail: String, reply: Option<&Reply>) -> Option<&'static str> {
        if let Some(Reply::End(line)) = reply {
            return Some(line);
        }
        self.lock().mails.push(mail);
        self.kept.1.notify_all();
        (reply != Some(&Reply::Stall)).then_some("250 taken as 42")
    }
}

/// The mail up to the line that ends it; none if the client breaks off before.
fn whole_mail(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Option<String> {
    let mut mail = String::new();
    loop {
        match lines.next()?.ok()?.as_str() {
            "." => return Some(mail),
            line => {
                mail.push_str(line.strip_prefix('.').unwrap_or(line));
                mail.push('\n');
            }
        }
    }
}
