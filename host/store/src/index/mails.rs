//! The e-mail log in the index: which mails there are, and what they are asked by.
//! What a mail says, and how it went, is read from its run's journal.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use jobmill_core::journal::{EffectKey, Entry, EntryKind};
use jobmill_core::mail::{DoubtfulMail, Mail, MailStatus};
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
    /// What the log shows.
    rows: BTreeMap<MailId, MailRow>,
    /// Captured mails that newer ones have pushed out of the log: their runs still show them.
    pushed_out: BTreeMap<MailId, MailRow>,
    /// Captured mails that the log shows.
    captured: BTreeSet<MailId>,
    /// At most so many; none is no bound.
    captured_most: Option<usize>,
    /// Mails of which no answer is known, or that it was lost.
    doubtful: HashMap<RunId, SmallVec<[(EffectKey, DoubtfulMail); 1]>>,
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
            EntryKind::MailIntended { key, mail } => self.intend(head.id, key, mail),
            EntryKind::MailSettled { key, status, .. } => {
                if let Some(mail) = self.settle(head.id, key, *status) {
                    self.set_status(mail, *status);
                }
            }
            _ => {}
        }
    }

    fn intend(&mut self, run: RunId, key: &EffectKey, mail: &Mail) {
        let doubtful = self.doubtful.entry(run).or_default();
        if !doubtful.iter().any(|(known, _)| known == key) {
            let (to, message_id) = (mail.message.to.address.clone(), mail.message_id.clone());
            doubtful.push((key.clone(), DoubtfulMail { id: mail.id, to, message_id }));
        }
        if self.cleared.is_some_and(|(cleared, _)| mail.id <= cleared) {
            return;
        }
        self.captured.remove(&mail.id);
        self.pushed_out.remove(&mail.id);
        let kind = self.kind(&mail.message.kind);
        let to = self.hash(&mail.message.to.address);
        self.rows.insert(mail.id, MailRow { run, status: MailStatus::Sending, kind, to });
        let of_run = self.of_run.entry(run).or_default();
        if !of_run.contains(&mail.id) {
            of_run.push(mail.id);
        }
    }

    /// What became of a mail; answers which.
    fn settle(&mut self, run: RunId, key: &EffectKey, status: MailStatus) -> Option<MailId> {
        let doubtful = self.doubtful.get_mut(&run)?;
        let at = doubtful.iter().position(|(known, _)| known == key)?;
        let mail = doubtful[at].1.id;
        if status != MailStatus::InDoubt {
            doubtful.remove(at);
            if doubtful.is_empty() {
                self.doubtful.remove(&run);
            }
        }
        Some(mail)
    }

    fn set_status(&mut self, mail: MailId, status: MailStatus) {
        let Some(row) = self.rows.get_mut(&mail) else { return };
        row.status = status;
        if status == MailStatus::Captured {
            self.captured.insert(mail);
            self.push_out();
        }
    }

    /// Captured mails beyond their bound leave the log, the oldest first.
    fn push_out(&mut self) {
        while self.captured_most.is_some_and(|most| self.captured.len() > most)
            && let Some(oldest) = self.captured.pop_first()
        {
            self.pushed_out.extend(self.rows.remove_entry(&oldest));
        }
    }

    /// At most so many captured mails are shown from now on, the newest.
    pub(crate) fn keep_captured(&mut self, most: Option<usize>) {
        self.captured_most = most;
        self.push_out();
    }

    /// How many captured mails are shown at most.
    pub(crate) fn captured_most(&self) -> Option<usize> {
        self.captured_most
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
            self.pushed_out.remove(&mail);
            self.captured.remove(&mail);
        }
        self.doubtful.remove(&run);
    }

    /// Mails up to this one are no longer shown.
    pub(super) fn clear(&mut self, up_to: MailId, place: Place) {
        if self.cleared.is_none_or(|(earlier, _)| earlier <= up_to) {
            self.cleared = Some((up_to, place));
        }
        for rows in [&mut self.rows, &mut self.pushed_out] {
            let mut gone = std::mem::take(rows);
            *rows = gone.split_off(&up_to);
            gone.extend(rows.remove_entry(&up_to));
            for (mail, row) in gone {
                self.captured.remove(&mail);
                if let Some(of_run) = self.of_run.get_mut(&row.run) {
                    of_run.retain(|kept| *kept != mail);
                    if of_run.is_empty() {
                        self.of_run.remove(&row.run);
                    }
                }
            }
        }
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
        // Ids go by the time of the first intent.
        let since = filter.since.map_or(Unbounded, |since| Included(MailId::first_at(since)));
        let before = [after, filter.until.map(MailId::first_at)].into_iter().flatten().min();
        let young_enough = move |id: &MailId| std::ops::RangeBounds::contains(&(since, Unbounded), id);
        let to = filter.to.as_ref().map(|to| self.hash(to));
        let of_run = filter.run.map(|run| self.of_run.get(&run).map_or(&[][..], SmallVec::as_slice));
        let rows: Box<dyn Iterator<Item = (&MailId, &MailRow)>> = match of_run {
            Some(mails) => {
                let mut mails = mails.to_vec();
                mails.sort_unstable_by_key(|mail| std::cmp::Reverse(*mail));
                let mails = mails.into_iter().filter(move |mail| before.is_none_or(|before| *mail < before));
                Box::new(mails.filter_map(|mail| self.entry(mail)))
            }
            None => Box::new(self.rows.range((Unbounded, before.map_or(Unbounded, Excluded))).rev()),
        };
        rows.map(|(id, row)| (*id, row)).take_while(move |(id, _)| young_enough(id)).filter(move |(_, row)| {
            to.is_none_or(|to| to == row.to)
                && filter.kind.as_ref().is_none_or(|kind| **kind == *row.kind)
                && filter.status.is_none_or(|status| status == row.status)
        })
    }

    fn entry(&self, mail: MailId) -> Option<(&MailId, &MailRow)> {
        self.rows.get_key_value(&mail).or_else(|| self.pushed_out.get_key_value(&mail))
    }

    /// A mail that the log or its run shows.
    pub(crate) fn row(&self, mail: MailId) -> Option<&MailRow> {
        self.entry(mail).map(|(_, row)| row)
    }

    /// Mails of a run that may have been sent, with the keys of their effects.
    pub(crate) fn doubtful(&self, run: RunId) -> impl Iterator<Item = &(EffectKey, DoubtfulMail)> {
        self.doubtful.get(&run).into_iter().flatten()
    }

    /// How many mails the log shows, and the newest of them.
    pub(super) fn log(&self) -> (usize, Option<MailId>) {
        (self.rows.len(), self.rows.last_key_value().map(|(id, _)| *id))
    }

    /// How many mails are older than `oldest`, which is not, and the newest of them.
    pub(crate) fn older(&self, oldest: MailId) -> (usize, Option<MailId>) {
        let rows = [&self.rows, &self.pushed_out].map(|rows| rows.range(..oldest));
        let newest = rows.clone().into_iter().filter_map(|mut rows| rows.next_back()).map(|(id, _)| *id).max();
        (rows.into_iter().map(Iterator::count).sum(), newest)
    }
}

#[cfg(test)]
mod tests;
