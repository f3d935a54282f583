//! What the pure core costs a run: its life from enqueue to end, and a journal folded back into a run.
//! It measures no store and no job.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use jobmill_core::journal::{Enqueued, Entry, EntryKind};
use jobmill_core::{Backoff, FailureKind, Json, Outcome, Run, RunHead, RunId, Timestamp, Version, transition};

fn enqueued() -> Entry {
    let enqueued = Enqueued {
        job: "welcome-email".parse().expect("a job id"),
        queue: "default".to_owned(),
        priority: 5,
        payload: Json::parse(r#"{"userId":"u_1","email":"ada@example.com"}"#).expect("a document"),
        max_attempts: 2,
        scheduled_at: Timestamp::from_millis(1_000),
        event: None,
        tags: Vec::new(),
        unique_key: None,
        idempotency_key: None,
        request_digest: None,
        rerun_of: None,
        terms: None,
    };
    Entry { at: Timestamp::from_millis(1_000), kind: EntryKind::Enqueued(Box::new(enqueued)) }
}

fn id() -> RunId {
    RunId::from_bytes([7; 16])
}

fn attempt(head: &RunHead, version: Version, outcome: Outcome, now: Timestamp, journal: &mut Vec<Entry>) -> RunHead {
    let mut head = head.clone();
    let started = transition::claim(&head, version, None, now).expect("is due");
    journal.push(Entry { at: now, kind: started });
    transition::apply(&mut head, &journal[journal.len() - 1]);
    let finished = transition::finish(&head, outcome, &Backoff::default(), now, 0.0).expect("runs");
    journal.push(Entry { at: now, kind: EntryKind::Finished(Box::new(finished)) });
    transition::apply(&mut head, &journal[journal.len() - 1]);
    head
}

/// A run that fails once and then completes.
fn life(first: Entry, version: Version) -> Vec<Entry> {
    let mut journal = vec![first];
    let head = transition::begin(id(), &journal[0]).expect("an enqueue");
    let failed = Outcome::failed(FailureKind::Transient, "the mail server is away");
    let head = attempt(&head, version, failed, Timestamp::from_millis(1_001), &mut journal);
    let later = Timestamp::from_millis(10_000);
    attempt(&head, version, Outcome::Completed { output: None }, later, &mut journal);
    journal
}

fn transitions(criterion: &mut Criterion) {
    let (first, version) = (enqueued(), Version::of(b"component"));
    criterion.bench_function("life of a run with two attempts", |bencher| {
        bencher.iter(|| life(black_box(first.clone()), version));
    });
    let journal = life(first, version);
    criterion.bench_function("fold of its journal", |bencher| {
        bencher.iter(|| Run::fold(id(), black_box(&journal)));
    });
}

criterion_group!(benches, transitions);
criterion_main!(benches);
