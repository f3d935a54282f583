//! Which schedules are in force, how far each has come, and what becomes of the times that passed.
//! It is pure: it waits for nothing, reads no clock and makes no run; `schedules` carries its decisions out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jobmill_core::cron::CronExpression;
use jobmill_core::flow::CatchUp;
use jobmill_core::{Job, JobId, Timestamp};
use jobmill_store::Schedule;
use serde_json::{Map, Value};

use crate::schema::{PayloadProblem, PayloadSchema};

/// A run that is no later than this has not been missed: no engine fires at the very instant.
const PUNCTUAL: Duration = Duration::from_mins(1);

/// What a loaded job says of when it starts by itself. A job without any cron expression says that it does not.
#[derive(Debug, Clone)]
pub struct JobSchedules {
    /// The job.
    pub job: JobId,
    /// Its cron expressions.
    pub crons: Vec<CronExpression>,
    /// What becomes of missed times.
    pub catch_up: CatchUp,
}

/// How one schedule is to go on. Nothing of it is so before the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// The job.
    pub job: JobId,
    /// The cron expression, as it was written.
    pub cron: String,
    /// How far the schedule had come; none for one that begins.
    pub from: Option<Timestamp>,
    /// How far it comes.
    pub up_to: Timestamp,
    /// The minute for which it makes a run.
    pub due: Option<Timestamp>,
    /// It is not in force any more.
    pub ended: bool,
}

/// A job and one of its cron expressions, as it was written.
type Key = (JobId, String);

/// An expression that a loaded job names.
#[derive(Debug)]
struct Line {
    expression: CronExpression,
    catch_up: CatchUp,
    /// How far it has come; none before it has begun.
    reached: Option<Timestamp>,
    /// The first due time after that.
    next: Option<Timestamp>,
}

/// Every schedule. A job that is not loaded keeps what it has: its schedules neither fire nor end until it is back.
#[derive(Debug, Default)]
pub struct Timetable {
    jobs: BTreeSet<JobId>,
    lines: BTreeMap<Key, Line>,
    /// Schedules in force that no loaded job names, and how far they have come.
    others: BTreeMap<Key, Timestamp>,
}

impl Timetable {
    /// Takes in how far each schedule has come, as the store has it.
    pub fn reach(&mut self, schedules: Vec<Schedule>) {
        let in_force = schedules.into_iter().filter(|schedule| !schedule.ended);
        self.place(in_force.map(|schedule| ((schedule.job, schedule.cron), schedule.up_to)).collect());
    }

    /// Takes in what the loaded jobs say.
    pub fn load(&mut self, jobs: impl IntoIterator<Item = JobSchedules>) {
        let mut reached = std::mem::take(&mut self.others);
        let lines = std::mem::take(&mut self.lines).into_iter();
        reached.extend(lines.filter_map(|(key, line)| Some((key, line.reached?))));
        self.jobs.clear();
        for JobSchedules { job, crons, catch_up } in jobs {
            for expression in crons {
                let key = (job.clone(), expression.to_string());
                self.lines.insert(key, Line { expression, catch_up, reached: None, next: None });
            }
            self.jobs.insert(job);
        }
        self.place(reached);
    }

    fn place(&mut self, mut reached: BTreeMap<Key, Timestamp>) {
        for (key, line) in &mut self.lines {
            line.come(reached.remove(key));
        }
        self.others = reached;
    }

    /// How the schedules are to go on at `now`. Until the store has one of these and `record` is told so, each step
    /// decides it anew.
    pub fn step(&self, now: Timestamp) -> Vec<Advance> {
        let on = self.lines.iter().filter_map(|(key, line)| line.advance(key, now));
        let ends = self.ended().map(|(key, reached)| Advance {
            from: Some(reached),
            up_to: now.max(reached),
            ended: true,
            ..Advance::begin(key, now)
        });
        on.chain(ends).collect()
    }

    /// The store has this.
    pub fn record(&mut self, advance: Advance) {
        let key = (advance.job, advance.cron);
        if advance.ended {
            self.others.remove(&key);
        } else if let Some(line) = self.lines.get_mut(&key) {
            line.come(Some(advance.up_to));
        }
    }

    /// When there is something to decide: at once if this is in the past, and never by itself if it is none.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let begins = self.lines.values().any(|line| line.reached.is_none());
        if begins || self.ended().next().is_some() {
            return Some(Timestamp::from_millis(0));
        }
        self.lines.values().filter_map(|line| line.next).min()
    }

    /// Schedules that their loaded jobs do not name any more, and how far they have come.
    fn ended(&self) -> impl Iterator<Item = (&Key, Timestamp)> {
        self.others.iter().filter(|((job, _), _)| self.jobs.contains(job)).map(|(key, reached)| (key, *reached))
    }
}

impl Line {
    fn come(&mut self, reached: Option<Timestamp>) {
        self.reached = reached;
        self.next = reached.and_then(|reached| self.expression.next_after(reached));
    }

    fn advance(&self, key: &Key, now: Timestamp) -> Option<Advance> {
        let Some(reached) = self.reached else { return Some(Advance::begin(key, now)) };
        // While the clock is behind what was reached, nothing is due: it was seen to before the clock was set back.
        self.next.filter(|next| *next <= now)?;
        let latest = self.expression.latest(reached, now);
        let due = latest.filter(|due| self.catch_up == CatchUp::Once || now.since(*due) <= PUNCTUAL);
        Some(Advance { from: Some(reached), due, ..Advance::begin(key, now) })
    }
}

impl Advance {
    fn begin((job, cron): &Key, now: Timestamp) -> Self {
        Self { job: job.clone(), cron: cron.clone(), from: None, up_to: now, due: None, ended: false }
    }
}

/// The cron expressions of a job, ready to be asked; refused when its runs can't have the payload `{}`.
pub fn crons_of(job: &Job, schema: Option<&PayloadSchema>) -> Result<Vec<CronExpression>, String> {
    let crons = job.cron.value.iter().map(|text| text.parse::<CronExpression>());
    let crons = crons.collect::<Result<Vec<_>, _>>().map_err(|error| format!("cron: {error}"))?;
    let (Some(cron), Some(schema)) = (crons.first(), schema) else { return Ok(crons) };
    match schema.problems(&Value::Object(Map::new())).first() {
        Some(PayloadProblem { pointer, detail }) => Err(format!(
            "cron: runs of \"{cron}\" have the payload {{}}, which the payload-schema refuses ({pointer} {detail}); \
             take the cron away, or let the schema accept {{}}"
        )),
        None => Ok(crons),
    }
}

#[cfg(test)]
mod tests;
