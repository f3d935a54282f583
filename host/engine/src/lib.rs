//! Durable scheduling: what is due is claimed, run, and its outcome recorded; what is loaded follows the hopper.
//! It names no wasm runtime, no database and no web framework: a `Loader`, a `Store` and a clock are handed in.

pub mod announcements;
mod attempt;
mod audit;
pub mod catalog;
mod changes;
mod deliveries;
mod engine;
pub mod executor;
pub mod handle;
mod hopper;
pub mod intake;
mod mail_allowance;
pub mod maintenance;
mod notices;
mod patience;
mod queues;
mod regressions;
mod release;
mod rollback;
pub mod runner;
pub mod scheduler;
mod schedules;
pub mod schema;
pub mod timetable;
mod trial;
mod waiting;

pub use attempt::{AttemptContext, Remainder, StepError};
pub use catalog::{Breakage, Catalog, JobListing, JobStatus, LoadedJob, Pinned};
pub use deliveries::{DeliveryMeaning, DeliveryRequest};
pub use engine::{Engine, EngineError, Settings};
pub use handle::{ChangeError, Handle, RerunError};
pub use intake::{Accepted, EnqueueError, EnqueueRequest, EventRequest};
pub use jobmill_store::RecordError;
pub use mail_allowance::{MailAllowance, MailBudgets, TooManyMails};
pub use notices::Notifier;
pub use release::{MailOutlet, ReleaseError};
pub use rollback::{Rollback, RollbackError};
pub use runner::{LoadError, Loaded, Loader, Runner, Stop};
pub use schedules::ScheduleListing;
pub use schema::{PayloadProblem, PayloadSchema};
pub use trial::{DoneBefore, Trial, TrialEffect, TrialError};
pub use waiting::WaitingFor;
