//! Durable scheduling: what is due is claimed, run, and its outcome recorded; what is loaded follows the hopper.
//! It names no wasm runtime, no database and no web framework: a `Loader`, a `Store` and a clock are handed in.

pub mod attempt;
pub mod catalog;
mod changes;
mod engine;
pub mod executor;
pub mod handle;
mod hopper;
pub mod maintenance;
mod patience;
pub mod runner;
pub mod scheduler;
pub mod schema;

pub use attempt::{AttemptContext, Remainder, StepError};
pub use catalog::{Breakage, Catalog, JobListing, JobStatus, LoadedJob};
pub use engine::{Engine, EngineError, Settings};
pub use handle::{Accepted, ChangeError, EnqueueError, EnqueueRequest, EventRequest, Handle, RerunError, WaitingFor};
pub use jobmill_store::RecordError;
pub use runner::{LoadError, Loaded, Loader, Runner, Stop};
pub use schema::{PayloadProblem, PayloadSchema};
