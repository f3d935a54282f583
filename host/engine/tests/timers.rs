//! Timers in virtual time: none fires early, none is missed, and none is late while there is room.
//! Scheduler and store are the production ones; the clock goes from one time at which something is to be done to the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use jobmill_core::journal::EntryKind;
use jobmill_core::{JobId, Json, Outcome, RunId, RunState, Timestamp, Version, transition};
use jobmill_engine::scheduler::{Decision, Scheduler, Wake};
use jobmill_store::{
    Claimed, Committer, JobRules, LogStore, MemoryLog, NewRun, Query as _, Room, Rules, RunFlow, Store as _,
};

/// Over which they are spread.
const SPAN: Duration = Duration::from_hours(24);
/// What is enqueued in one commit.
const BATCH: usize = 1_000;
/// Attempts at once.
const ROOM: usize = 512;

fn begin() -> Timestamp {
    Timestamp::from_millis(1_772_355_600_000)
}

fn job() -> JobId {
    "hello".parse().expect("a job id")
}

/// The `number`th run: its id says when it was made, and its number.
fn id(number: usize) -> RunId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&begin().as_millis().to_be_bytes()[2..]);
    bytes[8..].copy_from_slice(&(number as u64).to_be_bytes());
    RunId::from_bytes(bytes)
}

/// Times by chance, always the same, many of them in the same millisecond.
fn due(number: usize) -> Timestamp {
    let spread = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let millis = u64::try_from(SPAN.as_millis()).expect("fits");
    let at = begin().after(Duration::from_millis(spread % millis));
    // A tenth is due on full minutes, as people say times.
    if number.is_multiple_of(10) { Timestamp::from_millis(at.as_millis().next_multiple_of(60_000)) } else { at }
}

struct World {
    store: LogStore,
    committer: Committer,
    scheduler: Scheduler,
    now: Timestamp,
    /// When each run began.
    started: BTreeMap<RunId, Timestamp>,
    latest: Duration,
}

impl World {
    fn enqueue(&mut self, numbers: std::ops::Range<usize>) {
        let runs = numbers.map(|number| NewRun {
            id: id(number),
            job: job(),
            queue: "default".to_owned(),
            priority: 5,
            payload: Json::empty_object(),
            max_attempts: 1,
            scheduled_at: due(number),
            tags: Vec::new(),
            unique_key: None,
            idempotency_key: None,
            request_digest: None,
            rerun_of: None,
            flow: RunFlow::default(),
        });
        let runs = runs.collect();
        let World { store, committer, .. } = self;
        let mut enqueued = Box::pin(store.enqueue(runs, begin()));
        while enqueued.as_mut().now_or_never().is_none() {
            committer.step();
        }
    }

    /// Carries out what the scheduler decides at one time; answers what became known of it.
    fn carry_out(&mut self, decision: Decision) -> Vec<Wake> {
        match decision {
            Decision::Claim(room) => vec![self.claim(room)],
            Decision::Start(runs) => runs.into_iter().flat_map(|run| self.attempt(&run)).collect(),
            other => panic!("nobody asked for {other:?}"),
        }
    }

    fn claim(&mut self, room: Room) -> Wake {
        let claim = self.store.claim(room, self.now).now_or_never().expect("waits for nothing").expect("claims");
        let next_due = self.store.next_due(self.now).now_or_never().expect("waits for nothing").expect("answers");
        Wake::Claimed { runs: claim.runs, next_due, left: claim.left }
    }

    fn attempt(&mut self, run: &Claimed) -> [Wake; 2] {
        let late = self.now.since(run.head.scheduled_at);
        assert!(run.head.scheduled_at <= self.now, "{} began early", run.head.id);
        assert_eq!(self.started.insert(run.head.id, self.now), None, "{} began twice", run.head.id);
        self.latest = self.latest.max(late);
        let lease = run.lease();
        let ended = transition::finish(
            &run.head,
            Outcome::Completed { output: None },
            &jobmill_core::Backoff::default(),
            self.now,
            0.0,
        );
        let ended = EntryKind::Finished(Box::new(ended.expect("it runs")));
        let World { store, committer, now, .. } = self;
        let mut finished = Box::pin(store.finish(lease, vec![ended], Vec::new(), *now));
        // The commit is shared with whatever else waits; one step of the committer takes all of it.
        while finished.as_mut().now_or_never().is_none() {
            committer.step();
        }
        [Wake::Executed(lease), Wake::Recorded(lease)]
    }
}

/// `TIMERS=1000000 cargo test -p jobmill-engine --test timers` is the whole of it.
#[test]
fn no_timer_is_early_or_missed() {
    let count = std::env::var("TIMERS").map_or(100_000, |count| count.parse().expect("a number"));
    let (store, committer) = LogStore::by_hand(MemoryLog::new()).expect("opens");
    let rules = JobRules::new(Version::of(b"hello"));
    let rules = Arc::new(Rules { jobs: BTreeMap::from([(job(), rules)]), queues: BTreeMap::new() });
    let mut world = World {
        store,
        committer,
        scheduler: Scheduler::new(ROOM, Duration::ZERO),
        now: begin(),
        started: BTreeMap::new(),
        latest: Duration::ZERO,
    };
    for first in (0..count).step_by(BATCH) {
        world.enqueue(first..(first + BATCH).min(count));
    }
    let mut wakes = vec![Wake::Catalog(rules)];
    let mut decisions = Vec::new();
    let end = begin().after(SPAN + Duration::from_mins(1));
    while world.now <= end {
        world.scheduler.step(world.now, &mut wakes, &mut decisions);
        if decisions.is_empty() {
            world.now = world.scheduler.wake_at().max(world.now.after(Duration::from_millis(1)));
        }
        for decision in std::mem::take(&mut decisions) {
            wakes.extend(world.carry_out(decision));
        }
    }
    let missed = (0..count).filter(|number| !world.started.contains_key(&id(*number))).count();
    println!("{count} timers, {missed} missed, the latest {:?} late", world.latest);
    assert_eq!(missed, 0);
    assert!(world.latest <= Duration::from_millis(1), "late by {:?} though there was room", world.latest);
    let completed = world.store.counts(None, world.now).now_or_never().expect("waits for nothing").expect("answers");
    assert_eq!(completed.of(RunState::Completed), count);
}
