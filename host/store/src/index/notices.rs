//! Notices in the index: what was told of which group, and how the groups of dead runs stand lately.
//! They are kept among the other controls; what is news is not decided here.

use jobmill_core::Timestamp;
use jobmill_core::notice::Notice;

use super::Index;
use crate::control::{Control, ControlKey};
use crate::notices::DeadPulse;
use crate::query::DeadGroup;

impl Index {
    /// What was told of which group, by job and fingerprint.
    pub(crate) fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.controls().filter_map(|control| match control {
            Control::Notice(notice) => Some(&**notice),
            _ => None,
        })
    }

    /// How the groups of dead runs stand lately.
    pub(crate) fn dead_pulses(&self, most: usize, now: Timestamp) -> Vec<DeadPulse> {
        self.lists.dead_pulses(most, now)
    }

    /// Dead runs by job and error, newest first.
    pub(crate) fn dead_groups(&self) -> Vec<DeadGroup> {
        let mut groups = self.lists.dead_groups(|id| self.head(id));
        for group in &mut groups {
            group.notified_at = match self.control(&ControlKey::Notice(group.job.clone(), group.fingerprint)) {
                Some(Control::Notice(notice)) => notice.told_at,
                _ => None,
            };
        }
        groups
    }

    /// What is kept under this key counts no more.
    pub(super) fn remove_control(&mut self, key: &ControlKey) {
        self.live -= usize::from(self.controls.remove(key).is_some());
    }
}
