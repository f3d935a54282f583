//! The domain of a durable job engine: jobs, runs, attempts, their transitions, and the journal that records them.
//! It does no I/O: no clock, no randomness, no async, no store; whatever it needs from outside is handed in.

pub mod audit;
pub mod backoff;
pub mod bill;
pub mod breaker;
pub mod cron;
pub mod delivery;
pub mod fingerprint;
pub mod flow;
pub mod id;
pub mod job;
pub mod journal;
pub mod json;
pub mod limits;
pub mod mail;
pub mod notice;
pub mod order;
pub mod outcome;
pub mod run;
pub mod suppression;
pub mod time;
pub mod token;
pub mod transition;

pub use backoff::Backoff;
pub use id::{AuditId, DeliveryId, EventId, EventKey, JobId, MailId, NoticeId, RunId, TokenId, Version};
pub use job::{Descriptor, Job, JobOverrides, Source, Trigger};
pub use journal::{Entry, EntryKind};
pub use json::Json;
pub use outcome::{AttemptError, FailureKind, Outcome};
pub use run::{Attempt, Run, RunHead, RunState};
pub use time::{Clock, Entropy, Timestamp};
