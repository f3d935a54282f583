//! The only place that reads the machine's clocks and randomness; everything else is handed a `Clock` and an `Entropy`.
//! It decides nothing with them.

use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jobmill_core::time::Sleep;
use jobmill_core::{Clock, Entropy, Timestamp};
use rustix::time::{ClockId, Timespec, clock_gettime};

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

    fn elapsed(&self) -> Duration {
        static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
        FIRST.elapsed()
    }

    fn thread_cpu(&self) -> Duration {
        span(clock_gettime(ClockId::ThreadCPUTime))
    }
}

/// The machine's randomness, drawn in blocks so that an id does not cost a system call.
#[derive(Debug, Default)]
pub(crate) struct SystemEntropy {
    drawn: Mutex<Vec<u64>>,
}

/// Numbers drawn at once: 512 bytes, which the kernel hands out without interruption.
const BLOCK: usize = 64;

/// A key that nobody can guess.
pub(crate) fn fresh_key() -> [u8; 32] {
    let mut key = [0; 32];
    fill(&mut key);
    key
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system has a source of randomness");
}

impl Entropy for SystemEntropy {
    fn next_u64(&self) -> u64 {
        let mut drawn = self.drawn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(number) = drawn.pop() {
            return number;
        }
        let mut bytes = [0; BLOCK * 8];
        fill(&mut bytes);
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
    span(clock_gettime(ClockId::ProcessCPUTime))
}

/// The kernel answers with a time after zero and a whole number of nanoseconds.
fn span(time: Timespec) -> Duration {
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

    #[test]
    fn a_thread_that_computes_uses_a_processor() {
        let (before, since) = (SystemClock.thread_cpu(), SystemClock.elapsed());
        let mut number = 1_u64;
        while SystemClock.thread_cpu().saturating_sub(before) < Duration::from_millis(2) {
            number = std::hint::black_box(number.wrapping_mul(31));
        }
        // Both clocks tick apart, so the one may be a little behind the other.
        assert!(SystemClock.elapsed().saturating_sub(since) >= Duration::from_millis(1));
    }

    #[tokio::test]
    async fn a_time_that_has_passed_is_not_waited_for() {
        SystemClock.sleep_until(Timestamp::from_millis(1)).await;
    }
}
