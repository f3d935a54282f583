//! What clients and operators ask of the store, and what they may be told: whatever is acknowledged is durable.
//! It draws nothing; the world says who asks for what.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jobmill_core::job::JobVersion;
use jobmill_core::journal::{Entry, EntryKind};
use jobmill_core::order::Order;
use jobmill_core::transition::Refused;
use jobmill_core::{JobId, RunHead, RunId, RunState, Timestamp};
use jobmill_store::{
    BulkOutcome, DeadFilter, Doubts, Enqueued, Forget, Forgotten, JobControl, LeaseReference, NewDelivery, NewEvent,
    NewRun, Pause, Published, QueueChange, QueueControl, Received, RecordError, Retention, RunFilter, Store,
    StoreError,
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
    Deliver(Box<NewDelivery>),
    Cancel(RunId, String),
    Requeue(RunId, Timestamp),
    MakeDue(RunId),
    CancelMany(RunFilter, String),
    RequeueMany(DeadFilter, Duration),
    DiscardMany(DeadFilter, String),
    PutOrder(Box<Order>),
    ClearMail,
    Prune(Retention),
    ControlQueue(String, QueueChange),
    /// The number of the request, and what is to be forgotten.
    Forget(u64, Forget),
    /// Who pauses a job; none lets it go on.
    ControlJob(JobId, Option<Pause>),
    /// A version of a job was loaded.
    Load(Box<JobVersion>),
    /// An attempt of an earlier process, or one that has ended, writes its end.
    Late(LeaseReference, Vec<EntryKind>, Vec<NewEvent>),
}

/// What is answered.
#[derive(Debug)]
pub(crate) enum Reply {
    Enqueued(Vec<Enqueued>),
    Published(Vec<Published>),
    Received(Received),
    Changed(Option<Result<RunHead, Refused>>),
    Bulk(BulkOutcome),
    Order(Order),
    Cleared,
    Pruned,
    Queue(QueueControl),
    Job(JobControl),
    Forgotten(Forgotten),
    Loaded,
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
    /// The events that it brings.
    pub(crate) fn events(&self) -> &[NewEvent] {
        match self {
            Self::Publish(events) => events,
            Self::Deliver(delivery) => delivery.event.as_slice(),
            _ => &[],
        }
    }

    /// The runs that it brings.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &NewRun> {
        let enqueued = if let Self::Enqueue(runs) = self { runs.as_slice() } else { &[] };
        enqueued.iter().chain(self.events().iter().flat_map(|event| &event.runs))
    }

    async fn put(self, store: &dyn Store, now: Timestamp) -> Result<Reply, StoreError> {
        Ok(match self {
            Self::Enqueue(runs) => Reply::Enqueued(store.enqueue(runs, now).await?),
            Self::Publish(events) => Reply::Published(store.publish(events, now).await?),
            Self::Deliver(delivery) => Reply::Received(store.receive(*delivery, now).await?),
            Self::Cancel(run, reason) => Reply::Changed(store.cancel(run, reason, now).await?),
            Self::Requeue(run, due) => Reply::Changed(store.requeue(run, ATTEMPTS_ANEW, due, None, now).await?),
            Self::MakeDue(run) => Reply::Changed(store.make_due(run, None, now).await?),
            Self::CancelMany(filter, reason) => Reply::Bulk(store.cancel_many(filter, reason, false, now).await?),
            Self::RequeueMany(filter, spread) => {
                Reply::Bulk(store.requeue_many(filter, spread, Doubts::Leave, false, now).await?)
            }
            Self::DiscardMany(filter, reason) => Reply::Bulk(store.discard_many(filter, reason, false, now).await?),
            Self::PutOrder(order) => Reply::Order(store.put_order(*order).await?),
            Self::ClearMail => store.clear_mail().await.map(|_| Reply::Cleared)?,
            Self::Prune(retention) => store.prune(retention, now).await.map(|_| Reply::Pruned)?,
            Self::ControlQueue(name, change) => Reply::Queue(store.control_queue(name, change, now).await?),
            Self::Forget(_, what) => Reply::Forgotten(store.forget(what, false).await?),
            Self::ControlJob(job, paused) => Reply::Job(store.control_job(job, paused).await?),
            Self::Load(version) => store.put_version(*version).await.map(|()| Reply::Loaded)?,
            Self::Late(lease, entries, told) => match store.finish(lease, entries, told, now).await {
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
            (Self::Deliver(new), Reply::Received(answer)) => judge_received(new, answer, durable, findings),
            (Self::Cancel(run, reason), Reply::Changed(Some(Ok(head)))) => {
                judge_change(*run, head, watch, findings, |kind| tells_cancel(kind, reason));
            }
            (Self::Requeue(run, due), Reply::Changed(Some(Ok(head)))) => {
                judge_change(*run, head, watch, findings, |kind| tells_requeue(kind, Some(*due)));
            }
            (Self::MakeDue(run), Reply::Changed(Some(Ok(head)))) => {
                judge_change(*run, head, watch, findings, |kind| matches!(kind, EntryKind::MadeDue { .. }));
            }
            (Self::Cancel(run, _) | Self::Requeue(run, _) | Self::MakeDue(run), Reply::Changed(Some(Err(refused)))) => {
                // What became due while it waited is told as available.
                let shows = |state: RunState| state.is_waiting() && refused.state == RunState::Available;
                let so = |told: &Told| told.stood(|it| it.state == refused.state || shows(it.state));
                let holds = told_or_pruned(*run, durable, so) || refused.state == RunState::Running;
                findings.require(holds, || format!("{run} was refused for a state that it never had: {refused}"));
            }
            (Self::Cancel(run, _) | Self::Requeue(run, _) | Self::MakeDue(run), Reply::Changed(None)) => {
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
            (Self::Late(lease, ..), Reply::Late(answer)) => {
                let is_lost = matches!(answer, Err(RecordError::LeaseLost(_)));
                findings.require(is_lost, || format!("an end under the lost lease {lease:?} was taken: {answer:?}"));
            }
            (Self::ControlQueue(name, change), Reply::Queue(control)) => {
                let is_done = change.paused.as_ref().is_none_or(|paused| paused.is_some() == control.paused.is_some())
                    && change.concurrency.is_none_or(|limit| limit == control.concurrency);
                findings.require(is_done && durable.controls.has_said_of_queue(name, control), || {
                    format!("{self:?} was acknowledged with {control:?} and is not durable")
                });
            }
            (Self::ControlJob(job, paused), Reply::Job(control)) => {
                let is_done = paused.is_some() == control.paused.is_some();
                findings.require(is_done && durable.controls.has_said_of_job(job, control), || {
                    format!("{self:?} was acknowledged with {control:?} and is not durable")
                });
            }
            (Self::Load(version), Reply::Loaded) => {
                let is_kept = durable.controls.has_version(version);
                findings.require(is_kept, || format!("{version:?} was acknowledged and is not durable"));
            }
            // What is left of what was to be forgotten, `judge_forget` says.
            (Self::Forget(..), Reply::Forgotten(_))
            | (Self::Prune(_), Reply::Pruned)
            | (Self::ClearMail, Reply::Cleared) => {}
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
    findings.require(runs.len() == answers.len(), || format!("{} enqueues, {} answers", runs.len(), answers.len()));
    for (position, (run, answer)) in runs.iter().zip(answers).enumerate() {
        let (head, holds) = match answer {
            Enqueued::Created(head) => {
                (head, head.id == run.id && was_taken(run, head.id, &runs[position + 1..], watch))
            }
            Enqueued::Debounced(head) => {
                (head, run.flow.debounce.is_some() && was_taken(run, head.id, &runs[position + 1..], watch))
            }
            Enqueued::Existing(head) => (head, is_same(run, head.id, runs, watch)),
            Enqueued::Conflict(other) => {
                let holds = conflicts(runs, *other, &watch.durable);
                findings.require(holds, || {
                    format!("the enqueue of {} was refused for {other}, which holds no key of it", run.id)
                });
                continue;
            }
        };
        findings.require(holds, || {
            format!("the enqueue of {} was acknowledged with {answer:?}, and is not durable, or is another", run.id)
        });
        judge_head(head, watch, findings);
    }
}

/// Whether the run that is there has taken the request in, or one of the same batch that came after it.
fn was_taken(run: &NewRun, id: RunId, later: &[NewRun], watch: &Watch) -> bool {
    let value = |run: &NewRun| run.flow.debounce.as_ref().map(|debounce| debounce.value.clone());
    let is_replaced = |it: &NewRun| run.flow.debounce.is_some() && it.job == run.job && value(it) == value(run);
    told_or_pruned(id, &watch.durable, |told| {
        let since = told.journal.first().map(|first| first.at).unwrap_or_default();
        let is_in = told.enqueues().any(|kept| is_of(run, kept, since));
        is_in || later.iter().any(|it| is_replaced(it) && told.enqueues().any(|kept| is_of(it, kept, since)))
    })
}

/// Whether the run that is there holds a key of the request, or is its own.
fn is_same(run: &NewRun, id: RunId, batch: &[NewRun], watch: &Watch) -> bool {
    if id == run.id {
        // What one of its own batch took the place of is not on record.
        let is_there = |told: &Told| told.enqueued().is_some_and(|kept| kept.job == run.job);
        return was_taken(run, id, batch, watch)
            || (run.flow.debounce.is_some() && told_or_pruned(id, &watch.durable, is_there));
    }
    let digests = |told: &Told| {
        let compared = told.digests(&run.job, run.unique_key.as_deref(), run.idempotency_key.as_deref());
        let by_payload = told.digests(&run.job, run.unique_key.as_deref(), None);
        compared.contains(&run.request_digest) || (run.flow.is_unique_by_payload && !by_payload.is_empty())
    };
    // A run that waits for quiet holds keys of requests of this batch, too.
    let takes_in = |told: &Told| told.enqueued().and_then(Told::debounced_by).is_some() && batch.len() > 1;
    told_or_pruned(id, &watch.durable, |told| digests(told) || takes_in(told))
}

/// Whether the run holds a key of one of these requests and is not the same.
fn conflicts(runs: &[NewRun], with: RunId, durable: &Truth) -> bool {
    let in_batch = runs.iter().any(|run| run.id == with) || runs.iter().any(|run| run.flow.debounce.is_some());
    let is_other = |told: &Told, run: &NewRun| {
        let digests = told.digests(&run.job, run.unique_key.as_deref(), run.idempotency_key.as_deref());
        digests.iter().any(|digest| *digest != run.request_digest)
    };
    in_batch || told_or_pruned(with, durable, |told| runs.iter().any(|run| is_other(told, run)))
}

/// Whether the request is for this enqueue of a run that was first asked for at `since`.
fn is_of(run: &NewRun, kept: &jobmill_core::journal::Enqueued, since: Timestamp) -> bool {
    let keys = (&run.unique_key, &run.request_digest);
    let max_wait = run.flow.debounce.as_ref().and_then(|debounce| debounce.max_wait);
    let latest = max_wait.map_or(run.scheduled_at, |most| run.scheduled_at.min(since.after(most)));
    let terms = kept.terms.clone().unwrap_or_default();
    let flow = &run.flow;
    // A run that took in more than its first request keeps their keys together.
    let taken_in = terms.debounce.iter().flat_map(|debounce| &debounce.earlier);
    let taken_in = taken_in.map(|it| (Some(&it.key), &it.digest)).collect::<Vec<_>>();
    let once = run.idempotency_key.as_ref();
    let has_key = kept.idempotency_key.as_ref() == once || taken_in.contains(&(once, &run.request_digest));
    run.job == kept.job
        && run.payload == kept.payload
        && (run.scheduled_at == kept.scheduled_at || latest == kept.scheduled_at)
        && run.max_attempts == kept.max_attempts
        && has_key
        && keys == (&kept.unique_key, &kept.request_digest)
        && (&flow.keys, flow.unique, &flow.marks) == (&terms.keys, terms.unique, &terms.marks)
        && flow.debounce.as_ref().map(|debounce| &debounce.value)
            == terms.debounce.as_ref().map(|debounce| &debounce.value)
        && flow.expires.map(|span| kept.scheduled_at.after(span)) == terms.expires_at
}

fn judge_publish(events: &[NewEvent], answers: &[Published], durable: &Truth, findings: &Findings) {
    findings.require(events.len() == answers.len(), || format!("{} events, {} answers", events.len(), answers.len()));
    for (event, answer) in events.iter().zip(answers) {
        let (own, key) = (&event.reference, answer.key);
        let of_event = |told: &Told| {
            told.enqueued().and_then(|kept| kept.event.as_ref()).is_some_and(|reference| reference.key == key)
        };
        // A run that waits for quiet, or that holds a key, answers for events beside its own; so does one of another name of
        // the same id.
        let may_join = |run: &NewRun| run.flow.debounce.is_some() || run.unique_key.is_some();
        let joins = answer.replayed || own.has_given_id() || event.runs.iter().any(may_join);
        let there = answer.runs.iter().all(|run| told_or_pruned(*run, durable, |told| joins || of_event(told)));
        let known = durable.happenings.events.get(&key);
        let is_pruned = durable.happenings.pruned_events.contains(&key);
        let gone = is_pruned || answer.runs.iter().any(|run| durable.pruned.contains(run));
        findings.require(there && (known.is_some() || gone), || {
            format!("the event {} was acknowledged as {key} and is not durable", own.id)
        });
        let is_it = if answer.replayed {
            known.is_none_or(|it| own.key == key || (&it.reference.id, &it.reference.name) == (&own.id, &own.name))
        } else {
            own.key == key
        };
        findings.require(is_it && answer.id == own.id, || format!("{own:?} was answered {answer:?}"));
        if !answer.replayed {
            let of_job = |run: &NewRun| {
                let is_of = |told: &Told| told.enqueued().is_some_and(|kept| kept.job == run.job);
                own.has_given_id() && answer.runs.iter().any(|it| told_or_pruned(*it, durable, is_of))
            };
            let started = |run: &NewRun| answer.runs.contains(&run.id) || may_join(run) || of_job(run);
            let is_all = event.runs.iter().all(started) && answer.runs.len() <= event.runs.len();
            findings.require(is_all, || format!("the event {} started {:?}", own.id, answer.runs));
        }
    }
}

fn judge_received(new: &NewDelivery, answer: &Received, durable: &Truth, findings: &Findings) {
    let happenings = &durable.happenings;
    let kept = happenings.deliveries.get(&answer.id);
    let is_its =
        kept.is_some_and(|kept| (&kept.endpoint, &kept.sender_id) == (&new.delivery.endpoint, &new.delivery.sender_id));
    let is_pruned = happenings.pruned_deliveries.contains(&answer.id);
    let is_own = answer.is_repeat || answer.id == new.delivery.id;
    findings.require(is_own && (is_its || is_pruned), || {
        format!("{:?} was acknowledged with {answer:?} and is not durable", new.delivery)
    });
    let there = answer.runs.iter().all(|run| told_or_pruned(*run, durable, |_| true));
    findings
        .require(there, || format!("{:?} was acknowledged with {answer:?}, and not all of it is there", new.delivery));
}
