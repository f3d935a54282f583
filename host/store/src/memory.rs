//! A log in memory with two layers, volatile and durable, that can lose what was not synced and fail on demand.
//! For tests and simulation: nothing of it reaches a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jobmill_core::Version;

use crate::components::{Components, MemoryComponents};
use crate::log::{Log, LogError, LogOpener, LogReader, Notes, Place, Record, Space};
use crate::store::StoreError;

/// What a crash leaves of what was not synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// So many of the groups that were not synced, the oldest first.
    pub groups: usize,
    /// The page of starts.
    pub notes: bool,
}

#[derive(Default)]
struct Layers {
    /// Groups by block number: here each is one block.
    blocks: BTreeMap<u64, Vec<Record>>,
    next: u64,
    /// Blocks before this one are synced.
    durable: u64,
    notes: Vec<Record>,
    fail_appends: bool,
    fail_syncs: bool,
    is_full: bool,
    syncs: usize,
    /// Counts the crashes: whoever had the log open before one reaches it no more.
    lives: usize,
}

/// A log in memory. Clones share what is in it, so that a test can keep one, crash it, and open it again.
#[derive(Clone, Default)]
pub struct MemoryLog {
    layers: Arc<Mutex<Layers>>,
    life: usize,
    components: MemoryComponents,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    fn layers(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The layers, for a write.
    fn alive(&self) -> Result<MutexGuard<'_, Layers>, LogError> {
        let layers = self.layers();
        if layers.lives == self.life { Ok(layers) } else { Err(LogError::Io("the power is gone".to_owned())) }
    }

    /// Loses everything that was not synced, as a power cut does.
    pub fn crash(&self) {
        self.crash_keeping(Kept::default());
    }

    /// Loses what was not synced but for what is said to be kept.
    pub fn crash_keeping(&self, kept: Kept) {
        let mut layers = self.layers();
        layers.lives += 1;
        let end = layers.durable + u64::try_from(kept.groups).unwrap_or(u64::MAX);
        layers.blocks.split_off(&end);
        layers.next = layers.next.min(end);
        layers.durable = layers.next;
        if !kept.notes {
            layers.notes.clear();
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

    /// Leaves no room on the disk, or some again. Nothing can be opened or written without.
    pub fn fill(&self, is_full: bool) {
        self.layers().is_full = is_full;
    }

    /// The components beside it. They are on disk as soon as they are kept, and no crash takes them.
    pub fn kept_components(&self) -> &MemoryComponents {
        &self.components
    }

    /// How often the log was synced.
    pub fn syncs(&self) -> usize {
        self.layers().syncs
    }

    /// How many records it holds.
    pub fn records(&self) -> usize {
        self.layers().blocks.values().map(Vec::len).sum()
    }

    /// How many groups were written and not synced.
    pub fn unsynced(&self) -> usize {
        let layers = self.layers();
        usize::try_from(layers.next - layers.durable).unwrap_or(usize::MAX)
    }
}

impl LogOpener for MemoryLog {
    fn open(&mut self) -> Result<Box<dyn Log>, LogError> {
        let layers = self.layers();
        if layers.is_full {
            return Err(no_room());
        }
        let components = self.components.clone();
        Ok(Box::new(Self { layers: Arc::clone(&self.layers), life: layers.lives, components }))
    }

    fn rewrite(&mut self, records: &mut dyn Iterator<Item = Result<Record, StoreError>>) -> Result<(), StoreError> {
        let records: Vec<Record> = records.collect::<Result<_, _>>()?;
        let mut layers = self.layers();
        if layers.is_full {
            return Err(no_room().into());
        }
        layers.lives += 1;
        layers.blocks = BTreeMap::from([(0, records)]);
        layers.notes.clear();
        (layers.next, layers.durable) = (1, 1);
        Ok(())
    }

    fn components(&self) -> Arc<dyn Components> {
        Arc::new(self.clone())
    }
}

/// Starts that the page has room for: few, so that it is begun anew often.
const NOTES: usize = 100;

fn no_room() -> LogError {
    LogError::Full("no space left on device".to_owned())
}

impl Components for MemoryLog {
    fn keep(&self, version: Version, bytes: &[u8]) -> Result<(), LogError> {
        if self.layers().is_full {
            return Err(no_room());
        }
        self.components.keep(version, bytes)
    }

    fn read(&self, version: Version) -> Result<Option<Vec<u8>>, LogError> {
        self.components.read(version)
    }

    fn kept(&self) -> Result<BTreeSet<Version>, LogError> {
        self.components.kept()
    }

    fn remove_all_but(&self, versions: &BTreeSet<Version>) -> Result<(), LogError> {
        self.components.remove_all_but(versions)
    }
}

impl Log for MemoryLog {
    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(self.clone())
    }

    fn notes(&self) -> Arc<dyn Notes> {
        Arc::new(self.clone())
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Place, Record)) -> Result<(), LogError> {
        let layers = self.layers();
        let floors = layers.blocks.values().flatten().filter_map(|record| match record {
            Record::Floor { block } => Some(*block),
            _ => None,
        });
        let floor = floors.max().unwrap_or(0);
        for (block, records) in layers.blocks.range(floor..) {
            for (slot, record) in (0..).zip(records) {
                visit(Place::new(*block, slot), record.clone());
            }
        }
        Ok(())
    }

    fn append(&mut self, group: &[Record]) -> Result<Vec<Place>, LogError> {
        let mut layers = self.alive()?;
        if layers.is_full {
            return Err(no_room());
        }
        if layers.fail_appends {
            return Err(LogError::Io("input/output error".to_owned()));
        }
        let block = layers.next;
        layers.blocks.insert(block, group.to_vec());
        layers.next += 1;
        Ok((0..).zip(group).map(|(slot, _)| Place::new(block, slot)).collect())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let mut layers = self.alive()?;
        if layers.fail_syncs {
            return Err(LogError::Io("input/output error".to_owned()));
        }
        layers.syncs += 1;
        layers.durable = layers.next;
        Ok(())
    }

    fn release(&mut self, block: u64) -> Result<(), LogError> {
        let mut layers = self.alive()?;
        layers.blocks = layers.blocks.split_off(&block);
        Ok(())
    }

    fn space(&self) -> Result<Space, LogError> {
        let free = if self.layers().is_full { 0 } else { u64::MAX };
        Ok(Space { used: 0, free })
    }
}

impl LogReader for MemoryLog {
    fn read(&self, place: Place) -> Result<Record, LogError> {
        let layers = self.layers();
        let block = layers.blocks.get(&place.block());
        let record = block.and_then(|records| records.get(usize::from(place.slot())));
        record.cloned().ok_or_else(|| LogError::Damaged(format!("{place:?} is missing")))
    }

    fn block(&self, block: u64) -> Result<Vec<Record>, LogError> {
        let records = self.layers().blocks.get(&block).cloned();
        records.ok_or_else(|| LogError::Damaged(format!("block {block} is missing")))
    }
}

impl Notes for MemoryLog {
    fn add(&self, starts: &[Record]) -> Result<bool, LogError> {
        let mut layers = self.alive()?;
        if layers.notes.len() + starts.len() > NOTES {
            return Ok(false);
        }
        layers.notes.extend_from_slice(starts);
        Ok(true)
    }

    fn begin(&self, starts: &[Record]) -> Result<(), LogError> {
        // The page has its room already.
        self.alive()?.notes = starts.to_vec();
        Ok(())
    }

    fn read(&self) -> Result<Vec<Record>, LogError> {
        Ok(self.layers().notes.clone())
    }
}
