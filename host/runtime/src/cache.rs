//! Compiled code between starts: in a private directory, each file under a MAC, so that nothing becomes code but what this Jobmill had
//! compiled. Remembers too what could not be compiled.
//! It compiles nothing; `compiler` does.

use std::fs::{self, DirBuilder, File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jobmill_core::{Version, limits};
use rustix::fs::{Mode, OFlags};
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::runtime::RuntimeError;

/// Bytes of the key, and of a MAC.
const KEY: usize = 32;
/// The key's file.
const KEY_FILE: &str = "key";
/// What names a file that is not finished.
const UNFINISHED: &str = ".new";

/// Where compiled code is kept.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// The directory; made when it is not there.
    pub directory: PathBuf,
    /// The key of a cache that has none yet: 32 unpredictable bytes.
    pub fresh_key: [u8; KEY],
}

/// Native code that this Jobmill had compiled: taken from a compiler of ours, or from a file under our MAC.
#[derive(Clone)]
pub(crate) struct Code(Vec<u8>);

impl Code {
    /// What a compiler of ours handed over.
    pub(crate) fn compiled(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The component. Refuses code of another engine.
    #[expect(unsafe_code, reason = "wasmtime takes native code on trust; this is the one place that gives it")]
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: these bytes came out of wasmtime's own `precompile_component`, run by this program: over a pipe from a child
        // that it started from its own file, or from a file whose MAC, under a key that only this user can read, was checked
        // on these very bytes in memory. No constructor takes bytes from anywhere else. That they fit this engine is checked
        // by wasmtime.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}

/// What is known of a component.
pub(crate) enum Found {
    /// Its code.
    Code(Code),
    /// Why it could not be compiled.
    Refused(String),
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Refusal,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Refusal => "refused",
        }
    }

    /// Bytes of one file, and files of its kind.
    fn most(self) -> (u64, usize) {
        match self {
            Self::Code => (limits::COMPILED_BYTES, limits::COMPILED_FILES),
            Self::Refusal => (limits::ERROR_TEXT_BYTES as u64, limits::REFUSED_FILES),
        }
    }
}

/// See the module.
pub(crate) struct CodeCache {
    directory: PathBuf,
    key: [u8; KEY],
    /// What code depends on beside the component: the engine, its settings, and how much a compilation may take.
    settings: String,
    /// Held by who writes: making room takes away what is not finished.
    writing: Mutex<()>,
}

impl CodeCache {
    /// Opens the cache of an engine, and makes it when there is none.
    pub(crate) fn open(settings: CacheSettings, engine: &Engine) -> Result<Self, RuntimeError> {
        let CacheSettings { directory, fresh_key } = settings;
        let unusable = |reason: String| RuntimeError::Cache { directory: directory.clone(), reason };
        make_private(&directory).map_err(|error| unusable(error.to_string()))?;
        let key = key(&directory, fresh_key).map_err(|error| unusable(format!("its key: {error}")))?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        (limits::COMPILE_CPU, limits::COMPILE_BYTES).hash(&mut hasher);
        let settings = format!("{:016x}", hasher.finish());
        Ok(Self { directory, key, settings, writing: Mutex::new(()) })
    }

    /// What is known of a component; nothing of one that was never compiled here.
    pub(crate) fn find(&self, version: Version) -> Option<Found> {
        if let Some(code) = self.read(version, Kind::Code) {
            return Some(Found::Code(Code(code)));
        }
        let reason = self.read(version, Kind::Refusal)?;
        String::from_utf8(reason).ok().map(Found::Refused)
    }

    /// Keeps the code of a component. Where that can't be done it is compiled again at the next start.
    pub(crate) fn keep(&self, version: Version, code: &Code) {
        self.write(version, Kind::Code, &code.0);
    }

    /// Keeps why a component can't be compiled.
    pub(crate) fn keep_refusal(&self, version: Version, reason: &str) {
        self.write(version, Kind::Refusal, limits::truncate(reason, limits::ERROR_TEXT_BYTES).as_bytes());
    }

    /// Forgets what is known of a component.
    pub(crate) fn forget(&self, version: Version) {
        for kind in [Kind::Code, Kind::Refusal] {
            // It may not be there.
            let _ = fs::remove_file(self.path(version, kind));
        }
    }

    fn path(&self, version: Version, kind: Kind) -> PathBuf {
        self.directory.join(format!("{}-{}.{}", version.to_hex(), self.settings, kind.extension()))
    }

    /// The MAC of a file: over everything that names it, and what it holds.
    fn mac(&self, version: Version, kind: Kind, content: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(format!("{} {} {}\n", kind.extension(), self.settings, version.to_hex()).as_bytes());
        mac.update(content);
        Some(mac)
    }

    fn read(&self, version: Version, kind: Kind) -> Option<Vec<u8>> {
        let path = self.path(version, kind);
        let (most, _) = kind.most();
        let mut bytes = match read_private(&path, most + KEY as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                drop_damaged(&path, &error.to_string());
                return None;
            }
        };
        let content = bytes.get(KEY..).unwrap_or_default();
        let is_ours = bytes.len() >= KEY
            && self.mac(version, kind, content).is_some_and(|mac| mac.verify_slice(&bytes[..KEY]).is_ok());
        if !is_ours {
            drop_damaged(&path, "it was changed, or is cut off");
            return None;
        }
        bytes.drain(..KEY);
        Some(bytes)
    }

    fn write(&self, version: Version, kind: Kind, content: &[u8]) {
        let path = self.path(version, kind);
        let Some(mac) = self.mac(version, kind, content) else { return };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self
            .make_room(kind, content.len() as u64)
            .and_then(|()| replace(&path, &[mac.finalize().into_bytes().as_slice(), content]));
        if let Err(error) = written {
            tracing::warn!(%error, cache = %self.directory.display(), "compiled code can't be kept; it is compiled again at the next start");
        }
    }

    /// Removes what was used longest ago, until one more file has room, and what was never finished. What else lies there is
    /// not ours, and stays.
    fn make_room(&self, kind: Kind, bytes: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if is_unfinished(&path) && !metadata.is_dir() {
                fs::remove_file(&path)?;
            } else if metadata.is_file() && path.extension().is_some_and(|extension| extension == kind.extension()) {
                files.push((used_at(&metadata), metadata.len(), path));
            }
        }
        files.sort_unstable_by(|one, other| other.cmp(one));
        let (_, most) = kind.most();
        let mut room = limits::CODE_CACHE_BYTES.saturating_sub(bytes);
        for (at, (_, length, path)) in files.into_iter().enumerate() {
            if let Some(left) = room.checked_sub(length).filter(|_| at + 1 < most) {
                room = left;
            } else {
                room = 0;
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Whether a write of ours that was cut off left this.
fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(UNFINISHED));
    name.is_some_and(|name| {
        name == KEY_FILE
            || [Kind::Code, Kind::Refusal].iter().any(|kind| name.ends_with(&format!(".{}", kind.extension())))
    })
}

/// When a file was used last: a read sets the time anew.
fn used_at(metadata: &Metadata) -> u128 {
    let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    modified.unwrap_or_default().as_nanos()
}

/// Makes the directory if there is none. Refuses one that is another user's, or a link; takes from others what they may do there.
fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() {
        return Err(io::Error::other("it is a link, or no directory"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("it belongs to the user {}; code is taken from it", metadata.uid())));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// The key of this cache. One that others could read, or that is damaged, is replaced, which voids what was kept under it.
fn key(directory: &Path, fresh: [u8; KEY]) -> io::Result<[u8; KEY]> {
    let path = directory.join(KEY_FILE);
    match read_private(&path, KEY as u64) {
        Ok(bytes) => {
            if let Ok(key) = <[u8; KEY]>::try_from(bytes) {
                return Ok(key);
            }
            drop_damaged(&path, "it has another length");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => drop_damaged(&path, &error.to_string()),
    }
    replace(&path, &[&fresh])?;
    Ok(fresh)
}

/// The bytes of a regular file of ours that nobody else may touch, and its time of use set anew.
fn read_private(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other("it is not a file of this user's alone"));
    }
    if metadata.len() > most {
        return Err(io::Error::other("it is too long"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    (&file).take(most).read_to_end(&mut bytes)?;
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    // Only how long it is kept hangs on it.
    let _ = rustix::fs::futimens(&file, &rustix::fs::Timestamps { last_access: now, last_modification: now });
    Ok(bytes)
}

/// Writes a file of this user's alone, whole or not at all.
fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    // Of a write that was cut off.
    let _ = fs::remove_file(&unfinished);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    fs::rename(&unfinished, path)
}

fn drop_damaged(path: &Path, reason: &str) {
    tracing::warn!(reason, file = %path.display(), "a file of the cache of compiled code is not taken; it is made anew");
    let _ = fs::remove_file(path);
}

#[cfg(test)]
mod tests;
