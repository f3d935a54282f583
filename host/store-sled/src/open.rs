//! Opens a store's directory: creates it whole or not at all, repairs what a cut start of sled leaves behind.
//! It reads no record; `SledLog::scan` does, and refuses damaged ones.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::mark::MarkFile;
use crate::notes::NotesPage;
use crate::part::FORMAT;
use crate::replacement;

/// Bytes of pages that sled keeps in memory: the index holds what is looked at often, so a modest cache is enough.
const CACHE_BYTES: u64 = 128 * 1024 * 1024;
/// How often sled's own thread runs. Commits don't wait for it; it is the only one that gives space back.
const BACKGROUND_FLUSH_MS: u64 = 500;

/// How often, and with which pause, a lock is tried: a holder that is just ending may keep it for a moment, and so does
/// sled itself when its last handle was dropped.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The store in a directory can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store in {} is in use by another process; stop that process, or name another data directory", .0.display())]
    Locked(PathBuf),
    /// The directory holds something, and that is no store.
    #[error("{} holds files and no complete store; name a new or an empty directory", .0.display())]
    NotAStore(PathBuf),
    /// A newer release wrote it. Nothing was changed.
    #[error(
        "the store in {} has format {found}, and this release reads up to {FORMAT}; use the release that wrote it (nothing was changed)",
        directory.display()
    )]
    Newer {
        /// The store's directory.
        directory: PathBuf,
        /// The format that it says it has.
        found: u32,
    },
    /// It was made while the format was still being found, and there is nothing that reads it.
    #[error("the store in {} has format {found}, which was never released; name a new directory", directory.display())]
    Unreleased {
        /// The store's directory.
        directory: PathBuf,
        /// The format that it says it has.
        found: u32,
    },
    /// What is there can't be read.
    #[error("the store in {} is damaged: {reason}; put a back-up in its place", directory.display())]
    Damaged {
        /// The store's directory.
        directory: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "create", "sync".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

pub(crate) trait Attempt<T> {
    /// Says what was tried, and on what.
    fn to(self, action: &'static str, path: &Path) -> Result<T, OpenError>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn to(self, action: &'static str, path: &Path) -> Result<T, OpenError> {
        self.map_err(|source| OpenError::Io { action, path: path.to_owned(), source })
    }
}

/// A store's directory in use.
pub(crate) struct Opened {
    /// The tree.
    pub(crate) tree: sled::Db,
    /// A handle of our own on the file that holds it.
    pub(crate) file: File,
    /// The file that says how far it was synced.
    pub(crate) marks: MarkFile,
    /// The page beside the log.
    pub(crate) notes: NotesPage,
}

/// Opens or creates the store in `directory`.
pub(crate) fn open(directory: &Path) -> Result<Opened, OpenError> {
    let directory = &std::path::absolute(directory).to("find", directory)?;
    replacement::put_in_place(directory)?;
    create_unless_there(directory)?;
    let file = unlocked(directory)?;
    check_format(directory)?;
    remove_cut_snapshots(directory)?;
    let tree = match start(directory, Some(BACKGROUND_FLUSH_MS)) {
        Err(StartError::Corrupt(reason)) => {
            // Snapshots only make opening faster; the log by itself has everything.
            tracing::warn!(%reason, directory = %directory.display(), "opening the store without its snapshots");
            set_snapshots_aside(directory)?;
            start(directory, Some(BACKGROUND_FLUSH_MS))
        }
        started => started,
    };
    let tree = tree.map_err(|error| error.at(directory))?;
    let path = directory.join("synced");
    let marks = MarkFile::open(&path).to("open", &path)?;
    let path = directory.join("starts");
    let notes = NotesPage::open(&path).to("make room for", &path)?;
    // The names of the files are part of what must survive a power cut, and sled does not see to them.
    sync(&directory.join("conf"))?;
    sync(directory)?;
    sync(parent(directory))?;
    Ok(Opened { tree, file, marks, notes })
}

/// A store is made beside its place and renamed: a cut creation must not leave a directory that never opens.
fn create_unless_there(directory: &Path) -> Result<(), OpenError> {
    if is_there(directory)? {
        return Ok(());
    }
    let parent = parent(directory);
    create_durably(parent)?;
    // Whoever else is about to create it waits here, and then finds it there.
    let creation = File::open(parent).to("open", parent)?;
    creation.lock().to("lock", parent)?;
    if is_there(directory)? {
        return Ok(());
    }
    let mut name = directory.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".creating");
    let unfinished = parent.join(name);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).to("remove", &unfinished)?;
    }
    fs::create_dir(&unfinished).to("create", &unfinished)?;
    drop(start(&unfinished, None).map_err(|error| error.at(&unfinished))?);
    let format = unfinished.join("format");
    fs::write(&format, format!("{FORMAT}\n")).to("write", &format)?;
    for entry in fs::read_dir(&unfinished).to("read", &unfinished)? {
        sync(&entry.to("read", &unfinished)?.path())?;
    }
    sync(&unfinished)?;
    fs::rename(&unfinished, directory).to("rename the new store to", directory)?;
    sync(parent)
}

/// Whether there is a store; an error when there is something else.
pub(crate) fn is_there(directory: &Path) -> Result<bool, OpenError> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).to("read", directory),
        Ok(mut entries) => {
            if directory.join("db").is_file() && directory.join("format").is_file() {
                Ok(true)
            } else if entries.next().is_none() {
                Ok(false)
            } else {
                Err(OpenError::NotAStore(directory.to_owned()))
            }
        }
    }
}

fn create_durably(directory: &Path) -> Result<(), OpenError> {
    if directory.is_dir() {
        return Ok(());
    }
    create_durably(parent(directory))?;
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created.to("create", directory),
    }?;
    sync(parent(directory))
}

pub(crate) fn parent(directory: &Path) -> &Path {
    directory.parent().unwrap_or(directory)
}

pub(crate) fn sync(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|file| file.sync_all()).to("sync", path)
}

/// The file of a store that nobody else has open. Checked before anything is repaired under another's hands.
pub(crate) fn unlocked(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("db");
    let file = File::open(&path).to("open", &path)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => {
                // sled takes the lock for itself.
                file.unlock().to("unlock", &path)?;
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error).to("lock", &path),
        }
    }
    Err(OpenError::Locked(directory.to_owned()))
}

fn check_format(directory: &Path) -> Result<(), OpenError> {
    let path = directory.join("format");
    let text = fs::read_to_string(&path).to("read", &path)?;
    match text.trim().parse() {
        Ok(found) if found > u32::from(FORMAT) => Err(OpenError::Newer { directory: directory.to_owned(), found }),
        Ok(found) if found < u32::from(FORMAT) => Err(OpenError::Unreleased { directory: directory.to_owned(), found }),
        Ok(_) => Ok(()),
        Err(_) => Err(OpenError::Damaged {
            directory: directory.to_owned(),
            reason: format!("the file `format` says {text:?}, which is no format"),
        }),
    }
}

/// While it starts, sled writes a snapshot under this name and renames it; after a cut start it takes the unfinished
/// file for the newest snapshot and refuses to open.
fn remove_cut_snapshots(directory: &Path) -> Result<(), OpenError> {
    for name in snapshots(directory)? {
        if name.ends_with(".generating") {
            let path = directory.join(&name);
            tracing::info!(path = %path.display(), "removing a snapshot that a cut start left behind");
            fs::remove_file(&path).to("remove", &path)?;
        }
    }
    Ok(())
}

fn set_snapshots_aside(directory: &Path) -> Result<(), OpenError> {
    for name in snapshots(directory)? {
        let path = directory.join(&name);
        fs::rename(&path, directory.join(format!("aside.{name}"))).to("set aside", &path)?;
    }
    Ok(())
}

fn snapshots(directory: &Path) -> Result<Vec<String>, OpenError> {
    let entries = fs::read_dir(directory).to("read", directory)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let snapshots = names.filter(|name| name.as_ref().map_or(true, |name| name.starts_with("snap.")));
    snapshots.collect::<io::Result<_>>().to("read", directory)
}

enum StartError {
    Locked,
    Corrupt(String),
    Unreadable(String),
    Io(io::Error),
}

impl StartError {
    fn at(self, directory: &Path) -> OpenError {
        let directory = directory.to_owned();
        match self {
            Self::Locked => OpenError::Locked(directory),
            Self::Corrupt(reason) | Self::Unreadable(reason) => OpenError::Damaged { directory, reason },
            Self::Io(source) => OpenError::Io { action: "open", path: directory, source },
        }
    }
}

fn start(directory: &Path, flush_every_ms: Option<u64>) -> Result<sled::Db, StartError> {
    let config = sled::Config::new().path(directory).cache_capacity(CACHE_BYTES).flush_every_ms(flush_every_ms);
    for _ in 0..LOCK_TRIES {
        let started = without_panic(AssertUnwindSafe(|| config.open())).map_err(StartError::Unreadable)?;
        match started {
            Ok(tree) => return Ok(tree),
            Err(sled::Error::Io(error)) if is_locked(&error) => std::thread::park_timeout(LOCK_PAUSE),
            Err(sled::Error::Io(error)) => return Err(StartError::Io(error)),
            Err(error @ sled::Error::Corruption { .. }) => return Err(StartError::Corrupt(error.to_string())),
            Err(error) => return Err(StartError::Unreadable(error.to_string())),
        }
    }
    Err(StartError::Locked)
}

fn is_locked(error: &io::Error) -> bool {
    error.to_string().starts_with("could not acquire lock")
}

/// sled panics on some damaged files. That is no bug of ours, and the operator is told like for any other damage.
pub(crate) fn without_panic<T>(read: impl FnOnce() -> T + UnwindSafe) -> Result<T, String> {
    catch_unwind(read).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        format!("sled gave up reading it: {}", text.unwrap_or_default())
    })
}
