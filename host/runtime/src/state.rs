//! What the host keeps beside one instance: whose attempt it is, and what it may still have.
//! It answers no calls; `capability` does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::job::allow::Denied;
use jobmill_core::job::{Limit, SandboxLimits};
use jobmill_core::journal::{EffectKey, LogLevel, LogLine};
use jobmill_engine::AttemptContext;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::WasiConfigVariables;

use crate::bounds::{Bounds, HostCalls};
use crate::capability::http::Http;
use crate::capability::wasi::{self, Output};
use crate::capability::{config, printable};
use crate::meter::Meter;
use crate::runtime::World;
use crate::stopped::Stopped;

/// The data of one store, which serves one attempt or one describe and is then dropped.
pub(crate) struct HostState {
    attempt: Option<Box<AttemptState>>,
    limits: SandboxLimits,
    bounds: Bounds,
    /// Made when it is first asked for: most guests import WASI and never call it.
    wasi: Option<Box<WasiCtx>>,
    http: Http,
    /// Made when it is first asked for.
    config: Option<WasiConfigVariables>,
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
    /// Times the calls that reach beyond the sandbox.
    pub(crate) meter: Meter,
    calls: HostCalls,
    /// HTTP requests that it may still make.
    requests_left: u64,
    /// What it was refused last.
    denied: Option<Denied>,
    /// What the guest prints, once it has asked for WASI.
    output: Option<Output>,
}

impl HostState {
    /// For `describe`: every host call ends it.
    pub(crate) fn describing(limits: SandboxLimits) -> Self {
        Self::new(None, limits)
    }

    /// For an attempt.
    pub(crate) fn running(context: AttemptContext, world: Arc<World>) -> Self {
        let limits = context.sandbox().limits;
        let calls = HostCalls::new(&limits);
        let meter = Meter::start(Arc::clone(context.clock()));
        let done = BTreeMap::new();
        let requests_left = limits.get(Limit::HttpRequests);
        let attempt = AttemptState { context, world, done, meter, calls, requests_left, denied: None, output: None };
        Self::new(Some(Box::new(attempt)), limits)
    }

    fn new(attempt: Option<Box<AttemptState>>, limits: SandboxLimits) -> Self {
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(limits.size(Limit::Handles));
        Self {
            attempt,
            limits,
            bounds: Bounds::new(&limits),
            wasi: None,
            http: Http::new(&limits),
            config: None,
            resources,
        }
    }

    /// A store of its own, bounded in everything but time.
    pub(crate) fn into_store(self, engine: &Engine) -> Store<Self> {
        let (host_call, handles) = (self.limits.size(Limit::HostCall), self.limits.size(Limit::Handles));
        let mut store = Store::new(engine, self);
        store.limiter(|state| &mut state.bounds);
        store.set_hostcall_fuel(host_call);
        store.set_max_component_handles(handles);
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

    /// What `wasi:http` keeps, and where.
    pub(crate) fn http_parts(&mut self) -> (&mut ResourceTable, &mut Http) {
        (&mut self.resources, &mut self.http)
    }

    /// The job's settings.
    pub(crate) fn config(&mut self) -> &WasiConfigVariables {
        let attempt = self.attempt.as_ref();
        self.config.get_or_insert_with(|| {
            attempt.map(|attempt| config::settings(attempt.context.sandbox())).unwrap_or_default()
        })
    }

    /// The attempt's context with all that the guest has printed and the bill, and what it leaves to say; none after a describe.
    /// It took so much `cpu`, and ends now.
    pub(crate) fn into_context(self, cpu: Duration) -> Option<(AttemptContext, LastWords)> {
        let AttemptState { mut context, output, denied, meter, calls, .. } = *self.attempt?;
        context.put_bill(meter.bill(cpu, self.bounds.memory(), calls.made()));
        let printed = output.and_then(|output| output.move_rest(&mut context));
        Some((context, LastWords { printed, denied }))
    }
}

/// What is known of why a guest gave up, beside what it returned.
#[derive(Default)]
pub(crate) struct LastWords {
    /// What it said last on standard error.
    pub(crate) printed: Option<String>,
    /// What it was refused last.
    pub(crate) denied: Option<Denied>,
}

impl AttemptState {
    /// One HTTP request more.
    pub(crate) fn count_request(&mut self) -> Result<(), Stopped> {
        let most = self.context.sandbox().limits.get(Limit::HttpRequests);
        self.requests_left = self.requests_left.checked_sub(1).ok_or(Stopped::HttpRequests { most })?;
        Ok(())
    }

    /// Puts down that the operator doesn't let the job do this: in the run's log, and for the end of the attempt, which says so
    /// even where the guest swallows the error. Answers the text for the guest.
    pub(crate) fn deny(&mut self, denied: Denied) -> String {
        let text = denied.to_string();
        let (at, message) = (self.context.now(), printable(&text));
        self.context.log(LogLine { at, level: LogLevel::Warn, message, fields: Vec::new() });
        self.denied = Some(denied);
        text
    }

    /// Its WASI, the standard streams of which go to the run's log.
    fn wasi(&mut self) -> WasiCtx {
        let limits = &self.context.sandbox().limits;
        let output = Output::new(Arc::clone(self.context.clock()), self.calls.clone(), limits);
        wasi::captured(self.output.insert(output), limits)
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
