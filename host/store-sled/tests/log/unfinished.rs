//! A group that was not written whole was never acknowledged, and is taken off; a whole one never is.

use jobmill_store::{Log, LogError, Place, Record};
use jobmill_store_sled::{Durability, SledLog};

use crate::samples::{enqueued, keys, open, places, scan, step, tamper, write};

/// Three blocks, the middle one in many parts.
fn group() -> [Record; 3] {
    [step(2, 1), enqueued(3, 70_000), step(2, 2)]
}

#[test]
fn an_unfinished_group_is_taken_off_wherever_it_ends() {
    let home = tempfile::tempdir().expect("a directory");
    let whole = home.path().join("whole");
    let mut log = open(&whole);
    write(&mut log, &[&[step(1, 1)], &[step(1, 2)]]);
    drop(log);
    let parts = {
        let mut log = open(&whole);
        log.append(&group()).expect("appends");
        drop(log);
        let mut parts = 0;
        tamper(&whole, |tree| parts = keys(tree).len());
        parts
    };
    assert!(parts > 12, "{parts}");
    for kept in 2..parts {
        let directory = home.path().join(format!("store {kept}"));
        let mut log = open(&directory);
        write(&mut log, &[&[step(1, 1)], &[step(1, 2)]]);
        log.append(&group()).expect("appends");
        drop(log);
        tamper(&directory, |tree| {
            for key in &keys(tree)[kept..] {
                tree.remove(key).expect("removes");
            }
        });
        let mut log = open(&directory);
        assert_eq!(scan(&mut log), Ok(vec![step(1, 1), step(1, 2)]), "{kept} parts");
        // The numbers are used again, and nothing of the old group is left to be mixed with the new one.
        assert_eq!(write(&mut log, &[&[step(1, 3)]]), [Place::new(2, 0)]);
        drop(log);
        let mut log = open(&directory);
        assert_eq!(scan(&mut log), Ok(vec![step(1, 1), step(1, 2), step(1, 3)]), "{kept} parts");
    }
}

#[test]
fn a_group_that_was_written_whole_stays_though_it_was_not_synced() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    write(&mut log, &[&[step(1, 1)]]);
    log.append(&group()).expect("appends");
    drop(log);
    let mut expected = vec![step(1, 1)];
    expected.extend(group());
    assert_eq!(scan(&mut open(&directory)), Ok(expected));
}

#[test]
fn an_unfinished_group_alone_leaves_an_empty_log() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    log.append(&group()).expect("appends");
    drop(log);
    tamper(&directory, |tree| drop(tree.remove(keys(tree).last().expect("a part")).expect("removes")));
    let mut log = open(&directory);
    assert_eq!(scan(&mut log), Ok(Vec::new()));
    write(&mut log, &[&[step(1, 1)]]);
    drop(log);
    assert_eq!(places(&mut open(&directory)), Ok(vec![(Place::new(0, 0), step(1, 1))]));
}

#[test]
fn a_synced_group_that_lacks_its_end_is_damage_and_is_left_as_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let mut log = open(&directory);
    write(&mut log, &[&[step(1, 1)], &group()]);
    drop(log);
    let mut parts = 0;
    tamper(&directory, |tree| {
        tree.remove(keys(tree).last().expect("a part")).expect("removes");
        parts = keys(tree).len();
    });
    let mut log = SledLog::open(&directory, Durability::Full).expect("opens");
    let Err(LogError::Damaged(text)) = scan(&mut log) else { panic!("not refused") };
    assert!(text.starts_with("it was synced up to group 2"), "{text}");
    drop(log);
    tamper(&directory, |tree| assert_eq!(keys(tree).len(), parts));
}
