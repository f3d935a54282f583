//! The log-backed store over the log on sled passes the suite, answers as the one in memory does, and answers the same
//! when it is opened again. What the log itself keeps is `log`'s.

use std::path::PathBuf;

use jobmill_store::conformance::{Subject, check, observe, play};
use jobmill_store::{LogStore, MemoryLog};
use jobmill_store_sled::{Durability, SledOpener};

fn open(directory: PathBuf) -> LogStore {
    LogStore::open(SledOpener::new(directory, Durability::Full)).expect("opens")
}

async fn make() -> Subject {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    Subject::new(move || open(directory.clone()), home)
}

jobmill_store::conformance!(make);

#[tokio::test]
async fn it_answers_as_the_store_in_memory_does() {
    for seed in 0..8 {
        let log = MemoryLog::new();
        let in_memory = Subject::new(move || LogStore::open(log.clone()).expect("opens"), ());
        let (expected, end) = play(&in_memory, seed, 250).await;
        let on_disk = make().await;
        let (answered, _) = play(&on_disk, seed, 250).await;
        for (number, (answered, expected)) in answered.iter().zip(&expected).enumerate() {
            assert_eq!(answered, expected, "answer {number} of seed {seed}");
        }
        let observed = observe(on_disk.store(), end).await;
        assert_eq!(observed, observe(in_memory.store(), end).await, "seed {seed}");
    }
}

#[tokio::test]
async fn it_answers_the_same_when_it_is_opened_again() {
    let home = tempfile::tempdir().expect("a directory");
    for seed in 0..6 {
        let directory = home.path().join(seed.to_string());
        let opened = directory.clone();
        let subject = Subject::new(move || open(opened.clone()), ());
        let (_, end) = play(&subject, seed, 250).await;
        let before = observe(subject.store(), end).await;
        drop(subject);
        for _ in 0..2 {
            let again = open(directory.clone());
            assert_eq!(observe(&again, end).await, before, "seed {seed}");
            check(&again, end).await;
        }
    }
}
