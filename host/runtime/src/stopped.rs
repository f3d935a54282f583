//! Why the host ends a guest's call: travels through wasmtime as an error and is found again by its type.
//! It does not judge what follows; `outcome` does.

use std::time::Duration;

use jobmill_core::limits;
use jobmill_engine::RecordError;

/// The host ends the call. A guest can't catch it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    /// `describe` is pure.
    #[error("host calls are not available to describe")]
    Describing,
    /// Too many host calls.
    #[error("the attempt made more than {} host calls", limits::HOST_CALLS)]
    HostCalls,
    /// Too much linear memory.
    #[error("the component wanted {wanted} bytes of memory; it may have {}", limits::MEMORY_BYTES)]
    Memory {
        /// What it would have had.
        wanted: usize,
    },
    /// Too large a table.
    #[error("the component wanted a table of {wanted} elements; it may have {}", limits::TABLE_ELEMENTS)]
    Table {
        /// What it would have had.
        wanted: usize,
    },
    /// A step's name that is no key.
    #[error("a step's name has 1 to {} bytes; the component gave one of {bytes}", limits::STEP_NAME_BYTES)]
    StepName {
        /// Bytes of the name.
        bytes: usize,
    },
    /// A step's value that is too large.
    #[error("the value of step {name:?} has {bytes} bytes; it may have {}", limits::OUTPUT_BYTES)]
    StepValueSize {
        /// The step.
        name: String,
        /// Bytes of the value.
        bytes: usize,
    },
    /// A step's value that is not JSON.
    #[error("the value of step {name:?} is not JSON: {reason}")]
    StepValueForm {
        /// The step.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Mail is kept back, through no fault of the job's.
    #[error("{}", .0.reason)]
    Held(jobmill_backends::Hold),
    /// The job has done what it may for now.
    #[error("{reason}")]
    Paced {
        /// What it has done, and what it may.
        reason: String,
        /// When it may do more.
        delay: Duration,
    },
    /// The journal took no more.
    #[error(transparent)]
    Record(#[from] RecordError),
}
