//! Flow control: what a job may say about how many of its runs go on, how often, how late and whether at all.
//! Pure rules over counters and times handed in; whoever keeps the runs keeps the counters.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::id::JobId;
use crate::limits;
use crate::time::{Timestamp, as_text};

/// A JSON Pointer (RFC 6901) into a payload, checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer(Arc<str>);

/// A text that is no JSON Pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no JSON Pointer; write it like \"/customer/id\"")]
pub struct PointerError(String);

impl TryFrom<String> for Pointer {
    type Error = PointerError;

    fn try_from(text: String) -> Result<Self, PointerError> {
        let escapes_end = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if !text.starts_with('/') || text.len() > limits::KEY_BYTES || !escapes_end {
            return Err(PointerError(limits::truncate(&text, limits::KEY_BYTES).to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.0.as_ref().to_owned()
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pointer {
    /// The pointer as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands there: a string as it is, anything else as JSON. None where nothing stands, or `null`. A long value is
    /// named by its SHA-256, so that keys stay small.
    pub fn value_in(&self, payload: &Value) -> Option<String> {
        let text = match payload.pointer(&self.0)? {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if text.len() > limits::KEY_BYTES {
            let digest = Sha256::digest(text.as_bytes());
            return Some(format!("sha256:{}", crate::id::hex(&digest)));
        }
        Some(text)
    }
}

/// A value that was found in the payload of a run when it was enqueued, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowKey {
    /// Where.
    pub pointer: Pointer,
    /// What stood there.
    pub value: String,
}

/// What a waiting run and the event that cancels it have in common: job, pointer and value, as one digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark([u8; 16]);

impl Mark {
    /// The mark of what stands at `pointer`; none where nothing stands.
    pub fn of(job: &JobId, event: &str, pointer: &Pointer, document: &Value) -> Option<Self> {
        let value = pointer.value_in(document)?;
        let mut hash = Sha256::new();
        for part in [job.as_str(), event, pointer.as_str(), &value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let (half, _) = digest.split_first_chunk()?;
        Some(Self(*half))
    }
}

/// At most so many runs at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// How many; at least 1.
    pub limit: u32,
    /// One limit for each value found there; without it one for the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Pointer>,
}

/// At most so many attempts begin in each period: a token bucket that holds `limit` and refills over `period`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { limit = 100, period = \"1m\" }")]
pub struct RateLimit {
    /// How many; at least 1.
    pub limit: u32,
    /// From empty to full.
    #[serde(with = "as_text")]
    pub period: Duration,
    /// One bucket for each value found there; without it one for the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Pointer>,
}

/// A token bucket in the form of the generic cell rate algorithm (ITU-T I.371): the time at which it will be full again,
/// in nanoseconds since the Unix epoch. One number, which only grows, so it can be read back from records in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FullAt(u64);

impl RateLimit {
    /// From one token to the next, in nanoseconds; at least 1.
    fn interval(&self) -> u64 {
        let period = u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX);
        (period / u64::from(self.limit.max(1))).max(1)
    }

    /// The bucket as it is at `now`. A clock that was set back leaves it empty at worst.
    fn at(&self, bucket: FullAt, now: Timestamp) -> u64 {
        let now = nanoseconds(now);
        bucket.0.clamp(now, now.saturating_add(self.interval().saturating_mul(u64::from(self.limit))))
    }

    /// The bucket as it is to be kept after the clock may have been set back: it lacks no more than it holds, so that it
    /// fills from then on.
    #[must_use]
    pub fn settle(&self, bucket: FullAt, now: Timestamp) -> FullAt {
        FullAt(bucket.0.min(self.at(bucket, now)))
    }

    /// Tokens in the bucket at `now`.
    pub fn tokens(&self, bucket: FullAt, now: Timestamp) -> u32 {
        let missing = (self.at(bucket, now) - nanoseconds(now)).div_ceil(self.interval());
        self.limit.saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// The bucket after one token was taken at `now`.
    #[must_use]
    pub fn take(&self, bucket: FullAt, now: Timestamp) -> FullAt {
        FullAt(self.at(bucket, now).saturating_add(self.interval()))
    }

    /// When the bucket has a token, as of `now`; `now` when it has one.
    pub fn next(&self, bucket: FullAt, now: Timestamp) -> Timestamp {
        let room = self.interval().saturating_mul(u64::from(self.limit.max(1) - 1));
        let at = self.at(bucket, now).saturating_sub(room);
        Timestamp::from_millis(at.div_ceil(1_000_000)).max(now)
    }
}

impl FullAt {
    /// Whether the bucket is full at `now`, whatever its size.
    pub fn is_full(self, now: Timestamp) -> bool {
        self.0 <= nanoseconds(now)
    }
}

fn nanoseconds(time: Timestamp) -> u64 {
    time.as_millis().saturating_mul(1_000_000)
}

/// A run starts once enqueues have been quiet for a while, with the last payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { period = \"10s\" }")]
pub struct Debounce {
    /// How long it has to be quiet.
    #[serde(with = "as_text")]
    pub period: Duration,
    /// It starts at the latest this long after the first enqueue.
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Duration>,
    /// One quiet period for each value found there; without it one for the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Pointer>,
}

/// Which runs hold a unique key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UniqueStates {
    /// Runs of every state.
    #[default]
    All,
    /// Only runs that are not final.
    Unfinished,
}

/// What happens to the minutes of a cron expression that passed while nobody could fire them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// One run for all of them.
    #[default]
    Once,
    /// None.
    Skip,
}

/// A later event that takes a waiting run back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelOn {
    /// The event's name.
    pub event: String,
    /// Where the event's data and the run's payload have to have the same value.
    #[serde(rename = "match")]
    pub pointer: Pointer,
}

/// When a job is paused by itself because too many of its attempts fail.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerSettings {
    /// The share of failed attempts, above 0 and at most 1.
    pub failures: f64,
    /// Over this span.
    #[serde(with = "as_text")]
    pub window: Duration,
    /// Of at least so many attempts.
    pub min_attempts: u32,
    /// How long it pauses before it tries one run.
    #[serde(with = "as_text")]
    pub pause: Duration,
}

/// A span as text, or nothing.
mod optional_text {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    use crate::time::as_text;

    #[allow(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => as_text::serialize(span, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        as_text::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    fn rate(limit: u32, seconds: u64) -> RateLimit {
        RateLimit { limit, period: Duration::from_secs(seconds), key: None }
    }

    #[test]
    fn a_full_bucket_gives_its_limit_at_once_and_then_one_at_a_time() {
        let rate = rate(5, 10);
        let mut bucket = FullAt::default();
        for left in (0..5).rev() {
            assert!(rate.tokens(bucket, at(0)) > 0);
            bucket = rate.take(bucket, at(0));
            assert_eq!(rate.tokens(bucket, at(0)), left);
        }
        assert_eq!(rate.next(bucket, at(0)), at(2_000));
        assert_eq!((rate.tokens(bucket, at(1_999)), rate.tokens(bucket, at(2_000))), (0, 1));
        assert_eq!(rate.tokens(bucket, at(10_000)), 5);
        assert!(bucket.is_full(at(10_000)) && !bucket.is_full(at(9_999)));
    }

    #[test]
    fn a_clock_set_back_leaves_a_bucket_empty_at_worst() {
        let rate = rate(2, 10);
        let bucket = rate.take(FullAt::default(), at(3_600_000));
        assert_eq!(rate.tokens(bucket, at(0)), 0);
        assert_eq!(rate.next(bucket, at(0)), at(5_000));
        let bucket = rate.settle(bucket, at(0));
        assert_eq!((rate.tokens(bucket, at(4_999)), rate.tokens(bucket, at(5_000))), (0, 1));
    }

    #[test]
    fn rates_above_one_a_millisecond_are_kept() {
        let rate = rate(10_000, 1);
        let mut bucket = FullAt::default();
        let mut taken = 0;
        for now in 0..1_000 {
            while rate.tokens(bucket, at(now)) > 0 {
                bucket = rate.take(bucket, at(now));
                taken += 1;
            }
        }
        assert_eq!(taken, 10_000 + 9_990);
    }

    #[test]
    fn a_pointer_finds_strings_as_they_are_and_the_rest_as_json() {
        let payload =
            serde_json::json!({ "user": { "id": 7, "name": "Zoë" }, "a/b": [true, null], "long": "x".repeat(300) });
        let found = |pointer: &str| Pointer::try_from(pointer.to_owned()).expect("a pointer").value_in(&payload);
        assert_eq!(found("/user/id").as_deref(), Some("7"));
        assert_eq!(found("/user/name").as_deref(), Some("Zoë"));
        assert_eq!(found("/a~1b/0").as_deref(), Some("true"));
        assert_eq!(found("/a~1b/1"), None);
        assert_eq!(found("/user/mail"), None);
        assert_eq!(found("/long").map(|text| text.len()), Some(7 + 64));
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["", "user", "/a~2b", "/a~"] {
            assert!(Pointer::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
