//! Time that passes only when the world lets it, and can be set forward and back.
//! Its sleeps wake nobody: whoever sleeps is polled until they end.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use jobmill_core::time::Sleep;
use jobmill_core::{Clock, Timestamp};

/// 2026-03-01T09:00:00Z.
const BEGIN: u64 = 1_772_355_600_000;

/// Clones show the same time.
#[derive(Clone)]
pub(crate) struct SimulatedClock(Arc<Hands>);

struct Hands {
    /// Milliseconds since the epoch.
    wall: AtomicU64,
    /// The latest time that it ever showed.
    latest: AtomicU64,
    /// Milliseconds since the beginning; never set.
    steady: AtomicU64,
}

impl SimulatedClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Hands { wall: AtomicU64::new(BEGIN), latest: AtomicU64::new(BEGIN), steady: AtomicU64::new(0) }))
    }

    /// Time passes; the wall clock shows so many per mille of it.
    pub(crate) fn pass(&self, span: Duration, rate: u64) {
        let millis = millis(span);
        self.0.steady.fetch_add(millis, Ordering::Relaxed);
        self.set(self.now().after(Duration::from_millis(millis * rate / 1_000)));
    }

    /// The wall clock is set.
    pub(crate) fn set(&self, at: Timestamp) {
        self.0.wall.store(at.as_millis(), Ordering::Relaxed);
        self.0.latest.fetch_max(at.as_millis(), Ordering::Relaxed);
    }

    /// The latest time that it ever showed.
    pub(crate) fn latest(&self) -> Timestamp {
        Timestamp::from_millis(self.0.latest.load(Ordering::Relaxed))
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.wall.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, at: Timestamp) -> Sleep {
        let clock = self.clone();
        Box::pin(poll_fn(move |_| if clock.now() >= at { Poll::Ready(()) } else { Poll::Pending }))
    }

    fn sleep(&self, span: Duration) -> Sleep {
        let hands = Arc::clone(&self.0);
        let end = hands.steady.load(Ordering::Relaxed) + millis(span);
        Box::pin(poll_fn(
            move |_| {
                if hands.steady.load(Ordering::Relaxed) >= end { Poll::Ready(()) } else { Poll::Pending }
            },
        ))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("a span of a simulation")
}
