//! `wasi:config/store`: the settings that the operator gives a job. None to `describe`, which is the same for everybody.
//! No secrets are among them: those leave by the headers of requests alone.

use jobmill_core::job::Sandbox;
use wasmtime::component::Linker;
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};

use crate::state::HostState;

/// The settings of a job.
pub(crate) fn settings(sandbox: &Sandbox) -> WasiConfigVariables {
    sandbox.config.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Links it.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi_config::add_to_linker(linker, |state| WasiConfig::from(state.config()))
}
