//! The watched directory of compiled jobs: notices files, waits until they are quiet, has each loaded by a task of its own,
//! takes in what comes of it, and updates the catalog and the record of what served. It compiles nothing itself; the loader
//! does. A rescan is the truth, file events only hasten it.

mod loading;
mod pins;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures::future::join_all;
use jobmill_core::job::Overrides;
use jobmill_core::{Clock, JobId, Timestamp, Version, limits};
use jobmill_store::Store;
use notify::{EventKind, Watcher as _};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Breakage, FileState, LoadedJob, Pinned, SharedCatalog};
use crate::engine::EngineError;
use crate::rollback::HopperRequest;
use crate::runner::Loader;
use loading::{FileLoader, LoadOutcome};

/// Events get lost: network mounts, overflow, a directory that is replaced.
const RESCAN: Duration = Duration::from_secs(5);

/// How long nothing may come of loading before work is taken all the same: what compiling one component may take of processor
/// time. Less would cost a large one events that come in before it is known which job listens to them.
const PATIENCE_AT_START: Duration = limits::COMPILE_CPU;

/// Looks at the hopper before work is taken. A file that is still being copied then is waited for no longer.
const LOOKS_AT_START: usize = 5;

/// How long a load has to end before one of newer content takes its place. A file that is replaced faster than it is loaded
/// would else never be loaded; and what takes long is not waited for when somebody has put something else there.
const LEFT_TO_END: Duration = Duration::from_secs(5);

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature {
    size: u64,
    modified_nanos: u128,
    inode: u64,
    regular: bool,
}

impl Signature {
    /// When the file was last touched, as far as its own time or our watching tells: it is seen first now.
    fn touched(&self, now: Timestamp) -> Timestamp {
        let modified = u64::try_from(self.modified_nanos / 1_000_000).unwrap_or(u64::MAX);
        now.min(Timestamp::from_millis(modified))
    }
}

/// A task that loads a file. It is stopped when nobody waits for it any more: newer content is loaded instead, or the file is gone.
struct Load {
    task: AbortHandle,
    began: Timestamp,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How the task of a load ended.
type Ended = Result<(Id, LoadOutcome), JoinError>;

/// A file of the directory.
struct Watched {
    signature: Signature,
    /// Since when nothing has touched it; none once its content is being loaded or was dealt with.
    waits: Option<Timestamp>,
    /// What is under way for it.
    load: Option<Load>,
    state: FileState,
}

impl Watched {
    fn new(signature: Signature, now: Timestamp) -> Self {
        let waits = Some(signature.touched(now));
        Self { signature, waits, load: None, state: FileState { loaded: None, breakage: None } }
    }

    fn is_waiting(&self) -> bool {
        self.waits.is_some()
    }

    fn is_loaded_by(&self, task: Id) -> bool {
        self.load.as_ref().is_some_and(|load| load.task.id() == task)
    }
}

/// See the module.
pub(crate) struct Hopper {
    directory: PathBuf,
    quiet: Duration,
    loader: Arc<FileLoader>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    catalog: SharedCatalog,
    generation: watch::Sender<u64>,
    /// Loads that are under way, at most one of each file.
    loads: JoinSet<LoadOutcome>,
    files: BTreeMap<String, Watched>,
    /// What serves as the store knows it: the version of each job, and its file.
    kept: BTreeMap<JobId, (Version, String)>,
    /// What jobs are held to.
    pins: BTreeMap<JobId, Pinned>,
    requests: mpsc::Receiver<HopperRequest>,
    unreadable: bool,
}

impl Hopper {
    pub(crate) fn new(
        directory: PathBuf,
        quiet: Duration,
        overrides: Overrides,
        loader: Arc<dyn Loader>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        (catalog, generation, requests): (SharedCatalog, watch::Sender<u64>, mpsc::Receiver<HopperRequest>),
    ) -> Self {
        let loader = FileLoader { directory: directory.clone(), overrides, loader, clock: Arc::clone(&clock) };
        Self {
            directory,
            quiet,
            loader: Arc::new(loader),
            store,
            clock,
            catalog,
            generation,
            loads: JoinSet::new(),
            files: BTreeMap::new(),
            kept: BTreeMap::new(),
            pins: BTreeMap::new(),
            requests,
            unreadable: false,
        }
    }

    /// Loads what is there, also what was put there just now: work that comes in before would find no job. A directory that
    /// can't be read at the start is an error.
    pub(crate) async fn load_all(&mut self, shutdown: &CancellationToken) -> Result<(), EngineError> {
        self.load_pins().await?;
        for _ in 0..LOOKS_AT_START {
            let listing = list(self.directory.clone()).await.map_err(|error| EngineError::Hopper {
                path: self.directory.display().to_string(),
                reason: error.to_string(),
            })?;
            let mut changed = self.notice(listing);
            self.begin_loads();
            changed |= self.await_loads(shutdown).await;
            if changed {
                self.publish().await;
            }
            if !self.files.values().any(Watched::is_waiting) {
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
        let mut ended = None;
        loop {
            self.look(ended.take()).await;
            let pause = if self.files.values().any(Watched::is_waiting) { self.quiet } else { RESCAN };
            let pause = self.clock.sleep(pause);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = pause => {}
                Some(()) = hints.recv() => {}
                Some(request) = self.requests.recv() => self.serve(request).await,
                Some(load) = self.loads.join_next_with_id() => ended = Some(load),
            }
        }
    }

    /// Looks at the directory, and only then takes in a load that has ended: it counts if no load of newer content has begun.
    async fn look(&mut self, ended: Option<Ended>) {
        let listing = list(self.directory.clone()).await;
        let is_readable = listing.is_ok();
        let mut changed = false;
        match listing {
            Ok(listing) => changed = self.notice(listing),
            // A directory that vanished takes no job with it: what is loaded goes on.
            Err(error) if !self.unreadable => {
                tracing::error!(%error, hopper = %self.directory.display(), "the hopper can't be read; loaded jobs go on");
            }
            Err(_) => {}
        }
        self.unreadable = !is_readable;
        if is_readable {
            self.begin_loads();
        }
        if let Some(ended) = ended {
            changed |= self.settle(ended);
        }
        if changed {
            self.publish().await;
        }
    }

    /// Compares the files with what is known of them; answers whether one has gone. What is under way for that is
    /// stopped.
    fn notice(&mut self, listing: BTreeMap<String, Signature>) -> bool {
        let now = self.clock.now();
        let before = self.files.len();
        self.files.retain(|name, _| listing.contains_key(name));
        let has_gone = self.files.len() != before;
        for (name, signature) in listing {
            let watched = self.files.entry(name).or_insert_with(|| Watched::new(signature, now));
            if watched.signature != signature {
                (watched.signature, watched.waits) = (signature, Some(signature.touched(now)));
            }
        }
        has_gone
    }

    /// Has each file loaded that has become quiet, in place of what it was before, if that takes long.
    fn begin_loads(&mut self) {
        let now = self.clock.now();
        for (name, file) in &mut self.files {
            let is_quiet = file.waits.is_some_and(|since| now.since(since) >= self.quiet);
            if is_quiet && file.load.as_ref().is_none_or(|load| now.since(load.began) >= LEFT_TO_END) {
                let version = file.state.loaded.as_ref().map(|loaded| loaded.version);
                let (loader, name) = (Arc::clone(&self.loader), name.clone());
                let task = self.loads.spawn(async move { loader.load(&name, version).await });
                (file.waits, file.load) = (None, Some(Load { task, began: now }));
            }
        }
    }

    /// Takes in what is being loaded, for as long as something comes of it; answers whether anything has changed.
    async fn await_loads(&mut self, shutdown: &CancellationToken) -> bool {
        let mut changed = false;
        loop {
            tokio::select! {
                ended = self.loads.join_next_with_id() => match ended {
                    Some(ended) => changed |= self.settle(ended),
                    None => break,
                },
                () = self.clock.sleep(PATIENCE_AT_START) => {
                    tracing::warn!(components = self.loads.len(), "work is taken before every component is loaded");
                    break;
                }
                () = shutdown.cancelled() => break,
            }
        }
        changed
    }

    /// Lets what is loaded serve, as it is now.
    async fn publish(&mut self) {
        let files = self.files.iter().map(|(name, file)| (name.clone(), file.state.clone())).collect();
        let next = self.catalog.load().next(&files, &self.pins, self.clock.now());
        let generation = next.generation;
        self.catalog.store(Arc::new(next));
        self.generation.send_replace(generation);
        self.keep_versions().await;
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
        if begun.is_empty() {
            return;
        }
        let components = self.store.components().await.unwrap_or_default();
        let answers = join_all(begun.iter().map(|loaded| self.keep_version(loaded, &components, now))).await;
        for (loaded, is_kept) in begun.into_iter().zip(answers) {
            if is_kept {
                self.kept.insert(loaded.job.id.clone(), (loaded.version, loaded.file.clone()));
            }
        }
        let serving = catalog.all_serving().map(|loaded| loaded.version).collect();
        if let Err(error) = self.store.trim_components(serving).await {
            tracing::warn!(%error, "components of old versions can't be removed");
        }
    }

    /// Has the store keep a version, its component first; answers whether it keeps both now.
    async fn keep_version(&self, loaded: &LoadedJob, components: &BTreeSet<Version>, now: Timestamp) -> bool {
        let is_kept = components.contains(&loaded.version) || self.keep_component(loaded).await;
        match self.store.put_version(loaded.kept(now)).await {
            Ok(()) => is_kept,
            Err(error) => {
                let (job, version) = (&loaded.job.id, loaded.version);
                tracing::warn!(%job, %version, %error, "the version serves, but is not on record");
                false
            }
        }
    }

    /// Takes in how a load ended; answers whether that changes anything. One that was stopped
    /// meanwhile is of no file that is known.
    fn settle(&mut self, ended: Ended) -> bool {
        let now = self.clock.now();
        let (task, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), LoadOutcome::Broken(format!("loading it failed: {error}"))),
        };
        let Some((name, file)) = self.files.iter_mut().find(|(_, file)| file.is_loaded_by(task)) else {
            return false;
        };
        file.load = None;
        match outcome {
            LoadOutcome::Unquiet => {
                file.waits.get_or_insert(now);
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
