//! What a store knows without reading its log: where each run stands, what is due, which keys are taken.
//! Rebuilt from the log at start; it holds no payloads, outputs or journals, and changes only by applying records.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jobmill_core::journal::{EffectKey, Enqueued, Entry, EntryKind, EventReference};
use jobmill_core::mail::{Mail, MailStatus};
use jobmill_core::order::Order;
use jobmill_core::{EventId, JobId, MailId, RunHead, RunId, RunState, Timestamp, limits, transition};

use crate::log::Record;
use crate::query::{Counts, DeadFilter, DeadGroup, MailFilter, MailSummary, RunFilter};
use crate::store::Change;

/// A run in the index.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The part of the run that lists show.
    pub(crate) head: RunHead,
    /// How many entries its journal has.
    pub(crate) entries: u32,
}

/// Under which a second enqueue is the first run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum UniqueKey {
    /// The request's `unique_key`, which counts within a job.
    Job(JobId, Arc<str>),
    /// The request's `Idempotency-Key`.
    Request(Arc<str>),
}

/// Who holds a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyHolder {
    /// The first run.
    pub(crate) run: RunId,
    /// What a repeat must equal.
    pub(crate) digest: Option<[u8; 32]>,
    /// When it was enqueued; the key is free again `limits::UNIQUE_WINDOW` later.
    pub(crate) since: Timestamp,
}

/// An event in the index.
#[derive(Debug, Clone)]
pub(crate) struct EventRow {
    /// Id, name and time.
    pub(crate) reference: EventReference,
    /// When it was recorded.
    pub(crate) received_at: Timestamp,
    /// The runs it started.
    pub(crate) runs: Vec<RunId>,
}

type ReadyKey = (u8, Timestamp, RunId);
type GroupKey = (JobId, u64);

/// See the module.
#[derive(Default)]
pub(crate) struct Index {
    runs: BTreeMap<RunId, Row>,
    /// Due, by job; first is next.
    ready: BTreeMap<JobId, BTreeSet<ReadyKey>>,
    /// Not due yet when last looked at.
    due: BTreeSet<(Timestamp, RunId)>,
    running: BTreeSet<RunId>,
    dead: BTreeMap<GroupKey, BTreeSet<(Timestamp, RunId)>>,
    counts: BTreeMap<JobId, [usize; 7]>,
    keys: HashMap<UniqueKey, KeyHolder>,
    events: BTreeMap<EventId, EventRow>,
    mails: BTreeMap<MailId, MailSummary>,
    mail_of: BTreeMap<(RunId, EffectKey), MailId>,
    mail_cleared: Option<MailId>,
    orders: BTreeMap<String, Arc<Order>>,
}

impl Index {
    /// Takes a record in; answers how the run it is about stands now.
    pub(crate) fn apply(&mut self, record: &Record) -> Option<Change> {
        match record {
            Record::Journal { run, entries, .. } => return self.apply_journal(*run, entries),
            Record::Event { reference, received_at, .. } => {
                let row = EventRow { reference: reference.clone(), received_at: *received_at, runs: Vec::new() };
                self.events.insert(reference.id.clone(), row);
            }
            Record::Order(order) => {
                self.orders.insert(order.id.clone(), Arc::new(order.clone()));
            }
            Record::MailCleared { up_to } => {
                self.mail_cleared = self.mail_cleared.max(Some(*up_to));
                self.mails = self.mails.split_off(up_to);
                self.mails.remove(up_to);
            }
        }
        None
    }

    fn apply_journal(&mut self, run: RunId, entries: &[Entry]) -> Option<Change> {
        let mut rest = entries;
        let mut row = if let Some(row) = self.runs.remove(&run) {
            self.unplace(&row.head);
            row
        } else {
            let (first, after) = entries.split_first()?;
            rest = after;
            let head = transition::begin(run, first)?;
            if let EntryKind::Enqueued(enqueued) = &first.kind {
                self.apply_enqueued(&head, enqueued);
            }
            Row { head, entries: 1 }
        };
        for entry in rest {
            transition::apply(&mut row.head, entry);
            self.apply_mail(&row.head, entry);
            row.entries += 1;
        }
        self.place(&row.head);
        let RunHead { state, scheduled_at, cancel_requested, .. } = row.head;
        let change = Change { run, state, scheduled_at, cancel_requested };
        self.runs.insert(run, row);
        Some(change)
    }

    fn apply_enqueued(&mut self, head: &RunHead, enqueued: &Enqueued) {
        let holder = KeyHolder { run: head.id, digest: enqueued.request_digest, since: head.enqueued_at };
        for key in unique_keys(&head.job, enqueued.unique_key.as_deref(), enqueued.idempotency_key.as_deref()) {
            // Records are not read back in the order of their times: the newest holder of a key is its holder.
            let newest = self.keys.get(&key).is_none_or(|earlier| earlier.since <= holder.since);
            if newest {
                self.keys.insert(key, holder);
            }
        }
        if let Some(reference) = &enqueued.event {
            let row = self.events.entry(reference.id.clone()).or_insert_with(|| EventRow {
                reference: reference.clone(),
                received_at: head.enqueued_at,
                runs: Vec::new(),
            });
            // The order of their ids is the one in which they are read back.
            let place = row.runs.partition_point(|earlier| *earlier < head.id);
            row.runs.insert(place, head.id);
        }
    }

    fn apply_mail(&mut self, head: &RunHead, entry: &Entry) {
        match &entry.kind {
            EntryKind::MailIntended { key, mail } => {
                self.mail_of.insert((head.id, key.clone()), mail.id);
                if self.mail_cleared.is_some_and(|cleared| mail.id <= cleared) {
                    return;
                }
                let attempts = self.mails.get(&mail.id).map_or(0, |earlier| earlier.attempts) + 1;
                self.mails.insert(mail.id, summary(head, mail, attempts));
            }
            EntryKind::MailSettled { key, status, reply, error } => {
                let mail = self.mail_of.get(&(head.id, key.clone()));
                if let Some(mail) = mail.and_then(|mail| self.mails.get_mut(mail)) {
                    mail.status = *status;
                    mail.reply.clone_from(reply);
                    mail.error.clone_from(error);
                    mail.sent_at = matches!(status, MailStatus::Sent | MailStatus::Captured).then_some(entry.at);
                }
            }
            _ => {}
        }
    }

    fn place(&mut self, head: &RunHead) {
        self.count(head)[slot(head.state)] += 1;
        match head.state {
            RunState::Available => {
                let ready = self.ready.entry(head.job.clone()).or_default();
                ready.insert((head.priority, head.scheduled_at, head.id));
            }
            RunState::Scheduled | RunState::Retryable => {
                self.due.insert((head.scheduled_at, head.id));
            }
            RunState::Running => {
                self.running.insert(head.id);
            }
            RunState::Dead => {
                let group = self.dead.entry(group(head)).or_default();
                group.insert((head.finished_at.unwrap_or_default(), head.id));
            }
            RunState::Completed | RunState::Cancelled => {}
        }
    }

    fn unplace(&mut self, head: &RunHead) {
        let ready = self
            .ready
            .get_mut(&head.job)
            .is_some_and(|ready| ready.remove(&(head.priority, head.scheduled_at, head.id)));
        let shown = if ready { RunState::Available } else { head.state };
        self.count(head)[slot(shown)] -= 1;
        match head.state {
            RunState::Available | RunState::Scheduled | RunState::Retryable => {
                self.due.remove(&(head.scheduled_at, head.id));
            }
            RunState::Running => {
                self.running.remove(&head.id);
            }
            RunState::Dead => {
                let key = group(head);
                if let Some(group) = self.dead.get_mut(&key) {
                    group.remove(&(head.finished_at.unwrap_or_default(), head.id));
                    if group.is_empty() {
                        self.dead.remove(&key);
                    }
                }
            }
            RunState::Completed | RunState::Cancelled => {}
        }
    }

    fn count(&mut self, head: &RunHead) -> &mut [usize; 7] {
        self.counts.entry(head.job.clone()).or_default()
    }

    /// Moves what has become due to where claims look.
    pub(crate) fn promote(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, id));
            if let Some(row) = self.runs.get(&id) {
                let ready = self.ready.entry(row.head.job.clone()).or_default();
                ready.insert((row.head.priority, at, id));
                let counts = self.counts.entry(row.head.job.clone()).or_default();
                counts[slot(row.head.state)] -= 1;
                counts[slot(RunState::Available)] += 1;
            }
        }
    }

    /// Due runs of these jobs, the next first: by priority, then due time, then id.
    pub(crate) fn claimable<'index>(&'index self, jobs: &[JobId]) -> impl Iterator<Item = &'index RunHead> {
        let mut lanes: Vec<_> = jobs.iter().filter_map(|job| self.ready.get(job)).map(BTreeSet::iter).collect();
        let mut heads: Vec<Option<&ReadyKey>> = lanes.iter_mut().map(Iterator::next).collect();
        std::iter::from_fn(move || {
            let (lane, (_, _, id)) = heads
                .iter()
                .enumerate()
                .filter_map(|(lane, head)| head.map(|key| (lane, key)))
                .min_by_key(|it| it.1)?;
            let id = *id;
            heads[lane] = lanes[lane].next();
            Some(id)
        })
        .filter_map(|id| self.head(id))
    }

    /// The run.
    pub(crate) fn row(&self, id: RunId) -> Option<&Row> {
        self.runs.get(&id)
    }

    /// The part of the run that lists show.
    pub(crate) fn head(&self, id: RunId) -> Option<&RunHead> {
        self.runs.get(&id).map(|row| &row.head)
    }

    /// Runs under way.
    pub(crate) fn running(&self) -> impl Iterator<Item = &RunHead> {
        self.running.iter().filter_map(|id| self.head(*id))
    }

    /// Who holds a key at `now`.
    pub(crate) fn holder(&self, key: &UniqueKey, now: Timestamp) -> Option<&KeyHolder> {
        self.keys.get(key).filter(|holder| now.since(holder.since) < limits::UNIQUE_WINDOW)
    }

    /// The event.
    pub(crate) fn event(&self, id: &EventId) -> Option<&EventRow> {
        self.events.get(id)
    }

    /// The order.
    pub(crate) fn order(&self, id: &str) -> Option<&Arc<Order>> {
        self.orders.get(id)
    }

    /// Orders by id, after `after`.
    pub(crate) fn orders(&self, after: Option<&str>) -> impl Iterator<Item = &Arc<Order>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.orders.range::<str, _>((from, Unbounded)).map(|(_, order)| order)
    }

    /// Runs that a filter names, newest first, before `after`.
    pub(crate) fn matching<'index>(
        &'index self,
        filter: &'index RunFilter,
        after: Option<RunId>,
        now: Timestamp,
    ) -> impl Iterator<Item = &'index RunHead> {
        use std::ops::Bound::{Excluded, Unbounded};
        let before = after.map_or(Unbounded, Excluded);
        let heads: Box<dyn Iterator<Item = &RunHead>> = match &filter.ids {
            Some(ids) => Box::new(self.named(ids).filter(move |head| after.is_none_or(|after| head.id < after))),
            None => Box::new(self.runs.range((Unbounded, before)).rev().map(|(_, row)| &row.head)),
        };
        heads.filter(move |head| matches(filter, head, now))
    }

    /// The runs with these ids, newest first, each once.
    fn named(&self, ids: &[RunId]) -> impl Iterator<Item = &RunHead> {
        let ids: BTreeSet<RunId> = ids.iter().copied().collect();
        ids.into_iter().rev().filter_map(|id| self.head(id))
    }

    /// Dead runs that a filter names, in each group the longest dead first. Of runs that it names by id also those that
    /// are not dead, so that whoever named them can be told.
    pub(crate) fn dead<'index>(
        &'index self,
        filter: &'index DeadFilter,
    ) -> Box<dyn Iterator<Item = &'index RunHead> + 'index> {
        if let Some(ids) = &filter.ids {
            return Box::new(self.named(ids).filter(|head| in_group(filter, &group(head))));
        }
        let groups = self.dead.iter().filter(|(key, _)| in_group(filter, key));
        Box::new(groups.flat_map(|(_, group)| group.iter()).filter_map(|(_, id)| self.head(*id)))
    }

    /// Dead runs by job and error, newest first.
    pub(crate) fn dead_groups(&self) -> Vec<DeadGroup> {
        let mut groups: Vec<DeadGroup> =
            self.dead.iter().filter_map(|(key, group)| self.dead_group(key, group)).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.last_seen));
        groups
    }

    fn dead_group(&self, (job, fingerprint): &GroupKey, group: &BTreeSet<(Timestamp, RunId)>) -> Option<DeadGroup> {
        let (first_seen, _) = *group.first()?;
        let (last_seen, example) = *group.last()?;
        let error = self.head(example)?.error.as_ref()?;
        let versions: BTreeSet<_> =
            group.iter().filter_map(|(_, id)| self.head(*id)).filter_map(|head| head.version).collect();
        Some(DeadGroup {
            fingerprint: *fingerprint,
            job: job.clone(),
            kind: error.kind,
            message: error.message.to_string(),
            count: group.len(),
            first_seen,
            last_seen,
            versions: versions.into_iter().collect(),
            example,
        })
    }

    /// How many runs show each state at `now`; of one job, or of all.
    pub(crate) fn counts(&self, job: Option<&JobId>, now: Timestamp) -> Counts {
        let mut sum = [0; 7];
        let of_job = self.counts.iter().filter(|(id, _)| job.is_none_or(|wanted| wanted == *id));
        for (_, counts) in of_job {
            sum.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        }
        // What has become due since the last claim looked shows as available.
        let overdue = self.due.iter().take_while(|(at, _)| *at <= now).filter_map(|(_, id)| self.head(*id));
        for head in overdue.filter(|head| job.is_none_or(|wanted| *wanted == head.job)) {
            sum[slot(head.state)] -= 1;
            sum[slot(RunState::Available)] += 1;
        }
        Counts(sum)
    }

    /// The next time after `now` at which a run becomes due.
    pub(crate) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        // What is due already and was not claimed waits for room, not for its time.
        let after = (now.after(std::time::Duration::from_millis(1)), RunId::from_bytes([0; 16]));
        self.due.range(after..).next().map(|(at, _)| *at)
    }

    /// Due runs of the same job that go before this one.
    pub(crate) fn position(&self, id: RunId, now: Timestamp) -> Option<usize> {
        let head = self.head(id).filter(|head| head.state_at(now) == RunState::Available)?;
        let before = (head.priority, head.scheduled_at, id);
        let ready = self.ready.get(&head.job).map_or(0, |ready| ready.range(..before).count());
        // What has become due since the last claim looked stands in line too.
        let overdue = self.due.iter().take_while(|(at, _)| *at <= now).filter_map(|(_, id)| self.head(*id));
        let overdue = overdue.filter(|it| it.job == head.job && (it.priority, it.scheduled_at, it.id) < before);
        Some(ready + overdue.count())
    }

    /// Mails that a filter names, newest first, before `after`.
    pub(crate) fn mails<'index>(
        &'index self,
        filter: &'index MailFilter,
        after: Option<MailId>,
    ) -> impl Iterator<Item = &'index MailSummary> {
        use std::ops::Bound::{Excluded, Unbounded};
        let before = after.map_or(Unbounded, Excluded);
        self.mails.range((Unbounded, before)).rev().map(|(_, mail)| mail).filter(move |mail| {
            filter.to.as_ref().is_none_or(|to| to.eq_ignore_ascii_case(&mail.to))
                && filter.kind.as_ref().is_none_or(|kind| *kind == mail.kind)
                && filter.status.is_none_or(|status| status == mail.status)
                && filter.run.is_none_or(|run| run == mail.run)
        })
    }

    /// The mail's line of the e-mail log.
    pub(crate) fn mail(&self, id: MailId) -> Option<&MailSummary> {
        self.mails.get(&id)
    }

    /// How many mails the e-mail log shows, and the newest of them.
    pub(crate) fn mail_log(&self) -> (usize, Option<MailId>) {
        (self.mails.len(), self.mails.last_key_value().map(|(id, _)| *id))
    }
}

/// The keys that an enqueue takes.
pub(crate) fn unique_keys(
    job: &JobId,
    unique_key: Option<&str>,
    idempotency_key: Option<&str>,
) -> impl Iterator<Item = UniqueKey> {
    let of_job = unique_key.map(|key| UniqueKey::Job(job.clone(), key.into()));
    let of_request = idempotency_key.map(|key| UniqueKey::Request(key.into()));
    of_job.into_iter().chain(of_request)
}

fn summary(head: &RunHead, mail: &Mail, attempts: u32) -> MailSummary {
    MailSummary {
        id: mail.id,
        run: head.id,
        job: head.job.clone(),
        kind: mail.message.kind.clone(),
        to: mail.message.to.address.clone(),
        subject: mail.message.subject.clone(),
        status: MailStatus::Sending,
        message_id: mail.message_id.clone(),
        attempts,
        created_at: mail.created_at,
        sent_at: None,
        error: None,
        reply: None,
    }
}

fn slot(state: RunState) -> usize {
    state as usize
}

fn group(head: &RunHead) -> GroupKey {
    (head.job.clone(), head.error.as_ref().map_or(0, |error| error.fingerprint))
}

fn in_group(filter: &DeadFilter, (job, fingerprint): &GroupKey) -> bool {
    filter.job.as_ref().is_none_or(|wanted| wanted == job)
        && filter.fingerprint.is_none_or(|wanted| wanted == *fingerprint)
}

/// What a filter says beside its ids.
fn matches(filter: &RunFilter, head: &RunHead, now: Timestamp) -> bool {
    let event = |wanted: &String| {
        head.event_name.as_deref() == Some(wanted.as_str())
            || head.event_id.as_ref().is_some_and(|id| id.as_str() == wanted)
    };
    let error = |wanted: &String| {
        let wanted = wanted.to_lowercase();
        head.error.as_ref().is_some_and(|error| {
            error.message.to_lowercase().contains(&wanted) || error.kind.as_str().contains(&wanted)
        })
    };
    filter.state.is_none_or(|state| head.state_at(now) == state)
        && filter.job.as_ref().is_none_or(|job| *job == head.job)
        && filter.since.is_none_or(|since| head.enqueued_at >= since)
        && filter.tag.as_ref().is_none_or(|tag| head.tags.contains(tag))
        && filter.event.as_ref().is_none_or(event)
        && filter.error.as_ref().is_none_or(error)
}
