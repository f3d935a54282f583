//! Puts parts back together into records, and checks that no part and no journal entry is missing.
//! It reads no tree: it is fed what one holds, in the order of the keys.

use jobmill_core::RunId;
use jobmill_store::{LogError, Record};

use crate::codec::{Flaw, Key, Part, decode};
use crate::mark::Mark;

/// A record of which some parts are there.
pub(crate) struct Assembly {
    key: Key,
    group: u64,
    parts: u16,
    added: u16,
    bytes: Vec<u8>,
}

impl Assembly {
    /// Begins with the first part.
    pub(crate) fn begin(key: Key, number: u16, part: &Part<'_>) -> Result<Self, LogError> {
        if number != 0 {
            return Err(Flaw::MissingPart(0).of(&key));
        }
        Ok(Self { key, group: part.group, parts: part.parts, added: 1, bytes: part.piece.to_vec() })
    }

    /// Adds the part that follows.
    pub(crate) fn add(&mut self, number: u16, part: &Part<'_>) -> Result<(), LogError> {
        if number != self.added {
            return Err(Flaw::MissingPart(self.added).of(&self.key));
        }
        if part.group != self.group || part.parts != self.parts || number >= self.parts {
            return Err(Flaw::ForeignPart(number).of(&self.key));
        }
        self.bytes.extend(part.piece);
        self.added += 1;
        Ok(())
    }

    /// The number of the part that is to be added; none when all are there.
    pub(crate) fn missing(&self) -> Option<u16> {
        (self.added < self.parts).then_some(self.added)
    }

    /// The record.
    pub(crate) fn finish(self) -> Result<Record, LogError> {
        match self.missing() {
            Some(part) => Err(Flaw::MissingPart(part).of(&self.key)),
            None => decode(&self.key, &self.bytes).map_err(|flaw| flaw.of(&self.key)),
        }
    }
}

/// Reads a whole tree.
pub(crate) struct Scan {
    /// How far the log was synced.
    synced: Mark,
    /// What there is up to there.
    found: u64,
    assembly: Option<Assembly>,
    /// The run whose journal is being read, and how many entries it has so far.
    journal: Option<(RunId, u32)>,
    /// What there is in all.
    all: Mark,
}

impl Scan {
    /// Begins to read a log that was synced up to here.
    pub(crate) fn new(synced: Mark) -> Self {
        Self { synced, found: 0, assembly: None, journal: None, all: Mark::default() }
    }

    /// Takes the next key and value in; answers the record that ended before it.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Record>, LogError> {
        let (record, number) =
            Key::parse(key).ok_or_else(|| LogError::Damaged(format!("there is an unknown key {key:02x?}")))?;
        let part = Part::unseal(key, value).map_err(|flaw| flaw.of(&record))?;
        self.all.group = self.all.group.max(part.group);
        if record.is_written_once() {
            self.all.parts += 1;
            self.found += u64::from(part.group <= self.synced.group);
        }
        if let Some(assembly) = self.assembly.as_mut().filter(|assembly| assembly.key == record) {
            assembly.add(number, &part)?;
            return Ok(None);
        }
        let next = Assembly::begin(record, number, &part)?;
        let ended = self.assembly.replace(next);
        ended.map(|assembly| self.check(assembly)).transpose()
    }

    /// The last record, and what there is in all.
    pub(crate) fn finish(mut self) -> Result<(Option<Record>, Mark), LogError> {
        let last = self.assembly.take();
        let last = last.map(|assembly| self.check(assembly)).transpose()?;
        let (synced, all) = (self.synced, self.all);
        if all.group < synced.group || self.found != synced.parts {
            return Err(LogError::Damaged(format!(
                "it was synced up to commit {} with {} values, and up to there it has {} (its newest commit is {}); \
                 put a back-up in its place, or remove the file `synced` to go on without what is missing",
                synced.group, synced.parts, self.found, all.group
            )));
        }
        Ok((last, all))
    }

    fn check(&mut self, assembly: Assembly) -> Result<Record, LogError> {
        let record = assembly.finish()?;
        if let Record::Journal { run, first, entries } = &record {
            let expected = self.journal.filter(|(reading, _)| reading == run).map_or(0, |it| it.1);
            if *first != expected {
                let flaw = match expected {
                    0 => Flaw::NoBeginning,
                    read => Flaw::Gap(read - 1),
                };
                return Err(flaw.of(&Key::of(&record)));
            }
            let count =
                u32::try_from(entries.len()).map_err(|error| Flaw::Body(error.to_string()).of(&Key::of(&record)))?;
            self.journal = Some((*run, first.saturating_add(count)));
        }
        Ok(record)
    }
}
