//! The watched directory of compiled jobs: notices files, waits until they are quiet, loads them, and updates the
//! catalog and the record of what served. It compiles nothing itself; the loader does. A rescan is the truth, file events only hasten it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures::future::join_all;
use jobmill_core::job::JobOverrides;
use jobmill_core::{Clock, Job, JobId, Timestamp, Version, limits};
use jobmill_store::Store;
use notify::{EventKind, Watcher as _};
use rustix::fs::{Mode, OFlags};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Breakage, FileState, LoadedJob, SharedCatalog};
use crate::engine::EngineError;
use crate::runner::Loader;
use crate::schema::PayloadSchema;
use crate::timetable::crons_of;

/// Events get lost: network mounts, overflow, a directory that is replaced.
const RESCAN: Duration = Duration::from_secs(5);

/// Looks at the hopper before work is taken. A file that is still being copied then is waited for no longer.
const LOOKS_AT_START: usize = 5;

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature {
    size: u64,
    modified_nanos: u128,
    inode: u64,
    regular: bool,
}

/// A file of the directory.
struct Watched {
    signature: Signature,
    /// When the signature was first seen.
    since: Timestamp,
    /// Whether the content with this signature was dealt with.
    settled: bool,
    state: FileState,
}

/// What reading and loading one file came to.
enum LoadOutcome {
    Loaded(Arc<LoadedJob>),
    /// The bytes are those that serve already.
    Same,
    Broken(String),
    /// The file changed while it was read: look again.
    Unquiet,
}

/// See the module.
pub(crate) struct Hopper {
    directory: PathBuf,
    quiet: Duration,
    overrides: BTreeMap<JobId, JobOverrides>,
    loader: Arc<dyn Loader>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    catalog: SharedCatalog,
    generation: watch::Sender<u64>,
    files: BTreeMap<String, Watched>,
    /// What serves as the store knows it: the version of each job, and its file.
    kept: BTreeMap<JobId, (Version, String)>,
    unreadable: bool,
}

impl Hopper {
    pub(crate) fn new(
        directory: PathBuf,
        quiet: Duration,
        overrides: BTreeMap<JobId, JobOverrides>,
        loader: Arc<dyn Loader>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        (catalog, generation): (SharedCatalog, watch::Sender<u64>),
    ) -> Self {
        Self {
            directory,
            quiet,
            overrides,
            loader,
            store,
            clock,
            catalog,
            generation,
            files: BTreeMap::new(),
            kept: BTreeMap::new(),
            unreadable: false,
        }
    }

    /// Loads what is there, also what was put there just now: work that comes in before would find no job. A directory that
    /// can't be read at the start is an error.
    pub(crate) async fn load_all(&mut self, shutdown: &CancellationToken) -> Result<(), EngineError> {
        for _ in 0..LOOKS_AT_START {
            let listing = list(self.directory.clone()).await.map_err(|error| EngineError::Hopper {
                path: self.directory.display().to_string(),
                reason: error.to_string(),
            })?;
            self.take_in(listing).await;
            if self.files.values().all(|file| file.settled) {
                break;
            }
            tokio::select! {
                () = self.clock.sleep(self.quiet) => {}
                () = shutdown.cancelled() => break,
            }
        }
        Ok(())
    }

    /// Follows the directory until the engine stops.
    pub(crate) async fn watch(mut self, shutdown: CancellationToken) {
        let (hint, mut hints) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event| {
            if is_change(&event) {
                // A hint that is already waiting says the same.
                let _ = hint.try_send(());
            }
        });
        if let Ok(watcher) = &mut watcher {
            let following = watcher.watch(&self.directory, notify::RecursiveMode::NonRecursive);
            if let Err(error) = following {
                tracing::warn!(%error, "the hopper can't be watched; it is read every few seconds instead");
            }
        }
        loop {
            let pause = if self.files.values().all(|file| file.settled) { RESCAN } else { self.quiet };
            let pause = self.clock.sleep(pause);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = pause => {}
                Some(()) = hints.recv() => {}
            }
            match list(self.directory.clone()).await {
                Ok(listing) => {
                    self.unreadable = false;
                    self.take_in(listing).await;
                }
                // A directory that vanished takes no job with it: what is loaded goes on.
                Err(error) if !self.unreadable => {
                    tracing::error!(%error, hopper = %self.directory.display(), "the hopper can't be read; loaded jobs go on");
                    self.unreadable = true;
                }
                Err(_) => {}
            }
        }
    }

    async fn take_in(&mut self, listing: BTreeMap<String, Signature>) {
        let now = self.clock.now();
        let before = self.files.len();
        self.files.retain(|name, _| listing.contains_key(name));
        let mut changed = self.files.len() != before;
        for (name, signature) in listing {
            let watched = self.files.entry(name).or_insert_with(|| Watched {
                signature,
                since: now,
                settled: false,
                state: FileState { loaded: None, breakage: None },
            });
            if watched.signature != signature {
                (watched.signature, watched.since, watched.settled) = (signature, now, false);
            }
        }
        let quiet: Vec<String> =
            self.files.iter().filter(|(_, it)| self.is_quiet(it, now)).map(|(name, _)| name.clone()).collect();
        let outcomes = join_all(quiet.iter().map(|name| self.load(name))).await;
        for (name, outcome) in quiet.into_iter().zip(outcomes) {
            changed |= self.settle(&name, outcome);
        }
        if changed {
            let next =
                self.catalog.load().next(&self.files.iter().map(|(n, f)| (n.clone(), f.state.clone())).collect(), now);
            let generation = next.generation;
            self.catalog.store(Arc::new(next));
            self.generation.send_replace(generation);
            self.keep_versions().await;
        }
    }

    /// Has the store keep each version that has begun to serve. It serves whether that can be done or not; what could not
    /// be kept is tried again with the next change.
    async fn keep_versions(&mut self) {
        let (catalog, now) = (self.catalog.load_full(), self.clock.now());
        let serves = |job: &JobId, (version, file): &(Version, String)| {
            catalog.serving(job).is_some_and(|loaded| (loaded.version, &loaded.file) == (*version, file))
        };
        self.kept.retain(|job, kept| serves(job, kept));
        let begun: Vec<_> = catalog.all_serving().filter(|loaded| !self.kept.contains_key(&loaded.job.id)).collect();
        let answers = join_all(begun.iter().map(|loaded| self.store.put_version(loaded.kept(now)))).await;
        for (loaded, answer) in begun.into_iter().zip(answers) {
            let LoadedJob { job, version, file, .. } = &**loaded;
            match answer {
                Ok(()) => _ = self.kept.insert(job.id.clone(), (*version, file.clone())),
                Err(error) => {
                    tracing::warn!(job = %job.id, %version, %error, "the version serves, but is not on record");
                }
            }
        }
    }

    /// Nothing has touched it for the quiet time, as far as its own time or our watching tells.
    fn is_quiet(&self, file: &Watched, now: Timestamp) -> bool {
        let modified = u64::try_from(file.signature.modified_nanos / 1_000_000).unwrap_or(u64::MAX);
        let aged = now.since(Timestamp::from_millis(modified)) >= self.quiet;
        !file.settled && (aged || now.since(file.since) >= self.quiet)
    }

    fn settle(&mut self, name: &str, outcome: LoadOutcome) -> bool {
        let now = self.clock.now();
        let Some(file) = self.files.get_mut(name) else {
            return false;
        };
        file.settled = true;
        match outcome {
            LoadOutcome::Unquiet => {
                (file.settled, file.since) = (false, now);
                false
            }
            LoadOutcome::Same => file.state.breakage.take().is_some(),
            LoadOutcome::Loaded(loaded) => {
                tracing::info!(job = %loaded.job.id, version = %loaded.version, file = name, "job loaded");
                file.state = FileState { loaded: Some(loaded), breakage: None };
                true
            }
            LoadOutcome::Broken(error) => {
                let serving = file.state.loaded.as_ref().map(|loaded| loaded.version.to_string());
                tracing::error!(file = name, error, serving, "component can't be loaded");
                let since = file.state.breakage.as_ref().map_or(now, |breakage| breakage.since);
                file.state.breakage = Some(Breakage { error, since });
                true
            }
        }
    }

    async fn load(&self, name: &str) -> LoadOutcome {
        let path = self.directory.join(name);
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let bytes = match read {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) => return LoadOutcome::Unquiet,
            Ok(Err(reason)) => return LoadOutcome::Broken(reason),
            Err(error) => return LoadOutcome::Broken(format!("reading it failed: {error}")),
        };
        let version = Version::of(&bytes);
        let serving = self.files.get(name).and_then(|file| file.state.loaded.as_ref());
        if serving.is_some_and(|loaded| loaded.version == version) {
            return LoadOutcome::Same;
        }
        match self.make_job(name, version, bytes).await {
            Ok(loaded) => LoadOutcome::Loaded(Arc::new(loaded)),
            Err(reason) => LoadOutcome::Broken(reason),
        }
    }

    async fn make_job(&self, name: &str, version: Version, bytes: Vec<u8>) -> Result<LoadedJob, String> {
        let size = bytes.len() as u64;
        let loaded = self.loader.load(bytes).await.map_err(|error| error.to_string())?;
        let overrides = loaded.descriptor.id.parse().ok().and_then(|id: JobId| self.overrides.get(&id));
        let job =
            Job::new(loaded.descriptor.clone(), &overrides.cloned().unwrap_or_default()).map_err(|e| e.to_string())?;
        let schema = job.payload_schema.as_ref().map(PayloadSchema::compile).transpose()?;
        let crons = crons_of(&job, schema.as_ref())?;
        Ok(LoadedJob {
            job,
            version,
            descriptor: loaded.descriptor,
            imports: loaded.imports,
            size,
            file: name.to_owned(),
            loaded_at: self.clock.now(),
            schema,
            crons,
            runner: loaded.runner,
        })
    }
}

/// Our own listing and reading are events too, of access; to follow those would be to turn in circles.
fn is_change(event: &notify::Result<notify::Event>) -> bool {
    // Errors wake as well: what was missed is found by looking.
    event
        .as_ref()
        .map_or(true, |event| matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_)))
}

async fn list(directory: PathBuf) -> std::io::Result<BTreeMap<String, Signature>> {
    tokio::task::spawn_blocking(move || list_blocking(&directory)).await.map_err(std::io::Error::other)?
}

fn list_blocking(directory: &Path) -> std::io::Result<BTreeMap<String, Signature>> {
    use std::os::unix::fs::MetadataExt as _;
    let mut listing = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with('.') || Path::new(&name).extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        // The file may be gone again, which the next listing will tell.
        let Ok(metadata) = entry.metadata() else { continue };
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let signature = Signature {
            size: metadata.len(),
            modified_nanos: modified.unwrap_or_default().as_nanos(),
            inode: metadata.ino(),
            regular: metadata.is_file(),
        };
        listing.insert(name, signature);
    }
    Ok(listing)
}

/// The bytes of a regular file, opened once and without following links; none when it changed under the reading.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err("it is a symbolic link; put the file itself here".to_owned()),
        Err(error) => return Err(format!("it can't be opened: {}", std::io::Error::from(error))),
    };
    let failed = |error: std::io::Error| format!("it can't be read: {error}");
    let before = file.metadata().map_err(failed)?;
    if !before.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if before.len() > limits::COMPONENT_BYTES {
        return Err(format!("it has {} bytes; a component has at most {}", before.len(), limits::COMPONENT_BYTES));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or_default());
    (&file).take(limits::COMPONENT_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    let after = file.metadata().map_err(failed)?;
    let unchanged = before.modified().ok() == after.modified().ok() && bytes.len() as u64 == after.len();
    Ok(unchanged.then_some(bytes))
}
