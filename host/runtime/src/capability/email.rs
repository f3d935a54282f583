//! `jobmill:job/email`: a mail is sent once for the run, however often its attempts ask for it.
//! It speaks to no mail server; the mailer does.

use std::sync::Arc;

use jobmill_backends::{Delivery, MailError};
use jobmill_core::journal::{EffectKey, RememberedMail};
use jobmill_core::mail::{Attachment, Mail, MailStatus, Mailbox, Message, message_id};
use jobmill_core::{MailId, limits};

use super::Refusal;
use crate::bindings::since_0_1::jobmill::job::email;
use crate::state::{AttemptState, HostState};

/// A mail that is not sent.
pub(crate) type EmailRefusal = Refusal<email::EmailError>;

/// What happens to a mail that an earlier attempt may have sent: its answer was lost, or the engine died before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InDoubt {
    /// It is sent again as the same mail, `Message-ID` and date included, so that a receiver can drop the copy.
    #[default]
    Resend,
    /// It is not sent; the job gets `in-doubt`, and a person decides.
    Park,
}

impl email::Host for HostState {
    async fn send_email(&mut self, message: email::Message) -> Result<email::Receipt, EmailRefusal> {
        let attempt = self.attempt()?;
        let message = Message::from(message);
        message.check().map_err(|error| Refusal::Answer(email::EmailError::Invalid(error.to_string())))?;
        // A send that failed does not count: asked again in the same attempt, it is still the same mail.
        let repeatable = EffectKey::mail(&message.kind, &message.to.address, 0);
        let occurrence = attempt.done.get(&repeatable).copied().unwrap_or(0);
        let key = EffectKey::mail(&message.kind, &message.to.address, occurrence);
        let receipt = attempt.send(key, message).await?;
        attempt.done.insert(repeatable, occurrence + 1);
        Ok(receipt)
    }

    fn convert_email_error(&mut self, refusal: EmailRefusal) -> wasmtime::Result<email::EmailError> {
        refusal.into_answer()
    }
}

impl AttemptState {
    async fn send(&mut self, key: EffectKey, message: Message) -> Result<email::Receipt, EmailRefusal> {
        let mail = match self.context.remembered_mail(&key) {
            Some(remembered) if remembered.status.is_done() => {
                return Ok(receipt(remembered.mail.message_id.clone(), email::Delivery::AlreadySent));
            }
            Some(remembered) => self.again(remembered, message)?,
            None => Arc::new(self.first(&key, message)?),
        };
        let message_id = mail.message_id.clone();
        let delivered = if self.world.mailer.needs_intent() {
            self.context.intend_mail(key.clone(), Arc::clone(&mail)).await?;
            let delivered = self.world.mailer.deliver(&mail).await;
            let (status, reply, error) = settlement(&delivered);
            self.context.settle_mail(key, status, reply, error).await?;
            delivered
        } else {
            let delivered = self.world.mailer.deliver(&mail).await;
            let (status, _, error) = settlement(&delivered);
            self.context.keep_mail(key, mail, status, error)?;
            delivered
        };
        match delivered {
            Ok(Delivery { status: MailStatus::Captured, .. }) => Ok(receipt(message_id, email::Delivery::Captured)),
            Ok(_) => Ok(receipt(message_id, email::Delivery::Sent)),
            Err(error) => Err(Refusal::Answer(self.answer(&error))),
        }
    }

    /// A mail that the run has not sent before.
    fn first(&self, key: &EffectKey, message: Message) -> Result<Mail, EmailRefusal> {
        if self.context.mails() >= limits::MAILS {
            let reason = format!("a run may send {} mails; this would be one more", limits::MAILS);
            return Err(Refusal::Answer(email::EmailError::Denied(reason)));
        }
        let from = self.world.mailer.sender().clone();
        let now = self.context.now();
        Ok(Mail {
            id: MailId::generate(now, self.context.entropy().as_ref()),
            message_id: message_id(self.context.run().id, key, from.domain()),
            from,
            created_at: now,
            message,
        })
    }

    /// A mail that did not get through before, or may have.
    fn again(&self, remembered: &RememberedMail, message: Message) -> Result<Arc<Mail>, EmailRefusal> {
        if matches!(remembered.status, MailStatus::Sending | MailStatus::InDoubt) {
            return match self.world.in_doubt {
                InDoubt::Resend => Ok(Arc::clone(&remembered.mail)),
                InDoubt::Park => Err(Refusal::Answer(email::EmailError::InDoubt(
                    "an earlier attempt may have sent this mail; look for it at the mail server, then release it"
                        .to_owned(),
                ))),
            };
        }
        let from = self.world.mailer.sender().clone();
        Ok(Arc::new(Mail { from, message, ..(*remembered.mail).clone() }))
    }

    fn answer(&self, error: &MailError) -> email::EmailError {
        let text = error.to_string();
        match error {
            MailError::Invalid(_) => email::EmailError::Invalid(text),
            MailError::Rejected { .. } => email::EmailError::Rejected(text),
            MailError::Unavailable { .. } => email::EmailError::Unavailable(text),
            MailError::RateLimited { .. } => email::EmailError::RateLimited(None),
            // Where mails in doubt are sent again, trying again is what helps.
            MailError::InDoubt { .. } => match self.world.in_doubt {
                InDoubt::Resend => email::EmailError::Unavailable(text),
                InDoubt::Park => email::EmailError::InDoubt(text),
            },
        }
    }
}

/// How a delivery stands in the journal: status, the server's reply, and the error.
fn settlement(delivered: &Result<Delivery, MailError>) -> (MailStatus, Option<String>, Option<String>) {
    match delivered {
        Ok(delivery) => (delivery.status, delivery.reply.clone(), None),
        Err(error) => {
            let in_doubt = matches!(error, MailError::InDoubt { .. });
            let status = if in_doubt { MailStatus::InDoubt } else { MailStatus::Failed };
            (status, error.reply().map(str::to_owned), Some(error.to_string()))
        }
    }
}

fn receipt(message_id: String, delivery: email::Delivery) -> email::Receipt {
    email::Receipt { message_id, delivery }
}

impl From<email::Message> for Message {
    fn from(message: email::Message) -> Self {
        Self {
            kind: message.kind,
            to: message.to.into(),
            reply_to: message.reply_to.map(Into::into),
            subject: message.subject,
            text: message.text,
            html: message.html,
            attachments: message.attachments.into_iter().map(Into::into).collect(),
            headers: message.headers,
        }
    }
}

impl From<email::Mailbox> for Mailbox {
    fn from(mailbox: email::Mailbox) -> Self {
        Self { address: mailbox.address, name: mailbox.name }
    }
}

impl From<email::Attachment> for Attachment {
    fn from(attachment: email::Attachment) -> Self {
        Self { file_name: attachment.file_name, content_type: attachment.content_type, content: attachment.content }
    }
}
