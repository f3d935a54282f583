//! The boundary between the engine and whatever keeps its runs: the traits `Store` and `Query`, and the log-backed store.
//! It names no database; a database is a `Log`, or a `Store` of its own.

mod arriving;
mod auditing;
mod checked;
mod cleaning;
mod commands;
mod committer;
mod components;
#[cfg(feature = "conformance")]
pub mod conformance;
mod control;
mod delivered;
mod flow;
mod forgetting;
mod index;
mod log;
mod log_store;
mod mailing;
mod memory;
mod notices;
pub mod portable;
mod query;
mod queue;
mod reading;
mod store;
mod totals;
mod usage;

pub use arriving::{Enqueued, NewDelivery, NewEvent, NewRun, Published, Received, RunDebounce, RunFlow, WaitingBounds};
pub use auditing::{AuditFilter, Queued};
pub use checked::Checked;
pub use committer::Committer;
pub use components::{Components, MemoryComponents, Versions, checked};
pub use control::{Control, ControlKey, Schedule};
pub use delivered::{DeliveryFilter, DeliverySummary};
pub use flow::{Blocker, Hold, JobControl, JobRules, Pause, QueueControl, Rules};
pub use forgetting::{Forget, Forgotten};
pub use log::{Log, LogError, LogOpener, LogReader, Notes, Place, Record, Space};
pub use log_store::LogStore;
pub use mailing::{Doubts, MailInDoubt, NotReleased, Release, Settlement, Suppressed};
pub use memory::{Kept, MemoryLog};
pub use notices::{DeadPulse, Notices};
pub use query::{
    Activity, Counts, Cursor, CursorError, DeadFilter, DeadGroup, Durations, EventFilter, EventRecord, Export,
    HourActivity, JobActivity, JobFlowView, MailFilter, MailSummary, MailView, MinuteActivity, Neighbours, Page, Query,
    QueueView, RunFilter, RunRecord, SuppressionCursor, WaitingCause, WaitingFor,
};
pub use store::{
    BulkOutcome, Change, Claim, Claimed, Firing, LeaseReference, Pruned, QueueChange, RecordError, Retention, Room,
    Store, StoreError,
};
pub use totals::{DURATION_BOUNDS, DurationTotals, JobTotals, Totals};
pub use usage::{Resource, Spread, VersionUsage, Worse};
