//! Pins of jobs to versions: kept, and taken back.
//! It looks at no component; the engine's hopper does.

use jobmill_core::JobId;
use jobmill_core::job::Pin;

use super::Decision;
use crate::committer::Commit;
use crate::control::{Control, ControlKey};
use crate::log::Record;

/// Holds a job to a version. Also with little room on the disk: that may be why somebody wants the version before.
pub(crate) fn pin(commit: &mut Commit<'_>, pin: &Pin) -> Decision<()> {
    let key = ControlKey::Pin(pin.job.clone());
    if commit.touched.controls.contains(&key) {
        return Decision::Later;
    }
    commit.touched.controls.insert(key);
    Decision::Write(vec![Record::Control(Control::Pinned(Box::new(pin.clone())))], ())
}

/// Takes a pin back; answers it.
pub(crate) fn unpin(commit: &mut Commit<'_>, job: &JobId) -> Decision<Option<Pin>> {
    let key = ControlKey::Pin(job.clone());
    if commit.touched.controls.contains(&key) {
        return Decision::Later;
    }
    let Some(Control::Pinned(pin)) = commit.index.control(&key) else {
        return Decision::Write(Vec::new(), None);
    };
    commit.touched.controls.insert(key);
    Decision::Write(vec![Record::Control(Control::Unpinned(job.clone()))], Some((**pin).clone()))
}
