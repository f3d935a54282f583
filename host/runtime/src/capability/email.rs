//! `jobmill:job/email`: a mail is sent once for the run, however often its attempts ask for it.
//! It speaks to no mail server; the mailer does.

use std::sync::Arc;
use std::time::Duration;

use jobmill_backends::{Delivery, Hold, MailError};
use jobmill_core::MailId;
use jobmill_core::journal::{EffectKey, LogLevel, LogLine, RememberedMail};
use jobmill_core::mail::{Attachment, InDoubt, Mail, MailStatus, Mailbox, Message, message_id};
use jobmill_engine::TooManyMails;

use super::{Refusal, millis};
use crate::bindings::since_0_1::jobmill::job::email;
use crate::state::{AttemptState, HostState};
use crate::stopped::Stopped;

/// A mail that is not sent.
pub(crate) type EmailRefusal = Refusal<email::EmailError>;

impl email::Host for HostState {
    async fn send_email(&mut self, message: email::Message) -> Result<email::Receipt, EmailRefusal> {
        let attempt = self.attempt()?;
        let timing = attempt.meter.begin("send-email");
        let sent = attempt.send_email(message.into()).await;
        timing.end(sent.is_err());
        sent
    }

    fn convert_email_error(&mut self, refusal: EmailRefusal) -> wasmtime::Result<email::EmailError> {
        refusal.into_answer()
    }
}

impl AttemptState {
    async fn send_email(&mut self, message: Message) -> Result<email::Receipt, EmailRefusal> {
        message.check().map_err(|error| Refusal::Answer(email::EmailError::Invalid(error.to_string())))?;
        // A send that failed does not count: asked again in the same attempt, it is still the same mail.
        let repeatable = EffectKey::mail(&message.kind, &message.to.address, 0);
        let occurrence = self.done.get(&repeatable).copied().unwrap_or(0);
        let key = EffectKey::mail(&message.kind, &message.to.address, occurrence);
        let receipt = self.send(key, message).await?;
        self.done.insert(repeatable, occurrence + 1);
        Ok(receipt)
    }

    async fn send(&mut self, key: EffectKey, message: Message) -> Result<email::Receipt, EmailRefusal> {
        let remembered = self.context.remembered_mail(&key).cloned();
        // Asked before what the operator allows: a run that sent the mail before the operator narrowed it can still end.
        if let Some(done) = remembered.as_ref().filter(|remembered| remembered.status.is_done()) {
            let suppressed = done.status == MailStatus::Suppressed;
            let delivery = if suppressed { email::Delivery::Suppressed } else { email::Delivery::AlreadySent };
            return Ok(receipt(done.mail.message_id.clone(), delivery));
        }
        let allowed = self.context.sandbox().allow.mail(&self.context.run().job, &message);
        allowed.map_err(|denied| Refusal::Answer(email::EmailError::Denied(self.deny(denied))))?;
        let (mail, is_new) = match remembered {
            Some(remembered) => (self.again(&remembered, message)?, false),
            None => (Arc::new(self.first(&key, message)), true),
        };
        let message_id = mail.message_id.clone();
        if let Some(suppression) = self.context.suppression(&mail.message.to.address).await? {
            let reason = format!("the address is on the suppression list since {}", suppression.at);
            if self.context.is_trial() {
                self.context.rehearse_mail(key, mail, Some(reason))?;
            } else {
                self.context.keep_mail(key, mail, MailStatus::Suppressed, Some(reason))?;
            }
            return Ok(receipt(message_id, email::Delivery::Suppressed));
        }
        if self.context.is_trial() {
            if is_new {
                self.allow()?;
            }
            self.context.rehearse_mail(key, mail, None)?;
            return Ok(receipt(message_id, email::Delivery::Captured));
        }
        self.world.mailer.admit(&mail).map_err(Stopped::Held)?;
        if is_new {
            self.allow()?;
        }
        let delivered = if self.world.mailer.needs_intent() {
            self.context.intend_mail(key.clone(), Arc::clone(&mail)).await?;
            let delivered = self.world.mailer.deliver(&mail).await;
            if let Err(MailError::Rejected { reply, unknown_recipient: true }) = &delivered {
                self.context.suppress_bounced(&mail.message.to.address, reply).await?;
            }
            let (status, reply, error) = settlement(&delivered);
            self.context.settle_mail(key, status, reply, error).await?;
            delivered
        } else {
            let delivered = self.world.mailer.deliver(&mail).await;
            let (status, _, error) = settlement(&delivered);
            self.context.keep_mail(key, Arc::clone(&mail), status, error)?;
            delivered
        };
        match delivered {
            Ok(Delivery { status: MailStatus::Captured, .. }) => Ok(receipt(message_id, email::Delivery::Captured)),
            Ok(_) => Ok(receipt(message_id, email::Delivery::Sent)),
            Err(error) => Err(self.refusal(&mail, &error)),
        }
    }

    /// One more mail of the run, and of its job.
    fn allow(&self) -> Result<(), EmailRefusal> {
        self.context.allow_mail().map_err(|refused| match refused {
            TooManyMails::OfRun(_) => Refusal::Answer(email::EmailError::Denied(refused.to_string())),
            TooManyMails::OfJob { delay, .. } => Refusal::Stop(Stopped::Paced { reason: refused.to_string(), delay }),
        })
    }

    /// A mail that the run has not sent before.
    fn first(&self, key: &EffectKey, message: Message) -> Mail {
        let from = self.world.mailer.sender().clone();
        let now = self.context.now();
        Mail {
            id: MailId::generate(now, self.context.entropy().as_ref()),
            message_id: message_id(self.context.run().id, key, from.domain()),
            from,
            created_at: now,
            message,
        }
    }

    /// A mail that did not get through before, or may have.
    fn again(&mut self, remembered: &RememberedMail, message: Message) -> Result<Arc<Mail>, EmailRefusal> {
        if matches!(remembered.status, MailStatus::Sending | MailStatus::InDoubt) {
            let mail = &remembered.mail;
            let (to, message_id) = (&mail.message.to.address, &mail.message_id);
            return match self.world.in_doubt {
                InDoubt::Resend => {
                    let at = self.context.now();
                    let message = format!(
                        "the mail to {to} may have been sent before: the answer was lost. It is sent again as the same \
                         mail, Message-ID <{message_id}>"
                    );
                    if !self.context.is_trial() {
                        // The run's log is lost with an attempt that dies; this one is not.
                        tracing::warn!(run = %self.context.run().id, message_id, "a mail in doubt is sent again");
                    }
                    self.context.log(LogLine { at, level: LogLevel::Warn, message, fields: Vec::new() });
                    Ok(Arc::clone(mail))
                }
                InDoubt::Park => Err(Refusal::Answer(email::EmailError::InDoubt(parked(mail)))),
            };
        }
        let from = self.world.mailer.sender().clone();
        Ok(Arc::new(Mail { from, message, ..(*remembered.mail).clone() }))
    }

    /// What the guest hears of a delivery that failed.
    fn refusal(&self, mail: &Mail, error: &MailError) -> EmailRefusal {
        let text = error.to_string();
        Refusal::Answer(match error {
            MailError::Invalid(_) => email::EmailError::Invalid(text),
            MailError::Rejected { reply, .. } => email::EmailError::Rejected(reply.clone()),
            MailError::Unavailable { .. } => email::EmailError::Unavailable(text),
            MailError::RateLimited { delay, .. } => email::EmailError::RateLimited(Some(millis(*delay))),
            // No fault of the run: it is not to pay for it with an attempt.
            MailError::Misconfigured { .. } => {
                let open_again = Hold { delay: Duration::ZERO, reason: text, whole_outlet: false };
                return Refusal::Stop(Stopped::Held(self.world.mailer.admit(mail).err().unwrap_or(open_again)));
            }
            // Where mails in doubt are sent again, trying again is what helps.
            MailError::InDoubt { .. } => match self.world.in_doubt {
                InDoubt::Resend => email::EmailError::Unavailable(text),
                InDoubt::Park => email::EmailError::InDoubt(format!("{text}. {}", parked(mail))),
            },
        })
    }
}

/// What a person has to do about a mail that may have been sent.
fn parked(mail: &Mail) -> String {
    format!(
        "the mail to {} may have been sent; look for Message-ID <{}> at the mail server, then put the run back: as sent, or \
         to be sent again",
        mail.message.to.address, mail.message_id
    )
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
