//! The log on sled gives back what it was given, whole, after any number of openings.
//! Damage and cut openings are `damage`'s and `repair`'s.

use std::path::Path;

use jobmill_core::{DeliveryId, EventKey};
use jobmill_store::{Log, LogError, LogOpener, Place, Record};
use jobmill_store_sled::{Durability, SledLog, SledOpener};

use crate::samples::{enqueued, event, mail, mail_cleared, open, order, places, run, scan, step, write};

#[test]
fn a_reopened_log_hands_over_what_was_appended_and_goes_on() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("new/store");
    let mut log = open(&directory);
    write(&mut log, &[&[enqueued(1, 10)], &[event("evt", 10), enqueued(2, 10)]]);
    drop(log);
    let mut expected = vec![enqueued(1, 10), event("evt", 10), enqueued(2, 10)];
    for round in 0..5_u32 {
        let mut log = open(&directory);
        assert_eq!(scan(&mut log), Ok(expected.clone()));
        write(&mut log, &[&[step(2, 1 + round)]]);
        expected.push(step(2, 1 + round));
    }
    let last = [
        order("order_1", 10),
        mail_cleared(3),
        Record::Pruned { runs: vec![run(1)] },
        Record::PrunedEvents { events: vec![EventKey::from_bytes([7; 16])] },
        Record::PrunedDeliveries { deliveries: vec![DeliveryId::from_bytes([8; 16])] },
    ];
    let mut log = open(&directory);
    write(&mut log, &[&last]);
    drop(log);
    expected.extend(last);
    assert_eq!(scan(&mut open(&directory)), Ok(expected));
}

#[test]
fn every_record_reads_at_its_place_before_and_after_it_is_synced() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    let reader = log.reader();
    let mut written = Vec::new();
    for number in 0..120 {
        let group = [enqueued(number, 300), mail(number, 1, 900), step(number, 2)];
        let places = log.append(&group).expect("appends");
        assert_eq!(places.len(), group.len());
        for (place, record) in places.iter().zip(&group) {
            assert_eq!(reader.read(*place).as_ref(), Ok(record));
        }
        written.extend(places.into_iter().zip(group));
    }
    log.sync().expect("syncs");
    assert_eq!(places(&mut log), Ok(written.clone()));
    // More blocks than are kept in memory, in an order in which none that is kept helps.
    for (place, record) in written.iter().step_by(7).chain(written.iter().rev()) {
        assert_eq!(reader.read(*place).as_ref(), Ok(record), "{place:?}");
    }
    drop((log, reader));
    let mut log = open(&directory);
    assert_eq!(places(&mut log), Ok(written));
}

#[test]
fn a_block_reads_whole() {
    let home = tempfile::tempdir().expect("a directory");
    let mut log = open(&home.path().join("store"));
    let group: Vec<_> = (0..100).map(|number| enqueued(number, 3_000)).collect();
    let places = write(&mut log, &[&group]);
    let last = places.last().expect("a place").block();
    assert!(last > 2, "{last} blocks");
    let blocks: Vec<_> = (0..=last).flat_map(|block| log.reader().block(block).expect("is there")).collect();
    assert_eq!(blocks, group);
}

#[test]
fn a_place_where_nothing_stands_is_an_error() {
    let home = tempfile::tempdir().expect("a directory");
    let mut log = open(&home.path().join("store"));
    write(&mut log, &[&[step(1, 1)]]);
    let refused = |place| match log.reader().read(place) {
        Err(LogError::Damaged(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(refused(Place::new(1, 0)).starts_with("block 1 is missing"));
    assert!(refused(Place::new(0, 1)).contains("no record 1"));
    assert!(matches!(log.reader().block(1), Err(LogError::Damaged(_))));
}

#[test]
fn an_empty_group_is_none() {
    let home = tempfile::tempdir().expect("a directory");
    let mut log = open(&home.path().join("store"));
    assert_eq!(log.append(&[]), Ok(Vec::new()));
    assert_eq!(write(&mut log, &[&[step(1, 1)]]), [Place::new(0, 0)]);
    assert_eq!(scan(&mut log), Ok(vec![step(1, 1)]));
}

fn files_for_large_values(directory: &Path) -> usize {
    std::fs::read_dir(directory.join("blobs")).map_or(0, Iterator::count)
}

#[test]
fn large_records_never_become_files_that_nobody_syncs() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    let mut written = Vec::new();
    for number in 0..20 {
        let group = [enqueued(number, 256 * 1024), step(number, 1), mail(number, 2, 1024 * 1024)];
        write(&mut log, &[&group]);
        written.extend(group);
    }
    assert!(scan(&mut log).expect("is whole") == written);
    drop(log);
    assert_eq!(files_for_large_values(&directory), 0);
    assert!(scan(&mut open(&directory)).expect("is whole") == written);
}

#[test]
fn mails_that_are_alike_take_far_less_than_their_bytes() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    let before = log.space().expect("tells").used;
    let mut bytes = 0;
    for group in 0..100 {
        let mails: Vec<_> = (0..100).map(|number| mail(group * 100 + number, 0, 0)).collect();
        bytes += mails.len() * 3_000;
        write(&mut log, &[&mails]);
    }
    drop(log);
    let log = open(&directory);
    let space = log.space().expect("tells");
    assert!(space.used - before < bytes as u64 / 2, "{bytes} bytes of mail take {}", space.used - before);
    assert!(space.free > 0);
}

#[test]
fn an_empty_directory_becomes_a_store() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    std::fs::create_dir(&directory).expect("creates");
    let mut log = open(&directory);
    assert_eq!(scan(&mut log), Ok(Vec::new()));
}

#[test]
fn a_relaxed_log_keeps_what_it_was_given_when_its_process_ends() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut written = Vec::new();
    for number in 0..3 {
        let mut log = SledLog::open(&directory, Durability::Relaxed).expect("opens");
        assert_eq!(scan(&mut log), Ok(written.clone()));
        write(&mut log, &[&[enqueued(number, 10)]]);
        written.push(enqueued(number, 10));
    }
    assert_eq!(scan(&mut open(&directory)), Ok(written));
}

#[test]
fn an_opener_opens_again_once_everything_of_the_log_is_dropped() {
    let home = tempfile::tempdir().expect("a directory");
    let mut opener = SledOpener::new(home.path().join("store"), Durability::Full);
    for number in 0..4_u32 {
        let mut log = opener.open().expect("opens");
        let mut found = 0;
        log.scan(&mut |_, _| found += 1).expect("is whole");
        assert_eq!(found, number);
        let (reader, notes) = (log.reader(), log.notes());
        let places = log.append(&[step(number, 1)]).expect("appends");
        log.sync().expect("syncs");
        drop(log);
        assert_eq!(reader.read(places[0]), Ok(step(number, 1)));
        drop((reader, notes));
    }
}
