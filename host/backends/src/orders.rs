//! The orders that jobs read and change.
//! It writes nothing to the embedded book: a change is checked here and committed with the end of its attempt.

use std::sync::Arc;

use jobmill_core::Timestamp;
use jobmill_core::order::{Order, OrderError, OrderPatch};
use jobmill_store::Query;

use crate::faults::{FaultKind, Faults, INJECTED};

/// Where the orders are.
pub struct Orders {
    source: Source,
    faults: Arc<Faults>,
}

/// A source that is asked over a network would be another variant, and write at once.
enum Source {
    Embedded(Arc<dyn Query>),
}

impl Orders {
    /// The book in the store itself. `faults` are those of order updates.
    pub fn embedded(store: Arc<dyn Query>, faults: Arc<Faults>) -> Self {
        Self { source: Source::Embedded(store), faults }
    }

    /// The failures planned for order updates.
    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    /// The order as it is now, with `kept`: changes that the asking attempt has made and not yet committed.
    pub async fn fetch<'patch>(
        &self,
        id: &str,
        kept: impl IntoIterator<Item = &'patch OrderPatch>,
        now: Timestamp,
    ) -> Result<Order, OrderError> {
        let Source::Embedded(store) = &self.source;
        let order = store.order(id).await.map_err(|error| OrderError::Unavailable(error.to_string()))?;
        let order = order.ok_or_else(|| OrderError::NotFound(id.to_owned()))?;
        kept.into_iter().try_fold(order, |order, patch| order.patched(patch, now))
    }

    /// The order as it will be after `patch`, on top of `kept`. Nothing is written: whoever gets `Ok` keeps the patch
    /// for the end of the attempt, where the store checks it again.
    pub async fn update<'patch>(
        &self,
        id: &str,
        patch: &OrderPatch,
        kept: impl IntoIterator<Item = &'patch OrderPatch>,
        now: Timestamp,
    ) -> Result<Order, OrderError> {
        match self.faults.take() {
            Some(FaultKind::Transient) => return Err(OrderError::Unavailable(INJECTED.to_owned())),
            Some(FaultKind::Permanent) => return Err(OrderError::Denied(INJECTED.to_owned())),
            None => {}
        }
        self.fetch(id, kept, now).await?.patched(patch, now)
    }
}
