//! Blocks before the floor are given back, and whatever is left of them counts for nothing.
//! When that is done, the store decides.

use jobmill_store::{Log, LogError, Place, Record};

use crate::samples::{enqueued, keys, open, places, scan, step, tamper, write};

fn floor(block: u64) -> Record {
    Record::Floor { block }
}

#[test]
fn released_blocks_are_gone_and_the_others_read_as_before() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    let mut written = Vec::new();
    for number in 0..30 {
        let group = [enqueued(number, 12_000)];
        written.extend(write(&mut log, &[&group]).into_iter().zip(group));
    }
    let last = [enqueued(3, 12_000), floor(20)];
    written.extend(write(&mut log, &[&last]).into_iter().zip(last));
    log.release(10).expect("releases");
    log.release(20).expect("releases");
    let reader = log.reader();
    for (place, record) in &written {
        if place.block() < 20 {
            assert!(matches!(reader.read(*place), Err(LogError::Damaged(_))), "{place:?}");
        } else {
            assert_eq!(reader.read(*place).as_ref(), Ok(record));
        }
    }
    log.sync().expect("syncs");
    drop((log, reader));
    written.retain(|(place, _)| place.block() >= 20);
    let mut log = open(&directory);
    assert_eq!(places(&mut log), Ok(written));
    assert_eq!(log.append(&[step(1, 1)]), Ok(vec![Place::new(31, 0)]));
}

#[test]
fn what_a_cut_release_left_behind_is_removed_and_not_handed_over() {
    let home = tempfile::tempdir().expect("a directory");
    // Nothing was released; some whole blocks and half of one; half of one in the middle.
    for (case, removed) in [(0, 0..0), (1, 0..11), (2, 8..9)] {
        let directory = home.path().join(format!("store {case}"));
        let mut log = open(&directory);
        for number in 0..6 {
            write(&mut log, &[&[enqueued(number, 12_000)]]);
        }
        write(&mut log, &[&[floor(5)]]);
        drop(log);
        tamper(&directory, |tree| {
            for key in &keys(tree)[removed] {
                tree.remove(key).expect("removes");
            }
        });
        let expected = vec![(Place::new(5, 0), enqueued(5, 12_000)), (Place::new(6, 0), floor(5))];
        assert_eq!(places(&mut open(&directory)), Ok(expected), "case {case}");
        tamper(&directory, |tree| assert_eq!(keys(tree).len(), 4, "case {case}"));
    }
}

#[test]
fn the_newest_floor_counts_and_may_stand_anywhere_in_its_group() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    for block in 0..4 {
        write(&mut log, &[&[step(1, block)]]);
    }
    write(&mut log, &[&[floor(1), step(2, 1)], &[step(2, 2), floor(2), floor(3), step(2, 3)], &[step(2, 4)]]);
    drop(log);
    let expected = vec![step(1, 3), floor(1), step(2, 1), step(2, 2), floor(2), floor(3), step(2, 3), step(2, 4)];
    assert_eq!(scan(&mut open(&directory)), Ok(expected));
}

#[test]
fn a_floor_may_cut_a_group_in_two() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    let group: Vec<_> = (0..4).map(|number| enqueued(number, 70_000)).collect();
    write(&mut log, &[&group, &[floor(2)]]);
    log.release(2).expect("releases");
    drop(log);
    let expected = vec![enqueued(2, 70_000), enqueued(3, 70_000), floor(2)];
    assert_eq!(scan(&mut open(&directory)), Ok(expected));
}

#[test]
fn a_floor_that_was_never_synced_releases_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    write(&mut log, &[&[step(1, 1)], &[step(1, 2)]]);
    // The group with the floor lacks its second block.
    log.append(&[floor(1), enqueued(1, 70_000)]).expect("appends");
    drop(log);
    tamper(&directory, |tree| {
        for key in keys(tree).iter().filter(|key| key[..8] == 3_u64.to_be_bytes()) {
            tree.remove(key).expect("removes");
        }
    });
    assert_eq!(scan(&mut open(&directory)), Ok(vec![step(1, 1), step(1, 2)]));
}

#[test]
fn a_floor_above_itself_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    write(&mut log, &[&[step(1, 1)], &[floor(2)]]);
    let Err(LogError::Damaged(text)) = scan(&mut log) else { panic!("not refused") };
    assert!(text.starts_with("block 1 can't be read: it says that every block before 2 is void"), "{text}");
}

#[test]
fn a_block_that_is_missing_above_the_floor_is_missed() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    for block in 0..4 {
        write(&mut log, &[&[step(1, block)]]);
    }
    write(&mut log, &[&[floor(2)]]);
    log.release(3).expect("releases");
    drop(log);
    let mut log = jobmill_store_sled::SledLog::open(&directory, jobmill_store_sled::Durability::Full).expect("opens");
    let Err(LogError::Damaged(text)) = scan(&mut log) else { panic!("not refused") };
    assert!(text.starts_with("block 2 is missing"), "{text}");
}

#[test]
fn released_room_is_used_again() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    let mut largest = 0;
    for round in 0..40_u32 {
        let group: Vec<_> = (0..20).map(|number| enqueued(round * 20 + number, 50_000)).collect();
        let newest = write(&mut log, &[&group]).last().expect("a place").block();
        write(&mut log, &[&[floor(newest)]]);
        log.release(newest).expect("releases");
        log.sync().expect("syncs");
        largest = largest.max(log.space().expect("tells").used);
    }
    drop(log);
    assert_eq!(scan(&mut open(&directory)).map(|records| records.len()), Ok(2));
    // Forty megabytes were written, and never more than two of them counted.
    assert!(largest < 30_000_000, "{largest} bytes");
}
