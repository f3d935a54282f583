//! One file of the hopper, or one component that is kept, to a job that can serve: read, loaded, checked.
//! It touches nothing of the catalog, so that as many as there are can be under way at once; the hopper takes them in.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jobmill_core::job::Overrides;
use jobmill_core::{Clock, Job, Version, limits};
use rustix::fs::{Mode, OFlags};

use crate::catalog::LoadedJob;
use crate::runner::Loader;
use crate::schema::PayloadSchema;
use crate::timetable::crons_of;

/// What reading and loading one file came to.
pub(super) enum LoadOutcome {
    Loaded(Arc<LoadedJob>),
    /// The bytes are those that serve already.
    Same,
    Broken(String),
    /// The file changed while it was read: look again.
    Unquiet,
}

/// Makes jobs of files.
pub(super) struct FileLoader {
    pub(super) directory: PathBuf,
    pub(super) overrides: Overrides,
    pub(super) loader: Arc<dyn Loader>,
    pub(super) clock: Arc<dyn Clock>,
}

impl FileLoader {
    /// Loads a file, of which this version is loaded.
    pub(super) async fn load(&self, name: &str, loaded: Option<Version>) -> LoadOutcome {
        let path = self.directory.join(name);
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let bytes = match read {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) => return LoadOutcome::Unquiet,
            Ok(Err(reason)) => return LoadOutcome::Broken(reason),
            Err(error) => return LoadOutcome::Broken(format!("reading it failed: {error}")),
        };
        let version = Version::of(&bytes);
        if loaded == Some(version) {
            return LoadOutcome::Same;
        }
        match self.make_job(name, version, bytes).await {
            Ok(loaded) => LoadOutcome::Loaded(Arc::new(loaded)),
            Err(reason) => LoadOutcome::Broken(reason),
        }
    }

    /// Makes a job of the bytes of a file.
    pub(super) async fn make_job(&self, name: &str, version: Version, bytes: Vec<u8>) -> Result<LoadedJob, String> {
        let size = bytes.len() as u64;
        let began = self.clock.elapsed();
        let loaded = self.loader.load(bytes).await;
        let took = self.clock.elapsed().saturating_sub(began);
        tracing::debug!(file = name, %version, ?took, is_loaded = loaded.is_ok(), "the loader is through with a component");
        let loaded = loaded.map_err(|error| error.to_string())?;
        let overrides = self.overrides.of(&loaded.descriptor.id);
        let job = Job::new(loaded.descriptor.clone(), &overrides).map_err(|error| error.to_string())?;
        let schema = job.payload_schema.as_ref().map(PayloadSchema::compile).transpose()?;
        let crons = crons_of(&job, schema.as_ref())?;
        Ok(LoadedJob {
            sandbox: Arc::new(job.sandbox()),
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

/// The bytes of a regular file, opened once and without following links; none when it changed under the reading.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
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
