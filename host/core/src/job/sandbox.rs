//! What a job's code may take and reach: the bounds of one attempt, what the operator allows, and the settings it is handed.
//! It enforces nothing; the runtime and the attempt's context do. What may be reached is in `allow`.

use std::collections::BTreeMap;
use std::fmt;

use bytesize::ByteSize;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::allow::Allow;
use super::settings::{Setting, Source};
use crate::limits;

/// Everything that one attempt of a job may take and reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// How much it may take.
    pub limits: SandboxLimits,
    /// What it may reach.
    pub allow: Allow,
    /// Its settings, as `wasi:config` hands them out; never secrets.
    pub config: BTreeMap<String, String>,
}

/// A bound of one attempt, or of a run, that the operator can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Bytes of all linear memories of an attempt together.
    Memory,
    /// Elements of one table.
    TableElements,
    /// Host calls of an attempt.
    HostCalls,
    /// Bytes that one host call may lift out of the guest.
    HostCall,
    /// Resources that a guest may hold at once.
    Handles,
    /// Random bytes that one call may ask for.
    Random,
    /// Lines of a run's log.
    LogLines,
    /// Bytes of a run's log.
    Log,
    /// Bytes of a run's output, and of a step's value.
    Output,
    /// Entries of a run's journal.
    JournalEntries,
    /// Bytes of a run's journal.
    Journal,
    /// HTTP requests of an attempt.
    HttpRequests,
    /// Bytes of the body of one HTTP response.
    HttpResponse,
}

impl Limit {
    /// Each of them, in the order in which they are shown.
    pub const ALL: [Self; 13] = [
        Self::Memory,
        Self::TableElements,
        Self::HostCalls,
        Self::HostCall,
        Self::Handles,
        Self::Random,
        Self::LogLines,
        Self::Log,
        Self::Output,
        Self::JournalEntries,
        Self::Journal,
        Self::HttpRequests,
        Self::HttpResponse,
    ];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::TableElements => "table_elements",
            Self::HostCalls => "host_calls",
            Self::HostCall => "host_call",
            Self::Handles => "handles",
            Self::Random => "random",
            Self::LogLines => "log_lines",
            Self::Log => "log",
            Self::Output => "output",
            Self::JournalEntries => "journal_entries",
            Self::Journal => "journal",
            Self::HttpRequests => "http_requests",
            Self::HttpResponse => "http_response",
        }
    }

    /// What it bounds, for people.
    pub fn what(self) -> &'static str {
        match self {
            Self::Memory => "linear memory of an attempt",
            Self::TableElements => "elements of a table",
            Self::HostCalls => "host calls of an attempt",
            Self::HostCall => "what one host call hands over",
            Self::Handles => "resources held at once",
            Self::Random => "random bytes of one call",
            Self::LogLines => "lines of a run's log",
            Self::Log => "log of a run",
            Self::Output => "output of a run, value of a step",
            Self::JournalEntries => "entries of a run's journal",
            Self::Journal => "journal of a run",
            Self::HttpRequests => "HTTP requests of an attempt",
            Self::HttpResponse => "body of an HTTP response",
        }
    }

    /// Whether it counts bytes.
    pub fn is_bytes(self) -> bool {
        matches!(
            self,
            Self::Memory
                | Self::HostCall
                | Self::Random
                | Self::Log
                | Self::Output
                | Self::Journal
                | Self::HttpResponse
        )
    }

    /// What holds when nobody says otherwise.
    pub fn default_value(self) -> u64 {
        match self {
            Self::Memory => limits::MEMORY_BYTES as u64,
            Self::TableElements => limits::TABLE_ELEMENTS as u64,
            Self::HostCalls => limits::HOST_CALLS,
            Self::HostCall => limits::HOST_CALL_BYTES as u64,
            Self::Handles => limits::RESOURCE_HANDLES as u64,
            Self::Random => limits::RANDOM_BYTES,
            Self::LogLines => limits::LOG_LINES as u64,
            Self::Log => limits::LOG_BYTES as u64,
            Self::Output => limits::OUTPUT_BYTES as u64,
            Self::JournalEntries => limits::JOURNAL_ENTRIES as u64,
            Self::Journal => limits::JOURNAL_BYTES as u64,
            Self::HttpRequests => limits::HTTP_REQUESTS,
            Self::HttpResponse => limits::HTTP_RESPONSE_BYTES,
        }
    }

    /// The most that an operator may set.
    pub fn most(self) -> u64 {
        match self {
            Self::Memory => limits::MEMORY_BYTES_MAX as u64,
            Self::TableElements => limits::TABLE_ELEMENTS_MAX as u64,
            Self::HostCalls => limits::HOST_CALLS_MAX,
            Self::HostCall => limits::HOST_CALL_BYTES_MAX as u64,
            Self::Handles => limits::RESOURCE_HANDLES_MAX as u64,
            Self::LogLines => limits::LOG_LINES_MAX as u64,
            Self::Log => limits::LOG_BYTES_MAX as u64,
            Self::HttpRequests => limits::HOST_CALLS,
            Self::HttpResponse => limits::HTTP_RESPONSE_BYTES_MAX,
            // What is read back in one go, and one call that nothing can interrupt: these may only be narrowed.
            Self::Random | Self::Output | Self::JournalEntries | Self::Journal => self.default_value(),
        }
    }

    /// The least that an operator may set: below, nothing could run.
    pub fn least(self) -> u64 {
        match self {
            Self::Memory => 1024 * 1024,
            Self::HostCall | Self::Journal => 64 * 1024,
            Self::TableElements | Self::Handles => 100,
            Self::JournalEntries => 20,
            Self::HostCalls
            | Self::Random
            | Self::LogLines
            | Self::Log
            | Self::Output
            | Self::HttpRequests
            | Self::HttpResponse => 0,
        }
    }

    /// A value of it, for people.
    pub fn shown(self, value: u64) -> String {
        if !self.is_bytes() {
            return value.to_string();
        }
        // As people write it: "64 MiB", not "64.0 MiB".
        ByteSize::b(value).display().iec().to_string().replace(".0 ", " ")
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value for each limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxLimits([u64; Limit::ALL.len()]);

impl SandboxLimits {
    /// The value of a limit.
    pub fn get(&self, limit: Limit) -> u64 {
        self.0[limit as usize]
    }

    /// The value of a limit, as sizes in memory are counted.
    pub fn size(&self, limit: Limit) -> usize {
        usize::try_from(self.get(limit)).unwrap_or(usize::MAX)
    }

    /// The defaults, and where somebody may have more, that.
    pub fn largest<'a>(said: impl IntoIterator<Item = &'a LimitOverrides>) -> Self {
        said.into_iter().fold(Self::default(), |largest, of_job| {
            // A job that is said to have more than any may have does not load.
            let more = |limit: Limit| of_job.get(limit).unwrap_or_default().min(limit.most());
            Self(Limit::ALL.map(|limit| largest.get(limit).max(more(limit))))
        })
    }

    /// The same with another value of one limit.
    #[must_use]
    pub fn with(mut self, limit: Limit, value: u64) -> Self {
        self.0[limit as usize] = value;
        self
    }
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self(Limit::ALL.map(Limit::default_value))
    }
}

/// The limits that are in force for a job, each with who said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings([Setting<u64>; Limit::ALL.len()]);

impl LimitSettings {
    /// What the operator says, else the default.
    pub fn new(said: &LimitOverrides) -> Self {
        Self(Limit::ALL.map(|limit| Setting::configured(said.get(limit), limit.default_value())))
    }

    /// A limit with who said so.
    pub fn get(&self, limit: Limit) -> Setting<u64> {
        self.0[limit as usize]
    }

    /// The values alone.
    pub fn values(&self) -> SandboxLimits {
        SandboxLimits(self.0.map(|setting| setting.value))
    }

    /// The first that is out of its bounds.
    pub fn wrong(&self) -> Option<(Limit, Setting<u64>)> {
        let all = Limit::ALL.into_iter().map(|limit| (limit, self.get(limit)));
        all.into_iter().find(|(limit, setting)| {
            setting.source == Source::Configuration && !(limit.least()..=limit.most()).contains(&setting.value)
        })
    }
}

/// What the operator says of limits: counts, and sizes such as `"64 MiB"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct LimitOverrides(BTreeMap<Limit, Amount>);

impl LimitOverrides {
    /// What is said of one.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        self.0.get(&limit).map(|amount| amount.0)
    }

    /// The same, and of what it leaves open what `others` say.
    #[must_use]
    pub fn or(mut self, others: &Self) -> Self {
        for (limit, amount) in &others.0 {
            self.0.entry(*limit).or_insert(*amount);
        }
        self
    }
}

impl FromIterator<(Limit, u64)> for LimitOverrides {
    fn from_iter<I: IntoIterator<Item = (Limit, u64)>>(said: I) -> Self {
        Self(said.into_iter().map(|(limit, value)| (limit, Amount(value))).collect())
    }
}

/// A whole number, or a size in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub u64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or a size such as \"64 MiB\"")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Amount, E> {
        Ok(Amount(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Amount, E> {
        u64::try_from(value).map(Amount).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Amount, E> {
        let size: Result<ByteSize, _> = text.parse();
        size.map(|size| Amount(size.as_u64())).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

/// Settings of a job as texts: numbers and truth values may be written as such.
pub(super) fn settings_of_job<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let values: BTreeMap<String, serde_json::Value> = BTreeMap::deserialize(deserializer)?;
    let texts = values.into_iter().map(|(name, value)| match value {
        serde_json::Value::String(text) => Ok((name, text)),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Ok((name, value.to_string())),
        _ => Err(D::Error::custom(format!("{name:?}: a setting is a text, a number, true or false"))),
    });
    texts.collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_limit_stands_where_it_says() {
        for (at, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, at);
            assert_eq!(serde_json::to_value(limit).ok(), Some(json!(limit.name())));
            assert!((limit.least()..=limit.most()).contains(&limit.default_value()), "{limit}");
            assert_eq!(SandboxLimits::default().with(limit, 7).get(limit), 7);
        }
    }

    #[test]
    fn sizes_are_written_in_words_or_bytes() {
        let said: LimitOverrides =
            serde_json::from_value(json!({ "memory": "16 MiB", "log": 1000, "host_calls": 5 })).expect("valid");
        assert_eq!(said.get(Limit::Memory), Some(16 << 20));
        assert_eq!((said.get(Limit::Log), said.get(Limit::HostCalls)), (Some(1000), Some(5)));
        assert_eq!(Limit::Memory.shown(16 << 20), "16 MiB");
        for (wrong, told) in [
            (json!({ "memory": "much" }), "64 MiB"),
            (json!({ "memory": -1 }), "whole number"),
            (json!({ "mem": 1 }), "table_elements"),
        ] {
            let error = serde_json::from_value::<LimitOverrides>(wrong).expect_err("refused").to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn what_is_said_of_a_job_goes_before_what_is_said_of_all() {
        let of_job = LimitOverrides::from_iter([(Limit::Log, 1)]);
        let both = of_job.or(&LimitOverrides::from_iter([(Limit::Log, 2), (Limit::LogLines, 3)]));
        assert_eq!((both.get(Limit::Log), both.get(Limit::LogLines)), (Some(1), Some(3)));
    }

    #[test]
    fn the_largest_is_no_less_than_the_default_and_no_more_than_anybody_may_have() {
        let said = [16 << 20, 256 << 20, u64::MAX].map(|memory| LimitOverrides::from_iter([(Limit::Memory, memory)]));
        let largest = |said: &[LimitOverrides]| SandboxLimits::largest(said).get(Limit::Memory);
        assert_eq!(largest(&said[..1]), Limit::Memory.default_value());
        assert_eq!(largest(&said[..2]), 256 << 20);
        assert_eq!(largest(&said), Limit::Memory.most());
        assert_eq!(SandboxLimits::largest([]), SandboxLimits::default());
    }
}
