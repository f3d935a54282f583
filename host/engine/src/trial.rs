//! A trial: a run goes once on the version of its job that serves now, with its effects recorded and not carried out.
//! Nothing is stored, and the run stays as it is. What a capability does in a trial is the runtime's part.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use jobmill_core::journal::{
    EffectKey, Entry, EntryKind, Finished, Memory, RememberedChange, RememberedRequest, Started,
};
use jobmill_core::mail::{Mail, MailStatus};
use jobmill_core::order::{Order, OrderPatch, OrderStatus};
use jobmill_core::time::unit_interval;
use jobmill_core::{FailureKind, JobId, Json, Outcome, RunHead, RunId, Timestamp, Version, limits, transition};
use jobmill_store::{Claimed, RecordError, RunRecord, StoreError};
use tokio_util::sync::CancellationToken;

use crate::attempt::{AttemptContext, Remainder};
use crate::catalog::LoadedJob;
use crate::executor::panic_text;
use crate::handle::Handle;
use crate::mail_allowance::MailAllowance;
use crate::runner::Stop;

/// What a run would do and come to, if it were put back now.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: JobId,
    /// The component that the trial ran.
    pub version: Version,
    /// The component of the run's latest attempt; none before the first.
    pub earlier_version: Option<Version>,
    /// Which attempt it would be.
    pub attempt: u32,
    /// Attempts that the run would have.
    pub max_attempts: u32,
    /// When the trial began.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// How it ended, what would follow, and its log.
    pub finished: Finished,
    /// What it would do, in order.
    pub effects: Vec<TrialEffect>,
    /// What earlier attempts have done and it would not do again, in order.
    pub done_before: Vec<DoneBefore>,
    /// Steps that it completed, in order.
    pub steps: Vec<(String, Json)>,
    /// Steps that earlier attempts have completed.
    pub steps_before: Vec<String>,
}

/// An effect that a trial recorded in place of carrying it out.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialEffect {
    /// A mail.
    Mail {
        /// The mail, whole.
        mail: Arc<Mail>,
        /// Why it would not be sent after all: its address gets no mail.
        suppressed: Option<String>,
    },
    /// A change of an order.
    Order {
        /// The order's id.
        order: String,
        /// What would be changed.
        patch: OrderPatch,
        /// Where the order stands before.
        before: OrderStatus,
        /// Where it would stand then.
        after: OrderStatus,
    },
    /// An HTTP request that changes something. In the trial it is answered 200, with nothing in it.
    Http {
        /// Its method.
        method: String,
        /// Where it would go.
        url: String,
        /// Bytes of its body.
        bytes: usize,
    },
}

/// An effect that is done, so that no attempt does it again.
#[derive(Debug, Clone, PartialEq)]
pub enum DoneBefore {
    /// A mail.
    Mail {
        /// The mail, whole.
        mail: Arc<Mail>,
        /// Where it stands.
        status: MailStatus,
    },
    /// A change of an order.
    Order {
        /// The order's id.
        order: String,
        /// What was changed.
        patch: OrderPatch,
    },
    /// An HTTP request.
    Http {
        /// Its method.
        method: String,
        /// Where it went.
        url: String,
        /// The status of the answer.
        status: u16,
    },
}

/// Why a run was not tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrialError {
    /// There is no such run.
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    /// Nothing serves its job.
    #[error("no component of {0} is loaded, so there is nothing to try the run with; put one into the hopper")]
    NotLoaded(JobId),
    /// As many trials are under way as may be.
    #[error("{} trials are under way, which is as many as may be at once; try again in a moment", limits::TRIALS)]
    Busy,
    /// The engine stops.
    #[error("the engine is stopping, which ended the trial")]
    Stopping,
    /// The run can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Handle {
    /// Runs a run once on what serves its job now, as its next attempt would, with its effects recorded and not carried out.
    pub async fn trial(&self, run: RunId) -> Result<Trial, TrialError> {
        // Before the run is read: what waits here must not hold journals.
        let _permit = self.trials.try_acquire().map_err(|_| TrialError::Busy)?;
        let RunRecord { run: record, journal } = self.store.run(run).await?.ok_or(TrialError::UnknownRun(run))?;
        let catalog = self.catalog.load();
        let job = &record.head.job;
        let loaded = Arc::clone(catalog.serving(job).ok_or_else(|| TrialError::NotLoaded(job.clone()))?);
        drop(catalog);
        let started_at = self.clock.now();
        let head = next_attempt(&record.head, &loaded, started_at);
        let memory = Memory::of(&journal);
        let done_before = done_before(&journal, &memory);
        let claimed = Claimed { head: head.clone(), payload: record.payload, journal };
        let (outcome, remainder, effects) = self.try_out(claimed, &loaded).await;
        if outcome == Outcome::Interrupted {
            return Err(TrialError::Stopping);
        }
        let now = self.clock.now();
        let share = unit_interval(&*self.entropy);
        let finished = transition::finish(&head, outcome, &loaded.job.backoff.value, now, share)
            .map_err(|refused| StoreError::Failed(format!("a trial could not end: {refused}")))?;
        Ok(Trial {
            run,
            job: head.job,
            version: loaded.version,
            earlier_version: record.head.version,
            attempt: head.attempt,
            max_attempts: head.max_attempts,
            started_at,
            took: now.since(started_at),
            finished: Finished {
                log: remainder.log,
                log_dropped: remainder.log_dropped,
                bill: remainder.bill,
                ..finished
            },
            effects,
            done_before,
            steps: remainder.entries.into_iter().filter_map(completed_step).collect(),
            steps_before: memory.steps.into_keys().collect(),
        })
    }

    /// The attempt of a trial, to its end.
    async fn try_out(&self, claimed: Claimed, loaded: &LoadedJob) -> (Outcome, Remainder, Vec<TrialEffect>) {
        let run = claimed.head.id;
        let (store, clock, entropy) = (Arc::clone(&self.store), Arc::clone(&self.clock), Arc::clone(&self.entropy));
        // What it would send takes nothing from what the job may send.
        let allowance = MailAllowance::of(&loaded.job, &Arc::default());
        let context = AttemptContext::new(claimed, store, clock, entropy)
            .with_mails(allowance)
            .in_sandbox(Arc::clone(&loaded.sandbox))
            .in_trial();
        let stop = Stop { cancelled: CancellationToken::new(), interrupted: self.shutdown.clone() };
        let running = loaded.runner.run(context, loaded.job.timeout.value, stop);
        match AssertUnwindSafe(running).catch_unwind().await {
            Ok((outcome, mut context)) => {
                let effects = context.trial.take().unwrap_or_default();
                (outcome, context.into_remainder(), effects)
            }
            Err(panic) => {
                let text = panic_text(&*panic);
                tracing::error!(%run, job = %loaded.job.id, text, "the engine panicked in a trial");
                let outcome = Outcome::failed(FailureKind::Host, format!("the engine panicked: {text}"));
                (outcome, Remainder::default(), Vec::new())
            }
        }
    }
}

impl AttemptContext {
    /// The same as a trial: its entries stay here, and nothing is written.
    #[must_use]
    pub fn in_trial(mut self) -> Self {
        self.trial = Some(Vec::new());
        self
    }

    /// Whether effects are to be rehearsed and not carried out.
    pub fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// A mail that a trial would have sent, or not sent, since its address gets no mail.
    pub fn rehearse_mail(
        &mut self,
        key: EffectKey,
        mail: Arc<Mail>,
        suppressed: Option<String>,
    ) -> Result<(), RecordError> {
        let status = if suppressed.is_some() { MailStatus::Suppressed } else { MailStatus::Captured };
        self.keep_mail(key, Arc::clone(&mail), status, suppressed.clone())?;
        self.rehearsed(TrialEffect::Mail { mail, suppressed });
        Ok(())
    }

    /// A change that a trial would have made of an order. Reads show it from here on, wherever the order is.
    pub fn rehearse_order(
        &mut self,
        key: EffectKey,
        patch: OrderPatch,
        before: &Order,
        after: &Order,
    ) -> Result<(), RecordError> {
        let order = after.id.clone();
        self.keep_order_update(key, order.clone(), patch.clone())?;
        self.rehearsed(TrialEffect::Order { order, patch, before: before.status, after: after.status });
        Ok(())
    }

    /// An HTTP request that a trial would have sent.
    pub fn rehearse_request(
        &mut self,
        key: EffectKey,
        method: String,
        url: String,
        bytes: usize,
    ) -> Result<(), RecordError> {
        self.keep(EntryKind::HttpIntended { key: key.clone(), method: method.clone(), url: url.clone() })?;
        self.keep(EntryKind::HttpSettled { key, status: Some(200), error: None, answer: None })?;
        self.rehearsed(TrialEffect::Http { method, url, bytes });
        Ok(())
    }

    fn rehearsed(&mut self, effect: TrialEffect) {
        if let Some(trial) = &mut self.trial {
            trial.push(effect);
        }
    }
}

/// The run as its next attempt would see it: a waiting one goes on, any other as if it were put back first.
fn next_attempt(head: &RunHead, loaded: &LoadedJob, now: Timestamp) -> RunHead {
    let mut next = head.clone();
    let mut apply = |kind| transition::apply(&mut next, &Entry { at: now, kind });
    if !head.state.is_waiting() {
        apply(EntryKind::Requeued { scheduled_at: now, max_attempts: loaded.job.max_attempts() });
    }
    let attempt = if head.state.is_waiting() { head.attempt + 1 } else { 1 };
    let (version, lease) = (loaded.version, head.lease + 1);
    apply(EntryKind::Started(Started { attempt, version, lease, bucket: None }));
    next
}

/// What the journal tells of effects that are done, each once.
fn done_before(journal: &[Entry], memory: &Memory) -> Vec<DoneBefore> {
    let mut told = BTreeSet::new();
    let done = journal.iter().filter_map(|entry| match &entry.kind {
        EntryKind::MailIntended { key, .. } => {
            let remembered = memory.mails.get(key).filter(|mail| mail.status.is_done() && told.insert(key))?;
            Some(DoneBefore::Mail { mail: Arc::clone(&remembered.mail), status: remembered.status })
        }
        EntryKind::OrderUpdated { key, order, patch } | EntryKind::OrderIntended { key, order, patch } => {
            let is_made = memory.orders.get(key) == Some(&RememberedChange::Made);
            (is_made && told.insert(key)).then(|| DoneBefore::Order { order: order.clone(), patch: patch.clone() })
        }
        EntryKind::HttpIntended { key, method, url } => match memory.requests.get(key) {
            Some(RememberedRequest::Done { status, .. }) if told.insert(key) => {
                Some(DoneBefore::Http { method: method.clone(), url: url.clone(), status: *status })
            }
            _ => None,
        },
        _ => None,
    });
    done.collect()
}

fn completed_step(kind: EntryKind) -> Option<(String, Json)> {
    match kind {
        EntryKind::StepCompleted { name, value } => Some((name, value)),
        _ => None,
    }
}
