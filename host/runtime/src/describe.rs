//! Asks a component what it is.
//! Nothing of it is trusted here: `Job::new` checks what the component says of itself.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use jobmill_core::time::format_duration;
use jobmill_core::{Backoff, Descriptor, Trigger, limits};
use jobmill_engine::LoadError;

use crate::bindings::since_0_1::JobPre;
use crate::bindings::since_0_1::exports::jobmill::job::lifecycle;
use crate::outcome::cause;
use crate::state::HostState;
use crate::ticker::Ticker;

/// Calls `describe` in an instance of its own, sealed off: no host calls, an empty WASI, a short deadline.
pub(crate) async fn describe(job: &JobPre<HostState>, ticker: &Ticker) -> Result<Descriptor, LoadError> {
    let _running = ticker.guest();
    let mut store = HostState::describing().into_store(job.engine());
    let call = async {
        let instance = job.instantiate_async(&mut store).await?;
        instance.jobmill_job_lifecycle().call_describe(&mut store).await
    };
    let refused = |reason: String| Err(LoadError(format!("describe: {reason}")));
    match tokio::time::timeout(limits::DESCRIBE_TIMEOUT, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(Ok(descriptor))) => Ok(descriptor.into()),
        Ok(Ok(Err(error))) => refused(cause(&error).1),
        Ok(Err(_)) => refused("the engine panicked; please report the component".to_owned()),
        Err(_) => refused(format!("took longer than {}", format_duration(limits::DESCRIBE_TIMEOUT))),
    }
}

impl From<lifecycle::Descriptor> for Descriptor {
    fn from(described: lifecycle::Descriptor) -> Self {
        let unsupported = unsupported(&described);
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
            payload_schema: described.payload_schema,
            payload_example: described.payload_example,
            unsupported,
        }
    }
}

/// Members that are described and not carried out yet. A promise that is not kept is worse than a refusal.
fn unsupported(described: &lifecycle::Descriptor) -> Vec<&'static str> {
    let cron = described.triggers.iter().any(|trigger| matches!(trigger, lifecycle::Trigger::Cron(_)));
    let members = [
        (cron, "a cron trigger"),
        (!described.concurrency.is_empty(), "concurrency"),
        (described.rate_limit.is_some(), "rate-limit"),
        (described.debounce.is_some(), "debounce"),
        (described.unique_key.is_some(), "unique-key"),
        (described.unique_for_ms.is_some(), "unique-for-ms"),
    ];
    members.into_iter().filter_map(|(asked_for, name)| asked_for.then_some(name)).collect()
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
