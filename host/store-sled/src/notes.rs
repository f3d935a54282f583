//! The page of notes: one file that is written over in place and never grows, so that it can be written on a full disk.
//! It is not synced when it is written, and knows nothing of the log.
//!
//! The length of what is noted, a checksum (CRC-32) over both, then a row of records; the rest is whatever was there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use jobmill_store::{LogError, Notes, Record};

use crate::disk;
use crate::row::{Row, RowWriter};

/// Bytes of the file: some ten thousand starts.
const PAGE_BYTES: usize = 1024 * 1024;
/// Bytes before the row.
const HEAD_BYTES: usize = 8;

/// The file that holds the page.
pub(crate) struct NotesPage {
    /// Locked while it is written, so that no two writes mix.
    file: Mutex<File>,
}

impl NotesPage {
    /// Opens the file. A new one takes all of its room at once, and says nothing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let length = file.metadata()?.len();
        let missing = (PAGE_BYTES as u64).saturating_sub(length);
        if missing > 0 {
            // Zeros are written rather than a length set: only blocks that were written can be written again for sure.
            file.write_all_at(&vec![0; usize::try_from(missing).unwrap_or(PAGE_BYTES)], length)?;
            file.sync_all()?;
        }
        Ok(Self { file: Mutex::new(file) })
    }
}

impl Notes for NotesPage {
    fn write(&self, starts: &[Record]) -> Result<(), LogError> {
        let mut row = RowWriter::default();
        for record in starts {
            row.push(record, usize::MAX)?;
        }
        let row = row.finish()?;
        let fits = u32::try_from(row.len()).ok().filter(|_| row.len() <= PAGE_BYTES - HEAD_BYTES);
        let Some(length) = fits else {
            return Err(LogError::Full(format!(
                "notes of {} starts take {} bytes, and their page has {PAGE_BYTES}",
                starts.len(),
                row.len()
            )));
        };
        let mut page = Vec::with_capacity(HEAD_BYTES + row.len());
        page.extend(length.to_be_bytes());
        page.extend(checksum(length, &row).to_be_bytes());
        page.extend(row);
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all_at(&page, 0).map_err(|error| disk::refused(&error))
    }

    fn read(&self) -> Result<Vec<Record>, LogError> {
        let mut page = vec![0; PAGE_BYTES];
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match file.read_exact_at(&mut page, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Vec::new()),
            read => read.map_err(|error| disk::refused(&error))?,
        }
        drop(file);
        let Some(row) = noted(&page) else { return Ok(Vec::new()) };
        let broken = |flaw| LogError::Damaged(format!("the notes of started runs (file `starts`): it {flaw}"));
        let row = Row::of(row).map_err(broken)?;
        (0..row.records()).map(|number| row.record(number)).collect::<Result<_, _>>().map_err(broken)
    }
}

/// The row on a page that was written whole.
fn noted(page: &[u8]) -> Option<&[u8]> {
    let (length, rest) = page.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length);
    let row = rest.get(..usize::try_from(length).ok()?)?;
    (checksum(length, row) == u32::from_be_bytes(*sum)).then_some(row)
}

fn checksum(length: u32, row: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_be_bytes());
    hasher.update(row);
    hasher.finalize()
}
