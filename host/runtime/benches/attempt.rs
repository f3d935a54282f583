//! What one warm attempt of a real job costs: the runtime from the attempt's context to its outcome, mail captured.
//! It measures neither the store nor the engine's loop: contexts are made beforehand, and what an attempt left is dropped
//! afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use jobmill_backends::{Faults, MailMode, MailSettings, Mailer, Orders, Outgoing, SystemResolver};
use jobmill_core::job::SandboxLimits;
use jobmill_core::mail::Mailbox;
use jobmill_core::time::Sleep;
use jobmill_core::{Clock, Entropy, Json, Outcome, RunId, Timestamp, Version};
use jobmill_engine::{AttemptContext, Loaded, Loader as _, Stop};
use jobmill_runtime::{Compiler, InDoubt, JobSecrets, Runtime, RuntimeSettings};
use jobmill_store::{Claimed, JobRules, LogStore, MemoryLog, NewRun, Query, Room, Rules, RunFlow, Store};
use rustix::time::{ClockId, clock_gettime};

const JOB: &str = "welcome-email";
const PAYLOAD: &str = r#"{ "userId": "user_1", "email": "ada@example.com", "name": "Ada" }"#;
/// Attempts that are measured together: few enough that what they leave stays in the processor's cache.
const BATCH: u64 = 64;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The processor time of the whole process: all threads, user and system.
struct ProcessorTime;

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        Duration::try_from(spent).expect("processor time is never negative")
    }

    fn end(&self, begin: Duration) -> Duration {
        self.start().saturating_sub(begin)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// The machine's clock, as the binary has it.
struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("the machine's clock is set");
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).expect("64 bits hold any year"))
    }

    #[expect(clippy::disallowed_methods, reason = "arming a timer is part of what an attempt costs")]
    fn sleep_until(&self, at: Timestamp) -> Sleep {
        Box::pin(tokio::time::sleep(at.since(self.now())))
    }

    #[expect(clippy::disallowed_methods, reason = "reading the machine's clocks is part of what an attempt costs")]
    fn elapsed(&self) -> Duration {
        static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
        FIRST.elapsed()
    }

    fn thread_cpu(&self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.try_into().expect("after zero"), time.tv_nsec.try_into().expect("below a second"))
    }
}

/// Counts, so that every id differs.
#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A loaded job and a claimed run of it, from which any number of first attempts are made.
struct Bench {
    loaded: Loaded,
    claimed: Claimed,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    stop: Stop,
}

impl Bench {
    async fn start(component: Vec<u8>) -> Self {
        let log_store = Arc::new(LogStore::open(MemoryLog::new()).expect("an empty log"));
        let query: Arc<dyn Query> = log_store.clone();
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (Arc::new(MachineClock), Arc::new(Counting::default()));
        let from = Mailbox { address: "shop@shop.example".to_owned(), name: None };
        let mailer = Mailer::new(MailSettings { mode: MailMode::Capture, from }, Arc::new(Faults::default()));
        let runtime = Runtime::new(RuntimeSettings {
            concurrency: 16,
            largest: SandboxLimits::default(),
            cache: None,
            compiler: Compiler::Here,
            mailer: Arc::new(mailer.expect("usable settings")),
            orders: Arc::new(Orders::embedded(query, Arc::new(Faults::default()))),
            in_doubt: InDoubt::Resend,
            outgoing: Outgoing::new(Arc::new(SystemResolver)).expect("usable settings"),
            secrets: JobSecrets::new(),
        });
        let runtime = runtime.expect("the runtime starts");
        let loaded = runtime.load(component).await.expect("the job loads");
        let claimed = claim(&*log_store, clock.now(), &*entropy).await;
        Self { loaded, claimed, store: log_store, clock, entropy, stop: Stop::default() }
    }

    fn context(&self) -> AttemptContext {
        let (store, clock, entropy) = (Arc::clone(&self.store), Arc::clone(&self.clock), Arc::clone(&self.entropy));
        AttemptContext::new(self.claimed.clone(), store, clock, entropy)
    }

    async fn attempt(&self, context: AttemptContext) -> (Outcome, AttemptContext) {
        self.loaded.runner.run(context, TIMEOUT, self.stop.clone()).await
    }

    /// What so many attempts take by `clock`, without making their contexts and dropping what they left.
    async fn attempts<M: Measurement<Value = Duration>>(&self, attempts: u64, clock: &M) -> Duration {
        let (mut left, mut taken) = (attempts, clock.zero());
        while left > 0 {
            let batch = left.min(BATCH);
            let contexts: Vec<AttemptContext> = (0..batch).map(|_| self.context()).collect();
            let mut ended = Vec::with_capacity(contexts.len());
            let begin = clock.start();
            for context in contexts {
                ended.push(self.attempt(context).await);
            }
            taken = clock.add(&taken, &clock.end(begin));
            left -= batch;
        }
        taken
    }
}

/// A run of the job, claimed for its first attempt.
async fn claim(store: &dyn Store, now: Timestamp, entropy: &dyn Entropy) -> Claimed {
    let job: jobmill_core::JobId = JOB.parse().expect("a job id");
    let run = NewRun {
        id: RunId::generate(now, entropy),
        job: job.clone(),
        queue: "default".to_owned(),
        priority: 5,
        payload: Json::parse(PAYLOAD).expect("JSON"),
        max_attempts: 2,
        scheduled_at: now,
        tags: Vec::new(),
        unique_key: None,
        idempotency_key: None,
        request_digest: None,
        rerun_of: None,
        flow: RunFlow::default(),
    };
    store.enqueue(vec![run], now).await.expect("enqueued");
    let jobs = BTreeMap::from([(job, JobRules::new(Version::of(JOB.as_bytes())))]);
    let room = Room { permits: 1, rules: Arc::new(Rules { jobs, ..Rules::default() }) };
    store.claim(room, now).await.expect("claimed").runs.pop().expect("a run is due")
}

/// Measures attempts one after another on one thread by `clock`; `unit` names what it measures.
fn measure<M: Measurement<Value = Duration>>(clock: fn() -> M, unit: &str, component: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for the bench");
    let bench = runtime.block_on(Bench::start(component.to_owned()));
    let (outcome, context) = runtime.block_on(bench.attempt(bench.context()));
    assert!(matches!(outcome, Outcome::Completed { output: Some(_) }), "the job does its work: {outcome:?}");
    assert!(!context.into_remainder().entries.is_empty(), "the mail is captured");
    let mut criterion = Criterion::default().with_measurement(clock()).configure_from_args();
    let mut group = criterion.benchmark_group("attempt");
    group.throughput(Throughput::Elements(1));
    group.bench_function(format!("{JOB}/{unit}"), |bencher| {
        bencher.iter_custom(|attempts| runtime.block_on(bench.attempts(attempts, &clock())));
    });
    group.finish();
    criterion.final_summary();
}

/// The component as `cargo xtask jobs` builds it.
fn component() -> Result<Vec<u8>, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/components");
    let path: PathBuf = directory.join(JOB).with_extension("wasm");
    std::fs::read(&path).map_err(|error| {
        format!("{}: {error}; build it with `cargo xtask jobs --hopper target/components`", path.display())
    })
}

fn main() -> Result<(), String> {
    let component = component()?;
    measure(|| ProcessorTime, "processor-time", &component);
    measure(|| WallTime, "wall-time", &component);
    Ok(())
}
