//! What attempts used: of each attempt of a run, and over the newest of each version of a job.
//! It measures nothing and adds nothing up; the runtime and the store do.

use jobmill_core::bill::{Bill, HostCall};
use jobmill_core::job::JobVersion;
use jobmill_core::run::{Attempt, AttemptOutcome};
use jobmill_core::{AttemptError, Timestamp, Version};
use jobmill_store::{Spread, VersionUsage, Worse};
use serde::Serialize;
use utoipa::ToSchema;

/// One try of a run.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(super) struct AttemptView {
    /// 1 to `max_attempts`; starts anew after a requeue.
    number: u32,
    /// The component that ran.
    version: Version,
    /// When it began.
    started_at: Timestamp,
    /// When its end was decided; null while it runs.
    finished_at: Option<Timestamp>,
    /// How it ended.
    outcome: Option<AttemptOutcome>,
    /// Why it failed.
    error: Option<AttemptError>,
    /// When the next attempt is due, if there is one.
    next_at: Option<Timestamp>,
    /// What it used; null while it runs, and of one that nobody saw end.
    usage: Option<UsageView>,
}

/// What an attempt used.
#[derive(Serialize, ToSchema)]
#[schema(as = AttemptUsage)]
struct UsageView {
    /// Milliseconds from its first instruction to its last, waiting included.
    wall_ms: f64,
    /// Milliseconds of processor time.
    cpu_ms: f64,
    /// Bytes of linear memory, at most.
    memory_bytes: u64,
    /// Host calls, all of them.
    host_calls: u64,
    /// Those that reach beyond the sandbox, the first 50, in order.
    calls: Vec<HostCallView>,
}

/// A host call that reached beyond the sandbox.
#[derive(Serialize, ToSchema)]
#[schema(as = HostCall)]
struct HostCallView {
    /// Which, such as `send-email`, `fetch-order` or `GET api.example.com`.
    name: String,
    /// Milliseconds from the first instruction of the attempt.
    at_ms: f64,
    /// Milliseconds that it took.
    took_ms: f64,
    /// Whether it was refused or failed, or had not ended when the attempt did.
    failed: bool,
}

/// What the newest attempts of a version used, at most 500 of those that completed or failed.
#[derive(Serialize, ToSchema)]
#[schema(as = VersionUsage)]
pub(super) struct VersionUsageView {
    /// How many attempts these numbers are of.
    attempts: u64,
    /// Those of them that failed, for whatever reason.
    failed: u64,
    /// Those that ended in a trap.
    trapped: u64,
    /// Those that took longer than they might.
    timeouts: u64,
    /// Milliseconds from begin to end, waiting included.
    wall_ms: MillisecondsView,
    /// Milliseconds of processor time.
    cpu_ms: MillisecondsView,
    /// Bytes of linear memory.
    memory_bytes: NumbersView,
    /// Host calls.
    host_calls: NumbersView,
    /// What it clearly takes more of than the version before it: by half, and by at least 20 attempts of each.
    worse: Vec<WorseView>,
}

/// How times are spread over attempts, in milliseconds.
#[derive(Serialize, ToSchema)]
#[schema(as = SpreadOfTimes)]
struct MillisecondsView {
    /// What half of them did not exceed.
    p50: f64,
    /// What 95 of 100 did not exceed.
    p95: f64,
    /// What none exceeded.
    max: f64,
}

/// How a number is spread over attempts.
#[derive(Serialize, ToSchema)]
#[schema(as = SpreadOfNumbers)]
struct NumbersView {
    /// What half of them did not exceed.
    p50: u64,
    /// What 95 of 100 did not exceed.
    p95: u64,
    /// What none exceeded.
    max: u64,
}

/// What a version takes more of than another.
#[derive(Serialize, ToSchema)]
#[schema(as = WorseVersion)]
struct WorseView {
    /// `wall`, `cpu` or `memory`.
    what: &'static str,
    /// How many times as much, by what 95 of 100 attempts did not exceed.
    times: f64,
    /// The other version.
    than: Version,
    /// All of it in words.
    text: String,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            version: attempt.version,
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            outcome: attempt.outcome,
            error: attempt.error,
            next_at: attempt.next_at,
            usage: attempt.bill.map(|bill| UsageView::from(*bill)),
        }
    }
}

impl From<Bill> for UsageView {
    fn from(bill: Bill) -> Self {
        let call = |HostCall { name, at_micros, took_micros, failed }| HostCallView {
            name: name.into_owned(),
            at_ms: thousandths(at_micros),
            took_ms: thousandths(took_micros),
            failed,
        };
        Self {
            wall_ms: thousandths(bill.wall_micros),
            cpu_ms: thousandths(bill.cpu_micros),
            memory_bytes: bill.memory,
            host_calls: bill.host_calls,
            calls: bill.calls.into_iter().map(call).collect(),
        }
    }
}

impl VersionUsageView {
    /// As `compared` tells it.
    pub(super) fn new((usage, worse): (VersionUsage, Vec<Worse>)) -> Self {
        let milliseconds = |Spread { p50, p95, max }| MillisecondsView {
            p50: thousandths(p50),
            p95: thousandths(p95),
            max: thousandths(max),
        };
        let numbers = |Spread { p50, p95, max }| NumbersView { p50, p95, max };
        Self {
            attempts: usage.attempts,
            failed: usage.failed,
            trapped: usage.trapped,
            timeouts: usage.timeouts,
            wall_ms: milliseconds(usage.wall_micros),
            cpu_ms: milliseconds(usage.cpu_micros),
            memory_bytes: numbers(usage.memory),
            host_calls: numbers(usage.host_calls),
            worse: worse.iter().map(WorseView::from).collect(),
        }
    }
}

impl From<&Worse> for WorseView {
    fn from(worse: &Worse) -> Self {
        let tenths = u32::try_from(worse.tenths).unwrap_or(u32::MAX);
        let text = worse.to_string();
        Self { what: worse.what.as_str(), times: f64::from(tenths) / 10.0, than: worse.than, text }
    }
}

/// Microseconds as milliseconds; more than an hour, which no attempt takes, is told as that.
fn thousandths(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0
}

/// Of each version, the last loaded first, what its newest attempts used, and what it clearly takes more of than the last one
/// before it of which that is known; none where nothing is.
pub(crate) fn compared(versions: &[JobVersion], usage: &[VersionUsage]) -> Vec<Option<(VersionUsage, Vec<Worse>)>> {
    let of = |version: &JobVersion| usage.iter().find(|usage| usage.version == version.version);
    let told = versions.iter().enumerate().map(|(at, version)| {
        let usage = of(version)?;
        let before = versions.iter().skip(at + 1).find_map(of);
        Some((usage.clone(), before.map(|before| usage.worse_than(before)).unwrap_or_default()))
    });
    told.collect()
}
