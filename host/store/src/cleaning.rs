//! Giving space back: what still counts of the oldest blocks is written again at the log's end, and they are dropped.
//! It prunes nothing; records stop counting when their runs are pruned or when newer ones take their place.

use std::collections::BTreeSet;

use jobmill_core::RunId;

use crate::index::Index;
use crate::log::{LogError, LogReader, Place, Record};
use crate::reading;
use crate::store::StoreError;

/// Below so many records a log is not worth cleaning.
const RECORDS_MIN: usize = 20_000;
/// Blocks that one commit reads for it, and records that it writes again: about a millisecond's work.
const BLOCKS_AT_ONCE: u64 = 8;
const MOVED_AT_ONCE: usize = 500;

/// What is known of the log's blocks.
pub(crate) struct Cleaning {
    /// Below so many records it is not cleaned.
    records_min: usize,
    /// The oldest block that counts.
    floor: Option<u64>,
    /// The newest block.
    newest: u64,
    /// Records from the floor on.
    records: usize,
    stopped: bool,
}

/// What one step of cleaning does.
pub(crate) struct Plan {
    moved: Vec<Record>,
    floor: u64,
    dropped: usize,
}

impl Default for Cleaning {
    fn default() -> Self {
        Self { records_min: RECORDS_MIN, floor: None, newest: 0, records: 0, stopped: false }
    }
}

impl Cleaning {
    /// The same for a log of another size.
    pub(crate) fn from(self, records_min: usize) -> Self {
        Self { records_min, ..self }
    }

    /// From how many records on it cleans.
    pub(crate) fn records_min(&self) -> usize {
        self.records_min
    }

    /// A record was found.
    pub(crate) fn add(&mut self, place: Place, record: &Record) {
        self.floor = Some(self.floor.map_or(place.block(), |floor| floor.min(place.block())));
        if let Record::Floor { block } = record {
            self.floor = self.floor.max(Some(*block));
        }
        self.newest = self.newest.max(place.block());
        self.records += 1;
    }

    /// Records were written.
    pub(crate) fn appended(&mut self, places: &[Place]) {
        self.records += places.len();
        if let (Some(first), Some(last)) = (places.first(), places.last()) {
            self.floor.get_or_insert(first.block());
            self.newest = self.newest.max(last.block());
        }
    }

    /// Whether less than half of the records count.
    pub(crate) fn is_due(&self, index: &Index) -> bool {
        !self.stopped && self.records >= self.records_min && index.live() * 2 < self.records
    }

    /// No more cleaning.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// The next step; none when there is nothing to drop.
    pub(crate) fn plan(&self, index: &Index, reader: &dyn LogReader) -> Result<Option<Plan>, StoreError> {
        let Some(floor) = self.floor else { return Ok(None) };
        let mut plan = Plan { moved: Vec::new(), floor, dropped: 0 };
        let mut moved = BTreeSet::new();
        // The newest block stays: the log always has one.
        let end = self.newest.min(floor + BLOCKS_AT_ONCE);
        while plan.floor < end && plan.moved.len() < MOVED_AT_ONCE {
            let records = reader.block(plan.floor).map_err(StoreError::from)?;
            plan.dropped += records.len();
            keep(records, plan.floor, index, reader, &mut moved, &mut plan.moved)?;
            plan.floor += 1;
        }
        Ok(Some(plan).filter(|plan| plan.floor > floor))
    }

    /// The plan's blocks were dropped.
    pub(crate) fn released(&mut self, plan: &Plan) {
        self.records -= plan.dropped.min(self.records);
        self.floor = Some(plan.floor);
    }
}

/// Adds what counts of a block.
fn keep(
    records: Vec<Record>,
    block: u64,
    index: &Index,
    reader: &dyn LogReader,
    moved: &mut BTreeSet<RunId>,
    kept: &mut Vec<Record>,
) -> Result<(), StoreError> {
    for (slot, record) in records.into_iter().enumerate() {
        let place = Place::new(block, u16::try_from(slot).map_err(|_| damaged(block))?);
        let Record::Journal { run, .. } = &record else {
            if index.counts_still(&record, place) {
                kept.push(record);
            }
            continue;
        };
        let Some(row) = index.row(*run).filter(|row| row.places.contains(&place)) else { continue };
        if moved.insert(*run) {
            let entries = reading::entries(reader, *run, &row.places)?;
            kept.push(Record::Journal { run: *run, first: 0, entries });
        }
    }
    Ok(())
}

fn damaged(block: u64) -> StoreError {
    LogError::Damaged(format!("block {block} has more records than a block can have")).into()
}

impl Plan {
    /// What is written.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.moved.iter().cloned().chain([Record::Floor { block: self.floor }])
    }

    /// The oldest block that counts afterwards.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }
}

/// The records of a plan were written: what was moved is where it is now.
pub(crate) fn moved(index: &mut Index, records: &[Record], places: &[Place]) {
    for (record, place) in records.iter().zip(places) {
        match record {
            Record::Journal { run, .. } => index.moved(*run, *place),
            other => index.moved_other(other, *place),
        }
    }
}
