//! Jobs as they are loaded: what a component says of itself, what is in force and who said so, and what is wrong.
//! It loads nothing; dropping a component into the hopper does.

use axum::extract::State;
use axum::routing::get;
use axum::{Json as JsonResponse, Router};
use jobmill_core::job::Setting;
use jobmill_core::time::format_duration;
use jobmill_core::{Backoff, Job, JobId, Json, Source, Timestamp, Trigger, Version};
use jobmill_engine::{Handle, JobListing};
use serde::Serialize;

use crate::Context;
use crate::api::List;
use crate::error::{Code, Problem};
use crate::path::Id;
use crate::query::NoParameters;

pub(super) fn routes() -> Router<Context> {
    Router::new().route("/api/v1/jobs", get(list)).route("/api/v1/jobs/{id}", get(show))
}

#[derive(Serialize)]
struct JobView {
    /// Null for a file that never loaded.
    id: Option<JobId>,
    title: Option<String>,
    description: Option<String>,
    version: Option<Version>,
    status: &'static str,
    error: Option<String>,
    broken_since: Option<Timestamp>,
    file: String,
    triggers: Vec<Trigger>,
    retries: Option<u32>,
    settings: Option<SettingsView>,
    imports: Vec<String>,
    loaded_at: Option<Timestamp>,
    payload_schema: Option<Json>,
    payload_example: Option<Json>,
}

#[derive(Serialize)]
struct SettingsView {
    queue: SettingView<String>,
    priority: SettingView<u8>,
    retries: SettingView<u32>,
    backoff: SettingView<Backoff>,
    timeout: SettingView<String>,
}

#[derive(Serialize)]
struct SettingView<T> {
    value: T,
    source: Source,
}

impl<T> SettingView<T> {
    fn of<S>(setting: &Setting<S>, show: impl FnOnce(&S) -> T) -> Self {
        Self { value: show(&setting.value), source: setting.source }
    }
}

impl From<&Job> for SettingsView {
    fn from(job: &Job) -> Self {
        Self {
            queue: SettingView::of(&job.queue, ToString::to_string),
            priority: SettingView::of(&job.priority, |priority| *priority),
            retries: SettingView::of(&job.retries, |retries| *retries),
            backoff: SettingView::of(&job.backoff, |backoff| *backoff),
            timeout: SettingView::of(&job.timeout, |timeout| format_duration(*timeout)),
        }
    }
}

impl From<&JobListing> for JobView {
    fn from(listing: &JobListing) -> Self {
        let loaded = listing.loaded.as_deref();
        let job = loaded.map(|loaded| &loaded.job);
        Self {
            id: job.map(|job| job.id.clone()),
            title: job.map(|job| job.title.clone()),
            description: job.and_then(|job| job.description.clone()),
            version: loaded.map(|loaded| loaded.version),
            status: listing.status.as_str(),
            error: listing.breakage.as_ref().map(|breakage| breakage.error.clone()),
            broken_since: listing.breakage.as_ref().map(|breakage| breakage.since),
            file: listing.file.clone(),
            triggers: job.map(|job| job.triggers.clone()).unwrap_or_default(),
            retries: job.map(|job| job.retries.value),
            settings: job.map(SettingsView::from),
            imports: loaded.map(|loaded| loaded.imports.clone()).unwrap_or_default(),
            loaded_at: loaded.map(|loaded| loaded.loaded_at),
            payload_schema: job.and_then(|job| job.payload_schema.clone()),
            payload_example: job.and_then(|job| job.payload_example.clone()),
        }
    }
}

async fn list(State(context): State<Context>, _: NoParameters) -> JsonResponse<List<JobView>> {
    let catalog = context.handle.catalog();
    JsonResponse(List::whole(catalog.listings().map(JobView::from).collect()))
}

async fn show(
    State(context): State<Context>,
    Id(id): Id<JobId>,
    _: NoParameters,
) -> Result<JsonResponse<JobView>, Problem> {
    let catalog = context.handle.catalog();
    let listing = catalog.listing(&id).ok_or_else(|| unknown_job(&context.handle, &id))?;
    Ok(JsonResponse(listing.into()))
}

fn unknown_job(handle: &Handle, id: &JobId) -> Problem {
    let catalog = handle.catalog();
    let known: Vec<&str> = catalog.all_serving().map(|loaded| loaded.job.id.as_str()).collect();
    let hint = crate::query::nearest(id.as_str(), &known)
        .map(|likely| format!("; did you mean {likely:?}?"))
        .unwrap_or_default();
    Problem::new(Code::UnknownJob, format!("there is no job {:?}{hint}", id.as_str()))
}
