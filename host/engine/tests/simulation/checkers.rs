//! What must hold after every step, whatever was drawn.
//! It changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;

use futures::future::BoxFuture;
use jobmill_core::journal::EntryKind;
use jobmill_core::{Clock as _, Run, RunId, RunState};
use jobmill_store::{
    Claimed, Counts, DeliveryFilter, EventFilter, EventRecord, LeaseReference, LogStore, MemoryLog, Query, Record,
    RunFilter, Schedule, Store as _, StoreError, portable,
};

use crate::happenings::{Happening, Happenings};
use crate::life::poll;
use crate::standing::Standing;
use crate::world::World;

impl World {
    /// Each run that was handed out is running, under a lease that nobody else was given, and its start is on record
    /// where the process's death can't reach it; its attempt is told what earlier ones did.
    pub(crate) fn check_claimed(&mut self, claimed: &[Claimed]) {
        for run in claimed {
            let (id, lease) = (run.head.id, run.head.lease);
            let is_new = self.handed_out.insert((id, lease));
            self.findings.require(is_new, || format!("{id} was handed out twice under lease {lease}"));
            let watch = self.log.watch();
            let Some(told) = watch.told(id) else {
                self.findings.report(|| format!("{id} was handed out, and it is not on record"));
                continue;
            };
            let is_start = |kind: &EntryKind| matches!(kind, EntryKind::Started(started) if started.lease == lease);
            let Some(start) = told.journal.iter().position(|entry| is_start(&entry.kind)) else {
                self.findings.report(|| format!("{id} was handed out, and its start is not on record"));
                continue;
            };
            let journal = if start == 1 { &[][..] } else { &told.journal[..=start] };
            self.findings.require(run.journal == journal, || {
                format!("{id} was handed out with {} entries of {}", run.journal.len(), journal.len())
            });
            let payload = told.enqueued().map(|enqueued| &enqueued.payload);
            self.findings.require(payload == Some(&run.payload), || format!("{id} has another payload"));
            let standing = told.standings().nth(start);
            self.findings.require(standing == Some(Standing::of(&run.head)), || {
                format!("{id} was handed out as {:?} and is told as {standing:?}", run.head)
            });
        }
    }

    /// An end that was acknowledged is durable.
    pub(crate) fn check_ended(&self, lease: LeaseReference) {
        let watch = self.log.watch();
        let Some(told) = watch.durable.runs.get(&lease.run) else {
            let gone = watch.durable.pruned.contains(&lease.run);
            return self.findings.require(gone, || format!("{} ended on record, and is not there", lease.run));
        };
        let mut under = told
            .journal
            .iter()
            .skip_while(|entry| !matches!(&entry.kind, EntryKind::Started(started) if started.lease == lease.token));
        let ended = under.any(|entry| matches!(entry.kind, EntryKind::Finished(_)));
        self.findings.require(ended, || format!("the end of {lease:?} was acknowledged and is not durable"));
    }

    /// The store failed: only where it was made to.
    pub(crate) fn check_error(&self, error: &StoreError) {
        let is_expected = self.is_failing && matches!(error, StoreError::Failed(_));
        self.findings.require(is_expected, || format!("the store failed by itself: {error}"));
    }

    /// A process that ended in order leaves nothing undone.
    pub(crate) fn check_closed(&self) {
        let watch = self.log.watch();
        let running = watch.durable.runs.iter().find(|(_, told)| told.standing.state == RunState::Running);
        self.findings.require(running.is_none() && watch.noted.is_empty(), || {
            format!("the process ended in order, and {:?} is running", running.map(|(run, _)| run))
        });
    }

    /// What was written about last is read back as it was written.
    pub(crate) fn check_touched(&self) {
        let touched: BTreeSet<RunId> = std::mem::take(&mut self.log.watch().touched);
        if !self.is_failing {
            for run in touched {
                self.check_run(run);
            }
        }
    }

    fn check_run(&self, run: RunId) {
        let Some(life) = &self.life else { return };
        let store: &dyn Query = &**life.store();
        let told = self.log.watch().told(run);
        let record = match Self::now(store.run(run)) {
            Ok(record) => record,
            Err(StoreError::Unavailable(_)) => return,
            Err(error) => return self.findings.report(|| format!("{run} can't be read: {error}")),
        };
        let (Some(told), Some(record)) = (&told, &record) else {
            return self.findings.require(told.is_none() && record.is_none(), || {
                format!("{run} is told: {}, and read: {}", told.is_some(), record.is_some())
            });
        };
        let read = Standing::of(&record.run.head);
        self.findings.require(told.journal == record.journal && told.standing == read, || {
            let lengths = (told.journal.len(), record.journal.len());
            format!("{run} is told as {:?} and read as {read:?}; entries: {lengths:?}", told.standing)
        });
    }

    /// The counts are those of the runs.
    pub(crate) fn check_counts(&self) {
        let Some(life) = self.life.as_ref().filter(|_| !self.is_failing) else { return };
        let store: &dyn Query = &**life.store();
        let now = self.clock.now();
        let mut told = self.log.watch().counts(now);
        let mut counted = Self::now(store.counts(None, now)).map(|counts| counts.0);
        if self.clock_went_back {
            // What was seen to be due in this life goes on to be shown so.
            merge_waiting(&mut told);
            counted.iter_mut().for_each(merge_waiting);
        }
        self.findings.require(counted == Ok(told), || format!("counted {counted:?}, told {told:?}"));
    }

    /// Everything that is on record is there after a start.
    pub(crate) fn check_all(&self) {
        let Some(life) = &self.life else { return };
        let store: &dyn Query = &**life.store();
        let (told, orders, happenings): (BTreeSet<RunId>, Vec<_>, _) = {
            let watch = self.log.watch();
            let truth = &watch.durable;
            (truth.runs.keys().copied().collect(), truth.orders.values().cloned().collect(), truth.happenings.clone())
        };
        let page = Self::now(store.runs(&RunFilter::default(), None, 100_000, self.clock.now()));
        let read = page.map(|page| page.items.into_iter().map(|run| run.head.id).collect::<BTreeSet<_>>());
        self.findings.require(read.as_ref() == Ok(&told), || format!("there are {read:?} after a start, not {told:?}"));
        for run in told {
            self.check_run(run);
        }
        let book = Self::now(store.orders(None, 1_000)).map(|page| page.items);
        self.findings.require(book.as_ref() == Ok(&orders), || format!("the orders are {book:?}, not {orders:?}"));
        self.check_happenings(&happenings);
        self.check_counts();
    }

    /// Events and deliveries are there, as they are on record, and no others.
    fn check_happenings(&self, told: &Happenings) {
        let Some(life) = &self.life else { return };
        let store: &dyn Query = &**life.store();
        let listed = Self::now(store.events(&EventFilter::default(), None, 100_000)).map(|page| page.items);
        let listed: Vec<_> = listed.unwrap_or_default().into_iter().rev().collect();
        let is_so = |(event, read): (&Happening, &EventRecord)| {
            let is_own = event.alone.as_ref().is_none_or(|(data, _)| *data == read.data);
            is_own
                && event.reference == read.reference
                && event.runs() == read.runs
                && event.received_at == read.received_at
        };
        let all = listed.len() == told.events.len() && told.events.values().zip(&listed).all(is_so);
        self.findings.require(all, || {
            let count = (told.events.len(), listed.len());
            let other = told.events.values().zip(&listed).find(|pair| !is_so(*pair));
            let other = other.map(|(event, read)| (event.reference.clone(), event.runs(), read.clone()));
            format!("after a start there are other events than were told: {count:?}, {other:?}")
        });
        for (id, delivery) in &told.deliveries {
            let read = Self::now(store.delivery(*id));
            self.findings.require(read.as_ref() == Ok(&Some(delivery.clone())), || {
                format!("{delivery:?} is read as {read:?} after a start")
            });
        }
        let listed =
            Self::now(store.deliveries(&DeliveryFilter::default(), None, 100_000)).map(|page| page.items.len());
        self.findings.require(listed == Ok(told.deliveries.len()), || format!("{listed:?} deliveries after a start"));
    }

    /// What is exported is everything, as it is on record.
    pub(crate) fn check_export(&self) {
        let Some(life) = &self.life else { return };
        let store: &dyn Query = &**life.store();
        let exported: Vec<_> = match Self::now(store.export()) {
            Ok(export) => export.collect(),
            Err(error) => return self.findings.report(|| format!("nothing can be exported: {error}")),
        };
        self.check_import(&exported);
        let watch = self.log.watch();
        let mut runs = 0;
        for record in exported {
            match record {
                Ok(Record::Journal { run, first: 0, entries }) => {
                    runs += 1;
                    let told = watch.told(run);
                    let same = told.is_some_and(|told| told.journal == entries);
                    self.findings.require(same, || format!("{run} is exported as it is not"));
                }
                Ok(Record::Journal { run, first, .. }) => {
                    self.findings.report(|| format!("{run} is exported from {first}"));
                }
                Ok(_) => {}
                Err(error) => self.findings.report(|| format!("something can't be exported: {error}")),
            }
        }
        let told = watch.written.runs.len();
        self.findings.require(runs == told, || format!("{runs} runs are exported, of {told}"));
    }

    /// Another store that takes the lines of an export in is the same store.
    fn check_import(&self, exported: &[Result<Record, StoreError>]) {
        let copy = exported.to_vec();
        let lines = portable::lines(Box::new(copy.into_iter()), self.clock.now());
        let mut reading = portable::Reading::default();
        let taken = lines.map(|line| {
            reading
                .take(line.map_err(|error| error.to_string())?.trim_end_matches('\n'))
                .map_err(|error| error.to_string())
        });
        let records: Vec<Record> = match taken.collect::<Result<Vec<_>, String>>() {
            Ok(records) => records.into_iter().flatten().collect(),
            Err(error) => return self.findings.report(|| format!("an export can't be read: {error}")),
        };
        let ended = reading.finish();
        self.findings.require(ended.is_ok(), || format!("an export has no end: {ended:?}"));
        let Ok((store, mut committer)) = LogStore::by_hand(MemoryLog::new()) else {
            return self.findings.report(|| "an empty store can't be opened".to_owned());
        };
        let store = Arc::new(store);
        let (importing, count) = (Arc::clone(&store), records.len());
        let mut imported: BoxFuture<'static, _> = Box::pin(async move { importing.import(records).await });
        let _ = poll(&mut imported);
        committer.step();
        let imported = poll(&mut imported);
        self.findings.require(imported == Poll::Ready(Ok(count)), || format!("{imported:?} of {count} were imported"));
        let again = Self::now(store.export()).map(Iterator::collect::<Vec<_>>);
        self.findings
            .require(again.as_deref() == Ok(exported), || "what was imported is not what was exported".to_owned());
        let Some(life) = &self.life else { return };
        let (rows, imported) = (self.rows(&**life.store()), self.rows(&*store));
        self.findings.require(rows == imported, || format!("another store shows {imported:?}, and not {rows:?}"));
    }

    /// What a store shows of runs, events and schedules.
    fn rows(&self, store: &dyn Query) -> (Vec<Run>, Counts, Vec<Schedule>, Vec<EventRecord>) {
        let now = self.clock.now();
        let events = Self::now(store.events(&EventFilter::default(), None, 100_000)).map(|page| page.items);
        let runs = Self::now(store.runs(&RunFilter::default(), None, 100_000, now)).map(|page| page.items);
        let counts = Self::now(store.counts(None, now));
        let schedules = Self::now(store.schedules()).unwrap_or_default();
        (runs.unwrap_or_default(), counts.unwrap_or_default(), schedules, events.unwrap_or_default())
    }

    /// Something goes on for ever.
    pub(crate) fn report_unfinished(&self) {
        let watch = self.log.watch();
        let unfinished = watch.written.runs.iter().find(|(_, told)| !told.standing.state.is_final());
        self.findings.report(|| match unfinished {
            Some((run, told)) => format!("{run} never ends: {:?}", told.standing),
            None => "an answer never comes".to_owned(),
        });
    }
}

/// Counts whatever waits as available.
fn merge_waiting(counts: &mut [usize; 7]) {
    for state in [RunState::Scheduled, RunState::Retryable] {
        counts[RunState::Available as usize] += std::mem::take(&mut counts[state as usize]);
    }
}
