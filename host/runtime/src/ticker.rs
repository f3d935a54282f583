//! The clock by which guests take turns: it ticks while guests run and rests while none does.
//! It does not know what a tick does, and it ends no guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// From one tick to the next: how long a guest computes before it lets other tasks run.
pub(crate) const PERIOD: Duration = Duration::from_millis(10);

/// Ticks on a thread of its own, as long as it lives and somebody holds a [`Guest`].
pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Default)]
struct State {
    guests: AtomicUsize,
    /// Whether the thread rests or is about to: the next guest has to wake it.
    resting: AtomicBool,
    closed: AtomicBool,
}

/// A guest runs for as long as this is held.
pub(crate) struct Guest<'a>(&'a State);

impl Ticker {
    /// Calls `tick` every [`PERIOD`] while a guest runs.
    pub(crate) fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let state = Arc::<State>::default();
        let ticking = Arc::clone(&state);
        let thread = thread::Builder::new().name("epoch".to_owned()).spawn(move || ticking.keep_ticking(tick))?;
        Ok(Self { state, thread: thread.thread().clone() })
    }

    /// A guest begins to run.
    pub(crate) fn guest(&self) -> Guest<'_> {
        // One order for all: either the ticker sees this guest before it rests, or this sees that the ticker rests.
        self.state.guests.fetch_add(1, Ordering::SeqCst);
        if self.state.resting.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Guest(&self.state)
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl State {
    #[expect(clippy::disallowed_methods, reason = "turns are the machine's time, whatever the engine's clock says")]
    fn keep_ticking(&self, tick: impl Fn()) {
        while !self.closed.load(Ordering::SeqCst) {
            self.resting.store(true, Ordering::SeqCst);
            while self.guests.load(Ordering::SeqCst) == 0 && !self.closed.load(Ordering::SeqCst) {
                thread::park();
            }
            self.resting.store(false, Ordering::SeqCst);
            thread::sleep(PERIOD);
            tick();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};

    use super::*;

    /// Each tick waits until it is received.
    fn ticker() -> (Ticker, Receiver<()>) {
        let (sender, ticks) = sync_channel(0);
        let ticker = Ticker::start(move || sender.send(()).unwrap_or_default()).expect("a thread");
        (ticker, ticks)
    }

    #[test]
    fn it_ticks_while_a_guest_runs_and_rests_while_none_does() {
        let (ticker, ticks) = ticker();
        for _ in 0..3 {
            assert_eq!(ticks.recv_timeout(5 * PERIOD), Err(RecvTimeoutError::Timeout), "none runs");
            let first = ticker.guest();
            ticks.recv().expect("one runs");
            let second = ticker.guest();
            drop(first);
            (0..3).for_each(|_| ticks.recv().expect("one still runs"));
            drop(second);
            // It may have begun another one before.
            ticks.recv_timeout(5 * PERIOD).ok();
        }
    }

    #[test]
    fn it_ends_when_it_is_dropped_resting_or_not() {
        let (ticker, ticks) = ticker();
        drop(ticker);
        while ticks.recv().is_ok() {}
        let (ticker, ticks) = self::ticker();
        let guest = ticker.guest();
        ticks.recv().expect("one runs");
        drop(guest);
        drop(ticker);
        while ticks.recv().is_ok() {}
    }
}
