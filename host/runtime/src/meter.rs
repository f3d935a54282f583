//! What an attempt uses, measured while it runs: its time, its processor time, and the calls that reach beyond the sandbox.
//! It bounds nothing, `bounds` does; and it knows no capability: each says itself which of its calls are timed.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jobmill_core::bill::{Bill, HostCall};
use jobmill_core::{Clock, limits};

/// The watch of one attempt; a clone is the same watch, for what goes on beside the guest.
#[derive(Clone)]
pub(crate) struct Meter(Arc<Watch>);

struct Watch {
    clock: Arc<dyn Clock>,
    began: Duration,
    calls: Mutex<Vec<Call>>,
}

/// A host call, which has no end while it goes on.
struct Call {
    name: Cow<'static, str>,
    at: Duration,
    ended: Option<(Duration, bool)>,
}

/// A host call under way. One that is dropped unended lasts until the attempt ends, and has failed.
#[must_use = "a call that isn't ended has failed"]
pub(crate) struct Timing {
    meter: Meter,
    /// Where it is among the calls; none when the bill has no room for it.
    place: Option<usize>,
}

impl Meter {
    /// Begins now.
    pub(crate) fn start(clock: Arc<dyn Clock>) -> Self {
        let began = clock.elapsed();
        Self(Arc::new(Watch { clock, began, calls: Mutex::default() }))
    }

    /// A host call that reaches beyond the sandbox begins.
    pub(crate) fn begin(&self, name: impl Into<Cow<'static, str>>) -> Timing {
        let mut calls = self.calls();
        let place = (calls.len() < limits::BILLED_CALLS).then_some(calls.len());
        if place.is_some() {
            calls.push(Call { name: name.into(), at: self.time(), ended: None });
        }
        drop(calls);
        Timing { meter: self.clone(), place }
    }

    /// What the attempt used; it ends now.
    pub(crate) fn bill(&self, cpu: Duration, memory: usize, host_calls: u64) -> Bill {
        let wall = self.time();
        let calls = self.calls().drain(..).map(|call| call.billed(wall)).collect();
        Bill {
            wall_micros: micros(wall),
            cpu_micros: micros(cpu),
            memory: u64::try_from(memory).unwrap_or(u64::MAX),
            host_calls,
            calls,
        }
    }

    fn time(&self) -> Duration {
        self.0.clock.elapsed().saturating_sub(self.0.began)
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timing {
    /// It is over.
    pub(crate) fn end(self, failed: bool) {
        let now = self.meter.time();
        let mut calls = self.meter.calls();
        if let Some(call) = self.place.and_then(|place| calls.get_mut(place)) {
            call.ended = Some((now, failed));
        }
    }
}

impl Call {
    /// As it is told after the attempt, which ended at `end`.
    fn billed(self, end: Duration) -> HostCall {
        let (ended, failed) = self.ended.unwrap_or((end, true));
        let took_micros = micros(ended.saturating_sub(self.at));
        HostCall { name: self.name, at_micros: micros(self.at), took_micros, failed }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Does the call, and adds to `used` what it takes of processors. It may go on in another thread after each wait, so that only
/// what happens within a poll is its own.
pub(crate) async fn metered<T>(clock: &dyn Clock, used: &mut Duration, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    poll_fn(|context| {
        let before = clock.thread_cpu();
        let polled = call.as_mut().poll(context);
        *used += clock.thread_cpu().saturating_sub(before);
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::FutureExt;
    use jobmill_core::Timestamp;
    use jobmill_core::time::Sleep;

    use super::*;

    /// Each look at it is a millisecond later, for time and for the thread apart.
    #[derive(Default)]
    struct Counting {
        looks: AtomicU64,
        thread: AtomicU64,
    }

    impl Clock for Counting {
        fn now(&self) -> Timestamp {
            Timestamp::default()
        }

        fn sleep_until(&self, _: Timestamp) -> Sleep {
            Box::pin(std::future::pending())
        }

        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.looks.fetch_add(1, Ordering::Relaxed))
        }

        fn thread_cpu(&self) -> Duration {
            Duration::from_millis(self.thread.fetch_add(1, Ordering::Relaxed))
        }
    }

    fn call(name: &'static str, at: u64, took: u64, failed: bool) -> HostCall {
        HostCall { name: name.into(), at_micros: at * 1_000, took_micros: took * 1_000, failed }
    }

    #[test]
    fn calls_stand_in_the_order_in_which_they_began_and_an_unended_one_has_failed() {
        let meter = Meter::start(Arc::<Counting>::default());
        let first = meter.begin("fetch-order");
        let second = meter.begin("GET shop.example");
        let lost = meter.begin("send-email");
        second.end(true);
        first.end(false);
        drop(lost);
        let bill = meter.bill(Duration::from_micros(7), 65_536, 12);
        assert_eq!((bill.wall_micros, bill.cpu_micros, bill.memory, bill.host_calls), (6_000, 7, 65_536, 12));
        let calls =
            [call("fetch-order", 1, 4, false), call("GET shop.example", 2, 2, true), call("send-email", 3, 3, true)];
        assert_eq!(bill.calls, calls);
    }

    #[test]
    fn calls_beyond_the_bound_are_not_listed() {
        let meter = Meter::start(Arc::<Counting>::default());
        for _ in 0..limits::BILLED_CALLS * 2 {
            meter.begin("fetch-order").end(false);
        }
        let calls = meter.bill(Duration::ZERO, 0, 0).calls;
        assert_eq!(calls.len(), limits::BILLED_CALLS);
        assert!(calls.iter().all(|call| !call.failed));
    }

    #[test]
    fn what_happens_between_polls_is_not_the_calls_own() {
        let clock = Counting::default();
        let mut used = Duration::ZERO;
        let mut polls = 0;
        let call = poll_fn(|context| {
            polls += 1;
            if polls == 3 {
                return std::task::Poll::Ready("done");
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        });
        let mut metered = Box::pin(metered(&clock, &mut used, call));
        let mut told = None;
        while told.is_none() {
            clock.thread.fetch_add(1_000, Ordering::Relaxed);
            told = metered.as_mut().now_or_never();
        }
        drop(metered);
        assert_eq!((told, used), (Some("done"), Duration::from_millis(3)));
    }
}
