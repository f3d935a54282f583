//! What to do when the store says "not just now": wait, and ask again.
//! It gives nothing up; whoever loses patience drops the future.

use std::time::Duration;

use jobmill_core::Clock;
use jobmill_store::{RecordError, StoreError};

/// Between two attempts to be served by a store that can't serve just now.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Whether the store may serve again by itself, so that asking again is better than stopping.
pub(crate) fn is_passing(error: &StoreError) -> bool {
    match error {
        StoreError::Full(_) | StoreError::Unavailable(_) => true,
        StoreError::Crowded { .. } | StoreError::Failed(_) | StoreError::Damaged(_) | StoreError::Closed => false,
    }
}

/// The same, of a write under a lease.
pub(crate) fn is_passing_for_record(error: &RecordError) -> bool {
    matches!(error, RecordError::Store(error) if is_passing(error))
}

/// One pause.
pub(crate) async fn pause(clock: &dyn Clock) {
    clock.sleep(PAUSE).await;
}

/// Asks, and asks again with pauses while the refusal is a passing one.
pub(crate) async fn patiently<T, E, Asked: Future<Output = Result<T, E>>>(
    clock: &dyn Clock,
    is_passing: impl Fn(&E) -> bool,
    mut ask: impl FnMut() -> Asked,
) -> Result<T, E> {
    loop {
        match ask().await {
            Err(error) if is_passing(&error) => pause(clock).await,
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::FutureExt as _;
    use jobmill_core::Timestamp;
    use jobmill_core::time::Sleep;

    use super::*;

    /// A clock that every sleep moves to its end.
    #[derive(Default)]
    struct Leaping(AtomicU64);

    impl Clock for Leaping {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed))
        }

        fn sleep_until(&self, at: Timestamp) -> Sleep {
            self.0.fetch_max(at.as_millis(), Ordering::Relaxed);
            Box::pin(std::future::ready(()))
        }
    }

    /// Asks a store that gives these answers in order; answers the last of them, and how long that took.
    fn ask(answers: &[Result<u8, &'static str>]) -> (Result<u8, &'static str>, u64) {
        let clock = Leaping::default();
        let mut answers = answers.iter().copied();
        let asked = patiently(
            &clock,
            |error| *error == "not just now",
            || std::future::ready(answers.next().expect("it asked once too often")),
        );
        (asked.now_or_never().expect("the clock leaps"), clock.now().as_millis())
    }

    #[test]
    fn a_passing_refusal_is_waited_out() {
        assert_eq!(ask(&[Ok(7)]), (Ok(7), 0));
        assert_eq!(ask(&[Err("not just now"), Err("not just now"), Ok(7)]), (Ok(7), 2_000));
    }

    #[test]
    fn another_refusal_is_final() {
        assert_eq!(ask(&[Err("not just now"), Err("never")]), (Err("never"), 1_000));
    }
}
