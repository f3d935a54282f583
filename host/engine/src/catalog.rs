//! Which jobs are loaded, from which file, in which version, and what is wrong with the files that are not.
//! It loads nothing and watches nothing: the hopper does, and hands each file's state in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use jobmill_core::cron::CronExpression;
use jobmill_core::job::{JobVersion, Pin, Sandbox};
use jobmill_core::{Descriptor, Job, JobId, Timestamp, Version};
use jobmill_store::JobRules;

use crate::runner::Runner;
use crate::schema::PayloadSchema;

/// A component version that can be run.
pub struct LoadedJob {
    /// The job, checked and with the operator's overrides.
    pub job: Job,
    /// What its code may take and reach.
    pub sandbox: Arc<Sandbox>,
    /// The SHA-256 of the component.
    pub version: Version,
    /// What it says of itself, as it said it.
    pub descriptor: Descriptor,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// Bytes of the component.
    pub size: u64,
    /// The file's name in the hopper.
    pub file: String,
    /// When it was loaded.
    pub loaded_at: Timestamp,
    /// What checks payloads.
    pub schema: Option<PayloadSchema>,
    /// When it starts by itself.
    pub crons: Vec<CronExpression>,
    /// What runs it.
    pub runner: Arc<dyn Runner>,
}

impl LoadedJob {
    /// What is kept of it, when it begins to serve at `now`.
    pub fn kept(&self, now: Timestamp) -> JobVersion {
        JobVersion {
            job: self.job.id.clone(),
            version: self.version,
            file: self.file.clone(),
            descriptor: self.descriptor.clone(),
            imports: self.imports.clone(),
            size: self.size,
            first_loaded_at: now,
            last_loaded_at: now,
        }
    }

    /// Under which limits it runs.
    pub fn rules(&self) -> JobRules {
        JobRules {
            version: self.version,
            concurrency: self.job.concurrency.value.clone(),
            rate_limit: self.job.rate_limit.value.clone(),
            breaker: self.job.breaker.value,
            held: None,
        }
    }
}

/// Why a file's newest content does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakage {
    /// What is wrong, for people.
    pub error: String,
    /// Since when.
    pub since: Timestamp,
}

/// What the hopper knows of one file.
#[derive(Clone)]
pub struct FileState {
    /// The newest content that could be loaded.
    pub loaded: Option<Arc<LoadedJob>>,
    /// Set when there is newer content that can't be loaded.
    pub breakage: Option<Breakage>,
}

/// What a job is held to.
#[derive(Clone)]
pub struct Pinned {
    /// What was said.
    pub pin: Pin,
    /// The version; or why it can't be loaded.
    pub loaded: Result<Arc<LoadedJob>, String>,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// It serves.
    Loaded,
    /// Its file never loaded.
    Broken,
    /// Its file is gone; its runs wait.
    Retired,
}

impl JobStatus {
    /// The word for it everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Broken => "broken",
            Self::Retired => "retired",
        }
    }
}

/// A line of the list of jobs.
#[derive(Clone)]
pub struct JobListing {
    /// How it stands.
    pub status: JobStatus,
    /// The file's name in the hopper.
    pub file: String,
    /// What serves, or served; none for a file that never loaded.
    pub loaded: Option<Arc<LoadedJob>>,
    /// Why the newest content does not serve.
    pub breakage: Option<Breakage>,
    /// What the job is held to.
    pub pinned: Option<Pin>,
    /// The version in the hopper, where it does not serve because the job is held to another.
    pub waits: Option<Version>,
}

impl JobListing {
    /// The job is held to a version. Where that can't be loaded, what is in the hopper serves on: a job without any version
    /// would let all its runs wait for somebody to look.
    fn hold(&mut self, held: &Pinned) {
        self.pinned = Some(held.pin.clone());
        match &held.loaded {
            Ok(loaded) if self.loaded.as_ref().is_some_and(|newest| newest.version == loaded.version) => {}
            Ok(loaded) => self.waits = self.loaded.replace(Arc::clone(loaded)).map(|newest| newest.version),
            Err(reason) => {
                let error =
                    format!("the job is pinned to {}, but {reason}; what is in the hopper serves", held.pin.version);
                self.breakage.get_or_insert(Breakage { error, since: held.pin.at });
            }
        }
    }
}

/// The pin of the job of a file. A file that never loaded tells by its name alone whose it is, if no other file does.
fn pin_of<'pins>(
    file: &str,
    files: &BTreeMap<String, FileState>,
    pins: &'pins BTreeMap<JobId, Pinned>,
) -> Option<&'pins Pinned> {
    if let Some(loaded) = &files.get(file)?.loaded {
        return pins.get(&loaded.job.id);
    }
    let is_served_by_another =
        |job: &JobId| files.values().any(|state| state.loaded.as_ref().is_some_and(|loaded| loaded.job.id == *job));
    let is_its = |held: &&Pinned| held.loaded.as_ref().is_ok_and(|loaded| loaded.file == file);
    pins.values().find(is_its).filter(|held| !is_served_by_another(&held.pin.job))
}

/// Everything that is loaded, at one moment.
#[derive(Clone, Default)]
pub struct Catalog {
    /// Rises by one with each change.
    pub generation: u64,
    jobs: BTreeMap<JobId, JobListing>,
    broken: Vec<JobListing>,
    /// Every version that this catalog or one before it had, as long as it is in memory.
    known: Vec<Weak<LoadedJob>>,
}

impl Catalog {
    /// The catalog of these files, by name. Of two files with one id the first by name serves; a job that is held to a
    /// version serves that.
    #[must_use]
    pub fn next(&self, files: &BTreeMap<String, FileState>, pins: &BTreeMap<JobId, Pinned>, now: Timestamp) -> Self {
        let mut jobs: BTreeMap<JobId, JobListing> = BTreeMap::new();
        let mut broken = Vec::new();
        for (file, state) in files {
            let mut listing = JobListing {
                status: JobStatus::Loaded,
                file: file.clone(),
                loaded: state.loaded.clone(),
                breakage: state.breakage.clone(),
                pinned: None,
                waits: None,
            };
            if let Some(held) = pin_of(file, files, pins) {
                listing.hold(held);
            }
            let Some(loaded) = &listing.loaded else {
                // What is still being loaded is not known to be broken.
                if listing.breakage.is_some() {
                    listing.status = JobStatus::Broken;
                    broken.push(listing);
                }
                continue;
            };
            let id = loaded.job.id.clone();
            if let Some(first) = jobs.get(&id) {
                let error = format!("the job {id} is already served by {}; give one of them another id", first.file);
                let since = self.broken_since(file).unwrap_or(now);
                listing.status = JobStatus::Broken;
                listing.loaded = None;
                listing.breakage = Some(Breakage { error, since });
                broken.push(listing);
            } else {
                jobs.insert(id, listing);
            }
        }
        for (id, listing) in &self.jobs {
            if !jobs.contains_key(id) {
                jobs.insert(id.clone(), JobListing { status: JobStatus::Retired, ..listing.clone() });
            }
        }
        Self { generation: self.generation + 1, jobs, broken, known: self.known_with(files, pins) }
    }

    /// What is known still, and what these files and pins bring.
    fn known_with(&self, files: &BTreeMap<String, FileState>, pins: &BTreeMap<JobId, Pinned>) -> Vec<Weak<LoadedJob>> {
        let mut known: Vec<_> = self.known.iter().filter(|it| it.strong_count() > 0).cloned().collect();
        let before: BTreeSet<_> = known.iter().map(Weak::as_ptr).collect();
        let of_files = files.values().filter_map(|file| file.loaded.as_ref());
        let all = of_files.chain(pins.values().filter_map(|held| held.loaded.as_ref().ok()));
        known.extend(all.filter(|loaded| !before.contains(&Arc::as_ptr(loaded))).map(Arc::downgrade));
        known
    }

    /// How many versions are in memory: those that are loaded, and those that attempts are still under way with.
    pub fn in_memory(&self) -> usize {
        let known: BTreeSet<_> = self.known.iter().filter(|it| it.strong_count() > 0).map(Weak::as_ptr).collect();
        known.len()
    }

    fn broken_since(&self, file: &str) -> Option<Timestamp> {
        let listing = self.broken.iter().find(|listing| listing.file == file)?;
        listing.breakage.as_ref().map(|breakage| breakage.since)
    }

    /// The version of a job that serves now.
    pub fn serving(&self, job: &JobId) -> Option<&Arc<LoadedJob>> {
        self.jobs.get(job).filter(|listing| listing.status == JobStatus::Loaded).and_then(|it| it.loaded.as_ref())
    }

    /// Every version that serves now, by job id.
    pub fn all_serving(&self) -> impl Iterator<Item = &Arc<LoadedJob>> {
        let loaded = self.jobs.values().filter(|listing| listing.status == JobStatus::Loaded);
        loaded.filter_map(|listing| listing.loaded.as_ref())
    }

    /// The listing of a job that serves or served.
    pub fn listing(&self, job: &JobId) -> Option<&JobListing> {
        self.jobs.get(job)
    }

    /// Jobs by id, then files that never loaded by name.
    pub fn listings(&self) -> impl Iterator<Item = &JobListing> {
        self.jobs.values().chain(&self.broken)
    }
}

/// The catalog as it is now; read without a lock.
pub type SharedCatalog = Arc<ArcSwap<Catalog>>;
