//! A message about dead runs as a mail in plain text to one address.
//! It is no mail of a run: the e-mail log does not show it.

use std::fmt::Write as _;
use std::sync::Arc;

use jobmill_core::mail::{Mail, MailStatus, Mailbox, Message};
use jobmill_core::notice::{News, NoticeDelivery, NoticeMessage, NoticedGroup};
use jobmill_core::{MailId, limits};

use super::NotifySettingsError;
use crate::mail::{Delivery, MailError, Mailer};

/// One address that is told.
pub struct NoticeMail {
    mailer: Arc<Mailer>,
    to: Mailbox,
    /// Its place among the addresses: each has mails of its own.
    place: u8,
}

impl NoticeMail {
    /// The addresses, each by itself: one that can't be reached keeps nothing from the others.
    pub fn to_each(mailer: &Arc<Mailer>, addresses: &[String]) -> Result<Vec<Self>, NotifySettingsError> {
        let refuse = |reason: String| NotifySettingsError::new("notify.mail", reason);
        if addresses.len() > limits::NOTICE_ADDRESSES {
            let most = limits::NOTICE_ADDRESSES;
            return Err(refuse(format!("has {} addresses, and at most {most} are told; name a list", addresses.len())));
        }
        let each = addresses.iter().zip(0..).map(|(address, place)| {
            let to = Mailbox { address: address.clone(), name: None };
            to.check("the recipient").map_err(|error| refuse(format!("can't be used: {error}")))?;
            Ok(Self { mailer: Arc::clone(mailer), to, place })
        });
        each.collect()
    }

    /// The address.
    pub fn address(&self) -> &str {
        &self.to.address
    }

    /// Sends a message.
    pub async fn deliver(&self, message: &NoticeMessage) -> NoticeDelivery {
        let mail = self.mail(message);
        if let Err(hold) = self.mailer.admit(&mail) {
            return NoticeDelivery::NotNow { reason: hold.reason, delay: Some(hold.delay) };
        }
        match self.mailer.deliver(&mail).await {
            Ok(Delivery { status: MailStatus::Captured, .. }) => {
                NoticeDelivery::Refused("mail.mode is \"capture\", so that no mail leaves".to_owned())
            }
            Ok(_) => NoticeDelivery::Taken,
            Err(error @ (MailError::Invalid(_) | MailError::Rejected { .. })) => {
                NoticeDelivery::Refused(error.to_string())
            }
            Err(error) => {
                let delay = if let MailError::RateLimited { delay, .. } = error { Some(delay) } else { None };
                // One in doubt is sent again as the same mail, so that a copy can be dropped.
                NoticeDelivery::NotNow { reason: error.to_string(), delay }
            }
        }
    }

    /// The mail of a message: the same for every try.
    fn mail(&self, message: &NoticeMessage) -> Mail {
        let mut id = message.id.to_bytes();
        id[15] ^= self.place;
        let ulid = message.id.ulid().to_string().to_lowercase();
        let from = self.mailer.sender().clone();
        Mail {
            id: MailId::from_bytes(id),
            message_id: format!("notice.{ulid}.{}@{}", self.place, from.domain()),
            from,
            created_at: message.at,
            message: Message {
                kind: "dead-runs".to_owned(),
                to: self.to.clone(),
                reply_to: None,
                subject: subject(message),
                text: text(message),
                html: None,
                attachments: Vec::new(),
                headers: Vec::new(),
            },
        }
    }
}

fn subject(message: &NoticeMessage) -> String {
    match (message.news, message.groups.as_slice()) {
        (News::Appeared, [group]) => format!("Jobmill: dead runs of {}", group.job),
        (News::Appeared, groups) => format!("Jobmill: {} new groups of dead runs", groups.len()),
        (News::Spiked, [group]) => format!("Jobmill: many dead runs of {}", group.job),
        (News::Spiked, groups) => format!("Jobmill: many dead runs in {} groups", groups.len()),
    }
}

fn text(message: &NoticeMessage) -> String {
    let minutes = limits::SPIKE_WINDOW.as_secs() / 60;
    let mut text = match message.news {
        News::Appeared => "Runs ended dead with an error that was not there before:\n".to_owned(),
        News::Spiked => format!("Many runs ended dead with the same error within {minutes} minutes:\n"),
    };
    for group in &message.groups {
        let NoticedGroup { job, fingerprint, error, kind, count, first_seen, last_seen, example } = group;
        // A terminal's or a header's control characters have no business in a mail.
        let error = error.replace(char::is_control, " ");
        let runs = if *count == 1 { "run" } else { "runs" };
        let _ = write!(
            text,
            "\n{job}: {count} {runs}, {kind}\n  {error}\n  first at {first_seen}, last at {last_seen}\n  \
             the last is {example}\n  see jobmill dead show {fingerprint:016x}\n"
        );
    }
    text.push_str("\nAll groups: page Dead letters of the dashboard, or jobmill dead list\n");
    text
}
