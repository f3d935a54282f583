//! Mail leaves here: to a mail server, or into the development mailbox.
//! It keeps no record of what was sent; whoever calls does.

mod address;
pub mod mime;
mod refusal;
mod smtp;
mod url;

#[cfg(test)]
mod sink;

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::mail::{InvalidMessage, Mail, MailStatus, Mailbox};

use crate::faults::{FaultKind, Faults, INJECTED};

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
    },
    /// The mail server could not be reached, does not take our mail at all, or asks to try again.
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
            Self::Rejected { reply } | Self::RateLimited { reply } => Some(reply),
            Self::Unavailable { reply, .. } => reply.as_deref(),
            Self::Invalid(_) | Self::InDoubt { .. } => None,
        }
    }
}

/// Hands mails over.
pub struct Mailer {
    from: Mailbox,
    route: Route,
    faults: Arc<Faults>,
}

enum Route {
    Capture,
    Smtp(Box<Smtp>),
}

impl Mailer {
    /// Checks the settings; connects to nothing yet. `faults` are those of sends.
    pub fn new(settings: MailSettings, faults: Arc<Faults>) -> Result<Self, MailSettingsError> {
        settings.from.check("the sender")?;
        let route = match settings.mode {
            MailMode::Capture => Route::Capture,
            MailMode::Smtp(smtp) => Route::Smtp(Box::new(Smtp::new(smtp)?)),
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
        matches!(self.route, Route::Smtp(_))
    }

    /// Hands the mail over.
    pub async fn deliver(&self, mail: &Mail) -> Result<Delivery, MailError> {
        match self.faults.take() {
            Some(FaultKind::Transient) => {
                return Err(MailError::Unavailable { reason: INJECTED.to_owned(), reply: None });
            }
            Some(FaultKind::Permanent) => return Err(MailError::Rejected { reply: INJECTED.to_owned() }),
            None => {}
        }
        match &self.route {
            Route::Capture => Ok(Delivery { status: MailStatus::Captured, reply: None }),
            Route::Smtp(smtp) => {
                let reply = smtp.deliver(mail).await?;
                Ok(Delivery { status: MailStatus::Sent, reply: Some(reply) })
            }
        }
    }
}

/// How long one exchange with the mail server may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a delivery may take in all.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(permanent, Err(MailError::Rejected { reply: INJECTED.to_owned() }));
            mailer.faults.fail_next(1, FaultKind::Transient);
            let transient = mailer.deliver(&mime::tests::mail()).await;
            assert!(matches!(transient, Err(MailError::Unavailable { .. })));
            assert!(mailer.deliver(&mime::tests::mail()).await.is_ok());
        }
        assert_eq!(sink.taken().len(), 1);
    }

    #[test]
    fn a_sender_that_is_no_address_is_refused_at_the_start() {
        let error = mailer(MailMode::Capture, "shop").err().expect("refused").to_string();
        assert!(error.starts_with("mail.from: "), "{error}");
    }
}
