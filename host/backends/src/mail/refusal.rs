//! What a mail server's answer, or its silence, means for the mail.
//! It speaks to no server, and remembers nothing: the outlet and the pace do.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::response::Severity;

use super::MailError;
use super::outlet::Finding;

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Connecting, greeting, TLS, signing in: nothing of the mail is known to the server.
    Connection,
    /// The sender, which is the same for every mail.
    Sender,
    /// The recipient.
    Recipient,
    /// Leave to send the content.
    Data,
    /// The content is on its way. An answer that does not come leaves the mail in doubt.
    Content,
}

/// A delivery that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// How far it came.
    pub(super) stage: Stage,
    /// Why. The delay of a rate limit is the pace's to say, and zero here.
    pub(super) error: MailError,
}

/// Longest reply that is kept: an enhanced status and a sentence, often with a link.
const REPLY_BYTES: usize = 500;

impl Refusal {
    /// A mail that can't be written.
    pub(super) fn unwritten(error: MailError) -> Self {
        Self { stage: Stage::Connection, error }
    }

    /// The failure that `error` at `stage` is.
    pub(super) fn of_error(stage: Stage, error: &Error) -> Self {
        let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        let Some(code) = error.status() else {
            let reason = printable(&text);
            return match certificate(error) {
                true => Self::misfit(&format!("its certificate does not fit: {reason}")),
                // Nothing went wrong on the wire: the server offers no way to sign in that is spoken here.
                false if stage == Stage::Connection && error.is_client() => Self::misfit(&reason),
                false => Self::of_silence(stage, &reason),
            };
        };
        let said = Said {
            stage,
            permanent: code.severity == Severity::PermanentNegativeCompletion,
            code: code.to_string(),
            text: &text,
        };
        Self { stage, error: said.meaning() }
    }

    /// The failure that no answer at `stage` is.
    pub(super) fn of_silence(stage: Stage, reason: &str) -> Self {
        let unavailable = |what: &str| MailError::Unavailable { reason: format!("{what}: {reason}"), reply: None };
        let error = match stage {
            Stage::Connection => unavailable("no connection to the mail server"),
            Stage::Sender | Stage::Recipient | Stage::Data => unavailable("the mail server stopped answering"),
            Stage::Content => MailError::InDoubt { reason: reason.to_owned() },
        };
        Self { stage, error }
    }

    /// Whether the server goes on after what it has answered. After 421 it hangs up (RFC 5321, 3.8).
    pub(super) fn leaves_connection_open(&self) -> bool {
        self.stage > Stage::Connection && self.error.reply().is_some_and(|reply| !reply.starts_with("421"))
    }

    /// A server that can't be used as it is configured.
    pub(super) fn misfit(reason: &str) -> Self {
        let error = MailError::Misconfigured { reason: reason.to_owned(), reply: None };
        Self { stage: Stage::Connection, error }
    }
}

/// What a delivery says about the mail server.
pub(super) fn finding(delivered: &Result<String, Refusal>) -> Finding {
    let Err(Refusal { stage, error }) = delivered else { return Finding::Working };
    match error {
        MailError::Misconfigured { reason, .. } => Finding::Misconfigured(reason.clone()),
        MailError::Rejected { .. } | MailError::InDoubt { .. } => Finding::Working,
        // Whoever answers to a recipient has let us in. At the sender, the next answer may be that we have to sign in.
        MailError::Unavailable { reply: Some(_), .. } | MailError::RateLimited { .. } if *stage >= Stage::Recipient => {
            Finding::Working
        }
        MailError::Unavailable { .. } | MailError::RateLimited { .. } | MailError::Invalid(_) => Finding::Unknown,
    }
}

/// A negative reply.
struct Said<'a> {
    stage: Stage,
    code: String,
    permanent: bool,
    text: &'a str,
}

impl Said<'_> {
    fn meaning(&self) -> MailError {
        let reply = reply(&self.code, self.text);
        if !self.permanent {
            return if self.asks_to_slow_down() {
                MailError::RateLimited { reply, delay: Duration::ZERO }
            } else {
                unavailable("the mail server asks to try again", reply)
            };
        }
        match (self.code.as_str(), self.enhanced()) {
            // Signing in is required, too weak or refused, or needs encryption (RFC 4954).
            ("530" | "534" | "535" | "538", _) => misconfigured(reply),
            // Said before the recipient is named, so it is about us: the sender is the operator's too.
            _ if self.stage <= Stage::Sender => misconfigured(reply),
            // A full mailbox empties again. Without a status, a 552 to a recipient also has this meaning, or the older
            // one of too many recipients, which is to be read as 452 (RFC 5321, 4.5.3.1.10).
            (_, "5.2.2") => unavailable("the recipient's mailbox is full", reply),
            ("552", status) if self.stage == Stage::Recipient && !status.starts_with("5.") => {
                unavailable("the recipient's mailbox is full", reply)
            }
            // 5.1.1: no such mailbox (RFC 3463). 5.1.10: the domain takes no mail at all (RFC 7505), or, from Exchange,
            // no such recipient. All other statuses leave open whether the address exists: 5.1.0, 5.4.1 and 550 without
            // a status serve for policy too, 5.7.x is policy, 5.1.2 and 5.1.3 may be a typing error in our own DNS.
            (_, "5.1.1" | "5.1.10") if self.stage == Stage::Recipient => {
                MailError::Rejected { reply, unknown_recipient: true }
            }
            _ => MailError::Rejected { reply, unknown_recipient: false },
        }
    }

    /// The enhanced status (RFC 3463) stands first in the text, if the server has one.
    fn enhanced(&self) -> &str {
        let first = self.text.split_whitespace().next().unwrap_or_default();
        let is_status =
            first.split('.').count() == 3 && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if is_status { first } else { "" }
    }

    /// Whether a reply that is not for good is about how fast mail comes.
    fn asks_to_slow_down(&self) -> bool {
        let enhanced = self.enhanced();
        // 454 at signing in is a failure on the server's side (RFC 4954), whatever its text.
        if self.code == "454" && self.stage == Stage::Connection {
            return false;
        }
        match enhanced {
            // Mail flood detected: IANA's SMTP Enhanced Status Codes; Gmail's "unusual rate".
            "4.7.28" => true,
            // Exchange Online's throttling by address has 4.7.500 to 4.7.699; 4.7.65x are Outlook.com's.
            _ if detail(enhanced, "4.7.").is_some_and(|detail| (500..700).contains(&detail)) => true,
            // Statuses that also mean something else, and no status at all.
            "4.2.1" | "4.3.2" | "4.4.5" | "4.7.0" | "4.7.1" | "" => self.speaks_of_rate(),
            _ => false,
        }
    }

    fn speaks_of_rate(&self) -> bool {
        // A reply of several lines repeats its status in each, in the middle of a phrase.
        let enhanced = self.enhanced();
        let words: Vec<&str> = self.text.split_whitespace().filter(|word| *word != enhanced).collect();
        let text = words.join(" ").to_ascii_lowercase();
        RATE_PHRASES.iter().any(|phrase| text.contains(phrase))
    }
}

/// How large providers and servers say that mail comes too fast, where their status leaves it open.
const RATE_PHRASES: [&str; 11] = [
    // Gmail, 450 4.2.1: "The user you are trying to contact is receiving mail too quickly", "… at a rate that prevents …"
    "too quickly",
    "at a rate",
    // Gmail, 450 4.2.1: "Peak SMTP relay limit exceeded for customer"
    "relay limit exceeded",
    // Gmail, 421 4.7.0: "Our system has detected an unusual rate of unsolicited mail"
    "unusual rate",
    // Gmail, 421 4.7.0: "Try again later, closing connection"; its "Temporary System Problem" is not about rate.
    "try again later, closing connection",
    // Postfix (smtpd.c), 450 4.7.1: "Error: too much mail from …"
    "too much mail",
    // Postfix, 421 4.7.0: "Error: too many connections from …"; Exchange, 421 4.3.2: "number of concurrent connections"
    "too many connections",
    "concurrent connections",
    // Sendmail, 421 4.3.2: "Connection rate limit exceeded"; Exim's and Outlook's "rate limited"
    "rate limit",
    // Amazon SES, 454: "Throttling failure: Maximum sending rate exceeded"
    "throttl",
    // Yahoo, 421 4.7.0: "Messages from … temporarily deferred due to unexpected volume or user complaints"
    "unexpected volume",
];

/// The last number of a status that begins like this.
fn detail(status: &str, begins: &str) -> Option<u16> {
    status.strip_prefix(begins)?.parse().ok()
}

/// Whether the error is that the server's certificate was not believed.
fn certificate(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if matches!(tls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// A reply in one line without control characters, as it is kept with the mail.
pub(super) fn reply(code: &str, text: &str) -> String {
    let line = printable(&format!("{code} {text}"));
    jobmill_core::limits::truncate(&line, REPLY_BYTES).to_owned()
}

fn printable(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn misconfigured(reply: String) -> MailError {
    MailError::Misconfigured { reason: reply.clone(), reply: Some(reply) }
}

fn unavailable(what: &str, reply: String) -> MailError {
    MailError::Unavailable { reason: format!("{what}: {reply}"), reply: Some(reply) }
}
