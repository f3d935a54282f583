//! How records lie in the tree: their keys, the frame around each value with its checksum, and the bytes within.
//! It reads and writes no tree; putting parts together again is `assembly`'s.
//!
//! A key is a tag, what is kept under it, and the number of the part. A value is a frame around a piece of the record:
//!
//! | format | group | parts | checksum | piece |
//! |---|---|---|---|---|
//! | 1 byte | 8 bytes | 2 bytes | 4 bytes | the rest |
//!
//! Numbers are big-endian. The checksum (CRC-32) covers the key, the frame before it, and the piece. The record itself
//! is `MessagePack` with members by position: members are only ever added, at the end and with a default.

use std::fmt;

use jobmill_core::journal::{Entry, EventReference};
use jobmill_core::{EventId, Json, MailId, RunId, Timestamp};
use jobmill_store::{LogError, Record};
use rmp_serde::config::BytesMode;
use serde::{Deserialize, Serialize};

/// The newest record format that this release reads, and the one that it writes.
pub(crate) const FORMAT: u8 = 1;
/// Bytes of one value. A leaf of the tree splits only beyond 16 items whatever their size, and a leaf of more than
/// 128 KiB goes to a file of its own that sled never syncs.
const VALUE_BYTES: usize = 5_000;
/// Bytes of the frame.
const FRAME_BYTES: usize = 15;
/// Where the checksum stands in the frame.
const CHECKSUM_AT: usize = 11;
/// Bytes of a record in one value.
pub(crate) const PIECE_BYTES: usize = VALUE_BYTES - FRAME_BYTES;

const JOURNAL: u8 = b'j';
const EVENT: u8 = b'e';
const ORDER: u8 = b'o';
const MAIL_CLEARED: u8 = b'm';

/// Under what a record is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// Entries of a run's journal.
    Journal {
        /// The run.
        run: RunId,
        /// The number of the first of the entries.
        first: u32,
    },
    /// An event that no job listened to.
    Event(String),
    /// An order of the embedded book.
    Order(String),
    /// Up to where mails are no longer shown.
    MailCleared,
}

impl Key {
    /// The key of a record.
    pub(crate) fn of(record: &Record) -> Self {
        match record {
            Record::Journal { run, first, .. } => Self::Journal { run: *run, first: *first },
            Record::Event { reference, .. } => Self::event(&reference.id),
            Record::Order(order) => Self::Order(order.id.clone()),
            Record::MailCleared { .. } => Self::MailCleared,
        }
    }

    /// Whether no later record is written under the same key.
    pub(crate) fn is_written_once(&self) -> bool {
        matches!(self, Self::Journal { .. } | Self::Event(_))
    }

    /// The key of an event.
    pub(crate) fn event(id: &EventId) -> Self {
        Self::Event(id.as_str().to_owned())
    }

    /// The key of one part. Parts of a record lie side by side, in order; so do the journal entries of a run.
    pub(crate) fn part(&self, part: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32);
        match self {
            Self::Journal { run, first } => {
                bytes.push(JOURNAL);
                bytes.extend(run.to_bytes());
                bytes.extend(first.to_be_bytes());
            }
            Self::Event(id) => push_text(&mut bytes, EVENT, id),
            Self::Order(id) => push_text(&mut bytes, ORDER, id),
            Self::MailCleared => bytes.push(MAIL_CLEARED),
        }
        bytes.extend(part.to_be_bytes());
        bytes
    }

    /// The inverse of `part`.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, u16)> {
        let (bytes, part) = bytes.split_last_chunk::<2>()?;
        let (tag, rest) = bytes.split_first()?;
        let key = match *tag {
            JOURNAL => {
                let (run, first) = rest.split_first_chunk::<16>()?;
                Self::Journal { run: RunId::from_bytes(*run), first: u32::from_be_bytes(first.try_into().ok()?) }
            }
            EVENT => Self::Event(text(rest)?),
            ORDER => Self::Order(text(rest)?),
            MAIL_CLEARED if rest.is_empty() => Self::MailCleared,
            _ => return None,
        };
        Some((key, u16::from_be_bytes(*part)))
    }
}

/// The length before the text keeps the parts of one text together whatever other texts it is the head of.
fn push_text(bytes: &mut Vec<u8>, tag: u8, text: &str) {
    bytes.push(tag);
    bytes.extend((text.len() as u64).to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn text(bytes: &[u8]) -> Option<String> {
    let (length, text) = bytes.split_first_chunk::<8>()?;
    let whole = u64::from_be_bytes(*length) == text.len() as u64;
    String::from_utf8(text.to_vec()).ok().filter(|_| whole)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal { run, first } => write!(f, "entry {first} of {run}"),
            Self::Event(id) => write!(f, "event {id:?}"),
            Self::Order(id) => write!(f, "order {id:?}"),
            Self::MailCleared => f.write_str("the mark of cleared mails"),
        }
    }
}

/// What is wrong with a stored record.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// No room for the frame.
    #[error("is shorter than any record")]
    Short,
    /// This release can't know what it says.
    #[error("has format {0}, and this release reads up to {FORMAT}; use the release that wrote it")]
    Newer(u8),
    /// Other bytes than were written.
    #[error("does not match its checksum")]
    Checksum,
    /// A part is not where it should be.
    #[error("lacks part {0}")]
    MissingPart(u16),
    /// Parts of different writes lie side by side.
    #[error("has a part {0} that belongs to another write")]
    ForeignPart(u16),
    /// The bytes are those that were written, and still no record.
    #[error("can't be read: {0}")]
    Body(String),
    /// Entries of the run's journal are missing, or there twice.
    #[error("follows entry {0} of that run, so entries are missing or there twice")]
    Gap(u32),
    /// The journal does not begin at its beginning.
    #[error("is the first that is there of that run, so its beginning is missing")]
    NoBeginning,
}

impl Flaw {
    /// The error that names the record.
    pub(crate) fn of(self, key: &Key) -> LogError {
        LogError::Damaged(format!("{key} {self}"))
    }
}

/// One value without its frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'value> {
    /// The group of commands that was synced with it.
    pub(crate) group: u64,
    /// How many parts the record has.
    pub(crate) parts: u16,
    /// Its piece of the record.
    pub(crate) piece: &'value [u8],
}

impl<'value> Part<'value> {
    /// The value that is kept under `key`.
    pub(crate) fn seal(&self, key: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(FRAME_BYTES + self.piece.len());
        value.push(FORMAT);
        value.extend(self.group.to_be_bytes());
        value.extend(self.parts.to_be_bytes());
        let checksum = checksum(key, &value, self.piece);
        value.extend(checksum.to_be_bytes());
        value.extend(self.piece);
        value
    }

    /// The inverse of `seal`; nothing but what `seal` made for this very key passes.
    pub(crate) fn unseal(key: &[u8], value: &'value [u8]) -> Result<Self, Flaw> {
        let (frame, piece) = value.split_first_chunk::<FRAME_BYTES>().ok_or(Flaw::Short)?;
        // The first byte is all that a newer format has in common with this one.
        if frame[0] > FORMAT {
            return Err(Flaw::Newer(frame[0]));
        }
        let (head, sum) = frame.split_at(CHECKSUM_AT);
        if sum != checksum(key, head, piece).to_be_bytes() {
            return Err(Flaw::Checksum);
        }
        let [_, group @ .., high, low] = head else {
            return Err(Flaw::Short);
        };
        Ok(Self {
            group: u64::from_be_bytes(group.try_into().map_err(|_| Flaw::Short)?),
            parts: u16::from_be_bytes([*high, *low]),
            piece,
        })
    }
}

fn checksum(key: &[u8], head: &[u8], piece: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(head);
    hasher.update(piece);
    hasher.finalize()
}

/// An event without its runs.
#[derive(Serialize, Deserialize)]
struct StoredEvent {
    reference: EventReference,
    data: Json,
    received_at: Timestamp,
}

/// The record in bytes.
pub(crate) fn encode(record: &Record) -> Result<Vec<u8>, LogError> {
    match record {
        Record::Journal { entries, .. } => to_bytes(entries),
        Record::Event { reference, data, received_at } => {
            to_bytes(&StoredEvent { reference: reference.clone(), data: data.clone(), received_at: *received_at })
        }
        Record::Order(order) => to_bytes(order),
        Record::MailCleared { up_to } => to_bytes(up_to),
    }
}

fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_bytes(BytesMode::ForceAll);
    value.serialize(&mut serializer).map_err(|error| LogError::Io(format!("can't encode a record: {error}")))?;
    Ok(bytes)
}

/// The record that `encode` made.
pub(crate) fn decode(key: &Key, bytes: &[u8]) -> Result<Record, Flaw> {
    match key {
        Key::Journal { run, first } => {
            let entries: Vec<Entry> = from_bytes(bytes)?;
            if entries.is_empty() {
                return Err(Flaw::Body("it has no entries".to_owned()));
            }
            Ok(Record::Journal { run: *run, first: *first, entries })
        }
        Key::Event(_) => from_bytes(bytes).map(|event: StoredEvent| Record::Event {
            reference: event.reference,
            data: event.data,
            received_at: event.received_at,
        }),
        Key::Order(_) => from_bytes(bytes).map(Record::Order),
        Key::MailCleared => from_bytes(bytes).map(|up_to: MailId| Record::MailCleared { up_to }),
    }
}

fn from_bytes<'bytes, T: Deserialize<'bytes>>(bytes: &'bytes [u8]) -> Result<T, Flaw> {
    rmp_serde::from_slice(bytes).map_err(|error| Flaw::Body(error.to_string()))
}

#[cfg(test)]
mod tests;
