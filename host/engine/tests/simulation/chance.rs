//! Everything that is drawn: one seed says all of it.
//! It draws no scenario; it is asked for numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jobmill_core::Entropy;

/// `SplitMix64` (Steele, Lea and Flood, 2014). Clones draw from the same row of numbers.
#[derive(Clone)]
pub(crate) struct Chance(Arc<AtomicU64>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// A row of its own.
    pub(crate) fn fork(&self) -> Self {
        Self::new(self.next())
    }

    pub(crate) fn next(&self) -> u64 {
        const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.fetch_add(STRIDE, Ordering::Relaxed).wrapping_add(STRIDE);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a length")
    }

    pub(crate) fn one_in(&self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn one_of<Thing: Clone>(&self, things: &[Thing]) -> Option<Thing> {
        if things.is_empty() { None } else { things.get(self.index(things.len())).cloned() }
    }
}

impl Entropy for Chance {
    fn next_u64(&self) -> u64 {
        self.next()
    }
}
