//! From a file's bytes to a job that can be run: checked, compiled, linked, described.
//! It keeps no catalog; the engine does.

use std::sync::Arc;

use async_trait::async_trait;
use jobmill_engine::{LoadError, Loaded, Loader};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::attempt::JobRunner;
use crate::bindings::since_0_1::{JobPre, VERSION};
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
        // Held to the end: a describe needs one of the instances that are set aside for as many.
        let (component, _permit) = self.compile(component).await?;
        let imports = check_names(&component)?;
        let job = self.link(&component)?;
        let descriptor = describe(&job, &self.ticker).await?;
        let runner = JobRunner::new(job, Arc::clone(&self.world), Arc::clone(&self.ticker));
        Ok(Loaded { descriptor, imports, runner: Arc::new(runner) })
    }
}

impl Runtime {
    /// Has the child compile, if there is one, and takes the code from the cache; else compiles on a thread of its own.
    /// A compiler that panics has met its own bug: the file is refused, no more.
    async fn compile(&self, bytes: Vec<u8>) -> Result<(Component, OwnedSemaphorePermit), LoadError> {
        let stopping = || LoadError("can't be compiled: the engine is stopping".to_owned());
        let permit = Arc::clone(&self.loading).acquire_owned().await.map_err(|_| stopping())?;
        let hits = match &self.child {
            Some(child) => {
                child.compile(&bytes).await?;
                child.hits()
            }
            None => 0,
        };
        let engine = self.linker.engine().clone();
        // The permit goes along: a compilation that has begun can't be interrupted, even when nobody waits for it.
        let compiling = tokio::task::spawn_blocking(move || (Component::new(&engine, &bytes), permit));
        match compiling.await {
            Ok((Ok(component), permit)) => {
                self.child.iter().for_each(|child| child.expect_a_hit_since(hits));
                Ok((component, permit))
            }
            Ok((Err(error), _)) => Err(LoadError(format!("can't be compiled: {}", text(&error)))),
            Err(stopped) if stopped.is_panic() => {
                Err(LoadError("can't be compiled: the compiler panicked; please report the component".to_owned()))
            }
            Err(_) => Err(stopping()),
        }
    }

    fn link(&self, component: &Component) -> Result<JobPre<HostState>, LoadError> {
        let refused = |error: wasmtime::Error| LoadError(format!("can't be linked: {}", text(&error)));
        let instance = self.linker.instantiate_pre(component).map_err(refused)?;
        JobPre::new(instance).map_err(refused)
    }
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
            "it imports {other}; a job may import jobmill:job@{VERSION} and WASI 0.2, and nothing else"
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
