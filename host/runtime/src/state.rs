//! What the host keeps beside one instance: whose attempt it is, and what it may still have.
//! It answers no calls; `capability` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use jobmill_core::journal::EffectKey;
use jobmill_core::limits;
use jobmill_engine::AttemptContext;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bounds::{Bounds, HostCalls};
use crate::capability::wasi::{self, Output};
use crate::runtime::World;
use crate::stopped::Stopped;

/// The data of one store, which serves one attempt or one describe and is then dropped.
pub(crate) struct HostState {
    attempt: Option<Box<AttemptState>>,
    bounds: Bounds,
    /// Made when it is first asked for: most guests import WASI and never call it.
    wasi: Option<Box<WasiCtx>>,
    resources: ResourceTable,
}

/// What belongs to an attempt.
pub(crate) struct AttemptState {
    /// The run and its journal.
    pub(crate) context: AttemptContext,
    /// What lies beyond the attempt.
    pub(crate) world: Arc<World>,
    /// How often each effect was done in this attempt.
    pub(crate) done: BTreeMap<EffectKey, usize>,
    calls: HostCalls,
    /// What the guest prints, once it has asked for WASI.
    output: Option<Output>,
}

impl HostState {
    /// For `describe`: every host call ends it.
    pub(crate) fn describing() -> Self {
        Self::new(None)
    }

    /// For an attempt.
    pub(crate) fn running(context: AttemptContext, world: Arc<World>) -> Self {
        let attempt = AttemptState { context, world, done: BTreeMap::new(), calls: HostCalls::new(), output: None };
        Self::new(Some(Box::new(attempt)))
    }

    fn new(attempt: Option<Box<AttemptState>>) -> Self {
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(limits::RESOURCE_HANDLES);
        Self { attempt, bounds: Bounds::default(), wasi: None, resources }
    }

    /// A store of its own, bounded in everything but time.
    pub(crate) fn into_store(self, engine: &Engine) -> Store<Self> {
        let mut store = Store::new(engine, self);
        store.limiter(|state| &mut state.bounds);
        store.set_hostcall_fuel(limits::HOST_CALL_BYTES);
        store.set_max_component_handles(limits::RESOURCE_HANDLES);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }

    /// The attempt, for one host call.
    pub(crate) fn attempt(&mut self) -> Result<&mut AttemptState, Stopped> {
        let attempt = self.attempt.as_mut().ok_or(Stopped::Describing)?;
        attempt.calls.charge()?;
        // What the guest has printed so far stands in the log before what it does now.
        if let Some(output) = &attempt.output {
            output.move_lines(&mut attempt.context);
        }
        Ok(attempt)
    }

    /// The attempt's context with all that the guest has printed, and the guest's last words; none after a describe.
    pub(crate) fn into_context(self) -> Option<(AttemptContext, Option<String>)> {
        let AttemptState { mut context, output, .. } = *self.attempt?;
        let last_words = output.and_then(|output| output.move_rest(&mut context));
        Some((context, last_words))
    }
}

impl AttemptState {
    /// Its WASI, the standard streams of which go to the run's log.
    fn wasi(&mut self) -> WasiCtx {
        wasi::captured(self.output.insert(Output::new(Arc::clone(self.context.clock()), self.calls.clone())))
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let attempt = &mut self.attempt;
        let ctx = self
            .wasi
            .get_or_insert_with(|| Box::new(attempt.as_mut().map_or_else(wasi::silent, |attempt| attempt.wasi())));
        WasiCtxView { ctx, table: &mut self.resources }
    }
}
