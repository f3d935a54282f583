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
use jobmill_core::{JobId, Json, RunId, Timestamp};
use jobmill_engine::{EnqueueRequest, ScheduleListing};

use crate::Context;
use crate::action::Action;
use crate::api::{take_work, unknown_job};
use crate::authentication::Caller;
use crate::error::{Code, Problem};
use crate::pages::form::Posted;
use crate::pages::frame::{Frame, Section, page};
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::path::Id;
use crate::query::Parameters;
use crate::routes::{Routes, Rule};

/// How far ahead the list of firings looks.
const AHEAD: Duration = Duration::from_hours(24);
/// Firings that are listed: a schedule of each minute has 1,440 a day, and nobody reads those.
const FIRINGS: usize = 50;

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
    next: Vec<Time>,
    last_run: Option<LastRun>,
    catch_up: &'static str,
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
    at: Time,
}

/// A time of the wall clock, in UTC, and how far away it is.
struct Time {
    moment: Moment,
    /// To the minute: schedules know no seconds.
    minute: String,
}

impl Time {
    fn new(at: Timestamp, now: Timestamp) -> Self {
        let text = at.to_string();
        let minute = text.get(..16).unwrap_or(&text).replace('T', " ");
        Self { moment: Moment::new(at, now), minute }
    }
}

/// `GET /schedule`, after a start ahead of time with the run that it made.
async fn show(State(context): State<Context>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let started = parameters.only(&["started"])?.value("started")?;
    let frame = Frame::of(&context, visitor, Section::Schedule, "Schedule").await?;
    let listed = context.handle.schedule().await?;
    let (firings, more) = firings(&context, &listed, frame.now);
    let mut schedules = Vec::with_capacity(listed.len());
    for listing in listed {
        schedules.push(row(&context, listing, frame.now).await?);
    }
    page(&SchedulePage { frame, schedules, firings, more, started })
}

async fn row(context: &Context, listing: ScheduleListing, now: Timestamp) -> Result<ScheduleRow, Problem> {
    let query = context.handle.query();
    let ScheduleListing { job, cron, next, last_run, catch_up } = listing;
    let last_run = match last_run {
        Some(id) => {
            let record = query.run(id).await?;
            Some(LastRun { id, due: record.map(|record| Time::new(record.run.head.scheduled_at, now)) })
        }
        None => None,
    };
    Ok(ScheduleRow {
        next: next.into_iter().map(|at| Time::new(at, now)).collect(),
        last_run,
        catch_up: match catch_up {
            CatchUp::Once => "one run for all that were missed",
            CatchUp::Skip => "none: what was missed is skipped",
        },
        paused: query.job_flow(&job, now).await?.paused.is_some(),
        job,
        cron,
    })
}

/// What fires within a day, soonest first, and whether there is more than is listed.
fn firings(context: &Context, listed: &[ScheduleListing], now: Timestamp) -> (Vec<FiringRow>, bool) {
    let catalog = context.handle.catalog();
    let until = now.after(AHEAD);
    let expression = |listing: &ScheduleListing| -> Option<CronExpression> {
        let loaded = catalog.serving(&listing.job)?;
        loaded.crons.iter().find(|cron| cron.to_string() == listing.cron).cloned()
    };
    let expressions: Vec<Option<CronExpression>> = listed.iter().map(expression).collect();
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
        firings.push(FiringRow { job: listing.job.clone(), cron: listing.cron.clone(), at: Time::new(at, now) });
        if let Some(next) = expressions[place].as_ref().and_then(|expression| expression.next_after(at)) {
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
    _: Posted,
) -> Result<Response, Problem> {
    let handle = &context.handle;
    take_work(handle)?;
    let catalog = handle.catalog();
    let loaded = catalog.serving(&job).ok_or_else(|| unknown_job(handle, &job))?;
    if loaded.crons.is_empty() {
        let detail = format!("the job {job} has no schedule; its own page can enqueue a run of any job");
        return Err(Problem::new(Code::WrongState, detail));
    }
    let request = EnqueueRequest::new(job, Json::empty_object());
    let accepted = handle.enqueue(EnqueueRequest { max_waiting: caller.max_waiting(), ..request }).await?;
    Ok(Redirect::to(&format!("/schedule?started={}", accepted.head.id)).into_response())
}
