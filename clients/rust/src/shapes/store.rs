//! The server and its store as a whole.
//! Every number is of one moment.

use std::collections::BTreeMap;

use jobmill_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::Skipped;

/// How a server stands.
#[derive(Debug, Clone, Default, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Its version.
    pub version: String,
    /// Whether it takes work.
    #[serde(default)]
    pub ready: bool,
    /// When it started.
    #[serde(default)]
    pub started_at: Timestamp,
    /// Jobs by status.
    #[serde(default)]
    pub jobs: BTreeMap<String, usize>,
    /// Runs by state.
    #[serde(default)]
    pub runs: BTreeMap<String, usize>,
    /// When a waiting run next becomes due, expires, or gets past a limit.
    #[serde(default)]
    pub next_due: Option<Timestamp>,
}

/// What a store holds, each record read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreCheck {
    /// Nothing is damaged.
    pub ok: bool,
    /// Runs.
    pub runs: u64,
    /// Entries of their journals.
    pub entries: u64,
    /// Mails.
    pub mails: u64,
    /// Events that started nothing.
    pub events: u64,
    /// Webhook deliveries.
    #[serde(default)]
    pub deliveries: u64,
    /// Orders of the embedded book.
    pub orders: u64,
    /// Components of versions.
    #[serde(default)]
    pub components: u64,
}

/// What was taken out because its time to be kept is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Pruned {
    /// Runs.
    pub runs: usize,
    /// Events.
    pub events: usize,
    /// Mails of the e-mail log.
    #[serde(default)]
    pub mails: usize,
    /// Webhook deliveries.
    #[serde(default)]
    pub deliveries: usize,
    /// Entries of the audit list.
    #[serde(default)]
    pub audit: usize,
}

/// What a development server makes fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct FaultsSet {
    /// How many will fail.
    pub fail_next: u32,
}

/// What was forgotten, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Runs with their payloads, mails and logs.
    pub runs: usize,
    /// Those of them that were dead.
    pub dead: usize,
    /// Mails.
    pub mails: usize,
    /// Events.
    pub events: usize,
    /// Webhook deliveries.
    #[serde(default)]
    pub deliveries: usize,
    /// Orders whose customer was blanked.
    pub orders: usize,
    /// Suppressions whose address was.
    #[serde(default)]
    pub suppressions: usize,
    /// Entries of the audit list.
    #[serde(default)]
    pub audit: usize,
    /// Runs that were under way.
    pub skipped: Vec<Skipped>,
    /// Nothing was changed.
    pub dry_run: bool,
}
