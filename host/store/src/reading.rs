//! What a log-backed store is asked: from the index where that is enough, and from the log where it is not.
//! It changes nothing, and never waits for a commit.

use std::sync::{Arc, PoisonError, RwLockReadGuard};

use async_trait::async_trait;
use jobmill_core::audit::AuditEntry;
use jobmill_core::delivery::Delivery;
use jobmill_core::job::JobVersion;
use jobmill_core::journal::{Entry, EntryKind, Memory, RememberedMail};
use jobmill_core::mail::{DoubtfulMail, MailStatus};
use jobmill_core::order::Order;
use jobmill_core::suppression::Suppression;
use jobmill_core::token::Token;
use jobmill_core::{AuditId, DeliveryId, EventId, EventKey, JobId, Json, MailId, Run, RunHead, RunId, Timestamp};

use crate::auditing::AuditFilter;
use crate::committer::Shared;
use crate::control::{Control, Schedule};
use crate::delivered::{DeliveryFilter, DeliverySummary};
use crate::index::{EventRow, Standing};
use crate::log::{LogReader, Place, Record};
use crate::log_store::LogStore;
use crate::mailing::Release;
use crate::query::{
    Activity, Counts, Cursor, DeadGroup, EventFilter, EventRecord, Export, JobFlowView, MailFilter, MailSummary,
    MailView, Neighbours, Page, Query, QueueView, RunFilter, RunRecord, SuppressionCursor, WaitingFor,
};
use crate::store::StoreError;
use crate::totals::Totals;
use crate::usage::VersionUsage;

/// How often a read is begun anew because the journal was written again meanwhile.
const TRIES: usize = 3;

/// The entries at these places.
pub(crate) fn entries(reader: &dyn LogReader, run: RunId, places: &[Place]) -> Result<Vec<Entry>, StoreError> {
    let mut journal: Vec<Entry> = Vec::new();
    for place in places {
        match reader.read(*place)? {
            Record::Journal { run: found, first, entries } if found == run && first as usize == journal.len() => {
                journal.extend(entries);
            }
            _ => return Err(StoreError::Damaged(format!("{place:?} does not continue the journal of {run}"))),
        }
    }
    Ok(journal)
}

/// The journal as it stood.
fn journal(reader: &dyn LogReader, standing: &Standing) -> Result<Vec<Entry>, StoreError> {
    let mut journal = entries(reader, standing.run, &standing.places)?;
    journal.extend(standing.start.clone());
    if journal.len() < standing.entries as usize {
        return Err(StoreError::Damaged(format!("the journal of {} has entries missing", standing.run)));
    }
    Ok(journal)
}

/// Everything that is kept, as of this moment.
pub(crate) fn everything(shared: &Shared) -> Result<Export, StoreError> {
    let reader = shared.reader.clone().ok_or_else(|| shared.refusing.clone().unwrap_or(StoreError::Closed))?;
    let reading = Arc::clone(&shared.reading);
    let mut standings: Vec<Standing> = shared.index.standings().collect();
    let events: Vec<Place> = shared.index.events_alone().map(|(_, place)| place).collect();
    let deliveries: Vec<Place> = shared.index.deliveries().map(|row| row.place).collect();
    let orders: Vec<Arc<Order>> = shared.index.orders(None).cloned().collect();
    let cleared = shared.index.mails.cleared();
    let controls: Vec<Control> = shared.index.controls().cloned().collect();
    standings.sort_unstable_by_key(|standing| standing.run);
    let orders = orders.into_iter().map(|order| Ok(Record::Order((*order).clone())));
    let controls = controls.into_iter().map(|control| Ok(Record::Control(control)));
    let cleared = cleared.into_iter().map(|up_to| Ok(Record::MailCleared { up_to }));
    let of_events = Arc::clone(&reader);
    // In the order of the lines of an export.
    let events = events.into_iter().chain(deliveries).map(move |place| of_events.read(place).map_err(StoreError::from));
    let runs = standings.into_iter().map(move |standing| {
        // What was read stays where it is for as long as this is held.
        let _ = &reading;
        journal(&*reader, &standing).map(|entries| Record::Journal { run: standing.run, first: 0, entries })
    });
    Ok(Box::new(orders.chain(events).chain(runs).chain(cleared).chain(controls)))
}

impl LogStore {
    pub(crate) fn shared(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> Result<Arc<dyn LogReader>, StoreError> {
        let shared = self.shared();
        let refusing = || shared.refusing.clone().unwrap_or(StoreError::Closed);
        shared.reader.clone().ok_or_else(refusing)
    }

    fn standing(&self, run: RunId) -> Option<Standing> {
        let shared = self.shared();
        shared.index.row(run).map(|row| row.standing(&shared.index.starts))
    }

    /// The run with its journal. Its records may be written again while they are read, so a failure is looked at twice.
    pub(crate) fn record(&self, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        let mut tried: Option<(Standing, StoreError)> = None;
        for _ in 0..TRIES {
            let Some(standing) = self.standing(run) else { return Ok(None) };
            if let Some((earlier, error)) = tried
                && earlier.places == standing.places
            {
                return Err(error);
            }
            match journal(&*self.reader()?, &standing) {
                Ok(journal) => {
                    let run = Run::fold(run, &journal).map_err(|error| StoreError::Damaged(error.to_string()))?;
                    return Ok(Some(RunRecord { run, journal }));
                }
                Err(error) => tried = Some((standing, error)),
            }
        }
        Err(tried.map_or(StoreError::Closed, |(_, error)| error))
    }

    /// An event, from its own record or from the first run that tells of it. Either may be written again meanwhile.
    fn event_record(&self, key: EventKey) -> Result<Option<EventRecord>, StoreError> {
        let mut tried = None;
        for _ in 0..TRIES {
            let Some((row, first)) = self.event_row(key) else { return Ok(None) };
            let Some(place) = row.place else {
                let Some((run, first)) = first else { return Ok(None) };
                // A run that was pruned since tells of nothing.
                let Some(data) = self.payload_at(run, first)? else { return Ok(None) };
                let (reference, received_at) = ((*row.reference).clone(), row.received_at);
                return Ok(Some(EventRecord { reference, data, received_at, runs: row.runs.to_vec() }));
            };
            match self.reader()?.read(place) {
                Ok(Record::Event { reference, data, received_at, runs }) if reference.key == key => {
                    return Ok(Some(EventRecord { reference, data, received_at, runs }));
                }
                _ if tried == Some(place) => break,
                _ => tried = Some(place),
            }
        }
        Err(StoreError::Damaged(format!("the event {key} is not where it should be")))
    }

    /// The row of an event, with the first run that tells of it and where that begins.
    fn event_row(&self, key: EventKey) -> Option<(EventRow, Option<(RunId, Place)>)> {
        let shared = self.shared();
        let row = shared.index.event(key)?.clone();
        let first = row.runs.first().and_then(|run| Some((*run, *shared.index.row(*run)?.places.first()?)));
        Some((row, first))
    }

    /// A mail with its run and the key of its effect, wherever it stands.
    pub(crate) fn mail_effect(&self, id: MailId) -> Result<Option<Release>, StoreError> {
        let Some(run) = self.shared().index.mails.row(id).map(|row| row.run) else { return Ok(None) };
        let Some(record) = self.record(run)? else { return Ok(None) };
        let mut mails = record.memory().mails.into_iter();
        let found = mails.find(|(_, remembered)| remembered.mail.id == id);
        Ok(found.map(|(key, remembered)| Release { run, key, mail: remembered.mail }))
    }

    /// The payload of a run that is there, from its first entry.
    pub(crate) fn payload(&self, run: RunId, first: Place) -> Result<Json, StoreError> {
        let payload = self.payload_at(run, first)?;
        payload.ok_or_else(|| StoreError::Damaged(format!("{run} is gone while it is claimed")))
    }

    /// The payload of a run, from its first entry; none when the run is gone.
    fn payload_at(&self, run: RunId, first: Place) -> Result<Option<Json>, StoreError> {
        match self.reader()?.read(first) {
            Ok(Record::Journal { run: found, entries, .. }) if found == run => match entries.first() {
                Some(Entry { kind: EntryKind::Enqueued(enqueued), .. }) => Ok(Some(enqueued.payload.clone())),
                _ => Err(StoreError::Damaged(format!("the journal of {run} does not begin with its enqueue"))),
            },
            // It was written again meanwhile.
            _ => Ok(self.record(run)?.map(|record| record.run.payload)),
        }
    }
}

fn summary(id: MailId, record: &RunRecord, remembered: &RememberedMail) -> MailSummary {
    let mail = &remembered.mail;
    MailSummary {
        id,
        run: record.run.head.id,
        job: record.run.head.job.clone(),
        kind: mail.message.kind.clone(),
        to: mail.message.to.address.clone(),
        subject: mail.message.subject.clone(),
        status: remembered.status,
        message_id: mail.message_id.clone(),
        attempts: remembered.attempts,
        created_at: mail.created_at,
        sent_at: remembered.settled_at.filter(|_| matches!(remembered.status, MailStatus::Sent | MailStatus::Captured)),
        error: remembered.error.clone(),
        reply: remembered.reply.clone(),
    }
}

#[async_trait]
impl Query for LogStore {
    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.record(id)
    }

    async fn heads(&self, ids: &[RunId]) -> Result<Vec<RunHead>, StoreError> {
        let shared = self.shared();
        Ok(ids.iter().filter_map(|id| shared.index.head(*id)).cloned().collect())
    }

    async fn neighbours(&self, run: RunId) -> Result<Neighbours, StoreError> {
        Ok(self.shared().index.neighbours(run))
    }

    async fn runs(
        &self,
        filter: &RunFilter,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page<Run>, StoreError> {
        let mut ids: Vec<RunId> = {
            let shared = self.shared();
            shared.index.matching(filter, after, now).take(limit + 1).map(|head| head.id).collect()
        };
        let next = (ids.len() > limit).then(|| ids[limit - 1]);
        ids.truncate(limit);
        let mut items = Vec::with_capacity(ids.len());
        for id in ids {
            // One that was pruned since is not there.
            items.extend(self.record(id)?.map(|record| record.run));
        }
        Ok(Page { items, next })
    }

    async fn counts_of(&self, filter: &RunFilter, most: usize, now: Timestamp) -> Result<Option<Counts>, StoreError> {
        Ok(self.shared().index.counts_of(filter, most, now))
    }

    async fn event(&self, id: &EventId) -> Result<Option<EventRecord>, StoreError> {
        let key = self.shared().index.event_meant(id).map(|row| row.reference.key);
        key.map(|key| self.event_record(key)).transpose().map(Option::flatten)
    }

    async fn event_by_key(&self, key: EventKey) -> Result<Option<EventRecord>, StoreError> {
        self.event_record(key)
    }

    async fn events(
        &self,
        filter: &EventFilter,
        after: Option<EventKey>,
        limit: usize,
    ) -> Result<Page<EventRecord, EventKey>, StoreError> {
        let mut keys: Vec<EventKey> = {
            let shared = self.shared();
            shared.index.events_matching(filter, after).take(limit + 1).map(|row| row.reference.key).collect()
        };
        let next = (keys.len() > limit).then(|| keys[limit - 1]);
        keys.truncate(limit);
        let mut items = Vec::with_capacity(keys.len());
        for key in keys {
            // One that was pruned since is not there.
            items.extend(self.event_record(key)?);
        }
        Ok(Page { items, next })
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let mut tried = None;
        for _ in 0..TRIES {
            let Some(place) = self.shared().index.delivery(id).map(|row| row.place) else { return Ok(None) };
            match self.reader()?.read(place) {
                Ok(Record::Delivery(delivery)) if delivery.id == id => return Ok(Some(delivery)),
                // Unless it was written again meanwhile.
                _ if tried == Some(place) => break,
                _ => tried = Some(place),
            }
        }
        Err(StoreError::Damaged(format!("the delivery {id} is not where it should be")))
    }

    async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Page<DeliverySummary, DeliveryId>, StoreError> {
        let shared = self.shared();
        let found = shared.index.deliveries_matching(filter, after).take(limit + 1);
        let mut items: Vec<DeliverySummary> = found.map(|row| (*row.summary).clone()).collect();
        let next = (items.len() > limit).then(|| items[limit - 1].id);
        items.truncate(limit);
        Ok(Page { items, next })
    }

    async fn tokens(&self) -> Result<Arc<[Token]>, StoreError> {
        Ok(self.shared().index.tokens())
    }

    async fn audit(
        &self,
        filter: &AuditFilter,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<Page<AuditEntry, AuditId>, StoreError> {
        let shared = self.shared();
        let mut items: Vec<AuditEntry> = shared.index.audit(filter, after).take(limit + 1).cloned().collect();
        let next = (items.len() > limit).then(|| items[limit - 1].id);
        items.truncate(limit);
        Ok(Page { items, next })
    }

    async fn versions(&self, job: &JobId) -> Result<Vec<JobVersion>, StoreError> {
        Ok(self.shared().index.versions(job))
    }

    async fn dead_groups(&self) -> Result<Vec<DeadGroup>, StoreError> {
        Ok(self.shared().index.dead_groups())
    }

    async fn counts(&self, job: Option<&JobId>, now: Timestamp) -> Result<Counts, StoreError> {
        Ok(self.shared().index.counts(job, now))
    }

    async fn activity(&self, now: Timestamp) -> Result<Activity, StoreError> {
        Ok(self.shared().index.activity(now))
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(self.shared().index.totals.clone())
    }

    async fn usage(&self, job: &JobId) -> Result<Vec<VersionUsage>, StoreError> {
        Ok(self.shared().index.usage(job))
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.shared().index.next_due(now))
    }

    async fn waiting_for(&self, id: RunId, now: Timestamp) -> Result<Option<WaitingFor>, StoreError> {
        Ok(self.shared().index.waiting_for(id, now))
    }

    async fn queues(&self, now: Timestamp) -> Result<Vec<QueueView>, StoreError> {
        Ok(self.shared().index.queues(now))
    }

    async fn job_flow(&self, job: &JobId, now: Timestamp) -> Result<JobFlowView, StoreError> {
        Ok(self.shared().index.job_flow(job, now))
    }

    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        Ok(self.shared().index.schedules().cloned().collect())
    }

    async fn mails(
        &self,
        filter: &MailFilter,
        after: Option<MailId>,
        limit: usize,
    ) -> Result<Page<MailSummary, MailId>, StoreError> {
        let mut found: Vec<(MailId, RunId)> = {
            let shared = self.shared();
            shared.index.mails.matching(filter, after).take(limit + 1).map(|(id, row)| (id, row.run)).collect()
        };
        let next = (found.len() > limit).then(|| found[limit - 1].0);
        found.truncate(limit);
        let mut items = Vec::with_capacity(found.len());
        for (id, run) in found {
            let Some(record) = self.record(run)? else { continue };
            let memory = Memory::of(&record.journal);
            let summary = memory.mail(id).map(|remembered| summary(id, &record, remembered));
            let is_asked_for = |it: &MailSummary| filter.to.as_ref().is_none_or(|to| to.eq_ignore_ascii_case(&it.to));
            items.extend(summary.filter(is_asked_for));
        }
        Ok(Page { items, next })
    }

    async fn mail(&self, id: MailId) -> Result<Option<MailView>, StoreError> {
        let Some(run) = self.shared().index.mails.row(id).map(|row| row.run) else {
            return Ok(None);
        };
        let Some(record) = self.record(run)? else { return Ok(None) };
        let memory = Memory::of(&record.journal);
        let remembered =
            memory.mail(id).ok_or_else(|| StoreError::Damaged(format!("the content of {id} is missing")))?;
        Ok(Some(MailView { summary: summary(id, &record, remembered), mail: (*remembered.mail).clone() }))
    }

    async fn mails_in_doubt(&self, run: RunId) -> Result<Vec<DoubtfulMail>, StoreError> {
        Ok(self.shared().index.mails.doubtful(run).map(|(_, mail)| mail.clone()).collect())
    }

    async fn suppression(&self, address: &str) -> Result<Option<Suppression>, StoreError> {
        Ok(self.shared().index.suppression(address).cloned())
    }

    async fn suppressions(
        &self,
        after: Option<SuppressionCursor>,
        limit: usize,
    ) -> Result<Page<Suppression, SuppressionCursor>, StoreError> {
        let mut items: Vec<Suppression> = self.shared().index.suppressions(after).take(limit + 1).cloned().collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let cursor = |last: &Suppression| SuppressionCursor { at: last.at, digest: last.digest };
        let next = items.last().filter(|_| more).map(cursor);
        Ok(Page { items, next })
    }

    async fn orders(&self, after: Option<&str>, limit: usize) -> Result<Page<Order, String>, StoreError> {
        let mut items: Vec<Order> =
            self.shared().index.orders(after).take(limit + 1).map(|order| (**order).clone()).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|order| order.id.clone());
        Ok(Page { items, next })
    }

    async fn order(&self, id: &str) -> Result<Option<Order>, StoreError> {
        Ok(self.shared().index.order(id).map(|order| (**order).clone()))
    }

    async fn export(&self) -> Result<Export, StoreError> {
        let shared = self.shared();
        if let Some(refusing) = &shared.refusing {
            return Err(refusing.clone());
        }
        everything(&shared)
    }
}
