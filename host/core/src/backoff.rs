//! How the delay grows from one retry to the next.
//! It draws no randomness: the share for jitter is handed in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The delay before each retry. The default is 2^n × 1000 ms: 1 s, 2 s, 4 s, 8 s, 16 s, …, at most an hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Backoff {
    /// The same delay each time.
    Fixed {
        /// The delay.
        #[serde(with = "crate::time::as_text")]
        delay: Duration,
    },
    /// `min(max, base × factor^n)` before retry n, n = 0 for the first, then jitter.
    Exponential {
        /// The delay before the first retry.
        #[serde(with = "crate::time::as_text", default = "Backoff::default_base")]
        base: Duration,
        /// What each delay is multiplied with to give the next.
        #[serde(default = "Backoff::default_factor")]
        factor: f64,
        /// No delay is longer.
        #[serde(with = "crate::time::as_text", default = "Backoff::default_max")]
        max: Duration,
        /// The share of the delay that is drawn at random: 0.0 none, 1.0 all of it.
        #[serde(default)]
        jitter: f64,
    },
}

impl Default for Backoff {
    fn default() -> Self {
        Self::Exponential {
            base: Self::default_base(),
            factor: Self::default_factor(),
            max: Self::default_max(),
            jitter: 0.0,
        }
    }
}

impl Backoff {
    fn default_base() -> Duration {
        Duration::from_secs(1)
    }

    fn default_factor() -> f64 {
        2.0
    }

    fn default_max() -> Duration {
        Duration::from_hours(1)
    }

    /// The delay before retry `retry` (0 for the first). `share` in `[0, 1)` places the jitter.
    pub fn delay(&self, retry: u32, share: f64) -> Duration {
        match *self {
            Self::Fixed { delay } => delay,
            Self::Exponential { base, factor, max, jitter } => {
                let exponent = i32::try_from(retry).unwrap_or(i32::MAX);
                let grown = (base.as_secs_f64() * factor.powi(exponent)).min(max.as_secs_f64());
                let drawn = grown * (1.0 - jitter + jitter * share);
                Duration::try_from_secs_f64(drawn).unwrap_or(max)
            }
        }
    }

    /// Says which part of the setting can't be carried out.
    pub fn check(&self) -> Result<(), String> {
        let Self::Exponential { factor, jitter, base, max } = self else {
            return Ok(());
        };
        if !(factor.is_finite() && *factor >= 1.0) {
            return Err(format!("backoff factor {factor} must be a number of at least 1"));
        }
        if !(0.0..=1.0).contains(jitter) {
            return Err(format!("backoff jitter {jitter} must lie between 0 and 1"));
        }
        if base > max {
            return Err("backoff base must not exceed its max".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_doubles_from_one_second_to_an_hour() {
        let delays: Vec<u64> = (0..14).map(|retry| Backoff::default().delay(retry, 0.5).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]);
    }

    #[test]
    fn the_hundredth_retry_still_waits_an_hour() {
        assert_eq!(Backoff::default().delay(u32::MAX, 0.0), Duration::from_hours(1));
    }

    #[test]
    fn nonsense_settings_are_named() {
        let exponential = |factor, jitter| Backoff::Exponential {
            base: Duration::from_secs(1),
            factor,
            max: Duration::from_secs(10),
            jitter,
        };
        assert!(exponential(2.0, 0.0).check().is_ok());
        for broken in [exponential(0.5, 0.0), exponential(f64::NAN, 0.0), exponential(2.0, 1.5), exponential(2.0, -0.1)]
        {
            assert!(broken.check().is_err());
        }
    }

    proptest! {
        #[test]
        fn jitter_stays_between_its_share_and_the_whole(retry in 0u32..200, jitter in 0.0f64..=1.0, share in 0.0f64..1.0) {
            let base = Duration::from_secs(1);
            let max = Duration::from_mins(10);
            let backoff = Backoff::Exponential { base, factor: 2.0, max, jitter };
            let whole = Backoff::Exponential { base, factor: 2.0, max, jitter: 0.0 }.delay(retry, share);
            let delay = backoff.delay(retry, share);
            prop_assert!(delay <= whole);
            prop_assert!(delay.as_secs_f64() >= whole.as_secs_f64() * (1.0 - jitter) - 1e-6);
        }
    }
}
