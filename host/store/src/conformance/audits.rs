//! The audit list: kept newest first within its bound, each entry as it was last told.
//! What operators do is for whoever hands the entries over.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::time::Duration;

use jobmill_core::audit::{AuditEntry, AuditOutcome, Operator};
use jobmill_core::{AuditId, TokenId, limits};

use super::Subject;
use super::subject::at;
use crate::auditing::AuditFilter;
use crate::control::Control;
use crate::forgetting::Forget;
use crate::log::Record;
use crate::store::Retention;

fn entry(number: u64) -> AuditEntry {
    AuditEntry {
        id: AuditId::first_at(at(number)),
        at: at(number),
        by: None,
        action: "runs cancel".to_owned(),
        target: Some(format!("run_{number}")),
        detail: None,
        outcome: None,
    }
}

fn ended(number: u64) -> AuditEntry {
    AuditEntry { outcome: Some(AuditOutcome::Done), ..entry(number) }
}

fn by(name: &str) -> Operator {
    Operator { id: TokenId::from_bytes([7; 16]), name: name.to_owned() }
}

impl Subject {
    async fn put_audit(&self, entry: &AuditEntry) {
        let queued = self.store().put_audit(entry.clone()).await.expect("takes");
        queued.durable().await.expect("keeps");
    }

    async fn audit(&self, filter: &AuditFilter) -> Vec<AuditEntry> {
        self.query().audit(filter, None, 100).await.expect("reads").items
    }

    async fn all_audit(&self) -> Vec<AuditEntry> {
        self.audit(&AuditFilter::default()).await
    }
}

pub async fn an_entry_is_told_as_it_ended_and_an_end_is_not_taken_back(subject: Subject) {
    subject.put_audit(&entry(1)).await;
    assert_eq!(subject.all_audit().await, [entry(1)]);
    let told = AuditEntry { detail: Some("3 matched".to_owned()), ..ended(1) };
    subject.put_audit(&told).await;
    subject.put_audit(&entry(1)).await;
    assert_eq!(subject.all_audit().await, std::slice::from_ref(&told), "a beginning that comes late says nothing");
    let subject = subject.reopened();
    assert_eq!(subject.all_audit().await, [told]);
}

pub async fn pages_of_the_audit_list_have_no_gap_and_no_repeat(subject: Subject) {
    for number in [3, 1, 2, 5, 4] {
        subject.put_audit(&entry(number)).await;
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = subject.query().audit(&AuditFilter::default(), after, 2).await.expect("reads");
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, [5, 4, 3, 2, 1].map(entry));
}

pub async fn a_filter_names_entries_by_each_of_its_members(subject: Subject) {
    let named = AuditEntry { by: Some(by("ada")), action: "dead discard".to_owned(), target: None, ..entry(2) };
    for entry in [&entry(1), &named] {
        subject.put_audit(entry).await;
    }
    let some = |text: &str| Some(text.to_owned());
    let filter = AuditFilter::default();
    let id = TokenId::from_bytes([7; 16]).to_string();
    for (filter, found) in [
        (AuditFilter { action: some("runs cancel"), ..filter.clone() }, Some(entry(1))),
        (AuditFilter { target: some("run_1"), ..filter.clone() }, Some(entry(1))),
        (AuditFilter { by: some("without a token"), ..filter.clone() }, Some(entry(1))),
        (AuditFilter { by: some("ada"), ..filter.clone() }, Some(named.clone())),
        (AuditFilter { by: some(&id), ..filter.clone() }, Some(named.clone())),
        (AuditFilter { by: some("ada"), action: some("runs cancel"), ..filter.clone() }, None),
    ] {
        assert_eq!(subject.audit(&filter).await, found.into_iter().collect::<Vec<_>>(), "{filter:?}");
    }
}

pub async fn old_entries_are_pruned(subject: Subject) {
    for number in [1, 2, 3] {
        subject.put_audit(&ended(number)).await;
    }
    let retention = Retention { audit: Some(Duration::from_millis(5)), ..Retention::default() };
    let pruned = subject.store().prune(retention, at(8)).await.expect("prunes");
    assert_eq!((pruned.audit, pruned.more), (2, false));
    assert_eq!(subject.all_audit().await, [ended(3)]);
    assert_eq!(subject.store().prune(Retention::default(), at(9_000)).await.expect("prunes").audit, 0);
    let subject = subject.reopened();
    assert_eq!(subject.all_audit().await, [ended(3)]);
}

pub async fn the_oldest_entries_beyond_the_bound_go(subject: Subject) {
    let most = u64::try_from(limits::AUDIT_ENTRIES).expect("a number");
    let mut queued = Vec::new();
    for number in 1..=most + 2 {
        queued.push(subject.store().put_audit(entry(number)).await.expect("takes"));
    }
    for queued in queued {
        queued.durable().await.expect("keeps");
    }
    // It went, and its end brings nothing back.
    subject.put_audit(&ended(1)).await;
    let subject = subject.reopened();
    let export = subject.query().export().await.expect("exports");
    let ids: Vec<AuditId> = export
        .map(|record| match record.expect("reads") {
            Record::Control(Control::Audit(entry)) => entry.id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((ids.len(), ids[0]), (limits::AUDIT_ENTRIES, entry(3).id));
}

pub async fn entries_that_carry_an_address_are_forgotten(subject: Subject) {
    let email = "ada@example.com";
    let text = || Some(format!("to {}", email.to_uppercase()));
    let carrying = [
        AuditEntry { target: text(), ..ended(1) },
        AuditEntry { detail: text(), ..ended(2) },
        AuditEntry { by: Some(by(email)), ..ended(3) },
    ];
    for entry in carrying.iter().chain([&ended(4)]) {
        subject.put_audit(entry).await;
    }
    let what = || Forget { email: Some(email.to_owned()), value: None };
    assert_eq!(subject.store().forget(what(), true).await.expect("looks").audit, 3);
    assert_eq!(subject.all_audit().await.len(), 4);
    assert_eq!(subject.store().forget(what(), false).await.expect("forgets").audit, 3);
    assert_eq!(subject.all_audit().await, [ended(4)]);
    let subject = subject.reopened();
    assert_eq!(subject.all_audit().await, [ended(4)]);
}

pub async fn the_audit_list_goes_along_to_another_store(subject: Subject) {
    subject.put_audit(&ended(1)).await;
    let export = subject.query().export().await.expect("exports");
    let records: Vec<Record> = export.map(|record| record.expect("reads")).collect();
    assert_eq!(records, [Record::Control(Control::Audit(Box::new(ended(1))))]);
    assert_eq!(subject.store().import(records).await, Ok(0), "it is here already");
    let other = Record::Control(Control::Audit(Box::new(entry(2))));
    assert_eq!(subject.store().import(vec![other]).await, Ok(1));
    assert_eq!(subject.all_audit().await, [entry(2), ended(1)]);
}
