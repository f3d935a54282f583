//! Blocks: rows of records, compressed. What is alike in them, as mails are, takes room once.
//! It numbers no block and cuts none into parts.

use jobmill_store::{LogError, Place, Record};
use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size, uncompressed_size,
};

use crate::part::Flaw;
use crate::row::{NUMBER_BYTES, Row, RowWriter};

/// Bytes of a block before it is compressed, unless it has one record only. LZ4 looks back no further than this, so
/// larger blocks would be no smaller on disk, and slower to read one record of.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;
/// The table of a row takes some bytes for each record, so a block never has more of them than places can tell apart.
const _: () = assert!(BLOCK_BYTES / NUMBER_BYTES <= Place::SLOTS);
/// Bytes of the length before the compressed row.
const LENGTH_BYTES: usize = 4;

/// A block that is ready to be written.
pub(crate) struct Packed {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// How many records it has.
    pub(crate) records: usize,
    /// Whether a `Floor` is among them.
    pub(crate) floor: bool,
}

/// Makes blocks of groups.
#[derive(Default)]
pub(crate) struct Packer {
    /// Kept from one block to the next, for it costs an allocation.
    table: CompressTable,
}

impl Packer {
    /// The blocks of a group.
    pub(crate) fn pack(&mut self, group: &[Record]) -> Result<Vec<Packed>, LogError> {
        let mut blocks = Vec::new();
        let mut row = RowWriter::default();
        let mut floor = false;
        for record in group {
            if let Some(next) = row.push(record, BLOCK_BYTES)? {
                blocks.push(self.close(std::mem::replace(&mut row, next), std::mem::take(&mut floor))?);
            }
            floor |= matches!(record, Record::Floor { .. });
        }
        if row.records() > 0 {
            blocks.push(self.close(row, floor)?);
        }
        Ok(blocks)
    }

    fn close(&mut self, row: RowWriter, floor: bool) -> Result<Packed, LogError> {
        let records = row.records();
        let row = row.finish()?;
        let refused = |reason: &dyn std::fmt::Display| {
            LogError::Io(format!("can't compress a block of {} bytes: {reason}", row.len()))
        };
        let length = u32::try_from(row.len()).map_err(|error| refused(&error))?;
        let mut bytes = vec![0; LENGTH_BYTES + get_maximum_output_size(row.len())];
        let (prefix, compressed) = bytes.split_at_mut(LENGTH_BYTES);
        prefix.copy_from_slice(&length.to_le_bytes());
        let size = compress_into_with_table(&row, compressed, &mut self.table).map_err(|error| refused(&error))?;
        bytes.truncate(LENGTH_BYTES + size);
        Ok(Packed { bytes, records, floor })
    }
}

/// A block that was read.
#[derive(Default)]
pub(crate) struct Block {
    row: Vec<u8>,
}

impl Block {
    /// Becomes the block that was packed into these bytes. One block may become many, one after another: its memory is
    /// used again.
    pub(crate) fn unpack(&mut self, packed: &[u8]) -> Result<(), Flaw> {
        let broken = |error: lz4_flex::block::DecompressError| Flaw::Content(error.to_string());
        let (length, compressed) = uncompressed_size(packed).map_err(broken)?;
        self.row.resize(length, 0);
        let found = decompress_into(compressed, &mut self.row).map_err(broken)?;
        if found != length {
            return Err(Flaw::Content(format!("it has {found} bytes instead of {length}")));
        }
        Ok(())
    }

    /// Its records.
    pub(crate) fn records(&self) -> Result<Row<'_>, Flaw> {
        Row::of(&self.row)
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.row.len()
    }
}

#[cfg(test)]
mod tests;
