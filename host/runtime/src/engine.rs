//! wasmtime as it is set up here: what components may use, how instances get their memory, and what interrupts them.
//! It loads and runs nothing.

use jobmill_core::job::{Limit, SandboxLimits};
use jobmill_core::limits;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy};

use crate::runtime::RuntimeError;
use crate::ticker::Ticker;

/// Stack of the guest's own calls.
const WASM_STACK_BYTES: usize = 512 * 1024;
/// Stack of guest and host calls together: a host call on a nearly full guest stack still has room.
const ASYNC_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Components that are taken in and described at once, beside the attempts.
pub(crate) const LOADING: usize = 2;
/// Components that are compiled at once: the compiler takes every core it is given.
pub(crate) const COMPILING: usize = 2;

/// The guard behind each memory where address space is scarce.
const GUARD_BYTES: u64 = 64 * 1024;

/// Per component: toolchains make one memory and up to three tables; adapters bring a second memory.
const MEMORIES_PER_COMPONENT: u32 = 2;
const TABLES_PER_COMPONENT: u32 = 10;

/// What stays mapped of a finished instance, for the next: page faults cost more than clearing.
const MEMORY_KEPT_BYTES: usize = 2 * 1024 * 1024;
const TABLE_KEPT_BYTES: usize = 64 * 1024;
const STACK_KEPT_BYTES: usize = 64 * 1024;

/// What compiled code may rely on to bound what a guest reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressSpace {
    /// So much is set aside for each memory that the processor finds what lies outside.
    Ample,
    /// Each memory gets what it may have and no more; bounds are checked by code.
    Scarce,
}

/// An engine for up to `concurrency` attempts at once, none of which may have more than `largest`, with the ticker that moves its epoch on while guests run.
pub(crate) fn start(
    concurrency: usize,
    largest: &SandboxLimits,
) -> Result<(Engine, AddressSpace, Ticker), RuntimeError> {
    let mut pooled = config(AddressSpace::Ample);
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(concurrency, largest)));
    let (engine, address_space) = match Engine::new(&pooled) {
        Ok(engine) => (engine, AddressSpace::Ample),
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "no address space can be set aside for {concurrency} attempts; instances are allocated one by one, \
                 which is slower. Lower engine.concurrency or lift the limit on virtual memory"
            );
            let engine = Engine::new(&config(AddressSpace::Scarce));
            (engine.map_err(|error| RuntimeError::Engine(format!("{error:#}")))?, AddressSpace::Scarce)
        }
    };
    let epoch = engine.clone();
    let ticker = Ticker::start(move || epoch.increment_epoch())
        .map_err(|error| RuntimeError::Engine(format!("the ticker thread can't be started: {error}")))?;
    Ok((engine, address_space, ticker))
}

/// All that code depends on. What is compiled with the same settings elsewhere is taken here.
pub(crate) fn config(address_space: AddressSpace) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(ASYNC_STACK_BYTES)
        // Jobs need none of these, and each is code that a hostile component could lean on.
        .concurrency_support(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .wasm_threads(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false);
    if address_space == AddressSpace::Scarce {
        config.memory_reservation(limits::MEMORY_BYTES as u64).memory_guard_size(GUARD_BYTES);
    }
    config
}

/// A pool with room for every attempt, every trial and every describe, so that none ever finds it empty.
fn pool(concurrency: usize, largest: &SandboxLimits) -> PoolingAllocationConfig {
    let slots = u32::try_from(concurrency.saturating_add(limits::TRIALS + LOADING)).unwrap_or(u32::MAX);
    let instances = u32::try_from(limits::INSTANCES).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(instances))
        .total_memories(slots.saturating_mul(MEMORIES_PER_COMPONENT))
        .total_tables(slots.saturating_mul(TABLES_PER_COMPONENT))
        .total_stacks(slots)
        .total_gc_heaps(0)
        .max_core_instances_per_component(instances)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        // Address space and no more: what an instance may have of it, its job's limits say.
        .max_memory_size(largest.size(Limit::Memory))
        .table_elements(largest.size(Limit::TableElements))
        .linear_memory_keep_resident(MEMORY_KEPT_BYTES)
        .table_keep_resident(TABLE_KEPT_BYTES)
        .async_stack_keep_resident(STACK_KEPT_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}
