//! What a claim costs while a million runs wait: behind a limit that lets none of them begin, and without one.
//! The log is in memory; what it costs to write is another bench's.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jobmill_core::flow::{Concurrency, FlowKey, Pointer};
use jobmill_core::journal::EntryKind;
use jobmill_core::{Backoff, JobId, Json, Outcome, RunId, Timestamp, Version, transition};
use jobmill_store::{Claimed, Committer, JobRules, LogStore, MemoryLog, NewRun, Room, Rules, RunFlow, Store};

const WAITING: u64 = 1_000_000;
const BATCH: u64 = 10_000;
/// Runs of one claim.
const CLAIMED: usize = 100;

fn now() -> Timestamp {
    Timestamp::from_millis(1_772_355_600_000)
}

fn job() -> JobId {
    "welcome".parse().expect("a job id")
}

fn user() -> Pointer {
    Pointer::try_from("/user".to_owned()).expect("a pointer")
}

/// A store whose commits are made by hand, so that nothing runs beside the claims.
struct Bench {
    store: LogStore,
    committer: Committer,
    rules: Arc<Rules>,
    made: u64,
}

impl Bench {
    /// A store in which a million runs of one user wait, and one is under way.
    fn with(concurrency: Vec<Concurrency>) -> Self {
        let (store, committer) = LogStore::by_hand(MemoryLog::new()).expect("opens");
        let rules = JobRules { concurrency, ..JobRules::new(Version::of(b"1")) };
        let rules = Arc::new(Rules { jobs: [(job(), rules)].into(), ..Rules::default() });
        let mut bench = Self { store, committer, rules, made: 0 };
        for _ in 0..WAITING / BATCH {
            bench.enqueue(BATCH, |_| "ada".to_owned());
        }
        bench.enqueue(1, |_| "ada".to_owned());
        assert_eq!(bench.claim(1).len(), 1);
        bench
    }

    fn enqueue(&mut self, count: u64, user_of: impl Fn(u64) -> String) {
        let run = |number: u64| NewRun {
            id: RunId::from_bytes(u128::from(number).to_be_bytes()),
            job: job(),
            queue: "default".to_owned(),
            priority: 5,
            payload: Json::empty_object(),
            max_attempts: 2,
            scheduled_at: now(),
            tags: Vec::new(),
            unique_key: None,
            idempotency_key: None,
            request_digest: None,
            rerun_of: None,
            flow: RunFlow { keys: vec![FlowKey { pointer: user(), value: user_of(number) }], ..RunFlow::default() },
        };
        let runs = (self.made..self.made + count).map(run).collect();
        self.made += count;
        self.commit(|store| store.enqueue(runs, now()));
    }

    fn claim(&self, permits: usize) -> Vec<Claimed> {
        let room = Room { permits, rules: Arc::clone(&self.rules) };
        self.store.claim(room, now()).now_or_never().expect("needs no commit").expect("claims").runs
    }

    fn complete(&mut self, claimed: &Claimed) {
        let outcome = Outcome::Completed { output: None };
        let finished = transition::finish(&claimed.head, outcome, &Backoff::default(), now(), 0.0).expect("runs");
        let lease = claimed.lease();
        self.commit(|store| store.finish(lease, vec![EntryKind::Finished(Box::new(finished))], Vec::new(), now()));
    }

    fn commit<T, E: std::fmt::Debug>(&mut self, call: impl FnOnce(&LogStore) -> BoxFuture<'_, Result<T, E>>) {
        let mut call = pin!(call(&self.store));
        let mut context = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending(), "nothing is answered before a commit");
        self.committer.step();
        let Poll::Ready(answer) = call.as_mut().poll(&mut context) else { panic!("one commit is enough") };
        answer.expect("served");
    }
}

fn claims(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("claim of 100 runs");
    // Most of the time goes into what is not measured.
    group.sample_size(20).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
    group.throughput(Throughput::Elements(CLAIMED as u64));
    let one_at_once = Concurrency { limit: 1, key: Some(user()) };
    for (name, limits) in
        [("a million wait, none blocked", vec![]), ("a million wait, blocked by one key", vec![one_at_once])]
    {
        let bench = RefCell::new(Bench::with(limits));
        let last: RefCell<Vec<Claimed>> = RefCell::default();
        let prepare = || {
            for claimed in last.take() {
                bench.borrow_mut().complete(&claimed);
            }
            bench.borrow_mut().enqueue(CLAIMED as u64, |number| format!("user {number}"));
        };
        let claim = |()| {
            let claimed = bench.borrow().claim(CLAIMED);
            assert_eq!(last.replace(claimed).len(), 0);
        };
        group.bench_function(name, |bencher| bencher.iter_batched(prepare, claim, BatchSize::PerIteration));
    }
    group.finish();
}

criterion_group!(benches, claims);
criterion_main!(benches);
