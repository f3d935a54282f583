//! Why the host ends a guest's call: travels through wasmtime as an error and is found again by its type.
//! It does not judge what follows; `outcome` does.

use std::time::Duration;

use jobmill_core::job::Limit;
use jobmill_core::limits;
use jobmill_engine::RecordError;

/// The host ends the call. A guest can't catch it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    /// `describe` is pure.
    #[error("host calls are not available to describe")]
    Describing,
    /// Too many host calls.
    #[error("the attempt made more than {most} host calls ({})", key(Limit::HostCalls))]
    HostCalls {
        /// What it may make.
        most: u64,
    },
    /// Too many HTTP requests.
    #[error("the attempt made more than {most} HTTP requests ({})", key(Limit::HttpRequests))]
    HttpRequests {
        /// What it may make.
        most: u64,
    },
    /// Too much linear memory.
    #[error("the component wanted {wanted} bytes of memory; it may have {}", told(Limit::Memory, *most))]
    Memory {
        /// What it would have had.
        wanted: usize,
        /// What it may have.
        most: usize,
    },
    /// Too large a table.
    #[error("the component wanted a table of {wanted} elements; it may have {}", told(Limit::TableElements, *most))]
    Table {
        /// What it would have had.
        wanted: usize,
        /// What it may have.
        most: usize,
    },
    /// A step's name that is no key.
    #[error("a step's name has 1 to {} bytes; the component gave one of {bytes}", limits::STEP_NAME_BYTES)]
    StepName {
        /// Bytes of the name.
        bytes: usize,
    },
    /// A step's value that is too large.
    #[error("the value of step {name:?} has {bytes} bytes; it may have {}", told(Limit::Output, *most))]
    StepValueSize {
        /// The step.
        name: String,
        /// Bytes of the value.
        bytes: usize,
        /// What it may have.
        most: usize,
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

/// A limit in force, with the key that sets it.
pub(crate) fn told(limit: Limit, most: usize) -> String {
    let most = limit.shown(u64::try_from(most).unwrap_or(u64::MAX));
    format!("{most} ({})", key(limit))
}

/// The key of the configuration that sets a limit.
pub(crate) fn key(limit: Limit) -> String {
    format!("limits.{limit}")
}
