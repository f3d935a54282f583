//! Sending mail.
//! It does not build MIME or speak SMTP, and keeps nothing: the host does, once for the run.

use crate::address::one_line;
use crate::{Mailbox, host};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Send the message, once for the run, however many attempts it takes.
///
/// Within a run the message's kind and recipient name the mail: an attempt that sends it again gets the first receipt, with
/// [`Delivery::AlreadySent`], and nothing is sent.
pub fn send_email(message: &Message) -> Result<Receipt, EmailError> {
    host::send_email(message)
}

/// A mail to one recipient, so that each mail has a verdict of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What this mail is, such as `purchase-confirmation`.
    pub kind: String,
    /// Who gets it.
    pub to: Mailbox,
    /// Where answers go, when not to the sender.
    pub reply_to: Option<Mailbox>,
    /// The subject line; any Unicode text without control characters.
    pub subject: String,
    /// The mail as plain text.
    pub text: String,
    /// The mail as HTML. Escape what came from data: askama templates named `*.html` do.
    pub html: Option<String>,
    /// Files that go with it.
    pub attachments: Vec<Attachment>,
    /// Extra headers from the allowed set (`List-Unsubscribe`, `X-…`); the host refuses others.
    pub headers: Vec<(String, String)>,
}

/// A file that goes with a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The name it is shown and saved under.
    pub file_name: String,
    /// Its media type, such as `application/pdf`.
    pub content_type: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl Message {
    /// An empty message of this kind to this recipient.
    pub fn new(kind: impl Into<String>, to: impl Into<Mailbox>) -> Self {
        Self {
            kind: kind.into(),
            to: to.into(),
            reply_to: None,
            subject: String::new(),
            text: String::new(),
            html: None,
            attachments: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Set the subject line. Line breaks and other control characters, which a name from a payload can hold, become spaces.
    #[must_use]
    pub fn subject(mut self, subject: impl AsRef<str>) -> Self {
        self.subject = one_line(subject.as_ref());
        self
    }

    /// Set the plain text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// Set the HTML.
    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }

    /// Set where answers go.
    #[must_use]
    pub fn reply_to(mut self, mailbox: impl Into<Mailbox>) -> Self {
        self.reply_to = Some(mailbox.into());
        self
    }

    /// Add a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Add a file.
    #[must_use]
    pub fn attachment(
        mut self,
        file_name: impl Into<String>,
        content_type: impl Into<String>,
        content: impl Into<Vec<u8>>,
    ) -> Self {
        self.attachments.push(Attachment {
            file_name: file_name.into(),
            content_type: content_type.into(),
            content: content.into(),
        });
        self
    }
}

/// What became of a mail. As a job's output: `{ "messageId": "…", "delivery": "sent" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The `Message-ID` header it was given.
    pub message_id: String,
    /// How it was delivered.
    pub delivery: Delivery,
}

/// How a mail was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Accepted by the mail server.
    Sent,
    /// Kept in the development mailbox; nothing left the machine.
    Captured,
    /// Not sent: the address is on the suppression list.
    Suppressed,
    /// Sent by an earlier attempt of this run.
    AlreadySent,
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// The message can't be sent as it is: bad address, control characters, too large.
    #[error("the mail can't be sent as it is: {0}")]
    Invalid(String),
    /// Refused for good by the mail server (5xx).
    #[error("the mail server refused the mail: {0}")]
    Rejected(String),
    /// This job may not send this.
    #[error("this job may not send the mail: {0}")]
    Denied(String),
    /// Too many mails; the wait that was asked for, if one was.
    #[error("the mail server asks for fewer mails at a time")]
    RateLimited(Option<Duration>),
    /// The mail server could not be reached or said 4xx; trying again may help.
    #[error("the mail server is not available: {0}")]
    Unavailable(String),
    /// An earlier attempt may have sent it: the server's answer was lost.
    #[error("an earlier attempt may have sent the mail: {0}")]
    InDoubt(String),
}

#[cfg(test)]
mod tests {
    use super::{Delivery, Message, Receipt};

    #[test]
    fn a_subject_is_one_line() {
        let message = Message::new("note", "ada@example.com").subject("Hello Ada\r\nBcc: eve@example.com");
        assert_eq!(message.subject, "Hello Ada Bcc: eve@example.com");
    }

    #[test]
    fn a_receipt_is_the_output_that_the_jobs_promise() {
        let receipt = Receipt { message_id: "<1@shop>".into(), delivery: Delivery::AlreadySent };
        let expected = serde_json::json!({ "messageId": "<1@shop>", "delivery": "already-sent" });
        assert_eq!(serde_json::to_value(&receipt).unwrap(), expected);
    }
}
