//! How the doors put on record what an operator does: begun before it is done, and ended with what came of it.
//! It knows no action, and holds nothing up: what can't be put on record is told in the log.

use jobmill_core::AuditId;
use jobmill_core::audit::AuditEntry;
use jobmill_store::{Queued, StoreError};

use crate::handle::Handle;

impl Handle {
    /// The id of a new entry of the audit list.
    pub fn new_audit_id(&self) -> AuditId {
        AuditId::generate(self.clock.now(), &*self.entropy)
    }

    /// Puts the beginning of an action on record. Whatever is asked of the store once this has answered becomes durable
    /// with the entry or after it. Nobody waits for that: cancelling must work where the disk is nearly full, too.
    pub async fn begin_audit(&self, entry: AuditEntry) {
        match self.store.put_audit(entry.clone()).await {
            Ok(queued) => drop(tokio::spawn(self.clone().see_to(queued, entry))),
            Err(error) => untold(&entry, &error),
        }
    }

    /// Puts the end of an action on record; answers once that is durable, or can't be.
    pub async fn end_audit(&self, entry: AuditEntry) {
        if let Err(error) = self.record_audit(entry.clone()).await {
            untold(&entry, &error);
        }
    }

    /// A commit that met a full disk took nothing in. The store is opened again before it decides anything else, so that
    /// an entry that is handed over again at once is still before its action.
    async fn see_to(self, queued: Queued, entry: AuditEntry) {
        if queued.durable().await.is_err()
            && let Err(error) = self.record_audit(entry.clone()).await
        {
            untold(&entry, &error);
        }
    }

    async fn record_audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.store.put_audit(entry).await?.durable().await
    }
}

fn untold(entry: &AuditEntry, error: &StoreError) {
    let AuditEntry { id, action, target, .. } = entry;
    tracing::error!(%id, action, target, by = entry.by_name(), %error, "the audit list does not tell of this");
}
