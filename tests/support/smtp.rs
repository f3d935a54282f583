//! A mail server on loopback that keeps what it is sent and can be told to refuse, to stall and to break off, at any stage.
//! It asserts nothing about the product.

pub(crate) mod exim;
mod fate;
mod session;

use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use crate::support::WATCHDOG;
use crate::support::random::Random;

pub(crate) use fate::{Act, Stage, everything_but_refusals_for_good};
use fate::{Deck, Fate};

/// What the server does with the next mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Answers the recipient with this line.
    Recipient(&'static str),
    /// Answers the end of the mail with this line.
    End(&'static str),
    /// Takes the mail and never answers.
    Stall,
    /// Takes the mail and closes the connection without an answer.
    Cut,
}

impl Reply {
    fn fate(self) -> Fate {
        match self {
            Self::Recipient(line) => Fate::at(Stage::Recipient, Act::Say(line)),
            Self::End(line) => Fate::at(Stage::End, Act::Say(line)),
            Self::Stall => Fate::at(Stage::End, Act::Silence),
            Self::Cut => Fate::at(Stage::End, Act::Cut),
        }
    }
}

/// A mail that the server has taken: it will deliver this one, whatever its client has heard.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// When the connection that it came on began.
    pub(crate) connected: Instant,
    /// When its last line came.
    pub(crate) at: Instant,
    /// Whether the whole reply to its last line went out.
    pub(crate) answered: bool,
    /// What was said in `MAIL` and `RCPT`.
    pub(crate) envelope: Vec<String>,
    /// The lines, each ended by `\n`.
    pub(crate) content: String,
}

impl Taken {
    /// The value of a header, unfolded.
    pub(crate) fn header(&self, name: &str) -> String {
        let head = self.content.split("\n\n").next().unwrap_or_default().replace("\n ", " ").replace("\n\t", " ");
        let values: Vec<&str> =
            head.lines().filter_map(|line| line.split_once(": ").filter(|(n, _)| *n == name)).map(|(_, v)| v).collect();
        assert_eq!(values.len(), 1, "{name} is there once: {head}");
        values[0].to_owned()
    }
}

#[derive(Default)]
struct Kept {
    taken: Vec<Taken>,
    /// What the next mails meet.
    script: VecDeque<Reply>,
    /// What the next connections meet.
    ahead: VecDeque<Fate>,
    /// What all others meet.
    deck: Option<Deck>,
    /// What was done, and where.
    struck: Vec<(Stage, Act)>,
    /// Whether a single LF or a single CR ends a line too.
    takes_bare_line_ends: bool,
}

/// A mail server; it serves until the test process ends.
#[derive(Clone)]
pub(crate) struct MailServer {
    pub(crate) address: std::net::SocketAddr,
    kept: Arc<(Mutex<Kept>, Condvar)>,
}

impl MailServer {
    pub(crate) fn start() -> Self {
        Self::with(Kept::default())
    }

    /// One for which a single LF or a single CR ends a line, as some real ones have it.
    pub(crate) fn taking_bare_line_ends() -> Self {
        Self::with(Kept { takes_bare_line_ends: true, ..Kept::default() })
    }

    fn with(kept: Kept) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let kept = Arc::new((Mutex::new(kept), Condvar::new()));
        let server = Self { address: listener.local_addr().expect("an address"), kept };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                // A client that breaks off ends its own session only.
                std::thread::spawn(move || session::serve(&serving, &stream));
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

    /// What the next connection meets.
    pub(crate) fn meet(&self, stage: Stage, act: Act) {
        self.lock().ahead.push_back(Fate::at(stage, act));
    }

    /// From now on every connection meets one of these after the other, at its first mail or at later ones. Each comes as
    /// often as the others.
    pub(crate) fn disturb(&self, random: &mut Random, fates: Vec<(Stage, Act)>) {
        self.lock().deck = Some(Deck::new(random.split(), fates));
    }

    /// From now on connections meet nothing.
    pub(crate) fn calm(&self) {
        let mut kept = self.lock();
        kept.deck = None;
        kept.ahead.clear();
    }

    /// What was done to connections and mails so far, and where.
    pub(crate) fn struck(&self) -> Vec<(Stage, Act)> {
        self.lock().struck.clone()
    }

    /// Everything that was taken.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.lock().taken.clone()
    }

    /// Every mail that was taken, or that was left without an answer.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.lock().taken.iter().map(|mail| mail.content.clone()).collect()
    }

    /// Once `count` mails arrived.
    pub(crate) fn wait(&self, count: usize) -> Vec<String> {
        self.until(|taken| taken.len() >= count);
        self.mails()
    }

    /// Waits until this holds of what was taken.
    pub(crate) fn until(&self, wanted: impl Fn(&[Taken]) -> bool) {
        let outcome = self.kept.1.wait_timeout_while(self.lock(), WATCHDOG, |kept| !wanted(&kept.taken));
        let (kept, limit) = outcome.expect("not poisoned");
        assert!(!limit.timed_out(), "not so after {} mails", kept.taken.len());
    }
}
