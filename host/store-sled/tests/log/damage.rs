//! What is not what was written is refused, by name, and never handed over; what is missing is missed.
//! Damage that sled leaves behind by itself is `repair`'s.

use std::fs;
use std::path::{Path, PathBuf};

use jobmill_store::{Log, LogError, Place, Record};
use jobmill_store_sled::{Durability, SledLog};

use crate::samples::{enqueued, event, open, order, scan, step, tamper, write};

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

fn damaged(directory: &Path) -> String {
    let mut log = SledLog::open(directory, Durability::Full).expect("opens");
    match scan(&mut log) {
        Err(LogError::Damaged(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

/// Where the parts of a block are among the keys.
fn parts(tree: &sled::Db, block: u64) -> Vec<sled::IVec> {
    tree.scan_prefix(block.to_be_bytes()).keys().collect::<Result<_, _>>().expect("reads")
}

fn remove(directory: &Path, block: u64, part: usize) {
    tamper(directory, |tree| drop(tree.remove(&parts(tree, block)[part]).expect("removes")));
}

#[test]
fn a_changed_value_is_refused_by_the_name_of_its_block() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    filled(&directory);
    tamper(&directory, |tree| {
        let key = &parts(tree, 7)[0];
        let mut value = tree.get(key).expect("reads").expect("is there").to_vec();
        let last = value.len() - 1;
        value[last] ^= 1;
        tree.insert(key, value).expect("writes");
    });
    let text = "block 7 does not match its checksum; put a back-up of the store in its place";
    assert_eq!(damaged(&directory), text);
    let log = SledLog::open(&directory, Durability::Full).expect("opens");
    assert_eq!(log.reader().read(Place::new(7, 0)), Err(LogError::Damaged(text.to_owned())));
}

#[test]
fn a_block_of_a_newer_release_is_refused_as_such() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    filled(&directory);
    tamper(&directory, |tree| {
        let key = &parts(tree, 40)[0];
        let mut value = tree.get(key).expect("reads").expect("is there").to_vec();
        value[0] = 9;
        tree.insert(key, value).expect("writes");
    });
    let text = damaged(&directory);
    assert_eq!(text, "block 40 has format 9, and this release reads up to 3; use the release that wrote it");
}

#[test]
fn a_part_that_is_missing_is_missed_at_the_beginning_in_the_middle_and_at_the_end() {
    let home = tempfile::tempdir().expect("a directory");
    for (part, text) in [(0, "block 1 lacks part 0"), (2, "block 1 lacks part 2"), (3, "block 1 lacks part 3")] {
        let directory = home.path().join(format!("store {part}"));
        let mut log = open(&directory);
        write(&mut log, &[&[step(1, 1)], &[enqueued(1, 20_000)], &[enqueued(2, 1)]]);
        drop(log);
        remove(&directory, 1, part);
        let found = damaged(&directory);
        assert!(found.starts_with(text), "{found}");
    }
}

#[test]
fn a_block_that_is_missing_is_missed_at_the_beginning_in_the_middle_and_at_the_end() {
    let home = tempfile::tempdir().expect("a directory");
    let text = |missing| match missing {
        4 => "it was synced up to group 3 (blocks before 5), and it ends with group 2 (blocks before 4)".to_owned(),
        missing => format!("block {missing} is missing; put a back-up of the store in its place"),
    };
    for missing in 0..5 {
        let directory = home.path().join(format!("store {missing}"));
        let mut log = open(&directory);
        // One group in one block, one in three, one in one.
        write(&mut log, &[&[step(1, 1)], &[step(1, 2), enqueued(2, 70_000), step(1, 3)], &[step(1, 4)]]);
        drop(log);
        tamper(&directory, |tree| {
            for key in parts(tree, missing) {
                tree.remove(key).expect("removes");
            }
        });
        let found = damaged(&directory);
        assert!(found.starts_with(&text(missing)), "{found}");
    }
}

#[test]
fn a_block_of_another_store_does_not_pass_in_its_place() {
    let home = tempfile::tempdir().expect("a directory");
    let (directory, other) = (home.path().join("store"), home.path().join("other"));
    filled(&directory);
    let mut log = open(&other);
    write(&mut log, &[&[enqueued(1, 70_000), enqueued(2, 70_000)], &[enqueued(3, 10)], &[step(1, 1)]]);
    drop(log);
    let mut foreign = None;
    tamper(&other, |tree| foreign = tree.get(&parts(tree, 2)[0]).expect("reads"));
    tamper(&directory, |tree| drop(tree.insert(&parts(tree, 2)[0], foreign.expect("is there")).expect("writes")));
    assert!(damaged(&directory).starts_with("block 2 belongs to group 2, where group 3 goes on or begins"));
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
fn what_is_missing_at_the_end_can_be_given_up_by_hand() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let written = filled(&directory);
    let newest = written.len() as u64 - 2;
    remove(&directory, newest, 0);
    assert!(damaged(&directory).contains("remove the file `synced`"));
    fs::remove_file(directory.join("synced")).expect("removes");
    let mut left = written[..written.len() - 1].to_vec();
    for round in 0..2 {
        let mut log = open(&directory);
        assert_eq!(scan(&mut log), Ok(left.clone()));
        write(&mut log, &[&[step(99, round)]]);
        left.push(step(99, round));
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
    let found = SledLog::open(copy, Durability::Full).ok().and_then(|mut log| scan(&mut log).ok());
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
