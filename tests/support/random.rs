//! Random choices that can be made again: a test prints its seed, and `SEED=… cargo test …` takes it back.
//! They are fit for tests only.

/// A sequence of choices (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Begins with the seed in `SEED`, or with one of this moment; either is printed.
    pub(crate) fn of_this_run(test: &str) -> Self {
        let seed = match std::env::var("SEED") {
            Ok(seed) => seed.parse().unwrap_or_else(|error| panic!("SEED={seed}: {error}")),
            Err(_) => std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| u64::from(since.subsec_nanos())),
        };
        println!("{test}: SEED={seed}");
        Self(seed)
    }

    /// A sequence of its own, for another thread.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// How many rounds a test makes: what the variable says, or its own number.
pub(crate) fn rounds(variable: &str, unless_said: u64) -> u64 {
    std::env::var(variable)
        .map_or(unless_said, |rounds| rounds.parse().unwrap_or_else(|error| panic!("{variable}={rounds}: {error}")))
}
