//! What operators do, put on record: before it is done, and once more with how it ended.
//! It decides nothing about what is done.

use jobmill_core::audit::AuditEntry;

use super::Decision;
use crate::committer::Commit;
use crate::control::{Control, ControlKey};
use crate::log::Record;

/// Keeps an entry as it is from now on. It waits for nothing in its commit, so that it is in no later one than what is
/// asked for after it; and it is written for as long as there is any room, as what operators do goes on for as long.
pub(crate) fn put_audit(commit: &mut Commit<'_>, entry: &AuditEntry) -> Decision<()> {
    let key = ControlKey::Audit(entry.id);
    let is_known = commit.touched.controls.contains(&key) || commit.index.control(&key).is_some();
    if entry.outcome.is_none() && is_known {
        // A beginning that is handed over again takes back no end.
        return Decision::Write(Vec::new(), ());
    }
    commit.touched.controls.insert(key);
    Decision::Write(vec![Record::Control(Control::Audit(Box::new(entry.clone())))], ())
}
