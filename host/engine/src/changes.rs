//! What changed in the store, as it is heard: in batches, with what was missed said so.
//! It decides nothing; the scheduler and whoever waits for a run do.

use std::sync::Arc;

use jobmill_store::{Change, Store, StoreError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// What is heard.
#[derive(Debug)]
pub(crate) enum Heard {
    /// These changes, oldest first.
    Changes(Arc<[Change]>),
    /// Some were missed: only looking tells.
    Missed,
}

/// Listens to a store from the moment it is made.
pub(crate) struct Listener(broadcast::Receiver<Arc<[Change]>>);

impl Listener {
    pub(crate) fn to(store: &dyn Store) -> Self {
        Self(store.changes())
    }

    /// What is heard next.
    pub(crate) async fn next(&mut self) -> Result<Heard, StoreError> {
        match self.0.recv().await {
            Ok(batch) => Ok(heard(batch)),
            Err(RecvError::Lagged(_)) => Ok(Heard::Missed),
            Err(RecvError::Closed) => Err(StoreError::Closed),
        }
    }

    /// What there is to hear by now.
    pub(crate) fn try_next(&mut self) -> Option<Heard> {
        match self.0.try_recv() {
            Ok(batch) => Some(heard(batch)),
            Err(TryRecvError::Lagged(_)) => Some(Heard::Missed),
            // That the store is gone is told to whoever waits for it.
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

/// An empty batch says that changes may have been missed.
fn heard(batch: Arc<[Change]>) -> Heard {
    if batch.is_empty() { Heard::Missed } else { Heard::Changes(batch) }
}
