//! What becomes of files in the hopper: new, newer, broken, removed, doubled, strange.

mod support;

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::{JobId, RunState, Version, limits};
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
    assert_eq!(mill.handle.catalog().in_memory(), 2, "and so that one stays in memory");
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

/// Whether the hopper has told anything of the file.
fn is_listed(handle: &Handle, file: &str) -> bool {
    handle.catalog().listings().any(|listing| listing.file == file)
}

/// Puts one more job into the hopper, and waits until it serves: whatever was to be taken in before was.
async fn deploy_other(mill: &Mill) {
    put(mill.hopper.path(), "other.wasm", "other retries=1");
    mill.until_catalog(|handle| retries(handle, "other").is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_takes_long_to_load_holds_up_no_other() {
    let mill = Mill::start();
    mill.ready().await;
    put(mill.hopper.path(), "long.wasm", "long slow retries=3");
    mill.until_slow(1).await;
    deploy_other(&mill).await;
    put(mill.hopper.path(), "hello.wasm", "hello retries=7");
    mill.until_catalog(|handle| retries(handle, "hello") == Some(7)).await;
    assert!(!is_listed(&mill.handle, "long.wasm"), "it is not known to be broken");
    mill.until_slow(1).await;
    mill.slow.release();
    mill.until_catalog(|handle| retries(handle, "long") == Some(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_files_that_take_long_are_each_loaded_once_at_a_time() {
    let mill = Mill::start();
    mill.ready().await;
    for name in ["first", "second", "third"] {
        put(mill.hopper.path(), &format!("{name}.wasm"), &format!("{name} slow retries=3"));
    }
    mill.until_slow(3).await;
    deploy_other(&mill).await;
    std::fs::remove_file(mill.hopper.path().join("other.wasm")).expect("removed");
    mill.until_catalog(|handle| retries(handle, "other").is_none()).await;
    // Looks since then began no second load of any.
    mill.until_slow(3).await;
    mill.slow.release();
    for name in ["first", "second", "third"] {
        mill.until_catalog(|handle| retries(handle, name) == Some(3)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_loaded_serves_what_it_became() {
    let mill = Mill::start();
    mill.ready().await;
    let replaced = "hello slow retries=7";
    put(mill.hopper.path(), "hello.wasm", replaced);
    mill.until_slow(1).await;
    put(mill.hopper.path(), "hello.wasm", "hello retries=8");
    mill.until_catalog(|handle| retries(handle, "hello") == Some(8)).await;
    mill.until_slow(0).await;
    mill.slow.release();
    deploy_other(&mill).await;
    assert_eq!(retries(&mill.handle, "hello"), Some(8));
    let served = mill.store.versions(&job("hello")).await.expect("readable");
    assert!(served.iter().all(|it| it.version != Version::of(replaced.as_bytes())), "{served:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_took_long_to_load_counts_for_nothing_once_newer_content_is_quiet() {
    let mill = Mill::start();
    mill.ready().await;
    let replaced = "hello slow retries=7";
    put(mill.hopper.path(), "hello.wasm", replaced);
    mill.until_slow(1).await;
    mill.clock.advance(Duration::from_secs(5));
    put(mill.hopper.path(), "hello.wasm", "hello slow retries=8");
    mill.slow.release();
    mill.until_catalog(|handle| retries(handle, "hello") == Some(8)).await;
    deploy_other(&mill).await;
    let served = mill.store.versions(&job("hello")).await.expect("readable");
    assert!(served.iter().all(|it| it.version != Version::of(replaced.as_bytes())), "{served:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_serves_until_newer_content_is_quiet() {
    let mill = Mill::start();
    mill.ready().await;
    put(mill.hopper.path(), "hello.wasm", "hello slow retries=7");
    mill.until_slow(1).await;
    // Of a time that has not come it is quiet when the clock has moved since it was seen.
    let newer = mill.hopper.path().join("newer");
    std::fs::write(&newer, "hello retries=8").expect("written");
    let later = std::time::UNIX_EPOCH + Duration::from_millis(mill.handle.now().as_millis()) + Duration::from_hours(24);
    let file = std::fs::File::options().write(true).open(&newer).expect("opened");
    file.set_modified(later).expect("dated");
    std::fs::rename(newer, mill.hopper.path().join("hello.wasm")).expect("renamed");
    mill.slow.release();
    let mut generations = mill.handle.catalog_changes();
    support::watchdog(async {
        while retries(&mill.handle, "hello") != Some(7) {
            generations.changed().await.expect("the engine runs");
        }
    })
    .await;
    mill.until_catalog(|handle| retries(handle, "hello") == Some(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_removed_while_it_is_loaded_is_gone() {
    let mill = Mill::start();
    mill.ready().await;
    put(mill.hopper.path(), "long.wasm", "long slow");
    mill.until_slow(1).await;
    std::fs::remove_file(mill.hopper.path().join("long.wasm")).expect("removed");
    mill.until_slow(0).await;
    mill.slow.release();
    deploy_other(&mill).await;
    assert!(!is_listed(&mill.handle, "long.wasm"));
    put(mill.hopper.path(), "long.wasm", "long slow retries=3");
    mill.until_catalog(|handle| retries(handle, "long") == Some(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_files_with_one_id_the_first_by_name_serves_when_it_is_loaded() {
    let mill = Mill::start();
    mill.ready().await;
    put(mill.hopper.path(), "alpha.wasm", "hello slow retries=9");
    mill.until_slow(1).await;
    deploy_other(&mill).await;
    assert_eq!((retries(&mill.handle, "hello"), broken(&mill.handle, "hello.wasm")), (Some(2), None));
    mill.slow.release();
    mill.until_catalog(|handle| retries(handle, "hello") == Some(9)).await;
    assert!(broken(&mill.handle, "hello.wasm").expect("broken").contains("already served by alpha.wasm"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_what_takes_long_to_load_but_not_for_ever() {
    let hopper = tempfile::tempdir().expect("a directory");
    put(hopper.path(), "hello.wasm", "hello retries=2");
    put(hopper.path(), "long.wasm", "long slow retries=3");
    let mill = Mill::open(hopper, MemoryLog::new(), Arc::new(ManualClock::new()), 4);
    let early = tokio::time::timeout(Duration::from_millis(200), mill.handle.ready());
    assert!(early.await.is_err(), "work is taken before the job is there");
    mill.clock.until_slept_to(mill.handle.now().after(limits::COMPILE_CPU)).await;
    mill.clock.advance(limits::COMPILE_CPU);
    support::watchdog(mill.handle.ready()).await;
    mill.until_catalog(|handle| retries(handle, "hello").is_some()).await;
    assert!(!is_listed(&mill.handle, "long.wasm"));
    mill.slow.release();
    mill.until_catalog(|handle| retries(handle, "long") == Some(3)).await;
}
