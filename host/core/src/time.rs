//! Points in time and spans of time as values, and the traits through which clock and randomness are handed in.
//! It never reads the machine's clock: implementations of the traits live with the binary and with the tests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since the Unix epoch, UTC. RFC 3339 with milliseconds in text formats, an integer in binary ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// Close to the last instant that RFC 3339 can write: 9999-12-30T00:00:00Z.
const LATEST_MS: u64 = 253_402_128_000_000;

impl Timestamp {
    /// From milliseconds since the Unix epoch; later than 9999-12-30 becomes that day.
    pub fn from_millis(millis: u64) -> Self {
        Self(millis.min(LATEST_MS))
    }

    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// This instant moved later by `span`, no later than 9999-12-30.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(span_millis(span)))
    }

    /// This instant moved earlier by `span`; none when that is before 1970.
    pub fn before(self, span: Duration) -> Option<Self> {
        let span = u64::try_from(span.as_millis()).ok()?;
        self.0.checked_sub(span).map(Self)
    }

    /// The span from `earlier` to this instant; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Whole milliseconds of a span, rounded up so that nothing is ever due too early.
fn span_millis(span: Duration) -> u64 {
    let rounded_up = span.as_millis() + u128::from(!span.subsec_nanos().is_multiple_of(1_000_000));
    u64::try_from(rounded_up).unwrap_or(u64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).map_err(|_| fmt::Error)?;
        let instant = jiff::Timestamp::from_millisecond(millis).map_err(|_| fmt::Error)?;
        write!(f, "{instant:.3}")
    }
}

/// A text that is not an RFC 3339 time at or after 1970.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time; write RFC 3339 such as 2026-03-01T09:00:00Z")]
pub struct TimestampError(String);

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| TimestampError(text.to_owned()))?;
        let millis = u64::try_from(instant.as_millisecond()).map_err(|_| TimestampError(text.to_owned()))?;
        Ok(Self::from_millis(millis))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self::from_millis)
        }
    }
}

/// A text that is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; write it like 500ms, 30s, 1m30s or 2h")]
pub struct DurationError(String);

/// Reads a span such as `500ms`, `30s`, `1m30s`, `2h`, `7d`.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let refuse = || DurationError(text.to_owned());
    // A day is always 24 hours here: spans are not tied to a calendar.
    let (days, rest) = match text.trim().split_once('d') {
        Some((days, rest)) => (days.trim().parse::<u64>().map_err(|_| refuse())?, rest.trim()),
        None => (0, text.trim()),
    };
    let days = Duration::from_secs(days.checked_mul(86_400).ok_or_else(refuse)?);
    if rest.is_empty() {
        return if days.is_zero() { Err(refuse()) } else { Ok(days) };
    }
    let span: jiff::SignedDuration = rest.parse().map_err(|_| refuse())?;
    days.checked_add(Duration::try_from(span).map_err(|_| refuse())?).ok_or_else(refuse)
}

/// Writes a span the way the API does: `0s`, `500ms`, `1m30s`.
pub fn format_duration(span: Duration) -> String {
    let printer = jiff::fmt::friendly::SpanPrinter::new()
        .spacing(jiff::fmt::friendly::Spacing::None)
        .designator(jiff::fmt::friendly::Designator::Compact);
    let whole_millis = Duration::from_millis(span_millis(span));
    jiff::SignedDuration::try_from(whole_millis)
        .map_or_else(|_| format!("{}s", span.as_secs()), |span| printer.duration_to_string(&span))
}

/// Spans as text (`"1m30s"`) in every format: for `#[serde(with = …)]`.
pub mod as_text {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the span as text.
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format_duration(*span))
    }

    /// Reads the span from text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The same for a span that may be missing, which is written as such: for `#[serde(with = …)]`.
pub mod as_optional_text {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    /// Writes the span as text, or nothing.
    #[allow(clippy::ref_option, reason = "the signature is serde's")]
    pub fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        span.map(super::format_duration).serialize(serializer)
    }

    /// Reads the span from text, or nothing.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| super::parse_duration(&text).map_err(D::Error::custom)).transpose()
    }
}

/// A future that ends when a clock reaches an instant.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where "now" comes from. Handed to constructors, never global.
pub trait Clock: Send + Sync {
    /// The current wall-clock time.
    fn now(&self) -> Timestamp;

    /// Ends at the first moment at which the clock has reached `at`.
    fn sleep_until(&self, at: Timestamp) -> Sleep;

    /// Ends once `span` has passed, whatever is done to the wall clock meanwhile.
    fn sleep(&self, span: Duration) -> Sleep {
        self.sleep_until(self.now().after(span))
    }

    /// Time since some fixed moment, for measuring spans: it never goes back, whatever is done to the wall clock.
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now().as_millis())
    }

    /// Processor time that the calling thread has used; zero where none is counted.
    fn thread_cpu(&self) -> Duration {
        Duration::ZERO
    }
}

/// Where randomness comes from: ids and jitter.
pub trait Entropy: Send + Sync {
    /// 64 unpredictable bits, or the next of a seed.
    fn next_u64(&self) -> u64;
}

/// A number in `[0, 1)` with 53 random bits.
pub fn unit_interval(entropy: &dyn Entropy) -> f64 {
    const SCALE: f64 = 1.0 / 9_007_199_254_740_992.0;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    let bits = (entropy.next_u64() >> 11) as f64;
    bits * SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339_with_milliseconds() {
        let at = Timestamp::from_millis(1_772_355_600_007);
        assert_eq!(at.to_string(), "2026-03-01T09:00:00.007Z");
        assert_eq!("2026-03-01T10:00:00.007+01:00".parse(), Ok(at));
        assert_eq!(serde_json::to_string(&at).ok(), Some("\"2026-03-01T09:00:00.007Z\"".to_owned()));
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn the_latest_timestamp_can_be_written() {
        let latest = Timestamp::from_millis(u64::MAX);
        assert_eq!(latest.to_string().parse(), Ok(latest));
        assert_eq!(latest.after(Duration::from_secs(1)), latest);
    }

    #[test]
    fn nonsense_is_no_time_and_no_duration() {
        for text in ["", "yesterday", "2026-03-01", "1960-01-01T00:00:00Z"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        for text in ["", "soon", "-5s", "10", "1x", "d", "99999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_read_and_write_the_same() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("1m30s", 90_000), ("2h", 7_200_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse_duration("1d12h"), Ok(Duration::from_hours(36)));
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn spans_round_up_so_that_nothing_is_due_early() {
        let at = Timestamp::from_millis(5).after(Duration::from_micros(1_001));
        assert_eq!(at, Timestamp::from_millis(7));
    }
}
