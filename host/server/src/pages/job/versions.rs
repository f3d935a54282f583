//! The versions of a job that were loaded, with what changed from one to the next, as rows of its page.
//! It compares nothing; core does.

use std::collections::BTreeSet;

use jobmill_core::job::JobVersion;
use jobmill_core::{Timestamp, Version};

use crate::api::with_changes;
use crate::pages::words::Moment;

/// A version as the page shows it.
pub(super) struct VersionRow {
    pub(super) version: Version,
    /// It is the one that serves.
    pub(super) serves: bool,
    /// The job can be rolled back to it.
    pub(super) is_kept: bool,
    pub(super) file: String,
    pub(super) last: Moment,
    /// Where it was loaded more than once, the first time that is known.
    pub(super) first: Option<Moment>,
    /// In words; none where the version before is not known.
    pub(super) changes: Option<Vec<String>>,
}

/// The rows, the last loaded first.
pub(super) fn rows(
    versions: Vec<JobVersion>,
    (serving, kept): (Version, &BTreeSet<Version>),
    now: Timestamp,
) -> Vec<VersionRow> {
    let rows = with_changes(versions).map(|(version, changes)| VersionRow {
        serves: version.version == serving,
        is_kept: kept.contains(&version.version),
        last: Moment::new(version.last_loaded_at, now),
        first: Some(version.first_loaded_at)
            .filter(|first| *first != version.last_loaded_at)
            .map(|first| Moment::new(first, now)),
        changes: changes.map(|changes| changes.iter().map(ToString::to_string).collect()),
        version: version.version,
        file: version.file,
    });
    rows.collect()
}
