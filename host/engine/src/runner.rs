//! The two traits behind which job code lives: a `Loader` makes a `Runner` of a component's bytes.
//! They name no runtime.

use std::sync::Arc;

use async_trait::async_trait;
use jobmill_core::{Descriptor, Outcome};
use tokio_util::sync::CancellationToken;

use crate::attempt::AttemptContext;

/// Why a component can't be loaded. The text is shown beside the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

/// A component that was checked, linked and asked for its description.
pub struct Loaded {
    /// What it says of itself.
    pub descriptor: Descriptor,
    /// The interfaces it imports, such as `jobmill:job/email@0.1.0`.
    pub imports: Vec<String>,
    /// What runs it.
    pub runner: Arc<dyn Runner>,
}

/// Makes runners of components.
#[async_trait]
pub trait Loader: Send + Sync {
    /// Checks, links and describes a component.
    async fn load(&self, component: Vec<u8>) -> Result<Loaded, LoadError>;
}

/// Why an attempt has to stop early.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// The run was cancelled.
    pub cancelled: CancellationToken,
    /// The engine stops and its grace is over.
    pub interrupted: CancellationToken,
}

/// Runs attempts of one component version.
#[async_trait]
pub trait Runner: Send + Sync {
    /// One attempt, at most `timeout` long. Gives the context back with whatever the attempt left in it. Where the context says
    /// that this is a trial, effects are rehearsed on it and not carried out.
    async fn run(&self, context: AttemptContext, timeout: std::time::Duration, stop: Stop)
    -> (Outcome, AttemptContext);
}
