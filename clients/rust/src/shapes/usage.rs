//! What attempts used: each by itself, and the newest of each version of a job together.
//! The server measures and adds up; these are its answers.

use serde::Deserialize;

/// What an attempt used.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct AttemptUsage {
    /// Milliseconds from its first instruction to its last, waiting included.
    pub wall_ms: f64,
    /// Milliseconds of processor time.
    pub cpu_ms: f64,
    /// Bytes of linear memory, at most.
    pub memory_bytes: u64,
    /// Host calls, all of them.
    pub host_calls: u64,
    /// Those that reach beyond the sandbox, the first 50, in order.
    pub calls: Vec<HostCall>,
}

/// A host call that reached beyond the sandbox.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct HostCall {
    /// Which, such as `send-email`, `fetch-order` or `GET api.example.com`.
    pub name: String,
    /// Milliseconds from the first instruction of the attempt.
    pub at_ms: f64,
    /// Milliseconds that it took.
    pub took_ms: f64,
    /// Whether it was refused or failed, or had not ended when the attempt did.
    pub failed: bool,
}

/// What the newest attempts of a version used, at most 500 of those that completed or failed.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct VersionUsage {
    /// How many attempts these numbers are of.
    pub attempts: u64,
    /// Those of them that failed, for whatever reason.
    pub failed: u64,
    /// Those that ended in a trap.
    pub trapped: u64,
    /// Those that took longer than they might.
    pub timeouts: u64,
    /// Milliseconds from begin to end, waiting included.
    pub wall_ms: Spread<f64>,
    /// Milliseconds of processor time.
    pub cpu_ms: Spread<f64>,
    /// Bytes of linear memory.
    pub memory_bytes: Spread<u64>,
    /// Host calls.
    pub host_calls: Spread<u64>,
    /// What it clearly takes more of than the version before it.
    pub worse: Vec<Worse>,
}

/// How a number is spread over attempts.
#[derive(Debug, Clone, Copy, Deserialize)]
#[non_exhaustive]
pub struct Spread<T> {
    /// What half of them did not exceed.
    pub p50: T,
    /// What 95 of 100 did not exceed.
    pub p95: T,
    /// What none exceeded.
    pub max: T,
}

/// What a version takes more of than another.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Worse {
    /// `wall`, `cpu` or `memory`.
    pub what: String,
    /// How many times as much.
    pub times: f64,
    /// The other version, as 12 hex digits.
    pub than: String,
    /// All of it in words.
    pub text: String,
}
