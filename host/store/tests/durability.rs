//! Nothing is acknowledged before it is durable, and what is acknowledged is never lost.
//! The log loses what was not synced, as a power cut does, or fails when told to: no disk is needed for that.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};

use jobmill_core::journal::{Entry, EntryKind};
use jobmill_core::{Json, RunId, Timestamp, Version};
use jobmill_store::conformance::{Subject, check, observe, play};
use jobmill_store::{
    Enqueued, Log, LogError, LogReader, LogStore, MemoryLog, NewRun, Query, Record, Room, RunFilter, Store, StoreError,
};

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
        max_attempts: 2,
        scheduled_at: now(),
        tags: Vec::new(),
        unique_key: None,
        idempotency_key: None,
        request_digest: None,
        rerun_of: None,
    }
}

fn open(log: &MemoryLog) -> LogStore {
    LogStore::open(log.clone()).expect("opens")
}

async fn runs(store: &LogStore) -> usize {
    store.runs(&RunFilter::default(), None, 1_000, now()).await.expect("reads").items.len()
}

/// A log whose syncs wait for a word, or for its sender to go, which fails them.
struct Gated {
    log: MemoryLog,
    waiting: Sender<()>,
    word: Receiver<()>,
}

/// The other side: hears of each sync, and lets it go on.
struct Gate {
    waiting: Receiver<()>,
    word: Sender<()>,
}

impl Gated {
    fn over(log: &MemoryLog) -> (Self, Gate) {
        let ((waiting, heard), (word, said)) = (channel(), channel());
        (Self { log: log.clone(), waiting, word: said }, Gate { waiting: heard, word })
    }
}

impl Gate {
    /// Returns once a sync waits.
    fn await_sync(&self) {
        self.waiting.recv().expect("a sync comes");
    }

    fn let_go(&self) {
        self.word.send(()).expect("a sync waits");
    }
}

impl Log for Gated {
    fn reader(&self) -> Arc<dyn LogReader> {
        self.log.reader()
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Record)) -> Result<(), LogError> {
        self.log.scan(visit)
    }

    fn append(&mut self, command: &[Record]) -> Result<(), LogError> {
        self.log.append(command)
    }

    fn sync(&mut self) -> Result<(), LogError> {
        // Whoever asks may be gone by now.
        let _ = self.waiting.send(());
        self.word.recv().map_err(|_| LogError::Io("the power is gone".to_owned()))?;
        self.log.sync()
    }
}

/// Lets a call go as far as it gets: its command is then with the committer.
fn begun<T>(call: impl Future<Output = T>) -> Pin<Box<impl Future<Output = T>>> {
    let mut call = Box::pin(call);
    assert!(is_pending(&mut call), "answered before it was durable");
    call
}

fn is_pending<T>(call: &mut Pin<Box<impl Future<Output = T>>>) -> bool {
    matches!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}

#[tokio::test]
async fn nothing_is_answered_or_shown_before_the_sync_returned() {
    let log = MemoryLog::new();
    let (gated, gate) = Gated::over(&log);
    let store = LogStore::open(gated).expect("opens");
    let mut enqueue = begun(store.enqueue(vec![new_run(1)], now()));
    gate.await_sync();
    assert!(is_pending(&mut enqueue));
    assert_eq!(store.run(new_run(1).id).await, Ok(None));
    assert_eq!((runs(&store).await, store.next_due(Timestamp::default()).await), (0, Ok(None)));
    gate.let_go();
    assert!(matches!(enqueue.await.as_deref(), Ok([Enqueued::Created(_)])));
    assert_eq!(runs(&store).await, 1);
}

#[tokio::test]
async fn whatever_waits_shares_a_sync() {
    let log = MemoryLog::new();
    let (gated, gate) = Gated::over(&log);
    let store = LogStore::open(gated).expect("opens");
    let first = begun(store.enqueue(vec![new_run(0)], now()));
    gate.await_sync();
    let rest: Vec<_> = (1..=100).map(|number| begun(store.enqueue(vec![new_run(number)], now()))).collect();
    gate.let_go();
    gate.await_sync();
    gate.let_go();
    for enqueue in std::iter::once(first).chain(rest) {
        assert!(matches!(enqueue.await.as_deref(), Ok([Enqueued::Created(_)])));
    }
    assert_eq!((runs(&store).await, log.syncs()), (101, 2));
}

#[tokio::test]
async fn a_command_that_was_not_synced_is_lost_whole() {
    let log = MemoryLog::new();
    open(&log).enqueue(vec![new_run(1)], now()).await.expect("enqueues");
    let (gated, gate) = Gated::over(&log);
    let store = LogStore::open(gated).expect("opens");
    let lost = begun(store.enqueue(vec![new_run(2), new_run(3), new_run(4)], now()));
    gate.await_sync();
    log.crash();
    drop(gate);
    assert!(matches!(lost.await, Err(StoreError::Failed(_))));
    assert_eq!(runs(&open(&log)).await, 1);
}

#[tokio::test]
async fn a_command_whose_answer_was_lost_may_be_there_and_is_found_by_its_id() {
    let log = MemoryLog::new();
    let store = open(&log);
    let mut enqueue = Box::pin(store.enqueue(vec![new_run(1)], now()));
    let _ = is_pending(&mut enqueue);
    drop(enqueue);
    let again = store.enqueue(vec![new_run(1)], now()).await.expect("enqueues");
    assert!(matches!(again.as_slice(), [Enqueued::Existing(head)] if head.id == new_run(1).id));
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_after_any_command() {
    for commands in (0..300).step_by(7) {
        let log = MemoryLog::new();
        let subject = Subject::new(open(&log), ());
        let (_, end) = play(&subject, commands, usize::try_from(commands).expect("few")).await;
        let before = observe(subject.store(), end).await;
        log.crash();
        let reopened = open(&log);
        assert_eq!(observe(&reopened, end).await, before, "after {commands} commands");
        check(&reopened, end).await;
    }
}

#[tokio::test]
async fn a_failed_append_fails_everybody_and_nothing_is_applied() {
    let log = MemoryLog::new();
    let store = open(&log);
    store.enqueue(vec![new_run(1)], now()).await.expect("enqueues");
    log.fail_appends(true);
    refuses_everything(&store).await;
    log.fail_appends(false);
    refuses_everything(&store).await;
    let reopened = open(&log);
    assert_eq!(runs(&reopened).await, 1);
    reopened.enqueue(vec![new_run(2)], now()).await.expect("takes work again");
}

#[tokio::test]
async fn a_failed_sync_is_never_tried_again() {
    let log = MemoryLog::new();
    let store = open(&log);
    store.enqueue(vec![new_run(1)], now()).await.expect("enqueues");
    log.fail_syncs(true);
    refuses_everything(&store).await;
    log.fail_syncs(false);
    let syncs = log.syncs();
    refuses_everything(&store).await;
    assert_eq!(log.syncs(), syncs);
}

/// Every command is refused, answers about what is durable go on, and the one run is as it was.
async fn refuses_everything(store: &LogStore) {
    let failed = |error: StoreError| assert!(matches!(error, StoreError::Failed(_)), "{error}");
    let run = new_run(1).id;
    let room = Room { permits: 1, jobs: vec![(new_run(1).job, Version::of(b"1"))] };
    failed(store.enqueue(vec![new_run(2)], now()).await.expect_err("no enqueue"));
    failed(store.enqueue(vec![new_run(1)], now()).await.expect_err("no enqueue that would write nothing"));
    failed(store.claim(room, now()).await.expect_err("no claim"));
    failed(store.cancel(run, "no".to_owned(), now()).await.expect_err("no cancel"));
    failed(store.rescue(now()).await.expect_err("no rescue"));
    failed(store.clear_mail().await.expect_err("no clearing"));
    let record = store.run(run).await.expect("reads").expect("is there");
    assert_eq!((record.journal.len(), runs(store).await), (1, 1));
}

#[tokio::test]
async fn a_failed_commit_fails_all_that_share_it() {
    let log = MemoryLog::new();
    let (gated, gate) = Gated::over(&log);
    let store = LogStore::open(gated).expect("opens");
    let first = begun(store.enqueue(vec![new_run(1)], now()));
    gate.await_sync();
    let second = begun(store.enqueue(vec![new_run(2)], now()));
    let third = begun(store.enqueue(vec![new_run(3)], now()));
    drop(gate);
    for enqueue in [first, second, third] {
        assert!(matches!(enqueue.await, Err(StoreError::Failed(_))));
    }
    assert_eq!(runs(&store).await, 0);
}

#[tokio::test]
async fn a_closed_store_has_committed_what_came_before_and_takes_nothing_more() {
    let log = MemoryLog::new();
    let (gated, gate) = Gated::over(&log);
    let store = LogStore::open(gated).expect("opens");
    let first = begun(store.enqueue(vec![new_run(1)], now()));
    gate.await_sync();
    let second = begun(store.enqueue(vec![new_run(2)], now()));
    let closed = begun(store.close());
    let late = begun(store.enqueue(vec![new_run(3)], now()));
    gate.let_go();
    gate.await_sync();
    gate.let_go();
    assert!(first.await.is_ok() && second.await.is_ok());
    assert_eq!(closed.await, Ok(()));
    assert_eq!(late.await, Err(StoreError::Closed));
    assert_eq!(store.enqueue(vec![new_run(4)], now()).await, Err(StoreError::Closed));
    assert_eq!(runs(&open(&log)).await, 2);
}

#[tokio::test]
async fn a_journal_without_its_beginning_is_not_opened() {
    let mut log = MemoryLog::new();
    let run = new_run(1).id;
    let entries = vec![Entry { at: now(), kind: EntryKind::CancelRequested { reason: "no".to_owned() } }];
    log.append(&[Record::Journal { run, first: 0, entries }]).expect("appends");
    let Err(StoreError::Damaged(text)) = LogStore::open(log).map(drop) else { panic!("opened") };
    assert!(text.contains(&run.to_string()), "{text}");
}
