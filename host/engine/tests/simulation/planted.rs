//! Bugs that are planted at the boundaries, to see that they are found: a simulator that finds none proves nothing.
//! Those of the log are here; what it wraps is the production code, and without a plant nothing here is in the way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::journal::{Entry, EntryKind};
use jobmill_core::{Json, RunId};
use jobmill_store::{Control, Log, LogError, LogOpener, LogReader, Notes, Place, Record, Space, StoreError};

use crate::life::Flaw;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// The log acknowledges what it did not sync.
    UnsyncedLog,
    /// The log writes the first half of a group only.
    TornGroups,
    /// The log keeps no notes of starts.
    NoNotes,
    /// The log does not read its notes back.
    UnreadNotes,
    /// What is written again comes after what was decided on it.
    LateRewrites,
    /// The log gives one block too many back.
    GreedyRelease,
    /// The store lets whoever lost a lease write.
    IgnoredLeases,
    /// The store forgets unique keys.
    NoUniqueKeys,
    /// The store hands runs out before their time.
    EarlyClaims,
    /// The store hands a run out twice.
    DoubleClaims,
    /// The store hands runs out without what their earlier attempts did.
    ForgottenJournals,
    /// The store prunes what has only just ended.
    HastyPruning,
    /// The store says that it cancelled, and did not.
    SwallowedCancels,
    /// The store rescues nothing after a crash.
    NoRescue,
    /// The store counts no failed attempt.
    UncountedAttempts,
    /// The store forgets that mails were sent.
    UnsettledMails,
    /// The store begins one more at once than each limit lets.
    LimitsOffByOne,
    /// The store takes no token for a start.
    UntakenTokens,
    /// The log forgets over a restart what buckets are short of.
    FreshAllowances,
    /// The log forgets over a restart what operators said.
    ForgottenPauses,
    /// The store knows of no breaker.
    NoBreakers,
    /// The store claims as of some time ago first: what has expired since begins.
    BackdatedClaims,
    /// The log forgets over a restart how far unique keys reach.
    ForgottenWindows,
    /// The log keeps the first payload of a debounced run.
    DroppedPayloads,
    /// The store takes nothing back for an event.
    UnheardCancels,
    /// The store knows no bound of what may wait.
    NoBounds,
    /// The log forgets over a restart how far schedules came last.
    RewoundSchedules,
    /// The store makes a schedule's run in one commit and takes the schedule on in the next.
    SplitFirings,
    /// The log says that it was written anew, and was not.
    UnerasedLog,
    /// The log that is written anew lacks a record.
    LossyRewrite,
    /// The store forgets what is there, and not what is in the mails.
    RememberedMails,
    /// Randomness begins anew with each process.
    RepeatedEntropy,
    /// The store publishes the event of a delivery in one commit and keeps the delivery in the next.
    SplitDeliveries,
    /// The store remembers no id for any time.
    NoWindows,
    /// The store tells of an end that it did not take.
    UntrueEnds,
    /// The store makes runs due that nobody asked it to.
    UnaskedRetries,
    /// The store says that it made a run due, and did not.
    SwallowedRetries,
    /// The store says that it keeps a version, and does not.
    SwallowedVersions,
    /// The shell has a bug.
    Shell(Flaw),
}

impl Plant {
    pub(crate) const ALL: [Self; 43] = [
        Self::UnsyncedLog,
        Self::TornGroups,
        Self::NoNotes,
        Self::UnreadNotes,
        Self::LateRewrites,
        Self::GreedyRelease,
        Self::IgnoredLeases,
        Self::NoUniqueKeys,
        Self::EarlyClaims,
        Self::DoubleClaims,
        Self::ForgottenJournals,
        Self::HastyPruning,
        Self::SwallowedCancels,
        Self::NoRescue,
        Self::UncountedAttempts,
        Self::UnsettledMails,
        Self::LimitsOffByOne,
        Self::UntakenTokens,
        Self::FreshAllowances,
        Self::ForgottenPauses,
        Self::NoBreakers,
        Self::BackdatedClaims,
        Self::ForgottenWindows,
        Self::DroppedPayloads,
        Self::UnheardCancels,
        Self::NoBounds,
        Self::RewoundSchedules,
        Self::SplitFirings,
        Self::UnerasedLog,
        Self::LossyRewrite,
        Self::RememberedMails,
        Self::RepeatedEntropy,
        Self::SplitDeliveries,
        Self::NoWindows,
        Self::UntrueEnds,
        Self::UnaskedRetries,
        Self::SwallowedRetries,
        Self::SwallowedVersions,
        Self::Shell(Flaw::Deaf),
        Self::Shell(Flaw::Silent),
        Self::Shell(Flaw::Unmoved),
        Self::Shell(Flaw::Complacent),
        Self::Shell(Flaw::Hasty),
    ];

    pub(crate) fn flaw(self) -> Option<Flaw> {
        if let Self::Shell(flaw) = self { Some(flaw) } else { None }
    }
}

/// Opens a log with a bug.
pub(crate) struct PlantedOpener<Opener>(pub(crate) Opener, pub(crate) Plant);

impl<Opener: LogOpener> LogOpener for PlantedOpener<Opener> {
    fn open(&mut self) -> Result<Box<dyn Log>, LogError> {
        Ok(Box::new(PlantedLog { log: self.0.open()?, plant: self.1, payloads: HashMap::new() }))
    }

    fn rewrite(&mut self, records: &mut dyn Iterator<Item = Result<Record, StoreError>>) -> Result<(), StoreError> {
        match self.1 {
            Plant::UnerasedLog => Ok(()),
            Plant::LossyRewrite => {
                let mut records: Vec<_> = records.collect();
                records.pop();
                self.0.rewrite(&mut records.into_iter())
            }
            _ => self.0.rewrite(records),
        }
    }
}

struct PlantedLog {
    log: Box<dyn Log>,
    plant: Plant,
    /// The first payload of each run.
    payloads: HashMap<RunId, Json>,
}

impl PlantedLog {
    fn drop_payload(&mut self, record: &mut Record) {
        let Record::Journal { run, entries, .. } = record else { return };
        if let Some(Entry { kind: EntryKind::Enqueued(enqueued), .. }) = entries.first_mut() {
            let first = self.payloads.entry(*run).or_insert_with(|| enqueued.payload.clone());
            enqueued.payload.clone_from(first);
        }
    }
}

/// What is left of a record over a restart.
fn read_back(plant: Plant, mut record: Record) -> Option<Record> {
    if plant == Plant::ForgottenPauses && matches!(record, Record::Control(_)) {
        return None;
    }
    if let Record::Control(Control::Schedule(schedule)) = &mut record
        && plant == Plant::RewoundSchedules
    {
        schedule.up_to = schedule.up_to.before(Duration::from_mins(3)).unwrap_or_default();
    }
    if let Record::Journal { entries, .. } = &mut record {
        for entry in entries {
            match &mut entry.kind {
                EntryKind::Started(started) if plant == Plant::FreshAllowances => started.bucket = None,
                EntryKind::Enqueued(enqueued) if plant == Plant::ForgottenWindows => {
                    if let Some(unique) = enqueued.terms.as_mut().and_then(|terms| terms.unique.as_mut()) {
                        unique.window = Duration::from_millis(1);
                    }
                }
                _ => {}
            }
        }
    }
    Some(record)
}

impl Log for PlantedLog {
    fn reader(&self) -> Arc<dyn LogReader> {
        self.log.reader()
    }

    fn notes(&self) -> Arc<dyn Notes> {
        match self.plant {
            Plant::NoNotes => Arc::new(NoNotes),
            Plant::UnreadNotes => Arc::new(UnreadNotes(self.log.notes())),
            _ => self.log.notes(),
        }
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Place, Record)) -> Result<(), LogError> {
        let plant = self.plant;
        self.log.scan(&mut |place, record| {
            if let Some(record) = read_back(plant, record) {
                visit(place, record);
            }
        })
    }

    fn append(&mut self, group: &[Record]) -> Result<Vec<Place>, LogError> {
        if self.plant == Plant::DroppedPayloads {
            let mut group = group.to_vec();
            for record in &mut group {
                self.drop_payload(record);
            }
            return self.log.append(&group);
        }
        let floor = group.iter().position(|record| matches!(record, Record::Floor { .. }));
        if let Some(floor) = floor.filter(|_| self.plant == Plant::LateRewrites) {
            let (again, decided) = group.split_at(floor + 1);
            let mut places = self.log.append(&[decided, again].concat())?;
            places.rotate_right(again.len());
            return Ok(places);
        }
        if self.plant != Plant::TornGroups || group.len() < 2 {
            return self.log.append(group);
        }
        let mut places = self.log.append(&group[..group.len() / 2])?;
        let last = places[places.len() - 1];
        places.resize(group.len(), last);
        Ok(places)
    }

    fn sync(&mut self) -> Result<(), LogError> {
        if self.plant == Plant::UnsyncedLog { Ok(()) } else { self.log.sync() }
    }

    fn release(&mut self, block: u64) -> Result<(), LogError> {
        self.log.release(if self.plant == Plant::GreedyRelease { block + 1 } else { block })
    }

    fn space(&self) -> Result<Space, LogError> {
        self.log.space()
    }
}

struct NoNotes;

impl Notes for NoNotes {
    fn add(&self, _: &[Record]) -> Result<bool, LogError> {
        Ok(true)
    }

    fn begin(&self, _: &[Record]) -> Result<(), LogError> {
        Ok(())
    }

    fn read(&self) -> Result<Vec<Record>, LogError> {
        Ok(Vec::new())
    }
}

struct UnreadNotes(Arc<dyn Notes>);

impl Notes for UnreadNotes {
    fn add(&self, starts: &[Record]) -> Result<bool, LogError> {
        self.0.add(starts)
    }

    fn begin(&self, starts: &[Record]) -> Result<(), LogError> {
        self.0.begin(starts)
    }

    fn read(&self) -> Result<Vec<Record>, LogError> {
        Ok(Vec::new())
    }
}
