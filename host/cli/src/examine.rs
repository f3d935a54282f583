//! Examines a component without a server: loads it as the engine would, sealed, and reads what it says of itself.
//! It runs no job.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jobmill_backends::{Faults, MailMode, MailSettings, Mailer, Orders, Outgoing, SystemResolver};
use jobmill_core::job::{Overrides, SandboxLimits};
use jobmill_core::mail::Mailbox;
use jobmill_core::{Job, Version, limits};
use jobmill_engine::timetable::crons_of;
use jobmill_engine::{Loader as _, PayloadSchema};
use jobmill_runtime::{Compiler, InDoubt, Runtime, RuntimeSettings};
use jobmill_store::{LogStore, MemoryLog};

use crate::failure::Failure;

/// A component that the engine would load.
#[derive(Debug)]
pub(crate) struct Examined {
    /// The job, with the operator's overrides.
    pub(crate) job: Job,
    /// The SHA-256 of the component.
    pub(crate) version: Version,
    /// The interfaces it imports.
    pub(crate) imports: Vec<String>,
    /// Bytes.
    pub(crate) size: u64,
}

/// Loads components like the engine.
pub(crate) struct Examiner {
    tasks: tokio::runtime::Runtime,
    runtime: Runtime,
    overrides: Overrides,
}

impl Examiner {
    /// An examiner that lays these overrides over what components say.
    pub(crate) fn new(overrides: Overrides) -> Result<Self, Failure> {
        let failed =
            |error: &dyn std::fmt::Display| Failure::new("runtime", format!("nothing can be examined: {error}"));
        let tasks = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| failed(&error))?;
        // Examining calls no capability; these only have to be there.
        let from = Mailbox { address: "examiner@localhost.invalid".to_owned(), name: None };
        let mailer = Mailer::new(MailSettings { mode: MailMode::Capture, from }, Arc::new(Faults::default()))
            .map_err(|error| failed(&error))?;
        let store = Arc::new(LogStore::open(MemoryLog::new()).map_err(|error| failed(&error))?);
        let settings = RuntimeSettings {
            concurrency: 1,
            largest: SandboxLimits::default(),
            cache: None,
            compiler: Compiler::Here,
            mailer: Arc::new(mailer),
            orders: Arc::new(Orders::embedded(store, Arc::new(Faults::default()))),
            in_doubt: InDoubt::Park,
            outgoing: Outgoing::new(Arc::new(SystemResolver)).map_err(|error| failed(&error))?,
            secrets: BTreeMap::new(),
        };
        let runtime = {
            let _guard = tasks.enter();
            Runtime::new(settings).map_err(|error| failed(&error))?
        };
        Ok(Self { tasks, runtime, overrides })
    }

    /// What the component is, or why the engine would not load it.
    pub(crate) fn examine(&self, path: &Path) -> Result<Examined, Failure> {
        let name = path.display();
        let unreadable = |error: std::io::Error| {
            let text = format!("{name} can't be read: {error}");
            match error.kind() {
                std::io::ErrorKind::NotFound => Failure::not_found("no-such-file", text),
                _ => Failure::new("unreadable", text),
            }
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        let invalid = |reason: String| Failure::new("invalid-component", format!("{name}: {reason}"));
        if size > limits::COMPONENT_BYTES {
            return Err(invalid(format!("is larger than {} bytes", limits::COMPONENT_BYTES)));
        }
        let component = std::fs::read(path).map_err(unreadable)?;
        let version = Version::of(&component);
        let loaded = self.tasks.block_on(self.runtime.load(component)).map_err(|error| invalid(error.to_string()))?;
        let overrides = self.overrides.of(&loaded.descriptor.id);
        let job = Job::new(loaded.descriptor, &overrides).map_err(|error| invalid(error.to_string()))?;
        let schema = job.payload_schema.as_ref().map(PayloadSchema::compile).transpose().map_err(invalid)?;
        crons_of(&job, schema.as_ref()).map_err(invalid)?;
        Ok(Examined { job, version, imports: loaded.imports, size })
    }
}
