//! What operators say about mail, and what they are answered: suppressed addresses, mails in doubt, released mails.
//! It changes nothing; the store's verbs do.

use std::sync::Arc;

use jobmill_core::journal::EffectKey;
use jobmill_core::mail::{DoubtfulMail, InDoubtChoice, Mail, MailStatus};
use jobmill_core::suppression::Suppression;
use jobmill_core::{MailId, RunId};

/// What is to become of the mails in doubt of runs that are put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubts {
    /// Nothing: the next attempt sends them again.
    Leave,
    /// A run that has any is left alone.
    Refuse,
    /// What a person decided.
    Decide(InDoubtChoice),
}

impl Doubts {
    /// What a person decided, if anybody did.
    pub fn choice(self) -> Option<InDoubtChoice> {
        match self {
            Self::Decide(choice) => Some(choice),
            Self::Leave | Self::Refuse => None,
        }
    }
}

/// Mails of a run may have been sent, and nobody has said which it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{run} may have sent {}; look for that at the mail server, then put the run back with in_doubt \"sent\", which counts \
     it as sent, or in_doubt \"resend\", which sends it again", told(.mails)
)]
pub struct MailInDoubt {
    /// The run.
    pub run: RunId,
    /// Its mails, never none.
    pub mails: Vec<DoubtfulMail>,
}

fn told(mails: &[DoubtfulMail]) -> String {
    let mail = |mail: &DoubtfulMail| format!("the mail to {} with Message-ID <{}>", mail.to, mail.message_id);
    mails.iter().map(mail).collect::<Vec<_>>().join(" and ")
}

/// What became of the wish to suppress an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    /// What is said of it now.
    pub suppression: Suppression,
    /// It got mail until now.
    pub is_new: bool,
}

/// A captured mail that is about to leave: on the record, so that it is in doubt until its end is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The run that sent it.
    pub run: RunId,
    /// The key of its effect.
    pub key: EffectKey,
    /// The mail.
    pub mail: Arc<Mail>,
}

/// What became of a mail that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Where it stands.
    pub status: MailStatus,
    /// The mail server's own last reply.
    pub reply: Option<String>,
    /// Why it was not sent.
    pub error: Option<String>,
}

/// A mail does not leave the development mailbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReleased {
    /// The e-mail log has no such mail.
    #[error("there is no mail {0}")]
    UnknownMail(MailId),
    /// It is not in the development mailbox.
    #[error("the mail {0} is {status}, and only captured mails are released", status = .1.as_str())]
    NotCaptured(MailId, MailStatus),
    /// Its run has an attempt under way.
    #[error("{0} has an attempt under way; release its mails once that has ended")]
    UnderWay(RunId),
    /// Its run's journal has no room for it.
    #[error("the journal of {0} is full; enqueue a new run of it with a rerun")]
    JournalFull(RunId),
}
