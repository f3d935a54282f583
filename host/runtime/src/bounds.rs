//! How much memory and how many host calls one instance may have.
//! Time is bounded elsewhere: `attempt` and `describe` own the deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jobmill_core::limits;
use wasmtime::ResourceLimiter;

use crate::stopped::Stopped;

/// What an instance has of memory; all its linear memories count together.
#[derive(Default)]
pub(crate) struct Bounds {
    memory: usize,
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_add(desired.saturating_sub(current));
        if wanted > limits::MEMORY_BYTES {
            return Err(Stopped::Memory { wanted }.into());
        }
        // Beyond the maximum that the component declares itself, `memory.grow` fails and nothing is taken.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > limits::TABLE_ELEMENTS {
            return Err(Stopped::Table { wanted: desired }.into());
        }
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        limits::INSTANCES
    }

    fn tables(&self) -> usize {
        limits::INSTANCES
    }

    fn memories(&self) -> usize {
        limits::INSTANCES
    }
}

/// The host calls that an attempt has left; shared with its standard streams.
#[derive(Clone)]
pub(crate) struct HostCalls(Arc<AtomicU64>);

impl HostCalls {
    /// All of them.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(limits::HOST_CALLS)))
    }

    /// Uses one up.
    pub(crate) fn charge(&self) -> Result<(), Stopped> {
        // One attempt makes one call at a time, so nothing else changes the number in between.
        let left = self.0.load(Ordering::Relaxed).checked_sub(1).ok_or(Stopped::HostCalls)?;
        self.0.store(left, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_of_a_component_count_together() {
        let mut bounds = Bounds::default();
        let half = limits::MEMORY_BYTES / 2;
        assert!(bounds.memory_growing(0, half, None).is_ok());
        assert!(bounds.memory_growing(0, half, None).is_ok());
        let error = bounds.memory_growing(half, half + 65_536, None).expect_err("full");
        assert_eq!(error.downcast_ref(), Some(&Stopped::Memory { wanted: limits::MEMORY_BYTES + 65_536 }));
    }

    #[test]
    fn growth_beyond_a_declared_maximum_takes_nothing() {
        let mut bounds = Bounds::default();
        for _ in 0..2_000 {
            assert!(!bounds.memory_growing(65_536, 131_072, Some(65_536)).expect("no bound is reached"));
        }
        assert!(bounds.memory_growing(0, limits::MEMORY_BYTES, None).expect("there is room"));
    }

    #[test]
    fn host_calls_run_out() {
        let calls = HostCalls::new();
        let streams = calls.clone();
        for _ in 0..limits::HOST_CALLS / 2 {
            assert_eq!((calls.charge(), streams.charge()), (Ok(()), Ok(())));
        }
        assert_eq!((calls.charge(), streams.charge()), (Err(Stopped::HostCalls), Err(Stopped::HostCalls)));
    }
}
