//! Which versions of a job are on record: each that served, once, from its first load to its last.

mod support;

use std::time::Duration;

use jobmill_core::JobId;
use jobmill_core::job::JobVersion;
use jobmill_engine::Handle;
use support::Mill;

fn job(name: &str) -> JobId {
    name.parse().expect("a job id")
}

fn retries(handle: &Handle, name: &str) -> Option<u32> {
    handle.catalog().serving(&job(name)).map(|loaded| loaded.job.retries.value)
}

/// Puts a file into the hopper, later than whatever is there was loaded.
fn put(mill: &Mill, name: &str, content: &str) {
    mill.clock.advance(Duration::from_secs(1));
    support::put(mill.hopper.path(), name, content);
}

async fn versions(mill: &Mill) -> Vec<JobVersion> {
    mill.store.versions(&job("hello")).await.expect("readable")
}

/// Until so many versions are on record, the newest with these retries.
async fn until_kept(mill: &Mill, count: usize, retries: u32) -> Vec<JobVersion> {
    let kept = async {
        loop {
            let versions = versions(mill).await;
            if versions.len() == count && versions[0].descriptor.retries == Some(retries) {
                return versions;
            }
            tokio::task::yield_now().await;
        }
    };
    support::watchdog(kept).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_file_is_another_version_and_says_what_changed() {
    let mill = Mill::start();
    let first = until_kept(&mill, 1, 2).await.swap_remove(0);
    assert_eq!((first.file.as_str(), first.size), ("hello.wasm", "hello retries=2 event=greet".len() as u64));
    assert_eq!(first.first_loaded_at, first.last_loaded_at);
    put(&mill, "hello.wasm", "hello retries=7 event=greet");
    mill.until_catalog(|handle| retries(handle, "hello") == Some(7)).await;
    let kept = until_kept(&mill, 2, 7).await;
    assert_eq!(kept[1], first);
    let changes: Vec<String> = kept[0].changes_since(&kept[1]).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["retries 2 → 7"]);
    assert!(kept[0].first_loaded_at > first.first_loaded_at);
    // The one before serves again: it is the last loaded, and no third one.
    put(&mill, "hello.wasm", "hello retries=2 event=greet");
    mill.until_catalog(|handle| retries(handle, "hello") == Some(2)).await;
    let again = until_kept(&mill, 2, 2).await;
    assert_eq!((again[0].version, again[0].first_loaded_at), (first.version, first.first_loaded_at));
    assert!(again[0].last_loaded_at > kept[0].last_loaded_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loads_the_same_version_again_and_keeps_no_second_record() {
    let mill = Mill::start();
    let before = until_kept(&mill, 1, 2).await;
    let (hopper, log, clock, ended) = mill.stop().await;
    assert_eq!(ended, Ok(()));
    clock.advance(Duration::from_hours(1));
    let mill = Mill::open(hopper, log, clock, 4);
    mill.ready().await;
    support::watchdog(mill.handle.ready()).await;
    let after = versions(&mill).await;
    assert_eq!((after.len(), after[0].first_loaded_at), (1, before[0].first_loaded_at));
    assert!(after[0].last_loaded_at > before[0].last_loaded_at);
    // What is not loaded anew is not told anew: another job's file, and a run, change nothing of it.
    put(&mill, "other.wasm", "other retries=1");
    mill.until_catalog(|handle| retries(handle, "other") == Some(1)).await;
    let run = mill.enqueue().await;
    mill.finished(run).await;
    assert_eq!(versions(&mill).await, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_can_not_be_kept_serves_and_is_kept_with_the_next_change() {
    let mill = Mill::start();
    until_kept(&mill, 1, 2).await;
    mill.log.fill(true);
    put(&mill, "hello.wasm", "hello retries=7 event=greet");
    mill.until_catalog(|handle| retries(handle, "hello") == Some(7)).await;
    mill.log.fill(false);
    put(&mill, "other.wasm", "other retries=1");
    mill.until_catalog(|handle| retries(handle, "other") == Some(1)).await;
    until_kept(&mill, 2, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_serve_is_no_version() {
    let mill = Mill::start();
    until_kept(&mill, 1, 2).await;
    // Its id is taken, so that it serves only when the other is gone.
    put(&mill, "zebra.wasm", "hello retries=9");
    mill.until_catalog(|handle| handle.catalog().listings().count() == 2).await;
    assert_eq!(versions(&mill).await.len(), 1);
    mill.clock.advance(Duration::from_secs(1));
    std::fs::remove_file(mill.hopper.path().join("hello.wasm")).expect("removed");
    mill.until_catalog(|handle| retries(handle, "hello") == Some(9)).await;
    assert_eq!(until_kept(&mill, 2, 9).await[0].file, "zebra.wasm");
}
