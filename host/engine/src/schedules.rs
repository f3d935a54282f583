//! The shell of the timetable: sleeps until a schedule is due, commits what is decided, and tells the doors what is to come.
//! It decides neither what fires nor what becomes of a run.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};
use jobmill_core::flow::CatchUp;
use jobmill_core::{JobId, Json, RunId, Timestamp};
use jobmill_store::{Firing, StoreError};
use serde_json::{Map, Value};

use crate::catalog::Catalog;
use crate::handle::Handle;
use crate::intake::EnqueueRequest;
use crate::patience::{is_passing, patiently, pause};
use crate::timetable::{Advance, JobSchedules, Timetable};

/// Schedules that are committed at once: at midnight many are due, and share their commits.
const AT_ONCE: usize = 64;
/// Times to come that are listed of each schedule.
const LISTED: usize = 3;

/// Makes the runs of schedules.
pub(crate) struct Schedules {
    pub(crate) handle: Handle,
}

/// How a round went.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    /// The store could not take something just now.
    refused: bool,
    /// A schedule has come elsewhere meanwhile.
    outdated: bool,
}

impl Schedules {
    /// Goes on until the engine is asked to stop, or until the store can't serve any more, which the engine's loop tells.
    pub(crate) async fn run(self) {
        tokio::select! {
            () = self.handle.shutting_down() => {}
            Err(error) = self.follow() => tracing::error!(%error, "no schedule fires until a restart"),
        }
    }

    /// Fires whatever is due, as long as the store serves.
    async fn follow(&self) -> Result<(), StoreError> {
        let Handle { store, clock, .. } = &self.handle;
        let mut loads = self.handle.catalog_changes();
        let mut timetable = Timetable::default();
        let mut refused = BTreeSet::new();
        let mut outdated = true;
        loop {
            if outdated {
                timetable.reach(patiently(&**clock, is_passing, || store.schedules()).await?);
            }
            // Marked as seen before it is looked at, so that nothing falls between.
            loads.mark_unchanged();
            let catalog = self.handle.catalog();
            timetable.load(catalog.all_serving().map(|loaded| JobSchedules {
                job: loaded.job.id.clone(),
                crons: loaded.crons.clone(),
                catch_up: loaded.job.cron_catch_up.value,
            }));
            let round = self.advance(&catalog, &mut timetable, &mut refused).await?;
            outdated = round.outdated;
            if outdated {
                continue;
            }
            let wake = async {
                match timetable.wake_at() {
                    _ if round.refused => pause(&**clock).await,
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wake => {}
                Ok(()) = loads.changed() => {}
            }
        }
    }

    /// Commits what is decided now. `refused` is what was complained of already.
    async fn advance(
        &self,
        catalog: &Catalog,
        timetable: &mut Timetable,
        refused: &mut BTreeSet<(JobId, String)>,
    ) -> Result<Round, StoreError> {
        let advances = timetable.step(self.handle.now());
        let commits = advances.into_iter().map(|advance| async move {
            let answer = self.commit(catalog, &advance).await;
            (advance, answer)
        });
        let mut answers = stream::iter(commits).buffer_unordered(AT_ONCE);
        let mut round = Round::default();
        while let Some((advance, answer)) = answers.next().await {
            let key = (advance.job.clone(), advance.cron.clone());
            match answer {
                Ok(true) => {
                    refused.remove(&key);
                    timetable.record(advance);
                }
                Ok(false) => round.outdated = true,
                Err(error) if is_passing(&error) || matches!(error, StoreError::Crowded { .. }) => {
                    round.refused = true;
                    if refused.insert(key) {
                        let Advance { job, cron, .. } = &advance;
                        tracing::warn!(%job, cron, %error, "a schedule could not go on; it is tried again until it can");
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(round)
    }

    async fn commit(&self, catalog: &Catalog, advance: &Advance) -> Result<bool, StoreError> {
        let now = self.handle.now();
        let due = advance.due.and_then(|due| Some((due, catalog.serving(&advance.job)?)));
        let run = due.map(|(due, loaded)| {
            let request = EnqueueRequest::new(advance.job.clone(), Json::empty_object());
            let request = EnqueueRequest { scheduled_at: Some(due), ..request };
            self.handle.new_run(loaded, request, Some(&Value::Object(Map::new())), now)
        });
        let Advance { job, cron, from, up_to, ended, .. } = advance.clone();
        self.handle.store.fire(Firing { job, cron, from, up_to, run, ended }, now).await
    }
}

/// A schedule in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleListing {
    /// The job.
    pub job: JobId,
    /// The cron expression, as it was written.
    pub cron: String,
    /// The times to come, at most three.
    pub next: Vec<Timestamp>,
    /// The last run that it made; it may be pruned by now.
    pub last_run: Option<RunId>,
    /// What becomes of missed times.
    pub catch_up: CatchUp,
}

impl Handle {
    /// The schedules of loaded jobs, by job and in the order in which the job has them.
    pub async fn schedule(&self) -> Result<Vec<ScheduleListing>, StoreError> {
        let kept = self.store.schedules().await?.into_iter();
        let kept: BTreeMap<_, _> = kept.map(|kept| ((kept.job.clone(), kept.cron.clone()), kept)).collect();
        let now = self.now();
        let catalog = self.catalog();
        let crons = catalog.all_serving().flat_map(|loaded| loaded.crons.iter().map(move |cron| (&loaded.job, cron)));
        let listings = crons.map(|(job, expression)| {
            let cron = expression.to_string();
            let kept = kept.get(&(job.id.clone(), cron.clone()));
            // Nothing that was seen to fires again, whatever the clock says.
            let reached = kept.filter(|schedule| !schedule.ended).map_or(now, |schedule| now.max(schedule.up_to));
            let next = std::iter::successors(expression.next_after(reached), |last| expression.next_after(*last));
            ScheduleListing {
                job: job.id.clone(),
                next: next.take(LISTED).collect(),
                last_run: kept.and_then(|schedule| schedule.last_run),
                catch_up: job.cron_catch_up.value,
                cron,
            }
        });
        Ok(listings.collect())
    }
}
