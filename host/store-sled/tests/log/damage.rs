//! What is not what was written is refused, by name, and never handed over; what is missing is missed.
//! Damage that sled leaves behind by itself is `repair`'s.

use std::fs;
use std::path::{Path, PathBuf};

use jobmill_store::{LogError, Record};
use jobmill_store_sled::SledLog;

use crate::samples::{enqueued, event, open, order, run, scan, step, write};

/// A closed store, and what was written to it.
fn filled(directory: &Path) -> Vec<Record> {
    let mut log = open(directory);
    for number in 0..40 {
        write(&mut log, &[&[enqueued(number, 300)]]);
    }
    write(&mut log, &[&[event("evt", 300), order("order_1", 300)]]);
    for number in 0..40 {
        write(&mut log, &[&[step(number, 1)]]);
    }
    scan(&mut log).expect("is whole")
}

/// Changes the tree under a closed store.
fn tamper(directory: &Path, change: impl FnOnce(&sled::Db)) {
    let tree = sled::open(directory).expect("opens");
    change(&tree);
    tree.flush().expect("flushes");
}

fn damaged(directory: &Path) -> String {
    let mut log = SledLog::open(directory).expect("opens");
    match scan(&mut log) {
        Err(LogError::Damaged(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

/// The keys of a run's journal.
fn keys(tree: &sled::Db, number: u32) -> Vec<sled::IVec> {
    let mut prefix = vec![b'j'];
    prefix.extend(run(number).to_bytes());
    tree.scan_prefix(prefix).keys().collect::<Result<_, _>>().expect("reads")
}

#[test]
fn a_changed_value_is_refused_by_the_name_of_its_record() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    filled(&directory);
    tamper(&directory, |tree| {
        let key = &keys(tree, 7)[1];
        let mut value = tree.get(key).expect("reads").expect("is there").to_vec();
        let last = value.len() - 1;
        value[last] ^= 1;
        tree.insert(key, value).expect("writes");
    });
    assert_eq!(damaged(&directory), format!("entry 1 of {} does not match its checksum", run(7)));
}

#[test]
fn a_record_of_a_newer_release_is_refused_as_such() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    filled(&directory);
    tamper(&directory, |tree| {
        let (key, value) = tree.scan_prefix(b"o").next().expect("an order").expect("reads");
        let mut value = value.to_vec();
        value[0] = 9;
        tree.insert(key, value).expect("writes");
    });
    let text = damaged(&directory);
    assert!(text.starts_with("order \"order_1\" has format 9"), "{text}");
}

#[test]
fn a_missing_part_is_missed() {
    let home = tempfile::tempdir().expect("a directory");
    for (part, text) in [(0, "part 0"), (2, "part 2"), (4, "part 4")] {
        let directory = home.path().join(format!("store {part}"));
        let mut log = open(&directory);
        write(&mut log, &[&[enqueued(1, 20_000)], &[enqueued(2, 1)]]);
        drop(log);
        tamper(&directory, |tree| drop(tree.remove(&keys(tree, 1)[part]).expect("removes")));
        assert_eq!(damaged(&directory), format!("entry 0 of {} lacks {text}", run(1)));
    }
}

#[test]
fn a_missing_entry_is_missed_in_the_middle_and_at_both_ends() {
    let home = tempfile::tempdir().expect("a directory");
    for (missing, text) in
        [(0, "its beginning is missing"), (1, "entries are missing"), (2, "put a back-up in its place")]
    {
        let directory = home.path().join(format!("store {missing}"));
        let mut log = open(&directory);
        write(&mut log, &[&[enqueued(1, 1)], &[step(1, 1)], &[step(1, 2)], &[enqueued(2, 1)]]);
        drop(log);
        tamper(&directory, |tree| drop(tree.remove(&keys(tree, 1)[missing]).expect("removes")));
        let found = damaged(&directory);
        assert!(found.contains(text), "{found}");
    }
}

#[test]
fn an_unknown_key_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    filled(&directory);
    tamper(&directory, |tree| drop(tree.insert("stranger", "x").expect("writes")));
    assert!(damaged(&directory).contains("unknown key"));
}

#[test]
fn what_is_missing_can_be_given_up_by_hand() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let written = filled(&directory);
    tamper(&directory, |tree| drop(tree.remove(&keys(tree, 3)[1]).expect("removes")));
    assert!(damaged(&directory).contains("`synced`"));
    fs::remove_file(directory.join("synced")).expect("removes");
    for _ in 0..2 {
        let mut log = open(&directory);
        assert_eq!(scan(&mut log).map(|records| records.len()), Ok(written.len() - 1));
        write(&mut log, &[&[order("order_1", 1)]]);
    }
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("blobs")).expect("creates");
    for path in files(from) {
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copies");
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("reads").map(|entry| entry.expect("reads").path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Opens a copy in which one file has other bytes: it has everything, or it is refused.
fn is_whole_or_refused(original: &Path, copy: &Path, file: &Path, bytes: &[u8], written: &[Record]) -> bool {
    copy_files(original, copy);
    fs::write(copy.join(file.file_name().expect("a name")), bytes).expect("writes");
    let found = SledLog::open(copy).ok().and_then(|mut log| scan(&mut log).ok());
    fs::remove_dir_all(copy).expect("removes");
    found.is_none_or(|found| found == written)
}

#[test]
fn a_flipped_bit_in_any_file_never_loses_or_changes_a_record_unnoticed() {
    let home = tempfile::tempdir().expect("a directory");
    let (directory, copy) = (home.path().join("store"), home.path().join("copy"));
    let written = filled(&directory);
    for file in files(&directory) {
        let bytes = fs::read(&file).expect("reads");
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        for trial in 0..60 {
            let (place, bit) = ((trial * 7_919 * 131) % used, trial % 8);
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            let fine = is_whole_or_refused(&directory, &copy, &file, &flipped, &written);
            assert!(fine, "bit {bit} of byte {place} of {}", file.display());
        }
    }
}

#[test]
fn a_log_that_was_cut_or_zeroed_never_loses_a_record_unnoticed() {
    let home = tempfile::tempdir().expect("a directory");
    let (directory, copy) = (home.path().join("store"), home.path().join("copy"));
    let written = filled(&directory);
    let file = directory.join("db");
    let bytes = fs::read(&file).expect("reads");
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
    for trial in 0..20 {
        let length = used * trial / 20;
        let cut = &bytes[..length];
        assert!(is_whole_or_refused(&directory, &copy, &file, cut, &written), "cut to {length}");
        let mut zeroed = bytes.clone();
        zeroed[length..].fill(0);
        assert!(is_whole_or_refused(&directory, &copy, &file, &zeroed, &written), "zero from {length}");
    }
}
