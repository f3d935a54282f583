//! A log that is written anew takes the place of the old one, and a cut at any moment leaves the one or the other.
//! That a store calls for it when something is forgotten is the conformance suite's.

use std::fs;
use std::path::Path;

use jobmill_core::Version;
use jobmill_store::{LogOpener, Record};
use jobmill_store_sled::{Durability, SledLog, SledOpener};

use crate::samples::{enqueued, open, order, scan, write};

/// The sample order's customer.
const ADDRESS: &[u8] = b"ada@example.com";

fn opener(directory: &Path) -> SledOpener {
    SledOpener::new(directory.to_owned(), Durability::Full)
}

fn carries_address(directory: &Path) -> bool {
    fs::read_dir(directory).expect("readable").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            carries_address(&path)
        } else {
            fs::read(&path).expect("readable").windows(ADDRESS.len()).any(|bytes| bytes == ADDRESS)
        }
    })
}

/// The log, opened and not read yet.
fn reopened(directory: &Path) -> SledLog {
    SledLog::open(directory, Durability::Full).expect("opens")
}

fn two_orders_and_a_run(directory: &Path) -> Vec<Record> {
    let records = vec![order("one", 10), order("two", 20), enqueued(1, 3_000)];
    let mut log = open(directory);
    write(&mut log, &[&records]);
    records
}

#[test]
fn a_rewritten_log_has_what_was_written_and_no_byte_of_the_rest() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("store");
    let records = two_orders_and_a_run(&directory);
    assert!(carries_address(place.path()), "the test could not fail");
    let kept = vec![records[2].clone()];
    opener(&directory).rewrite(&mut kept.clone().into_iter().map(Ok)).expect("rewritten");
    drop(opener(&directory).open().expect("opens"));
    assert_eq!(scan(&mut reopened(&directory)), Ok(kept));
    assert!(!carries_address(place.path()));
    let left: Vec<_> = fs::read_dir(place.path()).expect("readable").map(|it| it.expect("read").file_name()).collect();
    assert_eq!(left, ["store"]);
}

#[test]
fn a_rewriting_that_was_cut_off_leaves_the_old_log() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("store");
    let records = two_orders_and_a_run(&directory);
    let failing = [Ok(records[2].clone()), Err(jobmill_store::StoreError::Closed)];
    assert!(opener(&directory).rewrite(&mut failing.into_iter()).is_err());
    assert!(place.path().join("store.rewriting").exists());
    assert_eq!(scan(&mut reopened(&directory)), Ok(records));
    assert!(!place.path().join("store.rewriting").exists());
}

#[test]
fn a_replacement_that_was_cut_off_is_finished() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("store");
    let records = two_orders_and_a_run(&directory);
    let kept = vec![records[2].clone()];
    opener(&directory).rewrite(&mut kept.clone().into_iter().map(Ok)).expect("rewritten");
    // As far as `put_in_place` comes before the second of its renames.
    fs::rename(&directory, place.path().join("store.replaced")).expect("renamed");
    assert_eq!(scan(&mut reopened(&directory)), Ok(kept));
    assert!(!carries_address(place.path()));
}

#[test]
fn components_come_along_wherever_a_replacement_is_cut_off() {
    let one = Version::of(b"one");
    for renames in 0..3 {
        let place = tempfile::tempdir().expect("a directory");
        let directory = place.path().join("store");
        let records = two_orders_and_a_run(&directory);
        opener(&directory).components().keep(one, b"one").expect("keeps");
        let kept = vec![records[2].clone()];
        opener(&directory).rewrite(&mut kept.clone().into_iter().map(Ok)).expect("rewritten");
        // As far as `put_in_place` comes.
        let rename =
            |from: &str, to: &str| fs::rename(place.path().join(from), place.path().join(to)).expect("renamed");
        if renames > 0 {
            rename("store/components", "store.rewritten/components");
        }
        if renames > 1 {
            rename("store", "store.replaced");
        }
        drop(opener(&directory).open().expect("opens"));
        assert_eq!(scan(&mut reopened(&directory)), Ok(kept), "after {renames}");
        assert_eq!(opener(&directory).components().read(one), Ok(Some(b"one".to_vec())), "after {renames}");
    }
}
