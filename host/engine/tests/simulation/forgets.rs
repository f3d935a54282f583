//! What is to be forgotten, and what must hold of it: what carried it is gone or was named, what did not is there, and the
//! log was written anew whole or not at all. It reads records by itself and shares no code with the store's search.

use std::collections::{BTreeMap, BTreeSet};

use jobmill_core::delivery::Delivery;
use jobmill_core::journal::EntryKind;
use jobmill_core::order::Order;
use jobmill_core::{DeliveryId, EventKey, Json, RunId, RunState, Timestamp, limits};
use jobmill_store::{Control, Forget, Forgotten, Log, Place, Record};

use crate::findings::Findings;
use crate::truth::Told;
use crate::watched_log::Watch;

/// Something that is being forgotten, with what carried it when that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Forgetting {
    what: Forget,
    /// Not under way; how many mails each has, and whether it is dead.
    runs: BTreeMap<RunId, (usize, bool)>,
    /// Of these, such as took in another payload since.
    changed: BTreeSet<RunId>,
    /// Events with a record of their own.
    events: BTreeSet<EventKey>,
    deliveries: BTreeSet<DeliveryId>,
    orders: BTreeSet<String>,
    /// Orders that somebody gave a customer since.
    reordered: BTreeSet<String>,
    /// What is to be answered, but for the runs that were not under way.
    expected: Forgotten,
}

/// When the power goes while the log is written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The old one is there.
    Before,
    /// The new one has taken its place.
    After,
    /// It has gone.
    Done,
}

/// Whether a text has the address in it: no address here is a part of another.
fn has_address(text: &str, what: &Forget) -> bool {
    what.email.as_ref().is_some_and(|email| text.to_lowercase().contains(&email.to_lowercase()))
}

fn is_in_document(document: &Json, what: &Forget) -> bool {
    let Ok(document) = document.to_value() else { return false };
    let stands = |pointer: &str, wanted: &str| match document.pointer(pointer) {
        Some(serde_json::Value::String(text)) => text == wanted,
        Some(serde_json::Value::Null) | None => false,
        Some(other) => {
            let text = other.to_string();
            text == wanted
        }
    };
    what.value.as_ref().is_some_and(|(pointer, value)| stands(pointer.as_str(), value))
        || has_address(&document.to_string(), what)
}

fn is_in_run(told: &Told, what: &Forget) -> bool {
    let is_in_payload = told.enqueued().is_some_and(|enqueued| is_in_document(&enqueued.payload, what));
    let in_journal = || serde_json::to_string(&told.journal).is_ok_and(|text| has_address(&text, what));
    is_in_payload || (what.email.is_some() && in_journal())
}

fn is_in_delivery(delivery: &Delivery, what: &Forget) -> bool {
    Json::parse(&delivery.body).is_ok_and(|document| is_in_document(&document, what))
}

fn is_in_order(order: &Order, what: &Forget) -> bool {
    has_address(&order.customer_email, what)
}

fn mails_of(told: &Told) -> usize {
    let keys = told.journal.iter().filter_map(|entry| match &entry.kind {
        EntryKind::MailIntended { key, .. } => Some(key),
        _ => None,
    });
    keys.collect::<BTreeSet<_>>().len()
}

impl Forgetting {
    /// Somebody asks for it now.
    fn new(what: Forget, watch: &Watch) -> Self {
        let mut it = Self {
            what,
            runs: BTreeMap::new(),
            changed: BTreeSet::new(),
            events: BTreeSet::new(),
            deliveries: BTreeSet::new(),
            orders: BTreeSet::new(),
            reordered: BTreeSet::new(),
            expected: Forgotten::default(),
        };
        for run in watch.durable.runs.keys() {
            let Some(told) = watch.told(*run).filter(|told| is_in_run(told, &it.what)) else { continue };
            if told.standing.state == RunState::Running {
                it.expected.running.push(*run);
                continue;
            }
            it.runs.insert(*run, (mails_of(&told), told.standing.state == RunState::Dead));
        }
        let happenings = &watch.durable.happenings;
        let alone = happenings.events.iter().filter_map(|(key, event)| Some((key, event.alone.as_ref()?)));
        it.events.extend(alone.filter(|(_, (data, _))| is_in_document(data, &it.what)).map(|(key, _)| *key));
        let deliveries = happenings.deliveries.values().filter(|delivery| is_in_delivery(delivery, &it.what));
        it.deliveries.extend(deliveries.map(|delivery| delivery.id));
        let orders = watch.durable.orders.values().filter(|order| is_in_order(order, &it.what));
        it.orders.extend(orders.map(|order| order.id.clone()));
        it.expected.events = it.events.len();
        it.expected.deliveries = it.deliveries.len();
        it.expected.orders = it.orders.len();
        it
    }

    /// What is to be answered when these runs were named as under way: such as were, or began since.
    fn answer(&self, named: &[RunId]) -> Forgotten {
        let mut answer = self.expected.clone();
        for (run, (mails, is_dead)) in &self.runs {
            if named.contains(run) {
                answer.running.push(*run);
                continue;
            }
            answer.runs += 1;
            answer.mails += mails;
            answer.dead += usize::from(*is_dead);
        }
        answer.running.sort_unstable();
        answer
    }

    fn is_to_go(&self, run: RunId) -> bool {
        self.runs.contains_key(&run) && !self.changed.contains(&run)
    }

    /// Whether a record tells of something that should be gone.
    fn is_left(&self, record: &Record, answer: &Forgotten) -> bool {
        match record {
            Record::Journal { run, .. } => self.is_to_go(*run) && !answer.running.contains(run),
            Record::Event { reference, .. } => self.events.contains(&reference.key),
            Record::Delivery(delivery) => self.deliveries.contains(&delivery.id),
            Record::Order(order) => {
                self.orders.contains(&order.id) && !self.reordered.contains(&order.id) && is_in_order(order, &self.what)
            }
            _ => false,
        }
    }
}

impl Watch {
    /// Somebody asks for something to be forgotten.
    pub(crate) fn forgets(&mut self, number: u64, what: &Forget) {
        let forgetting = Forgetting::new(what.clone(), self);
        self.forgetting.insert(number, forgetting);
    }

    /// It was answered, whatever was.
    pub(crate) fn forgot(&mut self, number: u64) -> Option<Forgetting> {
        self.forgetting.remove(&number)
    }

    /// Runs and events go when they are old or are to be forgotten, and a customer only for the latter.
    pub(crate) fn check_gone(&mut self, group: &[Record], now: Timestamp, findings: &Findings) {
        let is_old = |at: Option<Timestamp>| at.is_some_and(|at| at.after(limits::UNIQUE_WINDOW) <= now);
        for record in group {
            match record {
                Record::Pruned { runs } => {
                    for (run, told) in runs.iter().filter_map(|run| Some((run, self.written.runs.get(run)?))) {
                        let is_under_way = self.is_under_way(*run, told);
                        let is_forgotten = !is_under_way && self.are_forgetting(|what| is_in_run(told, what));
                        let finished = told.standing.finished_at;
                        findings.require(is_forgotten || (told.standing.state.is_final() && is_old(finished)), || {
                            let state = told.standing.state;
                            format!(
                                "{run} was pruned; it is {state}, under way: {is_under_way}, and ended at {finished:?}"
                            )
                        });
                    }
                }
                Record::PrunedEvents { events } => {
                    let known = events.iter().filter_map(|key| self.written.happenings.events.get(key));
                    for (event, (data, _)) in known.filter_map(|event| Some((event, event.alone.as_ref()?))) {
                        let (key, at) = (event.reference.key, event.received_at);
                        let is_forgotten = self.are_forgetting(|what| is_in_document(data, what));
                        findings.require(is_forgotten || is_old(Some(at)), || {
                            format!("the event {key} was pruned, and it came at {at}")
                        });
                    }
                }
                Record::PrunedDeliveries { deliveries } => {
                    let known = deliveries.iter().filter_map(|id| self.written.happenings.deliveries.get(id));
                    for delivery in known {
                        let is_forgotten = self.are_forgetting(|what| is_in_delivery(delivery, what));
                        let is_old = delivery.received_at.after(limits::DELIVERY_WINDOW) <= now;
                        findings.require(is_forgotten || is_old, || format!("{delivery:?} was pruned at {now}"));
                    }
                }
                Record::Order(order) => self.check_customer(order, findings),
                Record::Journal { run, first: 0, entries } => {
                    let told = self.written.runs.get(run);
                    let is_changed = told.is_some_and(|told| told.journal.first() != entries.first());
                    let forgetting = self.forgetting.values_mut().filter(|it| is_changed && it.runs.contains_key(run));
                    forgetting.for_each(|it| _ = it.changed.insert(*run));
                }
                _ => {}
            }
        }
    }

    fn are_forgetting(&self, carries: impl Fn(&Forget) -> bool) -> bool {
        self.forgetting.values().any(|it| carries(&it.what))
    }

    fn check_customer(&mut self, order: &Order, findings: &Findings) {
        let before = self.written.orders.get(&order.id);
        for forgetting in self.forgetting.values_mut().filter(|it| is_in_order(order, &it.what)) {
            if !before.is_some_and(|before| is_in_order(before, &forgetting.what)) {
                forgetting.reordered.insert(order.id.clone());
            }
        }
        let Some(before) = before.filter(|before| !before.customer_email.is_empty() && order.customer_email.is_empty())
        else {
            return;
        };
        let blanked = Order {
            customer_email: String::new(),
            customer_name: None,
            revision: before.revision + 1,
            ..before.clone()
        };
        let is_forgotten = self.are_forgetting(|what| is_in_order(before, what));
        findings.require(is_forgotten && *order == blanked, || format!("{before:?} lost its customer: {order:?}"));
    }

    /// Judges what was answered by what is durable, and by every record of the log.
    pub(crate) fn judge_forget(
        &self,
        forgetting: &Forgetting,
        answer: &Forgotten,
        log: &mut dyn Log,
        findings: &Findings,
    ) {
        let mut named = answer.running.clone();
        named.sort_unstable();
        let expected = forgetting.answer(&named);
        // One that took in another payload since may be left.
        let changed = expected.runs.saturating_sub(answer.runs);
        let answered = Forgotten { running: named, runs: answer.runs + changed, ..answer.clone() };
        findings.require(changed <= forgetting.changed.len() && answered == expected, || {
            format!("{:?} was answered with {answer:?}, and it is {expected:?}", forgetting.what)
        });
        let is_there = |run: &RunId| self.durable.runs.contains_key(run) && !answer.running.contains(run);
        let left = forgetting.runs.keys().find(|run| forgetting.is_to_go(**run) && is_there(run));
        findings.require(left.is_none(), || {
            format!("{left:?} carries {:?}, is there still and was not named", forgetting.what)
        });
        let mut left = None;
        let mut look = |place: Place, record: Record| {
            if forgetting.is_left(&record, answer) {
                left.get_or_insert((place, record));
            }
        };
        let scanned = log.scan(&mut look);
        findings.require(scanned.is_ok() && left.is_none(), || {
            format!("{:?} was forgotten, and the log has {left:?} ({scanned:?})", forgetting.what)
        });
    }

    /// The log is to be written anew with these records: with everything that is, and nothing else.
    pub(crate) fn check_rewrite(&self, records: &[Record], findings: &Findings) {
        let (mut runs, mut orders) = (BTreeSet::new(), BTreeSet::new());
        let (mut events, mut deliveries) = (BTreeSet::new(), BTreeMap::new());
        let mut controls: Vec<&Control> = Vec::new();
        for record in records {
            match record {
                Record::Journal { run, first, entries } => {
                    let told = self.told(*run);
                    findings.require(*first == 0 && told.is_some_and(|told| told.journal == *entries), || {
                        format!("{run} is written anew as it is not")
                    });
                    runs.insert(*run);
                }
                Record::Event { reference, .. } => _ = events.insert(reference.key),
                Record::Delivery(delivery) => _ = deliveries.insert(delivery.id, delivery.clone()),
                Record::Order(order) => _ = orders.insert(&order.id),
                Record::Control(control) => controls.push(control),
                _ => {}
            }
        }
        findings.require(self.written.runs.keys().copied().eq(runs.iter().copied()), || {
            let missing = self.written.runs.keys().find(|run| !runs.contains(run));
            format!("the log is written anew with {} runs of {}: {missing:?}", runs.len(), self.written.runs.len())
        });
        let happenings = &self.written.happenings;
        let alone = happenings.events.values().filter(|event| event.alone.is_some());
        findings.require(alone.map(|event| event.reference.key).eq(events), || {
            "the log is written anew with other events".to_owned()
        });
        findings.require(happenings.deliveries == deliveries, || {
            "the log is written anew with other deliveries".to_owned()
        });
        findings
            .require(self.written.orders.keys().eq(orders), || "the log is written anew with other orders".to_owned());
        let is_kept = |control: &Control| controls.contains(&control);
        let lost = self.written.controls.all().find(|control| !is_kept(control));
        findings.require(lost.is_none(), || format!("the log is written anew without {lost:?}"));
    }

    /// The log was written anew: whatever was noted is durable.
    pub(crate) fn rewritten(&mut self, records: &[Record], findings: &Findings) {
        let starts: Vec<Record> = self.noted_next().collect();
        self.durable.take_in(&starts, findings);
        self.durable.take_in(records, findings);
        self.written = self.durable.clone();
        self.settle_notes();
    }
}
