//! Schedules in a whole engine on a clock that stands still: what they enqueue, over stops, crashes and full disks.
//! Which times are due, and what becomes of missed ones, is specified with the timetable.

mod support;

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::flow::CatchUp;
use jobmill_core::{JobId, JobOverrides, Json, RunState, Timestamp};
use jobmill_engine::{Handle, ScheduleListing};
use jobmill_store::{Firing, MemoryLog, RunFilter, Schedule};
use support::{ManualClock, Mill, put, watchdog};

const MINUTE: Duration = Duration::from_mins(1);
const HOURLY: &str = "report retries=6 cron=0_*_*_*_*";

fn report() -> JobId {
    "report".parse().expect("a job id")
}

/// This time of the first day of the clock.
fn at(hours: u64, minutes: u64) -> Timestamp {
    Timestamp::from_millis(4_102_444_800_000).after(Duration::from_mins(hours * 60 + minutes))
}

/// An engine with one component, of which the operator says so, on what an earlier one left.
fn open(
    (hopper, log, clock): (tempfile::TempDir, MemoryLog, Arc<ManualClock>),
    component: &str,
    overrides: JobOverrides,
) -> Mill {
    put(hopper.path(), "report.wasm", component);
    Mill::compose(hopper, log, clock, |settings| {
        settings.overrides.jobs.insert(report(), overrides);
    })
}

/// A new engine, once the schedules of its component have begun.
async fn begun(component: &str, overrides: JobOverrides) -> Mill {
    let new = (tempfile::tempdir().expect("a directory"), MemoryLog::new(), Arc::new(ManualClock::new()));
    let mill = open(new, component, overrides);
    until_kept(&mill, |kept| !kept.is_empty()).await;
    mill
}

/// Stops the engine and gives back what survives it.
async fn stop(mill: Mill) -> (tempfile::TempDir, MemoryLog, Arc<ManualClock>) {
    let (hopper, log, clock, ended) = mill.stop().await;
    ended.expect("an orderly end");
    (hopper, log, clock)
}

/// Nothing tells how far a schedule has come: only looking does.
async fn until_kept(mill: &Mill, wanted: impl Fn(&[Schedule]) -> bool) {
    watchdog(async {
        while !wanted(&mill.handle.query().schedules().await.expect("readable")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The minutes of the job's runs, oldest first.
async fn minutes(handle: &Handle) -> Vec<Timestamp> {
    let filter = RunFilter { job: Some(report()), ..RunFilter::default() };
    let page = handle.query().runs(&filter, None, 100, handle.now()).await.expect("readable");
    page.items.iter().rev().map(|run| run.head.scheduled_at).collect()
}

/// Until the schedule has come to now; answers the minutes of all runs by then.
async fn caught_up(mill: &Mill) -> Vec<Timestamp> {
    let now = mill.handle.now();
    until_kept(mill, |kept| kept.iter().all(|schedule| schedule.up_to == now)).await;
    minutes(&mill.handle).await
}

/// Until the store refused what is due now: a second later it is asked again.
async fn until_refused(mill: &Mill) {
    mill.clock.until_slept_to(mill.handle.now().after(Duration::from_secs(1))).await;
}

async fn schedule(mill: &Mill) -> ScheduleListing {
    mill.handle.schedule().await.expect("readable").pop().expect("a schedule")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_makes_a_run_like_any_other_for_the_exact_minute() {
    let mill = begun(HOURLY, JobOverrides { priority: Some(2), ..JobOverrides::default() }).await;
    mill.clock.advance(60 * MINUTE + Duration::from_millis(7));
    assert_eq!(caught_up(&mill).await, [at(1, 0)]);
    let run = schedule(&mill).await.last_run.expect("a run");
    let run = mill.finished(run).await.run;
    assert_eq!((run.head.state, run.head.priority, run.head.max_attempts), (RunState::Completed, 2, 7));
    assert_eq!((run.head.scheduled_at, run.payload), (at(1, 0), Json::empty_object()));
    mill.clock.advance(60 * MINUTE);
    assert_eq!(caught_up(&mill).await, [at(1, 0), at(2, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_engine_makes_up_for_the_latest_missed_time_or_skips_it() {
    for (catch_up, made_up_for) in [(CatchUp::Once, vec![at(7, 0)]), (CatchUp::Skip, vec![])] {
        let overrides = JobOverrides { cron_catch_up: Some(catch_up), ..JobOverrides::default() };
        let left = stop(begun(HOURLY, overrides.clone()).await).await;
        left.2.advance(7 * 60 * MINUTE + 5 * MINUTE);
        let mill = open(left, HOURLY, overrides.clone());
        assert_eq!(caught_up(&mill).await, made_up_for, "{catch_up:?}");
        let left = stop(mill).await;
        left.2.advance(MINUTE);
        let mill = open(left, HOURLY, overrides);
        mill.ready().await;
        mill.clock.advance(54 * MINUTE);
        assert_eq!(caught_up(&mill).await, [made_up_for, vec![at(8, 0)]].concat(), "{catch_up:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_and_how_far_its_schedule_has_come_survive_a_power_cut_together() {
    let mill = begun(HOURLY, JobOverrides::default()).await;
    mill.clock.advance(60 * MINUTE);
    assert_eq!(caught_up(&mill).await, [at(1, 0)]);
    mill.engine.abort();
    let Mill { hopper, log, clock, .. } = mill;
    log.crash();
    clock.advance(60 * MINUTE);
    let mill = open((hopper, log, clock), HOURLY, JobOverrides::default());
    assert_eq!(caught_up(&mill).await, [at(1, 0), at(2, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_job_neither_fires_nor_ends_and_catches_up_when_it_is_back() {
    let mill = begun(HOURLY, JobOverrides::default()).await;
    std::fs::remove_file(mill.hopper.path().join("report.wasm")).expect("removed");
    mill.until_catalog(|handle| handle.catalog().serving(&report()).is_none()).await;
    assert_eq!(mill.handle.schedule().await, Ok(vec![]));
    mill.clock.advance(5 * 60 * MINUTE);
    let before = mill.handle.query().schedules().await.expect("readable");
    put(mill.hopper.path(), "report.wasm", HOURLY);
    mill.until_catalog(|handle| handle.catalog().serving(&report()).is_some()).await;
    assert_eq!((before[0].up_to < at(1, 0), before[0].ended), (true, false));
    until_kept(&mill, |kept| kept[0].last_run.is_some()).await;
    assert_eq!(minutes(&mill.handle).await, [at(5, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_component_ends_what_it_does_not_name_any_more() {
    let mill = begun(HOURLY, JobOverrides::default()).await;
    put(mill.hopper.path(), "report.wasm", "report cron=30_*_*_*_*");
    mill.until_catalog(|handle| handle.catalog().all_serving().any(|it| it.job.retries.value != 6)).await;
    until_kept(&mill, |kept| kept.len() == 2 && kept[0].ended).await;
    mill.clock.advance(at(2, 10).since(mill.handle.now()));
    until_kept(&mill, |kept| kept[1].last_run.is_some()).await;
    assert_eq!(minutes(&mill.handle).await, [at(1, 30)]);
    assert_eq!(schedule(&mill).await.cron, "30 * * * *");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_whose_job_has_too_many_waiting_runs_goes_on_when_there_is_room() {
    let mill = begun(HOURLY, JobOverrides { max_waiting: Some(1), ..JobOverrides::default() }).await;
    mill.handle.pause_job(report(), "a test".to_owned()).await.expect("paused");
    mill.clock.advance(60 * MINUTE);
    assert_eq!(caught_up(&mill).await, [at(1, 0)]);
    mill.clock.advance(60 * MINUTE);
    until_refused(&mill).await;
    let first = schedule(&mill).await.last_run.expect("a run");
    mill.handle.resume_job(report()).await.expect("resumed");
    mill.finished(first).await;
    mill.clock.advance(Duration::from_secs(1));
    assert_eq!(caught_up(&mill).await, [at(1, 0), at(2, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_delays_a_schedule_and_loses_nothing() {
    let mill = begun(HOURLY, JobOverrides::default()).await;
    mill.log.fill(true);
    mill.clock.advance(60 * MINUTE);
    until_refused(&mill).await;
    assert_eq!(minutes(&mill.handle).await, []);
    mill.log.fill(false);
    mill.clock.advance(Duration::from_secs(1));
    assert_eq!(caught_up(&mill).await, [at(1, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_has_come_further_than_the_engine_knew_goes_on_from_there() {
    let mill = begun(HOURLY, JobOverrides::default()).await;
    let Schedule { job, cron, up_to, .. } = mill.handle.query().schedules().await.expect("readable").remove(0);
    let elsewhere = Firing { job, cron, from: Some(up_to), up_to: at(3, 30), run: None, ended: false };
    assert_eq!(mill.store.fire(elsewhere, mill.handle.now()).await, Ok(true));
    mill.clock.advance(60 * MINUTE);
    mill.clock.until_slept_to(at(4, 0)).await;
    assert_eq!(minutes(&mill.handle).await, []);
    mill.clock.advance(3 * 60 * MINUTE);
    assert_eq!(caught_up(&mill).await, [at(4, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_come_is_listed_with_what_was() {
    let mill = begun(HOURLY, JobOverrides { cron_catch_up: Some(CatchUp::Skip), ..JobOverrides::default() }).await;
    let listing = |next, last_run| ScheduleListing {
        job: report(),
        cron: "0 * * * *".to_owned(),
        next,
        last_run,
        catch_up: CatchUp::Skip,
    };
    assert_eq!(schedule(&mill).await, listing(vec![at(1, 0), at(2, 0), at(3, 0)], None));
    mill.clock.advance(60 * MINUTE);
    assert_eq!(caught_up(&mill).await, [at(1, 0)]);
    let filter = RunFilter { job: Some(report()), ..RunFilter::default() };
    let page = mill.handle.query().runs(&filter, None, 10, mill.handle.now()).await.expect("readable");
    let fired = Some(page.items[0].head.id);
    assert_eq!(schedule(&mill).await, listing(vec![at(2, 0), at(3, 0), at(4, 0)], fired));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_schema_refuses_the_empty_object_can_have_no_cron() {
    let strict = "report schema={\"required\":[\"email\"]}";
    let mill = Mill::start();
    put(mill.hopper.path(), "report.wasm", &format!("{strict} cron=@daily"));
    let broken = |handle: &Handle| {
        let catalog = handle.catalog();
        let listing = catalog.listings().find(|listing| listing.file == "report.wasm")?;
        listing.breakage.as_ref().map(|breakage| breakage.error.clone())
    };
    mill.until_catalog(|handle| broken(handle).is_some()).await;
    let error = broken(&mill.handle).expect("broken");
    assert!(error.contains("\"@daily\"") && error.contains("(/email is required)"), "{error}");
    put(mill.hopper.path(), "report.wasm", strict);
    mill.until_catalog(|handle| handle.catalog().serving(&report()).is_some()).await;
    assert_eq!(mill.handle.schedule().await, Ok(vec![]));
}
