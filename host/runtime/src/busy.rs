//! Threads for guests that compute for long. Everything else of the engine shares its threads in short turns; a guest that takes
//! whole ticks would make all of it wait, the more the more such guests there are.
//! It interrupts nobody, `ticker` does; and how long a guest may go on is not known here.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use jobmill_core::Clock;
use tokio::runtime::{Builder, Runtime};

/// A turn from which on a guest is busy: a thousand times what others take.
const LONG: Duration = Duration::from_millis(5);
/// How much these threads stand back where there are not processors enough for all.
const NICENESS: i32 = 5;

/// Work that can go on in another thread.
type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The threads, which are started when they are first needed.
#[derive(Default)]
pub(crate) struct BusyThreads(OnceLock<Option<Runtime>>);

impl BusyThreads {
    /// Does the work where it is asked for, and from its first long turn on in one of these threads.
    pub(crate) async fn run<T: Send + 'static>(&self, clock: &dyn Clock, mut work: Work<T>) -> T {
        let done = poll_fn(|context| {
            let before = clock.elapsed();
            match work.as_mut().poll(context) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending if clock.elapsed().saturating_sub(before) >= LONG => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        if let Some(value) = done.await {
            return value;
        }
        self.apart(work).await
    }

    /// Does the work in these threads from its first turn on.
    pub(crate) async fn apart<T: Send + 'static>(&self, work: Work<T>) -> T {
        let Some(threads) = self.0.get_or_init(start) else { return work.await };
        match threads.spawn(work).await {
            Ok(value) => value,
            Err(ended) if ended.is_panic() => resume_unwind(ended.into_panic()),
            // The engine is gone, and whoever waits here goes with it.
            Err(_) => std::future::pending().await,
        }
    }
}

fn start() -> Option<Runtime> {
    let started = Builder::new_multi_thread()
        .enable_all()
        .thread_name("busy-guests")
        // Deadlines are looked at after each turn: here turns are as long as ticks.
        .event_interval(1)
        .on_thread_start(|| {
            // Who may not stand back shares evenly.
            let _ = rustix::process::setpriority_process(None, NICENESS);
        })
        .build();
    started
        .inspect_err(|error| tracing::warn!(%error, "guests that compute for long make others wait: no threads"))
        .ok()
}

impl Drop for BusyThreads {
    fn drop(&mut self) {
        // The last who holds it may be a task, which must not wait for threads.
        if let Some(Some(threads)) = self.0.take() {
            threads.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread::{self, ThreadId};

    use jobmill_core::Timestamp;
    use jobmill_core::time::Sleep;

    use super::*;

    /// A clock that the work itself moves on.
    #[derive(Default)]
    struct Moved(Mutex<Duration>);

    impl Clock for Moved {
        fn now(&self) -> Timestamp {
            Timestamp::default()
        }

        fn sleep_until(&self, _: Timestamp) -> Sleep {
            Box::pin(std::future::pending())
        }

        fn elapsed(&self) -> Duration {
            *self.0.lock().expect("not poisoned")
        }
    }

    /// Takes these turns; answers the threads that they were taken in.
    fn turns(clock: &std::sync::Arc<Moved>, turns: &'static [u64]) -> Work<Vec<ThreadId>> {
        let clock = std::sync::Arc::clone(clock);
        Box::pin(async move {
            let mut threads = Vec::new();
            for millis in turns {
                *clock.0.lock().expect("not poisoned") += Duration::from_millis(*millis);
                threads.push(thread::current().id());
                tokio::task::yield_now().await;
            }
            threads
        })
    }

    #[tokio::test]
    async fn work_of_short_turns_stays_where_it_is() {
        let (busy, clock) = (BusyThreads::default(), std::sync::Arc::<Moved>::default());
        let threads = busy.run(&*clock, turns(&clock, &[1, 2, 3, 4, 4, 4])).await;
        assert_eq!(threads, [thread::current().id(); 6]);
        assert!(busy.0.get().is_none(), "no threads are started for that");
    }

    #[tokio::test]
    async fn work_goes_on_elsewhere_after_a_long_turn() {
        let (busy, clock) = (BusyThreads::default(), std::sync::Arc::<Moved>::default());
        let threads = busy.run(&*clock, turns(&clock, &[1, 9, 1, 1])).await;
        let here = thread::current().id();
        assert_eq!(threads.iter().map(|thread| *thread == here).collect::<Vec<_>>(), [true, true, false, false]);
    }

    #[tokio::test]
    #[should_panic(expected = "a bug of the host")]
    async fn a_panic_there_is_one_here() {
        let (busy, clock) = (BusyThreads::default(), std::sync::Arc::<Moved>::default());
        let first = turns(&clock, &[9]);
        busy.run(
            &*clock,
            Box::pin(async move {
                first.await;
                panic!("a bug of the host");
            }),
        )
        .await;
    }
}
