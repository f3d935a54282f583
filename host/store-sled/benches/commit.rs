//! What a commit costs by the number of runs that finish in it, and what a start costs by the number of records.
//! The file system under the temporary directory decides how much a sync takes.

use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use jobmill_core::journal::{EffectKey, Entry, EntryKind, Finished};
use jobmill_core::mail::{Mail, MailStatus, Mailbox, Message};
use jobmill_core::run::AttemptOutcome;
use jobmill_core::{Json, MailId, RunId, RunState, Timestamp};
use jobmill_store::{Log, Record};
use jobmill_store_sled::{Durability, SledLog};

/// Bytes of a mail's text, about; most of them are the same in every mail.
const MAIL_BYTES: usize = 3_000;

fn at() -> Timestamp {
    Timestamp::from_millis(1_772_355_600_007)
}

/// What a run that sent one mail leaves behind when it ends.
fn finish(number: u64) -> Record {
    let address = format!("customer{number}@example.com");
    let mut text = format!("Hello customer {number}, this is about your order {}.\n", number.wrapping_mul(7_919));
    let words = (0_u64..).map(|word| (word.wrapping_mul(0x9e37_79b9) % 1_000_003).to_string());
    for word in words.take(MAIL_BYTES / 7) {
        text.extend([&word, " "]);
    }
    let key = EffectKey::mail("order-shipped", &address, 0);
    let message = Message {
        kind: "order-shipped".to_owned(),
        to: Mailbox { address, name: Some(format!("Customer {number}")) },
        reply_to: None,
        subject: format!("Your order {number} is on its way"),
        text,
        html: None,
        attachments: Vec::new(),
        headers: Vec::new(),
    };
    let mail = Mail {
        id: MailId::from_bytes((u128::from(number) << 64).to_be_bytes()),
        message_id: format!("<{number:032x}@shop.example>"),
        from: Mailbox { address: "shop@shop.example".to_owned(), name: None },
        created_at: at(),
        message,
    };
    let finished = Finished {
        outcome: AttemptOutcome::Completed,
        error: None,
        output: Some(Json::empty_object()),
        to: RunState::Completed,
        scheduled_at: at(),
        counted: true,
        log: Vec::new(),
        log_dropped: 0,
        bill: None,
    };
    let kinds = [
        EntryKind::MailIntended { key: key.clone(), mail: std::sync::Arc::new(mail) },
        EntryKind::MailSettled { key, status: MailStatus::Captured, reply: None, error: None },
        EntryKind::Finished(Box::new(finished)),
    ];
    let entries = kinds.into_iter().map(|kind| Entry { at: at(), kind }).collect();
    Record::Journal { run: RunId::from_bytes((u128::from(number) << 40).to_be_bytes()), first: 2, entries }
}

fn finishes(first: u64, count: u64) -> Vec<Record> {
    (first..first + count).map(finish).collect()
}

/// An open log, scanned; and how many records it has.
fn open(directory: &Path) -> (SledLog, u64) {
    let mut log = SledLog::open(directory, Durability::Full).expect("opens");
    let records = scan(&mut log);
    (log, records)
}

fn scan(log: &mut SledLog) -> u64 {
    let mut records = 0;
    log.scan(&mut |_, _| records += 1).expect("is whole");
    records
}

fn commits(criterion: &mut Criterion) {
    let mut commits = criterion.benchmark_group("commit");
    for runs in [1, 64, 1_000] {
        let home = tempfile::tempdir().expect("a directory");
        let (mut log, _) = open(&home.path().join("store"));
        let mut next = 0;
        commits.throughput(Throughput::Elements(runs));
        commits.bench_function(format!("{runs} finishes"), |bencher| {
            bencher.iter_batched_ref(
                || {
                    next += runs;
                    finishes(next, runs)
                },
                |group| {
                    log.append(group).expect("appends");
                    log.sync().expect("syncs");
                },
                BatchSize::PerIteration,
            );
        });
    }
    commits.finish();
}

fn starts(criterion: &mut Criterion) {
    const RECORDS: u64 = 100_000;
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let (mut log, _) = open(&directory);
    for first in (0..RECORDS).step_by(1_000) {
        log.append(&finishes(first, 1_000)).expect("appends");
    }
    log.sync().expect("syncs");
    drop(log);
    let (mut log, records) = open(&directory);
    assert_eq!(records, RECORDS);
    let mut starts = criterion.benchmark_group("start");
    starts.throughput(Throughput::Elements(RECORDS)).sample_size(10);
    starts.bench_function(format!("scan of {RECORDS} records"), |bencher| bencher.iter(|| scan(&mut log)));
    starts.finish();
}

criterion_group!(benches, commits, starts);
criterion_main!(benches);
