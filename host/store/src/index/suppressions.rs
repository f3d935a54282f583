//! The suppression list in the index: which addresses get no mail, by the time since when.
//! What is said of each is among what is kept beside the runs.

use std::collections::{BTreeSet, HashMap};

use jobmill_core::Timestamp;
use jobmill_core::suppression::{AddressDigest, Suppression};

use super::Index;
use crate::control::{Control, ControlKey};
use crate::query::SuppressionCursor;

/// See the module.
#[derive(Default)]
pub(super) struct Suppressions {
    since: HashMap<AddressDigest, Timestamp>,
    by_age: BTreeSet<(Timestamp, AddressDigest)>,
}

impl Suppressions {
    /// An address gets no mail.
    pub(super) fn add(&mut self, suppression: &Suppression) {
        self.remove(suppression.digest);
        self.since.insert(suppression.digest, suppression.at);
        self.by_age.insert((suppression.at, suppression.digest));
    }

    /// An address gets mail again.
    pub(super) fn remove(&mut self, digest: AddressDigest) {
        if let Some(at) = self.since.remove(&digest) {
            self.by_age.remove(&(at, digest));
        }
    }
}

impl Index {
    /// Why an address gets no mail; none when it does.
    pub(crate) fn suppression(&self, address: &str) -> Option<&Suppression> {
        // Asked for every mail, and most lists are empty.
        if self.suppressions.since.is_empty() {
            return None;
        }
        self.suppressed(AddressDigest::of(address))
    }

    /// Why the address with this digest gets no mail.
    pub(crate) fn suppressed(&self, digest: AddressDigest) -> Option<&Suppression> {
        match self.control(&ControlKey::Suppression(digest)) {
            Some(Control::Suppression(suppression)) => Some(suppression),
            _ => None,
        }
    }

    /// Addresses that get no mail, newest first, before `after`.
    pub(crate) fn suppressions(&self, after: Option<SuppressionCursor>) -> impl Iterator<Item = &Suppression> {
        use std::ops::Bound::{Excluded, Unbounded};
        let before = after.map_or(Unbounded, |after| Excluded((after.at, after.digest)));
        let ids = self.suppressions.by_age.range((Unbounded, before)).rev();
        ids.filter_map(|(_, digest)| self.suppressed(*digest))
    }
}
