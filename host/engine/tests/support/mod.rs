//! An engine on a clock that stands still, a store in memory, and a runner that does what a test tells it.
//! Components are text: the first word is the job's id, `name=value` words follow, with `_` for the spaces of a cron. One with
//! the word `slow` is loaded when the test lets it.

#![allow(dead_code, reason = "each test binary uses its part of this module")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jobmill_core::job::{Descriptor, Overrides, Trigger};
use jobmill_core::mail::InDoubt;
use jobmill_core::time::Sleep;
use jobmill_core::{Clock, Entropy, FailureKind, Json, Outcome, RunHead, RunId, RunState, Timestamp};
use jobmill_engine::{
    AttemptContext, Engine, EngineError, EnqueueRequest, Handle, LoadError, Loaded, Loader, Runner, Settings, Stop,
};
use jobmill_store::{Change, LogStore, MemoryLog, Retention, RunRecord, Store};
use tempfile::TempDir;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinHandle;

/// The watchdog of everything that waits.
const WATCHDOG: Duration = Duration::from_secs(20);

/// A clock that moves only when it is told to. It begins far in the future, so that every file is old.
pub(crate) struct ManualClock {
    now: watch::Sender<Timestamp>,
    /// Until when anybody ever slept.
    alarms: watch::Sender<BTreeSet<Timestamp>>,
}

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self { now: watch::channel(Timestamp::from_millis(4_102_444_800_000)).0, alarms: watch::Sender::default() }
    }

    pub(crate) fn advance(&self, span: Duration) {
        self.now.send_modify(|now| *now = now.after(span));
    }

    /// Until somebody sleeps until then, or has.
    pub(crate) async fn until_slept_to(&self, at: Timestamp) {
        let mut alarms = self.alarms.subscribe();
        watchdog(alarms.wait_for(|alarms| alarms.contains(&at))).await.expect("the clock is there");
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> Sleep {
        let mut now = self.now.subscribe();
        self.alarms.send_modify(|alarms| alarms.extend([at]));
        Box::pin(async move {
            // The clock outlives its sleepers in every test.
            let _ = now.wait_for(|now| *now >= at).await;
        })
    }
}

/// Counts, so that every id differs.
pub(crate) struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

type Play =
    Box<dyn FnOnce(AttemptContext, Stop) -> futures::future::BoxFuture<'static, (Outcome, AttemptContext)> + Send>;

/// What attempts do, in order; without a line left, an attempt completes.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<VecDeque<Play>>>);

impl Script {
    pub(crate) fn outcome(&self, outcome: Outcome) {
        self.play(Box::new(move |context, _| Box::pin(async move { (outcome, context) })));
    }

    pub(crate) fn fail(&self, kind: FailureKind) {
        self.outcome(Outcome::failed(kind, "scripted"));
    }

    /// Runs until it is cancelled or interrupted. Told when it has begun: only then the next line is the next attempt's.
    pub(crate) fn hang(&self) -> Arc<Notify> {
        let begun = Arc::new(Notify::new());
        let tell = Arc::clone(&begun);
        self.play(Box::new(move |context, stop| {
            tell.notify_one();
            Box::pin(async move {
                tokio::select! {
                    () = stop.cancelled.cancelled() => (Outcome::Cancelled, context),
                    () = stop.interrupted.cancelled() => (Outcome::Interrupted, context),
                }
            })
        }));
        begun
    }

    pub(crate) fn play(&self, play: Play) {
        self.0.lock().expect("not poisoned").push_back(play);
    }
}

struct ScriptedRunner(Script);

#[async_trait]
impl Runner for ScriptedRunner {
    async fn run(&self, context: AttemptContext, _: Duration, stop: Stop) -> (Outcome, AttemptContext) {
        let play = self.0.0.lock().expect("not poisoned").pop_front();
        match play {
            Some(play) => play(context, stop).await,
            None => (Outcome::Completed { output: Some(Json::empty_object()) }, context),
        }
    }
}

/// What has the word `slow`: how many of them are being loaded, and whether they may end.
#[derive(Default)]
pub(crate) struct Slow {
    under_way: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

impl Slow {
    async fn load(&self) {
        self.under_way.send_modify(|count| *count += 1);
        let _counted = Counted(&self.under_way);
        self.released.subscribe().wait_for(|released| *released).await.expect("it is there");
    }

    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }
}

/// Is counted until it is dropped.
struct Counted<'count>(&'count watch::Sender<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

struct TextLoader(Script, Arc<Slow>);

#[async_trait]
impl Loader for TextLoader {
    async fn load(&self, component: Vec<u8>) -> Result<Loaded, LoadError> {
        let text = String::from_utf8(component).map_err(|_| LoadError("is not text".to_owned()))?;
        let mut words = text.split_whitespace();
        let id = words.next().ok_or_else(|| LoadError("is empty".to_owned()))?;
        let mut descriptor = Descriptor { id: id.to_owned(), title: id.to_owned(), ..Descriptor::default() };
        for word in words {
            if word == "slow" {
                self.1.load().await;
                continue;
            }
            match word.split_once('=') {
                Some(("retries", value)) => descriptor.retries = value.parse().ok(),
                Some(("event", value)) => descriptor.triggers.push(Trigger::Event(value.to_owned())),
                Some(("schema", value)) => descriptor.payload_schema = Some(value.to_owned()),
                Some(("cron", value)) => descriptor.triggers.push(Trigger::Cron(value.replace('_', " "))),
                _ => return Err(LoadError(format!("has the strange word {word:?}"))),
            }
        }
        Ok(Loaded { descriptor, imports: Vec::new(), runner: Arc::new(ScriptedRunner(self.0.clone())) })
    }
}

/// An engine under test.
pub(crate) struct Mill {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) script: Script,
    pub(crate) slow: Arc<Slow>,
    pub(crate) log: MemoryLog,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hopper: TempDir,
    pub(crate) handle: Handle,
    pub(crate) changes: broadcast::Receiver<std::sync::Arc<[Change]>>,
    pub(crate) engine: JoinHandle<Result<(), EngineError>>,
}

impl Mill {
    /// One job, `hello`, with two retries, that listens to `greet`.
    pub(crate) fn start() -> Self {
        let hopper = tempfile::tempdir().expect("a directory");
        put(hopper.path(), "hello.wasm", "hello retries=2 event=greet");
        Self::open(hopper, MemoryLog::new(), Arc::new(ManualClock::new()), 4)
    }

    /// The same, which keeps final runs only for so long.
    pub(crate) fn keeping(retention: Retention) -> Self {
        let hopper = tempfile::tempdir().expect("a directory");
        put(hopper.path(), "hello.wasm", "hello retries=2 event=greet");
        Self::compose(hopper, MemoryLog::new(), Arc::new(ManualClock::new()), |settings| settings.retention = retention)
    }

    pub(crate) fn open(hopper: TempDir, log: MemoryLog, clock: Arc<ManualClock>, concurrency: usize) -> Self {
        Self::compose(hopper, log, clock, |settings| settings.concurrency = concurrency)
    }

    /// An engine with these settings changed.
    pub(crate) fn compose(
        hopper: TempDir,
        log: MemoryLog,
        clock: Arc<ManualClock>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let store: Arc<dyn Store> = Arc::new(LogStore::open(log.clone()).expect("opens"));
        let changes = store.changes();
        let script = Script::default();
        let mut settings = Settings {
            hopper: hopper.path().to_owned(),
            quiet: Duration::from_millis(300),
            concurrency: 4,
            shutdown_grace: Duration::from_secs(30),
            overrides: Overrides::default(),
            retention: Retention::default(),
            queues: BTreeMap::new(),
            waiting: u32::MAX,
            in_doubt: InDoubt::Resend,
            event_id_window: Duration::from_hours(24),
            auto_rollback: false,
        };
        change(&mut settings);
        let slow = Arc::new(Slow::default());
        let loader = Arc::new(TextLoader(script.clone(), Arc::clone(&slow)));
        let entropy = Arc::new(Counting(AtomicU64::new(clock.now().as_millis())));
        let (engine, handle) =
            Engine::new(settings, Arc::clone(&store), loader, Arc::clone(&clock) as Arc<dyn Clock>, entropy);
        let engine = tokio::spawn(engine.run());
        Self { clock, script, slow, log, store, hopper, handle, changes, engine }
    }

    /// Until the first catalog is built.
    pub(crate) async fn ready(&self) {
        self.until_catalog(|handle| handle.catalog().generation > 0).await;
    }

    /// Until what is loaded is as wanted. File events hasten it; moving the clock makes it certain.
    pub(crate) async fn until_catalog(&self, wanted: impl Fn(&Handle) -> bool) {
        let mut generations = self.handle.catalog_changes();
        watchdog(async {
            while !wanted(&self.handle) {
                self.clock.advance(Duration::from_secs(6));
                let _ = tokio::time::timeout(Duration::from_millis(50), generations.changed()).await;
            }
        })
        .await;
    }

    /// Until so many slow components are being loaded.
    pub(crate) async fn until_slow(&self, count: usize) {
        let mut under_way = self.slow.under_way.subscribe();
        watchdog(async {
            while *under_way.borrow_and_update() != count {
                self.clock.advance(Duration::from_secs(6));
                let _ = tokio::time::timeout(Duration::from_millis(50), under_way.changed()).await;
            }
        })
        .await;
    }

    pub(crate) async fn enqueue(&self) -> RunId {
        self.ready().await;
        let request = EnqueueRequest::new("hello".parse().expect("a job id"), Json::empty_object());
        self.handle.enqueue(request).await.expect("enqueued").head.id
    }

    /// Until the run is recorded in this state.
    pub(crate) async fn until(&mut self, run: RunId, state: RunState) -> RunHead {
        let changes = &mut self.changes;
        watchdog(async {
            loop {
                let batch = changes.recv().await.expect("the store is open");
                if batch.iter().any(|change| (change.run, change.state) == (run, state)) {
                    break;
                }
            }
        })
        .await;
        self.record(run).await.run.head
    }

    pub(crate) async fn record(&self, run: RunId) -> RunRecord {
        self.handle.query().run(run).await.expect("readable").expect("there")
    }

    pub(crate) async fn finished(&self, run: RunId) -> RunRecord {
        watchdog(self.handle.wait_final(run, Duration::from_hours(24))).await.expect("readable").expect("final")
    }

    /// Stops the engine and gives back what survives it.
    pub(crate) async fn stop(self) -> (TempDir, MemoryLog, Arc<ManualClock>, Result<(), EngineError>) {
        self.handle.shutdown();
        let ended = watchdog(self.engine).await.expect("no panic");
        (self.hopper, self.log, self.clock, ended)
    }
}

pub(crate) async fn watchdog<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(WATCHDOG, work).await.expect("it took longer than the watchdog allows")
}

/// Puts a file into the hopper by rename.
pub(crate) fn put(hopper: &Path, name: &str, content: &str) {
    let temporary = hopper.join(format!(".{name}.new"));
    std::fs::write(&temporary, content).expect("written");
    std::fs::rename(temporary, hopper.join(name)).expect("renamed");
}
