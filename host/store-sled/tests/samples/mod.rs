//! Records for the tests of the log.
//! They tell no sensible story: the log keeps whatever it is given.

use jobmill_core::journal::{EffectKey, Enqueued, Entry, EntryKind, EventReference};
use jobmill_core::order::{Money, Order, OrderStatus};
use jobmill_core::{Json, MailId, RunId, Timestamp};
use jobmill_store::{Log, LogError, Record};
use jobmill_store_sled::SledLog;

pub fn run(number: u8) -> RunId {
    RunId::from_bytes([number; 16])
}

pub fn entry(kind: EntryKind) -> Entry {
    Entry { at: Timestamp::from_millis(1_772_355_600_007), kind }
}

/// The beginning of a journal, with a payload of about so many bytes.
pub fn enqueued(number: u8, payload_bytes: usize) -> Record {
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
pub fn step(number: u8, first: u32) -> Record {
    let name = format!("step {first}");
    let entries = vec![entry(EntryKind::StepCompleted { name, value: Json::empty_object() })];
    Record::Journal { run: run(number), first, entries }
}

/// An entry with an effect.
pub fn order_updated(number: u8, first: u32) -> Record {
    let patch = jobmill_core::order::OrderPatch { status: Some(OrderStatus::Refunded), ..Default::default() };
    let key = EffectKey::order("order_1", &patch, 0);
    let entries = vec![entry(EntryKind::OrderUpdated { key, order: "order_1".to_owned(), patch })];
    Record::Journal { run: run(number), first, entries }
}

pub fn event(id: &str, data_bytes: usize) -> Record {
    let reference = EventReference {
        id: id.parse().expect("an event id"),
        name: "email/welcome".to_owned(),
        ts: Timestamp::from_millis(7),
    };
    let data = Json::of(&"x".repeat(data_bytes)).expect("a document");
    Record::Event { reference, data, received_at: Timestamp::from_millis(8) }
}

/// An order with metadata of about so many bytes.
pub fn order(id: &str, metadata_bytes: usize) -> Record {
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

pub fn mail_cleared(number: u8) -> Record {
    Record::MailCleared { up_to: MailId::from_bytes([number; 16]) }
}

/// Appends each command and syncs once.
pub fn write(log: &mut SledLog, commands: &[&[Record]]) {
    for command in commands {
        log.append(command).expect("appends");
    }
    log.sync().expect("syncs");
}

/// Everything that the log holds.
pub fn scan(log: &mut SledLog) -> Result<Vec<Record>, LogError> {
    let mut records = Vec::new();
    log.scan(&mut |record| records.push(record))?;
    Ok(records)
}
