//! A mail: what may be sent, its Message-ID, and where it stands.
//! It sends nothing and builds no MIME; the mail backend does.

use std::str::FromStr;

use email_address::EmailAddress;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::{MailId, RunId, hex};
use crate::journal::EffectKey;
use crate::limits;
use crate::time::Timestamp;

/// An address with the name that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// The address, `local@domain`.
    pub address: String,
    /// The name shown beside it.
    pub name: Option<String>,
}

/// A file that goes along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name, without a path.
    pub file_name: String,
    /// Its media type, such as `application/pdf`.
    pub content_type: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// What a job asks to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What this mail is, such as `purchase-confirmation`.
    pub kind: String,
    /// The one recipient.
    pub to: Mailbox,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<Mailbox>,
    /// The subject.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: Option<String>,
    /// Files that go along.
    pub attachments: Vec<Attachment>,
    /// Extra headers from the allowed set.
    pub headers: Vec<(String, String)>,
}

/// A mail of a run, from its first intent on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Its id in the e-mail log.
    pub id: MailId,
    /// `Message-ID` without the angle brackets; the same for every attempt.
    pub message_id: String,
    /// The sender.
    pub from: Mailbox,
    /// When it was first intended; its `Date`.
    pub created_at: Timestamp,
    /// What is sent.
    pub message: Message,
}

/// Where a mail stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailStatus {
    /// Being handed over; after a crash: in doubt.
    Sending,
    /// Accepted by the mail server.
    Sent,
    /// Kept in the development mailbox.
    Captured,
    /// Not sent.
    Failed,
    /// Not sent: the address is on the suppression list.
    Suppressed,
    /// It may have been sent: the server's answer was lost.
    InDoubt,
}

impl MailStatus {
    /// The word for it everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Captured => "captured",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
            Self::InDoubt => "in-doubt",
        }
    }

    /// Whether the mail needs no further attempt.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Sent | Self::Captured | Self::Suppressed)
    }
}

/// What happens to a mail that an earlier attempt may have sent: its answer was lost, or the engine died before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InDoubt {
    /// It is sent again as the same mail, `Message-ID` and date included, so that a receiver can drop the copy.
    #[default]
    Resend,
    /// It is not sent; the job gets `in-doubt`, and a person decides.
    Park,
}

/// What a person decided about the mails in doubt of a run that is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InDoubtChoice {
    /// They did not arrive: they are sent again, each as the same mail.
    Resend,
    /// They arrived: they count as sent.
    Sent,
}

/// A mail that may have been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoubtfulMail {
    /// Its id in the e-mail log.
    pub id: MailId,
    /// The recipient's address.
    pub to: String,
    /// `Message-ID` without the angle brackets: what to look for at the mail server.
    pub message_id: String,
}

/// The `Message-ID` of a run's mail, without angle brackets: the same for every attempt, so that a
/// mail server or a reader can drop a copy. `domain` is the sender's.
pub fn message_id(run: RunId, key: &EffectKey, domain: &str) -> String {
    let digest = Sha256::digest(key.as_str());
    format!("{}.{}@{domain}", run.to_string().to_lowercase(), hex(&digest[..6]))
}

/// Why a message can't be sent as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} {reason}")]
pub struct InvalidMessage {
    /// The part of the message: "the subject", "header X-Shop".
    pub part: String,
    /// What is wrong with it.
    pub reason: String,
}

fn invalid(part: impl Into<String>, reason: impl Into<String>) -> InvalidMessage {
    InvalidMessage { part: part.into(), reason: reason.into() }
}

impl Message {
    /// Refuses whatever could break out of a header, a body or an envelope, before anything is sent.
    pub fn check(&self) -> Result<(), InvalidMessage> {
        let kind_fits = !self.kind.is_empty()
            && self.kind.len() <= 64
            && self.kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !kind_fits {
            return Err(invalid("the kind", "must be 1 to 64 of a-z, 0-9 and -"));
        }
        self.to.check("the recipient")?;
        if let Some(reply_to) = &self.reply_to {
            reply_to.check("reply-to")?;
        }
        check_line("the subject", &self.subject, limits::SUBJECT_BYTES)?;
        check_body("the text", &self.text)?;
        if let Some(html) = &self.html {
            check_body("the HTML", html)?;
        }
        if self.text.is_empty() && self.html.is_none() {
            return Err(invalid("the message", "has neither text nor HTML"));
        }
        self.headers.iter().try_for_each(|(name, value)| check_header(name, value))?;
        self.attachments.iter().try_for_each(Attachment::check)?;
        if self.size() > limits::MAIL_BYTES {
            return Err(invalid("the message", format!("is larger than {} bytes", limits::MAIL_BYTES)));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let attachments: usize = self.attachments.iter().map(|attachment| attachment.content.len()).sum();
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.subject.len() + self.text.len() + self.html.as_ref().map_or(0, String::len) + attachments + headers
    }
}

impl Mailbox {
    /// Refuses addresses that mail servers read in more than one way, and names that break a header.
    pub fn check(&self, part: &str) -> Result<(), InvalidMessage> {
        check_address(part, &self.address)?;
        self.name.as_ref().map_or(Ok(()), |name| check_line(&format!("the name of {part}"), name, 200))
    }

    /// The part of the address after the `@`.
    pub fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

/// Only the plain form: no quoting, no domain literals, ASCII, at most 254 characters (RFC 5321, 4.5.3.1.3).
fn check_address(part: &str, address: &str) -> Result<(), InvalidMessage> {
    let plain = address.len() <= 254
        && address.is_ascii()
        && !address.starts_with('-')
        && !address.bytes().any(|byte| byte.is_ascii_control() || b" \"'(),:;<>[]\\".contains(&byte))
        && address.bytes().filter(|byte| *byte == b'@').count() == 1
        && EmailAddress::from_str(address).is_ok();
    if plain {
        Ok(())
    } else {
        Err(invalid(part, format!("has no usable address: {:?}", limits::truncate(address, 80))))
    }
}

fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn check_line(part: &str, text: &str, bytes: usize) -> Result<(), InvalidMessage> {
    if text.len() > bytes {
        return Err(invalid(part, format!("is longer than {bytes} bytes")));
    }
    if text.chars().any(breaks_line) {
        return Err(invalid(part, "has a line break or another control character"));
    }
    Ok(())
}

/// Bodies may have tabs and line ends, `\n` or `\r\n`; a bare `\r` reads as a line end to some servers only.
fn check_body(part: &str, text: &str) -> Result<(), InvalidMessage> {
    // Bodies are long and mostly ASCII: that part is looked at many bytes at a time, and only the rest by character.
    let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
    let of_plain = |chunk: &&[u8]| chunk.iter().fold(true, |all, byte| all & plain(byte));
    let head: usize = text.as_bytes().chunks(64).take_while(of_plain).map(<[u8]>::len).sum();
    let mut characters = text[head..].chars().peekable();
    while let Some(c) = characters.next() {
        let line_end = c == '\n' || (c == '\r' && characters.peek() == Some(&'\n'));
        if c.is_control() && c != '\t' && !line_end {
            return Err(invalid(part, format!("has the control character U+{:04X}", u32::from(c))));
        }
    }
    Ok(())
}

fn check_header(name: &str, value: &str) -> Result<(), InvalidMessage> {
    let lower = name.to_ascii_lowercase();
    let well_formed = name.len() <= 76 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let allowed = lower.strip_prefix("x-").is_some_and(|rest| !rest.is_empty())
        || matches!(lower.as_str(), "list-unsubscribe" | "list-unsubscribe-post");
    if !(well_formed && allowed) {
        let shown = limits::truncate(name, 80);
        return Err(invalid(
            format!("header {shown:?}"),
            "is not allowed; use List-Unsubscribe, List-Unsubscribe-Post or X-…",
        ));
    }
    check_line(&format!("header {name}"), value, 998)?;
    if value.is_ascii() { Ok(()) } else { Err(invalid(format!("header {name}"), "must be ASCII")) }
}

impl Attachment {
    fn check(&self) -> Result<(), InvalidMessage> {
        check_line("an attachment's name", &self.file_name, 255)?;
        if self.file_name.is_empty() || self.file_name.contains(['/', '\\']) {
            return Err(invalid("an attachment's name", "must be a file name without a path"));
        }
        let token = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
        };
        let media_type = self.content_type.split_once('/').is_some_and(|(kind, rest)| token(kind) && token(rest));
        if media_type {
            Ok(())
        } else {
            Err(invalid(format!("attachment {}", self.file_name), "needs a media type such as application/pdf"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            kind: "welcome".to_owned(),
            to: Mailbox { address: "ada@example.com".to_owned(), name: Some("Ada".to_owned()) },
            reply_to: None,
            subject: "Grüße".to_owned(),
            text: "Hello\n.\r\nbye\t".to_owned(),
            html: Some("<p>Hello</p>".to_owned()),
            attachments: Vec::new(),
            headers: vec![("X-Shop".to_owned(), "1".to_owned())],
        }
    }

    fn refused(change: impl FnOnce(&mut Message)) -> bool {
        let mut message = message();
        change(&mut message);
        message.check().is_err()
    }

    #[test]
    fn an_ordinary_message_passes() {
        assert_eq!(message().check(), Ok(()));
    }

    #[test]
    fn line_breaks_and_control_characters_are_refused_in_headers() {
        for text in ["a\r\nBcc: x@y", "a\nb", "a\rb", "a\0b", "a\u{2028}b", "a\u{85}b", "a\u{7f}b"] {
            assert!(refused(|message| message.subject = text.to_owned()), "{text:?}");
            assert!(refused(|message| message.to.name = Some(text.to_owned())), "{text:?}");
            assert!(refused(|message| message.headers[0].1 = text.to_owned()), "{text:?}");
            assert!(refused(|message| {
                message.reply_to = Some(Mailbox { address: "a@b.c".to_owned(), name: Some(text.to_owned()) });
            }));
        }
        assert!(refused(|message| message.subject = "x".repeat(5_000)));
    }

    #[test]
    fn addresses_have_one_reading() {
        for address in [
            "",
            "a",
            "a@",
            "@b.c",
            "\"a b\"@x.y",
            "\"a\r\nRCPT TO:<x>\"@y.z",
            "a@b.c,d@e.f",
            "a@b@c.d",
            "a@[127.0.0.1]",
            "-oQ/x@y.z",
            "a@b\0.c",
            "ä@b.c",
            "<a@b.c>",
            "a b@c.d",
            &format!("{}@b.c", "a".repeat(254)),
        ] {
            assert!(refused(|message| message.to.address = address.to_owned()), "{address:?}");
        }
        for address in ["a@b.c", "first.last+tag@sub.example.co.uk", "o_brien@example.com"] {
            assert!(!refused(|message| message.to.address = address.to_owned()), "{address:?}");
        }
    }

    #[test]
    fn bodies_have_no_bare_carriage_return_and_no_nul() {
        for text in ["a\r.\rb", "a\0", "a\u{1b}[0m", "\r"] {
            assert!(refused(|message| message.text = text.to_owned()), "{text:?}");
            assert!(refused(|message| message.html = Some(text.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn only_harmless_headers_and_attachments_pass() {
        for name in ["Bcc", "From", "Message-ID", "X-", "X-A B", "X-A:", "Date", ""] {
            assert!(refused(|message| message.headers = vec![(name.to_owned(), "1".to_owned())]), "{name:?}");
        }
        let attachment = |file_name: &str, content_type: &str| Attachment {
            file_name: file_name.to_owned(),
            content_type: content_type.to_owned(),
            content: vec![1],
        };
        assert!(!refused(|message| message.attachments = vec![attachment("a.pdf", "application/pdf")]));
        for (name, media_type) in
            [("../a", "text/plain"), ("", "text/plain"), ("a", "text"), ("a", "text/plain\r\nX: y")]
        {
            assert!(refused(|message| message.attachments = vec![attachment(name, media_type)]), "{name:?}");
        }
        assert!(refused(|message| message.text = "x".repeat(limits::MAIL_BYTES)));
    }

    #[test]
    fn a_message_id_is_the_same_for_every_attempt() {
        let run = RunId::from_bytes([7; 16]);
        let key = EffectKey::mail("welcome", "Ada@example.com", 0);
        let id = message_id(run, &key, "shop.example");
        assert_eq!(id, message_id(run, &EffectKey::mail("welcome", "ada@example.com", 0), "shop.example"));
        assert_ne!(id, message_id(run, &EffectKey::mail("welcome", "ada@example.com", 1), "shop.example"));
        assert!(id.starts_with("run_") && id.ends_with("@shop.example"));
    }
}
