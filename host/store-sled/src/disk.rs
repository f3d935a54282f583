//! What the operating system says of the disk: room, and the lack of it.
//! It opens and syncs nothing.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jobmill_store::{LogError, Space};

/// The unit in which files are counted, whatever the blocks of the file system.
const STAT_BLOCK_BYTES: u64 = 512;

/// Whether an error means that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// What an error of the operating system is to a log.
pub(crate) fn refused(error: &io::Error) -> LogError {
    if is_full(error) { LogError::Full(error.to_string()) } else { LogError::Io(error.to_string()) }
}

/// What an error of sled is to a log.
pub(crate) fn refused_by_sled(error: sled::Error) -> LogError {
    match error {
        sled::Error::Io(error) => refused(&error),
        error => LogError::Damaged(error.to_string()),
    }
}

/// How much room the files in `directory` take, and how much its disk has.
pub(crate) fn space(directory: &Path) -> io::Result<Space> {
    let system = rustix::fs::statvfs(directory)?;
    Ok(Space { used: used(directory)?, free: system.f_bavail.saturating_mul(system.f_frsize) })
}

fn used(directory: &Path) -> io::Result<u64> {
    let mut used = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            // sled replaces its snapshots while this looks.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        used += if metadata.is_dir() { self::used(&entry.path())? } else { metadata.blocks() * STAT_BLOCK_BYTES };
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_used_up_quota_are_told_from_other_errors() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            // sled keeps the first error and hands out copies with the same kind and a text.
            let copied = sled::Error::Io(io::Error::from(kind)).clone();
            assert!(matches!(refused_by_sled(copied), LogError::Full(_)), "{kind}");
        }
        let other = sled::Error::Io(io::Error::from(ErrorKind::PermissionDenied));
        assert!(matches!(refused_by_sled(other), LogError::Io(_)));
        let broken = sled::Error::Corruption { at: None, bt: () };
        assert!(matches!(refused_by_sled(broken), LogError::Damaged(_)));
    }

    #[test]
    fn a_file_and_what_is_in_a_directory_within_are_counted() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("db"), [1; 8192]).expect("writes");
        fs::create_dir(home.path().join("blobs")).expect("creates");
        fs::write(home.path().join("blobs/1"), [1; 8192]).expect("writes");
        let used = space(home.path()).expect("tells").used;
        assert!((16_384..65_536).contains(&used), "{used}");
    }
}
