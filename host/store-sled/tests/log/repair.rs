//! A start or a creation that was cut short never keeps a store from opening, and nothing foreign or newer is touched.
//! Records that were damaged later are `damage`'s.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jobmill_store_sled::{Durability, OpenError, SledLog};

use crate::samples::{enqueued, open, scan, step, write};

/// A closed store with a few records.
fn filled(directory: &Path) -> usize {
    let mut log = open(directory);
    write(&mut log, &[&[enqueued(1, 20_000)], &[step(1, 1), enqueued(2, 10)], &[step(2, 1)]]);
    4
}

fn snapshots(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("reads").map(|entry| entry.expect("reads").path());
    entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap."))).collect()
}

fn records(directory: &Path) -> usize {
    let mut log = open(directory);
    scan(&mut log).expect("is whole").len()
}

/// Every file with its bytes.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            let bytes = fs::read(&path).expect("reads");
            files.insert(path, bytes);
        }
    }
    files
}

#[test]
fn an_unfinished_snapshot_is_removed() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let written = filled(&directory);
    for bytes in [&b""[..], b"x", &[0; 64]] {
        let planted = directory.join("snap.FFFFFFFFFFFFFFFF.generating");
        fs::write(&planted, bytes).expect("writes");
        assert_eq!(records(&directory), written);
        assert!(!planted.exists());
    }
}

#[test]
fn a_broken_snapshot_is_set_aside() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let written = filled(&directory);
    for bytes in [&b""[..], b"not a snapshot at all"] {
        // Opening makes a snapshot.
        assert_eq!(records(&directory), written);
        let broken = snapshots(&directory);
        assert!(!broken.is_empty());
        for snapshot in &broken {
            fs::write(snapshot, bytes).expect("writes");
        }
        assert_eq!(records(&directory), written);
        for snapshot in broken {
            let name = snapshot.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(directory.join(format!("aside.{name}")).exists());
        }
    }
}

#[test]
fn a_cut_creation_is_begun_anew() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let unfinished = home.path().join("store.creating");
    fs::create_dir(&unfinished).expect("creates");
    fs::write(unfinished.join("db"), "half").expect("writes");
    fs::write(unfinished.join("conf"), "").expect("writes");
    let written = filled(&directory);
    assert!(!unfinished.exists());
    assert_eq!(records(&directory), written);
}

#[test]
fn a_newer_store_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    filled(&directory);
    fs::write(directory.join("format"), "4\n").expect("writes");
    fs::write(directory.join("snap.FFFFFFFFFFFFFFFF.generating"), "x").expect("writes");
    let before = files(&directory);
    let Err(refused) = SledLog::open(&directory, Durability::Full).map(drop) else { panic!("opened") };
    assert!(matches!(refused, OpenError::Newer { found: 4, .. }), "{refused}");
    assert_eq!(files(&directory), before);
}

#[test]
fn a_store_of_a_format_that_was_never_released_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    filled(&directory);
    fs::write(directory.join("format"), "2\n").expect("writes");
    let before = files(&directory);
    let Err(refused) = SledLog::open(&directory, Durability::Full).map(drop) else { panic!("opened") };
    assert!(refused.to_string().ends_with("has format 2, which was never released; name a new directory"), "{refused}");
    assert_eq!(files(&directory), before);
}

#[test]
fn a_format_that_is_none_is_damage() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    filled(&directory);
    fs::write(directory.join("format"), "old\n").expect("writes");
    assert!(matches!(SledLog::open(&directory, Durability::Full), Err(OpenError::Damaged { .. })));
}

#[test]
fn what_is_not_a_store_is_left_alone() {
    let home = tempfile::tempdir().expect("a directory");
    fs::write(home.path().join("thesis.txt"), "mine").expect("writes");
    let before = files(home.path());
    assert!(matches!(SledLog::open(home.path(), Durability::Full), Err(OpenError::NotAStore(_))));
    assert_eq!(files(home.path()), before);
}

#[test]
fn a_store_under_another_process_is_not_repaired() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let log = open(&directory);
    let starting = directory.join("snap.FFFFFFFFFFFFFFFF.generating");
    fs::write(&starting, "x").expect("writes");
    assert!(matches!(SledLog::open(&directory, Durability::Full), Err(OpenError::Locked(_))));
    assert!(starting.exists());
    drop(log);
    assert!(SledLog::open(&directory, Durability::Full).is_ok());
}

#[test]
fn a_directory_that_can_not_be_is_named_in_the_error() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("file");
    fs::write(&file, "mine").expect("writes");
    let Err(error) = SledLog::open(&file.join("store"), Durability::Full).map(drop) else { panic!("opened") };
    assert!(error.to_string().contains(&*file.to_string_lossy()), "{error}");
}
