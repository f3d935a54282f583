//! The components of versions, kept beside the log; and what a store answers about them and about pins.
//! It loads none; which of them have room is worked out in the index.
//!
//! They are not in the log: one can be 64 MiB, and the log is written again by its cleaning.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jobmill_core::job::Pin;
use jobmill_core::{JobId, Version};

use crate::commands;
use crate::log::LogError;
use crate::log_store::LogStore;
use crate::store::StoreError;

/// Where the components of versions are kept, by their digests. What `keep` has answered survives a power cut.
pub trait Components: Send + Sync {
    /// Keeps a component; one that is there already stays. Refuses bytes that are not the version's.
    fn keep(&self, version: Version, bytes: &[u8]) -> Result<(), LogError>;

    /// The bytes of a component, compared with its digest; none when it is not kept.
    fn read(&self, version: Version) -> Result<Option<Vec<u8>>, LogError>;

    /// Which are kept. What they hold is not looked at.
    fn kept(&self) -> Result<BTreeSet<Version>, LogError>;

    /// Removes whatever is not one of these, and what unfinished writes left.
    fn remove_all_but(&self, versions: &BTreeSet<Version>) -> Result<(), LogError>;
}

/// The bytes, if they are the version's.
pub fn checked(version: Version, bytes: Vec<u8>) -> Result<Vec<u8>, LogError> {
    if Version::of(&bytes) == version {
        return Ok(bytes);
    }
    let whole = version.to_hex();
    Err(LogError::Damaged(format!("the kept component {whole} is damaged: its bytes have another SHA-256")))
}

/// Components in memory. For tests, and for a log that has no place for them.
#[derive(Debug, Clone, Default)]
pub struct MemoryComponents(Arc<Mutex<BTreeMap<Version, Vec<u8>>>>);

impl MemoryComponents {
    fn map<T>(&self, with: impl FnOnce(&mut BTreeMap<Version, Vec<u8>>) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other bytes in the place of a version's, as a bad disk does.
    pub fn damage(&self, version: Version, bytes: &[u8]) {
        self.map(|map| map.insert(version, bytes.to_vec()));
    }
}

impl Components for MemoryComponents {
    fn keep(&self, version: Version, bytes: &[u8]) -> Result<(), LogError> {
        let bytes = checked(version, bytes.to_vec())?;
        self.map(|map| _ = map.entry(version).or_insert(bytes));
        Ok(())
    }

    fn read(&self, version: Version) -> Result<Option<Vec<u8>>, LogError> {
        self.map(|map| map.get(&version).cloned()).map(|bytes| checked(version, bytes)).transpose()
    }

    fn kept(&self) -> Result<BTreeSet<Version>, LogError> {
        Ok(self.map(|map| map.keys().copied().collect()))
    }

    fn remove_all_but(&self, versions: &BTreeSet<Version>) -> Result<(), LogError> {
        self.map(|map| map.retain(|version, _| versions.contains(version)));
        Ok(())
    }
}

/// What a store keeps of versions beside their records.
#[async_trait]
pub trait Versions: Send + Sync {
    /// Keeps the bytes of a version, which is to be put on record next.
    async fn put_component(&self, version: Version, bytes: Vec<u8>) -> Result<(), StoreError>;

    /// The bytes of a version; none when they are not kept.
    async fn component(&self, version: Version) -> Result<Option<Vec<u8>>, StoreError>;

    /// The versions whose bytes are kept.
    async fn components(&self) -> Result<BTreeSet<Version>, StoreError>;

    /// Lets go of the bytes that have no room any more: of each job more than `limits::VERSIONS_WITH_BYTES`, and of all
    /// more than `limits::COMPONENTS_KEPT_BYTES`, the oldest loaded first. Never those of `serving` or of a pinned version.
    async fn trim_components(&self, serving: BTreeSet<Version>) -> Result<(), StoreError>;

    /// Holds a job to a version, whatever it was held to before. Also with little room on the disk.
    async fn pin(&self, pin: Pin) -> Result<(), StoreError>;

    /// Takes a pin back; answers it, none when the job had none.
    async fn unpin(&self, job: JobId) -> Result<Option<Pin>, StoreError>;

    /// The pins, by job. Reads no disk.
    async fn pins(&self) -> Result<Vec<Pin>, StoreError>;
}

impl LogStore {
    /// Does something with the components where it holds up nobody who serves others.
    async fn with_components<T: Send + 'static>(
        &self,
        work: impl FnOnce(&(dyn Components + 'static)) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let components = Arc::clone(&self.components);
        let done = tokio::task::spawn_blocking(move || work(&*components)).await;
        done.unwrap_or_else(|error| Err(LogError::Io(error.to_string()))).map_err(|error| match error {
            LogError::Full(reason) => StoreError::Full(reason),
            // The log itself is as well as before.
            LogError::Io(reason) | LogError::Damaged(reason) => StoreError::Damaged(reason),
        })
    }
}

#[async_trait]
impl Versions for LogStore {
    async fn put_component(&self, version: Version, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.with_components(move |components| components.keep(version, &bytes)).await
    }

    async fn component(&self, version: Version) -> Result<Option<Vec<u8>>, StoreError> {
        self.with_components(move |components| components.read(version)).await
    }

    async fn components(&self) -> Result<BTreeSet<Version>, StoreError> {
        self.with_components(Components::kept).await
    }

    async fn trim_components(&self, serving: BTreeSet<Version>) -> Result<(), StoreError> {
        let room = self.shared().index.components_with_room(&serving);
        self.with_components(move |components| components.remove_all_but(&room)).await
    }

    async fn pin(&self, pin: Pin) -> Result<(), StoreError> {
        self.commit(move |commit| commands::pin(commit, &pin), |(), _| ()).await
    }

    async fn unpin(&self, job: JobId) -> Result<Option<Pin>, StoreError> {
        self.commit(move |commit| commands::unpin(commit, &job), |pin, _| pin).await
    }

    async fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        Ok(self.shared().index.pins().cloned().collect())
    }
}
