//! The place of a measurement: a directory for the time being, and the real mill in it, with a server if asked for.
//! Nothing of it is left, and nothing of anybody else's is touched.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::JobId;
use jobmill_engine::{EngineError, Handle, LoadedJob};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::failure::Failure;
use crate::machine;
use crate::serve::{self, DataDirectory, Mill, Purpose};

/// How long the files of the hopper may take to be loaded: they are compiled, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory on the disk that the configured store would be on. It is removed when this goes.
pub(super) fn directory(config: &Config) -> Result<TempDir, Failure> {
    let store = config.store_path();
    let nearest = store.ancestors().skip(1).find(|path| path.is_dir()).unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(".jobmill-bench-").tempdir_in(nearest).map_err(|error| {
        Failure::new("data-directory", format!("no directory can be made in {}: {error}", nearest.display()))
            .advise("name another place with --data")
    })
}

/// A mill that runs.
pub(super) struct Site {
    /// Its doors.
    pub(super) handle: Handle,
    /// Where it is served, when it is.
    pub(super) address: Option<SocketAddr>,
    engine: JoinHandle<Result<(), EngineError>>,
    server: Option<JoinHandle<std::io::Result<()>>>,
    _data: DataDirectory,
}

impl Site {
    /// Puts it together in `directory` and starts it.
    pub(super) fn open(config: Config, directory: &Path, served: bool) -> Result<Self, Failure> {
        let hopper = config.hopper.dir.clone();
        if !hopper.is_dir() {
            return Err(no_jobs(&hopper));
        }
        let config = config.confined_to(directory.to_owned());
        let data = DataDirectory::open(directory)?;
        let Mill { engine, handle, settings, email_log: _, notify: _, data } =
            serve::compose(&config, data, &Purpose::Production)?;
        let mut site = Self { handle, address: None, engine: tokio::spawn(engine.run()), server: None, _data: data };
        if served {
            let listener = listen().map_err(|error| {
                Failure::new("address-refused", format!("no port of 127.0.0.1 can be listened on: {error}"))
            })?;
            site.address = listener.local_addr().ok();
            site.server = Some(tokio::spawn(serve::serve_http(listener, site.handle.clone(), settings)));
        }
        Ok(site)
    }

    /// Ends when the engine has ended though nobody asked it to.
    pub(super) async fn failed(&mut self) -> Failure {
        match (&mut self.engine).await {
            Ok(Err(error)) => Failure::new("engine-failed", error.to_string()),
            Ok(Ok(())) => Failure::new("engine-failed", "the engine under measurement has stopped"),
            Err(error) => Failure::new("engine-failed", format!("the engine under measurement ended early: {error}")),
        }
    }

    /// Stops everything and waits for it.
    pub(super) async fn close(mut self) {
        self.handle.shutdown();
        if let Some(server) = self.server.take() {
            let _ = server.await;
        }
        // One that failed was awaited before.
        if !self.engine.is_finished() {
            let _ = (&mut self.engine).await;
        }
    }
}

/// The job, once it is loaded.
pub(super) async fn job(handle: &Handle, job: &JobId, hopper: &Path) -> Result<Arc<LoadedJob>, Failure> {
    handle.ready().await;
    let mut changed = handle.catalog_changes();
    let files = components(hopper);
    let patience = machine::rest(PATIENCE);
    tokio::pin!(patience);
    loop {
        let catalog = handle.catalog();
        if let Some(loaded) = catalog.serving(job) {
            return Ok(Arc::clone(loaded));
        }
        if catalog.listings().count() >= files {
            return Err(unknown_job(handle, job, hopper));
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = &mut patience => return Err(unknown_job(handle, job, hopper)),
        }
    }
}

fn unknown_job(handle: &Handle, job: &JobId, hopper: &Path) -> Failure {
    let catalog = handle.catalog();
    let loaded: Vec<&str> = catalog.all_serving().map(|loaded| loaded.job.id.as_str()).collect();
    if loaded.is_empty() {
        return no_jobs(hopper);
    }
    Failure::not_found("unknown-job", format!("the hopper {} has no job {job}", hopper.display()))
        .advise(format!("loaded jobs: {}; name one with --job", loaded.join(", ")))
}

fn listen() -> std::io::Result<tokio::net::TcpListener> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// How many files of the hopper may be jobs.
fn components(hopper: &Path) -> usize {
    let files = std::fs::read_dir(hopper).into_iter().flatten().filter_map(Result::ok);
    let paths = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|kind| kind == "wasm"));
    // One that begins with a dot is being written.
    paths.filter(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))).count()
}

fn no_jobs(hopper: &Path) -> Failure {
    Failure::not_found("no-jobs", format!("there is no job in the hopper {}", hopper.display()))
        .advise("build one with `jobmill build`, or name another hopper with --hopper")
}
