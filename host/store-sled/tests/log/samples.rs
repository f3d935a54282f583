//! Records for the tests of the log.
//! They tell no sensible story: the log keeps whatever it is given.

use std::path::Path;

use jobmill_core::journal::{EffectKey, Enqueued, Entry, EntryKind, EventReference};
use jobmill_core::mail::{Attachment, Mail, Mailbox, Message};
use jobmill_core::order::{Money, Order, OrderStatus};
use jobmill_core::{EventKey, Json, MailId, RunId, Timestamp};
use jobmill_store::{Log, LogError, Place, Record};
use jobmill_store_sled::{Durability, SledLog};

pub(crate) fn run(number: u32) -> RunId {
    RunId::from_bytes((u128::from(number) << 96).to_be_bytes())
}

pub(crate) fn entry(kind: EntryKind) -> Entry {
    Entry { at: Timestamp::from_millis(1_772_355_600_007), kind }
}

/// The beginning of a journal, with a payload of about so many bytes that do not compress.
pub(crate) fn enqueued(number: u32, payload_bytes: usize) -> Record {
    let enqueued = Enqueued {
        job: "welcome-email".parse().expect("a job id"),
        queue: "default".to_owned(),
        priority: 5,
        payload: Json::of(&noise(u64::from(number), payload_bytes)).expect("a document"),
        max_attempts: 2,
        scheduled_at: Timestamp::from_millis(1_772_355_600_007),
        event: None,
        tags: vec!["shop".to_owned()],
        unique_key: Some("ada".to_owned()),
        idempotency_key: None,
        request_digest: Some([200; 32]),
        rerun_of: Some(run(255)),
        terms: None,
    };
    Record::Journal { run: run(number), first: 0, entries: vec![entry(EntryKind::Enqueued(Box::new(enqueued)))] }
}

/// One more entry of a journal.
pub(crate) fn step(number: u32, first: u32) -> Record {
    let name = format!("step {first}");
    let entries = vec![entry(EntryKind::StepCompleted { name, value: Json::empty_object() })];
    Record::Journal { run: run(number), first, entries }
}

pub(crate) fn event(id: &str, data_bytes: usize) -> Record {
    let reference = EventReference {
        key: EventKey::first_at(Timestamp::from_millis(7)),
        id: id.parse().expect("an event id"),
        name: "email/welcome".into(),
        ts: Timestamp::from_millis(7),
    };
    let data = Json::of(&"x".repeat(data_bytes)).expect("a document");
    Record::Event { reference, data, received_at: Timestamp::from_millis(8), runs: Vec::new() }
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
    let mut log = SledLog::open(directory, Durability::Full).expect("opens");
    scan(&mut log).expect("is whole");
    log
}

/// Appends each group and syncs once; answers where the records stand.
pub(crate) fn write(log: &mut SledLog, groups: &[&[Record]]) -> Vec<Place> {
    let places = groups.iter().flat_map(|group| log.append(group).expect("appends")).collect();
    log.sync().expect("syncs");
    places
}

/// Everything that the log holds.
pub(crate) fn scan(log: &mut SledLog) -> Result<Vec<Record>, LogError> {
    Ok(places(log)?.into_iter().map(|(_, record)| record).collect())
}

/// Everything that the log holds, and where it stands.
pub(crate) fn places(log: &mut SledLog) -> Result<Vec<(Place, Record)>, LogError> {
    let mut records = Vec::new();
    log.scan(&mut |place, record| records.push((place, record)))?;
    Ok(records)
}

/// Text that does not compress, always the same for a number.
pub(crate) fn noise(number: u64, bytes: usize) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes().map(|byte| char::from(b'#' + byte % 56))
    });
    letters.flatten().take(bytes).collect()
}

/// A mail as the welcome job writes it, with an attachment of so many bytes.
pub(crate) fn mail(number: u32, first: u32, attachment_bytes: usize) -> Record {
    let message = Message {
        kind: "welcome".to_owned(),
        to: Mailbox { address: format!("customer{number}@example.com"), name: Some("Ada".to_owned()) },
        reply_to: None,
        subject: "Welcome".to_owned(),
        text: format!("Welcome, customer {number}. {}", noise(1, 1_000)),
        html: Some(format!("<p>Welcome, customer {number}.</p><p>{}</p>", noise(2, 2_000))),
        attachments: vec![Attachment {
            file_name: "terms.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            content: noise(u64::from(number) + 3, attachment_bytes).into_bytes(),
        }],
        headers: Vec::new(),
    };
    let mail = Mail {
        id: MailId::from_bytes((u128::from(number) << 64).to_be_bytes()),
        message_id: format!("<{number}@example.com>"),
        from: Mailbox { address: "shop@example.com".to_owned(), name: None },
        created_at: Timestamp::from_millis(1_772_355_600_007),
        message,
    };
    let key = EffectKey::mail("welcome", &mail.message.to.address, 0);
    let kind = EntryKind::MailIntended { key, mail: std::sync::Arc::new(mail) };
    Record::Journal { run: run(number), first, entries: vec![entry(kind)] }
}

/// Changes the tree under a closed store.
pub(crate) fn tamper(directory: &Path, change: impl FnOnce(&sled::Db)) {
    // sled lets go of its lock a moment after its last handle is dropped.
    let file = std::fs::File::open(directory.join("db")).expect("is there");
    file.lock().and_then(|()| file.unlock()).expect("locks");
    let tree = sled::open(directory).expect("opens");
    change(&tree);
    tree.flush().expect("flushes");
}

/// The keys of all parts, in order.
pub(crate) fn keys(tree: &sled::Db) -> Vec<sled::IVec> {
    tree.iter().keys().collect::<Result<_, _>>().expect("reads")
}
