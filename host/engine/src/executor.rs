//! One attempt from its claim to its recorded end.
//! It claims nothing and decides no transition: the loop claims, `core` decides.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use jobmill_core::journal::{EntryKind, Finished};
use jobmill_core::time::unit_interval;
use jobmill_core::{Clock, Entropy, FailureKind, Outcome, RunHead, RunId, transition};
use jobmill_store::{Claimed, LeaseReference, RecordError, Store, StoreError};

use crate::attempt::{AttemptContext, Remainder};
use crate::catalog::LoadedJob;
use crate::runner::Stop;

/// What attempts need of the engine.
pub(crate) struct Executor {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Executor {
    /// Runs the attempt and records its end; answers the run, or why the store could not record it.
    pub(crate) async fn attempt(
        self: Arc<Self>,
        claimed: Claimed,
        loaded: Arc<LoadedJob>,
        stop: Stop,
    ) -> Result<RunId, StoreError> {
        let head = claimed.head.clone();
        let lease = claimed.lease();
        let context =
            AttemptContext::new(claimed, Arc::clone(&self.store), Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let running = loaded.runner.run(context, loaded.job.timeout.value, stop);
        let (outcome, remainder) = match AssertUnwindSafe(running).catch_unwind().await {
            Ok((outcome, context)) => (outcome, context.into_remainder()),
            Err(panic) => {
                let text = panic_text(&*panic);
                tracing::error!(run = %head.id, job = %head.job, text, "the engine panicked in an attempt");
                let outcome = Outcome::failed(FailureKind::Host, format!("the engine panicked: {text}"));
                (outcome, Remainder::default())
            }
        };
        self.record(&head, lease, &loaded, outcome, remainder).await?;
        Ok(head.id)
    }

    async fn record(
        &self,
        head: &RunHead,
        lease: LeaseReference,
        loaded: &LoadedJob,
        outcome: Outcome,
        remainder: Remainder,
    ) -> Result<(), StoreError> {
        let entries = self.entries(head, loaded, outcome, &remainder, true);
        let mut written = self.store.finish(lease, entries, self.clock.now()).await;
        if let Err(RecordError::Order(error)) = written {
            // What the attempt read of the order no longer holds: its changes are void, and it is tried again.
            let outcome = Outcome::failed(FailureKind::Transient, format!("order changed meanwhile: {error}"));
            let entries = self.entries(head, loaded, outcome, &remainder, false);
            written = self.store.finish(lease, entries, self.clock.now()).await;
        }
        match written {
            Ok(after) => {
                tracing::debug!(run = %head.id, job = %head.job, attempt = head.attempt, state = %after.state, "attempt ended");
                Ok(())
            }
            // Whoever holds the run now finishes it.
            Err(RecordError::LeaseLost(run)) => {
                tracing::warn!(%run, "an attempt ended after its lease was lost; its outcome is void");
                Ok(())
            }
            Err(RecordError::Store(error)) => Err(error),
            Err(error @ (RecordError::Order(_) | RecordError::JournalFull)) => {
                Err(StoreError::Failed(format!("the end of {} was refused: {error}", head.id)))
            }
        }
    }

    fn entries(
        &self,
        head: &RunHead,
        loaded: &LoadedJob,
        outcome: Outcome,
        remainder: &Remainder,
        with_orders: bool,
    ) -> Vec<EntryKind> {
        let kept = remainder.entries.iter();
        let mut entries: Vec<EntryKind> =
            kept.filter(|kind| with_orders || !matches!(kind, EntryKind::OrderUpdated { .. })).cloned().collect();
        let share = unit_interval(&*self.entropy);
        if let Ok(finished) = transition::finish(head, outcome, &loaded.job.backoff.value, self.clock.now(), share) {
            let log = remainder.log.clone();
            let finished = Finished { log, log_dropped: remainder.log_dropped, ..finished };
            entries.push(EntryKind::Finished(Box::new(finished)));
        }
        entries
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
