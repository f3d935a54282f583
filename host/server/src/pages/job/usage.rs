//! What the newest attempts of each version of a job used, as rows of its page.
//! It adds nothing up and compares nothing; the store does.

use jobmill_core::Version;
use jobmill_core::bill::{size_text, time_text};
use jobmill_core::job::JobVersion;
use jobmill_store::{Spread, VersionUsage};

use crate::api::compared;

/// A version as the page shows it.
pub(super) struct UsageRow {
    pub(super) version: Version,
    pub(super) attempts: u64,
    /// How some of them ended, in words.
    pub(super) ends: String,
    /// Half of the attempts and 95 of 100 did not exceed: time, processor time, memory, host calls.
    pub(super) wall: [String; 2],
    pub(super) cpu: [String; 2],
    pub(super) memory: [String; 2],
    pub(super) host_calls: [u64; 2],
    /// What it clearly takes more of than the version before it.
    pub(super) worse: Vec<String>,
}

/// The rows, the last loaded first; none of a version of which nothing is known.
pub(super) fn rows(versions: &[JobVersion], usage: &[VersionUsage]) -> Vec<UsageRow> {
    compared(versions, usage)
        .into_iter()
        .flatten()
        .map(|(usage, worse)| UsageRow {
            version: usage.version,
            attempts: usage.attempts,
            ends: ends(&usage),
            wall: pair(usage.wall_micros, time_text),
            cpu: pair(usage.cpu_micros, time_text),
            memory: pair(usage.memory, size_text),
            host_calls: pair(usage.host_calls, |calls| calls),
            worse: worse.iter().map(ToString::to_string).collect(),
        })
        .collect()
}

fn pair<T>(spread: Spread, told: impl Fn(u64) -> T) -> [T; 2] {
    [told(spread.p50), told(spread.p95)]
}

fn ends(usage: &VersionUsage) -> String {
    let others = usage.failed.saturating_sub(usage.trapped + usage.timeouts);
    let ends = [(others, "failed"), (usage.trapped, "trapped"), (usage.timeouts, "took too long")];
    let told = ends.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use jobmill_core::{Descriptor, Timestamp};

    use super::*;

    fn loaded(name: &str) -> JobVersion {
        JobVersion {
            job: "ship".parse().expect("a job id"),
            version: Version::of(name.as_bytes()),
            file: "ship.wasm".to_owned(),
            descriptor: Descriptor::default(),
            imports: Vec::new(),
            size: 1,
            first_loaded_at: Timestamp::from_millis(1),
            last_loaded_at: Timestamp::from_millis(1),
        }
    }

    fn used(name: &str, wall: u64) -> VersionUsage {
        let spread = |p50| Spread { p50, p95: p50 * 2, max: p50 * 3 };
        VersionUsage {
            version: Version::of(name.as_bytes()),
            attempts: 40,
            failed: 6,
            trapped: 2,
            timeouts: 1,
            wall_micros: spread(wall),
            cpu_micros: spread(900),
            memory: spread(1 << 20),
            host_calls: spread(2),
        }
    }

    #[test]
    fn a_version_is_compared_with_the_last_one_before_it_that_ran() {
        let versions = [loaded("c"), loaded("b"), loaded("a")];
        let rows = rows(&versions, &[used("a", 5_000), used("c", 12_000)]);
        assert_eq!(rows.len(), 2, "b has not run");
        assert_eq!(rows[0].worse, [format!("2.4× slower than {}", versions[2].version)]);
        assert_eq!((rows[0].wall[0].as_str(), rows[0].wall[1].as_str()), ("12.0 ms", "24.0 ms"));
        assert_eq!((rows[0].cpu[1].as_str(), rows[0].memory[1].as_str()), ("1.8 ms", "2 MiB"));
        assert_eq!(rows[0].ends, "3 failed, 2 trapped, 1 took too long");
        assert!(rows[1].worse.is_empty());
    }
}
