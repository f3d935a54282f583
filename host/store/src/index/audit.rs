//! The audit list in the index: the newest entries, and no more than its bound.
//! It is kept among the other controls; what an entry says is not looked at.

use std::ops::Bound::{Excluded, Included};

use jobmill_core::audit::AuditEntry;
use jobmill_core::{AuditId, Timestamp, limits};

use super::Index;
use crate::auditing::AuditFilter;
use crate::control::{Control, ControlKey};
use crate::log::Place;

impl Index {
    /// An entry as it is from now on. The oldest goes where there are more than the bound: nothing is written of that,
    /// as whoever reads the log comes to the same.
    pub(super) fn put_audit(&mut self, entry: &AuditEntry, place: Place) {
        let (key, control) = (ControlKey::Audit(entry.id), Control::Audit(Box::new(entry.clone())));
        if self.controls.insert(key, (control, place)).is_some() {
            return;
        }
        self.live += 1;
        self.audit_entries += 1;
        let excess = self.audit_entries.saturating_sub(limits::AUDIT_ENTRIES);
        let oldest: Option<AuditId> = self.audit_from(None).take(excess).map(|entry| entry.id).next();
        if let Some(oldest) = oldest {
            self.remove_audit(oldest);
        }
    }

    /// An entry is gone.
    pub(super) fn remove_audit(&mut self, id: AuditId) {
        if self.controls.remove(&ControlKey::Audit(id)).is_some() {
            self.live -= 1;
            self.audit_entries -= 1;
        }
    }

    /// Entries before one, oldest first; all of them before none.
    fn audit_from(&self, before: Option<AuditId>) -> impl DoubleEndedIterator<Item = &AuditEntry> {
        let newest = Included(ControlKey::Audit(AuditId::from_bytes([u8::MAX; 16])));
        let end = before.map_or(newest, |before| Excluded(ControlKey::Audit(before)));
        let start = Included(ControlKey::Audit(AuditId::from_bytes([0; 16])));
        self.controls.range((start, end)).filter_map(|(_, (control, _))| match control {
            Control::Audit(entry) => Some(&**entry),
            _ => None,
        })
    }

    /// Entries that a filter names, newest first, before `after`.
    pub(crate) fn audit<'index>(
        &'index self,
        filter: &'index AuditFilter,
        after: Option<AuditId>,
    ) -> impl Iterator<Item = &'index AuditEntry> {
        self.audit_from(after).rev().filter(|entry| filter.names(entry))
    }

    /// Entries that were begun before a time, oldest first. An id is as old as its entry.
    pub(crate) fn audit_before(&self, time: Timestamp) -> impl Iterator<Item = AuditId> {
        self.audit_from(Some(AuditId::first_at(time))).map(|entry| entry.id)
    }
}
