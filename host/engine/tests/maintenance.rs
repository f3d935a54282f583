//! What the engine takes out of the store by itself, and when.
//! How records are taken out is the store's.

mod support;

use std::time::Duration;

use jobmill_core::{FailureKind, Json, RunId};
use jobmill_engine::EventRequest;
use jobmill_store::Retention;
use support::{Mill, watchdog};

const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);

async fn is_there(mill: &Mill, run: RunId) -> bool {
    mill.handle.query().run(run).await.expect("readable").is_some()
}

/// Nothing tells of a run that goes: only looking does.
async fn until_gone(mill: &Mill, run: RunId) {
    watchdog(async {
        while is_there(mill, run).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_when_the_time_of_its_state_is_over_and_no_other() {
    let retention =
        Retention { completed: Some(2 * DAY), cancelled: None, dead: Some(5 * DAY), ..Retention::default() };
    let mill = Mill::keeping(retention);
    let first = mill.enqueue().await;
    mill.finished(first).await;
    mill.script.fail(FailureKind::Permanent);
    let dead = mill.enqueue().await;
    mill.finished(dead).await;
    mill.clock.advance(DAY);
    let second = mill.enqueue().await;
    mill.finished(second).await;
    mill.clock.advance(DAY + MINUTE);
    until_gone(&mill, first).await;
    assert!(is_there(&mill, second).await && is_there(&mill, dead).await);
    mill.clock.advance(DAY + MINUTE);
    until_gone(&mill, second).await;
    assert!(is_there(&mill, dead).await);
    mill.clock.advance(3 * DAY);
    until_gone(&mill, dead).await;
    assert_eq!(mill.handle.retention(), retention);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_is_pruned_a_minute_later() {
    let mill = Mill::keeping(Retention { completed: Some(2 * DAY), ..Retention::default() });
    let run = mill.enqueue().await;
    mill.finished(run).await;
    mill.log.fill(true);
    mill.clock.advance(3 * DAY);
    // Only pruning writes here: once the store has no log, a round has failed.
    let has_log = async || mill.handle.query().export().await.is_ok();
    watchdog(async {
        while has_log().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    mill.log.fill(false);
    watchdog(async {
        while !has_log().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(is_there(&mill, run).await);
    watchdog(async {
        while is_there(&mill, run).await {
            mill.clock.advance(MINUTE);
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_goes_on_until_nothing_is_left() {
    let mill = Mill::start();
    mill.ready().await;
    let request = EventRequest::new("nobody/listens".to_owned(), Json::empty_object());
    mill.handle.publish(vec![request; 4_100]).await.expect("published");
    let retention = Retention { completed: Some(2 * DAY), ..Retention::default() };
    assert_eq!(mill.handle.prune(retention).await.expect("pruned").events, 0);
    mill.clock.advance(3 * DAY);
    let pruned = mill.handle.prune(retention).await.expect("pruned");
    assert_eq!((pruned.events, pruned.more), (4_100, false));
    assert_eq!(mill.handle.prune(retention).await.expect("pruned").events, 0);
}
