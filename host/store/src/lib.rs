//! The boundary between the engine and whatever keeps its runs: the traits `Store` and `Query`, and the log-backed store.
//! It names no database; a database is a `Log`, or a `Store` of its own.

mod checked;
mod cleaning;
mod commands;
mod committer;
#[cfg(feature = "conformance")]
pub mod conformance;
mod control;
mod flow;
mod forgetting;
mod index;
mod log;
mod log_store;
mod mailing;
mod memory;
pub mod portable;
mod query;
mod queue;
mod reading;
mod store;
mod totals;

pub use checked::Checked;
pub use committer::Committer;
pub use control::{Control, ControlKey, Schedule};
pub use flow::{Blocker, Hold, JobControl, JobRules, Pause, QueueControl, Rules};
pub use forgetting::{Forget, Forgotten};
pub use log::{Log, LogError, LogOpener, LogReader, Notes, Place, Record, Space};
pub use log_store::LogStore;
pub use mailing::{Doubts, MailInDoubt, NotReleased, Release, Settlement, Suppressed};
pub use memory::{Kept, MemoryLog};
pub use query::{
    Activity, Counts, Cursor, CursorError, DeadFilter, DeadGroup, DeliveryFilter, DeliverySummary, Durations,
    EventFilter, EventRecord, Export, JobActivity, JobFlowView, MailFilter, MailSummary, MailView, MinuteActivity,
    Page, Query, QueueView, RunFilter, RunRecord, SuppressionCursor, WaitingCause, WaitingFor,
};
pub use store::{
    BulkOutcome, Change, Claim, Claimed, Enqueued, Firing, LeaseReference, NewDelivery, NewEvent, NewRun, Pruned,
    Published, QueueChange, Received, RecordError, Retention, Room, RunDebounce, RunFlow, Store, StoreError,
    WaitingBounds,
};
pub use totals::{DURATION_BOUNDS, DurationTotals, JobTotals, Totals};
