//! The durable record log under a `LogStore`: what is written, read back, and promised.
//! It keeps no index and knows no transition; records mean what `core` says.

use std::sync::Arc;

use jobmill_core::journal::{Entry, EventReference};
use jobmill_core::order::Order;
use jobmill_core::{EventId, Json, MailId, RunId, Timestamp};

/// One thing that is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// More of a run's journal.
    Journal {
        /// The run.
        run: RunId,
        /// The number of the first of these entries in the run's journal, from 0.
        first: u32,
        /// The entries, never none.
        entries: Vec<Entry>,
    },
    /// An event that no job listened to. Other events are told by their runs.
    Event {
        /// Id, name and time.
        reference: EventReference,
        /// Its data.
        data: Json,
        /// When it was recorded.
        received_at: Timestamp,
    },
    /// An order of the embedded book, as it is from now on.
    Order(Order),
    /// Mails up to this one are no longer shown.
    MailCleared {
        /// The newest of them.
        up_to: MailId,
    },
}

/// Writing or reading failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("{0}")]
    Io(String),
    /// A record is not what was written.
    #[error("{0}")]
    Damaged(String),
}

/// Where records go. Owned by the one thread that writes.
pub trait Log: Send + 'static {
    /// What reads while the owner writes.
    fn reader(&self) -> Arc<dyn LogReader>;

    /// Hands every record over, a run's journal in its order. Comes before the first append.
    fn scan(&mut self, visit: &mut dyn FnMut(Record)) -> Result<(), LogError>;

    /// Writes the records of one command: after a crash either all of them are there or none.
    fn append(&mut self, command: &[Record]) -> Result<(), LogError>;

    /// Returns once everything appended survives a power cut. After an error nothing more is written.
    fn sync(&mut self) -> Result<(), LogError>;
}

/// Reads what was appended, synced or not.
pub trait LogReader: Send + Sync {
    /// The run's journal; empty when there is no such run.
    fn journal(&self, run: RunId) -> Result<Vec<Entry>, LogError>;

    /// The data of an event that no job listened to.
    fn event_data(&self, id: &EventId) -> Result<Option<Json>, LogError>;
}
