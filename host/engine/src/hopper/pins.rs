//! Jobs that are held to one of their versions: their components are loaded from the store, and serve whatever newer file
//! lies in the hopper. Which version one is rolled back to is decided in `core`; what then serves, in the catalog.

use std::sync::Arc;

use futures::future::join_all;
use jobmill_core::job::Pin;
use jobmill_core::job::pin::rollback_target;
use jobmill_core::{JobId, Version, limits};
use jobmill_store::StoreError;

use super::Hopper;
use super::loading::read;
use crate::catalog::{LoadedJob, Pinned};
use crate::rollback::{HopperRequest, Rollback, RollbackError};

impl Hopper {
    /// Loads what jobs are held to, before anything serves.
    pub(super) async fn load_pins(&mut self) -> Result<(), StoreError> {
        let pins = self.store.pins().await?;
        let loaded = join_all(pins.iter().map(|pin| self.load_kept(&pin.job, pin.version))).await;
        for (pin, loaded) in pins.into_iter().zip(loaded) {
            let loaded = loaded.map_err(|error| error.to_string());
            if let Err(error) = &loaded {
                tracing::error!(job = %pin.job, version = %pin.version, error, "the job is pinned to a version that can't be loaded; what is in the hopper serves");
            }
            self.pins.insert(pin.job.clone(), Pinned { pin, loaded });
        }
        Ok(())
    }

    /// Does what was asked for. Whoever asked may have gone; it is done all the same.
    pub(super) async fn serve(&mut self, request: HopperRequest) {
        match request {
            HopperRequest::RollBack(wanted, reply) => _ = reply.send(self.roll_back(wanted).await),
            HopperRequest::Unpin(job, reply) => _ = reply.send(self.unpin(job).await),
        }
    }

    async fn roll_back(&mut self, wanted: Rollback) -> Result<Arc<Pin>, RollbackError> {
        let Rollback { job, version, by, reason } = wanted;
        let catalog = self.catalog.load_full();
        catalog.listing(&job).ok_or_else(|| RollbackError::UnknownJob(job.clone()))?;
        let serving = catalog.serving(&job).ok_or_else(|| RollbackError::NotLoaded(job.clone()))?.version;
        let (versions, kept) = (self.store.versions(&job).await?, self.store.components().await?);
        let is_kept = |version| kept.contains(&version);
        let version = rollback_target(&job, &versions, serving, version.as_deref(), is_kept)?.version;
        if version == serving {
            return Err(RollbackError::Serves { job, version });
        }
        // Loaded before anything is said, so that what can't serve is not what the job is held to.
        let loaded = self.load_kept(&job, version).await?;
        let reason = reason.map(|reason| limits::truncate(&reason, limits::PIN_REASON_BYTES).to_owned());
        let pin = Pin { job: job.clone(), version, at: self.clock.now(), by, reason };
        self.store.pin(pin.clone()).await?;
        tracing::warn!(%job, from = %serving, to = %version, by = pin.by, reason = pin.reason, "the job is rolled back");
        self.pins.insert(job, Pinned { pin: pin.clone(), loaded: Ok(loaded) });
        self.publish().await;
        Ok(Arc::new(pin))
    }

    async fn unpin(&mut self, job: JobId) -> Result<Pin, RollbackError> {
        let Some(pin) = self.store.unpin(job.clone()).await? else {
            let is_known = self.catalog.load().listing(&job).is_some();
            return Err(if is_known { RollbackError::NotPinned(job) } else { RollbackError::UnknownJob(job) });
        };
        tracing::warn!(%job, from = %pin.version, "the job is not pinned any more; what is in the hopper serves");
        self.pins.remove(&job);
        self.publish().await;
        Ok(pin)
    }

    /// A version of a job, from its kept component.
    async fn load_kept(&self, job: &JobId, version: Version) -> Result<Arc<LoadedJob>, RollbackError> {
        let unloadable = |reason| RollbackError::Unloadable { job: job.clone(), version, reason };
        let bytes = match self.store.component(version).await {
            Ok(bytes) => bytes.ok_or_else(|| RollbackError::NotKept { job: job.clone(), version })?,
            Err(StoreError::Damaged(reason)) => return Err(unloadable(reason)),
            Err(error) => return Err(error.into()),
        };
        let versions = self.store.versions(job).await?;
        let record = versions.iter().find(|record| record.version == version);
        let file = record.map_or_else(|| format!("{job}.wasm"), |record| record.file.clone());
        let loaded = self.loader.make_job(&file, version, bytes).await.map_err(unloadable)?;
        if loaded.job.id != *job {
            return Err(unloadable(format!("it is a version of {}", loaded.job.id)));
        }
        Ok(Arc::new(loaded))
    }

    /// Keeps the component of a version that serves, unless it is kept; answers whether it is now. It serves all the same.
    pub(super) async fn keep_component(&self, loaded: &LoadedJob) -> bool {
        let LoadedJob { job, version, file, .. } = loaded;
        let path = self.directory.join(file);
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let reason = match read {
            Ok(Ok(Some(bytes))) if Version::of(&bytes) == *version => {
                match self.store.put_component(*version, bytes).await {
                    Ok(()) => return true,
                    Err(error) => error.to_string(),
                }
            }
            Ok(Ok(_)) => "its file has changed meanwhile".to_owned(),
            Ok(Err(reason)) => reason,
            Err(error) => error.to_string(),
        };
        tracing::warn!(job = %job.id, %version, reason, "the version serves, but nobody can roll back to it: its component is not kept");
        false
    }
}
