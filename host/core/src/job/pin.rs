//! A job that an operator, or the engine by itself, holds to one of its versions, whatever newer file lies in the hopper;
//! and which version a job is rolled back to. It loads nothing; the engine's hopper does.

use serde::{Deserialize, Serialize};

use super::JobVersion;
use crate::id::{JobId, Version, whole_version};
use crate::limits;
use crate::time::Timestamp;

/// A job is held to a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The job.
    pub job: JobId,
    /// The version that serves until the pin is taken back.
    #[serde(with = "whole_version")]
    pub version: Version,
    /// Since when.
    pub at: Timestamp,
    /// Who did it.
    pub by: String,
    /// Why; none where nobody said.
    pub reason: Option<String>,
}

/// Why a version to roll back to was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No version of the job begins so.
    #[error("no version of {job} on record begins with {wanted:?}; `jobmill jobs versions {job}` lists them")]
    Unknown {
        /// The job.
        job: JobId,
        /// What was asked for.
        wanted: String,
    },
    /// More than one begins so.
    #[error("{count} versions of {job} begin with {wanted:?}; give more of its digits")]
    Ambiguous {
        /// The job.
        job: JobId,
        /// What was asked for.
        wanted: String,
        /// How many.
        count: usize,
    },
    /// None that was loaded before the serving one can be loaded again.
    #[error("there is no version of {0} from before the one that serves whose component is kept")]
    NoneBefore(JobId),
}

/// The version that a job is rolled back to: the one whose digits begin with `wanted`, or else the one that served before
/// `serving`. Never forward by itself: what was first loaded after `serving` has to be named.
pub fn rollback_target<'versions>(
    job: &JobId,
    versions: &'versions [JobVersion],
    serving: Version,
    wanted: Option<&str>,
    is_kept: impl Fn(Version) -> bool,
) -> Result<&'versions JobVersion, NotFound> {
    if let Some(wanted) = wanted {
        let shown = || limits::truncate(wanted, MOST_SHOWN).to_owned();
        let named: Vec<&JobVersion> =
            versions.iter().filter(|it| !wanted.is_empty() && it.version.to_hex().starts_with(wanted)).collect();
        return match named.as_slice() {
            [] => Err(NotFound::Unknown { job: job.clone(), wanted: shown() }),
            [only] => Ok(only),
            several => Err(NotFound::Ambiguous { job: job.clone(), wanted: shown(), count: several.len() }),
        };
    }
    let since = versions.iter().find(|it| it.version == serving).map(|it| it.first_loaded_at);
    let is_before = |it: &&JobVersion| it.version != serving && since.is_none_or(|since| it.first_loaded_at < since);
    let before = versions.iter().filter(is_before).filter(|it| is_kept(it.version));
    before.max_by_key(|it| it.last_loaded_at).ok_or_else(|| NotFound::NoneBefore(job.clone()))
}

/// Bytes that an error repeats of what was asked for: a digest whole.
const MOST_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Descriptor;

    fn job() -> JobId {
        "ship".parse().expect("a job id")
    }

    fn version(name: &str, first: u64, last: u64) -> JobVersion {
        JobVersion {
            job: job(),
            version: Version::of(name.as_bytes()),
            file: "ship.wasm".to_owned(),
            descriptor: Descriptor::default(),
            imports: Vec::new(),
            size: 1,
            first_loaded_at: Timestamp::from_millis(first),
            last_loaded_at: Timestamp::from_millis(last),
        }
    }

    #[test]
    fn without_a_version_it_is_the_one_that_served_before() {
        // The first was put back in the place of the second, and then came a third.
        let versions = [version("three", 30, 30), version("one", 10, 25), version("two", 20, 20)];
        let target = |serving: &str, is_kept: &dyn Fn(Version) -> bool| {
            rollback_target(&job(), &versions, Version::of(serving.as_bytes()), None, is_kept).map(|it| it.version)
        };
        assert_eq!(target("three", &|_| true), Ok(versions[1].version));
        assert_eq!(target("three", &|it| it != versions[1].version), Ok(versions[2].version), "what is kept");
        assert_eq!(target("two", &|_| true), Ok(versions[1].version));
        // Rolled back once, nobody is led forward again to what was left.
        assert_eq!(target("one", &|_| true), Err(NotFound::NoneBefore(job())));
        assert_eq!(target("three", &|_| false), Err(NotFound::NoneBefore(job())));
    }

    #[test]
    fn a_version_is_named_by_as_many_digits_as_tell_it_from_others() {
        let versions = [version("one", 1, 1), version("two", 2, 2)];
        let find = |wanted: &str| {
            rollback_target(&job(), &versions, versions[1].version, Some(wanted), |_| false).map(|it| it.version)
        };
        assert_eq!(find(&versions[0].version.to_string()), Ok(versions[0].version));
        assert_eq!(find(&versions[1].version.to_hex()), Ok(versions[1].version), "also one whose component is gone");
        assert!(matches!(find("nothing"), Err(NotFound::Unknown { .. })));
        assert!(matches!(find(""), Err(NotFound::Unknown { .. })));
        let twins = [versions[0].clone(), versions[0].clone()];
        let twice = rollback_target(&job(), &twins, versions[1].version, Some(&versions[0].version.to_hex()), |_| true);
        assert!(matches!(twice, Err(NotFound::Ambiguous { count: 2, .. })));
    }
}
