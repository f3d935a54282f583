//! What must hold of schedules, from what is written and acknowledged: each goes on together with its run, makes one for
//! the latest time that passed or none, and none is late. It knows no timetable and changes nothing but its own counts.

use std::collections::{BTreeMap, BTreeSet};

use jobmill_core::flow::CatchUp;
use jobmill_core::journal::{Enqueued, EntryKind};
use jobmill_core::{Clock as _, JobId, Json, RunId, Timestamp};
use jobmill_engine::timetable::Advance;
use jobmill_store::{Control, NewRun, Record, Schedule, StoreError, WaitingBounds};

use crate::crons::{PUNCTUAL, latest};
use crate::findings::Findings;
use crate::watched_log::Watch;
use crate::world::World;

/// A job and one of its cron expressions.
pub(crate) type Key = (JobId, String);

/// What was loaded when the next step of each schedule was last decided: what becomes of missed times; none for an
/// expression that its job did not name.
pub(crate) type Decided = BTreeMap<Key, Option<CatchUp>>;

/// Rounds in which nothing hinders a schedule until it has gone on: one to decide, one to commit and one to hear of it, the
/// same for what was under way before, and more where runs of one job wait for quiet, which takes a commit for each.
const ROUNDS: u32 = 16;

/// For how many rounds each schedule could have gone on.
#[derive(Default)]
pub(crate) struct Lateness {
    rounds: BTreeMap<Key, u32>,
    /// A commit was made since they were looked at.
    has_committed: bool,
}

impl Lateness {
    pub(crate) fn committed(&mut self) {
        self.has_committed = true;
    }
}

impl Watch {
    /// A schedule is about to go on.
    pub(crate) fn decides(&mut self, advance: &Advance, catch_up: Option<CatchUp>, run: Option<&NewRun>) {
        self.decided.insert((advance.job.clone(), advance.cron.clone()), catch_up);
        self.bounds.extend(run.map(|run| (run.id, run.flow.waiting)));
    }

    /// Judges what was answered by what is durable.
    pub(crate) fn judge_fire(
        &mut self,
        advance: &Advance,
        bounds: Option<WaitingBounds>,
        answer: &Result<bool, StoreError>,
        findings: &Findings,
    ) {
        let key = (advance.job.clone(), advance.cron.clone());
        let controls = &self.durable.controls;
        let in_force = controls.schedule(&key).filter(|schedule| !schedule.ended).map(|schedule| schedule.up_to);
        match answer {
            Ok(true) => findings.require(controls.has_said_of_schedule(&key, advance.up_to, advance.ended), || {
                format!("{advance:?} was acknowledged and is not durable")
            }),
            Ok(false) => findings.require(in_force != advance.from, || {
                format!("{advance:?} was refused, and the schedule had come to {in_force:?}")
            }),
            Err(StoreError::Crowded { job, limit }) => {
                let bound = bounds.and_then(|bounds| if job.is_some() { bounds.of_job } else { bounds.in_all });
                findings.require(bound == Some(*limit), || format!("{advance:?} was refused for {limit} of {job:?}"));
            }
            Err(_) => {}
        }
        if answer.is_ok() {
            self.refused.remove(&key);
        } else {
            self.refused.insert(key);
        }
    }

    /// A commit takes schedules on: each with its run, and no such run without its schedule. The times of a schedule's
    /// runs lie in spans that follow on each other, so none of them comes twice.
    pub(crate) fn check_schedules(&self, group: &[Record], latest_time: Timestamp, findings: &Findings) {
        // What comes before a floor was only written again.
        let decided = group.iter().rposition(|record| matches!(record, Record::Floor { .. })).map_or(0, |at| at + 1);
        let group = &group[decided..];
        let made: BTreeMap<RunId, &Enqueued> = scheduled(group).collect();
        let mut told = BTreeSet::new();
        for record in group {
            let Record::Control(Control::Schedule(schedule)) = record else { continue };
            findings.require(schedule.up_to <= latest_time, || format!("{schedule:?} is ahead of the clock"));
            self.check_advance(schedule, &made, findings);
            told.extend(schedule.last_run);
        }
        let orphan = made.keys().find(|run| !told.contains(run));
        findings.require(orphan.is_none(), || format!("{orphan:?} was made, and no schedule goes on with it"));
    }

    fn check_advance(&self, schedule: &Schedule, made: &BTreeMap<RunId, &Enqueued>, findings: &Findings) {
        let key = (schedule.job.clone(), schedule.cron.clone());
        let before = self.written.controls.schedule(&key);
        let from = before.filter(|before| !before.ended).map(|before| before.up_to);
        let catch_up = self.decided.get(&key).copied().flatten();
        findings.require(schedule.ended == catch_up.is_none(), || {
            format!("{schedule:?} was written, and what its job says of it is {catch_up:?}")
        });
        findings
            .require(from.is_none_or(|from| from <= schedule.up_to), || format!("{schedule:?} goes back: {from:?}"));
        let due = latest(&schedule.cron, schedule.up_to);
        let has_passed = from.is_some_and(|from| from < due);
        let is_made = catch_up == Some(CatchUp::Once) || schedule.up_to.since(due) <= PUNCTUAL;
        let wanted = Some(due).filter(|_| has_passed && is_made && !schedule.ended);
        let last = before.and_then(|before| before.last_run);
        // A run that waits for quiet may be the last of this schedule and be taken in by another one now.
        let is_others = schedule.last_run == last && wanted.is_none();
        let run = schedule.last_run.filter(|_| !is_others).and_then(|run| Some((run, *made.get(&run)?)));
        findings.require(wanted.is_some() == run.is_some(), || {
            format!("{schedule:?} came from {from:?} with {catch_up:?} and made {run:?}, and its run is of {wanted:?}")
        });
        let Some((id, enqueued)) = run else {
            return findings
                .require(schedule.last_run == last, || format!("{schedule:?} made no run, and the last was {last:?}"));
        };
        let is_quiet = enqueued.terms.as_ref().is_some_and(|terms| terms.debounce.is_some());
        let is_of_job = enqueued.job == schedule.job;
        findings.require(is_of_job && (is_quiet || wanted == Some(enqueued.scheduled_at)), || {
            format!(
                "{id} is of {} and {}, and {schedule:?} made it for {wanted:?}",
                enqueued.job, enqueued.scheduled_at
            )
        });
    }

    /// Whether one more run of this job may not wait.
    fn is_crowded(&self, job: &JobId, bounds: WaitingBounds) -> bool {
        let waiting = |wanted: Option<&JobId>| {
            let jobs = self.waiting().filter_map(|(_, told)| told.enqueued()).map(|enqueued| &enqueued.job);
            jobs.filter(|it| wanted.is_none_or(|wanted| wanted == *it)).count()
        };
        let is_reached = |count: usize, bound: Option<u32>| bound.is_some_and(|bound| count >= bound as usize);
        is_reached(waiting(Some(job)), bounds.of_job) || is_reached(waiting(None), bounds.in_all)
    }
}

/// Enqueues that schedules made: nobody else has such a payload.
fn scheduled(group: &[Record]) -> impl Iterator<Item = (RunId, &Enqueued)> {
    let nothing = Json::empty_object();
    group.iter().filter_map(move |record| {
        let Record::Journal { run, first: 0, entries } = record else { return None };
        let EntryKind::Enqueued(enqueued) = &entries.first()?.kind else { return None };
        (enqueued.payload == nothing).then_some((*run, &**enqueued))
    })
}

impl World {
    /// Lets schedules go on. None that could go on for some rounds has not.
    pub(crate) fn tend(&mut self) {
        let Some(life) = &mut self.life else { return self.lateness.rounds.clear() };
        life.tend();
        let is_hindered = self.is_failing || self.is_full || !life.is_tending();
        let watch = self.log.watch();
        // Where a store refuses, a schedule pauses; when faults are over it is to go on all the same.
        let is_refused = !self.stage.is_calm() && !watch.refused.is_empty();
        if is_hindered || watch.is_low || watch.is_refusing || is_refused {
            return self.lateness.rounds.clear();
        }
        // A commit is a part of each round.
        if !std::mem::take(&mut self.lateness.has_committed) {
            return;
        }
        let late = self.late(&watch);
        self.lateness.rounds.retain(|key, _| late.contains(key));
        for key in late {
            let rounds = self.lateness.rounds.entry(key.clone()).or_default();
            *rounds += 1;
            if *rounds >= ROUNDS {
                let schedule = watch.durable.controls.schedule(&key).cloned();
                self.findings.report(|| format!("{key:?} does not go on, at {}: {schedule:?}", self.clock.now()));
            }
        }
    }

    /// Schedules that are to begin, to go on or to end now.
    fn late(&self, watch: &Watch) -> BTreeSet<Key> {
        let now = self.clock.now();
        let mut late = BTreeSet::new();
        let Some(life) = &self.life else { return late };
        let controls = &watch.durable.controls;
        let in_force = |key: &Key| controls.schedule(key).filter(|schedule| !schedule.ended);
        for loaded in life.jobs().values() {
            let job = &loaded.job;
            let bounds = WaitingBounds { of_job: job.max_waiting.value, in_all: self.scenario.policies.waiting };
            let keys = loaded.crons.iter().map(|cron| (job.id.clone(), cron.to_string()));
            let is_late = |key: &Key| in_force(key).is_none_or(|schedule| schedule.up_to < latest(&key.1, now));
            late.extend(keys.filter(is_late).filter(|_| !watch.is_crowded(&job.id, bounds)));
        }
        let ended = controls.schedules().filter(|schedule| !schedule.ended).filter(|schedule| {
            let loaded = life.jobs().get(&schedule.job);
            loaded.is_some_and(|loaded| !loaded.crons.iter().any(|cron| cron.to_string() == schedule.cron))
        });
        late.extend(ended.map(|schedule| (schedule.job.clone(), schedule.cron.clone())));
        late
    }
}
