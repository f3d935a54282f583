//! The list of jobs: what is loaded, what starts its runs, what is wrong, and how its runs stand.
//! It changes nothing; each job has a page of its own for that.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jobmill_core::cron::CronExpression;
use jobmill_core::{JobId, RunState, Trigger, Version};
use jobmill_engine::{JobListing, JobStatus, LoadedJob};
use jobmill_store::{Activity, Counts, JobActivity};

use crate::Context;
use crate::error::Problem;
use crate::pages::activity;
use crate::pages::frame::{Frame, Section, page};
use crate::pages::visitor::Visitor;
use crate::pages::words::{Moment, cron_words, icon};
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

pub(super) fn routes() -> Routes {
    Routes::new().get("/jobs", Rule::READ, show)
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    frame: Frame,
    jobs: Vec<JobRow>,
}

struct JobRow {
    /// None for a file that never loaded.
    job: Option<LoadedRow>,
    file: String,
    standing: Standing,
    broken: Option<(Moment, String)>,
}

struct LoadedRow {
    id: JobId,
    title: String,
    version: Version,
    loaded: Moment,
    starts: Vec<Start>,
    /// Who paused it, and when.
    paused: Option<(String, Moment)>,
    counts: Vec<StateCount>,
    /// What it did in the last day; none when no attempt ended.
    activity: Option<JobActivity>,
}

/// How a job stands, in a word, with the mark and the class of it.
pub(super) struct Standing {
    pub(super) word: &'static str,
    pub(super) icon: &'static str,
    pub(super) class: &'static str,
}

impl Standing {
    pub(super) fn of(listing: &JobListing) -> Self {
        let (word, icon, class) = match (listing.status, &listing.breakage) {
            // Serves, but not what lies in the hopper.
            (JobStatus::Loaded, Some(_)) => ("loaded, newer file broken", "✕", "dead"),
            (JobStatus::Loaded, None) => ("loaded", "●", "completed"),
            (JobStatus::Broken, _) => ("broken", "✕", "dead"),
            (JobStatus::Retired, _) => ("retired", "⊘", "cancelled"),
        };
        Self { word, icon, class }
    }
}

/// What starts runs of a job: words, and the name or expression after them.
pub(super) struct Start {
    pub(super) words: String,
    pub(super) name: String,
}

/// What starts runs of a job beside a request that names it.
pub(super) fn starts(loaded: &LoadedJob) -> Vec<Start> {
    let event = |trigger: &Trigger| match trigger {
        Trigger::Event(name) => Some(Start { words: "on the event".to_owned(), name: name.clone() }),
        // What is in force may be what the configuration says.
        Trigger::Cron(_) => None,
    };
    let cron = |expression: &CronExpression| Start {
        words: cron_words(expression).unwrap_or_else(|| "at the times".to_owned()),
        name: expression.to_string(),
    };
    loaded.job.triggers.iter().filter_map(event).chain(loaded.crons.iter().map(cron)).collect()
}

/// How many runs show a state.
pub(super) struct StateCount {
    pub(super) state: RunState,
    pub(super) icon: &'static str,
    pub(super) runs: usize,
}

/// The states that any run shows.
pub(super) fn state_counts(counts: &Counts) -> Vec<StateCount> {
    let counted = RunState::ALL.map(|state| StateCount { state, icon: icon(state), runs: counts.of(state) });
    counted.into_iter().filter(|count| count.runs > 0).collect()
}

/// `GET /jobs`.
async fn show(State(context): State<Context>, visitor: Visitor, _: NoParameters) -> Result<Response, Problem> {
    let frame = Frame::of(&context, visitor, Section::Jobs, "Jobs").await?;
    let catalog = context.handle.catalog();
    let activity = context.handle.query().activity(frame.now).await?;
    let mut jobs = Vec::new();
    for listing in catalog.listings() {
        jobs.push(row(&context, listing, &activity, &frame).await?);
    }
    page(&JobsPage { frame, jobs })
}

async fn row(context: &Context, listing: &JobListing, activity: &Activity, frame: &Frame) -> Result<JobRow, Problem> {
    let now = frame.now;
    let job = match &listing.loaded {
        Some(loaded) => {
            let query = context.handle.query();
            let paused = query.job_flow(&loaded.job.id, now).await?.paused;
            Some(LoadedRow {
                id: loaded.job.id.clone(),
                title: loaded.job.title.clone(),
                version: loaded.version,
                loaded: Moment::new(loaded.loaded_at, now),
                starts: starts(loaded),
                paused: paused.map(|pause| (pause.by, Moment::new(pause.at, now))),
                counts: state_counts(&query.counts(Some(&loaded.job.id), now).await?),
                activity: activity.jobs.iter().find(|activity| activity.job == loaded.job.id).cloned(),
            })
        }
        None => None,
    };
    Ok(JobRow {
        job,
        file: listing.file.clone(),
        standing: Standing::of(listing),
        broken: listing.breakage.as_ref().map(|broken| (Moment::new(broken.since, now), broken.error.clone())),
    })
}
