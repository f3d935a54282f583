//! A runtime over a store in memory and a clock that stands still, and the engine's part of an attempt.
//! It decides nothing that the engine decides: transitions are `core`'s.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jobmill_backends::{Faults, HttpOrders, MailMode, MailSettings, Mailer, Orders, Outgoing, Secret};
use jobmill_core::job::{Limit, Sandbox, SandboxLimits};
use jobmill_core::journal::EntryKind;
use jobmill_core::mail::Mailbox;
use jobmill_core::order::{Money, Order, OrderStatus};
use jobmill_core::time::Sleep;
use jobmill_core::{Backoff, Clock, Entropy, Json, Outcome, RunId, Timestamp, Version, transition};
use jobmill_engine::{AttemptContext, Loaded, Loader, Stop};
use jobmill_runtime::{CacheSettings, Compiler, InDoubt, JobSecrets, Runtime, RuntimeError, RuntimeSettings};
use jobmill_store::{JobRules, LogStore, MemoryLog, NewRun, Query, Room, Rules, RunFlow, RunRecord, Store};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use crate::guest::Guest;
use crate::http::{Names, SECRET};

/// The wall-clock budget of every attempt here, on the standing clock.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// The most memory that any job here may have.
const LARGEST_MEMORY: u64 = 128 << 20;
/// What a test may take in real time.
const WATCHDOG: Duration = Duration::from_mins(1);

/// A clock that moves only when it is told to; processor time is the thread's own.
pub(crate) struct ManualClock {
    now: watch::Sender<Timestamp>,
    sleepers: watch::Sender<usize>,
}

impl ManualClock {
    fn new() -> Self {
        Self { now: watch::channel(Timestamp::from_millis(1_772_355_600_000)).0, sleepers: watch::channel(0).0 }
    }

    pub(crate) fn advance(&self, span: Duration) {
        self.now.send_modify(|now| *now = now.after(span));
    }

    /// Ends when somebody sleeps on this clock: an attempt is under way.
    pub(crate) async fn has_sleeper(&self) {
        self.sleepers.subscribe().wait_for(|sleepers| *sleepers > 0).await.expect("the clock lives");
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> Sleep {
        let mut now = self.now.subscribe();
        self.sleepers.send_modify(|sleepers| *sleepers += 1);
        Box::pin(async move {
            // The clock outlives its sleepers in every test.
            let _ = now.wait_for(|now| *now >= at).await;
        })
    }

    fn thread_cpu(&self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.try_into().expect("after zero"), time.tv_nsec.try_into().expect("below a second"))
    }
}

/// Counts, so that every id differs; panics when it is told to, as a bug in a host function would.
#[derive(Default)]
pub(crate) struct Counting {
    next: AtomicU64,
    panics: AtomicBool,
}

impl Counting {
    pub(crate) fn panic_next(&self) {
        self.panics.store(true, Ordering::Relaxed);
    }
}

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        assert!(!self.panics.swap(false, Ordering::Relaxed), "a bug in the engine");
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

pub(crate) struct Bench {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: MemoryLog,
    pub(crate) mail_faults: Arc<Faults>,
    pub(crate) order_faults: Arc<Faults>,
    pub(crate) entropy: Arc<Counting>,
    /// What every attempt may take and reach.
    pub(crate) sandbox: Arc<Sandbox>,
    runtime: Runtime,
}

impl Bench {
    /// Mail is captured.
    pub(crate) fn new() -> Self {
        Self::with(MailMode::Capture, InDoubt::Resend)
    }

    /// Mail is captured, and the operator says so of the job.
    pub(crate) fn in_sandbox(sandbox: Sandbox) -> Self {
        Self { sandbox: Arc::new(sandbox), ..Self::new() }
    }

    /// The same, of one limit.
    pub(crate) fn limited(limit: Limit, most: u64) -> Self {
        Self::in_sandbox(Sandbox { limits: SandboxLimits::default().with(limit, most), ..Sandbox::default() })
    }

    pub(crate) fn with(mode: MailMode, in_doubt: InDoubt) -> Self {
        Self::start(mode, in_doubt, None, None, Compiler::Here).expect("the runtime starts")
    }

    /// The orders are a shop's own.
    pub(crate) fn of_shop(shop: HttpOrders) -> Self {
        let started = Self::start(MailMode::Capture, InDoubt::Resend, Some(shop), None, Compiler::Here);
        started.expect("the runtime starts")
    }

    /// Compiled code is kept in this directory.
    pub(crate) fn keeping_code_in(directory: &Path) -> Self {
        Self::compiling_by(Compiler::Here, directory)
    }

    /// The same, and this compiles it.
    pub(crate) fn compiling_by(compiler: Compiler, directory: &Path) -> Self {
        Self::start(MailMode::Capture, InDoubt::Resend, None, Some(directory), compiler).expect("the runtime starts")
    }

    /// Why compiled code can't be kept there.
    pub(crate) fn refused_cache(directory: &Path) -> String {
        match Self::start(MailMode::Capture, InDoubt::Resend, None, Some(directory), Compiler::Here) {
            Ok(_) => panic!("the runtime starts"),
            Err(error) => error.to_string(),
        }
    }

    fn start(
        mode: MailMode,
        in_doubt: InDoubt,
        shop: Option<HttpOrders>,
        cache_directory: Option<&Path>,
        compiler: Compiler,
    ) -> Result<Self, RuntimeError> {
        let log = MemoryLog::new();
        let store: Arc<dyn Store> = Arc::new(LogStore::open(log.clone()).expect("an empty log"));
        let (mail_faults, order_faults): (Arc<Faults>, Arc<Faults>) = Default::default();
        let from = Mailbox { address: "shop@shop.example".to_owned(), name: None };
        let mailer = Mailer::new(MailSettings { mode, from }, Arc::clone(&mail_faults)).expect("usable settings");
        let query: Arc<dyn Query> = store.clone();
        let orders = match shop {
            Some(shop) => Orders::http(shop, Arc::clone(&order_faults)).expect("usable settings"),
            None => Orders::embedded(query, Arc::clone(&order_faults)),
        };
        let runtime = Runtime::new(RuntimeSettings {
            concurrency: 2,
            largest: SandboxLimits::default().with(Limit::Memory, LARGEST_MEMORY),
            cache: cache_directory
                .map(|directory| CacheSettings { directory: directory.to_owned(), fresh_key: [7; 32] }),
            compiler,
            mailer: Arc::new(mailer),
            orders: Arc::new(orders),
            in_doubt,
            outgoing: Outgoing::new(Arc::new(Names)).expect("usable settings"),
            secrets: JobSecrets::from([(
                "guest".parse().expect("a job id"),
                [("token".to_owned(), Secret::new(SECRET))].into(),
            )]),
        })?;
        let (clock, entropy) = (Arc::new(ManualClock::new()), Arc::default());
        Ok(Self { clock, store, log, mail_faults, order_faults, entropy, sandbox: Arc::default(), runtime })
    }

    pub(crate) async fn load(&self, guest: &Guest) -> Loaded {
        self.load_bytes(guest.component()).await
    }

    pub(crate) async fn load_bytes(&self, bytes: Vec<u8>) -> Loaded {
        match self.runtime.load(bytes).await {
            Ok(loaded) => loaded,
            Err(error) => panic!("the guest does not load: {error}"),
        }
    }

    /// Why these bytes do not load.
    pub(crate) async fn refusal(&self, bytes: Vec<u8>) -> String {
        match self.try_load(bytes).await {
            Ok(_) => panic!("the bytes load"),
            Err(reason) => reason,
        }
    }

    /// What these bytes load as, or why they do not.
    pub(crate) async fn try_load(&self, bytes: Vec<u8>) -> Result<Loaded, String> {
        let loading = tokio::time::timeout(WATCHDOG, self.runtime.load(bytes));
        loading.await.expect("loading is bounded").map_err(|error| error.to_string())
    }

    /// A run that is due.
    pub(crate) async fn enqueue(&self, payload: &str) -> RunId {
        let now = self.clock.now();
        let id = RunId::generate(now, self.entropy.as_ref());
        let run = NewRun {
            id,
            job: "guest".parse().expect("a job id"),
            queue: "default".to_owned(),
            priority: 5,
            payload: Json::parse(payload).expect("JSON"),
            max_attempts: 4,
            scheduled_at: now,
            tags: Vec::new(),
            unique_key: None,
            idempotency_key: None,
            request_digest: None,
            rerun_of: None,
            flow: RunFlow::default(),
        };
        self.store.enqueue(vec![run], now).await.expect("enqueued");
        id
    }

    /// The context of the next attempt, as the engine hands it over.
    pub(crate) async fn claim(&self) -> AttemptContext {
        let job = "guest".parse().expect("a job id");
        let jobs = BTreeMap::from([(job, JobRules::new(Version::of(b"guest")))]);
        let room = Room { permits: 1, rules: Arc::new(Rules { jobs, ..Rules::default() }) };
        let claimed = self.store.claim(room, self.clock.now()).await.expect("claimed").runs.pop();
        let claimed = claimed.expect("a run is due");
        AttemptContext::new(claimed, Arc::clone(&self.store), self.clock.clone(), self.entropy.clone())
            .in_sandbox(Arc::clone(&self.sandbox))
    }

    /// The next attempt of whatever run is due, recorded; its outcome before policy.
    pub(crate) async fn attempt(&self, loaded: &Loaded) -> Outcome {
        self.attempt_until(loaded, Stop::default()).await
    }

    pub(crate) async fn attempt_until(&self, loaded: &Loaded, stop: Stop) -> Outcome {
        let context = self.claim().await;
        let head = context.run().clone();
        let running = tokio::time::timeout(WATCHDOG, loaded.runner.run(context, TIMEOUT, stop));
        let (outcome, context) = running.await.expect("an attempt is bounded");
        let remainder = context.into_remainder();
        let now = self.clock.now();
        let at_once = Backoff::Fixed { delay: Duration::ZERO };
        let mut finished = transition::finish(&head, outcome.clone(), &at_once, now, 0.0).expect("it runs");
        finished.log = remainder.log;
        finished.log_dropped = remainder.log_dropped;
        finished.bill = remainder.bill;
        let mut entries = remainder.entries;
        entries.push(EntryKind::Finished(Box::new(finished)));
        let lease = jobmill_store::LeaseReference { run: head.id, token: head.lease };
        self.store.finish(lease, entries, Vec::new(), now).await.expect("recorded");
        outcome
    }

    /// The next attempt of whatever run is due, as a trial; its outcome, and the entries that it kept to itself.
    pub(crate) async fn trial(&self, loaded: &Loaded) -> (Outcome, Vec<EntryKind>) {
        let context = self.claim().await.in_trial();
        let running = tokio::time::timeout(WATCHDOG, loaded.runner.run(context, TIMEOUT, Stop::default()));
        let (outcome, context) = running.await.expect("an attempt is bounded");
        (outcome, context.into_remainder().entries)
    }

    /// The first attempt of a new run with an empty payload.
    pub(crate) async fn first_attempt(&self, guest: &Guest) -> Outcome {
        let loaded = self.load(guest).await;
        self.enqueue("{}").await;
        self.attempt(&loaded).await
    }

    pub(crate) async fn record(&self, run: RunId) -> RunRecord {
        self.store.run(run).await.expect("readable").expect("on record")
    }

    /// Puts an order of this id into the book: paid, of 12.50 EUR.
    pub(crate) async fn put_order(&self, id: &str) -> Order {
        let order = Order {
            id: id.to_owned(),
            status: OrderStatus::Paid,
            customer_email: "ada@example.com".to_owned(),
            customer_name: None,
            items: Vec::new(),
            total: Money { minor: 1250, currency: "EUR".to_owned() },
            created_at: self.clock.now(),
            fulfilled_at: None,
            refunded_at: None,
            metadata: Json::empty_object(),
            revision: 0,
        };
        self.store.put_order(order).await.expect("kept")
    }
}

/// The output of a completed attempt, as text.
pub(crate) fn output(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Completed { output: Some(output) } => output.as_str(),
        other => panic!("not completed with an output: {other:?}"),
    }
}
