//! The e-mail log in the index: which mails there are, and what they are asked by.
//! What a mail says, and how it went, is read from its run's journal.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use jobmill_core::journal::{EffectKey, Entry, EntryKind};
use jobmill_core::mail::MailStatus;
use jobmill_core::{MailId, RunHead, RunId};
use smallvec::SmallVec;

use crate::log::Place;
use crate::query::MailFilter;

/// A mail in the index.
#[derive(Debug, Clone)]
pub(crate) struct MailRow {
    /// The run that sent it.
    pub(crate) run: RunId,
    /// Where it stands.
    pub(crate) status: MailStatus,
    kind: Arc<str>,
    /// A hash of the recipient's address.
    to: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Mails {
    rows: BTreeMap<MailId, MailRow>,
    /// Mails of which no answer is known yet.
    unsettled: HashMap<(RunId, EffectKey), MailId>,
    of_run: BTreeMap<RunId, SmallVec<[MailId; 1]>>,
    /// The kinds there are; few, since a job's code names them.
    kinds: BTreeMap<String, Arc<str>>,
    cleared: Option<(MailId, Place)>,
    hashing: RandomState,
}

/// Kinds come from guests: beyond so many, each mail has its own copy.
const KINDS: usize = 1_000;

impl Mails {
    /// Takes an entry of a run's journal in.
    pub(super) fn apply(&mut self, head: &RunHead, entry: &Entry) {
        match &entry.kind {
            EntryKind::MailIntended { key, mail } => {
                self.unsettled.insert((head.id, key.clone()), mail.id);
                if self.cleared.is_some_and(|(cleared, _)| mail.id <= cleared) {
                    return;
                }
                let kind = self.kind(&mail.message.kind);
                let to = self.hash(&mail.message.to.address);
                let row = MailRow { run: head.id, status: MailStatus::Sending, kind, to };
                if self.rows.insert(mail.id, row).is_none() {
                    self.of_run.entry(head.id).or_default().push(mail.id);
                }
            }
            EntryKind::MailSettled { key, status, .. } => {
                let mail = self.unsettled.remove(&(head.id, key.clone()));
                if let Some(row) = mail.and_then(|mail| self.rows.get_mut(&mail)) {
                    row.status = *status;
                }
            }
            _ => {}
        }
    }

    fn kind(&mut self, kind: &str) -> Arc<str> {
        if let Some(known) = self.kinds.get(kind) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = kind.into();
        if self.kinds.len() < KINDS {
            self.kinds.insert(kind.to_owned(), Arc::clone(&shared));
        }
        shared
    }

    fn hash(&self, address: &str) -> u64 {
        self.hashing.hash_one(address.to_ascii_lowercase())
    }

    /// A run is no longer there, and its mails with it.
    pub(super) fn remove(&mut self, run: RunId) {
        for mail in self.of_run.remove(&run).unwrap_or_default() {
            self.rows.remove(&mail);
        }
        self.unsettled.retain(|(unsettled, _), _| *unsettled != run);
    }

    /// Mails up to this one are no longer shown.
    pub(super) fn clear(&mut self, up_to: MailId, place: Place) {
        if self.cleared.is_none_or(|(earlier, _)| earlier <= up_to) {
            self.cleared = Some((up_to, place));
        }
        let mut kept = self.rows.split_off(&up_to);
        kept.remove(&up_to);
        self.rows = kept;
        self.of_run.retain(|_, mails| {
            mails.retain(|mail| *mail > up_to);
            !mails.is_empty()
        });
    }

    /// Where the mark of cleared mails is.
    pub(crate) fn cleared_at(&self) -> Option<Place> {
        self.cleared.map(|(_, place)| place)
    }

    /// Up to which mail the log was cleared.
    pub(crate) fn cleared(&self) -> Option<MailId> {
        self.cleared.map(|(mail, _)| mail)
    }

    /// Mails that a filter names, newest first, before `after`. Two addresses may hash to the same.
    pub(crate) fn matching<'mails>(
        &'mails self,
        filter: &'mails MailFilter,
        after: Option<MailId>,
    ) -> impl Iterator<Item = (MailId, &'mails MailRow)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let before = after.map_or(Unbounded, Excluded);
        let to = filter.to.as_ref().map(|to| self.hash(to));
        let of_run = filter.run.map(|run| self.of_run.get(&run).map_or(&[][..], SmallVec::as_slice));
        let rows: Box<dyn Iterator<Item = (&MailId, &MailRow)>> = match of_run {
            Some(mails) => {
                let mut mails = mails.to_vec();
                mails.sort_unstable_by_key(|mail| std::cmp::Reverse(*mail));
                let mails = mails.into_iter().filter(move |mail| after.is_none_or(|after| *mail < after));
                Box::new(mails.filter_map(|mail| self.rows.get_key_value(&mail)))
            }
            None => Box::new(self.rows.range((Unbounded, before)).rev()),
        };
        rows.map(|(id, row)| (*id, row)).filter(move |(_, row)| {
            to.is_none_or(|to| to == row.to)
                && filter.kind.as_ref().is_none_or(|kind| **kind == *row.kind)
                && filter.status.is_none_or(|status| status == row.status)
        })
    }

    /// The run that sent a mail that is shown.
    pub(crate) fn run_of(&self, mail: MailId) -> Option<RunId> {
        self.rows.get(&mail).map(|row| row.run)
    }

    /// How many mails the log shows, and the newest of them.
    pub(super) fn log(&self) -> (usize, Option<MailId>) {
        (self.rows.len(), self.rows.last_key_value().map(|(id, _)| *id))
    }
}
