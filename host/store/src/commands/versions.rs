//! Which versions of jobs were loaded: kept from the first time on.
//! It loads nothing; the engine's hopper does.

use jobmill_core::job::JobVersion;

use super::Decision;
use crate::committer::Commit;
use crate::control::{Control, ControlKey};
use crate::log::Record;

/// Keeps a version that was loaded. One that is known stays known from its first time on.
pub(crate) fn put_version(commit: &mut Commit<'_>, loaded: &JobVersion) -> Decision<()> {
    if let Some(full) = &commit.full {
        return Decision::Refuse(full.clone());
    }
    let key = ControlKey::Version(loaded.job.clone(), loaded.version);
    if commit.touched.controls.contains(&key) {
        return Decision::Later;
    }
    let mut after = loaded.clone();
    if let Some(Control::Version(before)) = commit.index.control(&key) {
        after.first_loaded_at = before.first_loaded_at.min(loaded.first_loaded_at);
        after.last_loaded_at = before.last_loaded_at.max(loaded.last_loaded_at);
    }
    commit.touched.controls.insert(key);
    Decision::Write(vec![Record::Control(Control::Version(Box::new(after)))], ())
}
