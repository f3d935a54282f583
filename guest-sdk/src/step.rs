//! Durable steps: a named part of a run whose result is kept across attempts.
//! It stores nothing itself: the engine's journal does.

use crate::{Failure, host};
use serde::{Serialize, de::DeserializeOwned};

/// Do `work` once for the run and keep its value: a later attempt gets the value back and skips the work.
///
/// The name is what the value is kept under (128 bytes at most), also by newer versions of the job, so it should outlive a
/// rewrite of the code. A step that fails keeps nothing and is done again by the next attempt. For `send_email` and
/// `update_order` no step is needed: they are kept by themselves.
pub fn step<T>(name: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure>
where
    T: Serialize + DeserializeOwned,
{
    if let Some(kept) = host::begin_step(name)? {
        return serde_json::from_str(&kept).map_err(|error| {
            Failure::permanent(format_args!(
                "step {name:?} was completed by an earlier attempt with a value that this version of the job can't read: {error}"
            ))
        });
    }
    let value = work()?;
    let json = serde_json::to_string(&value).map_err(|error| {
        Failure::permanent(format_args!("the value of step {name:?} can't be kept as JSON: {error}"))
    })?;
    host::complete_step(name, &json)?;
    Ok(value)
}

/// Why a step could not be begun or kept; each names the step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The step was already begun in this attempt.
    #[error("step {0:?} was already begun in this attempt; each step of a run needs a name of its own")]
    AlreadyBegun(String),
    /// It was completed without having been begun.
    #[error("step {0:?} was completed without having been begun")]
    NotBegun(String),
    /// The run's journal has no room left.
    #[error("step {0:?} can't be kept: the run's journal is full")]
    JournalFull(String),
}
