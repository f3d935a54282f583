//! Mail leaves here: to a mail server, or into the development mailbox.
//! It keeps no record of what was sent; whoever calls does.

mod address;
mod dkim;
mod header_text;
pub mod mime;
mod outlet;
mod pace;
mod refusal;
mod smtp;
mod url;

#[cfg(test)]
mod safety;
#[cfg(test)]
pub(crate) mod sink;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jobmill_core::mail::{InvalidMessage, Mail, MailStatus, Mailbox};
use tokio::time::Instant;

use crate::faults::{FaultKind, Faults, INJECTED};

pub use dkim::{DkimSettings, DkimSettingsError};
pub use outlet::MailOutage;
use outlet::{Change, Outlet};
use pace::Pace;
use refusal::Refusal;
use smtp::Smtp;
pub use url::{Credentials, Security, SmtpSettings, SmtpUrlError};

/// How mail leaves.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// To where.
    pub mode: MailMode,
    /// The sender of every mail.
    pub from: Mailbox,
}

/// Where mail goes.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a process has one")]
pub enum MailMode {
    /// Into the development mailbox, which is the e-mail log itself: nothing leaves the machine.
    Capture,
    /// To a mail server.
    Smtp(SmtpSettings),
}

/// Settings by which no mail can leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailSettingsError {
    /// The sender can't be used.
    #[error("mail.from: {0}")]
    Sender(#[from] InvalidMessage),
    /// Mails can't be signed.
    #[error("mail.dkim: {0}")]
    Dkim(#[from] DkimSettingsError),
    /// The certificates that the mail server's has to lead back to can't be used.
    #[error("mail.smtp.ca has no certificate in PEM (-----BEGIN CERTIFICATE-----) that can be used: {}", .0)]
    Authority(String),
    /// The mail server's name can't be used for TLS.
    #[error("mail.smtp: {host:?} can't be used for TLS: {reason}")]
    Tls {
        /// The mail server's name.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What became of a mail that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `Sent` or `Captured`.
    pub status: MailStatus,
    /// The mail server's own last reply.
    pub reply: Option<String>,
}

/// Why a mail was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It can't be written as a mail; nothing was sent.
    #[error("{0}")]
    Invalid(String),
    /// Refused for good.
    #[error("the mail server refused it for good: {reply}")]
    Rejected {
        /// The mail server's own reply.
        reply: String,
        /// Whether the server said that the address does not exist, rather than that it doesn't want this mail.
        unknown_recipient: bool,
    },
    /// The mail server could not be reached, or asks to try again.
    #[error("{reason}")]
    Unavailable {
        /// What happened.
        reason: String,
        /// The mail server's own reply, if it gave one.
        reply: Option<String>,
    },
    /// The mail server asks to slow down.
    #[error("the mail server asks to slow down: {reply}")]
    RateLimited {
        /// The mail server's own reply.
        reply: String,
        /// The mail is not to be tried again before.
        delay: Duration,
    },
    /// The mail server does not take our mail at all: the operator's configuration, and no fault of this mail.
    #[error("the mail server does not take mail from us; check [mail]: {reason}")]
    Misconfigured {
        /// What doesn't fit.
        reason: String,
        /// The mail server's own reply, if it gave one.
        reply: Option<String>,
    },
    /// The mail went out whole and the mail server's answer was lost: it may have been sent.
    #[error("the mail was handed over, and the answer was lost: {reason}")]
    InDoubt {
        /// What happened.
        reason: String,
    },
}

impl MailError {
    /// The mail server's own last reply, if it gave one.
    pub fn reply(&self) -> Option<&str> {
        match self {
            Self::Rejected { reply, .. } | Self::RateLimited { reply, .. } => Some(reply),
            Self::Unavailable { reply, .. } | Self::Misconfigured { reply, .. } => reply.as_deref(),
            Self::Invalid(_) | Self::InDoubt { .. } => None,
        }
    }
}

/// Not now: nothing was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// When to ask again.
    pub delay: Duration,
    /// What keeps the mail back.
    pub reason: String,
    /// Whether no mail leaves at all; otherwise only this recipient's domain is slowed.
    pub whole_outlet: bool,
}

/// Hands mails over.
pub struct Mailer {
    from: Mailbox,
    route: Route,
    faults: Arc<Faults>,
}

enum Route {
    Capture,
    Smtp { smtp: Box<Smtp>, gate: Mutex<Gate> },
}

/// What decides whether a mail may be tried now.
struct Gate {
    outlet: Outlet,
    pace: Pace,
}

/// How long a mail that was let through may take until its delivery begins: its intent is recorded meanwhile.
const INTENT_TIME: Duration = Duration::from_secs(30);

impl Mailer {
    /// Checks the settings; connects to nothing yet. `faults` are those of sends.
    pub fn new(settings: MailSettings, faults: Arc<Faults>) -> Result<Self, MailSettingsError> {
        settings.from.check("the sender")?;
        let route = match settings.mode {
            MailMode::Capture => Route::Capture,
            MailMode::Smtp(smtp) => {
                let outlet = Outlet::new(smtp.delivery_timeout + INTENT_TIME);
                let gate = Mutex::new(Gate { outlet, pace: Pace::default() });
                Route::Smtp { smtp: Box::new(Smtp::new(smtp, &settings.from)?), gate }
            }
        };
        Ok(Self { from: settings.from, route, faults })
    }

    /// The sender of every mail.
    pub fn sender(&self) -> &Mailbox {
        &self.from
    }

    /// Whether a delivery has to be on the record before it begins. A capture is wholly a write to our own store,
    /// so it needs no intent.
    pub fn needs_intent(&self) -> bool {
        matches!(self.route, Route::Smtp { .. })
    }

    /// Whether this mail may be tried now; to be asked before its intent is recorded. A slowed domain gives each mail a
    /// place in a line, which a held mail keeps until it is let through.
    pub fn admit(&self, mail: &Mail) -> Result<(), Hold> {
        match &self.route {
            Route::Capture => Ok(()),
            Route::Smtp { gate, .. } => lock(gate).admit(Instant::now(), mail),
        }
    }

    /// What keeps all mail back just now; none when mail flows.
    pub fn outage(&self) -> Option<MailOutage> {
        match &self.route {
            Route::Capture => None,
            Route::Smtp { gate, .. } => lock(gate).outlet.outage().cloned(),
        }
    }

    /// Hands the mail over.
    pub async fn deliver(&self, mail: &Mail) -> Result<Delivery, MailError> {
        match self.faults.take() {
            Some(FaultKind::Transient) => {
                return Err(MailError::Unavailable { reason: INJECTED.to_owned(), reply: None });
            }
            Some(FaultKind::Permanent) => {
                return Err(MailError::Rejected { reply: INJECTED.to_owned(), unknown_recipient: false });
            }
            None => {}
        }
        match &self.route {
            Route::Capture => Ok(Delivery { status: MailStatus::Captured, reply: None }),
            Route::Smtp { smtp, gate } => {
                let started = Instant::now();
                let delivered = smtp.deliver(mail).await;
                let reply = lock(gate).learn(started, mail, delivered)?;
                Ok(Delivery { status: MailStatus::Sent, reply: Some(reply) })
            }
        }
    }
}

fn lock(gate: &Mutex<Gate>) -> MutexGuard<'_, Gate> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    fn admit(&mut self, now: Instant, mail: &Mail) -> Result<(), Hold> {
        if let Some(hold) = self.outlet.hold(now, mail.id) {
            return Err(hold);
        }
        let domain = mail.message.to.domain();
        let delay = self.pace.admit(now, domain, mail.id);
        if !delay.is_zero() {
            return Err(Hold { delay, reason: format!("{domain} has asked to slow down"), whole_outlet: false });
        }
        self.outlet.let_through(now, mail.id);
        Ok(())
    }

    /// Learns from a delivery that began at `started`, and says what became of it.
    fn learn(
        &mut self,
        started: Instant,
        mail: &Mail,
        delivered: Result<String, Refusal>,
    ) -> Result<String, MailError> {
        let (now, domain) = (Instant::now(), mail.message.to.domain());
        let finding = refusal::finding(&delivered);
        match self.outlet.learn(now, mail.id, finding) {
            Change::Closed(reason) => {
                tracing::error!(reason, "the mail server does not take mail from us; mail is kept back, check [mail]");
            }
            Change::Opened(lasted) => tracing::info!(?lasted, "the mail server takes mail again"),
            Change::None => {}
        }
        match delivered {
            Ok(reply) => {
                self.pace.taken(started, domain);
                Ok(reply)
            }
            Err(Refusal { error: MailError::RateLimited { reply, .. }, .. }) => {
                let delay = self.pace.refused(now, started, domain, mail.id);
                Err(MailError::RateLimited { reply, delay })
            }
            Err(Refusal { error, .. }) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use jobmill_core::MailId;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn mailer(mode: MailMode, from: &str) -> Result<Mailer, MailSettingsError> {
        let from = Mailbox { address: from.to_owned(), name: None };
        Mailer::new(MailSettings { mode, from }, Arc::default())
    }

    #[tokio::test]
    async fn a_captured_mail_needs_no_intent_and_leaves_nowhere() {
        let mailer = mailer(MailMode::Capture, "shop@shop.example").expect("usable");
        assert!(!mailer.needs_intent());
        let captured = Delivery { status: MailStatus::Captured, reply: None };
        assert_eq!(mailer.deliver(&mime::tests::mail()).await, Ok(captured));
    }

    #[tokio::test]
    async fn planned_failures_hit_the_next_sends_whatever_the_route() {
        let sink = sink::Sink::start([]).await;
        for mode in [MailMode::Capture, MailMode::Smtp(sink.settings())] {
            let mailer = mailer(mode, "shop@shop.example").expect("usable");
            mailer.faults.fail_next(1, FaultKind::Permanent);
            let permanent = mailer.deliver(&mime::tests::mail()).await;
            let rejected = MailError::Rejected { reply: INJECTED.to_owned(), unknown_recipient: false };
            assert_eq!(permanent, Err(rejected));
            mailer.faults.fail_next(1, FaultKind::Transient);
            let transient = mailer.deliver(&mime::tests::mail()).await;
            assert!(matches!(transient, Err(MailError::Unavailable { .. })));
            assert!(mailer.deliver(&mime::tests::mail()).await.is_ok());
        }
        assert_eq!(sink.taken().len(), 1);
    }

    fn mail(number: u8, address: &str) -> Mail {
        let mut mail = mime::tests::mail();
        mail.id = MailId::from_bytes([number; 16]);
        mail.message.to.address = address.to_owned();
        mail
    }

    async fn pass(span: Duration) {
        tokio::time::pause();
        tokio::time::advance(span).await;
        tokio::time::resume();
    }

    #[tokio::test]
    async fn a_server_that_does_not_take_our_mail_closes_the_outlet_until_a_mail_gets_through() {
        let sink = sink::Sink::start([(sink::At::From, sink::Act::Say("530 5.7.0 sign in first"))]).await;
        let mailer = mailer(MailMode::Smtp(sink.settings()), "shop@shop.example").expect("usable");
        let [first, second, third] = [1, 2, 3].map(|number| mail(number, "ada@example.com"));
        assert_eq!((mailer.admit(&first), mailer.outage()), (Ok(()), None));
        let error = mailer.deliver(&first).await.expect_err("refused");
        assert!(matches!(error, MailError::Misconfigured { .. }), "{error:?}");
        assert_eq!(error.reply(), Some("530 5.7.0 sign in first"));

        let outage = mailer.outage().expect("closed");
        assert_eq!((outage.reason.as_str(), outage.next_try - outage.since), ("530 5.7.0 sign in first", 30 * SECOND));
        let hold = mailer.admit(&second).expect_err("closed");
        assert!(hold.whole_outlet && hold.delay > 29 * SECOND, "{hold:?}");

        pass(30 * SECOND).await;
        assert_eq!(mailer.admit(&second), Ok(()));
        assert!(mailer.admit(&third).is_err_and(|hold| hold.whole_outlet && hold.delay == 5 * SECOND));
        mailer.deliver(&second).await.expect("taken");
        assert_eq!((mailer.admit(&third), mailer.outage()), (Ok(()), None));
    }

    #[tokio::test]
    async fn a_refusal_about_the_mail_itself_opens_the_outlet_and_one_at_the_door_does_not() {
        let script = [
            (sink::At::Greeting, sink::Act::Say("554 5.7.1 go away")),
            (sink::At::Greeting, sink::Act::Say("421 4.3.2 later")),
            (sink::At::Recipient, sink::Act::Say("550 5.1.1 no such user")),
        ];
        let sink = sink::Sink::start(script).await;
        let mailer = mailer(MailMode::Smtp(sink.settings()), "shop@shop.example").expect("usable");
        let mail = mail(1, "ada@example.com");
        for is_open in [false, false, true] {
            assert_eq!(mailer.admit(&mail), Ok(()));
            mailer.deliver(&mail).await.expect_err("refused");
            assert_eq!(mailer.outage().is_none(), is_open);
            pass(30 * SECOND).await;
        }
    }

    #[tokio::test]
    async fn a_rate_limit_slows_the_domain_and_says_when_to_come_again() {
        let sink = sink::Sink::start([(sink::At::Recipient, sink::Act::Say("421 4.7.28 unusual rate"))]).await;
        let mailer = mailer(MailMode::Smtp(sink.settings()), "shop@shop.example").expect("usable");
        let [first, second] = [1, 2].map(|number| mail(number, "ada@Example.com"));
        let error = mailer.deliver(&first).await.expect_err("refused");
        let MailError::RateLimited { reply, delay } = error else { panic!("{error:?}") };
        assert_eq!((reply.as_str(), delay), ("421 4.7.28 unusual rate", SECOND));
        let hold = mailer.admit(&second).expect_err("slowed");
        assert!(!hold.whole_outlet && hold.delay > SECOND && hold.delay <= 2 * SECOND, "{hold:?}");
        assert_eq!((mailer.admit(&mail(3, "ada@example.org")), mailer.outage()), (Ok(()), None));

        pass(SECOND).await;
        assert_eq!(mailer.admit(&first), Ok(()));
        mailer.deliver(&first).await.expect("taken");
        // The domain is free again.
        assert_eq!(mailer.admit(&second), Ok(()));
    }

    #[test]
    fn a_sender_that_is_no_address_is_refused_at_the_start() {
        let error = mailer(MailMode::Capture, "shop").err().expect("refused").to_string();
        assert!(error.starts_with("mail.from: "), "{error}");
    }
}
