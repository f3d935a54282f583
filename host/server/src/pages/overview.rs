//! The first page: how things stand now, what was done in the last hour and the last day, and what wants a look.
//! Of an engine that has never run anything it says how to begin, and runs the first job; it counts nothing itself.

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{Redirect, Response};
use jobmill_core::{JobId, Json, Run, RunId, RunState, Timestamp};
use jobmill_engine::{Catalog, EnqueueRequest, Handle};
use jobmill_store::{Activity, Counts, JobActivity, MinuteActivity, RunFilter};

use crate::Context;
use crate::action::Action;
use crate::api::take_work;
use crate::authentication::Caller;
use crate::error::{Code, Problem};
use crate::pages::activity::{self, success};
use crate::pages::bars::{Bars, Ends};
use crate::pages::form::Posted;
use crate::pages::frame::{Frame, Section, page};
use crate::pages::visitor::Visitor;
use crate::pages::words::{Moment, icon, note, shell_quoted};
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

/// Runs that are shown.
const RUNS: usize = 10;
/// Jobs that are shown.
const JOBS: usize = 20;
/// The example that shows most, where it is loaded.
const FIRST: &str = "purchase-confirmation";

pub(super) fn routes() -> Routes {
    Routes::new().get("/", Rule::READ, show).post("/", Rule::OPERATE, run_first).does(Action::Run)
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    numbers: Vec<Number>,
    next_due: Option<Moment>,
    hour: Hour,
    jobs_since: Moment,
    jobs: Vec<JobRow>,
    jobs_more: usize,
    broken: Vec<BrokenRow>,
    runs: Vec<RunRow>,
    /// How to begin; none once anything was enqueued.
    first: Option<First>,
}

/// How many runs stand so at this moment.
struct Number {
    state: RunState,
    icon: &'static str,
    runs: usize,
    /// The word over it, which says more than the state.
    word: &'static str,
    path: &'static str,
}

/// The last 60 minutes.
struct Hour {
    minutes: Vec<MinuteActivity>,
    bars: Bars,
    completed: u64,
    failed: u64,
    dead: u64,
}

struct JobRow {
    activity: JobActivity,
    /// Its 95th percentile is above that of every other job.
    is_slowest: bool,
    /// It has more dead runs, or else failed attempts, than every other job.
    fails_most: bool,
}

struct BrokenRow {
    job: Option<JobId>,
    file: String,
    since: Moment,
    error: String,
}

struct RunRow {
    id: RunId,
    job: JobId,
    state: RunState,
    icon: &'static str,
    attempt: u32,
    max_attempts: u32,
    enqueued: Moment,
    note: String,
}

/// How to begin.
struct First {
    /// A job that is loaded and has an example; none when there is none.
    job: Option<JobId>,
    command: String,
    /// Sends can be made to fail on the page of mails.
    has_faults: bool,
}

/// `GET /`.
async fn show(
    State(context): State<Context>,
    visitor: Visitor,
    headers: HeaderMap,
    _: NoParameters,
) -> Result<Response, Problem> {
    let frame = Frame::of(&context, visitor, Section::Overview, "Overview").await?;
    let (handle, now) = (&context.handle, frame.now);
    let query = handle.query();
    let counts = query.counts(None, now).await?;
    let activity = query.activity(now).await?;
    let runs = query.runs(&RunFilter::default(), None, RUNS, now).await?;
    let catalog = handle.catalog();
    let is_new = runs.items.is_empty() && activity.jobs.is_empty();
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let first = First::of(&catalog, host, context.settings.faults.is_some());
    page(&OverviewPage {
        numbers: numbers(&counts),
        next_due: query.next_due(now).await?.map(|due| Moment::new(due, now)),
        jobs_since: Moment::new(activity.jobs_since, now),
        jobs_more: activity.jobs.len().saturating_sub(JOBS),
        hour: Hour::of(&activity),
        jobs: job_rows(activity.jobs),
        broken: broken(&catalog, now),
        runs: runs.items.into_iter().map(|run| RunRow::new(run, now)).collect(),
        first: is_new.then_some(first),
        frame,
    })
}

/// `POST /`: runs the first job with its example, and leads to the run.
async fn run_first(
    State(context): State<Context>,
    caller: Caller,
    _: NoParameters,
    posted: Posted,
) -> Result<Redirect, Problem> {
    let handle = &context.handle;
    take_work(handle)?;
    let job: JobId =
        posted.value("job")?.ok_or_else(|| Problem::invalid_member("/job", "is missing: which job is to run?"))?;
    posted.audited.is_to(&job);
    let payload = example(handle, &job)?;
    let request = EnqueueRequest { max_waiting: caller.max_waiting(), ..EnqueueRequest::new(job, payload) };
    let accepted = handle.enqueue(request).await?;
    posted.audited.tells(accepted.head.id);
    Ok(Redirect::to(&format!("/runs/{}", accepted.head.id)))
}

fn example(handle: &Handle, job: &JobId) -> Result<Json, Problem> {
    let catalog = handle.catalog();
    let loaded = catalog.serving(job);
    let found = loaded.and_then(|loaded| loaded.job.payload_example.clone());
    found.ok_or_else(|| {
        let detail = format!("no job {job} is loaded that has an example; run one with a payload of your own");
        Problem::new(Code::UnknownJob, detail)
    })
}

fn numbers(counts: &Counts) -> Vec<Number> {
    let all = [
        (RunState::Running, "running now", "/runs?state=running"),
        (RunState::Available, "due and waiting now", "/runs?state=available"),
        (RunState::Scheduled, "scheduled for later", "/runs?state=scheduled"),
        (RunState::Retryable, "waiting for a retry", "/runs?state=retryable"),
        (RunState::Dead, "dead, until seen to", "/dead"),
    ];
    let number = |(state, word, path)| Number { state, icon: icon(state), runs: counts.of(state), word, path };
    all.map(number).into()
}

impl Hour {
    fn of(activity: &Activity) -> Self {
        let sum = |count: fn(&MinuteActivity) -> u64| activity.minutes.iter().map(count).sum();
        Self {
            bars: Bars::of(&activity.minutes.iter().map(ends).collect::<Vec<_>>()),
            minutes: activity.minutes.clone(),
            completed: sum(|minute| minute.completed),
            failed: sum(|minute| minute.failed),
            dead: sum(|minute| minute.dead),
        }
    }

    /// Minutes in which something ended, newest first.
    fn busy(&self) -> impl Iterator<Item = &MinuteActivity> {
        self.minutes.iter().rev().filter(|minute| ends(minute).count() > 0)
    }
}

fn ends(minute: &MinuteActivity) -> Ends {
    Ends { completed: minute.completed, failed: minute.failed, dead: minute.dead }
}

/// What wants a look comes first: jobs with dead runs, then with failed attempts, then the slow ones.
fn job_rows(mut jobs: Vec<JobActivity>) -> Vec<JobRow> {
    let trouble = |job: &JobActivity| (job.dead, job.failed_attempts);
    jobs.sort_by(|one, other| {
        trouble(other).cmp(&trouble(one)).then(other.attempts.p95.cmp(&one.attempts.p95)).then(one.job.cmp(&other.job))
    });
    let slowest = jobs.iter().map(|job| job.attempts.p95).max().unwrap_or_default();
    let worst = jobs.iter().map(trouble).max().unwrap_or_default();
    let several = jobs.len() > 1;
    let row = |activity: JobActivity| JobRow {
        is_slowest: several && activity.attempts.p95 == slowest && !slowest.is_zero(),
        fails_most: several && trouble(&activity) == worst && worst > (0, 0),
        activity,
    };
    jobs.into_iter().take(JOBS).map(row).collect()
}

impl JobRow {
    fn success(&self) -> String {
        success(&self.activity)
    }
}

fn broken(catalog: &Catalog, now: Timestamp) -> Vec<BrokenRow> {
    let broken = catalog.listings().filter_map(|listing| {
        let breakage = listing.breakage.as_ref()?;
        Some(BrokenRow {
            job: listing.loaded.as_ref().map(|loaded| loaded.job.id.clone()),
            file: listing.file.clone(),
            since: Moment::new(breakage.since, now),
            error: breakage.error.clone(),
        })
    });
    broken.collect()
}

impl RunRow {
    fn new(run: Run, now: Timestamp) -> Self {
        let head = run.head;
        let state = head.state_at(now);
        Self {
            note: note(&head, now),
            id: head.id,
            job: head.job,
            state,
            icon: icon(state),
            attempt: head.attempt,
            max_attempts: head.max_attempts,
            enqueued: Moment::new(head.enqueued_at, now),
        }
    }
}

impl First {
    fn of(catalog: &Catalog, host: &str, has_faults: bool) -> Self {
        let with_example = || catalog.all_serving().filter(|loaded| loaded.job.payload_example.is_some());
        let job = with_example().find(|loaded| loaded.job.id.as_str() == FIRST).or_else(|| with_example().next());
        let name = job.map_or("JOB", |loaded| loaded.job.id.as_str());
        let example = job.and_then(|loaded| loaded.job.payload_example.as_ref());
        let body = shell_quoted(&format!("{{\"payload\": {}}}", example.map_or("{}", |example| example.as_str())));
        Self {
            job: job.map(|loaded| loaded.job.id.clone()),
            command: format!(
                "curl http://{host}/api/v1/jobs/{name}/runs -H 'Content-Type: application/json' -d {body}"
            ),
            has_faults,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jobmill_store::Durations;

    use super::*;

    fn job(name: &str, completed: u64, dead: u64, p95: u64) -> JobActivity {
        let attempts = Durations { count: 1, p50: Duration::ZERO, p95: Duration::from_millis(p95) };
        let job = name.parse().expect("a job id");
        JobActivity {
            job,
            completed,
            dead,
            failed_attempts: dead,
            attempts,
            runs: Durations::default(),
            hours: Vec::new(),
        }
    }

    #[test]
    fn what_wants_a_look_comes_first_and_only_all_is_100_percent() {
        let rows = job_rows(vec![job("fine", 3, 0, 5), job("slow", 0, 0, 900), job("bad", 1_999, 1, 7)]);
        let told: Vec<_> =
            rows.iter().map(|row| (row.activity.job.as_str(), row.success(), row.is_slowest, row.fails_most)).collect();
        assert_eq!(
            told,
            [
                ("bad", "99.9 %".to_owned(), false, true),
                ("slow", "–".to_owned(), true, false),
                ("fine", "100 %".to_owned(), false, false)
            ]
        );
        assert!(!job_rows(vec![job("bad", 0, 1, 7)])[0].fails_most, "of one job there is nothing to compare");
        assert_eq!(job_rows((0..30).map(|at| job(&format!("job-{at}"), 1, 0, 1)).collect()).len(), JOBS);
    }
}
