//! The e-mail log, and addresses that get no mail.
//! No call sends a mail of its own; jobs do.

use jobmill_core::MailId;
use serde::Serialize;

use super::Nothing;
use crate::answer::{Answer, Page};
use crate::client::{Client, Text};
use crate::error::Error;
use crate::requests::{MailFilter, Query};
use crate::shapes::{Cleared, Mail, Suppression};

#[derive(Serialize)]
struct Suppress<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    by: &'a str,
}

impl Client {
    /// At most `limit` mails, newest first, without their content.
    pub fn mails(&self, filter: &MailFilter<'_>, limit: usize) -> Result<Page<Mail>, Error> {
        let query = Query::default()
            .with("to", filter.to)
            .with("kind", filter.kind)
            .with("status", filter.status)
            .with("run", filter.run)
            .with("since", filter.since)
            .with("until", filter.until);
        self.pages(&["mail"], &query.pairs(), limit)
    }

    /// A mail with its content.
    pub fn mail(&self, id: MailId) -> Result<Answer<Mail>, Error> {
        self.get(&["mail", &id.to_string()], &[])
    }

    /// A mail as it goes over the wire.
    pub fn raw_mail(&self, id: MailId) -> Result<String, Error> {
        self.get_text(&["mail", &id.to_string(), "raw"], &[]).map(|Text { text, .. }| text)
    }

    /// Hands a captured mail to the real mail server, as far as the server's configuration allows.
    pub fn release_mail(&self, id: MailId) -> Result<Answer<Mail>, Error> {
        self.post(&["mail", &id.to_string(), "release"], &Nothing {})
    }

    /// Empties the e-mail log; the journals of the runs stay.
    pub fn clear_mail(&self) -> Result<Answer<Cleared>, Error> {
        self.delete(&["mail"])?.read()
    }

    /// At most `limit` addresses that get no mail, newest first.
    pub fn suppressions(&self, limit: usize) -> Result<Page<Suppression>, Error> {
        self.pages(&["suppressions"], &[], limit)
    }

    /// Sends no more mail to an address.
    pub fn suppress(&self, address: &str, reason: Option<&str>, by: &str) -> Result<Answer<Suppression>, Error> {
        self.put(&["suppressions", address], &Suppress { reason, by })
    }

    /// Lets an address get mail again.
    pub fn lift_suppression(&self, address: &str) -> Result<(), Error> {
        self.delete(&["suppressions", address]).map(drop)
    }
}
