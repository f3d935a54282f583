//! Notices of dead runs: kept, and dropped.
//! What is news it does not know.

use jobmill_core::notice::{GroupName, Notice};

use super::Decision;
use crate::committer::Commit;
use crate::control::{Control, ControlKey};
use crate::log::Record;

/// Keeps these notices, and drops those of `gone`. Also with little room on the disk: that is when somebody wants to know.
pub(crate) fn note(commit: &mut Commit<'_>, notices: &[Notice], gone: &[GroupName]) -> Decision<()> {
    let key = |(job, fingerprint): GroupName| ControlKey::Notice(job, fingerprint);
    let kept = notices.iter().map(|notice| Control::Notice(Box::new(notice.clone())));
    let known = gone.iter().filter(|group| commit.index.control(&key((*group).clone())).is_some());
    let dropped = known.map(|(job, fingerprint)| Control::NoticeGone { job: job.clone(), fingerprint: *fingerprint });
    let controls: Vec<Control> = kept.chain(dropped).collect();
    if controls.iter().any(|control| commit.touched.controls.contains(&control.key())) {
        return Decision::Later;
    }
    commit.touched.controls.extend(controls.iter().map(Control::key));
    Decision::Write(controls.into_iter().map(Record::Control).collect(), ())
}
