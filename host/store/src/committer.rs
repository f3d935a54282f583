//! The one place that writes: it decides what waits, appends it, syncs once, applies it, and answers.
//! Whatever waits when a commit begins shares its sync; nothing is answered before the sync returned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use jobmill_core::journal::Entry;
use jobmill_core::{RunId, limits};
use tokio::sync::broadcast;

use crate::cleaning::{self, Cleaning, Plan};
use crate::commands::Touched;
use crate::index::{Index, Misfit};
use crate::log::{Log, LogError, LogOpener, LogReader, Notes, Place, Record};
use crate::queue::{Patience, Queue, Taken};
use crate::reading;
use crate::store::{Change, StoreError};
use crate::totals::Totals;

/// Records that are taken in, or commands answered, before others may look at the index.
const AT_ONCE: usize = 128;
/// How often a log that had no room is tried again.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Decides a command; answers it once the commit is durable.
pub(crate) type Command = Box<dyn FnMut(&mut Commit<'_>) -> Step + Send>;
pub(crate) type Answer = Box<dyn FnOnce(Result<&Index, StoreError>) + Send>;

/// What came of deciding a command.
pub(crate) enum Step {
    /// Decided; to be answered once the commit is durable.
    Done(Answer),
    /// To be decided in the next commit.
    Later,
}

/// A commit while its commands are decided.
pub(crate) struct Commit<'index> {
    /// What is durable, and what was claimed.
    pub(crate) index: &'index Index,
    /// Reads what is durable; none while the log is being opened again.
    pub(crate) reader: Option<Arc<dyn LogReader>>,
    /// What the commands so far touch.
    pub(crate) touched: Touched,
    /// Claims that are not written yet. Whatever writes about such a run takes its start along.
    pub(crate) starts: BTreeMap<RunId, (u32, Entry)>,
    /// What is written: all of it or nothing.
    pub(crate) writes: Vec<Record>,
    /// Why new work is refused.
    pub(crate) full: Option<StoreError>,
    /// Why everything is refused.
    pub(crate) refusing: Option<StoreError>,
}

/// What callers and committer share.
pub(crate) struct Shared {
    pub(crate) index: Index,
    /// None while the log is being opened again.
    pub(crate) reader: Option<Arc<dyn LogReader>>,
    pub(crate) notes: Option<Arc<dyn Notes>>,
    /// Why nothing is taken.
    pub(crate) refusing: Option<StoreError>,
    /// Held by whoever reads the whole log: nothing of it is given back meanwhile.
    pub(crate) reading: Arc<()>,
}

/// Owns the log.
pub struct Committer {
    opener: Box<dyn LogOpener>,
    log: Option<Box<dyn Log>>,
    shared: Arc<RwLock<Shared>>,
    queue: Arc<Queue>,
    changes: broadcast::Sender<Arc<[Change]>>,
    /// Commands of the last commit that touched what others in it had touched.
    later: Vec<Command>,
    cleaning: Cleaning,
    /// New work was refused when it was last looked.
    is_full: bool,
}

/// What a commit comes to.
struct Decided {
    answers: Vec<Answer>,
    records: Vec<Record>,
    /// Runs whose starts are among the records.
    started: Vec<RunId>,
    later: Vec<Command>,
}

/// A log, and what is known of it.
pub(crate) struct Loaded {
    log: Box<dyn Log>,
    index: Index,
    cleaning: Cleaning,
}

/// Opens a log and reads it.
pub(crate) fn load(opener: &mut dyn LogOpener) -> Result<Loaded, StoreError> {
    let mut log = opener.open()?;
    let mut index = Index::default();
    let mut cleaning = Cleaning::default();
    // Of a journal that was written again further on, or pruned, the beginning may be given back already.
    let mut headless = BTreeSet::new();
    log.scan(&mut |place, record| {
        cleaning.add(place, &record);
        if let Err(Misfit(run)) = index.apply(&record, place) {
            headless.insert(run);
            return;
        }
        match record {
            Record::Journal { run, first: 0, .. } => _ = headless.remove(&run),
            Record::Pruned { runs } => runs.iter().for_each(|run| _ = headless.remove(run)),
            _ => {}
        }
    })?;
    if let Some(run) = headless.first() {
        return Err(StoreError::Damaged(format!("the journal of {run} has entries missing")));
    }
    for record in log.notes().read()? {
        let Record::Journal { run, first, entries } = record else { continue };
        // A note that a group has meanwhile, or whose run is gone, says nothing new.
        let is_next = index.row(run).is_some_and(|row| row.entries == first && row.head.state.is_waiting());
        if let (true, Some(entry)) = (is_next, entries.into_iter().next()) {
            index.start(run, entry);
        }
    }
    // What the log tells of was done before.
    index.totals = Totals::default();
    Ok(Loaded { log, index, cleaning })
}

impl Committer {
    pub(crate) fn new(
        opener: Box<dyn LogOpener>,
        loaded: Loaded,
        queue: Arc<Queue>,
        changes: broadcast::Sender<Arc<[Change]>>,
    ) -> (Self, Arc<RwLock<Shared>>) {
        let Loaded { log, index, cleaning } = loaded;
        let (reader, notes) = (Some(log.reader()), Some(log.notes()));
        let shared = Shared { index, reader, notes, refusing: None, reading: Arc::new(()) };
        let shared = Arc::new(RwLock::new(shared));
        let log = Some(log);
        let later = Vec::new();
        (Self { opener, log, shared: Arc::clone(&shared), queue, changes, later, cleaning, is_full: false }, shared)
    }

    /// Cleans a log of so many records and more, instead of only a large one. For a simulation, whose logs are small.
    #[must_use]
    pub fn cleaning_from(mut self, records: usize) -> Self {
        self.cleaning = self.cleaning.from(records);
        self
    }

    /// Commits until the store is closed.
    pub(crate) fn run(mut self) {
        loop {
            let is_busy = !self.later.is_empty() || self.log.is_none() || self.is_cleaning_due();
            if self.step_with(if is_busy { Patience::None } else { Patience::Endless }) {
                break;
            }
            if self.log.is_none() {
                // Opening costs too much to be tried for every request; those of meanwhile are answered together.
                std::thread::park_timeout(REOPEN_PAUSE);
            }
        }
    }

    /// Commits what waits now, without waiting for more; answers whether the store is closed. For whoever has no thread
    /// to spare, such as a simulation.
    pub fn step(&mut self) -> bool {
        self.step_with(Patience::None)
    }

    fn step_with(&mut self, patience: Patience) -> bool {
        let room = limits::COMMANDS_PER_COMMIT.saturating_sub(self.later.len());
        let Taken { commands, closed } = self.queue.take(room, patience);
        if self.log.is_none() {
            self.reopen();
        }
        let mut batch = std::mem::take(&mut self.later);
        batch.extend(commands);
        self.commit(batch);
        let rewriting = self.queue.rewriting();
        if !rewriting.is_empty() {
            let rewritten = self.rewrite();
            for waiting in rewriting {
                // Whoever asked may be gone.
                let _ = waiting.send(rewritten.clone());
            }
        }
        let ended = closed && self.later.is_empty();
        if ended {
            let refusing = self.read().refusing.clone();
            for closed in self.queue.closing() {
                // Whoever asked may be gone.
                let _ = closed.send(refusing.clone().map_or(Ok(()), Err));
            }
        }
        ended
    }

    fn read(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&mut self, batch: Vec<Command>) {
        let Decided { answers, records: decided, started, later } = self.decide(batch);
        self.later = later;
        // What is written again comes first: it says how things stood before what was decided.
        let plan = self.plan_cleaning();
        let mut records: Vec<Record> = plan.iter().flat_map(Plan::records).collect();
        let moved = records.len();
        records.extend(decided);
        let written = self.append(&records);
        let applied = written.and_then(|places| {
            cleaning::moved(&mut self.write().index, &records[..moved], &places[..moved]);
            let changes = self.apply(&records[moved..], &places[moved..], &started)?;
            self.cleaning.appended(&places);
            Ok(changes)
        });
        self.write().index.locked.clear();
        self.answer(answers, &applied);
        let is_controlled =
            records.iter().any(|it| matches!(it, Record::Control(control) if control.may_let_runs_begin()));
        if let Ok(changes) = applied {
            // Nobody may be listening.
            if !changes.is_empty() {
                let _ = self.changes.send(changes.into());
            }
            if is_controlled {
                // What operators said is no change of a run, and may let some begin: whoever listens is to look.
                let _ = self.changes.send(Arc::new([]));
            }
        }
        if let Some(plan) = plan {
            self.release(&plan);
        }
    }

    fn decide(&mut self, batch: Vec<Command>) -> Decided {
        let full = self.full();
        let mut shared = self.write();
        let starts = if shared.refusing.is_none() { shared.index.starts.clone() } else { BTreeMap::new() };
        let mut decided = Decided {
            answers: Vec::with_capacity(batch.len()),
            records: Vec::with_capacity(batch.len()),
            started: starts.keys().copied().collect(),
            later: Vec::new(),
        };
        let mut commit = Commit {
            index: &shared.index,
            reader: shared.reader.clone(),
            touched: Touched::default(),
            starts,
            writes: Vec::with_capacity(batch.len()),
            full,
            refusing: shared.refusing.clone(),
        };
        for mut command in batch {
            match command(&mut commit) {
                Step::Done(answer) => decided.answers.push(answer),
                Step::Later => decided.later.push(command),
            }
        }
        let Commit { touched, starts, mut writes, .. } = commit;
        let starts = starts.into_iter();
        decided.records.extend(starts.map(|(run, (first, entry))| Record::Journal {
            run,
            first,
            entries: vec![entry],
        }));
        decided.records.append(&mut writes);
        shared.index.locked = touched.runs;
        decided
    }

    /// Takes what was written in. In pieces, so that claims don't wait for all of it: each record is durable already.
    fn apply(&self, records: &[Record], places: &[Place], started: &[RunId]) -> Result<Vec<Change>, StoreError> {
        let mut changes = Vec::with_capacity(records.len());
        for (records, places) in records.chunks(AT_ONCE).zip(places.chunks(AT_ONCE)) {
            let index = &mut self.write().index;
            for (record, place) in records.iter().zip(places) {
                let applied = index.apply(record, *place);
                changes.extend(applied.map_err(|Misfit(run)| {
                    StoreError::Damaged(format!("the journal of {run} was not continued where it ends"))
                })?);
            }
        }
        let index = &mut self.write().index;
        for run in started {
            index.starts.remove(run);
        }
        Ok(changes)
    }

    fn answer(&self, answers: Vec<Answer>, applied: &Result<Vec<Change>, StoreError>) {
        let mut answers = answers.into_iter().peekable();
        while answers.peek().is_some() {
            let shared = self.read();
            for answer in answers.by_ref().take(AT_ONCE) {
                answer(applied.as_ref().map(|_| &shared.index).map_err(StoreError::clone));
            }
        }
    }

    /// Why new work is refused, for want of room.
    fn full(&mut self) -> Option<StoreError> {
        // Who can't tell how much room there is finds out by writing.
        let free = self.log.as_ref()?.space().map_or(u64::MAX, |space| space.free);
        let is_full = free < limits::DISK_RESERVE_BYTES;
        if is_full != self.is_full {
            self.is_full = is_full;
            if is_full {
                tracing::error!(free, "the disk is nearly full: new work is refused, and work under way goes on");
            } else {
                tracing::info!(free, "the disk has room again: new work is taken");
            }
        }
        let reserve = limits::DISK_RESERVE_BYTES;
        is_full.then(|| StoreError::Full(format!("{free} bytes are free, and {reserve} are kept for work under way")))
    }

    fn append(&mut self, records: &[Record]) -> Result<Vec<Place>, StoreError> {
        if let Some(refusing) = &self.read().refusing {
            return Err(refusing.clone());
        }
        let Some(log) = self.log.as_mut().filter(|_| !records.is_empty()) else {
            return Ok(Vec::new());
        };
        let appended = log.append(records).and_then(|places| log.sync().map(|()| places));
        appended.map_err(|error| match error {
            LogError::Full(reason) => {
                tracing::error!(reason, "the disk has no room; the store is opened again");
                let unavailable = StoreError::Unavailable(reason);
                let mut shared = self.write();
                (shared.reader, shared.notes) = (None, None);
                shared.refusing = Some(unavailable.clone());
                drop(shared);
                self.log = None;
                unavailable
            }
            // After a failed write or sync nobody knows what is on disk: only a new process can tell.
            error => {
                tracing::error!(%error, "the store has failed");
                let failed = StoreError::Failed(error.to_string());
                self.write().refusing = Some(failed.clone());
                failed
            }
        })
    }

    /// Opens the log again after the disk had no room. Attempts under way keep their leases: their starts are noted.
    fn reopen(&mut self) {
        match load(&mut *self.opener) {
            Ok(Loaded { log, mut index, cleaning }) => {
                tracing::info!("the store is open again");
                let mut shared = self.write();
                index.set_rules(&shared.index.rules());
                index.mails.keep_captured(shared.index.mails.captured_most());
                index.totals = std::mem::take(&mut shared.index.totals);
                (shared.reader, shared.notes) = (Some(log.reader()), Some(log.notes()));
                shared.index = index;
                shared.refusing = None;
                drop(shared);
                self.cleaning = cleaning.from(self.cleaning.records_min());
                self.log = Some(log);
                let _ = self.changes.send(Arc::new([]));
            }
            Err(StoreError::Damaged(reason)) => {
                tracing::error!(reason, "the store can't be opened again");
                self.write().refusing = Some(StoreError::Damaged(reason));
            }
            Err(error) => tracing::warn!(%error, "the store can't be opened again yet"),
        }
    }

    /// Writes everything that counts into a new log, in the place of this one. Nothing changes meanwhile.
    fn rewrite(&mut self) -> Result<(), StoreError> {
        let everything = {
            let mut shared = self.write();
            if let Some(refusing) = &shared.refusing {
                return Err(refusing.clone());
            }
            if Arc::strong_count(&shared.reading) > 1 {
                return Err(StoreError::Unavailable("an export is being read".to_owned()));
            }
            shared.refusing = Some(StoreError::Unavailable("what was to be forgotten is being erased".to_owned()));
            reading::everything(&shared)
        };
        let written = everything.and_then(|mut records| self.opener.rewrite(&mut records));
        if let Err(error) = written {
            self.write().refusing = None;
            return Err(error);
        }
        let mut shared = self.write();
        (shared.reader, shared.notes) = (None, None);
        drop(shared);
        self.log = None;
        self.reopen();
        self.read().refusing.clone().map_or(Ok(()), Err)
    }

    fn is_cleaning_due(&self) -> bool {
        let shared = self.read();
        shared.refusing.is_none() && Arc::strong_count(&shared.reading) == 1 && self.cleaning.is_due(&shared.index)
    }

    fn plan_cleaning(&mut self) -> Option<Plan> {
        if !self.is_cleaning_due() {
            return None;
        }
        let shared = self.read();
        let reader = shared.reader.clone()?;
        let plan = self.cleaning.plan(&shared.index, &*reader);
        drop(shared);
        plan.inspect_err(|error| {
            tracing::error!(%error, "the oldest records can't be read, so no space is given back until a restart");
            self.cleaning.stop();
        })
        .ok()
        .flatten()
    }

    fn release(&mut self, plan: &Plan) {
        let Some(log) = self.log.as_mut().filter(|_| self.shared.read().is_ok_and(|shared| shared.refusing.is_none()))
        else {
            return;
        };
        match log.release(plan.floor()) {
            Ok(()) => self.cleaning.released(plan),
            Err(error) => {
                tracing::error!(%error, "space can't be given back until a restart");
                self.cleaning.stop();
            }
        }
    }
}
