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
fn what_was_noted_is_there_also_after_the_log_is_opened_again() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let all = starts(600);
    {
        let log = open(&directory);
        assert_eq!(log.notes().add(&all[..1]), Ok(false), "a page is begun before it is added to");
        log.notes().begin(&all[..100]).expect("writes");
        for some in all[100..].chunks(7) {
            assert_eq!(log.notes().add(some), Ok(true));
        }
        assert_eq!(log.notes().read(), Ok(all.clone()));
    }
    let log = open(&directory);
    assert_eq!(log.notes().read(), Ok(all.clone()));
    log.notes().begin(&starts(2)).expect("writes");
    log.notes().begin(&starts(3)).expect("writes");
    let read = open_notes(&log);
    assert!(read.ends_with(&starts(2)) || read.starts_with(&starts(3)), "{} notes", read.len());
}

fn open_notes(log: &impl Log) -> Vec<Record> {
    log.notes().read().expect("reads")
}

#[test]
fn a_full_half_is_left_as_it_is_while_the_other_is_begun() {
    let home = tempfile::tempdir().expect("a directory");
    let log = open(&home.path().join("store"));
    log.notes().begin(&[]).expect("writes");
    let mut noted = 0;
    while log.notes().add(&starts(1_000)).expect("writes") {
        noted += 1_000;
    }
    assert_eq!(open_notes(&log).len(), noted);
    log.notes().begin(&starts(5)).expect("writes");
    assert_eq!(open_notes(&log).len(), noted + 5);
    assert_eq!(log.notes().add(&starts(7)), Ok(true));
    assert_eq!(open_notes(&log).len(), noted + 12);
}

#[test]
fn a_new_page_says_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    assert_eq!(open(&home.path().join("store")).notes().read(), Ok(Vec::new()));
}

#[test]
fn a_torn_note_is_not_there_and_those_before_it_are() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    let log = open(&directory);
    log.notes().begin(&starts(40)).expect("writes");
    let older = fs::read(directory.join("starts")).expect("reads");
    assert_eq!(log.notes().add(&starts(60)), Ok(true));
    let newer = fs::read(directory.join("starts")).expect("reads");
    let end = |page: &[u8]| page.iter().rposition(|byte| *byte != 0).expect("is not empty") + 1;
    let file = OpenOptions::new().write(true).open(directory.join("starts")).expect("opens");
    let mut torn = 0;
    for cut in (end(&older)..end(&newer)).step_by(97) {
        let mut page = newer[..cut].to_vec();
        page.extend(&older[cut..]);
        file.write_all_at(&page, 0).expect("writes");
        torn += 1;
        assert_eq!(log.notes().read(), Ok(starts(40)), "cut at {cut}");
    }
    assert!(torn > 10, "{torn}");
    file.write_all_at(&newer, 0).expect("writes");
    assert_eq!(open_notes(&log).len(), 100);
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
    assert_eq!(room(), (2 * 1024 * 1024, true));
    log.notes().begin(&starts(5_000)).expect("writes");
    assert_eq!(room(), (2 * 1024 * 1024, true));
}

#[test]
fn a_page_that_was_cut_when_it_was_made_is_made_whole() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    drop(open(&directory));
    OpenOptions::new().write(true).open(directory.join("starts")).and_then(|file| file.set_len(4_096)).expect("cuts");
    let log = open(&directory);
    log.notes().begin(&starts(5_000)).expect("writes");
    assert_eq!(log.notes().read(), Ok(starts(5_000)));
}

#[test]
fn more_starts_than_fit_are_refused_and_the_page_keeps_what_it_said() {
    let home = tempfile::tempdir().expect("a directory");
    let log = open(&home.path().join("store"));
    log.notes().begin(&starts(2)).expect("writes");
    let refused = log.notes().begin(&[enqueued(1, 1024 * 1024)]);
    assert!(matches!(refused, Err(LogError::Full(_))), "{refused:?}");
    assert_eq!(log.notes().read(), Ok(starts(2)));
}

#[test]
fn notes_are_written_by_one_thread_while_another_appends() {
    let home = tempfile::tempdir().expect("a directory");
    let mut log = open(&home.path().join("store"));
    let notes = log.notes();
    let writer = std::thread::spawn(move || {
        notes.begin(&[]).expect("writes");
        for _ in 0..200 {
            assert_eq!(notes.add(&starts(3)), Ok(true));
        }
        notes.read()
    });
    for number in 0..50 {
        write(&mut log, &[&[enqueued(number, 10)]]);
    }
    assert_eq!(writer.join().expect("ends").map(|noted| noted.len()), Ok(600));
}
