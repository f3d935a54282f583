//! The components of versions as files beside the log, in `components/` of the store's directory, each under its SHA-256.
//! They are no part of the log; whether one has room is the store's to say.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jobmill_core::{Version, limits};
use jobmill_store::{Components, LogError, checked};

use crate::disk;

/// The directory of components within a store's.
const DIRECTORY: &str = "components";
/// How a component's file ends.
const ENDING: &str = ".wasm";
/// How one ends that is being written.
const UNFINISHED: &str = ".writing";

/// See the module.
#[derive(Clone)]
pub(crate) struct ComponentFiles {
    directory: PathBuf,
    /// Held while files are touched, and while another store takes the place of this one: what is written meanwhile would
    /// be removed with the old one.
    turn: Arc<Mutex<()>>,
}

impl ComponentFiles {
    /// Those of the store in `store`. Nothing is looked at yet.
    pub(crate) fn of(store: &Path) -> Self {
        Self { directory: store.join(DIRECTORY), turn: Arc::default() }
    }

    /// Whoever holds this has the files for itself.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, version: Version) -> PathBuf {
        self.directory.join(format!("{}{ENDING}", version.to_hex()))
    }

    /// Puts a whole file in its place, and makes it durable.
    fn write(&self, version: Version, bytes: &[u8]) -> io::Result<()> {
        if !self.directory.is_dir() {
            fs::create_dir(&self.directory)?;
            self.directory.parent().map_or(Ok(()), sync)?;
        }
        let unfinished = self.directory.join(format!("{}{UNFINISHED}", version.to_hex()));
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished).and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            });
        if let Err(error) = written.and_then(|()| fs::rename(&unfinished, self.path(version))) {
            // What could not be written must not take the room that is missing; the next trim removes it otherwise.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        sync(&self.directory)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        }
    }
}

/// The version whose component a file of this name holds.
fn version_of(name: &str) -> Option<Version> {
    name.strip_suffix(ENDING).and_then(Version::from_hex)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl Components for ComponentFiles {
    fn keep(&self, version: Version, bytes: &[u8]) -> Result<(), LogError> {
        let bytes = checked(version, bytes.to_vec())?;
        let _turn = self.turn();
        if self.path(version).is_file() {
            return Ok(());
        }
        self.write(version, &bytes).map_err(|error| disk::refused(&error))
    }

    fn read(&self, version: Version) -> Result<Option<Vec<u8>>, LogError> {
        let _turn = self.turn();
        let path = self.path(version);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| unreadable(&path, &error))?,
        };
        let mut bytes = Vec::new();
        // One byte more than a component has shows as damage.
        let read = file.take(limits::COMPONENT_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&path, &error))?;
        checked(version, bytes).map(Some)
    }

    fn kept(&self) -> Result<BTreeSet<Version>, LogError> {
        let _turn = self.turn();
        let names = self.names().map_err(|error| unreadable(&self.directory, &error))?;
        Ok(names.iter().filter_map(|name| version_of(name)).collect())
    }

    fn remove_all_but(&self, versions: &BTreeSet<Version>) -> Result<(), LogError> {
        let _turn = self.turn();
        let removed = self.names().and_then(|names| {
            let is_ours = |name: &&String| version_of(name).is_some() || name.ends_with(UNFINISHED);
            let gone = names.iter().filter(is_ours);
            for name in gone.filter(|name| version_of(name).is_none_or(|version| !versions.contains(&version))) {
                fs::remove_file(self.directory.join(name))?;
            }
            Ok(())
        });
        removed.map_err(|error| disk::refused(&error))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> LogError {
    LogError::Io(format!("{} can't be read: {error}", path.display()))
}

/// Moves the components of a store to the one that takes its place. Done before, or without any, it is done.
pub(crate) fn move_along(from: &Path, to: &Path) -> io::Result<()> {
    let (old, new) = (from.join(DIRECTORY), to.join(DIRECTORY));
    if !old.is_dir() || new.exists() {
        return Ok(());
    }
    fs::rename(&old, &new)?;
    sync(to)?;
    sync(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(home: &Path) -> ComponentFiles {
        fs::create_dir(home.join("store")).expect("a directory");
        ComponentFiles::of(&home.join("store"))
    }

    #[test]
    fn what_is_kept_is_read_back_and_of_the_rest_nothing_stays() {
        let home = tempfile::tempdir().expect("a directory");
        let files = files(home.path());
        assert_eq!(files.kept(), Ok(BTreeSet::new()));
        let (one, two) = (Version::of(b"one"), Version::of(b"two"));
        files.keep(one, b"one").expect("keeps");
        files.keep(two, b"two").expect("keeps");
        files.keep(two, b"two").expect("is there already");
        assert_eq!(files.read(one), Ok(Some(b"one".to_vec())));
        assert_eq!(files.kept(), Ok(BTreeSet::from([one, two])));
        let directory = home.path().join("store/components");
        fs::write(directory.join(format!("{}.writing", one.to_hex())), "half").expect("writes");
        fs::write(directory.join("notes.txt"), "somebody's").expect("writes");
        files.remove_all_but(&BTreeSet::from([two])).expect("removes");
        assert_eq!((files.read(one), files.read(two)), (Ok(None), Ok(Some(b"two".to_vec()))));
        let mut names = files.names().expect("reads");
        names.sort();
        assert_eq!(names.len(), 2, "what is not ours stays: {names:?}");
    }

    #[test]
    fn damage_is_refused_and_named() {
        let home = tempfile::tempdir().expect("a directory");
        let files = files(home.path());
        let one = Version::of(b"one");
        assert!(matches!(files.keep(one, b"other"), Err(LogError::Damaged(_))), "other bytes are not kept");
        files.keep(one, b"one").expect("keeps");
        for bytes in ["onf", "on", ""] {
            fs::write(files.path(one), bytes).expect("writes");
            let Err(LogError::Damaged(reason)) = files.read(one) else { panic!("{bytes:?} was read") };
            assert!(reason.contains(&one.to_hex()), "{reason}");
        }
    }

    #[test]
    fn a_component_that_can_not_be_written_leaves_nothing() {
        let home = tempfile::tempdir().expect("a directory");
        let files = files(home.path());
        fs::write(home.path().join("store/components"), "a file in its way").expect("writes");
        assert!(files.keep(Version::of(b"one"), b"one").is_err());
        fs::remove_file(home.path().join("store/components")).expect("removes");
        files.keep(Version::of(b"one"), b"one").expect("keeps");
    }
}
