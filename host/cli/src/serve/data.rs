//! The data directory: created for its owner alone, and held by one process at a time.
//! It knows nothing of what lies in it but the lock and the cache.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A data directory that this process holds.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    /// The lock ends with the file, and the file with the process, however that ends.
    lock: File,
}

/// Who holds a data directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Nobody,
    /// A process, as far as it wrote down who it is.
    Process {
        /// Its number.
        number: String,
        /// Where it answers HTTP, once it does.
        address: Option<SocketAddr>,
    },
}

impl DataDirectory {
    /// Creates the directory if need be, and takes it.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        create_private(path).map_err(|error| unusable(path, "created", &error))?;
        let mut lock = lock_file(path, true).map_err(|error| unusable(path, "locked", &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let (number, _) = written_in(&mut lock);
                let text = format!("the data directory {} is in use by the process {number}", path.display());
                return Err(Failure::new("data-in-use", text)
                    .advise("stop that process, or give this one a directory of its own with --data"));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(path, "locked", &error)),
        }
        // For people who meet the lock; the lock itself does not depend on it.
        let written =
            lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
        written.map_err(|error| unusable(path, "written", &error))?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// Writes down where this process answers, for commands that would open the store themselves otherwise.
    pub(crate) fn tell_address(&mut self, address: SocketAddr) -> Result<(), Failure> {
        writeln!(self.lock, "{address}").map_err(|error| unusable(&self.path, "written", &error))
    }

    /// Where compiled jobs are kept.
    pub(crate) fn cache(&self) -> Result<PathBuf, Failure> {
        // The runtime wants to know the place whatever the working directory becomes. Whether that itself is a link is not
        // resolved here: code is taken from no place that one leads to.
        let directory = self.path.canonicalize().map_err(|error| unusable(&self.path, "found", &error))?;
        let cache = directory.join("cache");
        create_private(&cache).map_err(|error| unusable(&cache, "created", &error))?;
        Ok(cache)
    }

    /// Who holds the directory; changes nothing.
    pub(crate) fn holder(path: &Path) -> io::Result<Holder> {
        let mut lock = match lock_file(path, false) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holder::Nobody),
            Err(error) => return Err(error),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Holder::Nobody),
            Err(TryLockError::WouldBlock) => {
                let (number, address) = written_in(&mut lock);
                Ok(Holder::Process { number, address })
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Mails and payloads lie here: they are their owner's alone.
fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn lock_file(directory: &Path, create: bool) -> io::Result<File> {
    let path = directory.join("lock");
    OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path)
}

/// The number of the process that holds the lock, and where it answers, as far as it wrote that down.
fn written_in(lock: &mut File) -> (String, Option<SocketAddr>) {
    let mut text = String::new();
    // What can't be read is as good as not written.
    let _ = lock.rewind().and_then(|()| (&*lock).take(128).read_to_string(&mut text));
    let mut lines = text.lines();
    let number = lines.next().filter(|number| number.parse::<u32>().is_ok()).unwrap_or("(unknown)");
    (number.to_owned(), lines.next().and_then(|address| address.parse().ok()))
}

fn unusable(path: &Path, action: &str, error: &io::Error) -> Failure {
    Failure::new("data-directory", format!("the data directory {} can't be {action}: {error}", path.display()))
        .advise("name another with --data")
}

/// Whether files can be made in a directory: tried, since modes and mounts tell only half of it.
pub(crate) fn is_writable(path: &Path) -> io::Result<()> {
    let probe = path.join(format!(".probe-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(probe)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_is_held_by_one_and_names_its_holder() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("deep/data");
        assert_eq!(DataDirectory::holder(&path).expect("looked"), Holder::Nobody);
        let mut held = DataDirectory::open(&path).expect("taken");
        let me = std::process::id().to_string();
        let holder = |address| Holder::Process { number: me.clone(), address };
        assert_eq!(DataDirectory::holder(&path).expect("looked"), holder(None));
        let address = "[::1]:8288".parse().expect("an address");
        held.tell_address(address).expect("written");
        assert_eq!(DataDirectory::holder(&path).expect("looked"), holder(Some(address)));
        let Err(Failure::Said(report)) = DataDirectory::open(&path) else { panic!("taken twice") };
        assert_eq!(report.code, "data-in-use");
        assert!(report.message.contains(&format!("process {me}")), "{}", report.message);
        drop(held);
        let _held = DataDirectory::open(&path).expect("taken again");
        assert_eq!(DataDirectory::holder(&path).expect("looked"), holder(None), "nothing is left of the first");
    }

    #[test]
    fn a_new_directory_is_its_owners_alone() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("data");
        let held = DataDirectory::open(&path).expect("taken");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&held.cache().expect("made")), 0o700);
        assert_eq!(mode(&path.join("lock")), 0o600);
    }

    #[test]
    fn a_cache_that_is_a_link_is_not_followed() {
        let parent = tempfile::tempdir().expect("a directory");
        let held = DataDirectory::open(&parent.path().join("data")).expect("taken");
        let elsewhere = parent.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("made");
        std::os::unix::fs::symlink(&elsewhere, parent.path().join("data/cache")).expect("linked");
        let cache = held.cache().expect("named");
        assert!(fs::symlink_metadata(&cache).expect("there").is_symlink(), "the runtime sees the link, and refuses it");
    }
}
