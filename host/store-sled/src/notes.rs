//! The page of notes: one file that is written over in place and never grows, so that it can be written on a full disk.
//! It is not synced when it is written, and knows nothing of the log.
//!
//! The page has two halves. In a half stand notes one after another, each with its length, a checksum (CRC-32) and a
//! row of records. A half that is full is left as it is while the other is begun from its front: whenever the process
//! ends, what was noted whole is there, with older notes that say nothing new.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jobmill_store::{LogError, Notes, Record};

use crate::disk;
use crate::row::{Row, RowWriter};

/// Bytes of a half: some ten thousand starts.
const HALF_BYTES: usize = 1024 * 1024;
const PAGE_BYTES: usize = 2 * HALF_BYTES;
/// Bytes before a row.
const HEAD_BYTES: usize = 8;

/// The file that holds the page.
pub(crate) struct NotesPage(Mutex<Pen>);

/// Where the next note goes.
struct Pen {
    file: File,
    half: usize,
    at: usize,
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
        // The first note finds no room, so that it begins a half with everything that is to be known.
        Ok(Self(Mutex::new(Pen { file, half: 0, at: HALF_BYTES })))
    }

    fn pen(&self) -> MutexGuard<'_, Pen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pen {
    fn write(&mut self, note: &[u8]) -> Result<(), LogError> {
        let place = self.half * HALF_BYTES + self.at;
        self.file.write_all_at(note, place as u64).map_err(|error| disk::refused(&error))?;
        self.at += note.len();
        Ok(())
    }
}

impl Notes for NotesPage {
    fn add(&self, starts: &[Record]) -> Result<bool, LogError> {
        let note = note(starts)?;
        let mut pen = self.pen();
        if pen.at + note.len() > HALF_BYTES {
            return Ok(false);
        }
        pen.write(&note).map(|()| true)
    }

    fn begin(&self, starts: &[Record]) -> Result<(), LogError> {
        let note = note(starts)?;
        if note.len() > HALF_BYTES {
            let (count, bytes) = (starts.len(), note.len());
            return Err(LogError::Full(format!("notes of {count} starts take {bytes} bytes, and have {HALF_BYTES}")));
        }
        let mut pen = self.pen();
        (pen.half, pen.at) = (1 - pen.half, 0);
        pen.write(&note)
    }

    fn read(&self) -> Result<Vec<Record>, LogError> {
        let mut page = vec![0; PAGE_BYTES];
        match self.pen().file.read_exact_at(&mut page, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Vec::new()),
            read => read.map_err(|error| disk::refused(&error))?,
        }
        let broken = |flaw| LogError::Damaged(format!("the notes of started runs (file `starts`): it {flaw}"));
        let mut records = Vec::new();
        for half in page.chunks(HALF_BYTES) {
            let mut rest = half;
            while let Some((row, after)) = noted(rest) {
                let row = Row::of(row).map_err(broken)?;
                for number in 0..row.records() {
                    records.push(row.record(number).map_err(broken)?);
                }
                rest = after;
            }
        }
        Ok(records)
    }
}

/// A note in bytes.
fn note(starts: &[Record]) -> Result<Vec<u8>, LogError> {
    let mut row = RowWriter::default();
    for record in starts {
        row.push(record, usize::MAX)?;
    }
    let row = row.finish()?;
    let length = u32::try_from(row.len())
        .map_err(|_| LogError::Full(format!("notes of {} starts are more than fit", starts.len())))?;
    let mut note = Vec::with_capacity(HEAD_BYTES + row.len());
    note.extend(length.to_be_bytes());
    note.extend(checksum(length, &row).to_be_bytes());
    note.extend(row);
    Ok(note)
}

/// The row of a note that was written whole, and what follows it.
fn noted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length);
    let (row, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let whole = length > 0 && checksum(length, row) == u32::from_be_bytes(*sum);
    whole.then_some((row, after))
}

fn checksum(length: u32, row: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_be_bytes());
    hasher.update(row);
    hasher.finalize()
}
