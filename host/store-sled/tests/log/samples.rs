//! Records for the tests of the log.
//! They tell no sensible story: the log keeps whatever it is given.

use std::path::Path;

use jobmill_core::journal::{EffectKey, Enqueued, Entry, EntryKind, EventReference};
use jobmill_core::order::{Money, Order, OrderStatus};
use jobmill_core::{Json, MailId, RunId, Timestamp};
use jobmill_store::{Log, LogError, Record};
use jobmill_store_sled::SledLog;

pub(crate) fn run(number: u32) -> RunId {
    RunId::from_bytes((u128::from(number) << 96).to_be_bytes())
}

pub(crate) fn entry(kind: EntryKind) -> Entry {
    Entry { at: Timestamp::from_millis(1_772_355_600_007), kind }
}

/// The beginning of a journal, with a payload of about so many bytes.
pub(crate) fn enqueued(number: u32, payload_bytes: usize) -> Record {
    let enqueued = Enqueued {
        job: "welcome-email".parse().expect("a job id"),
        queue: "default".to_owned(),
        priority: 5,
        payload: Json::of(&"x".repeat(payload_bytes)).expect("a document"),
        max_attempts: 2,
        scheduled_at: Timestamp::from_millis(1_772_355_600_007),
        event: None,
        tags: vec!["shop".to_owned()],
        unique_key: Some("ada".to_owned()),
        idempotency_key: None,
        request_digest: Some([200; 32]),
        rerun_of: Some(run(255)),
    };
    Record::Journal { run: run(number), first: 0, entries: vec![entry(EntryKind::Enqueued(Box::new(enqueued)))] }
}

/// One more entry of a journal.
pub(crate) fn step(number: u32, first: u32) -> Record {
    let name = format!("step {first}");
    let entries = vec![entry(EntryKind::StepCompleted { name, value: Json::empty_object() })];
    Record::Journal { run: run(number), first, entries }
}

/// An entry with an effect.
pub(crate) fn order_updated(number: u32, first: u32) -> Record {
    let patch = jobmill_core::order::OrderPatch { status: Some(OrderStatus::Refunded), ..Default::default() };
    let key = EffectKey::order("order_1", &patch, 0);
    let entries = vec![entry(EntryKind::OrderUpdated { key, order: "order_1".to_owned(), patch })];
    Record::Journal { run: run(number), first, entries }
}

pub(crate) fn event(id: &str, data_bytes: usize) -> Record {
    let reference = EventReference {
        id: id.parse().expect("an event id"),
        name: "email/welcome".to_owned(),
        ts: Timestamp::from_millis(7),
    };
    let data = Json::of(&"x".repeat(data_bytes)).expect("a document");
    Record::Event { reference, data, received_at: Timestamp::from_millis(8) }
}

/// An order with metadata of about so many bytes.
pub(crate) fn order(id: &str, metadata_bytes: usize) -> Record {
    Record::Order(Order {
        id: id.to_owned(),
        status: OrderStatus::Paid,
        customer_email: "ada@example.com".to_owned(),
        customer_name: None,
        items: Vec::new(),
        total: Money { minor: 1250, currency: "EUR".to_owned() },
        created_at: Timestamp::from_millis(1),
        fulfilled_at: None,
        refunded_at: None,
        metadata: Json::of(&"x".repeat(metadata_bytes)).expect("a document"),
        revision: 1,
    })
}

pub(crate) fn mail_cleared(number: u8) -> Record {
    Record::MailCleared { up_to: MailId::from_bytes([number; 16]) }
}

/// An open log that was found whole.
pub(crate) fn open(directory: &Path) -> SledLog {
    let mut log = SledLog::open(directory).expect("opens");
    scan(&mut log).expect("is whole");
    log
}

/// Appends each command and syncs once.
pub(crate) fn write(log: &mut SledLog, commands: &[&[Record]]) {
    for command in commands {
        log.append(command).expect("appends");
    }
    log.sync().expect("syncs");
}

/// Everything that the log holds.
pub(crate) fn scan(log: &mut SledLog) -> Result<Vec<Record>, LogError> {
    let mut records = Vec::new();
    log.scan(&mut |record| records.push(record))?;
    Ok(records)
}
