//! What becomes of files in the hopper: new, newer, broken, removed, doubled, strange.

mod support;

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::{JobId, RunState};
use jobmill_engine::{EngineError, Handle, JobStatus};
use jobmill_store::MemoryLog;
use support::{ManualClock, Mill, put};

fn job(name: &str) -> JobId {
    name.parse().expect("a job id")
}

fn retries(handle: &Handle, name: &str) -> Option<u32> {
    handle.catalog().serving(&job(name)).map(|loaded| loaded.job.retries.value)
}

fn broken(handle: &Handle, file: &str) -> Option<String> {
    let catalog = handle.catalog();
    let listing = catalog.listings().find(|listing| listing.file == file)?;
    listing.breakage.as_ref().map(|breakage| breakage.error.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_file_serves_the_next_attempt() {
    let mut mill = Mill::start();
    let begun = mill.script.hang();
    let run = mill.enqueue().await;
    support::watchdog(begun.notified()).await;
    let first = mill.until(run, RunState::Running).await.version;
    put(mill.hopper.path(), "hello.wasm", "hello retries=7 event=greet");
    mill.until_catalog(|handle| retries(handle, "hello") == Some(7)).await;
    assert_eq!(mill.record(run).await.run.head.state, RunState::Running, "it goes on with the version it began on");
    let second = mill.enqueue().await;
    assert_ne!(mill.finished(second).await.run.head.version, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_leaves_the_last_good_version_serving_and_says_why() {
    let mill = Mill::start();
    mill.ready().await;
    put(mill.hopper.path(), "hello.wasm", "hello garbage");
    mill.until_catalog(|handle| broken(handle, "hello.wasm").is_some()).await;
    assert_eq!(broken(&mill.handle, "hello.wasm").as_deref(), Some("has the strange word \"garbage\""));
    assert_eq!(retries(&mill.handle, "hello"), Some(2));
    assert_eq!(mill.handle.catalog().listing(&job("hello")).expect("listed").status, JobStatus::Loaded);
    put(mill.hopper.path(), "hello.wasm", "hello retries=2 event=greet");
    mill.until_catalog(|handle| broken(handle, "hello.wasm").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_loaded_is_listed_as_broken() {
    let mill = Mill::start();
    put(mill.hopper.path(), "new.wasm", "Not-An-Id");
    mill.until_catalog(|handle| broken(handle, "new.wasm").is_some()).await;
    let catalog = mill.handle.catalog();
    let listing = catalog.listings().find(|listing| listing.file == "new.wasm").expect("listed");
    assert!(listing.loaded.is_none());
    assert_eq!(listing.status, JobStatus::Broken);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_removed_job_wait_and_go_on_when_it_comes_back() {
    let mill = Mill::start();
    let request = jobmill_engine::EnqueueRequest {
        scheduled_at: Some(mill.handle.now().after(Duration::from_hours(1))),
        ..jobmill_engine::EnqueueRequest::new(job("hello"), jobmill_core::Json::empty_object())
    };
    mill.ready().await;
    let run = mill.handle.enqueue(request).await.expect("enqueued").head.id;
    std::fs::remove_file(mill.hopper.path().join("hello.wasm")).expect("removed");
    mill.until_catalog(|handle| retries(handle, "hello").is_none()).await;
    mill.clock.advance(Duration::from_hours(2));
    assert_eq!(mill.handle.catalog().listing(&job("hello")).expect("listed").status, JobStatus::Retired);
    let head = mill.record(run).await.run.head;
    let waiting = mill.handle.waiting_for(&head).await.expect("readable").expect("waits");
    assert_eq!((waiting.kind, head.attempt), ("no-component", 0));
    put(mill.hopper.path(), "hello.wasm", "hello");
    mill.until_catalog(|handle| retries(handle, "hello").is_some()).await;
    assert_eq!(mill.finished(run).await.run.head.state, RunState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_files_with_one_id_the_first_by_name_serves() {
    let mill = Mill::start();
    put(mill.hopper.path(), "zebra.wasm", "hello retries=9");
    mill.until_catalog(|handle| broken(handle, "zebra.wasm").is_some()).await;
    assert!(broken(&mill.handle, "zebra.wasm").expect("broken").contains("already served by hello.wasm"));
    assert_eq!(retries(&mill.handle, "hello"), Some(2));
    std::fs::remove_file(mill.hopper.path().join("hello.wasm")).expect("removed");
    mill.until_catalog(|handle| retries(handle, "hello") == Some(9)).await;
    assert_eq!(broken(&mill.handle, "zebra.wasm"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_regular_files_are_read_and_other_names_are_left_alone() {
    let mill = Mill::start();
    let hopper = mill.hopper.path();
    std::fs::create_dir(hopper.join("directory.wasm")).expect("created");
    std::fs::write(hopper.join("target.txt"), "linked").expect("written");
    std::os::unix::fs::symlink(hopper.join("target.txt"), hopper.join("link.wasm")).expect("linked");
    std::fs::write(hopper.join(".hidden.wasm"), "hidden").expect("written");
    rustix::fs::mkfifoat(rustix::fs::CWD, hopper.join("fifo.wasm"), rustix::fs::Mode::RWXU).expect("made");
    mill.until_catalog(|handle| handle.catalog().listings().count() == 4).await;
    assert!(broken(&mill.handle, "link.wasm").expect("broken").contains("symbolic link"));
    for file in ["directory.wasm", "fifo.wasm"] {
        assert_eq!(broken(&mill.handle, file).as_deref(), Some("it is not a regular file"), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loaded_jobs_survive_a_hopper_that_vanishes() {
    let mill = Mill::start();
    mill.ready().await;
    let elsewhere = tempfile::tempdir().expect("a directory");
    std::fs::rename(mill.hopper.path(), elsewhere.path().join("gone")).expect("moved");
    let run = mill.enqueue().await;
    assert_eq!(mill.finished(run).await.run.head.state, RunState::Completed);
    std::fs::rename(elsewhere.path().join("gone"), mill.hopper.path()).expect("moved back");
    put(mill.hopper.path(), "hello.wasm", "hello retries=5");
    mill.until_catalog(|handle| retries(handle, "hello") == Some(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hopper_that_can_not_be_read_at_the_start_is_an_error() {
    let hopper = tempfile::tempdir().expect("a directory");
    let path = hopper.path().to_owned();
    std::fs::remove_dir(&path).expect("removed");
    let mill = Mill::open(hopper, MemoryLog::new(), Arc::new(ManualClock::new()), 1);
    let ended = support::watchdog(mill.engine).await.expect("no panic");
    let Err(EngineError::Hopper { path: named, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!(named, path.display().to_string());
}
