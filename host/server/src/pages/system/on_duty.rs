//! Who is told of dead runs, and of which groups somebody was.
//! It tells nobody; the engine does.

use jobmill_core::time::format_duration;
use jobmill_core::{JobId, Timestamp, limits};

use crate::Context;
use crate::error::Problem;
use crate::pages::links::link;
use crate::pages::words::Moment;
use crate::settings::OnDuty;

/// Groups that the page shows, those that somebody was told of last.
const SHOWN: usize = 10;

/// What the page shows of it.
pub(super) struct Duty {
    pub(super) people: OnDuty,
    /// Within what time runs join a group that spikes.
    pub(super) window: String,
    pub(super) told: Vec<ToldRow>,
}

/// A group that somebody was told of.
pub(super) struct ToldRow {
    pub(super) job: JobId,
    pub(super) address: String,
    pub(super) error: String,
    pub(super) count: usize,
    pub(super) at: Moment,
}

impl Duty {
    pub(super) async fn now(context: &Context, now: Timestamp) -> Result<Self, Problem> {
        let groups = context.handle.query().dead_groups().await?;
        let mut told: Vec<_> = groups.into_iter().filter_map(|group| Some((group.notified_at?, group))).collect();
        told.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let told = told.into_iter().take(SHOWN).map(|(at, group)| ToldRow {
            address: link(&format!("/dead/{:016x}", group.fingerprint), &[("job", Some(group.job.to_string()))]),
            error: group.message.lines().next().unwrap_or_default().to_owned(),
            job: group.job,
            count: group.count,
            at: Moment::new(at, now),
        });
        let window = format_duration(limits::SPIKE_WINDOW);
        Ok(Self { people: context.settings.on_duty.clone(), window, told: told.collect() })
    }

    /// Whether anybody is to be told.
    pub(super) fn is_anybody(&self) -> bool {
        !self.people.receivers.is_empty() || !self.people.unreached.is_empty()
    }
}
