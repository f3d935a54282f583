//! What a job did in the last day, in words: how much of it succeeded, and how long it took.
//! It counts nothing; the store does.

use std::time::Duration;

use jobmill_store::{Durations, HourActivity, JobActivity};

use crate::pages::bars::{Bars, Ends};
use crate::pages::run::span;

/// Of the runs that ended, how many completed; rounded down, so that only all of them are 100 %.
pub(super) fn success(activity: &JobActivity) -> String {
    let JobActivity { completed, dead, .. } = activity;
    match (completed * 1_000).checked_div(completed + dead) {
        Some(1_000) => "100 %".to_owned(),
        Some(share) => format!("{}.{} %", share / 10, share % 10),
        None => "–".to_owned(),
    }
}

/// What half of them did not exceed.
pub(super) fn p50(durations: &Durations) -> String {
    told(durations.count, durations.p50)
}

/// What 95 of 100 did not exceed.
pub(super) fn p95(durations: &Durations) -> String {
    told(durations.count, durations.p95)
}

fn told(count: u64, duration: Duration) -> String {
    if count == 0 { "–".to_owned() } else { span(duration) }
}

/// The hours as bars.
pub(super) fn bars(activity: &JobActivity) -> Bars {
    let ends = |hour: &HourActivity| Ends { completed: hour.completed, failed: hour.failed, dead: hour.dead };
    Bars::of(&activity.hours.iter().map(ends).collect::<Vec<_>>())
}
