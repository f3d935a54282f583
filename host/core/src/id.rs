//! Identifiers as types of their own, so that a run's id is never taken for an event's.
//! They carry no meaning beyond identity and, for ULIDs, the time they were made.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::time::{Entropy, Timestamp};

/// A text that is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a job id.
    #[error("{0:?} is not a job id; use 1 to 64 of a-z, 0-9 and -, starting with a letter or digit")]
    Job(String),
    /// Not a prefixed ULID.
    #[error("{text:?} is not {what} id; it looks like {prefix}01J…")]
    Prefixed {
        /// What was refused.
        text: String,
        /// "a run", "a mail".
        what: &'static str,
        /// The prefix that the kind of id carries.
        prefix: &'static str,
    },
    /// Not an event id.
    #[error("an event id has 1 to 256 printable characters; {0:?} does not")]
    Event(String),
    /// Not a component version.
    #[error("{0:?} is not a version; a version is the SHA-256 of a component, 64 hex digits")]
    Version(String),
}

/// The id of a job: `[a-z0-9][a-z0-9-]{0,63}`, unique among the jobs of an engine. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct JobId(Arc<str>);

impl JobId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let fits = (1..=64).contains(&bytes.len())
            && allowed(bytes[0])
            && bytes.iter().all(|&byte| allowed(byte) || byte == b'-');
        if fits { Ok(Self(text.into())) } else { Err(IdError::Job(shorten(text))) }
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Refused text is repeated in messages, but never at length.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

macro_rules! prefixed_ulid {
    ($(#[$meta:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// A new id that sorts by `now`.
            pub fn generate(now: Timestamp, entropy: &dyn Entropy) -> Self {
                let random = (u128::from(entropy.next_u64()) << 64) | u128::from(entropy.next_u64());
                Self(Ulid::from_parts(now.as_millis(), random))
            }

            /// The least id that can be made at `now`.
            pub fn first_at(now: Timestamp) -> Self {
                Self(Ulid::from_parts(now.as_millis(), 0))
            }

            /// The id as it sorts in storage.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// The inverse of `to_bytes`.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }

            /// Its ULID, without the prefix.
            pub fn ulid(self) -> Ulid {
                self.0
            }
        }

        impl From<Ulid> for $name {
            fn from(ulid: Ulid) -> Self {
                Self(ulid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.strip_prefix($prefix)
                    .filter(|digits| digits.len() == ulid::ULID_LEN)
                    .and_then(|digits| Ulid::from_string(digits).ok())
                    .map(Self)
                    .ok_or_else(|| IdError::Prefixed { text: shorten(text), what: $what, prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.to_bytes().serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(deserializer).map(Self::from_bytes)
                }
            }
        }
    };
}

prefixed_ulid!(
    /// The id of a run: `run_` and a ULID, so that runs sort by the time they were enqueued.
    RunId, "run_", "a run"
);
prefixed_ulid!(
    /// The id of a mail in the e-mail log: `mail_` and a ULID.
    MailId, "mail_", "a mail"
);
prefixed_ulid!(
    /// Under which an event is kept: `evt_` and a ULID of its own, whatever id its publisher gave it.
    EventKey, "evt_", "an event"
);
prefixed_ulid!(
    /// The id of a webhook delivery: `dlv_` and a ULID.
    DeliveryId, "dlv_", "a delivery"
);
prefixed_ulid!(
    /// The id of an API token: `tok_` and a ULID. It names the token and opens nothing.
    TokenId, "tok_", "a token"
);
prefixed_ulid!(
    /// The id of an entry of the audit list: `aud_` and a ULID.
    AuditId, "aud_", "an audit entry"
);
prefixed_ulid!(
    /// The id of a message about dead runs: `msg_` and a ULID.
    NoticeId, "msg_", "a notice"
);

/// The id of an event: given by whoever publishes it, or made of its key. 1 to 256 printable characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EventId(Arc<str>);

impl EventId {
    /// The id of an event whose publisher gave none.
    pub fn of(key: EventKey) -> Self {
        Self(key.to_string().into())
    }

    /// The key that this id says, as an event of ours or of Inngest's protocol that was given no id says it.
    pub fn key(&self) -> Option<EventKey> {
        let ulid = || Ulid::from_string(&self.0).ok().filter(|_| self.0.len() == ulid::ULID_LEN).map(EventKey::from);
        self.0.parse().ok().or_else(ulid)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.into())) } else { Err(IdError::Event(shorten(text))) }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The version of a component: the SHA-256 of its bytes. Shown as its first 12 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u8; 32]);

impl Version {
    /// The version of a component with these bytes.
    pub fn of(component: &[u8]) -> Self {
        Self(Sha256::digest(component).into())
    }

    /// All 64 hex digits.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// The version that has these 64 hex digits; none of any other text, upper case too: a version has one spelling.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes().chunks_exact(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        let bytes: Option<Vec<u8>> = digits.collect();
        let version = <[u8; 32]>::try_from(bytes?).ok().map(Self);
        version.filter(|version| version.to_hex() == text)
    }
}

/// A version with all of its digits in text formats too, where a record has to say it whole: for `#[serde(with = …)]`.
pub(crate) mod whole_version {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{IdError, Version};

    pub(crate) fn serialize<S: Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&version.to_hex())
        } else {
            version.serialize(serializer)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
        if !deserializer.is_human_readable() {
            return Version::deserialize(deserializer);
        }
        let text = String::deserialize(deserializer)?;
        let version = Version::from_hex(&text);
        version.ok_or_else(|| D::Error::custom(IdError::Version(super::shorten(&text))))
    }
}

/// Lower-case hex digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0[..6]))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In text formats a version is its first 12 hex digits, which is all that people and programs are shown.
impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 32]>::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU64);

    impl Entropy for Counting {
        fn next_u64(&self) -> u64 {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        }
    }

    #[test]
    fn run_ids_sort_by_time_and_survive_text() {
        let entropy = Counting(0.into());
        let early = RunId::generate(Timestamp::from_millis(1_000), &entropy);
        let late = RunId::generate(Timestamp::from_millis(2_000), &entropy);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(RunId::from_bytes(early.to_bytes()), early);
    }

    #[test]
    fn ids_of_another_kind_or_shape_are_refused() {
        for text in ["", "run_", "run_x", "mail_01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
        for text in ["", "-a", "A", "a_b", "ü", "a b", &"a".repeat(65)] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
        for text in ["a", "0", "welcome-email", &"a".repeat(64)] {
            assert!(text.parse::<JobId>().is_ok(), "{text}");
        }
        assert!("".parse::<EventId>().is_err());
        assert!("a\nb".parse::<EventId>().is_err());
        assert!("order-42-paid".parse::<EventId>().is_ok());
    }

    #[test]
    fn an_event_that_was_given_no_id_is_named_by_its_key() {
        let key = EventKey::generate(Timestamp::from_millis(1_000), &Counting(0.into()));
        let id = EventId::of(key);
        assert_eq!((id.as_str(), id.key()), (&*key.to_string(), Some(key)));
        // As Inngest's protocol says it.
        let bare: EventId = key.ulid().to_string().parse().expect("an event id");
        assert_eq!(bare.key(), Some(key));
        let long = format!("{}0", key.ulid());
        for text in ["order-42", "run_01ARZ3NDEKTSV4RRFFQ69G5FAV", "evt_", "evt_1", "01ARZ3NDEKTSV4RRFFQ69G5FA", &long]
        {
            assert_eq!(text.parse::<EventId>().expect("an event id").key(), None, "{text}");
        }
    }

    #[test]
    fn a_version_shows_its_first_twelve_digits() {
        let version = Version::of(b"abc");
        assert_eq!(version.to_string(), "ba7816bf8f01");
        assert!(version.to_hex().starts_with("ba7816bf8f01cfea414140de5dae2223"));
        assert_eq!(version.to_hex().len(), 64);
    }

    #[test]
    fn a_version_in_a_record_is_whole_and_read_back() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Record(#[serde(with = "whole_version")] Version);

        let record = Record(Version::of(b"abc"));
        let text = serde_json::to_string(&record).expect("written");
        assert_eq!(text, format!("\"{}\"", record.0.to_hex()));
        assert_eq!(serde_json::from_str::<Record>(&text).expect("read"), record);
        let digits = record.0.to_hex();
        for text in [&digits[..12], &digits[..63], &digits.to_uppercase(), &format!("{digits}0"), &"ü".repeat(32)] {
            assert!(serde_json::from_str::<Record>(&format!("\"{text}\"")).is_err(), "{text}");
        }
        assert_eq!(serde_json::to_string(&record.0).expect("written"), "\"ba7816bf8f01\"");
    }
}
