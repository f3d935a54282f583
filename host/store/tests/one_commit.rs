//! Commands that meet in one commit: each is decided as if the others had come before it or after it.
//! Commits are made by hand here, so that they do meet.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::FutureExt as _;
use jobmill_core::audit::AuditEntry;
use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::journal::{EntryKind, EventReference};
use jobmill_core::suppression::{Suppression, SuppressionSource};
use jobmill_core::{
    AuditId, Backoff, DeliveryId, EventKey, Json, Outcome, RunId, RunState, Timestamp, Version, transition,
};
use jobmill_store::{
    AuditFilter, Claimed, Committer, EventFilter, Forget, JobRules, LeaseReference, LogStore, MemoryLog, NewDelivery,
    NewEvent, NewRun, Query as _, QueueChange, RecordError, Room, Rules, RunFilter, RunFlow, Store as _, StoreError,
    WaitingBounds,
};

const ADA: &str = "ada@example.com";

fn now() -> Timestamp {
    Timestamp::from_millis(1_000)
}

fn new_run(number: u8) -> NewRun {
    NewRun {
        id: RunId::from_bytes([number; 16]),
        job: "welcome".parse().expect("a job id"),
        queue: "default".to_owned(),
        priority: 5,
        payload: Json::empty_object(),
        max_attempts: 1,
        scheduled_at: now(),
        tags: Vec::new(),
        unique_key: None,
        idempotency_key: None,
        request_digest: None,
        rerun_of: None,
        flow: RunFlow::default(),
    }
}

/// A run that is taken only while none of its job waits.
fn alone(number: u8) -> NewRun {
    let flow = RunFlow { waiting: WaitingBounds { of_job: Some(1), in_all: None }, ..RunFlow::default() };
    NewRun { flow, ..new_run(number) }
}

/// An event with this run.
fn new_event(id: &str, run: NewRun) -> NewEvent {
    let key = EventKey::from_bytes([run.id.to_bytes()[0]; 16]);
    let reference = EventReference { key, id: id.parse().expect("an event id"), name: "greet".into(), ts: now() };
    let (id_window, data) = (Duration::from_mins(1), run.payload.clone());
    NewEvent { reference, id_window, data, runs: vec![run], cancels: Vec::new() }
}

fn new_delivery(number: u8, sender_id: &str) -> NewDelivery {
    let delivery = Delivery {
        id: DeliveryId::from_bytes([number; 16]),
        endpoint: "stripe".to_owned(),
        sender_id: sender_id.to_owned(),
        kind: "charge.refunded".to_owned(),
        received_at: now(),
        body: format!("{{\"email\":\"{ADA}\"}}"),
        outcome: DeliveryOutcome::Ignored,
        replays: 0,
    };
    NewDelivery { delivery, event: None, suppressions: Vec::new(), window: Duration::from_mins(1), replay: false }
}

fn stopped() -> Suppression {
    Suppression::new(ADA, None, SuppressionSource::Webhook("stripe".to_owned()), now()).expect("an address")
}

struct ByHand {
    store: LogStore,
    committer: Committer,
}

/// A call whose command waits for a commit.
fn begun<'call, T>(call: impl Future<Output = T> + Send + 'call) -> Pin<Box<dyn Future<Output = T> + Send + 'call>> {
    let mut call: Pin<Box<dyn Future<Output = T> + Send + 'call>> = Box::pin(call);
    assert!(polled(&mut call).is_pending(), "nothing is answered before a commit");
    call
}

fn polled<T>(call: &mut Pin<Box<dyn Future<Output = T> + Send + '_>>) -> Poll<T> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn answer<T>(mut call: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> T {
    match polled(&mut call) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it was not decided"),
    }
}

impl ByHand {
    fn open() -> Self {
        let (store, committer) = LogStore::by_hand(MemoryLog::new()).expect("opens");
        Self { store, committer }
    }

    /// A run under way.
    fn running(&mut self, number: u8) -> Claimed {
        let enqueued = begun(self.store.enqueue(vec![new_run(number)], now()));
        self.committer.step();
        answer(enqueued).expect("enqueues");
        let rules = JobRules::new(Version::of(b"1"));
        let jobs = [("welcome".parse().expect("a job id"), rules)].into();
        let room = Room { permits: 1, rules: Arc::new(Rules { jobs, ..Rules::default() }) };
        let mut claim = self.store.claim(room, now()).now_or_never().expect("needs no commit").expect("claims");
        claim.runs.pop().expect("a run is due")
    }

    fn counts(&self) -> (usize, usize) {
        let runs = self.store.runs(&RunFilter::default(), None, 100, now()).now_or_never().expect("waits for nothing");
        let events = self.store.events(&EventFilter::default(), None, 100).now_or_never().expect("waits for nothing");
        (runs.expect("reads").items.len(), events.expect("reads").items.len())
    }
}

fn end_of(claimed: &Claimed) -> Vec<EntryKind> {
    let outcome = Outcome::Completed { output: None };
    let finished = transition::finish(&claimed.head, outcome, &Backoff::default(), now(), 0.0).expect("runs");
    vec![EntryKind::Finished(Box::new(finished))]
}

#[test]
fn a_delivery_and_its_repeat_are_one() {
    let mut hand = ByHand::open();
    let with = |number, event| NewDelivery { event: Some(event), ..new_delivery(number, "evt_1") };
    let first = begun(hand.store.receive(with(1, new_event("order-1", new_run(1))), now()));
    let again = begun(hand.store.receive(with(2, new_event("order-2", new_run(2))), now()));
    hand.committer.step();
    let first = answer(first).expect("takes in");
    hand.committer.step();
    let again = answer(again).expect("takes in");
    assert_eq!((first.is_repeat, again.is_repeat), (false, true));
    assert_eq!((again.id, again.runs), (first.id, first.runs));
    assert_eq!(hand.counts(), (1, 1));
}

#[test]
fn a_delivery_and_a_publisher_of_the_same_event_start_one_run() {
    let mut hand = ByHand::open();
    let published = begun(hand.store.publish(vec![new_event("order-1", new_run(1))], now()));
    let event = Some(new_event("order-1", new_run(2)));
    let received = begun(hand.store.receive(NewDelivery { event, ..new_delivery(1, "evt_1") }, now()));
    hand.committer.step();
    hand.committer.step();
    let (published, received) = (answer(published).expect("publishes"), answer(received).expect("takes in"));
    assert_eq!((&published[0].runs, hand.counts()), (&received.runs, (1, 1)));
    let delivery = hand.store.delivery(received.id).now_or_never().expect("reads").expect("reads").expect("is there");
    assert_eq!(delivery.outcome, DeliveryOutcome::Published { event: published[0].key });
}

#[test]
fn an_operator_and_a_delivery_that_stop_mail_to_one_address_come_one_after_the_other() {
    let mut hand = ByHand::open();
    let mut new = new_delivery(1, "evt_1");
    new.suppressions = vec![stopped(), stopped()];
    let said = SuppressionSource::Operator("ops".to_owned());
    let by_hand = begun(hand.store.suppress(Suppression { source: said.clone(), ..stopped() }));
    let received = begun(hand.store.receive(new, now()));
    hand.committer.step();
    hand.committer.step();
    assert!(answer(by_hand).expect("serves").is_new);
    assert!(!answer(received).expect("takes in").is_repeat);
    let kept = hand.store.suppression(ADA).now_or_never().expect("reads").expect("reads").expect("is there");
    assert_eq!(kept.source, said);
}

#[test]
fn a_replay_that_meets_what_forgets_its_delivery_brings_nothing_back() {
    let mut hand = ByHand::open();
    let received = begun(hand.store.receive(new_delivery(1, "evt_1"), now()));
    hand.committer.step();
    answer(received).expect("takes in");
    let what = Forget { email: Some(ADA.to_owned()), value: None };
    let mut forgotten = begun(hand.store.forget(what, false));
    let event = Some(new_event("order-1", new_run(1)));
    let replay = begun(hand.store.receive(NewDelivery { event, replay: true, ..new_delivery(1, "evt_1") }, now()));
    let mut answered = None;
    for _ in 0..9 {
        hand.committer.step();
        if let (Poll::Ready(answer), None) = (polled(&mut forgotten), &answered) {
            answered = Some(answer);
            break;
        }
    }
    assert_eq!(answered.expect("is answered").expect("forgets").deliveries, 1);
    let replayed = answer(replay);
    let delivery = hand.store.delivery(DeliveryId::from_bytes([1; 16])).now_or_never().expect("reads");
    assert_eq!(delivery, Ok(None), "{replayed:?}");
}

#[test]
fn an_end_that_is_not_taken_keeps_no_room_and_tells_nothing() {
    let mut hand = ByHand::open();
    let claimed = hand.running(1);
    let lost = LeaseReference { token: claimed.head.lease + 1, ..claimed.lease() };
    let told = vec![new_event("told", alone(2))];
    let late = begun(hand.store.finish(lost, end_of(&claimed), told, now()));
    let enqueued = begun(hand.store.enqueue(vec![alone(3)], now()));
    hand.committer.step();
    assert_eq!(answer(late), Err(RecordError::LeaseLost(claimed.head.id)));
    assert!(answer(enqueued).is_ok());
    assert_eq!(hand.counts(), (2, 0));
}

#[test]
fn an_end_and_a_cancel_of_its_run_are_told_as_they_come() {
    let mut hand = ByHand::open();
    let claimed = hand.running(1);
    let run = claimed.head.id;
    let cancelled = begun(hand.store.cancel(run, "not needed".to_owned(), now()));
    let told = vec![new_event("told", new_run(2))];
    let ended = begun(hand.store.finish(claimed.lease(), end_of(&claimed), told, now()));
    hand.committer.step();
    assert!(answer(cancelled).expect("cancels").expect("is there").is_ok());
    assert_eq!(hand.counts(), (1, 0), "the end waits for the next commit, and what tells of it with it");
    hand.committer.step();
    assert_eq!(answer(ended).map(|head| head.state), Ok(RunState::Completed));
    assert_eq!(hand.counts(), (2, 1));
}

#[test]
fn an_end_that_is_told_to_a_crowded_job_is_taken_and_the_rest_of_the_commit_with_it() {
    let mut hand = ByHand::open();
    let claimed = hand.running(1);
    let waiting = begun(hand.store.enqueue(vec![alone(2)], now()));
    let told = vec![new_event("told", alone(3))];
    let ended = begun(hand.store.finish(claimed.lease(), end_of(&claimed), told, now()));
    let other = begun(hand.store.enqueue(vec![alone(4)], now()));
    hand.committer.step();
    assert!(answer(waiting).is_ok());
    assert_eq!(answer(ended).map(|head| head.state), Ok(RunState::Completed));
    assert!(matches!(answer(other), Err(StoreError::Crowded { limit: 1, .. })));
    assert_eq!(hand.counts(), (2, 0));
}

fn pausing() -> AuditEntry {
    AuditEntry {
        id: AuditId::from_bytes([1; 16]),
        at: now(),
        by: None,
        action: "queues pause".to_owned(),
        target: Some("default".to_owned()),
        detail: None,
        outcome: None,
    }
}

/// Pauses a queue as an operator does, with the entry handed over before, and cuts the power after so many commits.
/// Answers whether the queue is paused then, and whether the entry is there.
fn paused_until_a_power_cut(commits: usize, is_put_off: bool) -> (bool, bool) {
    let log = MemoryLog::new();
    let (store, mut committer) = LogStore::by_hand(log.clone()).expect("opens");
    let limit = QueueChange { concurrency: Some(Some(1)), ..QueueChange::default() };
    // A change of the same queue puts the pause off to the next commit.
    let limited = is_put_off.then(|| begun(store.control_queue("default".to_owned(), limit, now())));
    let _queued = store.put_audit(pausing()).now_or_never().expect("waits for no commit").expect("takes");
    let pause = QueueChange { paused: Some(Some("ada".to_owned())), ..QueueChange::default() };
    let paused = begun(store.control_queue("default".to_owned(), pause, now()));
    for _ in 0..commits {
        committer.step();
    }
    log.crash();
    drop((limited, paused));
    drop((store, committer));
    let (store, _committer) = LogStore::by_hand(log).expect("opens");
    let queues = store.queues(now()).now_or_never().expect("waits for nothing").expect("reads");
    let page = store.audit(&AuditFilter::default(), None, 10).now_or_never().expect("waits for nothing");
    (queues.iter().any(|queue| queue.paused.is_some()), page.expect("reads").items == [pausing()])
}

#[test]
fn an_action_becomes_durable_with_its_entry_or_after_it() {
    for (commits, is_put_off, expected) in [
        (0, false, (false, false)),
        (1, false, (true, true)),
        (0, true, (false, false)),
        (1, true, (false, true)),
        (2, true, (true, true)),
    ] {
        assert_eq!(paused_until_a_power_cut(commits, is_put_off), expected, "{commits} commits, put off: {is_put_off}");
    }
}

#[test]
fn an_entry_that_met_a_full_disk_is_taken_once_there_is_room() {
    let log = MemoryLog::new();
    let (store, mut committer) = LogStore::by_hand(log.clone()).expect("opens");
    log.fill(true);
    let queued = store.put_audit(pausing()).now_or_never().expect("waits for no commit").expect("takes");
    committer.step();
    let refused = queued.durable().now_or_never().expect("is answered");
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    log.fill(false);
    let queued = store.put_audit(pausing()).now_or_never().expect("waits for no commit").expect("takes");
    committer.step();
    assert_eq!(queued.durable().now_or_never(), Some(Ok(())), "handed over again, once there is room");
}
