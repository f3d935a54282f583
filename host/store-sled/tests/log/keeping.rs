//! The log on sled gives back what it was given, whole, after any number of openings.
//! Damage and cut openings are `damage`'s and `repair`'s.

use crate::samples::{enqueued, event, mail_cleared, open, order, order_updated, run, scan, step, write};
use jobmill_core::journal::Entry;
use jobmill_store::{Log, Record};

fn entries(record: Record) -> Vec<Entry> {
    match record {
        Record::Journal { entries, .. } => entries,
        other => panic!("not a journal: {other:?}"),
    }
}

#[test]
fn a_reopened_log_hands_over_what_was_appended_and_goes_on() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("new/store");
    let mut log = open(&directory);
    assert_eq!(scan(&mut log), Ok(Vec::new()));
    write(&mut log, &[&[enqueued(1, 10)], &[event("evt", 10), enqueued(2, 10)]]);
    drop(log);
    for round in 0..5_u32 {
        let mut log = open(&directory);
        assert_eq!(scan(&mut log).map(|records| records.len()), Ok(3 + round as usize));
        write(&mut log, &[&[step(2, 1 + round)]]);
    }
    let mut log = open(&directory);
    write(&mut log, &[&[order("order_1", 10), mail_cleared(3)]]);
    let mut expected = vec![event("evt", 10), enqueued(1, 10), enqueued(2, 10)];
    expected.extend((1..=5).map(|first| step(2, first)));
    expected.extend([mail_cleared(3), order("order_1", 10)]);
    assert_eq!(scan(&mut log), Ok(expected));
}

#[test]
fn the_journal_of_a_run_reads_in_its_order_and_apart_from_others() {
    let home = tempfile::tempdir().expect("a directory");
    let mut log = open(&home.path().join("store"));
    let reader = log.reader();
    assert_eq!(reader.journal(run(1)), Ok(Vec::new()));
    write(&mut log, &[&[enqueued(1, 20_000)], &[enqueued(2, 1)], &[step(1, 1), order_updated(2, 1)], &[step(1, 2)]]);
    let expected = [enqueued(1, 20_000), step(1, 1), step(1, 2)].into_iter().flat_map(entries).collect();
    assert_eq!(reader.journal(run(1)), Ok(expected));
    let expected = [enqueued(2, 1), order_updated(2, 1)].into_iter().flat_map(entries).collect();
    assert_eq!(reader.journal(run(2)), Ok(expected));
}

#[test]
fn the_data_of_an_event_reads_back() {
    let home = tempfile::tempdir().expect("a directory");
    let mut log = open(&home.path().join("store"));
    write(&mut log, &[&[event("a", 9_000), event("ab", 1)]]);
    let data = |id: &str| log.reader().event_data(&id.parse().expect("an event id"));
    let Record::Event { data: expected, .. } = event("a", 9_000) else { panic!("an event") };
    assert_eq!(data("a"), Ok(Some(expected)));
    assert_eq!(data("abc"), Ok(None));
}

#[test]
fn large_records_never_become_files_that_nobody_syncs() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    for number in 0..40 {
        write(&mut log, &[&[enqueued(number, 256 * 1024), order(&format!("order_{number}"), 60_000)]]);
    }
    assert_eq!(scan(&mut log).map(|records| records.len()), Ok(80));
    drop(log);
    let blobs = std::fs::read_dir(directory.join("blobs")).map_or(0, Iterator::count);
    assert_eq!(blobs, 0);
    let mut log = open(&directory);
    assert_eq!(scan(&mut log).map(|records| records.len()), Ok(80));
}

#[test]
fn an_order_that_became_shorter_leaves_no_part_behind() {
    let home = tempfile::tempdir().expect("a directory");
    let mut log = open(&home.path().join("store"));
    for bytes in [20_000, 6_000, 40_000, 1] {
        write(&mut log, &[&[order("order_1", bytes), order("order_1\0", 9_000)]]);
        assert_eq!(scan(&mut log), Ok(vec![order("order_1", bytes), order("order_1\0", 9_000)]));
    }
}

#[test]
fn an_empty_directory_becomes_a_store() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    std::fs::create_dir(&directory).expect("creates");
    let mut log = open(&directory);
    assert_eq!(scan(&mut log), Ok(Vec::new()));
}
