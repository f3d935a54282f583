//! The bound of the development mailbox holds over everything that builds the index anew.

use std::sync::Arc;

use jobmill_core::journal::{EffectKey, Enqueued, Entry, EntryKind};
use jobmill_core::mail::{Mail, MailStatus, Mailbox, Message};
use jobmill_core::{Json, MailId, RunId, Timestamp};
use jobmill_store::{Forget, LogStore, MailFilter, MemoryLog, Query as _, Record, Store as _};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_772_355_600_000 + millis)
}

fn mailbox(address: &str) -> Mailbox {
    Mailbox { address: address.to_owned(), name: None }
}

/// A run that captured a mail at this time, as another store would hand it over.
fn captured(millis: u64) -> Record {
    let enqueued = Enqueued {
        job: "welcome".parse().expect("a job id"),
        queue: "default".to_owned(),
        priority: 5,
        payload: Json::empty_object(),
        max_attempts: 1,
        scheduled_at: at(millis),
        event: None,
        tags: Vec::new(),
        unique_key: None,
        idempotency_key: None,
        request_digest: None,
        rerun_of: None,
        terms: None,
    };
    let message = Message {
        kind: "welcome".to_owned(),
        to: mailbox("ada@example.com"),
        reply_to: None,
        subject: "Hello".to_owned(),
        text: "Hello".to_owned(),
        html: None,
        attachments: Vec::new(),
        headers: Vec::new(),
    };
    let (id, message_id) = (MailId::first_at(at(millis)), format!("{millis}@shop.example"));
    let mail = Mail { id, message_id, from: mailbox("shop@shop.example"), created_at: at(millis), message };
    let key = EffectKey::mail("welcome", "ada@example.com", 0);
    let kinds = [
        EntryKind::Enqueued(Box::new(enqueued)),
        EntryKind::MailIntended { key: key.clone(), mail: Arc::new(mail) },
        EntryKind::MailSettled { key, status: MailStatus::Captured, reply: None, error: None },
    ];
    let entries = kinds.into_iter().map(|kind| Entry { at: at(millis), kind }).collect();
    Record::Journal { run: RunId::first_at(at(millis)), first: 0, entries }
}

async fn shown(store: &LogStore, filter: &MailFilter) -> Vec<MailId> {
    store.mails(filter, None, 100).await.expect("reads").items.into_iter().map(|mail| mail.id).collect()
}

#[tokio::test]
async fn the_newest_captured_mails_are_shown_after_a_restart_and_after_the_log_was_written_anew() {
    let log = MemoryLog::new();
    let all = MailFilter::default();
    let newest = [9, 8, 7].map(|millis| MailId::first_at(at(millis)));
    let store = LogStore::open(log.clone()).expect("opens");
    store.keep_captured(3);
    store.import((0..10).map(captured).collect()).await.expect("imports");
    assert_eq!(shown(&store, &all).await, newest);
    drop(store);
    let store = LogStore::open(log).expect("opens");
    store.keep_captured(3);
    assert_eq!(shown(&store, &all).await, newest);
    // To forget somebody writes the log anew, whether or not anything was found.
    let nobody = Forget { email: Some("nobody@example.com".to_owned()), value: None };
    store.forget(nobody, false).await.expect("forgets");
    assert_eq!(shown(&store, &all).await, newest);
    let of_run = MailFilter { run: Some(RunId::first_at(at(0))), ..all };
    assert_eq!(shown(&store, &of_run).await, [MailId::first_at(at(0))], "its run still shows it");
}
