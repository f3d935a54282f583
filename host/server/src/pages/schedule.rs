//! Schedules as people see them: what starts by itself within a day, each schedule with its times, and a start ahead of time.
//! It fires nothing and sets no schedule; the engine fires, components and the configuration set.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use jobmill_core::cron::CronExpression;
use jobmill_core::flow::CatchUp;
use jobmill_core::{EntryKind, JobId, RunId, Timestamp};
use jobmill_engine::{Catalog, ScheduleListing};
use jobmill_store::Schedule;

use crate::Context;
use crate::action::Action;
use crate::api::start_scheduled;
use crate::authentication::Caller;
use crate::error::Problem;
use crate::pages::form::Posted;
use crate::pages::frame::{Frame, Section, page};
use crate::pages::visitor::Visitor;
use crate::pages::words::{Moment, cron_words, rounded};
use crate::path::Id;
use crate::query::Parameters;
use crate::routes::{Routes, Rule};

/// How far ahead the list of firings looks.
const AHEAD: Duration = Duration::from_hours(24);
/// Firings that are listed: a schedule of each minute has 1,440 a day, and nobody reads those.
const FIRINGS: usize = 50;

/// A run that is made no later than this was not missed.
const PUNCTUAL: Duration = Duration::from_mins(1);
/// Missed times that are counted.
const MISSED: usize = 100;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/schedule", Rule::READ, show)
        .post("/schedule/{job}/trigger", Rule::OPERATE, trigger)
        .does(Action::ScheduleTrigger)
}

#[derive(Template)]
#[template(path = "schedule.html")]
struct SchedulePage {
    frame: Frame,
    schedules: Vec<ScheduleRow>,
    firings: Vec<FiringRow>,
    /// There are more firings within a day than are listed.
    more: bool,
    /// The run that was just started.
    started: Option<RunId>,
}

struct ScheduleRow {
    job: JobId,
    cron: String,
    /// The expression in words, where it has plain ones.
    words: Option<String>,
    next: Vec<Time>,
    last_run: Option<LastRun>,
    catch_up: &'static str,
    /// What was missed lately, and what came of it.
    missed: Option<String>,
    /// Nothing begins until somebody lets the job go on.
    paused: bool,
}

struct LastRun {
    id: RunId,
    /// When it was due; none when it was pruned.
    due: Option<Time>,
}

struct FiringRow {
    job: JobId,
    cron: String,
    words: Option<String>,
    at: Time,
}

/// A time of the wall clock, in UTC, and how far away it is.
struct Time {
    moment: Moment,
    /// To the minute: schedules know no seconds.
    minute: String,
    /// The same on the wall clock of the schedule's zone, where that is another.
    local: Option<String>,
}

impl Time {
    fn new(at: Timestamp, now: Timestamp, expression: Option<&CronExpression>) -> Self {
        let elsewhere = expression.filter(|expression| expression.zone() != "UTC");
        let local = elsewhere.and_then(|it| Some(format!("{} {}", it.wall_clock(at)?, it.zone())));
        let text = at.to_string();
        let minute = text.get(..16).unwrap_or(&text).replace('T', " ");
        Self { moment: Moment::new(at, now), minute, local }
    }
}

/// `GET /schedule`, after a start ahead of time with the run that it made.
async fn show(State(context): State<Context>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let started = parameters.only(&["started"])?.value("started")?;
    let frame = Frame::of(&context, visitor, Section::Schedule, "Schedule").await?;
    let listed = context.handle.schedule().await?;
    let catalog = context.handle.catalog();
    let expressions: Vec<_> = listed.iter().map(|listing| expression(&catalog, listing)).collect();
    let (firings, more) = firings(&listed, &expressions, frame.now);
    let reached = context.handle.query().schedules().await?;
    let mut schedules = Vec::with_capacity(listed.len());
    for (listing, expression) in listed.into_iter().zip(expressions) {
        let of_it = |schedule: &&Schedule| schedule.job == listing.job && schedule.cron == listing.cron;
        let up_to = reached.iter().find(of_it).map(|schedule| schedule.up_to);
        schedules.push(row(&context, listing, expression, up_to, frame.now).await?);
    }
    page(&SchedulePage { frame, schedules, firings, more, started })
}

/// The expression of a schedule, as its job has it ready.
fn expression<'catalog>(catalog: &'catalog Catalog, listing: &ScheduleListing) -> Option<&'catalog CronExpression> {
    let loaded = catalog.serving(&listing.job)?;
    loaded.crons.iter().find(|cron| cron.to_string() == listing.cron)
}

async fn row(
    context: &Context,
    listing: ScheduleListing,
    expression: Option<&CronExpression>,
    up_to: Option<Timestamp>,
    now: Timestamp,
) -> Result<ScheduleRow, Problem> {
    let query = context.handle.query();
    let ScheduleListing { job, cron, next, last_run, catch_up } = listing;
    let mut missed = None;
    let last_run = match last_run {
        Some(id) => {
            let begun = query.run(id).await?.and_then(|record| record.journal.into_iter().next());
            let due = begun.and_then(|entry| match entry.kind {
                EntryKind::Enqueued(enqueued) => Some((enqueued.scheduled_at, entry.at)),
                _ => None,
            });
            if let Some(((due, made), expression)) = due.zip(expression) {
                missed = missed_words(expression, due, made, up_to);
            }
            Some(LastRun { id, due: due.map(|(due, _)| Time::new(due, now, expression)) })
        }
        None => None,
    };
    Ok(ScheduleRow {
        words: expression.and_then(cron_words),
        next: next.into_iter().map(|at| Time::new(at, now, expression)).collect(),
        last_run,
        missed,
        catch_up: match catch_up {
            CatchUp::Once => "one run for all that are missed",
            CatchUp::Skip => "what is missed is skipped",
        },
        paused: query.job_flow(&job, now).await?.paused.is_some(),
        job,
        cron,
    })
}

/// What is known of times that passed while nothing could fire: the last run, if it was made late for them, and those
/// since then that made none.
fn missed_words(
    expression: &CronExpression,
    due: Timestamp,
    made: Timestamp,
    up_to: Option<Timestamp>,
) -> Option<String> {
    let late = made.since(due);
    if late > PUNCTUAL {
        return Some(format!("The last run was made {} late, for all that were missed by then.", rounded(late)));
    }
    let passed = std::iter::successors(expression.next_after(due), |last| expression.next_after(*last));
    let skipped = passed.take_while(|at| up_to.is_some_and(|up_to| *at <= up_to)).take(MISSED + 1).count();
    match skipped {
        0 => None,
        1 => Some("1 time since the last run was missed and skipped.".to_owned()),
        2..=MISSED => Some(format!("{skipped} times since the last run were missed and skipped.")),
        _ => Some(format!("More than {MISSED} times since the last run were missed and skipped.")),
    }
}

/// What fires within a day, soonest first, and whether there is more than is listed.
fn firings(
    listed: &[ScheduleListing],
    expressions: &[Option<&CronExpression>],
    now: Timestamp,
) -> (Vec<FiringRow>, bool) {
    let until = now.after(AHEAD);
    let first = listed.iter().enumerate().filter_map(|(place, listing)| Some(Reverse((*listing.next.first()?, place))));
    let mut to_come: BinaryHeap<Reverse<(Timestamp, usize)>> = first.collect();
    let mut firings = Vec::new();
    while let Some(Reverse((at, place))) = to_come.pop() {
        if at > until {
            break;
        }
        if firings.len() == FIRINGS {
            return (firings, true);
        }
        let listing = &listed[place];
        let expression = expressions[place];
        firings.push(FiringRow {
            job: listing.job.clone(),
            cron: listing.cron.clone(),
            words: expression.and_then(cron_words),
            at: Time::new(at, now, expression),
        });
        if let Some(next) = expression.and_then(|expression| expression.next_after(at)) {
            to_come.push(Reverse((next, place)));
        }
    }
    (firings, false)
}

/// `POST /schedule/{job}/trigger`: a run as the schedule would make it; the schedule goes on as it was.
async fn trigger(
    State(context): State<Context>,
    caller: Caller,
    Id(job): Id<JobId>,
    posted: Posted,
) -> Result<Response, Problem> {
    let accepted = start_scheduled(&context, &caller, job).await?;
    posted.audited.tells(accepted.head.id);
    Ok(Redirect::to(&format!("/schedule?started={}", accepted.head.id)).into_response())
}
