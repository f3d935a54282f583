//! Why an attempt did not succeed, and what the engine shall do next.
//! It decides no delays: the job's backoff, kept by the engine, does.

use crate::{EmailError, OrderError, StepError};
use core::{fmt, time::Duration};

/// The wait when somebody asked for fewer calls and did not say for how long.
const RATE_LIMIT_DELAY: Duration = Duration::from_mins(1);

/// Why an attempt did not succeed. `?` makes one from every error of this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Try again on the job's own backoff. Counts as an attempt.
    #[error("{0}")]
    Transient(String),
    /// Will never succeed: the retries that are left are skipped and the run is dead.
    #[error("{0}")]
    Permanent(String),
    /// Try again, no sooner than the delay. Counts as an attempt.
    #[error("{reason} (try again after {delay:?})")]
    RetryAfter {
        /// How long to wait at least.
        delay: Duration,
        /// What happened.
        reason: String,
    },
    /// Not a failure: run again later. Does not count as an attempt.
    #[error("run again in {0:?}")]
    Snooze(Duration),
}

impl Failure {
    /// A failure that may be gone at the next attempt. Takes any error: `.map_err(Failure::transient)`.
    pub fn transient(reason: impl fmt::Display) -> Self {
        Self::Transient(reason.to_string())
    }

    /// A failure that no retry can heal. Takes any error: `.map_err(Failure::permanent)`.
    pub fn permanent(reason: impl fmt::Display) -> Self {
        Self::Permanent(reason.to_string())
    }

    /// A failure that wants a pause of at least `delay`.
    pub fn retry_after(delay: Duration, reason: impl fmt::Display) -> Self {
        Self::RetryAfter { delay, reason: reason.to_string() }
    }

    /// No failure: there is nothing to do yet.
    pub const fn snooze(delay: Duration) -> Self {
        Self::Snooze(delay)
    }
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotFound(_) | OrderError::InvalidTransition(_) | OrderError::Denied(_) => {
                Self::permanent(error)
            }
            OrderError::RateLimited(delay) => Self::retry_after(delay.unwrap_or(RATE_LIMIT_DELAY), error),
            OrderError::RevisionConflict(_) | OrderError::Unavailable(_) => Self::transient(error),
        }
    }
}

impl From<EmailError> for Failure {
    fn from(error: EmailError) -> Self {
        match error {
            EmailError::Invalid(_) | EmailError::Rejected(_) | EmailError::Denied(_) | EmailError::InDoubt(_) => {
                Self::permanent(error)
            }
            EmailError::RateLimited(delay) => Self::retry_after(delay.unwrap_or(RATE_LIMIT_DELAY), error),
            EmailError::Unavailable(_) => Self::transient(error),
        }
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        Self::permanent(error)
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        Self::permanent(format_args!("a template could not be rendered: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;
    use crate::{EmailError, OrderError, StepError};
    use core::time::Duration;

    #[test]
    fn what_a_retry_cannot_heal_is_permanent() {
        for failure in [
            Failure::from(OrderError::NotFound("1042".into())),
            OrderError::InvalidTransition("refunded to paid".into()).into(),
            OrderError::Denied("no".into()).into(),
            EmailError::Invalid("no".into()).into(),
            EmailError::Rejected("no".into()).into(),
            EmailError::Denied("no".into()).into(),
            EmailError::InDoubt("lost".into()).into(),
            StepError::AlreadyBegun("charge".into()).into(),
            StepError::NotBegun("charge".into()).into(),
            StepError::JournalFull("charge".into()).into(),
            askama::Error::Fmt.into(),
        ] {
            assert!(matches!(failure, Failure::Permanent(_)), "{failure:?}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_transient() {
        for failure in [
            Failure::from(OrderError::Unavailable("down".into())),
            OrderError::RevisionConflict(7).into(),
            EmailError::Unavailable("down".into()).into(),
        ] {
            assert!(matches!(failure, Failure::Transient(_)), "{failure:?}");
        }
    }

    #[test]
    fn a_rate_limit_waits_as_long_as_asked_and_else_a_minute() {
        let delay_of = |failure| match failure {
            Failure::RetryAfter { delay, .. } => delay,
            other => panic!("expected a retry-after, got {other:?}"),
        };
        assert_eq!(delay_of(OrderError::RateLimited(Some(Duration::from_secs(5))).into()), Duration::from_secs(5));
        assert_eq!(delay_of(OrderError::RateLimited(None).into()), Duration::from_mins(1));
        assert_eq!(delay_of(EmailError::RateLimited(None).into()), Duration::from_mins(1));
    }
}
