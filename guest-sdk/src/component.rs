//! The component's side of the world `jobmill:job/job`: generated bindings, and the export that every job shares.
//! It holds no job: `#[job]` exports [`Component`] for the type it made.

use crate::{Backoff, Concurrency, Context, Debounce, Descriptor, Failure, Job, RateLimit, Timestamp, Trigger};
use bindings::exports::jobmill::job::lifecycle;
use bindings::jobmill::job::types;
use core::{marker::PhantomData, time::Duration};

/// Generated from the WIT package; what a job's crate sees of it is the `export!` macro.
#[allow(missing_docs, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "job",
        pub_export_macro: true,
        default_bindings_module: "jobmill_sdk::macro_support::bindings",
    });
}

/// The exported lifecycle of the job `J`.
pub struct Component<J>(PhantomData<J>);

impl<J: Job> lifecycle::Guest for Component<J> {
    fn describe() -> lifecycle::Descriptor {
        J::descriptor().into()
    }

    fn run(context: lifecycle::Context, payload: String) -> Result<Option<String>, types::Failure> {
        J::perform(&context.into(), &payload).map_err(Into::into)
    }
}

/// The milliseconds of a span, at most as many as the interface can carry.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<lifecycle::Context> for Context {
    fn from(context: lifecycle::Context) -> Self {
        Self {
            job_id: context.job_id,
            run_id: context.run_id,
            event_id: context.event_id,
            attempt: context.attempt,
            max_attempts: context.max_attempts,
            enqueued_at: Timestamp::from_millis(context.enqueued_at),
            scheduled_at: Timestamp::from_millis(context.scheduled_at),
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Transient(reason) => Self::Transient(reason),
            Failure::Permanent(reason) => Self::Permanent(reason),
            Failure::RetryAfter { delay, reason } => {
                Self::RetryAfter(types::RetryAfter { delay_ms: millis(delay), reason })
            }
            Failure::Snooze(delay) => Self::Snooze(millis(delay)),
        }
    }
}

impl From<Descriptor> for lifecycle::Descriptor {
    fn from(descriptor: Descriptor) -> Self {
        Self {
            id: descriptor.id,
            title: descriptor.title,
            description: descriptor.description,
            triggers: descriptor.triggers.into_iter().map(Into::into).collect(),
            queue: descriptor.queue,
            priority: descriptor.priority,
            retries: descriptor.retries,
            backoff: descriptor.backoff.map(Into::into),
            timeout_ms: descriptor.timeout.map(millis),
            concurrency: descriptor.concurrency.into_iter().map(Into::into).collect(),
            rate_limit: descriptor.rate_limit.map(Into::into),
            debounce: descriptor.debounce.map(Into::into),
            unique_key: descriptor.unique_key,
            unique_for_ms: descriptor.unique_for.map(millis),
            payload_schema: descriptor.payload_schema.map(|schema| schema.to_string()),
            payload_example: descriptor.payload_example,
        }
    }
}

impl From<Trigger> for lifecycle::Trigger {
    fn from(trigger: Trigger) -> Self {
        match trigger {
            Trigger::Event(name) => Self::Event(name),
            Trigger::Cron(expression) => Self::Cron(expression),
        }
    }
}

impl From<Backoff> for lifecycle::Backoff {
    fn from(backoff: Backoff) -> Self {
        match backoff {
            Backoff::Fixed(delay) => Self::Fixed(millis(delay)),
            Backoff::Exponential { base, factor, max, jitter } => {
                Self::Exponential(lifecycle::Exponential { base_ms: millis(base), factor, max_ms: millis(max), jitter })
            }
        }
    }
}

impl From<Concurrency> for lifecycle::Concurrency {
    fn from(Concurrency { limit, key }: Concurrency) -> Self {
        Self { limit, key }
    }
}

impl From<RateLimit> for lifecycle::RateLimit {
    fn from(RateLimit { limit, period, key }: RateLimit) -> Self {
        Self { limit, period_ms: millis(period), key }
    }
}

impl From<Debounce> for lifecycle::Debounce {
    fn from(Debounce { period, max_wait, key }: Debounce) -> Self {
        Self { period_ms: millis(period), max_wait_ms: max_wait.map(millis), key }
    }
}
