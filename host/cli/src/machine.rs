//! The only place that reads the machine's clocks and randomness; everything else is handed a `Clock` and an `Entropy`.
//! It decides nothing with them.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jobmill_core::time::Sleep;
use jobmill_core::{Clock, Entropy, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

/// The longest single sleep: a wall clock that was set is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is a machine without one; the epoch is as good a guess as any.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, at: Timestamp) -> Sleep {
        let clock = *self;
        Box::pin(async move {
            loop {
                let remaining = at.since(clock.now());
                if remaining.is_zero() {
                    return;
                }
                tokio::time::sleep(remaining.min(LONGEST_SLEEP)).await;
            }
        })
    }

    fn sleep(&self, span: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(span))
    }
}

/// The machine's randomness, drawn in blocks so that an id does not cost a system call.
#[derive(Debug, Default)]
pub(crate) struct SystemEntropy {
    drawn: Mutex<Vec<u64>>,
}

/// Numbers drawn at once: 512 bytes, which the kernel hands out without interruption.
const BLOCK: usize = 64;

impl Entropy for SystemEntropy {
    fn next_u64(&self) -> u64 {
        let mut drawn = self.drawn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(number) = drawn.pop() {
            return number;
        }
        let mut bytes = [0; BLOCK * 8];
        getrandom::fill(&mut bytes).expect("the operating system has a source of randomness");
        drawn.extend(
            bytes.chunks_exact(8).map(|chunk| chunk.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))),
        );
        drawn.pop().unwrap_or_default()
    }
}

/// The current time, for commands that only show how long ago something was.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// Waits on the current thread, for commands that follow a run.
#[expect(clippy::disallowed_methods, reason = "a command that follows a run has nothing else to do")]
pub(crate) fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// Waits without holding the thread, for commands that watch an engine in their own process.
#[expect(clippy::disallowed_methods, reason = "whoever measures an engine keeps out of the engine's clock")]
pub(crate) async fn rest(span: Duration) {
    tokio::time::sleep(span).await;
}

/// A moment of the clock that nobody sets, for measuring.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
pub(crate) fn moment() -> Instant {
    Instant::now()
}

/// What this process has had of the processors since it began, all threads together.
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // The kernel answers with a time after zero and a whole number of nanoseconds.
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_repeat_within_or_across_blocks() {
        let entropy = SystemEntropy::default();
        let numbers: std::collections::BTreeSet<u64> = (0..BLOCK * 3).map(|_| entropy.next_u64()).collect();
        assert_eq!(numbers.len(), BLOCK * 3);
    }

    #[tokio::test]
    async fn a_time_that_has_passed_is_not_waited_for() {
        SystemClock.sleep_until(Timestamp::from_millis(1)).await;
    }
}
