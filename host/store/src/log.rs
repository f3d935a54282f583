//! The durable record log under a `LogStore`: what is written, read back, and promised.
//! It keeps no index and knows no transition; records mean what `core` says.
//!
//! A log is a row of numbered *blocks* of records, written at one end and given back at the other. What one commit
//! writes is a *group*: one or more blocks that are all there after a crash, or none of them.

use std::fmt;
use std::sync::Arc;

use jobmill_core::delivery::Delivery;
use jobmill_core::journal::{Entry, EventReference};
use jobmill_core::order::Order;
use jobmill_core::{DeliveryId, EventKey, Json, MailId, RunId, Timestamp};

use crate::components::{Components, MemoryComponents};
use crate::control::Control;
use crate::store::StoreError;

/// One thing that is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// More of a run's journal; with `first` 0 its whole journal, whatever was written of it before.
    Journal {
        /// The run.
        run: RunId,
        /// The number of the first of these entries in the run's journal, from 0.
        first: u32,
        /// The entries, never none.
        entries: Vec<Entry>,
    },
    /// An event that started no run of its own. Other events are told by their runs.
    Event {
        /// Key, id, name and time.
        reference: EventReference,
        /// Its data.
        data: Json,
        /// When it was recorded.
        received_at: Timestamp,
        /// The waiting runs that took its data in, where enqueues are debounced.
        runs: Vec<RunId>,
    },
    /// Something that is kept beside the runs, as it is from now on.
    Control(Control),
    /// An order of the embedded book, as it is from now on.
    Order(Order),
    /// Mails up to this one are no longer shown.
    MailCleared {
        /// The newest of them.
        up_to: MailId,
    },
    /// These runs are gone: their time to be kept is over, or they were to be forgotten.
    Pruned {
        /// The runs.
        runs: Vec<RunId>,
    },
    /// These events without runs are gone, for the same reasons.
    PrunedEvents {
        /// The events.
        events: Vec<EventKey>,
    },
    /// A webhook delivery, as it is from now on.
    Delivery(Delivery),
    /// These deliveries are gone.
    PrunedDeliveries {
        /// The deliveries.
        deliveries: Vec<DeliveryId>,
    },
    /// Every block before this one is void: what still counted of them was written again.
    Floor {
        /// The number of the oldest block that counts.
        block: u64,
    },
}

/// Where a record stands: the number of its block, and its number within it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

impl Place {
    /// Records of one block; more begin another.
    pub const SLOTS: usize = 1 << 16;
    /// The number that no block reaches: at a million blocks a second it would take nine years.
    pub const BLOCKS: u64 = 1 << 48;

    /// The place of the `slot`th record of `block`, both from 0.
    pub fn new(block: u64, slot: u16) -> Self {
        debug_assert!(block < Self::BLOCKS, "a log has fewer blocks");
        Self((block << 16) | u64::from(slot))
    }

    /// The number of the block.
    pub fn block(self) -> u64 {
        self.0 >> 16
    }

    /// The number within the block.
    pub fn slot(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} record {}", self.block(), self.slot())
    }
}

/// Writing or reading failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// There is no room on the disk. Nothing of what was asked for counts; opened again, the log goes on.
    #[error("no room on the disk: {0}")]
    Full(String),
    /// The operating system refused. Nobody knows what is on disk: only opening the log again tells.
    #[error("{0}")]
    Io(String),
    /// A record is not what was written.
    #[error("{0}")]
    Damaged(String),
}

/// How much room a log takes and has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes that it takes on the disk.
    pub used: u64,
    /// Bytes that are free on that disk.
    pub free: u64,
}

/// Where records go. Owned by the one thread that writes.
pub trait Log: Send + 'static {
    /// What reads while the owner writes.
    fn reader(&self) -> Arc<dyn LogReader>;

    /// What notes starts while the owner writes.
    fn notes(&self) -> Arc<dyn Notes>;

    /// Hands every record over, in the order in which they were written. Comes once, before the first append. A group
    /// that was not written whole is taken off; a block that is missing between others is damage.
    fn scan(&mut self, visit: &mut dyn FnMut(Place, Record)) -> Result<(), LogError>;

    /// Writes a group; answers where each record stands, in their order.
    fn append(&mut self, group: &[Record]) -> Result<Vec<Place>, LogError>;

    /// Returns once everything appended survives a power cut.
    fn sync(&mut self) -> Result<(), LogError>;

    /// Gives back every block before this one. A `Floor` of that block was synced before.
    fn release(&mut self, block: u64) -> Result<(), LogError>;

    /// How much room there is.
    fn space(&self) -> Result<Space, LogError>;
}

/// Opens a log, at start and after a disk had no room.
pub trait LogOpener: Send + 'static {
    /// The log as it is on disk. Nothing of it is open when this is called.
    fn open(&mut self) -> Result<Box<dyn Log>, LogError>;

    /// Makes a log of these records beside the one that is open; the next `open` finds it in the place of that one, of
    /// which nothing is left then. Cut off, the old one stays.
    fn rewrite(&mut self, records: &mut dyn Iterator<Item = Result<Record, StoreError>>) -> Result<(), StoreError> {
        let _ = records;
        Err(StoreError::Failed("this log can't be written anew".to_owned()))
    }

    /// Where the components of versions are kept. They stay when the log is opened again or written anew.
    fn components(&self) -> Arc<dyn Components> {
        Arc::new(MemoryComponents::default())
    }
}

impl<L: Log, F: FnMut() -> Result<L, LogError> + Send + 'static> LogOpener for F {
    fn open(&mut self) -> Result<Box<dyn Log>, LogError> {
        self().map(|log| Box::new(log) as _)
    }
}

/// Reads what was appended, synced or not.
pub trait LogReader: Send + Sync {
    /// The record at this place.
    fn read(&self, place: Place) -> Result<Record, LogError>;

    /// Every record of a block, in their order.
    fn block(&self, block: u64) -> Result<Vec<Record>, LogError>;
}

/// A page beside the log for what was claimed and is not in a group yet: written before an attempt begins, it survives
/// the end of the process, though not that of the machine. So a job that takes the process down has used up an
/// attempt, and a claim needs no sync.
pub trait Notes: Send + Sync {
    /// Adds these journal records; answers false when there is no room for them.
    fn add(&self, starts: &[Record]) -> Result<bool, LogError>;

    /// Begins the page anew with these journal records. What it said before may still be there, and does no harm.
    fn begin(&self, starts: &[Record]) -> Result<(), LogError>;

    /// What the page says, older things included. What was not written whole is not there.
    fn read(&self) -> Result<Vec<Record>, LogError>;
}
