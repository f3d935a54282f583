//! The runtime as its owner sees it: settings in, a `Loader` out.
//! It holds what all attempts share; what belongs to one attempt is in `attempt` and `state`.

use std::path::PathBuf;
use std::sync::Arc;

use jobmill_backends::{Mailer, Orders, Outgoing};
use jobmill_core::job::SandboxLimits;
use jobmill_core::mail::InDoubt;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::since_0_1;
use crate::busy::BusyThreads;
use crate::cache::{CacheSettings, CodeCache};
use crate::capability::http::JobSecrets;
use crate::capability::{config, http, network};
use crate::compiler::{Compiler, Compiling};
use crate::engine;
use crate::state::HostState;
use crate::ticker::Ticker;

/// What the runtime needs from outside.
pub struct RuntimeSettings {
    /// Attempts that may be under way at once; memory is set aside for as many.
    pub concurrency: usize,
    /// The most that any job may have, and no less than the defaults, by which components are described; address space is set
    /// aside for as much.
    pub largest: SandboxLimits,
    /// Where compiled code is kept between starts. None: nowhere.
    pub cache: Option<CacheSettings>,
    /// Who compiles.
    pub compiler: Compiler,
    /// What sends mail.
    pub mailer: Arc<Mailer>,
    /// Where orders are.
    pub orders: Arc<Orders>,
    /// What happens to a mail whose answer was lost.
    pub in_doubt: InDoubt,
    /// What sends HTTP requests.
    pub outgoing: Outgoing,
    /// What the host puts into them for a job; jobs never see it.
    pub secrets: JobSecrets,
}

/// The runtime can't be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// wasmtime refuses.
    #[error("the WebAssembly runtime can't be started: {0}")]
    Engine(String),
    /// The cache of compiled code can't be used.
    #[error("compiled code can't be kept in {}: {reason}", directory.display())]
    Cache {
        /// Where it was to be.
        directory: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What capabilities reach beyond the attempt.
pub(crate) struct World {
    pub(crate) mailer: Arc<Mailer>,
    pub(crate) orders: Arc<Orders>,
    pub(crate) in_doubt: InDoubt,
    pub(crate) outgoing: Outgoing,
    pub(crate) secrets: JobSecrets,
}

/// Loads components, and through what it loads, runs them.
pub struct Runtime {
    pub(crate) linker: Linker<HostState>,
    pub(crate) world: Arc<World>,
    pub(crate) ticker: Arc<Ticker>,
    /// The most that any job may have.
    pub(crate) largest: SandboxLimits,
    pub(crate) busy: Arc<BusyThreads>,
    /// One permit for each component that is being loaded; none is held while it compiles.
    pub(crate) loading: Arc<Semaphore>,
    /// What compiles.
    pub(crate) compiling: Compiling,
    /// What was compiled before.
    pub(crate) cache: Option<Arc<CodeCache>>,
}

impl Runtime {
    /// Starts the runtime.
    pub fn new(settings: RuntimeSettings) -> Result<Self, RuntimeError> {
        let (engine, address_space, ticker) = engine::start(settings.concurrency, &settings.largest)?;
        let cache = settings.cache.map(|cache| CodeCache::open(cache, &engine)).transpose()?.map(Arc::new);
        let compiling = Compiling::new(settings.compiler, address_space);
        let linker = linker(&engine).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let world = World {
            mailer: settings.mailer,
            orders: settings.orders,
            in_doubt: settings.in_doubt,
            outgoing: settings.outgoing,
            secrets: settings.secrets,
        };
        let loading = Semaphore::new(engine::LOADING);
        Ok(Self {
            linker,
            largest: settings.largest,
            busy: Arc::default(),
            world: Arc::new(world),
            ticker: Arc::new(ticker),
            loading: Arc::new(loading),
            compiling,
            cache,
        })
    }
}

/// Everything a component may import: our own interfaces, an empty WASI, and the parts of it that lead where the operator allows.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    network::close(&mut linker)?;
    http::add_to_linker(&mut linker)?;
    config::add_to_linker(&mut linker)?;
    since_0_1::Job::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    Ok(linker)
}
