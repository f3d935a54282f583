//! What clients and operators ask of the store, and what they may be told: whatever is acknowledged is durable.
//! It draws nothing; the world says who asks for what.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jobmill_core::journal::{Entry, EntryKind};
use jobmill_core::order::Order;
use jobmill_core::transition::Refused;
use jobmill_core::{RunHead, RunId, RunState, Timestamp};
use jobmill_store::{
    BulkOutcome, DeadFilter, Enqueued, LeaseReference, NewEvent, NewRun, Published, RecordError, Retention, RunFilter,
    Store, StoreError,
};

use crate::findings::Findings;
use crate::standing::Standing;
use crate::truth::{Told, Truth};
use crate::watched_log::{Watch, stood_so};

/// Something that is asked.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Enqueue(Vec<NewRun>),
    Publish(Vec<NewEvent>),
    Cancel(RunId, String),
    Requeue(RunId, Timestamp),
    CancelMany(RunFilter, String),
    RequeueMany(DeadFilter, Duration),
    DiscardMany(DeadFilter, String),
    PutOrder(Box<Order>),
    ClearMail,
    Prune(Retention),
    /// An attempt of an earlier process, or one that has ended, writes its end.
    Late(LeaseReference, Vec<EntryKind>),
}

/// What is answered.
#[derive(Debug)]
pub(crate) enum Reply {
    Enqueued(Vec<Enqueued>),
    Published(Vec<Published>),
    Changed(Option<Result<RunHead, Refused>>),
    Bulk(BulkOutcome),
    Order(Order),
    Cleared,
    Pruned,
    Late(Result<RunHead, RecordError>),
}

/// A client that waits for its answer.
pub(crate) struct Client {
    pub(crate) ask: Ask,
    pub(crate) reply: BoxFuture<'static, Result<Reply, StoreError>>,
}

/// Attempts that a requeue gives.
pub(crate) const ATTEMPTS_ANEW: u32 = 2;

impl Client {
    pub(crate) fn new(ask: Ask, store: Arc<dyn Store>, now: Timestamp) -> Self {
        let asked = ask.clone();
        Self { ask, reply: Box::pin(async move { asked.put(&*store, now).await }) }
    }
}

impl Ask {
    async fn put(self, store: &dyn Store, now: Timestamp) -> Result<Reply, StoreError> {
        Ok(match self {
            Self::Enqueue(runs) => Reply::Enqueued(store.enqueue(runs, now).await?),
            Self::Publish(events) => Reply::Published(store.publish(events, now).await?),
            Self::Cancel(run, reason) => Reply::Changed(store.cancel(run, reason, now).await?),
            Self::Requeue(run, due) => Reply::Changed(store.requeue(run, ATTEMPTS_ANEW, due, now).await?),
            Self::CancelMany(filter, reason) => Reply::Bulk(store.cancel_many(filter, reason, false, now).await?),
            Self::RequeueMany(filter, spread) => Reply::Bulk(store.requeue_many(filter, spread, false, now).await?),
            Self::DiscardMany(filter, reason) => Reply::Bulk(store.discard_many(filter, reason, false, now).await?),
            Self::PutOrder(order) => Reply::Order(store.put_order(*order).await?),
            Self::ClearMail => store.clear_mail().await.map(|_| Reply::Cleared)?,
            Self::Prune(retention) => store.prune(retention, now).await.map(|_| Reply::Pruned)?,
            Self::Late(lease, entries) => match store.finish(lease, entries, now).await {
                Err(RecordError::Store(error)) => return Err(error),
                answer => Reply::Late(answer),
            },
        })
    }

    /// Judges what was answered by what is durable.
    pub(crate) fn judge(&self, reply: &Reply, watch: &Watch, findings: &Findings) {
        let durable = &watch.durable;
        match (self, reply) {
            (Self::Enqueue(runs), Reply::Enqueued(answers)) => judge_enqueue(runs, answers, watch, findings),
            (Self::Publish(events), Reply::Published(answers)) => judge_publish(events, answers, durable, findings),
            (Self::Cancel(run, reason), Reply::Changed(Some(Ok(head)))) => {
                judge_change(*run, head, watch, findings, |kind| tells_cancel(kind, reason));
            }
            (Self::Requeue(run, due), Reply::Changed(Some(Ok(head)))) => {
                judge_change(*run, head, watch, findings, |kind| tells_requeue(kind, Some(*due)));
            }
            (Self::Cancel(run, _) | Self::Requeue(run, _), Reply::Changed(Some(Err(refused)))) => {
                let so = |told: &Told| told.standings().any(|standing| standing.state == refused.state);
                let holds = told_or_pruned(*run, durable, so) || refused.state == RunState::Running;
                findings.require(holds, || format!("{run} was refused for a state that it never had: {refused}"));
            }
            (Self::Cancel(run, _) | Self::Requeue(run, _), Reply::Changed(None)) => {
                findings.require(durable.pruned.contains(run), || format!("{run} is durable, and nobody knows it"));
            }
            (Self::CancelMany(_, reason) | Self::DiscardMany(_, reason), Reply::Bulk(outcome)) => {
                judge_bulk(outcome, durable, findings, |kind| tells_cancel(kind, reason));
            }
            (Self::RequeueMany(..), Reply::Bulk(outcome)) => {
                judge_bulk(outcome, durable, findings, |kind| tells_requeue(kind, None));
            }
            (Self::PutOrder(_), Reply::Order(order)) => {
                let kept = durable.orders.get(&order.id).is_some_and(|kept| kept.revision >= order.revision);
                findings.require(kept, || format!("order {} was acknowledged and is not durable", order.id));
            }
            (Self::Late(lease, _), Reply::Late(answer)) => {
                let is_lost = matches!(answer, Err(RecordError::LeaseLost(_)));
                findings.require(is_lost, || format!("an end under the lost lease {lease:?} was taken: {answer:?}"));
            }
            (Self::Prune(_), Reply::Pruned) | (Self::ClearMail, Reply::Cleared) => {}
            _ => findings.report(|| format!("{self:?} was answered {reply:?}")),
        }
    }
}

fn tells_cancel(kind: &EntryKind, reason: &str) -> bool {
    matches!(kind, EntryKind::Cancelled { reason: it } | EntryKind::CancelRequested { reason: it } if it == reason)
}

fn tells_requeue(kind: &EntryKind, due: Option<Timestamp>) -> bool {
    matches!(kind, EntryKind::Requeued { scheduled_at, .. } if due.is_none_or(|due| due == *scheduled_at))
}

fn told_or_pruned(run: RunId, durable: &Truth, holds: impl Fn(&Told) -> bool) -> bool {
    durable.pruned.contains(&run) || durable.runs.get(&run).is_some_and(holds)
}

fn has(told: &Told, tells: impl Fn(&EntryKind) -> bool) -> bool {
    told.journal.iter().any(|entry: &Entry| tells(&entry.kind))
}

fn judge_change(run: RunId, head: &RunHead, watch: &Watch, findings: &Findings, tells: impl Fn(&EntryKind) -> bool) {
    let there = told_or_pruned(run, &watch.durable, |told| has(told, &tells));
    findings.require(there, || format!("a change of {run} was acknowledged and is not durable"));
    judge_head(head, watch, findings);
}

/// A head is what the run's journal folds to, its noted start included.
fn judge_head(head: &RunHead, watch: &Watch, findings: &Findings) {
    // What is written and not durable may have it pruned already.
    let told = watch.told(head.id).or_else(|| watch.durable.runs.get(&head.id).cloned());
    let so = told.as_ref().map_or(watch.durable.pruned.contains(&head.id), |told| stood_so(told, Standing::of(head)));
    findings.require(so, || {
        let told = told.map(|told| told.standing);
        format!("{} is shown as {:?}, and is told as {told:?}", head.id, Standing::of(head))
    });
}

fn judge_bulk(outcome: &BulkOutcome, durable: &Truth, findings: &Findings, tells: impl Fn(&EntryKind) -> bool) {
    for run in &outcome.changed {
        let there = told_or_pruned(*run, durable, |told| has(told, &tells));
        findings.require(there, || format!("a change of {run} with others was acknowledged and is not durable"));
    }
}

fn judge_enqueue(runs: &[NewRun], answers: &[Enqueued], watch: &Watch, findings: &Findings) {
    let durable = &watch.durable;
    findings.require(runs.len() == answers.len(), || format!("{} enqueues, {} answers", runs.len(), answers.len()));
    let conflicts = |with: RunId| {
        let held = |told: &Told| {
            let held = told.enqueued();
            runs.iter()
                .any(|run| held.is_some_and(|held| is_under(run, held) && held.request_digest != run.request_digest))
        };
        let in_batch = runs.iter().any(|run| run.id == with);
        in_batch || told_or_pruned(with, durable, held)
    };
    for (run, answer) in runs.iter().zip(answers) {
        match answer {
            Enqueued::Created(head) => {
                let so = |told: &Told| told.enqueued().is_some_and(|kept| is_of(run, kept));
                findings.require(head.id == run.id && told_or_pruned(run.id, durable, so), || {
                    format!("the enqueue of {} was acknowledged and is not durable", run.id)
                });
                judge_head(head, watch, findings);
            }
            Enqueued::Existing(head) => {
                let so = |told: &Told| {
                    let kept = told.enqueued();
                    let same_key = |kept| is_under(run, kept) && kept.request_digest == run.request_digest;
                    kept.is_some_and(|kept| if head.id == run.id { is_of(run, kept) } else { same_key(kept) })
                };
                findings.require(told_or_pruned(head.id, durable, so), || {
                    format!("the enqueue of {} was answered with {}, which is another", run.id, head.id)
                });
                judge_head(head, watch, findings);
            }
            Enqueued::Conflict(other) => findings.require(conflicts(*other), || {
                format!("the enqueue of {} was refused for {other}, which holds no key of it", run.id)
            }),
        }
    }
}

/// Whether the request is for this enqueue.
fn is_of(run: &NewRun, kept: &jobmill_core::journal::Enqueued) -> bool {
    let keys = (&run.unique_key, &run.idempotency_key, &run.request_digest);
    run.job == kept.job
        && run.payload == kept.payload
        && run.scheduled_at == kept.scheduled_at
        && run.max_attempts == kept.max_attempts
        && keys == (&kept.unique_key, &kept.idempotency_key, &kept.request_digest)
}

/// Whether the request is under a key of this enqueue.
fn is_under(run: &NewRun, kept: &jobmill_core::journal::Enqueued) -> bool {
    let of_job = run.job == kept.job && run.unique_key.is_some() && run.unique_key == kept.unique_key;
    of_job || (run.idempotency_key.is_some() && run.idempotency_key == kept.idempotency_key)
}

fn judge_publish(events: &[NewEvent], answers: &[Published], durable: &Truth, findings: &Findings) {
    findings.require(events.len() == answers.len(), || format!("{} events, {} answers", events.len(), answers.len()));
    for (event, answer) in events.iter().zip(answers) {
        let id = &event.reference.id;
        let of_event = |told: &Told| {
            told.enqueued().and_then(|kept| kept.event.as_ref()).is_some_and(|reference| reference.id == *id)
        };
        let there = answer.runs.iter().all(|run| told_or_pruned(*run, durable, of_event));
        let gone = durable.pruned_events.contains(id) || answer.runs.iter().any(|run| durable.pruned.contains(run));
        findings.require(there && (durable.events.contains_key(id) || gone), || {
            format!("the event {id} was acknowledged and is not durable")
        });
        if !answer.replayed {
            let mut asked: Vec<RunId> = event.runs.iter().map(|run| run.id).collect();
            asked.sort_unstable();
            findings.require(asked == answer.runs, || format!("the event {id} started {:?}", answer.runs));
        }
    }
}
