//! One conversation of the mail server, which goes as its fate will have it. It keeps nothing itself.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::{Act, Fate, MailServer, Stage, Taken};

/// Serves a client until it goes, or its fate ends it.
pub(super) fn serve(server: &MailServer, stream: &TcpStream) -> Option<()> {
    let (fate, takes_bare_line_ends) = {
        let mut kept = server.lock();
        let ahead = kept.ahead.pop_front();
        (ahead.or_else(|| kept.deck.as_mut().map(|deck| deck.draw(Stage::Greeting))), kept.takes_bare_line_ends)
    };
    let input = BufReader::new(stream.try_clone().ok()?);
    let lines = Lines { input, takes_bare: takes_bare_line_ends, after_cr: false };
    let session = Session { server, stream, lines, fate, connected: Instant::now(), mails: 0, envelope: Vec::new() };
    session.converse()
}

struct Session<'a> {
    server: &'a MailServer,
    stream: &'a TcpStream,
    lines: Lines,
    fate: Option<Fate>,
    connected: Instant,
    /// How many began.
    mails: u64,
    envelope: Vec<String>,
}

/// Whether the client heard what it hoped for.
#[derive(PartialEq, Eq)]
enum Heard {
    Yes,
    No,
}

impl Session<'_> {
    /// Each step gives none once the conversation is over.
    fn converse(mut self) -> Option<()> {
        self.answer(Stage::Greeting, "220 sink ESMTP")?;
        while let Some(line) = self.lines.next() {
            match line.to_ascii_uppercase().split([' ', ':']).next()? {
                "EHLO" => {
                    self.answer(Stage::Hello, "250-sink\r\n250-AUTH PLAIN\r\n250-8BITMIME\r\n250 SMTPUTF8")?;
                }
                "AUTH" => {
                    self.answer(Stage::SignIn, "235 2.7.0 welcome")?;
                }
                "MAIL" => {
                    self.mails += 1;
                    self.envelope = vec![line];
                    if let Some(reply) = self.server.lock().script.pop_front() {
                        self.fate = Some(reply.fate());
                    }
                    self.answer(Stage::Sender, "250 ok")?;
                }
                "RCPT" => {
                    self.envelope.push(line);
                    self.answer(Stage::Recipient, "250 ok")?;
                }
                "DATA" => {
                    if self.answer(Stage::Data, "354 go on")? == Heard::Yes {
                        self.mail()?;
                    }
                }
                "QUIT" => return self.say("221 bye"),
                _ => self.say("250 ok")?,
            }
        }
        None
    }

    /// The mail up to the line that ends it. One that is cut off before was never handed over.
    fn mail(&mut self) -> Option<()> {
        if let Some(act) = self.due(Stage::Content) {
            self.lines.next()?;
            return if act == Act::Silence { self.fall_silent() } else { self.cut() };
        }
        let mut content = String::new();
        loop {
            let line = self.lines.next()?;
            if line == "." {
                break;
            }
            content.push_str(line.strip_prefix('.').unwrap_or(&line));
            content.push('\n');
        }
        let is_refused = matches!(self.fate_at(Stage::End), Some(Act::Say(_) | Act::Lose));
        let envelope = std::mem::take(&mut self.envelope);
        if is_refused {
            return self.answer(Stage::End, "250 2.0.0 taken").map(drop);
        }
        let number = {
            let mut kept = self.server.lock();
            let (connected, at) = (self.connected, Instant::now());
            kept.taken.push(Taken { connected, at, answered: false, envelope, content });
            kept.taken.len() - 1
        };
        self.server.kept.1.notify_all();
        let cuts_afterwards = self.fate_at(Stage::End) == Some(Act::AnswerAndCut);
        let answered = self.answer(Stage::End, "250 2.0.0 taken as 42");
        if answered.is_some() || cuts_afterwards {
            self.server.lock().taken[number].answered = true;
            self.server.kept.1.notify_all();
        }
        answered.map(drop)
    }

    /// Answers this, or does what is due at this stage.
    fn answer(&mut self, stage: Stage, line: &str) -> Option<Heard> {
        match self.due(stage) {
            None => self.say(line).map(|()| Heard::Yes),
            Some(Act::Say(other)) => self.say(other).map(|()| Heard::No),
            Some(Act::AnswerAndCut) => {
                self.say(line)?;
                self.cut().map(|()| Heard::No)
            }
            Some(Act::Cut | Act::Lose) => self.cut().map(|()| Heard::No),
            Some(Act::Silence) => self.fall_silent().map(|()| Heard::No),
            Some(Act::Drip) => {
                for byte in line.bytes().chain(*b"\r\n") {
                    self.stream.set_nodelay(true).and_then(|()| (&mut &*self.stream).write_all(&[byte])).ok()?;
                    self.wait_a_second()?;
                }
                Some(Heard::Yes)
            }
        }
    }

    fn fate_at(&self, stage: Stage) -> Option<Act> {
        let fate = self.fate?;
        let spared = stage >= Stage::Sender && self.mails <= fate.spares;
        (fate.stage == stage && !spared).then_some(fate.act)
    }

    /// What is to be done at this stage, once. What the connection meets next, should it last, is drawn anew.
    fn due(&mut self, stage: Stage) -> Option<Act> {
        let act = self.fate_at(stage)?;
        let mut kept = self.server.lock();
        kept.struck.push((stage, act));
        let next = kept.deck.as_mut().map(|deck| deck.draw(Stage::Sender));
        self.fate = next.map(|next| Fate { spares: self.mails + next.spares, ..next });
        Some(act)
    }

    fn say(&self, line: &str) -> Option<()> {
        (&mut &*self.stream).write_all(format!("{line}\r\n").as_bytes()).ok()
    }

    fn cut(&self) -> Option<()> {
        let _ = self.stream.shutdown(Shutdown::Both);
        None
    }

    /// Until the client goes.
    fn fall_silent(&self) -> Option<()> {
        let _ = std::io::copy(&mut &*self.stream, &mut std::io::sink());
        None
    }

    /// Unless the client goes first.
    fn wait_a_second(&self) -> Option<()> {
        self.stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        let gone = matches!(self.stream.peek(&mut [0]), Ok(0));
        self.stream.set_read_timeout(None).ok()?;
        (!gone).then_some(())
    }
}

/// What the client sends, line by line.
struct Lines {
    input: BufReader<TcpStream>,
    /// Whether a single LF or CR ends a line; otherwise only the two together do.
    takes_bare: bool,
    after_cr: bool,
}

impl Lines {
    fn next(&mut self) -> Option<String> {
        let mut line = Vec::new();
        while !self.ends(&mut line)? {}
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// Takes one more byte; whether it ends the line.
    fn ends(&mut self, line: &mut Vec<u8>) -> Option<bool> {
        let byte = *self.input.fill_buf().ok()?.first()?;
        self.input.consume(1);
        let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' if self.takes_bare => Some(!after_cr),
            b'\r' if self.takes_bare => Some(true),
            b'\n' if after_cr => {
                line.pop();
                Some(true)
            }
            byte => {
                line.push(byte);
                Some(false)
            }
        }
    }
}
