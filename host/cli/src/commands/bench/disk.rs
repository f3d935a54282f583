//! How many writes a second the disk makes durable one after the other: what every other figure is held against.
//! It knows nothing of the store.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use super::samples::Samples;
use crate::failure::Failure;
use crate::machine;

/// Bytes of a write.
const BLOCK: usize = 4096;
/// Blocks of the file: so many that none is written twice in a moment.
const BLOCKS: u64 = 256;
/// How long it is measured.
const SPAN: Duration = Duration::from_secs(1);
/// Room for the spans of the fastest disk.
const MOST_SYNCS: usize = 200_000;

/// What a disk does.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskRate {
    /// Writes made durable in a second.
    pub(super) per_s: f64,
    /// What half of them took at most.
    pub(super) p50: Duration,
}

/// Overwrites blocks of a file in `directory`, each followed by an fdatasync, for a second.
pub(super) fn measure(directory: &Path) -> Result<DiskRate, Failure> {
    let path = directory.join("disk");
    let measured = overwrite(&path);
    measured.map_err(|error| {
        let text = format!("the disk can't be measured with {}: {error}", path.display());
        Failure::new("disk", text).advise("name a directory on another disk with --data")
    })
}

fn overwrite(path: &Path) -> io::Result<DiskRate> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    // What is allocated and written once only changes its content: a sync then writes no metadata.
    (0..BLOCKS).try_for_each(|block| file.write_all_at(&[0; BLOCK], block * BLOCK as u64))?;
    file.sync_all()?;
    let mut spans = Samples::with_room(MOST_SYNCS);
    let begin = machine::moment();
    let mut last = begin;
    while last - begin < SPAN && spans.len() < MOST_SYNCS {
        let number = spans.len() as u64;
        let mut content = [0; BLOCK];
        content[..8].copy_from_slice(&number.to_be_bytes());
        file.write_all_at(&content, number % BLOCKS * BLOCK as u64)?;
        file.sync_data()?;
        let now = machine::moment();
        spans.add(now - last);
        last = now;
    }
    std::fs::remove_file(path)?;
    Ok(DiskRate { per_s: super::report::rate(spans.len(), last - begin), p50: spans.percentile(50) })
}
