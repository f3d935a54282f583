//! One value of the tree: its key, and the frame with a checksum around a piece of a block.
//! It knows nothing of records, and reads and writes no tree.
//!
//! A key is the number of the block (8 bytes) and that of the part (2 bytes). A value is a frame around a piece:
//!
//! | format | flags | group | blocks of the group that follow | parts of the block | checksum | piece |
//! |---|---|---|---|---|---|---|
//! | 1 byte | 1 byte | 8 bytes | 4 bytes | 2 bytes | 4 bytes | the rest |
//!
//! Numbers are big-endian. The checksum (CRC-32) covers the key, the frame before it, and the piece.

use jobmill_store::LogError;

/// The newest format that this release reads, and the one that it writes.
pub(crate) const FORMAT: u8 = 3;
/// Bytes of one value. A leaf of the tree splits only beyond 16 items whatever their size, and a leaf of more than
/// 128 KiB goes to a file of its own that sled never syncs.
const VALUE_BYTES: usize = 5_000;
/// Bytes of the frame.
const FRAME_BYTES: usize = 20;
/// Bytes of a block in one value.
pub(crate) const PIECE_BYTES: usize = VALUE_BYTES - FRAME_BYTES;
/// The flag of a block in which a `Floor` stands.
const FLOOR: u8 = 1;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 10;

/// Under what a part is kept. Keys sort as the log was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The number of the block.
    pub(crate) block: u64,
    /// The number of the part within the block.
    pub(crate) part: u16,
}

impl Key {
    /// The key in bytes.
    pub(crate) fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        let (block, part) = bytes.split_at_mut(8);
        block.copy_from_slice(&self.block.to_be_bytes());
        part.copy_from_slice(&self.part.to_be_bytes());
        bytes
    }

    /// The inverse of `to_bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (block, part) = bytes.split_first_chunk::<8>()?;
        Some(Self { block: u64::from_be_bytes(*block), part: u16::from_be_bytes(part.try_into().ok()?) })
    }
}

/// What is wrong with a stored block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// It is not there, and others after it are.
    #[error("is missing")]
    Missing,
    /// No room for the frame.
    #[error("has a part that is shorter than any")]
    Short,
    /// This release can't know what it says.
    #[error("has format {0}, and this release reads up to {FORMAT}")]
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
    /// It does not follow from the block before it.
    #[error("belongs to group {found}, where group {expected} goes on or begins")]
    ForeignGroup {
        /// Whose block it is.
        found: u64,
        /// Whose block it should be.
        expected: u64,
    },
    /// The bytes are those that were written, and still no records.
    #[error("can't be read: {0}")]
    Content(String),
}

impl Flaw {
    /// The error that names the block.
    pub(crate) fn of(self, block: u64) -> LogError {
        let remedy = match self {
            Self::Newer(_) => "use the release that wrote it",
            _ => "put a back-up of the store in its place",
        };
        LogError::Damaged(format!("block {block} {self}; {remedy}"))
    }
}

/// What every part of a block says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Whether a `Floor` stands in the block.
    pub(crate) floor: bool,
    /// The group that the block is of.
    pub(crate) group: u64,
    /// Blocks of the group that come after this one.
    pub(crate) following: u32,
    /// Parts of the block.
    pub(crate) parts: u16,
}

/// One value without its frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'value> {
    /// What it says of its block.
    pub(crate) head: Head,
    /// Its piece of the block.
    pub(crate) piece: &'value [u8],
}

impl<'value> Part<'value> {
    /// Makes the value that is kept under `key`.
    pub(crate) fn seal(&self, key: &[u8; KEY_BYTES], value: &mut Vec<u8>) {
        value.clear();
        value.push(FORMAT);
        value.push(if self.head.floor { FLOOR } else { 0 });
        value.extend(self.head.group.to_be_bytes());
        value.extend(self.head.following.to_be_bytes());
        value.extend(self.head.parts.to_be_bytes());
        let checksum = checksum(key, value, self.piece);
        value.extend(checksum.to_be_bytes());
        value.extend(self.piece);
    }

    /// The inverse of `seal`; nothing but what `seal` made for this very key passes.
    pub(crate) fn unseal(key: &[u8], value: &'value [u8]) -> Result<Self, Flaw> {
        let (frame, piece) = value.split_first_chunk::<FRAME_BYTES>().ok_or(Flaw::Short)?;
        // The first byte is all that a newer format has in common with this one.
        if frame[0] > FORMAT {
            return Err(Flaw::Newer(frame[0]));
        }
        let (head, sum) = frame.split_at(FRAME_BYTES - 4);
        if sum != checksum(key, head, piece).to_be_bytes() {
            return Err(Flaw::Checksum);
        }
        let head = Head {
            floor: head[1] & FLOOR != 0,
            group: number(&head[2..10]),
            following: u32::try_from(number(&head[10..14])).map_err(|_| Flaw::Short)?,
            parts: u16::try_from(number(&head[14..16])).map_err(|_| Flaw::Short)?,
        };
        Ok(Self { head, piece })
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn checksum(key: &[u8], head: &[u8], piece: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(head);
    hasher.update(piece);
    hasher.finalize()
}

#[cfg(test)]
mod tests;
