//! The log under the store, watched: what was written, what of it is durable, which starts were noted.
//! It loses nothing by itself; the world says what a crash leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jobmill_core::flow::Mark;
use jobmill_core::journal::{Enqueued, Entry, EntryKind, EventReference, Started};
use jobmill_core::{Clock as _, EventKey, RunId, RunState, Timestamp};
use jobmill_store::{
    Control, JobControl, Kept, Log, LogError, LogOpener, LogReader, MemoryLog, Notes, Place, Record, Rules, Space,
    StoreError, WaitingBounds,
};

use crate::clock::SimulatedClock;
use crate::findings::Findings;
use crate::flow_model::{Asking, FlowModel};
use crate::forgets::{Cut, Forgetting};
use crate::schedule_checkers::{Decided, Key};
use crate::standing::Standing;
use crate::truth::{Told, Truth};

/// What happens while a commit is on its way to the disk.
pub(crate) type Meanwhile = Box<dyn FnOnce() + Send>;

/// Clones watch the same log.
#[derive(Clone)]
pub(crate) struct WatchedLog {
    log: MemoryLog,
    clock: SimulatedClock,
    findings: Findings,
    watch: Arc<Mutex<Watch>>,
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Watch {
    /// What a power cut leaves.
    pub(crate) durable: Truth,
    /// What was written, synced or not.
    pub(crate) written: Truth,
    unsynced: Vec<Vec<Record>>,
    /// Starts on the page of notes that no durable group has yet.
    pub(crate) noted: BTreeMap<RunId, (u32, Entry)>,
    /// Runs that were written about since somebody asked.
    pub(crate) touched: BTreeSet<RunId>,
    /// Room for work under way only.
    pub(crate) is_low: bool,
    /// Blocks can't be given back.
    pub(crate) keeps_blocks: bool,
    meanwhile: Option<Meanwhile>,
    /// What limits go by, beside the runs.
    pub(crate) flow: FlowModel,
    /// How many may wait, as each request said.
    pub(crate) bounds: BTreeMap<RunId, WaitingBounds>,
    /// What each event takes back.
    pub(crate) cancels: BTreeMap<EventKey, (EventReference, Vec<Mark>)>,
    /// Runs that somebody asked to be due at once.
    pub(crate) made_due: BTreeSet<RunId>,
    /// By what schedules go on.
    pub(crate) decided: Decided,
    /// Schedules that the store refused to take on when it was last asked.
    pub(crate) refused: BTreeSet<Key>,
    /// What is being forgotten, by the number of the request.
    pub(crate) forgetting: BTreeMap<u64, Forgetting>,
    /// The power is to go when the log is next written anew, or has gone.
    pub(crate) cut: Option<Cut>,
    /// A write has failed since the log was opened.
    pub(crate) is_refusing: bool,
}

impl WatchedLog {
    pub(crate) fn new(clock: SimulatedClock, findings: Findings, windows: (Duration, Duration)) -> Self {
        let mut watch = Watch::default();
        (watch.written.happenings.windows, watch.durable.happenings.windows) = (windows, windows);
        Self { log: MemoryLog::new(), clock, findings, watch: Arc::new(Mutex::new(watch)) }
    }

    pub(crate) fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().expect("not poisoned")
    }

    /// A claim under these rules is about to be made.
    pub(crate) fn claims(&self, rules: &Arc<Rules>) {
        let mut watch = self.watch();
        if !watch.is_refusing {
            watch.flow.claims(rules, self.clock.now());
        }
    }

    pub(crate) fn memory(&self) -> &MemoryLog {
        &self.log
    }

    /// To be done after the next group was appended and before it is synced.
    pub(crate) fn meanwhile(&self, what: Meanwhile) {
        self.watch().meanwhile = Some(what);
    }

    /// Nothing was appended in time.
    pub(crate) fn stop_meanwhile(&self) {
        self.watch().meanwhile = None;
    }

    pub(crate) fn unsynced(&self) -> usize {
        self.watch().unsynced.len()
    }

    /// The machine or the process is gone.
    pub(crate) fn crash(&self, kept: Kept) {
        self.log.crash_keeping(kept);
        let mut watch = self.watch();
        let watch = &mut *watch;
        for group in watch.unsynced.drain(..).take(kept.groups) {
            watch.durable.take_in(&group, &Findings::default());
        }
        watch.written = watch.durable.clone();
        if kept.notes {
            watch.settle_notes();
        } else {
            watch.noted.clear();
        }
        watch.meanwhile = None;
        watch.refused.clear();
        watch.forgetting.clear();
        watch.cut = None;
    }

    fn check_start(&self, watch: &mut Watch, run: RunId, first: u32, entry: &Entry) {
        let now = self.clock.now();
        let Some(told) = watch.told(run) else {
            return self.findings.report(|| format!("{run} was claimed, and it is not written"));
        };
        let length = told.journal.len();
        self.findings.require(length == first as usize, || {
            format!("the start of {run} is noted as entry {first}, and it has {length} entries")
        });
        match told.standing.after(entry) {
            Ok(_) => self.findings.require(told.standing.is_due(now), || {
                format!("{run} was claimed at {now}, before its time, which is {}", told.standing.due)
            }),
            Err(reason) => self.findings.report(|| format!("the claim of {run}: {reason}")),
        }
        let has_expired = told.standing.expires.is_some_and(|at| at <= now);
        self.findings.require(!has_expired, || format!("{run} was claimed at {now}, after it had expired"));
        if let EntryKind::Started(started) = &entry.kind {
            watch.check_limits(run, started, entry.at, &self.findings);
        }
    }
}

impl Watch {
    /// The run with the start that is noted of it.
    pub(crate) fn told(&self, run: RunId) -> Option<Told> {
        let mut told = self.written.runs.get(&run)?.clone();
        if let Some((first, entry)) = self.noted.get(&run)
            && *first as usize == told.journal.len()
            && let Ok(standing) = told.standing.after(entry)
        {
            told.standing = standing;
            told.journal.push(entry.clone());
        }
        Some(told)
    }

    /// Whether an attempt of a durable run is under way, as far as anybody may know: an end counts once it is durable.
    pub(crate) fn is_under_way(&self, run: RunId, told: &Told) -> bool {
        let is_noted = |first: &u32| *first as usize == told.journal.len();
        told.standing.state == RunState::Running || self.noted.get(&run).is_some_and(|(first, _)| is_noted(first))
    }

    /// A log with these records is opened: by a new process, or by one whose disk had no room. What they say of starts
    /// counts, also of runs that were forgotten, until they are gone.
    fn open(&mut self, records: &[Record]) {
        self.is_refusing = false;
        let mut told: BTreeMap<RunId, &Enqueued> = BTreeMap::new();
        let mut starts: Vec<(Asking<'_>, &Started)> = Vec::new();
        for record in records {
            let Record::Journal { run, entries, .. } = record else { continue };
            for entry in entries {
                match &entry.kind {
                    EntryKind::Enqueued(enqueued) => _ = told.insert(*run, enqueued),
                    EntryKind::Started(started) => {
                        starts.extend(told.get(run).map(|enqueued| (Asking::with(enqueued), started)));
                    }
                    _ => {}
                }
            }
        }
        let Self { durable, noted, flow, .. } = self;
        let noted = noted.iter().filter_map(|(run, (_, entry))| match &entry.kind {
            EntryKind::Started(started) => Some((Asking::of(durable.runs.get(run)?)?, started)),
            _ => None,
        });
        flow.open(starts.into_iter().chain(noted));
    }

    /// A group is durable: what it says of attempts is known from now on.
    fn settle(&mut self, group: &[Record], findings: &Findings) {
        // What comes before a floor was only written again.
        let decided = group.iter().rposition(|record| matches!(record, Record::Floor { .. })).map_or(0, |at| at + 1);
        for (number, record) in group.iter().enumerate() {
            if let Record::Control(Control::Job { job, control: JobControl { paused: None } }) = record
                && number >= decided
            {
                self.flow.resumed(job);
            }
            let Record::Journal { run, first, entries } = record else { continue };
            let known = self.durable.runs.get(run).map_or(0, |told| told.journal.len());
            let new = entries.get(known.saturating_sub(*first as usize)..).unwrap_or_default();
            if let Some(enqueued) = self.written.runs.get(run).and_then(Told::enqueued) {
                self.flow.took_in(*run, &enqueued.job, new);
            }
        }
        self.durable.take_in(group, findings);
    }

    /// How many runs show each state.
    pub(crate) fn counts(&self, now: Timestamp) -> [usize; 7] {
        let is_next = |run: &RunId, first: u32| {
            self.written.runs.get(run).is_some_and(|told| told.journal.len() == first as usize)
        };
        let claimed = self.noted.iter().filter(|(run, (first, _))| is_next(run, *first)).map(|(run, _)| *run);
        self.written.counts(&claimed.collect(), now)
    }

    /// Starts on the page of notes that go on where their journals end.
    pub(crate) fn noted_next(&self) -> impl Iterator<Item = Record> {
        let is_next = |run: &RunId, first: u32| {
            self.written.runs.get(run).is_some_and(|told| told.journal.len() == first as usize)
        };
        let noted = self.noted.iter().filter(move |(run, (first, _))| is_next(run, *first));
        noted.map(|(run, (first, entry))| Record::Journal { run: *run, first: *first, entries: vec![entry.clone()] })
    }

    /// Drops notes that a durable group has.
    pub(crate) fn settle_notes(&mut self) {
        let durable = &self.durable.runs;
        self.noted.retain(|run, (first, _)| durable.get(run).is_some_and(|told| told.journal.len() <= *first as usize));
    }
}

impl LogOpener for WatchedLog {
    fn open(&mut self) -> Result<Box<dyn Log>, LogError> {
        let mut log = self.log.open()?;
        let mut records = Vec::new();
        log.scan(&mut |_, record| records.push(record))?;
        self.watch().open(&records);
        Ok(Box::new(Open { log, watched: self.clone() }))
    }

    fn rewrite(&mut self, records: &mut dyn Iterator<Item = Result<Record, StoreError>>) -> Result<(), StoreError> {
        let records = records.collect::<Result<Vec<_>, _>>()?;
        let cut = self.watch().cut;
        self.findings.note(|| format!("  writes the log anew with {} records; the power goes {cut:?}", records.len()));
        self.watch().check_rewrite(&records, &self.findings);
        self.watch().cut = cut.map(|_| Cut::Done);
        let gone = Err(StoreError::Failed("the power is gone".to_owned()));
        if cut == Some(Cut::Before) {
            return gone;
        }
        self.log.rewrite(&mut records.iter().cloned().map(Ok))?;
        self.watch().rewritten(&records, &self.findings);
        if cut.is_some() { gone } else { Ok(()) }
    }
}

/// The log while it is open.
struct Open {
    log: Box<dyn Log>,
    watched: WatchedLog,
}

impl Log for Open {
    fn reader(&self) -> Arc<dyn LogReader> {
        self.log.reader()
    }

    fn notes(&self) -> Arc<dyn Notes> {
        Arc::new(WatchedNotes { notes: self.log.notes(), watched: self.watched.clone() })
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Place, Record)) -> Result<(), LogError> {
        self.log.scan(visit)
    }

    fn append(&mut self, group: &[Record]) -> Result<Vec<Place>, LogError> {
        let appended = self.log.append(group);
        let mut watch = self.watched.watch();
        let watch = &mut *watch;
        watch.is_refusing |= appended.is_err();
        let places = appended?;
        for record in group {
            self.watched.findings.note(|| format!("  writes {}", line(record)));
            if let Record::Journal { run, first, entries } = record {
                watch.touched.insert(*run);
                let is_new = watch.written.runs.get(run).is_none_or(|told| told.journal.len() <= *first as usize);
                for entry in entries.iter().filter(|entry| is_new && matches!(entry.kind, EntryKind::Started(_))) {
                    let noted = watch.noted.get(run).is_some_and(|(_, noted)| noted == entry);
                    self.watched.findings.require(noted, || format!("a start of {run} is written that was not noted"));
                }
            }
        }
        watch.check_gone(group, self.watched.clock.latest(), &self.watched.findings);
        watch.check_group(group, &self.watched.findings);
        watch.written.happenings.check_group(group, &watch.written.runs, &self.watched.findings);
        watch.check_schedules(group, self.watched.clock.latest(), &self.watched.findings);
        watch.written.take_in(group, &self.watched.findings);
        watch.unsynced.push(group.to_vec());
        Ok(places)
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let meanwhile = self.watched.watch().meanwhile.take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        let synced = self.log.sync();
        let mut watch = self.watched.watch();
        let watch = &mut *watch;
        watch.is_refusing |= synced.is_err();
        synced?;
        for group in std::mem::take(&mut watch.unsynced) {
            watch.settle(&group, &self.watched.findings);
        }
        watch.settle_notes();
        Ok(())
    }

    fn release(&mut self, block: u64) -> Result<(), LogError> {
        if self.watched.watch().keeps_blocks {
            return Err(LogError::Io("the blocks can't be given back".to_owned()));
        }
        self.watched.findings.note(|| format!("  gives back what is before block {block}"));
        self.log.release(block)
    }

    fn space(&self) -> Result<Space, LogError> {
        let space = self.log.space()?;
        Ok(if self.watched.watch().is_low { Space { free: 0, ..space } } else { space })
    }
}

struct WatchedNotes {
    notes: Arc<dyn Notes>,
    watched: WatchedLog,
}

impl WatchedNotes {
    /// Starts are on the page.
    fn noted(&self, starts: &[Record]) {
        let mut watch = self.watched.watch();
        let watch = &mut *watch;
        for start in starts {
            let Record::Journal { run, first, entries } = start else { continue };
            let Some(entry) = entries.first() else { continue };
            if watch.noted.get(run).is_none_or(|(_, noted)| noted != entry) {
                self.watched.findings.note(|| format!("  notes a start of {run}"));
                self.watched.check_start(watch, *run, *first, entry);
                watch.noted.insert(*run, (*first, entry.clone()));
            }
        }
        watch.settle_notes();
    }
}

impl Notes for WatchedNotes {
    fn add(&self, starts: &[Record]) -> Result<bool, LogError> {
        let has_room = self.notes.add(starts)?;
        if has_room {
            self.noted(starts);
        }
        Ok(has_room)
    }

    fn begin(&self, starts: &[Record]) -> Result<(), LogError> {
        self.notes.begin(starts)?;
        let is_there =
            |wanted: &RunId| starts.iter().any(|it| matches!(it, Record::Journal { run, .. } if run == wanted));
        let dropped = self.watched.watch().noted.keys().find(|run| !is_there(run)).copied();
        self.watched.findings.require(dropped.is_none(), || {
            format!("the start of {dropped:?} was taken off the page before it was durable")
        });
        self.noted(starts);
        Ok(())
    }

    fn read(&self) -> Result<Vec<Record>, LogError> {
        self.notes.read()
    }
}

/// A record in a line of the trace.
fn line(record: &Record) -> String {
    let Record::Journal { run, first, entries } = record else { return format!("{record:?}") };
    let kinds: Vec<_> = entries.iter().map(|entry| format!("{} {:?}", entry.at.as_millis(), entry.kind)).collect();
    format!("{run} from {first}: {kinds:?}")
}

/// How a head stands against what is told: like the run did after one of its entries.
pub(crate) fn stood_so(told: &Told, standing: Standing) -> bool {
    told.standing == standing || told.stood(|it| it == standing)
}
