//! The C libraries that come between the binary and libc, compiled once per test process.
//! What each does is written in its own file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::support::target_directory;

/// Where those lie that are compiled already.
static COMPILED: Mutex<BTreeMap<&'static str, PathBuf>> = Mutex::new(BTreeMap::new());

/// The environment with which the binary runs behind the shim of this name.
pub(crate) fn environment(
    name: &'static str,
    settings: impl IntoIterator<Item = (&'static str, OsString)>,
) -> Vec<(&'static str, OsString)> {
    let mut environment = vec![("LD_PRELOAD", compiled(name).into())];
    environment.extend(settings);
    environment
}

fn compiled(name: &'static str) -> PathBuf {
    let mut compiled = COMPILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let make = || {
        let directory = target_directory().join("tmp/shims");
        std::fs::create_dir_all(&directory).expect("created");
        let (unfinished, library) =
            (directory.join(format!("{name}.{}", std::process::id())), directory.join(format!("{name}.so")));
        compile(name, &unfinished);
        // Another test process may be using it.
        std::fs::rename(unfinished, &library).expect("renamed");
        library
    };
    compiled.entry(name).or_insert_with(make).clone()
}

fn compile(name: &str, to: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("crash/shims").join(format!("{name}.c"));
    let output = Command::new("cc")
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-pthread", "-o"])
        .arg(to)
        .arg(&source)
        .arg("-ldl")
        .output()
        .unwrap_or_else(|error| panic!("cc: {error}: these tests need a C compiler, such as gcc"));
    assert!(output.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
}

/// A file with one number of eight bytes, which a shim maps: the wall clock's offset, the disk's size.
pub(crate) struct Dial(PathBuf);

impl Dial {
    pub(crate) fn new(path: PathBuf, value: i64) -> Self {
        std::fs::write(&path, value.to_ne_bytes()).expect("written");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes in place, so that the mapping sees it.
    pub(crate) fn set(&self, value: i64) {
        let file = std::fs::File::options().write(true).open(&self.0).expect("opened");
        std::os::unix::fs::FileExt::write_all_at(&file, &value.to_ne_bytes(), 0).expect("written");
    }
}
