//! Asks a component what it is.
//! Nothing of it is trusted here: `Job::new` checks what the component says of itself.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use jobmill_core::job::descriptor::{Concurrency, Debounce, RateLimit};
use jobmill_core::job::{Limit, SandboxLimits};
use jobmill_core::time::format_duration;
use jobmill_core::{Backoff, Descriptor, Trigger, limits};
use jobmill_engine::LoadError;

use crate::bindings::since_0_1::JobPre;
use crate::bindings::since_0_1::exports::jobmill::job::lifecycle;
use crate::outcome::cause;
use crate::state::HostState;
use crate::ticker::Ticker;

/// Calls `describe` in an instance of its own, sealed off: no host calls, an empty WASI, a short deadline. Whose limits hold is not
/// known before it has said which job it is, so it may have as much memory as any job.
pub(crate) async fn describe(
    job: &JobPre<HostState>,
    ticker: &Ticker,
    largest: &SandboxLimits,
) -> Result<Descriptor, LoadError> {
    let _running = ticker.guest();
    let large = [Limit::Memory, Limit::TableElements];
    let may = large.into_iter().fold(SandboxLimits::default(), |all, limit| all.with(limit, largest.get(limit)));
    let mut store = HostState::describing(may).into_store(job.engine());
    let call = async {
        let instance = job.instantiate_async(&mut store).await?;
        instance.jobmill_job_lifecycle().call_describe(&mut store).await
    };
    let refused = |reason: String| Err(LoadError(format!("describe: {reason}")));
    match tokio::time::timeout(limits::DESCRIBE_TIMEOUT, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(Ok(descriptor))) => Ok(descriptor.into()),
        Ok(Ok(Err(error))) => refused(cause(&error, &may).1),
        Ok(Err(_)) => refused("the engine panicked; please report the component".to_owned()),
        Err(_) => refused(format!("took longer than {}", format_duration(limits::DESCRIBE_TIMEOUT))),
    }
}

impl From<lifecycle::Descriptor> for Descriptor {
    fn from(described: lifecycle::Descriptor) -> Self {
        Self {
            id: described.id,
            title: described.title,
            description: described.description,
            triggers: described.triggers.into_iter().map(Into::into).collect(),
            queue: described.queue,
            priority: described.priority,
            retries: described.retries,
            backoff: described.backoff.map(Into::into),
            timeout: described.timeout_ms.map(Duration::from_millis),
            concurrency: described.concurrency.into_iter().map(Into::into).collect(),
            rate_limit: described.rate_limit.map(Into::into),
            debounce: described.debounce.map(Into::into),
            unique_key: described.unique_key,
            unique_for: described.unique_for_ms.map(Duration::from_millis),
            payload_schema: described.payload_schema,
            payload_example: described.payload_example,
        }
    }
}

impl From<lifecycle::Trigger> for Trigger {
    fn from(trigger: lifecycle::Trigger) -> Self {
        match trigger {
            lifecycle::Trigger::Event(name) => Self::Event(name),
            lifecycle::Trigger::Cron(expression) => Self::Cron(expression),
        }
    }
}

impl From<lifecycle::Backoff> for Backoff {
    fn from(backoff: lifecycle::Backoff) -> Self {
        match backoff {
            lifecycle::Backoff::Fixed(delay) => Self::Fixed { delay: Duration::from_millis(delay) },
            lifecycle::Backoff::Exponential(exponential) => Self::Exponential {
                base: Duration::from_millis(exponential.base_ms),
                factor: exponential.factor,
                max: Duration::from_millis(exponential.max_ms),
                jitter: exponential.jitter,
            },
        }
    }
}

impl From<lifecycle::Concurrency> for Concurrency {
    fn from(lifecycle::Concurrency { limit, key }: lifecycle::Concurrency) -> Self {
        Self { limit, key }
    }
}

impl From<lifecycle::RateLimit> for RateLimit {
    fn from(lifecycle::RateLimit { limit, period_ms, key }: lifecycle::RateLimit) -> Self {
        Self { limit, period: Duration::from_millis(period_ms), key }
    }
}

impl From<lifecycle::Debounce> for Debounce {
    fn from(lifecycle::Debounce { period_ms, max_wait_ms, key }: lifecycle::Debounce) -> Self {
        Self { period: Duration::from_millis(period_ms), max_wait: max_wait_ms.map(Duration::from_millis), key }
    }
}
