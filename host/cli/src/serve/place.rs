//! Where the store lies and how much of the disk it takes, for the dashboard.
//! It opens no store; it only looks at the sizes of files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jobmill_server::StorePlace;

/// Directories below a store's that are looked into: sled has one.
const DEPTH: u8 = 3;

/// A store at `store` in the data directory `data`.
pub(crate) fn store_place(data: &Path, store: &Path) -> StorePlace {
    let directory = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let store = store.to_owned();
    StorePlace { directory, bytes: Arc::new(move || bytes_below(&store, DEPTH)) }
}

/// The sizes of all files together. A file that goes while it is looked at takes nothing any more.
fn bytes_below(directory: &Path, depth: u8) -> Option<u64> {
    let mut sum = 0_u64;
    for entry in fs::read_dir(directory).ok()?.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() {
            sum = sum.saturating_add(metadata.len());
        } else if metadata.is_dir() && depth > 0 {
            sum = sum.saturating_add(bytes_below(&entry.path(), depth - 1).unwrap_or_default());
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_directory_are_counted_and_links_are_not_followed() {
        let data = tempfile::TempDir::new().expect("a directory");
        let store = data.path().join("store");
        assert_eq!(bytes_below(&store, DEPTH), None);
        fs::create_dir_all(store.join("blobs")).expect("directories");
        fs::write(store.join("db"), [0; 700]).expect("a file");
        fs::write(store.join("blobs/1"), [0; 77]).expect("a file");
        fs::write(data.path().join("lock"), [0; 9]).expect("a file");
        std::os::unix::fs::symlink(data.path(), store.join("loop")).expect("a link");
        assert_eq!((store_place(data.path(), &store).bytes)(), Some(777));
    }
}
