//! What a mail server's answer, or its silence, means for the mail.
//! It speaks to no server.

use lettre::transport::smtp::Error;
use lettre::transport::smtp::response::Severity;

use super::MailError;

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connecting, greeting, TLS, signing in: nothing of the mail is known to the server.
    Connection,
    /// Sender, recipient, `DATA`: the server knows the mail, not its content.
    Envelope,
    /// The content is on its way. An answer that does not come leaves the mail in doubt.
    Content,
}

/// Longest reply that is kept: an enhanced status and a sentence, often with a link.
const REPLY_BYTES: usize = 500;

/// The failure that `error` at `stage` is.
pub(super) fn of_error(stage: Stage, error: &Error) -> MailError {
    let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    let Some(code) = error.status() else {
        return of_silence(stage, &printable(&text));
    };
    let reply = reply(&code.to_string(), &text);
    // The enhanced status (RFC 3463) stands first in the text, if the server has one.
    let enhanced = text.split_whitespace().next().unwrap_or_default();
    let permanent = code.severity == Severity::PermanentNegativeCompletion;
    match (code.to_string().as_str(), enhanced) {
        // Mail flood detected: IANA's SMTP Enhanced Status Codes.
        ("421" | "450" | "451" | "452", "4.7.28") => MailError::RateLimited { reply },
        // Signing in is required, too weak or refused: our configuration, and no fault of this mail.
        ("530" | "534" | "535" | "538", _) => not_accepted(reply),
        // A full mailbox empties again.
        ("552", "5.2.2") => unavailable("the recipient's mailbox is full", reply),
        _ if permanent && stage == Stage::Connection => not_accepted(reply),
        _ if permanent => MailError::Rejected { reply },
        _ => unavailable("the mail server asks to try again", reply),
    }
}

/// The failure that no answer at `stage` is.
pub(super) fn of_silence(stage: Stage, reason: &str) -> MailError {
    match stage {
        Stage::Connection => {
            MailError::Unavailable { reason: format!("no connection to the mail server: {reason}"), reply: None }
        }
        Stage::Envelope => {
            MailError::Unavailable { reason: format!("the mail server stopped answering: {reason}"), reply: None }
        }
        Stage::Content => MailError::InDoubt { reason: reason.to_owned() },
    }
}

/// A reply in one line without control characters, as it is kept with the mail.
pub(super) fn reply(code: &str, text: &str) -> String {
    let line = printable(&format!("{code} {text}"));
    jobmill_core::limits::truncate(&line, REPLY_BYTES).to_owned()
}

fn printable(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn not_accepted(reply: String) -> MailError {
    unavailable("the mail server does not take mail from us; check [mail.smtp]", reply)
}

fn unavailable(what: &str, reply: String) -> MailError {
    MailError::Unavailable { reason: format!("{what}: {reply}"), reply: Some(reply) }
}
