//! What is done to the store from time to time: final runs whose time is over are taken out, mails
//! out of the e-mail log, and entries out of the audit list.
//! It gives no space back on the disk; the store does that by itself, as less and less of its oldest records counts.

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::{Clock, Timestamp};
use jobmill_store::{Pruned, Retention, Store, StoreError};

use crate::patience::is_passing;

/// From one round to the next. Ages are days: a minute is soon enough, and a round that finds nothing costs nothing.
const PAUSE: Duration = Duration::from_mins(1);

/// Prunes, round after round.
pub(crate) struct Maintenance {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) retention: Retention,
}

impl Maintenance {
    /// Goes on until it is dropped, or until the store can't serve any more, which the engine's loop tells.
    pub(crate) async fn run(self) {
        if self.retention == Retention::default() {
            return;
        }
        loop {
            // Begun before the round: from start to start, however long one takes.
            let pause = self.clock.sleep(PAUSE);
            match prune(&*self.store, self.retention, self.clock.now()).await {
                Ok(Pruned { runs: 0, events: 0, mails: 0, deliveries: 0, audit: 0, .. }) => {}
                Ok(Pruned { runs, events, mails, deliveries, audit, .. }) => {
                    tracing::info!(runs, events, mails, deliveries, audit, "pruned what was kept long enough");
                }
                Err(error) if is_passing(&error) => tracing::debug!(%error, "not pruned this time"),
                Err(error) => {
                    tracing::error!(%error, "nothing is pruned until a restart");
                    return;
                }
            }
            pause.await;
        }
    }
}

/// Takes out everything whose time is over at `now`, a bounded number at a time: other work of the store goes between.
pub async fn prune(store: &dyn Store, retention: Retention, now: Timestamp) -> Result<Pruned, StoreError> {
    let mut all = Pruned::default();
    loop {
        let Pruned { runs, events, mails, deliveries, audit, more } = store.prune(retention, now).await?;
        all.runs += runs;
        all.events += events;
        all.mails += mails;
        all.deliveries += deliveries;
        all.audit += audit;
        if !more {
            return Ok(all);
        }
        tokio::task::yield_now().await;
    }
}
