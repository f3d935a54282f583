//! How much memory and how many host calls one instance may have, as the limits of its job say.
//! Time is bounded elsewhere: `attempt` and `describe` own the deadlines. What was used of each is told from here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jobmill_core::job::{Limit, SandboxLimits};
use jobmill_core::limits;
use wasmtime::ResourceLimiter;

use crate::stopped::Stopped;

/// What an instance has of memory; all its linear memories count together.
pub(crate) struct Bounds {
    memory: usize,
    most_memory: usize,
    most_elements: usize,
}

impl Bounds {
    /// Nothing taken yet.
    pub(crate) fn new(limits: &SandboxLimits) -> Self {
        let (most_memory, most_elements) = (limits.size(Limit::Memory), limits.size(Limit::TableElements));
        Self { memory: 0, most_memory, most_elements }
    }

    /// Bytes of memory taken, which is the most that there ever were: a memory never shrinks.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_add(desired.saturating_sub(current));
        if wanted > self.most_memory {
            return Err(Stopped::Memory { wanted, most: self.most_memory }.into());
        }
        // Beyond the maximum that the component declares itself, `memory.grow` fails and nothing is taken.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.most_elements {
            return Err(Stopped::Table { wanted: desired, most: self.most_elements }.into());
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
pub(crate) struct HostCalls {
    left: Arc<AtomicU64>,
    most: u64,
}

impl HostCalls {
    /// All of them.
    pub(crate) fn new(limits: &SandboxLimits) -> Self {
        let most = limits.get(Limit::HostCalls);
        Self { left: Arc::new(AtomicU64::new(most)), most }
    }

    /// Uses one up.
    pub(crate) fn charge(&self) -> Result<(), Stopped> {
        // One attempt makes one call at a time, so nothing else changes the number in between.
        let left = self.left.load(Ordering::Relaxed).checked_sub(1);
        let left = left.ok_or(Stopped::HostCalls { most: self.most })?;
        self.left.store(left, Ordering::Relaxed);
        Ok(())
    }

    /// How many were made.
    pub(crate) fn made(&self) -> u64 {
        self.most.saturating_sub(self.left.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_of_a_component_count_together() {
        let most = 1 << 20;
        let mut bounds = Bounds::new(&SandboxLimits::default().with(Limit::Memory, 1 << 20));
        let half = most / 2;
        assert!(bounds.memory_growing(0, half, None).is_ok());
        assert!(bounds.memory_growing(0, half, None).is_ok());
        let error = bounds.memory_growing(half, half + 65_536, None).expect_err("full");
        assert_eq!(error.downcast_ref(), Some(&Stopped::Memory { wanted: most + 65_536, most }));
    }

    #[test]
    fn growth_beyond_a_declared_maximum_takes_nothing() {
        let mut bounds = Bounds::new(&SandboxLimits::default());
        for _ in 0..2_000 {
            assert!(!bounds.memory_growing(65_536, 131_072, Some(65_536)).expect("no bound is reached"));
        }
        assert!(bounds.memory_growing(0, limits::MEMORY_BYTES, None).expect("there is room"));
    }

    #[test]
    fn host_calls_run_out() {
        let calls = HostCalls::new(&SandboxLimits::default().with(Limit::HostCalls, 20));
        let streams = calls.clone();
        for _ in 0..10 {
            assert_eq!((calls.charge(), streams.charge()), (Ok(()), Ok(())));
        }
        let stopped = Err(Stopped::HostCalls { most: 20 });
        assert_eq!((calls.charge(), streams.charge()), (stopped.clone(), stopped));
        assert_eq!(calls.made(), 20);
    }
}
