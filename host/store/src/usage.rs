//! What attempts used, as it is asked of a store: numbers over the newest attempts of each version of a job.
//! What one attempt used is in its run; how the numbers come about is the index's.

use std::fmt;

use jobmill_core::Version;

/// What the newest attempts of one version used: at most `limits::BILLED_ATTEMPTS` of those that completed or failed and that
/// somebody saw end. Folded from the runs that are kept, so a restart after some were pruned knows less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionUsage {
    /// The version.
    pub version: Version,
    /// How many attempts these numbers are of; never none.
    pub attempts: u64,
    /// Those of them that failed, for whatever reason.
    pub failed: u64,
    /// Those that ended in a trap.
    pub trapped: u64,
    /// Those that took longer than they might.
    pub timeouts: u64,
    /// Microseconds from begin to end, waiting included.
    pub wall_micros: Spread,
    /// Microseconds of processor time.
    pub cpu_micros: Spread,
    /// Bytes of linear memory.
    pub memory: Spread,
    /// Host calls.
    pub host_calls: Spread,
}

/// How a number is spread over attempts. Percentiles are by nearest rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// What half of them did not exceed.
    pub p50: u64,
    /// What 95 of 100 did not exceed.
    pub p95: u64,
    /// What none exceeded.
    pub max: u64,
}

impl Spread {
    /// Of these numbers, in any order.
    pub(crate) fn of(mut numbers: Vec<u64>) -> Self {
        numbers.sort_unstable();
        let ranked = |of_100: usize| {
            let rank = (numbers.len() * of_100).div_ceil(100);
            numbers.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { p50: ranked(50), p95: ranked(95), max: ranked(100) }
    }
}

/// From how many times as much on a difference is one: less is the machine's mood.
const CLEARLY: (u64, u64) = (3, 2);
/// Microseconds below which no time is clearly more than another, however many times as much it is.
const NOTICED_MICROS: u64 = 500;
/// Attempts of each version below which nothing is compared: a percentile of few is a chance.
const COMPARED: u64 = 20;

/// What a version clearly takes more of than another, by what 95 of 100 attempts don't exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worse {
    /// What it takes more of.
    pub what: Resource,
    /// How many times as much, in tenths.
    pub tenths: u64,
    /// The other version.
    pub than: Version,
}

/// What attempts take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Time, waiting included.
    Wall,
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

impl Resource {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// In words: "2.3× slower than 3fa9c1d07b21".
impl fmt::Display for Worse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, tenths, than } = self;
        write!(f, "{}.{}× ", tenths / 10, tenths % 10)?;
        match what {
            Resource::Wall => write!(f, "slower than {than}"),
            Resource::Cpu => write!(f, "the processor time of {than}"),
            Resource::Memory => write!(f, "the memory of {than}"),
        }
    }
}

impl VersionUsage {
    /// What this version clearly takes more of than the one before it.
    pub fn worse_than(&self, before: &Self) -> Vec<Worse> {
        if self.attempts < COMPARED || before.attempts < COMPARED {
            return Vec::new();
        }
        let resources = [
            (Resource::Wall, self.wall_micros, before.wall_micros),
            (Resource::Cpu, self.cpu_micros, before.cpu_micros),
            (Resource::Memory, self.memory, before.memory),
        ];
        let worse = resources.into_iter().filter_map(|(what, Spread { p95: new, .. }, Spread { p95: old, .. })| {
            let (most, least) = CLEARLY;
            let clear = old > 0 && new.saturating_mul(least) >= old.saturating_mul(most);
            let noticed = what == Resource::Memory || new.saturating_sub(old) >= NOTICED_MICROS;
            (clear && noticed).then(|| Worse { what, tenths: new.saturating_mul(10) / old, than: before.version })
        });
        worse.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(attempts: u64, p95: u64) -> VersionUsage {
        let spread = Spread { p50: 1, p95, max: p95 };
        VersionUsage {
            version: Version::of(b"1"),
            attempts,
            failed: 0,
            trapped: 0,
            timeouts: 0,
            wall_micros: spread,
            cpu_micros: Spread::default(),
            memory: Spread { p50: 1, p95: 65_536, max: 65_536 },
            host_calls: Spread::default(),
        }
    }

    #[test]
    fn percentiles_go_by_nearest_rank() {
        assert_eq!(Spread::of(Vec::new()), Spread::default());
        assert_eq!(Spread::of(vec![7]), Spread { p50: 7, p95: 7, max: 7 });
        assert_eq!(Spread::of((1..=100).rev().collect()), Spread { p50: 50, p95: 95, max: 100 });
        assert_eq!(Spread::of(vec![3, 1, 2]), Spread { p50: 2, p95: 3, max: 3 });
    }

    #[test]
    fn a_version_is_worse_by_half_as_much_again_and_from_20_attempts_on() {
        let before = usage(20, 1_000);
        let told = |new: &VersionUsage, before: &VersionUsage| {
            new.worse_than(before).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let version = before.version;
        assert_eq!(told(&usage(20, 1_499), &before), [""; 0]);
        assert_eq!(told(&usage(20, 1_500), &before), [format!("1.5× slower than {version}")]);
        assert_eq!(told(&usage(20, 2_390), &before), [format!("2.3× slower than {version}")]);
        assert_eq!(told(&usage(20, 900), &usage(20, 401)), [""; 0], "nobody notices");
        assert_eq!(told(&usage(19, 9_000), &before), [""; 0]);
        assert_eq!(told(&usage(20, 9_000), &usage(19, 1_000)), [""; 0]);
        assert_eq!(told(&usage(20, 9_000), &usage(20, 0)), [""; 0], "nothing is no measure");
        let large = VersionUsage { memory: Spread { p50: 1, p95: 131_072, max: 131_072 }, ..usage(20, 1_000) };
        assert_eq!(told(&large, &before), [format!("2.0× the memory of {version}")]);
    }
}
