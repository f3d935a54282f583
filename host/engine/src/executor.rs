//! What the scheduler's decisions come to: a claim, a look at the record, one attempt from its claim to its end.
//! It decides nothing: the scheduler says when, `core` says what follows from an outcome.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use jobmill_core::job::regression::End;
use jobmill_core::journal::{EntryKind, Finished};
use jobmill_core::time::unit_interval;
use jobmill_core::{
    Clock, Entropy, FailureKind, JobId, Json, Outcome, RunHead, RunState, Timestamp, limits, transition,
};
use jobmill_store::{Claim, Claimed, Hold, LeaseReference, RecordError, Room, Store, StoreError};

use crate::announcements::{Announcer, Ending};
use crate::attempt::{AttemptContext, Remainder};
use crate::catalog::LoadedJob;
use crate::mail_allowance::{MailAllowance, MailBudgets};
use crate::patience::{is_passing, is_passing_for_record, patiently};
use crate::runner::Stop;
use crate::scheduler::Wake;
use tokio::sync::mpsc;

/// What attempts need of the engine.
pub struct Executor {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    budgets: Arc<MailBudgets>,
    /// Says which events tell of the end of a run.
    announcer: Option<Arc<dyn Announcer>>,
    /// Where ends go that tell of the code that ran; none where nobody looks at them.
    ends: Option<mpsc::Sender<CodeEnd>>,
}

/// What the end of an attempt says of the code that ran.
pub(crate) type CodeEnd = (Arc<LoadedJob>, End);

/// An attempt whose code has ended and whose end is not on record yet.
pub struct Ended {
    head: RunHead,
    payload: Json,
    loaded: Arc<LoadedJob>,
    outcome: Outcome,
    remainder: Remainder,
}

impl Ended {
    /// What keeps every run of the job back, as this attempt found at `now`.
    pub(crate) fn hold(&self, now: Timestamp) -> Option<(JobId, Hold)> {
        let Outcome::Held { delay, reason, whole_job: true } = &self.outcome else { return None };
        let hold = Hold { since: now, until: now.after((*delay).min(limits::DELAY_MAX)), reason: reason.clone() };
        Some((self.head.job.clone(), hold))
    }
}

impl Executor {
    /// An executor over a store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { store, clock, entropy, budgets: Arc::default(), announcer: None, ends: None }
    }

    /// The same, which publishes events that tell of the ends of runs.
    #[must_use]
    pub fn announcing(self, announcer: Arc<dyn Announcer>) -> Self {
        Self { announcer: Some(announcer), ..self }
    }

    /// The same, which tells how attempts end once that is on record.
    #[must_use]
    pub(crate) fn telling(self, ends: Option<mpsc::Sender<CodeEnd>>) -> Self {
        Self { ends, ..self }
    }

    /// Carries out `Decision::Claim`; answers the wake for it, or why the store can't go on.
    pub async fn claim(&self, room: Room) -> Result<Wake, StoreError> {
        let now = self.clock.now();
        let Claim { runs, left, expired } = match self.store.claim(room, now).await {
            Err(error) if is_passing(&error) => {
                tracing::warn!(%error, "runs can't be claimed just now");
                return Ok(Wake::ClaimFailed);
            }
            claimed => claimed?,
        };
        if expired {
            self.expire(now).await?;
        }
        // As of the claim: what became due since then was not looked at.
        let next_due = match self.store.next_due(now).await {
            // The poll finds what this would have told.
            Err(error) if is_passing(&error) => None,
            due => due?,
        };
        Ok(Wake::Claimed { runs, next_due, left })
    }

    /// Cancels what can't begin any more. What is not done for now is found by the next claim.
    async fn expire(&self, now: Timestamp) -> Result<(), StoreError> {
        loop {
            match self.store.expire(now).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) if is_passing(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Carries out `Decision::LookAt`; answers the wake for it, or why the store can't go on.
    pub async fn look_at(&self, leases: Vec<LeaseReference>) -> Result<Wake, StoreError> {
        let mut cancelled = Vec::new();
        for lease in leases {
            let record = patiently(&*self.clock, is_passing, || self.store.run(lease.run)).await?;
            if record.is_some_and(|record| is_to_be_cancelled(&record.run.head, lease)) {
                cancelled.push(lease);
            }
        }
        Ok(Wake::Looked(cancelled))
    }

    /// Runs the code of an attempt to its end.
    pub async fn execute(&self, claimed: Claimed, loaded: Arc<LoadedJob>, stop: Stop) -> Ended {
        let (head, payload) = (claimed.head.clone(), claimed.payload.clone());
        let context =
            AttemptContext::new(claimed, Arc::clone(&self.store), Arc::clone(&self.clock), Arc::clone(&self.entropy))
                .with_mails(MailAllowance::of(&loaded.job, &self.budgets))
                .in_sandbox(Arc::clone(&loaded.sandbox));
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
        Ended { head, payload, loaded, outcome, remainder }
    }

    /// Puts the end of an attempt on record; answers why the store could not, if it could not.
    pub async fn record(&self, ended: Ended) -> Result<(), StoreError> {
        let Ended { head, payload, loaded, outcome, remainder } = ended;
        let now = self.clock.now();
        let without_orders = remainder.without_orders();
        let end = self.ends.as_ref().and_then(|_| End::of(&outcome));
        let mut written = self.finish((&head, &payload), &loaded, outcome, remainder, now).await;
        if let (Err(RecordError::Order(error)), Some(rest)) = (&written, without_orders) {
            // What the attempt read of the order no longer holds: its changes are void, and it is tried again.
            let outcome = Outcome::failed(FailureKind::Transient, format!("order changed meanwhile: {error}"));
            written = self.finish((&head, &payload), &loaded, outcome, rest, now).await;
        }
        match written {
            Ok(after) => {
                tracing::debug!(run = %head.id, job = %head.job, attempt = head.attempt, state = %after.state, "attempt ended");
                if let (Some(ends), Some(end)) = (&self.ends, end) {
                    // Where too many wait, the next end of the kind tells the same.
                    let _ = ends.try_send((loaded, end));
                }
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

    async fn finish(
        &self,
        (head, payload): (&RunHead, &Json),
        loaded: &LoadedJob,
        outcome: Outcome,
        remainder: Remainder,
        now: Timestamp,
    ) -> Result<RunHead, RecordError> {
        let lease = LeaseReference { run: head.id, token: head.lease };
        let share = unit_interval(&*self.entropy);
        let mut entries = remainder.entries;
        let mut told = Vec::new();
        if let Ok(finished) = transition::finish(head, outcome, &loaded.job.backoff.value, now, share) {
            let finished =
                Finished { log: remainder.log, log_dropped: remainder.log_dropped, bill: remainder.bill, ..finished };
            if let Some(announcer) = &self.announcer {
                told = announcer.announce(Ending::of(head, payload, &finished), now);
            }
            entries.push(EntryKind::Finished(Box::new(finished)));
        }
        let finish = || self.store.finish(lease, entries.clone(), told.clone(), now);
        patiently(&*self.clock, is_passing_for_record, finish).await
    }
}

fn is_to_be_cancelled(head: &RunHead, lease: LeaseReference) -> bool {
    head.state == RunState::Running && head.lease == lease.token && head.cancel_requested
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
