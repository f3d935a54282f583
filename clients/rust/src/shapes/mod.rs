//! The server's documents. Members that a later version adds are ignored; the answer's text has them.
//! Nothing here asks a server.

mod jobs;
mod mail;
mod orders;
mod runs;
mod store;
mod work;

pub use jobs::{Breaker, Job, Pause, Queue, Schedule, Setting, Trigger};
pub use mail::{Attachment, Cleared, Mail, Suppression};
pub use orders::Order;
pub use runs::{
    Attempt, AttemptError, BulkReport, DeadGroup, DoubtfulMail, Entry, LogLine, Run, RunLog, Skipped, WaitingFor,
};
pub use store::{Forgotten, Pruned, Stats, StoreCheck};
pub use work::{CreatedToken, Delivery, Event, Publication, Published, Token};
