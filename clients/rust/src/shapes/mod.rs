//! The server's documents. Members that a later version adds are ignored; the answer's text has them.
//! Nothing here asks a server.

mod audit;
mod jobs;
mod mail;
mod orders;
mod runs;
mod store;
mod trials;
mod usage;
mod work;

pub use audit::{AuditEntry, Operator};
pub use jobs::{Breaker, Capability, Job, JobVersion, Pause, Pin, Queue, Schedule, Setting, Trigger, VersionChange};
pub use mail::{Attachment, Cleared, Mail, Suppression};
pub use orders::Order;
pub use runs::{
    Attempt, AttemptError, BulkReport, DeadGroup, DoubtfulMail, Entry, LogLine, Run, RunLog, Skipped, WaitingFor,
};
pub use store::{FaultsSet, Forgotten, Pruned, Stats, StoreCheck};
pub use trials::{DoneBefore, Trial, TrialEffect, TrialMail, TrialStep};
pub use usage::{AttemptUsage, HostCall, Spread, VersionUsage, Worse};
pub use work::{CreatedToken, Delivery, Event, Publication, Published, Token};
