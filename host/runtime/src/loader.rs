//! From a file's bytes to a job that can be run: checked, compiled, linked, described.
//! It keeps no catalog; the engine does.

use std::sync::Arc;

use async_trait::async_trait;
use jobmill_core::Version;
use jobmill_engine::{LoadError, Loaded, Loader};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::attempt::JobRunner;
use crate::bindings::since_0_1::{JobPre, VERSION};
use crate::cache::{Code, CodeCache, Found};
use crate::describe::describe;
use crate::outcome::text;
use crate::preamble;
use crate::runtime::Runtime;
use crate::state::HostState;

/// What every interface of ours is named after.
const PACKAGE: &str = "jobmill:job/";
/// The interface by which a component is a job.
const LIFECYCLE: &str = "jobmill:job/lifecycle";

#[async_trait]
impl Loader for Runtime {
    async fn load(&self, component: Vec<u8>) -> Result<Loaded, LoadError> {
        preamble::check(&component)?;
        let component: Arc<[u8]> = component.into();
        let version = Version::of(&component);
        // Held to the end: a describe needs one of the instances that are set aside for as many.
        let mut turn = self.turn().await?;
        let component = if let Some(kept) = self.kept(version).await {
            kept?
        } else {
            // Not held while it compiles, which may take long: what is kept of others is loaded meanwhile.
            drop(turn);
            let code = self.compile(version, &component).await?;
            turn = self.turn().await?;
            self.keep(version, code).await?
        };
        let imports = check_names(&component)?;
        let job = self.link(&component)?;
        // What a component does when it is asked what it is, nobody knows yet: nobody is to wait for it.
        let (asked, ticker, largest) = (job.clone(), Arc::clone(&self.ticker), self.largest);
        let asking = async move { describe(&asked, &ticker, &largest).await };
        let descriptor = self.busy.apart(Box::pin(asking)).await?;
        drop(turn);
        let runner = JobRunner::new(job, Arc::clone(&self.world), Arc::clone(&self.ticker), Arc::clone(&self.busy));
        Ok(Loaded { descriptor, imports, runner: Arc::new(runner) })
    }
}

impl Runtime {
    /// Waits until fewer are being loaded than may be at once.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, LoadError> {
        Arc::clone(&self.loading).acquire_owned().await.map_err(|_| stopping())
    }

    /// The component from the code that is kept of it, or why it was refused before; none where neither is kept.
    async fn kept(&self, version: Version) -> Option<Result<Component, LoadError>> {
        self.in_cache(move |cache, engine| match cache.find(version)? {
            Found::Refused(reason) => Some(Err(LoadError(reason))),
            Found::Code(code) => match code.load(engine) {
                Ok(component) => Some(Ok(component)),
                Err(error) => {
                    tracing::warn!(%version, error = text(&error), "kept code is of no use; the component is compiled again");
                    cache.forget(version);
                    None
                }
            },
        })
        .await
    }

    /// Compiles, and keeps it if that can never be done.
    async fn compile(&self, version: Version, bytes: &Arc<[u8]>) -> Result<Code, LoadError> {
        match self.compiling.compile(bytes).await {
            Ok(code) => Ok(code),
            Err(refusal) => {
                if refusal.lasting {
                    let reason = refusal.reason.clone();
                    self.in_cache(move |cache, _| {
                        cache.keep_refusal(version, &reason);
                        Some(())
                    })
                    .await;
                }
                Err(refusal.into())
            }
        }
    }

    /// The component of code that was just compiled, which is kept.
    async fn keep(&self, version: Version, code: Code) -> Result<Component, LoadError> {
        let loaded = code.load(self.linker.engine());
        let component = loaded.map_err(|error| LoadError(format!("can't be compiled: {}", text(&error))))?;
        self.in_cache(move |cache, _| {
            cache.keep(version, &code);
            Some(())
        })
        .await;
        Ok(component)
    }

    /// Does something with the cache, if there is one, on a thread that may wait for the disk.
    async fn in_cache<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CodeCache, &Engine) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let (cache, engine) = (Arc::clone(self.cache.as_ref()?), self.linker.engine().clone());
        tokio::task::spawn_blocking(move || work(&cache, &engine)).await.ok()?
    }

    fn link(&self, component: &Component) -> Result<JobPre<HostState>, LoadError> {
        let refused = |error: wasmtime::Error| LoadError(format!("can't be linked: {}", text(&error)));
        let instance = self.linker.instantiate_pre(component).map_err(refused)?;
        JobPre::new(instance).map_err(refused)
    }
}

fn stopping() -> LoadError {
    LoadError("can't be loaded: the engine is stopping".to_owned())
}

/// The imports by name. Refuses what was built against other interfaces or another version of ours, and what is no job.
fn check_names(component: &Component) -> Result<Vec<String>, LoadError> {
    let engine = component.engine();
    let names = component.component_type();
    let offers_functions = |item: &ComponentItem| match item {
        ComponentItem::ComponentInstance(interface) => {
            interface.exports(engine).any(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
        }
        _ => true,
    };
    // An interface of types alone gives a component nothing to call.
    let imports = names.imports(engine).filter(|(_, item)| offers_functions(&item.ty));
    let imports: Vec<String> = imports.map(|(name, _)| name.to_owned()).collect();
    let exports: Vec<String> = names.exports(engine).map(|(name, _)| name.to_owned()).collect();
    if let Some(other) = imports.iter().chain(&exports).find_map(|name| other_version(name)) {
        return Err(LoadError(format!(
            "it was built against version {other} of jobmill:job, and this Jobmill speaks {VERSION}; \
             build it against that version, or use another Jobmill"
        )));
    }
    if let Some(other) = imports.iter().find(|name| !name.starts_with(PACKAGE) && !name.starts_with("wasi:")) {
        return Err(LoadError(format!(
            "it imports {other}; a job may import jobmill:job@{VERSION} and WASI 0.2 with wasi:http and wasi:config, and \
             nothing else"
        )));
    }
    if !exports.iter().any(|name| name.split('@').next() == Some(LIFECYCLE)) {
        let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        return Err(LoadError(format!(
            "it is a component but not a job: a job exports {LIFECYCLE}@{VERSION}, and this one exports {exports}"
        )));
    }
    Ok(imports)
}

/// The version that an interface of ours has, if it is not compatible with the one spoken here.
fn other_version(name: &str) -> Option<&str> {
    let (_, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    // Below 1.0.0, versions with the same minor number are compatible.
    let line = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    (line(version) != line(VERSION)).then_some(version)
}
