//! A clock that is set by hand and chance that repeats.
//! Nothing here passes time by itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jobmill_core::time::Sleep;
use jobmill_core::{Clock, Entropy, Timestamp};
use tokio::sync::watch;

/// Stands still until it is moved.
pub(crate) struct HandClock {
    now: watch::Sender<Timestamp>,
    awaited: watch::Sender<BTreeSet<Timestamp>>,
}

impl HandClock {
    pub(crate) fn at(now: &str) -> Self {
        Self { now: watch::Sender::new(now.parse().expect("a time")), awaited: watch::Sender::default() }
    }

    /// Moves the time on; whoever sleeps until then wakes.
    pub(crate) fn advance(&self, span: Duration) {
        self.now.send_modify(|now| *now = now.after(span));
    }

    /// Ends when somebody sleeps until `span` from now.
    pub(crate) async fn is_awaited_in(&self, span: Duration) {
        let at = self.now().after(span);
        let mut awaited = self.awaited.subscribe();
        awaited.wait_for(|awaited| awaited.contains(&at)).await.expect("the clock is there");
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> Sleep {
        self.awaited.send_modify(|awaited| {
            awaited.insert(at);
        });
        let mut now = self.now.subscribe();
        Box::pin(async move {
            if now.wait_for(|now| *now >= at).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Counts instead of drawing.
#[derive(Default)]
pub(crate) struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
