//! One attempt: a fresh instance, one call, and whatever comes first of its end, its deadline and a stop.
//! It records nothing; what the attempt leaves goes back with its context.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use jobmill_core::job::Limit;
use jobmill_core::time::format_duration;
use jobmill_core::{Clock, EventId, FailureKind, Outcome};
use jobmill_engine::{AttemptContext, Runner, Stop};
use wasmtime::Store;

use crate::bindings::since_0_1::JobPre;
use crate::bindings::since_0_1::exports::jobmill::job::lifecycle::Context;
use crate::bindings::since_0_1::jobmill::job::types::Failure;
use crate::busy::BusyThreads;
use crate::meter::metered;
use crate::outcome::{of_error, of_panic, of_return, with_denial};
use crate::runtime::World;
use crate::state::HostState;
use crate::ticker::Ticker;

/// Runs attempts of one component.
pub(crate) struct JobRunner {
    guest: Arc<Guest>,
    busy: Arc<BusyThreads>,
}

/// A component, and what all its attempts share.
struct Guest {
    job: JobPre<HostState>,
    world: Arc<World>,
    ticker: Arc<Ticker>,
}

impl JobRunner {
    pub(crate) fn new(job: JobPre<HostState>, world: Arc<World>, ticker: Arc<Ticker>, busy: Arc<BusyThreads>) -> Self {
        Self { guest: Arc::new(Guest { job, world, ticker }), busy }
    }
}

#[async_trait]
impl Runner for JobRunner {
    async fn run(&self, context: AttemptContext, timeout: Duration, stop: Stop) -> (Outcome, AttemptContext) {
        let (guest, clock) = (Arc::clone(&self.guest), Arc::clone(context.clock()));
        self.busy.run(&*clock, Box::pin(async move { guest.run(context, timeout, stop).await })).await
    }
}

impl Guest {
    async fn call(
        &self,
        store: &mut Store<HostState>,
        context: &Context,
        payload: &String,
    ) -> wasmtime::Result<Result<Option<String>, Failure>> {
        let instance = self.job.instantiate_async(&mut *store).await?;
        instance.jobmill_job_lifecycle().call_run(store, context, payload).await
    }

    async fn run(&self, context: AttemptContext, timeout: Duration, stop: Stop) -> (Outcome, AttemptContext) {
        let _running = self.ticker.guest();
        let clock = Arc::clone(context.clock());
        let limits = context.sandbox().limits;
        let (presented, payload) = (present(&context), context.payload().as_str().to_owned());
        // The store outlives the call, so the context can be taken back out of it however the call ends.
        let mut store = HostState::running(context, Arc::clone(&self.world)).into_store(self.job.engine());
        let mut cpu = Duration::ZERO;
        let call = AssertUnwindSafe(self.call(&mut store, &presented, &payload)).catch_unwind();
        let call = metered(&*clock, &mut cpu, call);
        let ended = tokio::select! {
            // Most calls end the first time they are polled; for those, nothing is armed that could end them.
            biased;
            ended = call => match ended {
                Ok(returned) => returned.map(|returned| of_return(returned, limits.size(Limit::Output))),
                Err(panic) => Ok(of_panic(&*panic)),
            },
            outcome = stopped(&stop, &*clock, timeout) => {
                Ok(outcome.unwrap_or_else(|| {
                    let message = format!("took longer than {}", format_duration(timeout));
                    Outcome::failed(FailureKind::Timeout, message)
                }))
            }
        };
        let Some((context, last_words)) = store.into_data().into_context(cpu) else {
            unreachable!("the store was made for an attempt");
        };
        let outcome = ended.unwrap_or_else(|error| of_error(&error, last_words.printed.as_deref(), &limits));
        (with_denial(outcome, last_words.denied.as_ref()), context)
    }
}

/// Ends when the attempt has to: with the outcome of a stop, or without one at the deadline.
async fn stopped(stop: &Stop, clock: &dyn Clock, timeout: Duration) -> Option<Outcome> {
    tokio::select! {
        biased;
        () = stop.cancelled.cancelled() => Some(Outcome::Cancelled),
        () = stop.interrupted.cancelled() => Some(Outcome::Interrupted),
        () = clock.sleep(timeout) => None,
    }
}

/// The run as the guest sees it.
fn present(context: &AttemptContext) -> Context {
    let run = context.run();
    Context {
        job_id: run.job.to_string(),
        run_id: run.id.to_string(),
        event_id: context.event_id().map(EventId::to_string),
        attempt: run.attempt,
        max_attempts: run.max_attempts,
        enqueued_at: run.enqueued_at.as_millis(),
        scheduled_at: run.scheduled_at.as_millis(),
    }
}
