//! How far the log was synced, in a file beside it: a log that has less was damaged.
//! It is not synced itself: after a power cut it may say less than there is, and never says more.
//!
//! sled takes the first damaged message for the end of its log and opens without whatever follows it. From the tree alone
//! that looks like a store that was never written any further.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const BYTES: usize = 20;

/// How far the log was synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The newest group; they count from 1.
    pub(crate) group: u64,
    /// The number that the next block gets: every block of that group and of those before it is below.
    pub(crate) blocks: u64,
}

/// The file that holds the mark.
pub(crate) struct MarkFile(File);

impl MarkFile {
    /// Opens the file, or makes one that says nothing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map(Self)
    }

    /// What the file says. A file that says nothing sensible says nothing.
    pub(crate) fn read(&self) -> io::Result<Mark> {
        let mut bytes = [0; BYTES];
        match self.0.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Mark::default()),
            read => read?,
        }
        let (mark, sum) = bytes.split_at(BYTES - 4);
        let (group, blocks) = mark.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        let whole = sum == crc32fast::hash(mark).to_be_bytes();
        Ok(if whole { Mark { group: number(group), blocks: number(blocks) } } else { Mark::default() })
    }

    /// Writes the mark, in place.
    pub(crate) fn write(&self, mark: Mark) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend(mark.group.to_be_bytes());
        bytes.extend(mark.blocks.to_be_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        self.0.write_all_at(&bytes, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_a_broken_one_says_nothing() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("synced");
        let marks = MarkFile::open(&path).expect("opens");
        assert_eq!(marks.read().expect("reads"), Mark::default());
        for group in [1, u64::MAX, 7] {
            let mark = Mark { group, blocks: group / 2 };
            marks.write(mark).expect("writes");
            assert_eq!(MarkFile::open(&path).expect("opens").read().expect("reads"), mark);
        }
        for place in 0..BYTES {
            let mut bytes = std::fs::read(&path).expect("reads");
            bytes[place] ^= 4;
            std::fs::write(&path, &bytes).expect("writes");
            assert_eq!(marks.read().expect("reads"), Mark::default());
            bytes[place] ^= 4;
            std::fs::write(&path, &bytes).expect("writes");
        }
    }
}
