//! The page of notes says what was written last, to any thread and to the next process, or nothing.
//! Whose starts stand on it, and what they mean, is the store's.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};

use jobmill_store::{Log, LogError, Record};

use crate::samples::{enqueued, open, step, write};

fn starts(count: u32) -> Vec<Record> {
    (0..count).map(|number| step(number, 1)).collect()
}

#[test]
fn a_page_says_what_was_written_last_also_after_the_log_is_opened_again() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    for count in [0, 1_000, 3, 0, 500] {
        let log = open(&directory);
        log.notes().write(&starts(count)).expect("writes");
        assert_eq!(log.notes().read(), Ok(starts(count)));
        drop(log);
        assert_eq!(open(&directory).notes().read(), Ok(starts(count)), "{count} starts");
    }
}

#[test]
fn a_new_page_says_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    assert_eq!(open(&home.path().join("store")).notes().read(), Ok(Vec::new()));
}

#[test]
fn a_torn_page_says_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let log = open(&directory);
    log.notes().write(&starts(40)).expect("writes");
    let older = fs::read(directory.join("starts")).expect("reads");
    log.notes().write(&starts(60)).expect("writes");
    let newer = fs::read(directory.join("starts")).expect("reads");
    let used = newer.iter().rposition(|byte| *byte != 0).expect("is not empty") + 1;
    let file = OpenOptions::new().write(true).open(directory.join("starts")).expect("opens");
    let mut torn = 0;
    for cut in (0..used).step_by(97) {
        let mut page = newer[..cut].to_vec();
        page.extend(&older[cut..]);
        file.write_all_at(&page, 0).expect("writes");
        let expected = if page == older { starts(40) } else { Vec::new() };
        torn += u32::from(page != older);
        assert_eq!(log.notes().read(), Ok(expected), "cut at {cut}");
    }
    assert!(torn > 10, "{torn}");
    file.write_all_at(&newer, 0).expect("writes");
    assert_eq!(log.notes().read(), Ok(starts(60)));
}

#[test]
fn a_page_has_all_of_its_room_from_the_beginning() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let log = open(&directory);
    let room = || {
        let file = fs::metadata(directory.join("starts")).expect("is there");
        (file.len(), file.blocks() * 512 >= file.len())
    };
    assert_eq!(room(), (1024 * 1024, true));
    log.notes().write(&starts(5_000)).expect("writes");
    assert_eq!(room(), (1024 * 1024, true));
}

#[test]
fn a_page_that_was_cut_when_it_was_made_is_made_whole() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    drop(open(&directory));
    OpenOptions::new().write(true).open(directory.join("starts")).and_then(|file| file.set_len(4_096)).expect("cuts");
    let log = open(&directory);
    log.notes().write(&starts(5_000)).expect("writes");
    assert_eq!(log.notes().read(), Ok(starts(5_000)));
}

#[test]
fn more_starts_than_fit_are_refused_and_the_page_keeps_what_it_said() {
    let home = tempfile::tempdir().expect("a directory");
    let log = open(&home.path().join("store"));
    log.notes().write(&starts(2)).expect("writes");
    let refused = log.notes().write(&[enqueued(1, 1024 * 1024)]);
    assert!(matches!(refused, Err(LogError::Full(_))), "{refused:?}");
    assert_eq!(log.notes().read(), Ok(starts(2)));
}

#[test]
fn notes_are_written_by_one_thread_while_another_appends() {
    let home = tempfile::tempdir().expect("a directory");
    let mut log = open(&home.path().join("store"));
    let notes = log.notes();
    let writer = std::thread::spawn(move || {
        for count in 0..200 {
            notes.write(&starts(count)).expect("writes");
        }
        notes.read()
    });
    for number in 0..50 {
        write(&mut log, &[&[enqueued(number, 10)]]);
    }
    assert_eq!(writer.join().expect("ends"), Ok(starts(199)));
}
