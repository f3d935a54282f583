//! What goes and what comes as a whole: pruning what was kept long enough, forgetting, importing.
//! It searches no record for what is to be forgotten; `forgetting` says which carry it.

use std::collections::BTreeMap;

use jobmill_core::journal::{EntryKind, EventReference};
use jobmill_core::{AuditId, DeliveryId, EventKey, MailId, RunId, RunState, Timestamp, limits};

use super::{Decision, name_of};
use crate::committer::Commit;
use crate::control::{Control, ControlKey};
use crate::forgetting::{self, Forget, Found, FoundRun, Kept};
use crate::index::{DeliveryRow, Row};
use crate::log::Record;
use crate::reading;
use crate::store::{Pruned, Retention, StoreError};

/// Takes final runs out whose time to be kept is over, and events that started nothing; at most so many at once.
pub(crate) fn prune(commit: &mut Commit<'_>, retention: &Retention, now: Timestamp) -> Decision<Pruned> {
    let index = commit.index;
    let most = limits::PRUNED_AT_ONCE;
    let runs: Vec<RunId> =
        index.expired(retention, now).filter(|run| !commit.touched.runs.contains(run)).take(most).collect();
    let oldest = retention.completed.and_then(|age| now.before(age.max(limits::UNIQUE_WINDOW)));
    let events: Vec<EventKey> = oldest
        .into_iter()
        .flat_map(|oldest| index.events_alone_until(oldest))
        // One that is named by a run is known for as long as that run.
        .filter(|row| row.runs.iter().all(|run| index.head(*run).is_none()))
        .map(|row| row.reference.key)
        .filter(|key| !commit.touched.events.contains(key))
        .take(most)
        .collect();
    let oldest_delivery = retention.deliveries.and_then(|age| now.before(age.max(limits::DELIVERY_WINDOW)));
    let touched = |row: &&DeliveryRow| commit.touched.deliveries.contains(&row.name());
    let old = oldest_delivery.into_iter().flat_map(|oldest| index.deliveries_before(oldest));
    let old: Vec<&DeliveryRow> = old.filter(|row| !touched(row)).take(most).collect();
    let deliveries: Vec<DeliveryId> = old.iter().map(|row| row.summary.id).collect();
    commit.touched.deliveries.extend(old.iter().map(|row| row.name()));
    commit.touched.runs.extend(runs.iter().copied());
    commit.touched.events.extend(events.iter().copied());
    let oldest_entry = retention.audit.and_then(|age| now.before(age));
    let audit: Vec<AuditId> =
        oldest_entry.into_iter().flat_map(|oldest| index.audit_before(oldest)).take(most).collect();
    let oldest_mail = retention.mail.and_then(|age| now.before(age)).map(MailId::first_at);
    let (mails, newest_old_mail) = oldest_mail.map_or((0, None), |oldest| index.mails.older(oldest));
    let more = [runs.len(), events.len(), deliveries.len(), audit.len()].contains(&most);
    let (audited, delivered) = (audit.len(), deliveries.len());
    let pruned = Pruned { runs: runs.len(), events: events.len(), mails, deliveries: delivered, audit: audited, more };
    let mut records: Vec<Record> = newest_old_mail.map(|up_to| Record::MailCleared { up_to }).into_iter().collect();
    if !runs.is_empty() {
        records.push(Record::Pruned { runs });
    }
    if !events.is_empty() {
        records.push(Record::PrunedEvents { events });
    }
    if !deliveries.is_empty() {
        records.push(Record::PrunedDeliveries { deliveries });
    }
    records.extend(audit.into_iter().map(gone));
    Decision::Write(records, pruned)
}

fn gone(entry: AuditId) -> Record {
    Record::Control(Control::AuditGone(entry))
}

/// Takes runs out that are to be forgotten; answers those that stay, because they are not any more as they were found.
pub(crate) fn forget_runs(
    commit: &mut Commit<'_>,
    found: &[FoundRun],
    what: &Forget,
) -> Decision<BTreeMap<RunId, Kept>> {
    if found.iter().any(|found| commit.touched.runs.contains(&found.run)) {
        return Decision::Later;
    }
    let (mut gone, mut kept) = (Vec::new(), BTreeMap::new());
    for (found, row) in found.iter().filter_map(|found| Some((found, commit.index.row(found.run)?))) {
        if row.head.state == RunState::Running {
            kept.insert(found.run, Kept::UnderWay);
            continue;
        }
        match still_concerns(commit, found, row, what) {
            Ok(true) => gone.push(found.run),
            Ok(false) => _ = kept.insert(found.run, Kept::Changed),
            Err(error) => return Decision::Refuse(error),
        }
    }
    if gone.is_empty() {
        return Decision::Write(Vec::new(), kept);
    }
    commit.touched.runs.extend(gone.iter().copied());
    Decision::Write(vec![Record::Pruned { runs: gone }], kept)
}

/// Whether a run still carries what it carried when it was found.
fn still_concerns(commit: &Commit<'_>, found: &FoundRun, row: &Row, what: &Forget) -> Result<bool, StoreError> {
    let Some(reader) = commit.reader.as_ref().filter(|_| found.may_change) else { return Ok(true) };
    what.concerns_run(&reading::entries(&**reader, found.run, &row.places)?)
}

/// Takes events out that are to be forgotten, customers out of orders, and addresses out of the suppression list.
pub(crate) fn forget_rest(commit: &mut Commit<'_>, found: &Found, what: &Forget) -> Decision<()> {
    let Found { events, deliveries, orders, suppressions, audit, .. } = found;
    let touched = &commit.touched;
    let is_touched = events.iter().any(|event| touched.events.contains(event))
        || deliveries.iter().any(|(_, name)| touched.deliveries.contains(name))
        || orders.iter().any(|order| touched.orders.contains(&order.id))
        || suppressions.iter().any(|digest| touched.controls.contains(&ControlKey::Suppression(*digest)))
        || audit.iter().any(|entry| touched.controls.contains(&ControlKey::Audit(*entry)));
    if is_touched {
        return Decision::Later;
    }
    let mut records: Vec<Record> = Vec::new();
    if !events.is_empty() {
        records.push(Record::PrunedEvents { events: events.clone() });
    }
    if !deliveries.is_empty() {
        records.push(Record::PrunedDeliveries { deliveries: deliveries.iter().map(|(id, _)| *id).collect() });
    }
    // As they are now: somebody may have changed them meanwhile.
    let email = what.email.as_deref();
    let current = orders.iter().filter_map(|order| commit.index.order(&order.id));
    let current = current.filter(|order| what.concerns_order(order));
    records.extend(current.map(|order| Record::Order(forgetting::blanked(order, email))));
    let suppressed = suppressions.iter().filter_map(|digest| commit.index.suppressed(*digest));
    let without = suppressed.zip(email.iter().cycle()).map(|(it, email)| forgetting::without(it, email));
    records.extend(without.map(|suppression| Record::Control(Control::Suppression(suppression))));
    records.extend(audit.iter().copied().map(gone));
    commit.touched.events.extend(events.iter().copied());
    commit.touched.deliveries.extend(deliveries.iter().map(|(_, name)| name.clone()));
    commit.touched.orders.extend(orders.iter().map(|order| order.id.clone()));
    commit.touched.controls.extend(suppressions.iter().map(|digest| ControlKey::Suppression(*digest)));
    Decision::Write(records, ())
}

/// Records of another store, as `export` gave them. Runs and events that are there already are left as they are.
pub(crate) fn import(commit: &mut Commit<'_>, records: &mut Vec<Record>) -> Decision<usize> {
    if let Some(full) = &commit.full {
        return Decision::Refuse(full.clone());
    }
    let is_new = |record: &Record| match record {
        Record::Journal { run, first, .. } => *first == 0 && commit.index.row(*run).is_none(),
        // One that only its runs tell of here is told whole by its own record.
        Record::Event { reference, .. } => commit.index.event(reference.key).is_none_or(|row| row.place.is_none()),
        Record::Delivery(delivery) => commit.index.delivery(delivery.id).is_none(),
        Record::Order(order) => commit.index.order(&order.id).is_none(),
        Record::MailCleared { up_to } => commit.index.mails.cleared() < Some(*up_to),
        Record::Control(control) => commit.index.control(&control.key()).is_none(),
        Record::Pruned { .. }
        | Record::PrunedEvents { .. }
        | Record::PrunedDeliveries { .. }
        | Record::Floor { .. } => false,
    };
    let touched = &commit.touched;
    let is_touched = |record: &Record| {
        let of_event = event_of(record)
            .is_some_and(|event| touched.events.contains(&event.key) || touched.event_ids.contains(&event.id));
        of_event
            || match record {
                Record::Journal { run, .. } => touched.runs.contains(run),
                Record::Delivery(delivery) => touched.deliveries.contains(&name_of(delivery)),
                Record::Order(order) => touched.orders.contains(&order.id),
                Record::Control(control) => touched.controls.contains(&control.key()),
                _ => false,
            }
    };
    if records.iter().any(is_touched) {
        return Decision::Later;
    }
    let records: Vec<Record> = std::mem::take(records).into_iter().filter(is_new).collect();
    let touched = &mut commit.touched;
    for record in &records {
        if let Some(event) = event_of(record) {
            touched.events.insert(event.key);
            touched.event_ids.insert(event.id.clone());
        }
        match record {
            Record::Journal { run, .. } => _ = touched.runs.insert(*run),
            Record::Delivery(delivery) => _ = touched.deliveries.insert(name_of(delivery)),
            Record::Order(order) => _ = touched.orders.insert(order.id.clone()),
            Record::Control(control) => _ = touched.controls.insert(control.key()),
            _ => {}
        }
    }
    let count = records.len();
    Decision::Write(records, count)
}

/// The event that a record tells of.
fn event_of(record: &Record) -> Option<&EventReference> {
    match record {
        Record::Event { reference, .. } => Some(reference),
        Record::Journal { entries, .. } => match &entries.first()?.kind {
            EntryKind::Enqueued(enqueued) => enqueued.event.as_ref(),
            _ => None,
        },
        _ => None,
    }
}
