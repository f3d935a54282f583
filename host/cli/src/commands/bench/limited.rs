//! Limits for the job under measurement that cost what limits cost and hold nothing up, and the absence of any.
//! It measures nothing.

use std::time::Duration;

use jobmill_core::JobId;
use jobmill_core::flow::{Concurrency, Pointer, RateLimit};
use jobmill_core::job::Switch;

use crate::config::Config;

/// The member of the payload that the concurrency limit goes by. No job knows it, and a schema has to let it be there.
pub(super) const MEMBER: &str = "bench";
/// Different values of that member.
pub(super) const KEYS: u64 = 10_000;

/// Runs at once of each value.
const AT_ONCE: u32 = 4;
/// Attempts in a second: more than any machine makes.
const RATE: RateLimit = RateLimit { limit: 1_000_000, period: Duration::from_secs(1), key: None };

/// Puts the job under a concurrency limit by key and under a rate limit.
pub(super) fn put(config: &mut Config, job: &JobId) {
    let key = Pointer::try_from(format!("/{MEMBER}")).ok();
    let overrides = config.jobs.entry(job.clone()).or_default();
    overrides.concurrency = Some(vec![Concurrency { limit: AT_ONCE, key }]);
    overrides.rate_limit = Some(Switch::On(RATE));
}

/// Leaves the job under no limit, whatever the component and the configuration say.
pub(super) fn lift(config: &mut Config, job: &JobId) {
    let overrides = config.jobs.entry(job.clone()).or_default();
    overrides.concurrency = Some(Vec::new());
    overrides.rate_limit = Some(Switch::Off);
}

/// What the limits are, for people.
pub(super) fn described() -> String {
    format!("{AT_ONCE} at once of each of {KEYS} keys, and {} attempts a second", RATE.limit)
}
