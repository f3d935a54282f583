//! Jobs that are held to an earlier version: by an operator, and by the engine where a new version breaks.
//! Which versions are kept is `versions`'; what makes one bad, `core`'s.

mod support;

use std::time::Duration;

use jobmill_core::audit::AuditOutcome;
use jobmill_core::job::Pin;
use jobmill_core::{FailureKind, JobId, RunState, Version};
use jobmill_engine::{Handle, JobStatus, Rollback, RollbackError};
use jobmill_store::{AuditFilter, MemoryLog};
use support::{ManualClock, Mill};

const FIRST: &str = "hello retries=2 event=greet";
const SECOND: &str = "hello retries=0 event=greet";
const THIRD: &str = "hello retries=7 event=greet";

fn job() -> JobId {
    "hello".parse().expect("a job id")
}

fn version(content: &str) -> Version {
    Version::of(content.as_bytes())
}

fn serves(handle: &Handle) -> Option<Version> {
    handle.catalog().serving(&job()).map(|loaded| loaded.version)
}

/// Puts a version into the hopper, later than whatever is there was loaded.
fn put(mill: &Mill, content: &str) {
    mill.clock.advance(Duration::from_secs(1));
    support::put(mill.hopper.path(), "hello.wasm", content);
}

/// Puts a version into the hopper, and waits until it serves and is kept.
async fn deploy(mill: &Mill, content: &str) {
    put(mill, content);
    mill.until_catalog(|handle| serves(handle) == Some(version(content))).await;
    until_kept(mill, content).await;
}

async fn until_kept(mill: &Mill, content: &str) {
    let kept = async {
        while !mill.store.components().await.expect("readable").contains(&version(content))
            || mill.store.versions(&job()).await.expect("readable").iter().all(|it| it.version != version(content))
        {
            tokio::task::yield_now().await;
        }
    };
    support::watchdog(kept).await;
}

/// An engine that was given the first version and then the second.
async fn with_two() -> Mill {
    let mill = Mill::start();
    mill.ready().await;
    until_kept(&mill, FIRST).await;
    deploy(&mill, SECOND).await;
    mill
}

fn wanted(version: Option<&str>) -> Rollback {
    let reason = Some("it breaks".to_owned());
    Rollback { job: job(), version: version.map(str::to_owned), by: "ada".to_owned(), reason }
}

async fn roll_back(mill: &Mill, version: Option<&str>) -> Result<Version, RollbackError> {
    support::watchdog(mill.handle.roll_back(wanted(version))).await.map(|pin| pin.version)
}

fn pinned(mill: &Mill) -> Option<Pin> {
    mill.handle.catalog().listing(&job()).and_then(|listing| listing.pinned.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_job_serves_what_served_before_and_attempts_under_way_go_on() {
    let mut mill = with_two().await;
    let begun = mill.script.hang();
    let under_way = mill.enqueue().await;
    support::watchdog(begun.notified()).await;
    assert_eq!(mill.until(under_way, RunState::Running).await.version, Some(version(SECOND)));
    assert_eq!(roll_back(&mill, None).await, Ok(version(FIRST)));
    assert_eq!(serves(&mill.handle), Some(version(FIRST)), "at once");
    assert_eq!(mill.record(under_way).await.run.head.state, RunState::Running);
    let next = mill.enqueue().await;
    assert_eq!(mill.finished(next).await.run.head.version, Some(version(FIRST)));
    let pin = pinned(&mill).expect("is pinned");
    assert_eq!((pin.by.as_str(), pin.reason.as_deref()), ("ada", Some("it breaks")));
    assert_eq!(mill.handle.catalog().listing(&job()).expect("listed").waits, Some(version(SECOND)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_rolled_back_and_unpinned_while_its_newer_file_is_being_loaded() {
    let mill = with_two().await;
    put(&mill, "hello slow retries=7 event=greet");
    mill.until_slow(1).await;
    assert_eq!(roll_back(&mill, None).await, Ok(version(FIRST)));
    assert_eq!(serves(&mill.handle), Some(version(FIRST)));
    support::watchdog(mill.handle.unpin(job())).await.expect("unpins");
    assert_eq!(serves(&mill.handle), Some(version(SECOND)));
    assert_eq!(roll_back(&mill, None).await, Ok(version(FIRST)));
    mill.slow.release();
    let newest = version("hello slow retries=7 event=greet");
    let waits = |handle: &Handle| handle.catalog().listing(&job()).and_then(|listing| listing.waits);
    mill.until_catalog(|handle| waits(handle) == Some(newest)).await;
    assert_eq!(serves(&mill.handle), Some(version(FIRST)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_file_waits_until_the_job_is_unpinned() {
    let mill = with_two().await;
    assert_eq!(roll_back(&mill, None).await, Ok(version(FIRST)));
    put(&mill, THIRD);
    let waits = |handle: &Handle| handle.catalog().listing(&job()).and_then(|listing| listing.waits);
    mill.until_catalog(|handle| waits(handle) == Some(version(THIRD))).await;
    assert_eq!(serves(&mill.handle), Some(version(FIRST)));
    put(&mill, "hello garbage");
    let is_broken = |handle: &Handle| handle.catalog().listing(&job()).is_some_and(|it| it.breakage.is_some());
    mill.until_catalog(is_broken).await;
    assert_eq!(serves(&mill.handle), Some(version(FIRST)));
    let pin = support::watchdog(mill.handle.unpin(job())).await.expect("unpins");
    assert_eq!(pin.version, version(FIRST));
    assert_eq!((serves(&mill.handle), pinned(&mill)), (Some(version(THIRD)), None), "the newest that loads");
    assert_eq!(support::watchdog(mill.handle.unpin(job())).await, Err(RollbackError::NotPinned(job())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_holds_over_a_restart_and_whatever_lies_in_the_hopper() {
    for content in [SECOND, THIRD, "hello garbage"] {
        let mill = with_two().await;
        assert_eq!(roll_back(&mill, None).await, Ok(version(FIRST)));
        let (hopper, log, clock, ended) = mill.stop().await;
        assert_eq!(ended, Ok(()));
        support::put(hopper.path(), "hello.wasm", content);
        let mill = Mill::open(hopper, log, clock, 4);
        support::watchdog(mill.handle.ready()).await;
        assert_eq!(serves(&mill.handle), Some(version(FIRST)), "over {content:?}");
        let run = mill.enqueue().await;
        assert_eq!(mill.finished(run).await.run.head.version, Some(version(FIRST)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_file_goes_is_retired_and_one_whose_file_comes_back_is_still_pinned() {
    let mill = with_two().await;
    assert_eq!(roll_back(&mill, None).await, Ok(version(FIRST)));
    mill.clock.advance(Duration::from_secs(1));
    std::fs::remove_file(mill.hopper.path().join("hello.wasm")).expect("removed");
    mill.until_catalog(|handle| serves(handle).is_none()).await;
    assert_eq!(mill.handle.catalog().listing(&job()).expect("listed").status, JobStatus::Retired);
    assert_eq!(roll_back(&mill, None).await, Err(RollbackError::NotLoaded(job())));
    put(&mill, THIRD);
    mill.until_catalog(|handle| serves(handle).is_some()).await;
    assert_eq!(serves(&mill.handle), Some(version(FIRST)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_rolled_back_to_is_told_and_changes_nothing() {
    let mill = with_two().await;
    let digits = version(SECOND).to_string();
    let serving = RollbackError::Serves { job: job(), version: version(SECOND) };
    assert_eq!(roll_back(&mill, Some(&digits)).await, Err(serving));
    assert!(matches!(roll_back(&mill, Some("zz")).await, Err(RollbackError::NotFound(_))));
    mill.log.kept_components().damage(version(FIRST), b"other");
    let Err(RollbackError::Unloadable { reason, .. }) = roll_back(&mill, None).await else { panic!("was loaded") };
    assert!(reason.contains(&version(FIRST).to_hex()), "{reason}");
    mill.store.trim_components([version(SECOND)].into()).await.expect("trims");
    let unknown = Rollback { job: "nobody".parse().expect("a job id"), ..wanted(None) };
    assert!(matches!(mill.handle.roll_back(unknown).await, Err(RollbackError::UnknownJob(_))));
    assert_eq!((serves(&mill.handle), pinned(&mill)), (Some(version(SECOND)), None));
    assert_eq!(mill.store.pins().await.expect("readable"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_gone_is_told_as_such() {
    let mill = with_two().await;
    let log = mill.log.clone();
    let components = jobmill_store::LogOpener::components(&log);
    components.remove_all_but(&[version(SECOND)].into()).expect("removes");
    let digits = version(FIRST).to_hex();
    let gone = RollbackError::NotKept { job: job(), version: version(FIRST) };
    assert_eq!(roll_back(&mill, Some(&digits)).await, Err(gone));
    assert!(matches!(roll_back(&mill, None).await, Err(RollbackError::NotFound(_))), "nobody is led there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_version_that_is_damaged_at_a_start_lets_the_hoppers_serve_and_says_so() {
    let mill = with_two().await;
    assert_eq!(roll_back(&mill, None).await, Ok(version(FIRST)));
    let (hopper, log, clock, _) = mill.stop().await;
    log.kept_components().damage(version(FIRST), b"other");
    let mill = Mill::open(hopper, log, clock, 4);
    support::watchdog(mill.handle.ready()).await;
    assert_eq!(serves(&mill.handle), Some(version(SECOND)));
    let breakage = mill.handle.catalog().listing(&job()).and_then(|it| it.breakage.clone()).expect("is told");
    assert!(breakage.error.contains("is damaged") && breakage.error.contains("pinned to"), "{}", breakage.error);
    assert!(pinned(&mill).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_lets_the_version_serve_without_its_component() {
    let mill = Mill::start();
    mill.ready().await;
    until_kept(&mill, FIRST).await;
    mill.log.fill(true);
    put(&mill, SECOND);
    mill.until_catalog(|handle| serves(handle) == Some(version(SECOND))).await;
    mill.log.fill(false);
    // With the next change it is tried again.
    mill.clock.advance(Duration::from_secs(1));
    support::put(mill.hopper.path(), "other.wasm", "other retries=1");
    mill.until_catalog(|handle| handle.catalog().all_serving().count() == 2).await;
    until_kept(&mill, SECOND).await;
}

/// The same engine, which rolls back by itself.
fn watchful() -> Mill {
    let hopper = tempfile::tempdir().expect("a directory");
    support::put(hopper.path(), "hello.wasm", FIRST);
    Mill::compose(hopper, MemoryLog::new(), std::sync::Arc::new(ManualClock::new()), |it| it.auto_rollback = true)
}

/// Attempts end so, one after the other; each run has no retry.
async fn run_all(mill: &Mill, kinds: &[FailureKind]) {
    for kind in kinds {
        mill.script.fail(*kind);
        let run = mill.enqueue().await;
        mill.finished(run).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_that_breaks_is_rolled_back_by_itself() {
    let mill = watchful();
    mill.ready().await;
    until_kept(&mill, FIRST).await;
    let run = mill.enqueue().await;
    assert_eq!(mill.finished(run).await.run.head.state, RunState::Completed);
    deploy(&mill, SECOND).await;
    run_all(&mill, &[FailureKind::Trap, FailureKind::Permanent, FailureKind::Memory]).await;
    assert_eq!(serves(&mill.handle), Some(version(SECOND)), "two may be chance");
    run_all(&mill, &[FailureKind::Trap]).await;
    mill.until_catalog(|handle| serves(handle) == Some(version(FIRST))).await;
    let pin = pinned(&mill).expect("is pinned");
    assert!(pin.is_automatic());
    let reason = pin.reason.expect("says why");
    let begins = format!("3 of the first 4 attempts of {} broke (trap: scripted)", version(SECOND));
    assert!(reason.starts_with(&begins), "{reason}");
    let told = async {
        loop {
            let page = mill.store.audit(&AuditFilter::default(), None, 9).await.expect("readable");
            match page.items.into_iter().next() {
                Some(entry) if entry.outcome.is_some() => return entry,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let entry = support::watchdog(told).await;
    assert_eq!((entry.by_name(), entry.action.as_str()), ("jobmill", "jobs rollback"));
    assert_eq!(entry.outcome, Some(AuditOutcome::Done));
    // Whoever lets it serve again has decided.
    support::watchdog(mill.handle.unpin(job())).await.expect("unpins");
    run_all(&mill, &[FailureKind::Trap; 4]).await;
    assert_eq!(serves(&mill.handle), Some(version(SECOND)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_stays_that_has_completed_something_or_follows_one_that_broke_too() {
    let mill = watchful();
    mill.ready().await;
    until_kept(&mill, FIRST).await;
    run_all(&mill, &[FailureKind::Permanent]).await;
    deploy(&mill, SECOND).await;
    run_all(&mill, &[FailureKind::Trap; 6]).await;
    assert_eq!(serves(&mill.handle), Some(version(SECOND)), "the one before has completed nothing");
    deploy(&mill, THIRD).await;
    let run = mill.enqueue().await;
    mill.finished(run).await;
    for _ in 0..6 {
        mill.script.fail(FailureKind::Permanent);
        let run = mill.enqueue().await;
        mill.finished(run).await;
    }
    assert_eq!((serves(&mill.handle), pinned(&mill)), (Some(version(THIRD)), None));
}
