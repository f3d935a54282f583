//! Groups of dead runs as whoever tells of them asks for them, and what was told.
//! It decides nothing about what is news; the engine does.

use async_trait::async_trait;
use jobmill_core::notice::{GroupName, Notice};
use jobmill_core::{JobId, Timestamp};

use crate::commands;
use crate::log_store::LogStore;
use crate::store::StoreError;

/// How a group of dead runs stands lately. Cheap, however many runs it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadPulse {
    /// The job.
    pub job: JobId,
    /// What the errors have in common.
    pub fingerprint: u64,
    /// Runs that joined it within `limits::SPIKE_WINDOW` until now; no more are counted than were asked for.
    pub recent: usize,
    /// When the first run became dead of those that joined within `limits::SPIKE_WINDOW` until the last one did.
    pub lately_since: Timestamp,
    /// When the run before that became dead, if there is one.
    pub before: Option<Timestamp>,
}

impl DeadPulse {
    /// Its name.
    pub fn group(&self) -> GroupName {
        (self.job.clone(), self.fingerprint)
    }
}

/// What a store keeps of notices.
#[async_trait]
pub trait Notices: Send + Sync {
    /// How the groups of dead runs stand lately, of each at most `most` recent runs counted. Reads no disk.
    async fn dead_pulses(&self, most: usize, now: Timestamp) -> Result<Vec<DeadPulse>, StoreError>;

    /// What was told of which group, by job and fingerprint. Reads no disk.
    async fn notices(&self) -> Result<Vec<Notice>, StoreError>;

    /// Keeps these in the place of what was kept of their groups, and drops what is kept of `gone`; in one commit.
    async fn note(&self, notices: Vec<Notice>, gone: Vec<GroupName>) -> Result<(), StoreError>;
}

#[async_trait]
impl Notices for LogStore {
    async fn dead_pulses(&self, most: usize, now: Timestamp) -> Result<Vec<DeadPulse>, StoreError> {
        Ok(self.shared().index.dead_pulses(most, now))
    }

    async fn notices(&self) -> Result<Vec<Notice>, StoreError> {
        Ok(self.shared().index.notices().cloned().collect())
    }

    async fn note(&self, notices: Vec<Notice>, gone: Vec<GroupName>) -> Result<(), StoreError> {
        self.commit(move |commit| commands::note(commit, &notices, &gone), |(), _| ()).await
    }
}
