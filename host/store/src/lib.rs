//! The boundary between the engine and whatever keeps its runs: the traits `Store` and `Query`, and the log-backed store.
//! It names no database; a database is a `Log`, or a `Store` of its own.

mod checked;
mod cleaning;
mod commands;
mod committer;
#[cfg(feature = "conformance")]
pub mod conformance;
mod index;
mod log;
mod log_store;
mod memory;
pub mod portable;
mod query;
mod queue;
mod reading;
mod store;

pub use checked::Checked;
pub use committer::Committer;
pub use log::{Log, LogError, LogOpener, LogReader, Notes, Place, Record, Space};
pub use log_store::LogStore;
pub use memory::{Kept, MemoryLog};
pub use query::{
    Counts, Cursor, DeadFilter, DeadGroup, EventRecord, Export, MailFilter, MailSummary, MailView, Page, Query,
    RunFilter, RunRecord,
};
pub use store::{
    BulkOutcome, Change, Claimed, Enqueued, LeaseReference, NewEvent, NewRun, Pruned, Published, RecordError,
    Retention, Room, Store, StoreError,
};
