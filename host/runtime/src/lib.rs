//! Runs jobs: WebAssembly components behind the engine's traits `Loader` and `Runner`.
//! It schedules nothing and keeps nothing: it reaches a run's journal only through the attempt's context.

mod attempt;
mod bindings;
mod bounds;
mod busy;
mod cache;
mod capability;
mod compile;
mod compiler;
mod describe;
mod engine;
mod loader;
mod meter;
mod outcome;
mod preamble;
mod runtime;
mod state;
mod stopped;
mod ticker;

pub use cache::CacheSettings;
pub use capability::http::JobSecrets;
pub use compile::{compile, confine};
pub use compiler::Compiler;
pub use engine::AddressSpace;
pub use jobmill_core::mail::InDoubt;
pub use runtime::{Runtime, RuntimeError, RuntimeSettings};
