//! A job's page: what it says of itself, what is in force, its latest runs, what is wrong; run it, pause it, let it go on.
//! It loads nothing; dropping a component into the hopper does.

mod enqueue;
mod fields;
mod rollback;
mod settings;
mod usage;
mod versions;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use jobmill_core::breaker::BreakerState;
use jobmill_core::job::{Capability, capabilities};
use jobmill_core::{Job, JobId, Json, Run, RunId, RunState, Version};
use jobmill_engine::{JobListing, JobStatus, LoadedJob};
use jobmill_store::{JobFlowView, RunFilter};

use crate::Context;
use crate::action::Action;
use crate::api::unknown_job;
use crate::error::{Code, Problem};
use crate::pages::form::Posted;
use crate::pages::frame::{Frame, Section, page_with};
use crate::pages::jobs::{Standing, Start, StateCount, starts, state_counts};
use crate::pages::visitor::Visitor;
use crate::pages::words::{Moment, icon, note, shell_quoted};
use crate::path::Id;
use crate::query::Parameters;
use crate::routes::{Routes, Rule};

use enqueue::EnqueueForm;
use rollback::PinShown;
use settings::{LimitRow, SettingRow};
use usage::UsageRow;
use versions::VersionRow;

/// Runs that the page lists.
const RUNS: usize = 10;
/// Where `jobmill run` asks unless it is told otherwise.
const DEFAULT_HOSTS: [&str; 2] = ["127.0.0.1:8288", "localhost:8288"];

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/jobs/{id}", Rule::READ, show)
        .post("/jobs/{id}/runs", Rule::OPERATE, enqueue::enqueue)
        .may_do(Action::Run)
        .post("/jobs/{id}/pause", Rule::OPERATE, pause)
        .does(Action::JobsPause)
        .post("/jobs/{id}/resume", Rule::OPERATE, resume)
        .does(Action::JobsResume)
        .get("/jobs/{id}/rollback", Rule::READ, rollback::ask)
        .post("/jobs/{id}/rollback", Rule::OPERATE, rollback::carry_out)
        .does(Action::JobsRollback)
        .post("/jobs/{id}/unpin", Rule::OPERATE, rollback::unpin)
        .does(Action::JobsUnpin)
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    id: JobId,
    title: String,
    description: Option<String>,
    standing: Standing,
    file: String,
    version: Version,
    loaded: Moment,
    starts: Vec<Start>,
    /// What it may reach by each of its imports.
    capabilities: Vec<Capability>,
    broken: Option<(Moment, String)>,
    /// What it is held to, and the newer version that waits.
    pinned: Option<PinShown>,
    waits: Option<Version>,
    /// Who paused it, and when.
    paused: Option<(String, Moment)>,
    /// What its breaker does; none while it lets runs begin.
    breaker: Option<String>,
    settings: Vec<SettingRow>,
    limits: Vec<LimitRow>,
    /// Those that were loaded, the last first.
    versions: Vec<VersionRow>,
    /// What the newest attempts of each used.
    usage: Vec<UsageRow>,
    backoff: String,
    schema: Option<Json>,
    example: Option<Json>,
    counts: Vec<StateCount>,
    runs: Vec<RunRow>,
    /// None while no version of it serves.
    form: Option<EnqueueForm>,
    commands: [(&'static str, String); 2],
    /// The run that was just enqueued, and whether it was there before.
    enqueued: Option<(RunId, bool)>,
}

struct RunRow {
    id: RunId,
    state: RunState,
    icon: &'static str,
    attempt: u32,
    max_attempts: u32,
    enqueued: Moment,
    note: String,
}

impl RunRow {
    fn new(run: Run, frame: &Frame) -> Self {
        let head = run.head;
        let state = head.state_at(frame.now);
        Self {
            note: note(&head, frame.now),
            id: head.id,
            state,
            icon: icon(state),
            attempt: head.attempt,
            max_attempts: head.max_attempts,
            enqueued: Moment::new(head.enqueued_at, frame.now),
        }
    }
}

/// What a page shows beside the job itself.
struct Shown {
    status: StatusCode,
    /// The form as it was sent; a new one if absent.
    form: Option<EnqueueForm>,
    /// The run whose payload the form begins with.
    from: Option<RunId>,
    enqueued: Option<(RunId, bool)>,
    /// The job was just paused, or let go on.
    changed: bool,
}

impl Default for Shown {
    fn default() -> Self {
        Self { status: StatusCode::OK, form: None, from: None, enqueued: None, changed: false }
    }
}

/// `GET /jobs/{id}`: `from` names the run whose payload the form begins with; the others tell what was just done.
async fn show(
    State(context): State<Context>,
    visitor: Visitor,
    Id(id): Id<JobId>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let parameters = parameters.only(&["from", "enqueued", "known", "changed"])?;
    let enqueued = parameters.value("enqueued")?.map(|run| (run, false));
    let known = parameters.value("known")?.map(|run| (run, true));
    let changed = parameters.value::<u8>("changed")?.is_some();
    let from = parameters.value("from")?;
    let shown = Shown { from, enqueued: enqueued.or(known), changed, ..Shown::default() };
    answer(&context, visitor, &headers, &id, shown).await
}

/// The page of a job.
async fn answer(
    context: &Context,
    visitor: Visitor,
    headers: &HeaderMap,
    id: &JobId,
    shown: Shown,
) -> Result<Response, Problem> {
    let catalog = context.handle.catalog();
    let listing = catalog.listing(id).ok_or_else(|| unknown_job(&context.handle, id))?;
    // A listing under an id has been loaded, or it would have none.
    let loaded = listing.loaded.as_deref().ok_or_else(|| unknown_job(&context.handle, id))?;
    let frame = Frame::of(context, visitor, Section::Jobs, loaded.job.id.to_string()).await?;
    let status = shown.status;
    page_with(status, &gather(context, frame, listing, loaded, headers, shown).await?)
}

async fn gather(
    context: &Context,
    frame: Frame,
    listing: &JobListing,
    loaded: &LoadedJob,
    headers: &HeaderMap,
    shown: Shown,
) -> Result<JobPage, Problem> {
    let (query, now, job) = (context.handle.query(), frame.now, &loaded.job);
    let flow = query.job_flow(&job.id, now).await?;
    let counts = query.counts(Some(&job.id), now).await?;
    let loaded_versions = query.versions(&job.id).await?;
    let filter = RunFilter { job: Some(job.id.clone()), ..RunFilter::default() };
    let runs = query.runs(&filter, None, RUNS, now).await?.items;
    let payload = beginning(context, job, shown.from, runs.first()).await?;
    let form = shown.form.unwrap_or_else(|| EnqueueForm::new(job, &payload));
    let breaker = flow.breaker.and_then(|state| breaker_words(state, &frame));
    let notice = shown.changed.then(|| changed_words(&flow, &job.id));
    Ok(JobPage {
        id: job.id.clone(),
        title: job.title.clone(),
        description: job.description.clone(),
        standing: Standing::of(listing),
        file: listing.file.clone(),
        version: loaded.version,
        loaded: Moment::new(loaded.loaded_at, now),
        starts: starts(loaded),
        capabilities: capabilities(&job.id, &loaded.imports, &job.allow.value),
        broken: listing.breakage.as_ref().map(|broken| (Moment::new(broken.since, now), broken.error.clone())),
        pinned: listing.pinned.as_ref().map(|pin| PinShown::new(pin, now)),
        waits: listing.waits,
        paused: flow.paused.map(|pause| (pause.by, Moment::new(pause.at, now))),
        breaker,
        settings: settings::rows(job),
        limits: settings::limits(job),
        usage: usage::rows(&loaded_versions, &query.usage(&job.id).await?),
        versions: versions::rows(loaded_versions, (loaded.version, &context.handle.kept_components().await?), now),
        backoff: settings::schedule(job.retries.value, &job.backoff.value),
        schema: job.payload_schema.clone(),
        example: job.payload_example.clone(),
        counts: state_counts(&counts),
        runs: runs.into_iter().map(|run| RunRow::new(run, &frame)).collect(),
        commands: commands(&job.id, &form.json, headers, frame.visitor.name.is_some()),
        form: Some(form).filter(|_| listing.status == JobStatus::Loaded),
        enqueued: shown.enqueued,
        frame: frame.telling(notice),
    })
}

/// The payload that the form begins with: of the run that was named, the job's example, of its last run, or nothing.
async fn beginning(context: &Context, job: &Job, from: Option<RunId>, last: Option<&Run>) -> Result<Json, Problem> {
    if let Some(id) = from {
        let record = context.handle.query().run(id).await?.filter(|record| record.run.head.job == job.id);
        let unknown = || Problem::new(Code::UnknownRun, format!("the job {} has no run {id}", job.id));
        return Ok(record.ok_or_else(unknown)?.run.payload);
    }
    let last = || last.map(|run| run.payload.clone());
    Ok(job.payload_example.clone().or_else(last).unwrap_or_else(Json::empty_object))
}

/// What keeps runs from beginning, where the job's own failures do.
fn breaker_words(state: BreakerState, frame: &Frame) -> Option<String> {
    match state {
        BreakerState::Closed => None,
        BreakerState::Open { until } => {
            let until = Moment::new(until, frame.now);
            Some(format!("Too many attempts failed: none begins for a while, and one is tried {}.", until.words))
        }
        BreakerState::Trying(run) => {
            Some(format!("Too many attempts failed: {run} is tried, and the others wait for it."))
        }
    }
}

fn changed_words(flow: &JobFlowView, id: &JobId) -> String {
    match &flow.paused {
        Some(_) => format!("{id} is paused: runs under way go on, and none begins."),
        None => format!("{id} goes on."),
    }
}

/// How to do the same from a shell: with what it is copied into, and the text.
fn commands(job: &JobId, payload: &str, headers: &HeaderMap, token: bool) -> [(&'static str, String); 2] {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or(DEFAULT_HOSTS[0]);
    let address = shell_quoted(&format!("http://{host}/api/v1/jobs/{job}/runs"));
    let credentials = if token { " -H \"Authorization: Bearer $JOBMILL_TOKEN\"" } else { "" };
    let body = shell_quoted(&format!("{{\"payload\": {payload}}}"));
    let server = if DEFAULT_HOSTS.contains(&host) {
        String::new()
    } else {
        format!(" --server {}", shell_quoted(&format!("http://{host}")))
    };
    [
        ("curl", format!("curl {address} -H 'Content-Type: application/json'{credentials} -d {body}")),
        ("jobmill run", format!("jobmill run {job}{server} --payload={} --wait", shell_quoted(payload))),
    ]
}

/// `POST /jobs/{id}/pause`. Runs under way go on.
async fn pause(State(context): State<Context>, Id(id): Id<JobId>, posted: Posted) -> Result<Response, Problem> {
    let handle = &context.handle;
    handle.catalog().listing(&id).ok_or_else(|| unknown_job(handle, &id))?;
    handle.pause_job(id.clone(), by(&posted.visitor)).await?;
    Ok(Redirect::to(&format!("/jobs/{id}?changed=1")).into_response())
}

/// `POST /jobs/{id}/resume`, after a pause by an operator or by its breaker.
async fn resume(State(context): State<Context>, Id(id): Id<JobId>, posted: Posted) -> Result<Response, Problem> {
    let handle = &context.handle;
    handle.catalog().listing(&id).ok_or_else(|| unknown_job(handle, &id))?;
    handle.resume_job(id.clone()).await?;
    tracing::info!(job = %id, by = by(&posted.visitor), "the job goes on");
    Ok(Redirect::to(&format!("/jobs/{id}?changed=1")).into_response())
}

/// The name that is kept of whoever asks for something on a page.
pub(super) fn by(visitor: &Visitor) -> String {
    visitor.name.clone().unwrap_or_else(|| "the dashboard".to_owned())
}
