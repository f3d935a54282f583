//! What the records say, read a second time: every run's journal and standing, the orders, the events.
//! It knows no index and no log; it takes groups in, and says what in them may not be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jobmill_core::flow::UniqueStates;
use jobmill_core::journal::{Enqueued, Entry, EntryKind};
use jobmill_core::order::Order;
use jobmill_core::{JobId, RunId, RunState, Timestamp, limits};
use jobmill_store::Record;

use crate::controls::Controls;
use crate::findings::Findings;
use crate::happenings::Happenings;
use crate::standing::Standing;

/// A run as its records tell of it.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) journal: Vec<Entry>,
    pub(crate) standing: Standing,
    /// Enqueues that later ones took the place of while it waited for them to be quiet, oldest first.
    pub(crate) replaced: Vec<Enqueued>,
    /// How many runs there were before it.
    number: usize,
}

impl Told {
    pub(crate) fn enqueued(&self) -> Option<&Enqueued> {
        match &self.journal.first()?.kind {
            EntryKind::Enqueued(enqueued) => Some(enqueued),
            _ => None,
        }
    }

    /// Its enqueue, and those that it took the place of.
    pub(crate) fn enqueues(&self) -> impl Iterator<Item = &Enqueued> {
        self.replaced.iter().chain(self.enqueued())
    }

    /// By what an enqueue is debounced.
    pub(crate) fn debounced_by(enqueued: &Enqueued) -> Option<(&JobId, Option<&str>)> {
        let debounce = enqueued.terms.as_ref()?.debounce.as_ref()?;
        Some((&enqueued.job, debounce.value.as_deref()))
    }

    /// Whether this enqueue may take the place of the run's own: it has not begun, and waits for others of the kind.
    fn is_replaced_by(&self, entry: &Entry) -> bool {
        let (EntryKind::Enqueued(later), Some(first)) = (&entry.kind, self.journal.first()) else { return false };
        let kind = self.enqueued().and_then(Self::debounced_by);
        let waits = self.journal.len() == 1 && self.standing.state.is_waiting();
        waits && entry.at == first.at && kind.is_some() && kind == Self::debounced_by(later)
    }

    /// The digests under which it holds a key of this job and these names.
    pub(crate) fn digests(&self, job: &JobId, unique: Option<&str>, once: Option<&str>) -> Vec<Option<[u8; 32]>> {
        let of_enqueue = |kept: &&Enqueued| {
            let of_job = kept.job == *job && unique.is_some() && kept.unique_key.as_deref() == unique;
            of_job || (once.is_some() && kept.idempotency_key.as_deref() == once)
        };
        let own = self.enqueues().filter(of_enqueue).map(|kept| kept.request_digest);
        let debounces = self.enqueues().filter_map(|kept| kept.terms.as_ref()?.debounce.as_ref());
        let earlier =
            debounces.flat_map(|debounce| &debounce.earlier).filter(|earlier| Some(earlier.key.as_str()) == once);
        own.chain(earlier.map(|earlier| earlier.digest)).collect()
    }

    /// Whether its unique key is taken at `at`.
    fn holds_unique_key(&self, at: Timestamp) -> bool {
        let terms = self.enqueued().and_then(|held| held.terms.as_ref()?.unique);
        // One that was put back is there again, and whoever has taken the key meanwhile holds it.
        let was_put_back = self.journal.iter().any(|entry| matches!(entry.kind, EntryKind::Requeued { .. }));
        let is_of_unfinished = terms.is_some_and(|terms| terms.states == UniqueStates::Unfinished);
        let is_free = is_of_unfinished && (self.standing.state.is_final() || was_put_back);
        !is_free && self.is_within(terms.map(|terms| terms.window), at)
    }

    /// Whether `at` is within this window, or the usual one, from its enqueue.
    fn is_within(&self, window: Option<Duration>, at: Timestamp) -> bool {
        let since = self.journal.first().map(|first| first.at).unwrap_or_default();
        at.since(since) < window.unwrap_or(limits::UNIQUE_WINDOW)
    }

    /// How it stood as each of the enqueues began it that were replaced since.
    fn begun(&self) -> impl Iterator<Item = Standing> + '_ {
        let first = self.journal.first().map(|first| first.at).unwrap_or_default();
        self.replaced.iter().filter_map(move |enqueued| {
            Standing::begin(&Entry { at: first, kind: EntryKind::Enqueued(Box::new(enqueued.clone())) })
        })
    }

    /// Whether it ever stood so.
    pub(crate) fn stood(&self, wanted: impl Fn(Standing) -> bool) -> bool {
        self.begun().chain(self.standings()).any(wanted)
    }

    /// How it stood after each of its entries.
    pub(crate) fn standings(&self) -> impl Iterator<Item = Standing> + '_ {
        let mut standing = self.journal.first().and_then(Standing::begin);
        let rest = self.journal.iter().skip(1).map(Some).chain([None]);
        rest.map_while(move |entry| {
            let before = standing?;
            standing = entry.and_then(|entry| before.after(entry).ok());
            Some(before)
        })
    }
}

/// Everything that records tell.
#[derive(Clone, Default)]
pub(crate) struct Truth {
    pub(crate) runs: BTreeMap<RunId, Told>,
    pub(crate) orders: BTreeMap<String, Order>,
    /// Runs that were pruned or forgotten.
    pub(crate) pruned: BTreeSet<RunId>,
    /// What operators said.
    pub(crate) controls: Controls,
    /// Events and webhook deliveries.
    pub(crate) happenings: Happenings,
    groups: u64,
}

impl Truth {
    /// Takes a group in that was written by now.
    pub(crate) fn take_in(&mut self, group: &[Record], findings: &Findings) {
        self.groups += 1;
        let mut changed: BTreeMap<String, Option<Order>> = BTreeMap::new();
        for record in group {
            match record {
                Record::Journal { run, first, entries } => {
                    self.expect_orders(*run, *first, entries, &mut changed);
                    self.journal(*run, *first, entries, findings);
                }
                Record::Order(order) => {
                    let expected = changed.remove(&order.id).flatten();
                    self.order(order, expected.as_ref(), findings);
                }
                Record::Event { reference, data, received_at, runs } => {
                    self.happenings.record(reference, (data, *received_at, runs), self.groups, findings);
                }
                Record::Delivery(delivery) => self.happenings.deliver(delivery, findings),
                Record::PrunedDeliveries { deliveries } => self.happenings.prune_deliveries(deliveries),
                Record::Pruned { runs } => {
                    for run in runs {
                        self.prune(*run, findings);
                    }
                }
                Record::PrunedEvents { events } => self.happenings.prune(events, &self.runs),
                Record::Control(control) => self.controls.take_in(control),
                Record::MailCleared { .. } | Record::Floor { .. } => {}
            }
        }
        for (id, expected) in changed {
            findings.require(expected.is_none() || expected.as_ref() == self.orders.get(&id), || {
                format!("a run changed order {id}, and the change is in no record of its group")
            });
        }
    }

    /// The orders as they are after the changes that these entries tell of.
    fn expect_orders(&self, run: RunId, first: u32, entries: &[Entry], changed: &mut BTreeMap<String, Option<Order>>) {
        let is_known = self.runs.get(&run).is_some_and(|told| told.journal.len() > first as usize);
        for entry in entries.iter().filter(|_| !is_known) {
            let EntryKind::OrderUpdated { order, patch, .. } = &entry.kind else { continue };
            let before = changed.remove(order).flatten().or_else(|| self.orders.get(order).cloned());
            let after = before.and_then(|before| before.patched(patch, entry.at).ok());
            changed.insert(order.clone(), after);
        }
    }

    fn order(&mut self, order: &Order, expected: Option<&Order>, findings: &Findings) {
        let current = self.orders.get(&order.id);
        let revision = current.map_or(1, |current| current.revision + 1);
        let holds = match expected {
            Some(expected) => expected == order,
            None => current == Some(order) || order.revision == revision,
        };
        findings.require(holds, || format!("order {} became {order:?}, not {expected:?}", order.id));
        self.orders.insert(order.id.clone(), order.clone());
    }

    fn journal(&mut self, run: RunId, first: u32, entries: &[Entry], findings: &Findings) {
        if first == 0 {
            match self.runs.get(&run) {
                None => self.begin(run, entries, Vec::new(), findings),
                Some(told) if told.journal != entries && entries.first().is_some_and(|it| told.is_replaced_by(it)) => {
                    let Some(told) = self.runs.remove(&run) else { return };
                    told.enqueued().into_iter().for_each(|enqueued| self.happenings.ends(run, enqueued));
                    let replaced = told.enqueues().cloned().collect();
                    self.begin(run, entries, replaced, findings);
                }
                Some(told) => findings.require(told.journal == entries, || {
                    let count = (told.journal.len(), entries.len());
                    format!("the journal of {run} was written again, and not as it was: {count:?} entries")
                }),
            }
            return;
        }
        let Some(told) = self.runs.get_mut(&run) else {
            return findings.report(|| format!("the journal of {run} goes on, and it has no beginning"));
        };
        if told.journal.len() != first as usize {
            let length = told.journal.len();
            return findings.report(|| format!("the journal of {run} has {length} entries and goes on at {first}"));
        }
        extend(run, told, entries, findings);
    }

    fn begin(&mut self, run: RunId, entries: &[Entry], replaced: Vec<Enqueued>, findings: &Findings) {
        let Some((begin, standing)) = entries.first().and_then(|entry| Some((entry, Standing::begin(entry)?))) else {
            return findings.report(|| format!("the journal of {run} does not begin with an enqueue"));
        };
        findings.require(!self.pruned.contains(&run), || format!("{run} was pruned and is there again"));
        let mut told =
            Told { journal: vec![begin.clone()], standing, replaced, number: self.runs.len() + self.pruned.len() };
        if let Some(enqueued) = told.enqueued() {
            // When a later one took the place of the first is not on record.
            if told.replaced.is_empty() {
                self.check_keys(run, enqueued, begin.at, findings);
            }
            let is_new = told.replaced.is_empty();
            self.happenings.begins((run, enqueued, begin.at), is_new, &self.runs, self.groups, findings);
        }
        extend(run, &mut told, &entries[1..], findings);
        self.runs.insert(run, told);
    }

    fn check_keys(&self, run: RunId, new: &Enqueued, at: Timestamp, findings: &Findings) {
        let others = || self.runs.iter().filter_map(|(other, told)| Some((other, told, told.enqueued()?)));
        let of_request = others()
            .filter(|(_, _, held)| new.idempotency_key.is_some() && new.idempotency_key == held.idempotency_key);
        let of_job = others().filter(|(_, _, held)| {
            new.job == held.job && new.unique_key.is_some() && new.unique_key == held.unique_key
        });
        // Whoever got a key last holds it: it was free then, whatever a clock that is set back says of it later.
        let of_request =
            of_request.max_by_key(|(_, told, _)| told.number).filter(|(_, told, _)| told.is_within(None, at));
        let of_job = of_job.max_by_key(|(_, told, _)| told.number).filter(|(_, told, _)| told.holds_unique_key(at));
        if let Some((other, ..)) = of_request.or(of_job) {
            findings.report(|| format!("{run} was enqueued under a key that {other} holds"));
        }
    }

    fn prune(&mut self, run: RunId, findings: &Findings) {
        let Some(told) = self.runs.remove(&run) else {
            return findings.report(|| format!("{run} was pruned and is not there"));
        };
        told.enqueued().into_iter().for_each(|enqueued| self.happenings.ends(run, enqueued));
        self.pruned.insert(run);
    }

    /// How many runs show each state at `now`, in the order of `RunState::ALL`; these were claimed besides.
    pub(crate) fn counts(&self, claimed: &BTreeSet<RunId>, now: Timestamp) -> [usize; 7] {
        let mut counts = [0; 7];
        for (run, told) in &self.runs {
            let state = if claimed.contains(run) { RunState::Running } else { told.standing.shown(now) };
            counts[state as usize] += 1;
        }
        counts
    }
}

fn extend(run: RunId, told: &mut Told, entries: &[Entry], findings: &Findings) {
    for entry in entries {
        match told.standing.after(entry) {
            Ok(standing) => told.standing = standing,
            Err(reason) => findings.report(|| format!("{run}: {reason}")),
        }
        if let EntryKind::OrderUpdated { key, .. } = &entry.kind {
            let same = |earlier: &Entry| matches!(&earlier.kind, EntryKind::OrderUpdated { key: it, .. } if it == key);
            findings.require(!told.journal.iter().any(same), || format!("{run} made the change {key:?} twice"));
        }
        told.journal.push(entry.clone());
    }
}
