//! A captured mail leaves the development mailbox for a real mail server, once, with its intent and its end on record.
//! It speaks to no mail server; the outlet that is handed in does.

use std::sync::Arc;

use async_trait::async_trait;
use jobmill_core::MailId;
use jobmill_core::mail::{Mail, MailStatus};
use jobmill_store::{MailSummary, NotReleased, Settlement, StoreError};

use crate::handle::Handle;

/// Where released mails go.
#[async_trait]
pub trait MailOutlet: Send + Sync {
    /// Whether mail may leave for this address.
    fn allows(&self, address: &str) -> bool;

    /// Hands the mail over: `Sent`, `Failed` or `InDoubt`.
    async fn deliver(&self, mail: &Mail) -> Settlement;
}

/// Why a mail was not released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// It is not one that leaves, or not now.
    #[error(transparent)]
    NotReleased(#[from] NotReleased),
    /// The configuration does not name its recipient.
    #[error("mail.release.allow names neither {0} nor its domain, so no mail leaves for it; add it there")]
    NotAllowed(String),
    /// Its recipient gets no mail.
    #[error(
        "{0} is suppressed, so no mail leaves for it; see `jobmill mail suppressions`, and lift it if that is right"
    )]
    Suppressed(String),
    /// The store can't take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Handle {
    /// Hands a captured mail to a real mail server; answers where it stands then. One that was refused stays captured, with
    /// the reason, and can be released again. Goes on when the caller does not wait.
    pub async fn release(&self, mail: MailId, outlet: Arc<dyn MailOutlet>) -> Result<MailSummary, ReleaseError> {
        let view = self.store.mail(mail).await?.ok_or(NotReleased::UnknownMail(mail))?;
        if view.summary.status != MailStatus::Captured {
            return Err(NotReleased::NotCaptured(mail, view.summary.status).into());
        }
        let to = view.summary.to;
        if !outlet.allows(&to) {
            return Err(ReleaseError::NotAllowed(to));
        }
        if self.store.suppression(&to).await?.is_some() {
            return Err(ReleaseError::Suppressed(to));
        }
        let handle = self.clone();
        let leaving = tokio::spawn(async move { handle.let_go(mail, &*outlet).await });
        leaving.await.map_err(|error| StoreError::Failed(format!("the release of {mail} failed: {error}")))??;
        let view = self.store.mail(mail).await?.ok_or(NotReleased::UnknownMail(mail))?;
        Ok(view.summary)
    }

    async fn let_go(&self, mail: MailId, outlet: &dyn MailOutlet) -> Result<(), ReleaseError> {
        let release = self.store.begin_release(mail, self.clock.now()).await??;
        let mut settlement = outlet.deliver(&release.mail).await;
        if settlement.status == MailStatus::Failed {
            // It is in the mailbox still.
            settlement.status = MailStatus::Captured;
            settlement.error = settlement.error.map(|error| format!("not released: {error}"));
        }
        Ok(self.store.end_release(release, settlement, self.clock.now()).await?)
    }
}
