//! Reads one record while the log is written, through a few blocks that are kept in memory: what is looked at together
//! was written together.
//! It writes nothing, and does not tell what stands where.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use jobmill_store::{LogError, LogReader, Place, Record};

use crate::assembly::Assembly;
use crate::block::{BLOCK_BYTES, Block};
use crate::disk::refused_by_sled;
use crate::open::without_panic;
use crate::part::{Flaw, Key, Part};

/// Blocks that are kept in memory: two megabytes.
const KEPT_BLOCKS: usize = 32;

/// Reads records of an open log.
pub(crate) struct Reader {
    tree: sled::Db,
    /// The blocks that were read last, with their numbers; the one that was used last is at the end.
    kept: Mutex<VecDeque<(u64, Arc<Block>)>>,
}

impl Reader {
    /// Reads from this tree.
    pub(crate) fn new(tree: sled::Db) -> Self {
        Self { tree, kept: Mutex::new(VecDeque::new()) }
    }

    /// A block of which other records may be asked for next.
    fn content(&self, number: u64) -> Result<Arc<Block>, LogError> {
        if let Some(block) = self.kept(number) {
            return Ok(block);
        }
        let block = Arc::new(load(&self.tree, number)?);
        // A larger block has one record, so nothing else of it will be asked for.
        if block.bytes() <= BLOCK_BYTES {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT_BLOCKS {
                kept.pop_front();
            }
            kept.push_back((number, Arc::clone(&block)));
        }
        Ok(block)
    }

    fn kept(&self, number: u64) -> Option<Arc<Block>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().rposition(|(kept, _)| *kept == number)?;
        let found = kept.remove(place)?;
        let block = Arc::clone(&found.1);
        kept.push_back(found);
        Some(block)
    }
}

impl LogReader for Reader {
    fn read(&self, place: Place) -> Result<Record, LogError> {
        let block = self.content(place.block())?;
        let record = block.records().and_then(|records| records.record(usize::from(place.slot())));
        record.map_err(|flaw| flaw.of(place.block()))
    }

    fn block(&self, block: u64) -> Result<Vec<Record>, LogError> {
        // A block that is read whole is not read again soon, so it takes no other's place.
        let content = self.kept(block).map_or_else(|| load(&self.tree, block).map(Arc::new), Ok)?;
        let records = content.records().and_then(|row| (0..row.records()).map(|number| row.record(number)).collect());
        records.map_err(|flaw| flaw.of(block))
    }
}

/// The block with this number.
pub(crate) fn load(tree: &sled::Db, number: u64) -> Result<Block, LogError> {
    let mut assembly = Assembly::default();
    loop {
        let part = assembly.next();
        let key = Key { block: number, part }.to_bytes();
        let value = without_panic(AssertUnwindSafe(|| tree.get(key))).map_err(LogError::Damaged)?;
        let value = value.map_err(refused_by_sled)?.ok_or_else(|| {
            let flaw = if part == 0 { Flaw::Missing } else { Flaw::MissingPart(part) };
            flaw.of(number)
        })?;
        let unsealed = Part::unseal(&key, &value).map_err(|flaw| flaw.of(number))?;
        if let Some(packed) = assembly.add(part, &unsealed).map_err(|flaw| flaw.of(number))? {
            let mut block = Block::default();
            block.unpack(packed).map_err(|flaw| flaw.of(number))?;
            return Ok(block);
        }
    }
}
