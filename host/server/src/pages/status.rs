//! What the status page shows, gathered from the catalog and the store.
//! Its looks are in `templates/status.html` and `assets/jobmill.css`.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use jobmill_core::time::format_duration;
use jobmill_core::{JobId, MailId, Run, RunId, RunState, Timestamp, Version};
use jobmill_engine::{Catalog, JobListing, JobStatus};
use jobmill_store::{DeadGroup, MailFilter, MailSummary, RunFilter};

use crate::Context;
use crate::error::{Code, Problem};
use crate::pages::page_headers;
use crate::pages::words::{ago, icon, note, shell_quoted};
use crate::query::NoParameters;
use crate::settings::Alarm;

/// Items of each list.
const ITEMS: usize = 20;

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    version: &'static str,
    ready: bool,
    uptime: String,
    alarms: Vec<(Alarm, Moment)>,
    counts: Vec<Count>,
    jobs: Vec<JobRow>,
    runs: Vec<RunRow>,
    dead: Vec<DeadRow>,
    dead_runs: usize,
    mails: Vec<MailRow>,
    enqueue_command: String,
    address: String,
}

struct Count {
    state: RunState,
    icon: &'static str,
    runs: usize,
}

struct JobRow {
    id: Option<JobId>,
    title: String,
    file: String,
    version: Option<Version>,
    loaded: Option<Moment>,
    status: &'static str,
    triggers: Vec<String>,
    broken: Option<(Moment, String)>,
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

struct DeadRow {
    group: DeadGroup,
    last_seen: Moment,
}

struct MailRow {
    id: MailId,
    summary: MailSummary,
    created: Moment,
}

/// A point in time, in words and exactly.
struct Moment {
    words: String,
    exact: Timestamp,
}

impl Moment {
    fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { words: ago(at, now), exact: at }
    }
}

/// `GET /`.
pub(super) async fn show(
    State(context): State<Context>,
    _: NoParameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let page = gather(&context, format!("http://{host}")).await?;
    let text = page.render().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok((page_headers(), text).into_response())
}

async fn gather(context: &Context, address: String) -> Result<StatusPage, Problem> {
    let handle = &context.handle;
    let query = handle.query();
    let now = handle.now();
    let catalog = handle.catalog();
    let counts = query.counts(None, now).await?;
    let runs = query.runs(&RunFilter::default(), None, ITEMS, now).await?;
    let dead = query.dead_groups().await?;
    let mails = query.mails(&MailFilter::default(), None, ITEMS).await?;
    Ok(StatusPage {
        version: env!("CARGO_PKG_VERSION"),
        ready: handle.is_ready(),
        uptime: format_duration(std::time::Duration::from_secs(now.since(context.started_at).as_secs())),
        alarms: (context.settings.alarms)(now)
            .into_iter()
            .map(|alarm| {
                let since = Moment::new(alarm.since, now);
                (alarm, since)
            })
            .collect(),
        counts: RunState::ALL.map(|state| Count { state, icon: icon(state), runs: counts.of(state) }).into(),
        jobs: catalog.listings().map(|listing| JobRow::new(listing, now)).collect(),
        runs: runs.items.into_iter().map(|run| RunRow::new(run, now)).collect(),
        dead_runs: counts.of(RunState::Dead),
        dead: dead.into_iter().take(ITEMS).map(|group| DeadRow::new(group, now)).collect(),
        mails: mails.items.into_iter().map(|summary| MailRow::new(summary, now)).collect(),
        enqueue_command: enqueue_command(&catalog, &address),
        address,
    })
}

/// What to type for a first run: of a job that is loaded, with its own example.
fn enqueue_command(catalog: &Catalog, address: &str) -> String {
    let loaded = catalog.all_serving().next();
    let job = loaded.map_or("JOB", |loaded| loaded.job.id.as_str());
    let example = loaded.and_then(|loaded| loaded.job.payload_example.as_ref());
    let body = shell_quoted(&format!("{{\"payload\": {}}}", example.map_or("{}", |example| example.as_str())));
    format!("curl {address}/api/v1/jobs/{job}/runs -H 'Content-Type: application/json' -d {body}")
}

impl JobRow {
    fn new(listing: &JobListing, now: Timestamp) -> Self {
        let loaded = listing.loaded.as_deref();
        Self {
            id: loaded.map(|loaded| loaded.job.id.clone()),
            title: loaded.map_or_else(String::new, |loaded| loaded.job.title.clone()),
            file: listing.file.clone(),
            version: loaded.map(|loaded| loaded.version),
            loaded: loaded.map(|loaded| Moment::new(loaded.loaded_at, now)),
            status: match (listing.status, &listing.breakage) {
                // Serves, but not what lies in the hopper.
                (JobStatus::Loaded, Some(_)) => "loaded, newer file broken",
                (status, _) => status.as_str(),
            },
            triggers: loaded
                .map_or_else(Vec::new, |loaded| loaded.job.triggers.iter().map(ToString::to_string).collect()),
            broken: listing.breakage.as_ref().map(|broken| (Moment::new(broken.since, now), broken.error.clone())),
        }
    }

    /// The class that colours the status.
    fn colour(&self) -> &'static str {
        match (self.status, &self.broken) {
            (_, Some(_)) => "dead",
            ("loaded", _) => "completed",
            _ => "cancelled",
        }
    }
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

impl DeadRow {
    fn new(group: DeadGroup, now: Timestamp) -> Self {
        Self { last_seen: Moment::new(group.last_seen, now), group }
    }

    /// The group's name in requests.
    fn fingerprint(&self) -> String {
        format!("{:016x}", self.group.fingerprint)
    }
}

impl MailRow {
    fn new(summary: MailSummary, now: Timestamp) -> Self {
        Self { id: summary.id, created: Moment::new(summary.created_at, now), summary }
    }

    /// The class that colours the status.
    fn colour(&self) -> &'static str {
        use jobmill_core::mail::MailStatus::{Captured, Failed, InDoubt, Sending, Sent, Suppressed};

        match self.summary.status {
            Sent | Captured => "completed",
            Sending => "running",
            InDoubt => "retryable",
            Suppressed => "cancelled",
            Failed => "dead",
        }
    }
}
