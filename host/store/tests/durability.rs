//! Nothing is acknowledged before it is durable, and what is acknowledged is never lost.
//! The log loses what was not synced, as a power cut does, or fails when told to: no disk is needed for that.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jobmill_core::journal::{Entry, EntryKind};
use jobmill_core::{Backoff, Json, Outcome, RunId, RunState, Timestamp, Version, transition};
use jobmill_store::conformance::{Subject, check, observe, play};
use jobmill_store::{
    Committer, Enqueued, JobRules, Kept, Log, LogError, LogReader, LogStore, MemoryLog, NewRun, Notes, Place, Query,
    Record, RecordError, Retention, Room, Rules, RunFilter, RunFlow, Space, Store, StoreError,
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
        flow: RunFlow::default(),
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

/// Opens a gated log, once.
fn open_gated(gated: Gated) -> LogStore {
    let mut gated = Some(gated);
    LogStore::open(move || gated.take().ok_or_else(|| LogError::Io("is not opened again".to_owned()))).expect("opens")
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

    fn notes(&self) -> Arc<dyn Notes> {
        self.log.notes()
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Place, Record)) -> Result<(), LogError> {
        self.log.scan(visit)
    }

    fn append(&mut self, group: &[Record]) -> Result<Vec<Place>, LogError> {
        self.log.append(group)
    }

    fn release(&mut self, block: u64) -> Result<(), LogError> {
        self.log.release(block)
    }

    fn space(&self) -> Result<Space, LogError> {
        self.log.space()
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
    let store = open_gated(gated);
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
    let store = open_gated(gated);
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
    let store = open_gated(gated);
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
        let (log, opened) = (log.clone(), log);
        let subject = Subject::new(move || open(&opened), ());
        let (_, end) = play(&subject, commands, usize::try_from(commands).expect("few")).await;
        let before = observe(subject.store(), end).await;
        // The last claims are noted, and not in a group yet.
        log.crash_keeping(Kept { notes: true, ..Kept::default() });
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
    failed(store.enqueue(vec![new_run(2)], now()).await.expect_err("no enqueue"));
    failed(store.enqueue(vec![new_run(1)], now()).await.expect_err("no enqueue that would write nothing"));
    failed(store.claim(room(), now()).await.expect_err("no claim"));
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
    let store = open_gated(gated);
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
    let store = open_gated(gated);
    let first = begun(store.enqueue(vec![new_run(1)], now()));
    gate.await_sync();
    let second = begun(store.enqueue(vec![new_run(2)], now()));
    let closed = begun(store.close());
    assert_eq!(store.enqueue(vec![new_run(3)], now()).await, Err(StoreError::Closed));
    gate.let_go();
    gate.await_sync();
    gate.let_go();
    assert!(first.await.is_ok() && second.await.is_ok());
    assert_eq!(closed.await, Ok(()));
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

/// Commits what was begun, by hand.
fn commit(committer: &mut Committer) {
    assert!(!committer.step());
}

fn answer<T>(mut call: Pin<Box<impl Future<Output = T>>>) -> T {
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("is answered"),
    }
}

fn room() -> Room {
    let jobs = [(new_run(1).job, JobRules::new(Version::of(b"1")))].into();
    Room { permits: 10, rules: Arc::new(Rules { jobs, ..Rules::default() }) }
}

#[test]
fn a_claim_needs_no_sync_and_outlives_the_process_but_not_the_machine() {
    for notes in [true, false] {
        let log = MemoryLog::new();
        let (store, mut committer) = LogStore::by_hand(log.clone()).expect("opens");
        let enqueue = begun(store.enqueue(vec![new_run(1)], now()));
        commit(&mut committer);
        answer(enqueue).expect("enqueues");
        let syncs = log.syncs();
        let claimed = answer(Box::pin(store.claim(room(), now()))).expect("claims").runs;
        assert_eq!((claimed.len(), log.syncs()), (1, syncs));
        log.crash_keeping(Kept { groups: 0, notes });
        let (store, mut committer) = LogStore::by_hand(log.clone()).expect("opens");
        let rescue = begun(store.rescue(now()));
        commit(&mut committer);
        assert_eq!(answer(rescue).expect("rescues").len(), usize::from(notes));
        let record = answer(Box::pin(store.run(new_run(1).id))).expect("reads").expect("is there");
        assert_eq!((record.run.head.attempt, record.run.attempts.len()), (u32::from(notes), usize::from(notes)));
    }
}

#[test]
fn a_start_goes_along_with_the_end_of_its_attempt() {
    let log = MemoryLog::new();
    let (store, mut committer) = LogStore::by_hand(log.clone()).expect("opens");
    let enqueue = begun(store.enqueue(vec![new_run(1)], now()));
    commit(&mut committer);
    answer(enqueue).expect("enqueues");
    let claimed = answer(Box::pin(store.claim(room(), now()))).expect("claims").runs.remove(0);
    let outcome = Outcome::Completed { output: None };
    let finished = transition::finish(&claimed.head, outcome, &Backoff::default(), now(), 0.0).expect("runs");
    let syncs = log.syncs();
    let finish = begun(store.finish(claimed.lease(), vec![EntryKind::Finished(Box::new(finished))], Vec::new(), now()));
    commit(&mut committer);
    assert_eq!(answer(finish).expect("finishes").state, RunState::Completed);
    assert_eq!(log.syncs(), syncs + 1);
    log.crash();
    let (store, _committer) = LogStore::by_hand(log).expect("opens");
    let record = answer(Box::pin(store.run(new_run(1).id))).expect("reads").expect("is there");
    assert_eq!((record.run.head.state, record.journal.len()), (RunState::Completed, 3));
}

#[test]
fn a_disk_without_room_refuses_new_work_and_goes_on_once_there_is_some() {
    let log = MemoryLog::new();
    let (store, mut committer) = LogStore::by_hand(log.clone()).expect("opens");
    let enqueue = begun(store.enqueue(vec![new_run(1)], now()));
    commit(&mut committer);
    answer(enqueue).expect("enqueues");
    let claimed = answer(Box::pin(store.claim(room(), now()))).expect("claims").runs.remove(0);
    log.fill(true);
    let refused = begun(store.enqueue(vec![new_run(2)], now()));
    let ended = begun(store.record(claimed.lease(), vec![step()], now()));
    commit(&mut committer);
    assert!(matches!(answer(refused), Err(StoreError::Full(_))));
    assert!(matches!(answer(ended), Err(RecordError::Store(StoreError::Unavailable(_)))));
    assert!(matches!(answer(Box::pin(store.claim(room(), now()))), Err(StoreError::Unavailable(_))));
    commit(&mut committer);
    assert!(matches!(answer(Box::pin(store.run(new_run(1).id))), Err(StoreError::Unavailable(_))));
    log.fill(false);
    // The attempt is still under way, and its lease holds.
    let ended = begun(store.record(claimed.lease(), vec![step()], now()));
    let enqueue = begun(store.enqueue(vec![new_run(2)], now()));
    commit(&mut committer);
    assert_eq!(answer(ended), Ok(()));
    answer(enqueue).expect("takes work again");
    let record = answer(Box::pin(store.run(new_run(1).id))).expect("reads").expect("is there");
    assert_eq!((record.run.head.state, record.journal.len()), (RunState::Running, 3));
}

fn step() -> EntryKind {
    EntryKind::StepCompleted { name: "a".to_owned(), value: Json::empty_object() }
}

/// A store with runs that completed, and others that wait.
async fn aged(log: &MemoryLog, completed: u32, waiting: u32) -> LogStore {
    let store = open(log);
    let run = |number: u32| {
        let mut id = [0; 16];
        id[12..].copy_from_slice(&number.to_be_bytes());
        NewRun { id: RunId::from_bytes(id), ..new_run(0) }
    };
    for first in (0..completed).step_by(1_000) {
        store.enqueue((first..first + 1_000).map(run).collect(), now()).await.expect("enqueues");
        let room = Room { permits: 1_000, ..room() };
        let claimed = store.claim(room, now()).await.expect("claims").runs;
        let ends = claimed.into_iter().map(|claimed| {
            let outcome = Outcome::Completed { output: None };
            let finished = transition::finish(&claimed.head, outcome, &Backoff::default(), now(), 0.0).expect("runs");
            let store = &store;
            async move {
                let entries = vec![EntryKind::Finished(Box::new(finished))];
                store.finish(claimed.lease(), entries, Vec::new(), now()).await.expect("finishes")
            }
        });
        futures::future::join_all(ends).await;
    }
    store.enqueue((completed..completed + waiting).map(run).collect(), now()).await.expect("enqueues");
    store
}

#[tokio::test]
async fn what_is_pruned_is_gone_for_good_and_its_space_is_given_back() {
    let log = MemoryLog::new();
    let store = aged(&log, 20_000, 10).await;
    let day = Duration::from_hours(24);
    let retention = Retention { completed: Some(day * 2), ..Retention::default() };
    assert_eq!(store.prune(retention, now().after(day)).await.expect("prunes").runs, 0);
    let kept = log.records();
    let mut pruned = 0;
    loop {
        let step = store.prune(retention, now().after(day * 3)).await.expect("prunes");
        pruned += step.runs;
        if !step.more {
            break;
        }
    }
    assert_eq!((pruned, runs(&store).await), (20_000, 10));
    drop(store);
    // Giving back goes on where the last process stopped.
    let (store, mut committer) = LogStore::by_hand(log.clone()).expect("opens");
    (0..1_000).for_each(|_| commit(&mut committer));
    assert!(log.records() < kept / 2, "{} of {kept} records are left", log.records());
    drop(store);
    let reopened = open(&log);
    let left = reopened.runs(&RunFilter::default(), None, 1_000, now()).await.expect("reads").items;
    assert!(left.len() == 10 && left.iter().all(|run| run.head.state == RunState::Available));
    assert_eq!(reopened.counts(None, now()).await.expect("counts").of(RunState::Completed), 0);
}

#[tokio::test]
async fn what_is_exported_can_be_imported() {
    let exported = MemoryLog::new();
    let subject = Subject::new(move || open(&exported), ());
    let (_, end) = play(&subject, 3, 250).await;
    let records: Vec<Record> =
        subject.store().export().await.expect("exports").collect::<Result<_, _>>().expect("reads");
    let log = MemoryLog::new();
    let store = open(&log);
    let count = records.len();
    assert_eq!(store.import(records.clone()).await.expect("imports"), count);
    assert_eq!(observe(&store, end).await, observe(subject.store(), end).await);
    // What is there already is left alone: only the mark of cleared mails is written again.
    assert!(store.import(records).await.expect("imports") <= 1);
    drop(store);
    assert_eq!(observe(&open(&log), end).await, observe(subject.store(), end).await);
}
