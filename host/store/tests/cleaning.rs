//! What is written again to give space back says how things stood before the commit that it is part of.
//! The simulator of the engine found what these tests are about; here each is alone.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::FutureExt as _;
use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::journal::{EntryKind, EventReference};
use jobmill_core::order::{Money, Order, OrderStatus};
use jobmill_core::token::{Scope, SecretDigest, Token};
use jobmill_core::{
    Backoff, DeliveryId, EventKey, Json, Outcome, RunId, RunState, Timestamp, TokenId, Version, transition,
};
use jobmill_store::{
    Claimed, Committer, JobRules, LogStore, MemoryLog, NewDelivery, NewEvent, NewRun, Query as _, Retention, Room,
    Rules, RunFlow, Store as _,
};

/// Records that a log has when it is cleaned for the first time.
const CLEANED_FROM: usize = 11;

fn now() -> Timestamp {
    Timestamp::from_millis(1_000)
}

fn order(id: &str, status: OrderStatus) -> Order {
    Order {
        id: id.to_owned(),
        status,
        customer_email: "ada@example.com".to_owned(),
        customer_name: None,
        items: Vec::new(),
        total: Money { minor: 1_250, currency: "EUR".to_owned() },
        created_at: now(),
        fulfilled_at: None,
        refunded_at: None,
        metadata: Json::empty_object(),
        revision: 0,
    }
}

fn new_run() -> NewRun {
    NewRun {
        id: RunId::from_bytes([1; 16]),
        job: "welcome".parse().expect("a job id"),
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
        flow: RunFlow::default(),
    }
}

/// A store whose commits are made by hand.
struct ByHand {
    store: LogStore,
    committer: Committer,
}

impl ByHand {
    fn open(log: &MemoryLog) -> Self {
        let (store, committer) = LogStore::by_hand(log.clone()).expect("opens");
        Self { store, committer: committer.cleaning_from(CLEANED_FROM) }
    }

    /// The answer to a call that one commit is enough for.
    fn commit<T, E: std::fmt::Debug>(
        &mut self,
        call: impl FnOnce(&LogStore) -> futures::future::BoxFuture<'_, Result<T, E>>,
    ) -> T {
        let mut call = pin!(call(&self.store));
        let mut context = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending(), "nothing is answered before a commit");
        self.committer.step();
        match call.as_mut().poll(&mut context) {
            Poll::Ready(answer) => answer.expect("served"),
            Poll::Pending => panic!("one commit was not enough"),
        }
    }

    fn put(&mut self, id: &str, status: OrderStatus) {
        self.commit(|store| store.put_order(order(id, status)));
    }

    /// Claims the run that waits.
    fn claim(&self) -> Vec<Claimed> {
        let jobs = [(new_run().job, JobRules::new(Version::of(b"1")))].into();
        let room = Room { permits: 1, rules: Arc::new(Rules { jobs, ..Rules::default() }) };
        self.store.claim(room, now()).now_or_never().expect("needs no commit").expect("claims").runs
    }

    /// As many records as are cleaned at the next commit, all but one of which count no more.
    fn litter(&mut self) {
        for _ in 1..CLEANED_FROM {
            self.put("litter", OrderStatus::Pending);
        }
    }
}

#[test]
fn an_order_that_changes_while_its_last_change_is_written_again_keeps_its_change() {
    let log = MemoryLog::new();
    let mut hand = ByHand::open(&log);
    hand.put("order", OrderStatus::Pending);
    hand.litter();
    hand.put("order", OrderStatus::Paid);
    assert!(log.records() < CLEANED_FROM, "the log was not cleaned");
    for store in [hand.store, ByHand::open(&log).store] {
        let kept = store.order("order").now_or_never().expect("reads").expect("readable").expect("there");
        assert_eq!((kept.status, kept.revision), (OrderStatus::Paid, 2));
    }
}

#[test]
fn a_start_that_is_written_with_its_run_written_again_is_kept() {
    let log = MemoryLog::new();
    let mut hand = ByHand::open(&log);
    let new = new_run();
    let run = new.id;
    hand.commit(|store| store.enqueue(vec![new.clone()], now()));
    hand.litter();
    assert_eq!(hand.claim().len(), 1);
    hand.committer.step();
    assert!(log.records() < CLEANED_FROM, "the log was not cleaned");
    log.crash();
    let record = ByHand::open(&log).store.run(run).now_or_never().expect("reads").expect("readable").expect("there");
    let head = record.run.head;
    assert_eq!((head.state, head.attempt, head.lease, record.journal.len()), (RunState::Running, 1, 1, 2));
}

#[test]
fn what_a_run_did_is_counted_once_however_often_it_is_written_again() {
    let log = MemoryLog::new();
    let mut hand = ByHand::open(&log);
    hand.commit(|store| store.enqueue(vec![new_run()], now()));
    for outcome in [Outcome::Interrupted, Outcome::Completed { output: None }] {
        let claimed = hand.claim().pop().expect("it waits");
        let finished = transition::finish(&claimed.head, outcome, &Backoff::default(), now(), 0.0).expect("runs");
        let entries = vec![EntryKind::Finished(Box::new(finished))];
        hand.commit(|store| store.finish(claimed.lease(), entries.clone(), Vec::new(), now()));
    }
    let done = |store: &LogStore| {
        let activity = store.activity(now()).now_or_never().expect("reads").expect("readable");
        (activity.minutes[0].completed, activity.jobs[0].completed, activity.jobs[0].runs.count)
    };
    for _ in 0..3 {
        assert_eq!(done(&hand.store), (1, 1, 1));
        hand.litter();
        hand.put("order", OrderStatus::Paid);
        assert!(log.records() < CLEANED_FROM, "the log was not cleaned");
        assert_eq!(done(&hand.store), (1, 1, 1));
        log.crash();
        hand = ByHand::open(&log);
    }
    assert_eq!(done(&hand.store), (1, 1, 1));
}

#[test]
fn an_event_that_is_pruned_while_it_is_written_again_stays_away() {
    let log = MemoryLog::new();
    let mut hand = ByHand::open(&log);
    let id = "event-1".parse().expect("an event id");
    let reference = EventReference { key: EventKey::first_at(now()), id, name: "greet".into(), ts: now() };
    let event = NewEvent {
        reference: reference.clone(),
        id_window: Duration::from_mins(1),
        data: Json::empty_object(),
        runs: Vec::new(),
        cancels: Vec::new(),
    };
    hand.commit(|store| store.publish(vec![event], now()));
    hand.litter();
    let retention = Retention { completed: Some(Duration::ZERO), ..Retention::default() };
    let later = now().after(Duration::from_hours(48));
    assert_eq!(hand.commit(|store| store.prune(retention, later)).events, 1);
    assert!(log.records() < CLEANED_FROM, "the log was not cleaned");
    for store in [hand.store, ByHand::open(&log).store] {
        let found = store.event(&reference.id).now_or_never().expect("reads").expect("readable");
        assert_eq!(found, None);
    }
}

#[test]
fn what_came_in_by_a_webhook_and_tokens_are_written_again_as_they_were() {
    let log = MemoryLog::new();
    let mut hand = ByHand::open(&log);
    let delivery = Delivery {
        id: DeliveryId::first_at(now()),
        endpoint: "stripe".to_owned(),
        sender_id: "evt_1".to_owned(),
        kind: "charge.refunded".to_owned(),
        received_at: now(),
        body: "{}".to_owned(),
        outcome: DeliveryOutcome::Ignored,
        replays: 0,
    };
    let window = Duration::from_mins(1);
    let new = NewDelivery { delivery: delivery.clone(), event: None, suppressions: Vec::new(), window, replay: false };
    hand.commit(|store| store.receive(new.clone(), now()));
    let token = Token {
        id: TokenId::from_bytes([1; 16]),
        name: "a token".to_owned(),
        scope: Scope::Enqueue,
        digest: SecretDigest([7; 32]),
        created_at: now(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        rate_limit: None,
        max_waiting: None,
    };
    hand.commit(|store| store.put_token(token.clone()));
    hand.litter();
    hand.put("order", OrderStatus::Paid);
    assert!(log.records() < CLEANED_FROM, "the log was not cleaned");
    log.crash();
    for store in [hand.store, ByHand::open(&log).store] {
        let kept = store.delivery(delivery.id).now_or_never().expect("reads").expect("readable");
        assert_eq!(kept.as_ref(), Some(&delivery));
        let tokens = store.tokens().now_or_never().expect("reads").expect("readable");
        assert_eq!(*tokens, *std::slice::from_ref(&token));
    }
    // Pruned while it is written again, it stays away.
    let mut hand = ByHand::open(&log);
    hand.litter();
    let retention = Retention { deliveries: Some(Duration::ZERO), ..Retention::default() };
    let later = now().after(Duration::from_hours(24 * 30));
    assert_eq!(hand.commit(|store| store.prune(retention, later)).deliveries, 1);
    for store in [hand.store, ByHand::open(&log).store] {
        assert_eq!(store.delivery(delivery.id).now_or_never().expect("reads"), Ok(None));
    }
}
