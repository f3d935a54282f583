//! The audit list as a store keeps it: which entries a list shows, and when one that was handed over is durable.
//! It knows no action by name; whoever hands entries over does.

use jobmill_core::audit::AuditEntry;
use tokio::sync::oneshot;

use crate::store::StoreError;

/// Which entries. Every member that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The word for what was done.
    pub action: Option<String>,
    /// What it was done to.
    pub target: Option<String>,
    /// Who did it: the id or the name of a token, or `audit::WITHOUT_TOKEN`.
    pub by: Option<String>,
}

impl AuditFilter {
    /// Whether an entry is one of these.
    pub(crate) fn names(&self, entry: &AuditEntry) -> bool {
        let is_by = |by: &String| by == entry.by_name() || entry.by.as_ref().is_some_and(|it| it.id.to_string() == *by);
        self.action.as_ref().is_none_or(|action| *action == entry.action)
            && self.target.as_ref().is_none_or(|target| entry.target.as_ref() == Some(target))
            && self.by.as_ref().is_none_or(is_by)
    }
}

/// An entry that the store has in its queue: whatever is asked of the store from now on is decided after it.
#[derive(Debug)]
#[must_use = "it is not durable yet"]
pub struct Queued(oneshot::Receiver<Result<(), StoreError>>);

impl Queued {
    /// An entry whose end comes by this.
    pub(crate) fn new(answer: oneshot::Receiver<Result<(), StoreError>>) -> Self {
        Self(answer)
    }

    /// Waits until it is durable.
    pub async fn durable(self) -> Result<(), StoreError> {
        self.0.await.map_err(|_| StoreError::Closed)?
    }
}
