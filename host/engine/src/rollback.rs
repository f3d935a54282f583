//! Rolling a job back to an earlier version, and letting it go on with the newest again: how the doors ask for it.
//! The hopper carries it out, as the owner of what is loaded.

use std::collections::BTreeSet;
use std::sync::Arc;

use jobmill_core::job::{Pin, pin};
use jobmill_core::{JobId, Version, limits};
use jobmill_store::{Checked, StoreError};
use tokio::sync::oneshot;

use crate::handle::Handle;

/// What somebody wants to be rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// The job.
    pub job: JobId,
    /// The first digits of the version that is to serve; the one that served before if absent.
    pub version: Option<String>,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// Why a job serves on as it did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    /// There is no such job.
    #[error("there is no job {0}")]
    UnknownJob(JobId),
    /// Its file is gone, or never loaded.
    #[error("the job {0} is not loaded: its file is not in the hopper")]
    NotLoaded(JobId),
    /// No version is the one that was asked for.
    #[error(transparent)]
    NotFound(#[from] pin::NotFound),
    /// It serves already.
    #[error("{version} of {job} serves already")]
    Serves {
        /// The job.
        job: JobId,
        /// The version.
        version: Version,
    },
    /// Its component is not there any more.
    #[error(
        "the component of {version} of {job} is not kept any more (the last {} of a job are); put its file into the hopper",
        limits::VERSIONS_WITH_BYTES
    )]
    NotKept {
        /// The job.
        job: JobId,
        /// The version.
        version: Version,
    },
    /// Its component is there, and can't be loaded.
    #[error("{version} of {job} can't be loaded: {reason}")]
    Unloadable {
        /// The job.
        job: JobId,
        /// The version.
        version: Version,
        /// Why not.
        reason: String,
    },
    /// It is held to no version.
    #[error("the job {0} is not pinned to a version")]
    NotPinned(JobId),
    /// The engine stops.
    #[error("the engine is stopping")]
    Stopping,
    /// The store can't do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where the answer of the hopper goes.
type Reply<T> = oneshot::Sender<Result<T, RollbackError>>;

/// What the hopper is asked for.
pub(crate) enum HopperRequest {
    /// Holds a job to an earlier version; answers it.
    RollBack(Rollback, Reply<Arc<Pin>>),
    /// Lets the newest version serve; answers what was taken back.
    Unpin(JobId, Reply<Pin>),
}

impl Handle {
    /// Lets an earlier version of a job serve, and holds the job to it until it is unpinned, also over restarts. Attempts
    /// under way end on what they began with.
    pub async fn roll_back(&self, wanted: Rollback) -> Result<Arc<Pin>, RollbackError> {
        self.ask_hopper(|reply| HopperRequest::RollBack(wanted, reply)).await
    }

    /// Lets the version in the hopper serve again; answers the pin that was taken back.
    pub async fn unpin(&self, job: JobId) -> Result<Pin, RollbackError> {
        self.ask_hopper(|reply| HopperRequest::Unpin(job, reply)).await
    }

    /// The versions whose components are kept, so that a job can be rolled back to them.
    pub async fn kept_components(&self) -> Result<BTreeSet<Version>, StoreError> {
        self.store.components().await
    }

    /// Reads every component that is kept, and compares it with its digest.
    pub async fn check_components(&self, checked: &mut Checked) -> Result<(), StoreError> {
        checked.add_components(&*self.store).await
    }

    async fn ask_hopper<T>(&self, request: impl FnOnce(Reply<T>) -> HopperRequest) -> Result<T, RollbackError> {
        let (reply, answer) = oneshot::channel();
        self.hopper.send(request(reply)).await.map_err(|_| RollbackError::Stopping)?;
        answer.await.unwrap_or(Err(RollbackError::Stopping))
    }
}
