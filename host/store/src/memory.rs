//! A log in memory with two layers, volatile and durable, that can lose what was not synced and fail on demand.
//! For tests and simulation: nothing of it reaches a disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jobmill_core::journal::Entry;
use jobmill_core::{EventId, Json, RunId};

use crate::log::{Log, LogError, LogReader, Record};

#[derive(Default)]
struct Layers {
    durable: Vec<Record>,
    volatile: Vec<Record>,
    journals: BTreeMap<RunId, Vec<Entry>>,
    events: BTreeMap<EventId, Json>,
    fail_appends: bool,
    fail_syncs: bool,
    syncs: usize,
}

impl Layers {
    fn remember(&mut self, record: &Record) {
        match record {
            Record::Journal { run, first, entries } => {
                let journal = self.journals.entry(*run).or_default();
                journal.truncate(*first as usize);
                journal.extend(entries.iter().cloned());
            }
            Record::Event { reference, data, .. } => {
                self.events.insert(reference.id.clone(), data.clone());
            }
            Record::Order(_) | Record::MailCleared { .. } => {}
        }
    }
}

/// A log in memory. Clones share what is in it, so that a test can keep one, crash it, and open it again.
#[derive(Clone, Default)]
pub struct MemoryLog(Arc<Mutex<Layers>>);

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    fn layers(&self) -> MutexGuard<'_, Layers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loses everything that was not synced, as a power cut does.
    pub fn crash(&self) {
        let mut layers = self.layers();
        layers.volatile.clear();
        layers.journals.clear();
        layers.events.clear();
        for record in std::mem::take(&mut layers.durable) {
            layers.remember(&record);
            layers.durable.push(record);
        }
    }

    /// Lets every append from now on fail, or succeed again.
    pub fn fail_appends(&self, fail: bool) {
        self.layers().fail_appends = fail;
    }

    /// Lets every sync from now on fail, or succeed again.
    pub fn fail_syncs(&self, fail: bool) {
        self.layers().fail_syncs = fail;
    }

    /// How often the log was synced.
    pub fn syncs(&self) -> usize {
        self.layers().syncs
    }
}

impl Log for MemoryLog {
    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(self.clone())
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Record)) -> Result<(), LogError> {
        let layers = self.layers();
        layers.durable.iter().chain(&layers.volatile).cloned().for_each(visit);
        Ok(())
    }

    fn append(&mut self, command: &[Record]) -> Result<(), LogError> {
        let mut layers = self.layers();
        if layers.fail_appends {
            return Err(LogError::Io("no space left on device".to_owned()));
        }
        for record in command {
            layers.remember(record);
            layers.volatile.push(record.clone());
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let mut layers = self.layers();
        if layers.fail_syncs {
            return Err(LogError::Io("input/output error".to_owned()));
        }
        layers.syncs += 1;
        let synced = std::mem::take(&mut layers.volatile);
        layers.durable.extend(synced);
        Ok(())
    }
}

impl LogReader for MemoryLog {
    fn journal(&self, run: RunId) -> Result<Vec<Entry>, LogError> {
        Ok(self.layers().journals.get(&run).cloned().unwrap_or_default())
    }

    fn event_data(&self, id: &EventId) -> Result<Option<Json>, LogError> {
        Ok(self.layers().events.get(id).cloned())
    }
}
