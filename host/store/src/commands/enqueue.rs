//! How runs come in, by enqueues, events and schedules: decided against what holds a key, waits to be replaced, or waits
//! at all. One place decides for all; nothing of a command is written unless all of it is.

use std::collections::{BTreeMap, HashMap};

use jobmill_core::journal::{
    DebounceTerms, EarlierKey, Enqueued as EnqueuedEntry, Entry, EntryKind, EventReference, Terms,
};
use jobmill_core::{JobId, RunId, Timestamp, limits, transition};

use super::{Decision, journal};
use crate::committer::Commit;
use crate::control::{Control, ControlKey, Schedule};
use crate::index::{DebounceKey, Index, RunIds, UniqueKey, unique_keys};
use crate::log::Record;
use crate::store::{Enqueued, Firing, NewEvent, NewRun, StoreError};

/// How an enqueue is answered, once durable.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EnqueueAnswer {
    /// This run was created.
    Created(RunId),
    /// This waiting run took the payload in.
    Debounced(RunId),
    /// This run exists.
    Existing(RunId),
    /// The key names another enqueue, of this run.
    Conflict(RunId),
}

impl EnqueueAnswer {
    /// The answer with the run as the index has it.
    pub(crate) fn resolve(self, index: &Index) -> Enqueued {
        let (run, of_head): (_, fn(_) -> _) = match self {
            Self::Conflict(run) => return Enqueued::Conflict(run),
            Self::Created(run) => (run, Enqueued::Created),
            Self::Debounced(run) => (run, Enqueued::Debounced),
            Self::Existing(run) => (run, Enqueued::Existing),
        };
        index.head(run).cloned().map_or(Enqueued::Conflict(run), of_head)
    }

    fn run(self) -> RunId {
        let (Self::Created(run) | Self::Debounced(run) | Self::Existing(run) | Self::Conflict(run)) = self;
        run
    }
}

/// Why a run can't be decided in this commit.
pub(super) enum Unanswered {
    Later,
    Refused(StoreError),
}

/// A debounced run that waits.
struct Waiting {
    run: RunId,
    since: Timestamp,
    keys: Vec<EarlierKey>,
}

/// What a command takes in, while it is decided.
pub(super) struct Intake<'commit, 'index> {
    pub(super) commit: &'commit mut Commit<'index>,
    pub(super) now: Timestamp,
    /// What is written, in the order in which it came.
    pub(super) records: Vec<Record>,
    /// Where among them the enqueue of a run is.
    written: HashMap<RunId, usize>,
    /// Keys that were taken here.
    taken: HashMap<UniqueKey, (RunId, Option<[u8; 32]>)>,
    debounced: HashMap<DebounceKey, Waiting>,
    /// Runs that were taken back here: they wait for nothing more.
    cancelled: RunIds,
    created: BTreeMap<JobId, usize>,
}

impl<'commit, 'index> Intake<'commit, 'index> {
    pub(super) fn new(commit: &'commit mut Commit<'index>, now: Timestamp) -> Self {
        Self {
            commit,
            now,
            records: Vec::new(),
            written: HashMap::new(),
            taken: HashMap::new(),
            debounced: HashMap::new(),
            cancelled: RunIds::default(),
            created: BTreeMap::new(),
        }
    }

    fn take(&mut self, run: &NewRun, event: Option<&EventReference>) -> Result<EnqueueAnswer, Unanswered> {
        let index = self.commit.index;
        let keys: Vec<_> = unique_keys(&run.job, run.unique_key.as_deref(), run.idempotency_key.as_deref()).collect();
        let touched = &self.commit.touched;
        if touched.runs.contains(&run.id) || keys.iter().any(|key| touched.keys.contains(key)) {
            return Err(Unanswered::Later);
        }
        if self.written.contains_key(&run.id) || index.head(run.id).is_some() {
            // Its own id says that it is the same enqueue: the first answer got lost.
            return Ok(EnqueueAnswer::Existing(run.id));
        }
        let holder = |key: &UniqueKey| {
            let held = index.holder(key, self.now).map(|held| (held.run, held.digest));
            // Runs with the same value in their payloads are one run, whatever else differs.
            let compared = !(run.flow.is_unique_by_payload && matches!(key, UniqueKey::Job(..)));
            held.or(self.taken.get(key).copied()).map(|(run, digest)| (run, digest, compared))
        };
        let holders: Vec<_> = keys.iter().filter_map(holder).collect();
        let other = holders.iter().find(|(_, digest, compared)| *compared && *digest != run.request_digest);
        match (other, holders.first()) {
            (Some((holder, ..)), _) => return Ok(EnqueueAnswer::Conflict(*holder)),
            (None, Some((holder, ..))) => return Ok(EnqueueAnswer::Existing(*holder)),
            (None, None) => {}
        }
        if let Some(answer) = self.debounce(run, event)? {
            self.taken.extend(keys.into_iter().map(|key| (key, (answer.run(), run.request_digest))));
            return Ok(answer);
        }
        self.check_room(run)?;
        self.taken.extend(keys.into_iter().map(|key| (key, (run.id, run.request_digest))));
        *self.created.entry(run.job.clone()).or_default() += 1;
        self.write(run, run.id, self.now, event, Vec::new());
        Ok(EnqueueAnswer::Created(run.id))
    }

    /// Takes a run of an event in; answers which run it is, and whether that one tells of the event.
    pub(super) fn take_of_event(&mut self, run: &NewRun, event: &EventReference) -> Result<(RunId, bool), Unanswered> {
        let answer = self.take(run, Some(event))?;
        Ok((answer.run(), matches!(answer, EnqueueAnswer::Created(_)) && run.flow.debounce.is_none()))
    }

    /// The job of a run that is there or is written here.
    pub(super) fn job_of(&self, run: RunId) -> Option<&JobId> {
        let written = || match &self.records[*self.written.get(&run)?] {
            Record::Journal { entries, .. } => match &entries.first()?.kind {
                EntryKind::Enqueued(enqueued) => Some(&enqueued.job),
                _ => None,
            },
            _ => None,
        };
        self.commit.index.head(run).map(|head| &head.job).or_else(written)
    }

    /// Puts the payload into the run that waits for it to be quiet, if one does.
    fn debounce(&mut self, run: &NewRun, event: Option<&EventReference>) -> Result<Option<EnqueueAnswer>, Unanswered> {
        let Some(debounce) = &run.flow.debounce else { return Ok(None) };
        let key = DebounceKey { job: run.job.clone(), value: debounce.value.clone() };
        if self.commit.touched.debounced.contains(&key) {
            return Err(Unanswered::Later);
        }
        let waiting = self.debounced.remove(&key).filter(|waiting| !self.cancelled.contains(&waiting.run));
        let waiting = match waiting {
            Some(waiting) => Some(waiting),
            None => match self.commit.index.debounced(&key) {
                Some((head, _)) if self.commit.touched.runs.contains(&head.id) => return Err(Unanswered::Later),
                Some((head, _)) if self.cancelled.contains(&head.id) => None,
                Some((head, keys)) => Some(Waiting { run: head.id, since: head.enqueued_at, keys: keys.to_vec() }),
                None => None,
            },
        };
        let own = run.idempotency_key.clone();
        let own = own.map(|key| EarlierKey { key, digest: run.request_digest, at: self.now });
        let Some(mut waiting) = waiting else {
            let keys = own.into_iter().collect();
            self.debounced.insert(key, Waiting { run: run.id, since: self.now, keys });
            return Ok(None);
        };
        let at_latest = debounce.max_wait.map_or(run.scheduled_at, |most| waiting.since.after(most));
        let due = run.scheduled_at.min(at_latest);
        // Its key is among the others, each with its own time.
        let replacing = NewRun { scheduled_at: due, idempotency_key: None, ..run.clone() };
        waiting.keys.extend(own);
        let too_many = waiting.keys.len().saturating_sub(limits::DEBOUNCED_KEYS);
        waiting.keys.drain(..too_many);
        self.write(&replacing, waiting.run, waiting.since, event, waiting.keys.clone());
        let id = waiting.run;
        self.debounced.insert(key, waiting);
        Ok(Some(EnqueueAnswer::Debounced(id)))
    }

    fn check_room(&self, run: &NewRun) -> Result<(), Unanswered> {
        let index = self.commit.index;
        let of_commit = &self.commit.touched.created;
        let count = |job: Option<&JobId>| {
            let created = [of_commit, &self.created].into_iter().flatten();
            let created = created.filter(|(id, _)| job.is_none_or(|wanted| wanted == *id)).map(|(_, count)| count);
            index.waiting(job) + created.sum::<usize>()
        };
        let bounds = run.flow.waiting;
        let of_job = bounds.of_job.filter(|most| count(Some(&run.job)) >= *most as usize);
        let in_all = bounds.in_all.filter(|most| count(None) >= *most as usize);
        match (of_job, in_all) {
            (Some(limit), _) => Err(Unanswered::Refused(StoreError::Crowded { job: Some(run.job.clone()), limit })),
            (None, Some(limit)) => Err(Unanswered::Refused(StoreError::Crowded { job: None, limit })),
            (None, None) => Ok(()),
        }
    }

    /// Writes the enqueue of a run, in the place of an earlier one of this command.
    fn write(
        &mut self,
        run: &NewRun,
        id: RunId,
        at: Timestamp,
        event: Option<&EventReference>,
        earlier: Vec<EarlierKey>,
    ) {
        let entries = vec![Entry { at, kind: EntryKind::Enqueued(Box::new(enqueued(run, event, earlier))) }];
        let record = Record::Journal { run: id, first: 0, entries };
        if let Some(place) = self.written.get(&id) {
            self.records[*place] = record;
        } else {
            self.written.insert(id, self.records.len());
            self.records.push(record);
        }
    }

    /// Cancels the waiting runs that an event takes back.
    pub(super) fn cancel(&mut self, event: &NewEvent) -> Result<(), Unanswered> {
        let reason = format!("event {} ({}) cancelled it", event.reference.name, event.reference.id);
        for mark in &event.cancels {
            let written = self.written.values().copied();
            let here: Vec<usize> = written.filter(|place| bears(&self.records[*place], *mark)).collect();
            for place in here {
                if let Record::Journal { run, entries, .. } = &mut self.records[place] {
                    self.cancelled.insert(*run);
                    let kind = EntryKind::Cancelled { reason: reason.clone() };
                    entries.push(Entry { at: self.now, kind });
                }
            }
            for run in self.commit.index.marked(*mark) {
                if self.commit.touched.runs.contains(&run) {
                    return Err(Unanswered::Later);
                }
                let cancelled = self.commit.index.head(run).and_then(|head| transition::cancel(head, &reason).ok());
                if let Some(kind) = cancelled.filter(|_| !self.written.contains_key(&run)) {
                    let record = journal(self.commit, run, self.now, [kind]);
                    self.written.insert(run, self.records.len());
                    self.cancelled.insert(run);
                    self.records.push(record);
                }
            }
        }
        Ok(())
    }

    /// Everything is decided.
    pub(super) fn finish<Answer>(self, answer: Answer) -> Decision<Answer> {
        if let (Some(full), false) = (&self.commit.full, self.records.is_empty()) {
            return Decision::Refuse(full.clone());
        }
        let touched = &mut self.commit.touched;
        touched.keys.extend(self.taken.into_keys());
        touched.debounced.extend(self.debounced.into_keys());
        touched.runs.extend(self.written.into_keys());
        for (job, count) in self.created {
            *touched.created.entry(job).or_default() += count;
        }
        Decision::Write(self.records, answer)
    }
}

/// Whether the record is of a waiting run with this mark.
fn bears(record: &Record, mark: jobmill_core::flow::Mark) -> bool {
    let Record::Journal { entries, .. } = record else { return false };
    match entries.as_slice() {
        [Entry { kind: EntryKind::Enqueued(enqueued), .. }] => {
            enqueued.terms.as_ref().is_some_and(|terms| terms.marks.contains(&mark))
        }
        _ => false,
    }
}

/// Enqueue: all or nothing. One conflict refuses the batch, and nothing of it is written: whatever of it would have been
/// created is answered with the run that it failed on.
pub(crate) fn enqueue(commit: &mut Commit<'_>, runs: &[NewRun], now: Timestamp) -> Decision<Vec<EnqueueAnswer>> {
    let index = commit.index;
    let mut intake = Intake::new(commit, now);
    let mut answers = Vec::with_capacity(runs.len());
    for run in runs {
        match intake.take(run, None) {
            Ok(answer) => answers.push(answer),
            Err(Unanswered::Later) => return Decision::Later,
            Err(Unanswered::Refused(error)) => return Decision::Refuse(error),
        }
    }
    let refused = answers.iter().find(|answer| matches!(answer, EnqueueAnswer::Conflict(_))).copied();
    if let Some(conflict) = refused {
        let is_there =
            |answer: &EnqueueAnswer| matches!(answer, EnqueueAnswer::Existing(run) if index.head(*run).is_some());
        let is_conflict = |answer: &EnqueueAnswer| matches!(answer, EnqueueAnswer::Conflict(_));
        answers.iter_mut().filter(|answer| !is_there(answer) && !is_conflict(answer)).for_each(|it| *it = conflict);
        return Decision::Write(Vec::new(), answers);
    }
    intake.finish(answers)
}

fn enqueued(run: &NewRun, event: Option<&EventReference>, earlier: Vec<EarlierKey>) -> EnqueuedEntry {
    let flow = &run.flow;
    let terms = Terms {
        keys: flow.keys.clone(),
        unique: flow.unique,
        debounce: flow.debounce.as_ref().map(|debounce| DebounceTerms { value: debounce.value.clone(), earlier }),
        expires_at: flow.expires.map(|span| run.scheduled_at.after(span)),
        marks: flow.marks.clone(),
    };
    EnqueuedEntry {
        job: run.job.clone(),
        queue: run.queue.clone(),
        priority: run.priority,
        payload: run.payload.clone(),
        max_attempts: run.max_attempts,
        scheduled_at: run.scheduled_at,
        event: event.cloned(),
        tags: run.tags.clone(),
        unique_key: run.unique_key.clone(),
        idempotency_key: run.idempotency_key.clone(),
        request_digest: run.request_digest,
        rerun_of: run.rerun_of,
        terms: (terms != Terms::default()).then(|| Box::new(terms)),
    }
}

/// Takes a schedule on and makes its run; nothing when it has come elsewhere meanwhile.
pub(crate) fn fire(commit: &mut Commit<'_>, firing: &Firing, now: Timestamp) -> Decision<bool> {
    let key = ControlKey::Schedule(firing.job.clone(), firing.cron.clone());
    if commit.touched.controls.contains(&key) {
        return Decision::Later;
    }
    let before = match commit.index.control(&key) {
        Some(Control::Schedule(schedule)) => Some(schedule),
        _ => None,
    };
    let from = before.filter(|schedule| !schedule.ended).map(|schedule| schedule.up_to);
    if from != firing.from {
        return Decision::Write(Vec::new(), false);
    }
    let mut last_run = before.and_then(|schedule| schedule.last_run);
    let mut intake = Intake::new(commit, now);
    if let Some(run) = &firing.run {
        match intake.take(run, None) {
            Ok(answer) => last_run = Some(answer.run()),
            Err(Unanswered::Later) => return Decision::Later,
            Err(Unanswered::Refused(error)) => return Decision::Refuse(error),
        }
    }
    let Firing { job, cron, up_to, ended, .. } = firing.clone();
    let schedule = Schedule { job, cron, up_to, last_run, ended };
    intake.records.push(Record::Control(Control::Schedule(schedule)));
    let decision = intake.finish(true);
    if matches!(decision, Decision::Write(..)) {
        commit.touched.controls.insert(key);
    }
    decision
}
