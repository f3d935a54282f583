//! The runtime as its owner sees it: settings in, a `Loader` out.
//! It holds what all attempts share; what belongs to one attempt is in `attempt` and `state`.

use std::path::PathBuf;
use std::sync::Arc;

use jobmill_backends::{Mailer, Orders};
use jobmill_core::mail::InDoubt;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::since_0_1;
use crate::compiler::{Child, Compiler};
use crate::engine;
use crate::state::HostState;
use crate::ticker::Ticker;

/// What the runtime needs from outside.
pub struct RuntimeSettings {
    /// Attempts that may be under way at once; memory is set aside for as many.
    pub concurrency: usize,
    /// Where compiled code is kept between starts; only the engine's own user may write there. None: nowhere.
    pub cache_directory: Option<PathBuf>,
    /// Who compiles.
    pub compiler: Compiler,
    /// What sends mail.
    pub mailer: Arc<Mailer>,
    /// Where orders are.
    pub orders: Arc<Orders>,
    /// What happens to a mail whose answer was lost.
    pub in_doubt: InDoubt,
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
}

/// Loads components, and through what it loads, runs them.
pub struct Runtime {
    pub(crate) linker: Linker<HostState>,
    pub(crate) world: Arc<World>,
    pub(crate) ticker: Arc<Ticker>,
    /// One permit for each component that is being loaded.
    pub(crate) loading: Arc<Semaphore>,
    /// What compiles in this process's stead.
    pub(crate) child: Option<Child>,
}

impl Runtime {
    /// Starts the runtime.
    pub fn new(settings: RuntimeSettings) -> Result<Self, RuntimeError> {
        let cache = settings.cache_directory.as_deref().map(engine::cache).transpose()?;
        let (engine, address_space, ticker) = engine::start(settings.concurrency, cache.as_ref())?;
        let child = match (settings.compiler, cache) {
            (Compiler::Child(program), Some(cache)) => Some(Child::new(program, cache, address_space)),
            _ => None,
        };
        let linker = linker(&engine).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let world = World { mailer: settings.mailer, orders: settings.orders, in_doubt: settings.in_doubt };
        let loading = Semaphore::new(engine::LOADING);
        Ok(Self { linker, world: Arc::new(world), ticker: Arc::new(ticker), loading: Arc::new(loading), child })
    }
}

/// Everything a component may import: our own interfaces and an empty WASI.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    since_0_1::Job::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    Ok(linker)
}
