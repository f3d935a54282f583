//! What the operating system says of the disk: room, and the lack of it.
//! It opens and syncs nothing.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;

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

/// How much room the file that holds the log takes, and how much its disk has. Asked for with every commit.
pub(crate) fn space(file: &File) -> io::Result<Space> {
    let system = rustix::fs::fstatvfs(file)?;
    let used = file.metadata()?.blocks() * STAT_BLOCK_BYTES;
    Ok(Space { used, free: system.f_bavail.saturating_mul(system.f_frsize) })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

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
    fn what_a_file_takes_is_counted() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[1; 8192]).expect("writes");
        file.sync_all().expect("syncs");
        let space = space(&file).expect("tells");
        assert!((8_192..65_536).contains(&space.used) && space.free > 0, "{space:?}");
    }
}
