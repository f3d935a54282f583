//! A row of records in bytes, from which one can be read without the others.
//! It does not compress and does not check: a row is kept whole by what holds it.
//!
//! The records one after another; then where each of them ends (4 bytes each); then how many there are (4 bytes).
//! Numbers are big-endian.

use jobmill_store::{LogError, Record};

use crate::codec::{decode, encode};
use crate::part::Flaw;

/// Bytes of a number in the table.
pub(crate) const NUMBER_BYTES: usize = 4;

/// A row that is being written.
#[derive(Default)]
pub(crate) struct RowWriter {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl RowWriter {
    /// How many records there are.
    pub(crate) fn records(&self) -> usize {
        self.ends.len()
    }

    /// Adds a record, unless the row then had more than `limit` bytes; then the record goes to the row that is
    /// answered. A record that is alone fits always.
    pub(crate) fn push(&mut self, record: &Record, limit: usize) -> Result<Option<Self>, LogError> {
        let start = self.bytes.len();
        encode(record, &mut self.bytes)?;
        let table = (self.ends.len() + 2) * NUMBER_BYTES;
        if start > 0 && self.bytes.len() + table > limit {
            let bytes = self.bytes.split_off(start);
            let ends = vec![end(&bytes)?];
            return Ok(Some(Self { bytes, ends }));
        }
        self.ends.push(end(&self.bytes)?);
        Ok(None)
    }

    /// The row in bytes.
    pub(crate) fn finish(self) -> Result<Vec<u8>, LogError> {
        let Self { mut bytes, ends } = self;
        let records = u32::try_from(ends.len())
            .map_err(|_| LogError::Io(format!("{} records are more than the log can hold in a row", ends.len())))?;
        for end in &ends {
            bytes.extend(end.to_be_bytes());
        }
        bytes.extend(records.to_be_bytes());
        Ok(bytes)
    }
}

fn end(bytes: &[u8]) -> Result<u32, LogError> {
    u32::try_from(bytes.len())
        .map_err(|_| LogError::Io(format!("a record of {} bytes is more than the log can hold", bytes.len())))
}

/// A row that is read.
pub(crate) struct Row<'bytes> {
    /// The records and the table of their ends.
    bytes: &'bytes [u8],
    records: usize,
}

impl<'bytes> Row<'bytes> {
    /// The row that these bytes are.
    pub(crate) fn of(bytes: &'bytes [u8]) -> Result<Self, Flaw> {
        let (bytes, records) = bytes.split_last_chunk::<NUMBER_BYTES>().ok_or_else(no_table)?;
        let records = u32::from_be_bytes(*records) as usize;
        if records.checked_mul(NUMBER_BYTES).is_none_or(|table| table > bytes.len()) {
            return Err(no_table());
        }
        Ok(Self { bytes, records })
    }

    /// How many records there are.
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// The record with this number, from 0.
    pub(crate) fn record(&self, number: usize) -> Result<Record, Flaw> {
        if number >= self.records {
            return Err(Flaw::Content(format!("it has {} records and no record {number}", self.records)));
        }
        let start = if number == 0 { 0 } else { self.end(number - 1)? };
        let bytes = self.bytes.get(start..self.end(number)?).ok_or_else(no_table)?;
        decode(bytes).map_err(|reason| Flaw::Content(format!("record {number}: {reason}")))
    }

    /// Where a record ends.
    fn end(&self, number: usize) -> Result<usize, Flaw> {
        let from = self.bytes.len() - (self.records - number) * NUMBER_BYTES;
        let end = self.bytes.get(from..).and_then(|rest| rest.first_chunk::<NUMBER_BYTES>()).ok_or_else(no_table)?;
        Ok(u32::from_be_bytes(*end) as usize)
    }
}

fn no_table() -> Flaw {
    Flaw::Content("its table of records does not fit its bytes".to_owned())
}
