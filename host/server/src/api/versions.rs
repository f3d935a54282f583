//! The versions of a job that were loaded, the last loaded first, and what each says otherwise than the one before it.
//! It compares nothing itself; core does.

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::job::JobVersion;
use jobmill_core::job::difference::{Change, SchemaChange};
use jobmill_core::{JobId, Json, Timestamp, Version};
use serde::Serialize;
use serde_json::Value;
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::api::shapes::JobIdShape;
use crate::api::usage::{VersionUsageView, compared};
use crate::api::{List, unknown_job};
use crate::error::Problem;
use crate::path::Id;
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(versions))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new().get("/api/v1/jobs/{id}/versions", Rule::READ, versions).described_by(Document::openapi)
}

/// A version of a job that was loaded.
#[derive(Serialize, ToSchema)]
#[schema(as = JobVersion)]
struct JobVersionView {
    /// The component.
    version: Version,
    /// Whether it is the one that serves.
    serves: bool,
    /// Whether its component is kept, so that the job can be rolled back to it.
    kept: bool,
    /// Its file in the hopper, when it was last loaded.
    file: String,
    /// Bytes of the component.
    size: u64,
    /// What of the world it asks for.
    imports: Vec<String>,
    /// When it was first loaded, as far as is known.
    first_loaded_at: Timestamp,
    /// When it was last loaded.
    last_loaded_at: Timestamp,
    /// What it says otherwise than the version after it in this list; null where that is not known.
    changes: Option<Vec<ChangeView>>,
    /// What its newest attempts used; null while none is known.
    usage: Option<VersionUsageView>,
}

/// Something that a version says otherwise than the one before.
#[derive(Serialize, ToSchema)]
#[schema(as = VersionChange)]
struct ChangeView {
    /// The word of the job's description, or `imports`.
    field: String,
    /// What it said; null for nothing, and for a payload's schema and example, which are long.
    before: Option<Json>,
    /// What it says now; null for the same reasons.
    after: Option<Json>,
    /// Names that a list has gained, such as imports.
    gained: Vec<String>,
    /// Names that a list has lost.
    lost: Vec<String>,
    /// What the payload's schema says otherwise; null where it has come or gone, and for any other field.
    schema: Option<SchemaChangeView>,
    /// All of it in words.
    text: String,
}

/// What a payload's schema says otherwise.
#[derive(Serialize, ToSchema)]
#[schema(as = SchemaChange)]
struct SchemaChangeView {
    /// Properties that are new.
    gained: Vec<String>,
    /// Properties that are gone.
    lost: Vec<String>,
    /// Properties that have to fit something else.
    changed: Vec<String>,
    /// Names that have become required.
    required: Vec<String>,
    /// Names that are required no longer.
    optional: Vec<String>,
    /// Whether something else is different too.
    otherwise: bool,
}

impl ChangeView {
    fn new(change: &Change) -> Self {
        let shown = |value: &Value| {
            let is_shown = !value.is_null() && !change.is_of_document();
            is_shown.then(|| Json::of(value).ok()).flatten()
        };
        let (gained, lost) = change.names().filter(|_| !change.is_of_document()).unwrap_or_default();
        Self {
            before: shown(&change.before),
            after: shown(&change.after),
            gained,
            lost,
            schema: change.schema().map(SchemaChangeView::from),
            text: change.to_string(),
            field: change.field.clone(),
        }
    }
}

impl From<SchemaChange> for SchemaChangeView {
    fn from(change: SchemaChange) -> Self {
        let SchemaChange { gained, lost, changed, required, optional, otherwise } = change;
        Self { gained, lost, changed, required, optional, otherwise }
    }
}

/// Lists the versions of a job that were loaded, the last loaded first, with what changed from one to the next. The newest
/// ones are kept, and none from before there was a record.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/versions",
    tag = "Jobs",
    params(
        ("id" = JobIdShape, Path, description = "the job"),
    ),
    responses(
        (status = 200, description = "the versions", body = List<JobVersionView>),
    )
)]
async fn versions(
    State(context): State<Context>,
    Id(id): Id<JobId>,
    _: NoParameters,
) -> Result<JsonResponse<List<JobVersionView>>, Problem> {
    let handle = &context.handle;
    let kept = handle.query().versions(&id).await?;
    let catalog = handle.catalog();
    if kept.is_empty() && catalog.listing(&id).is_none() {
        return Err(unknown_job(handle, &id));
    }
    let components = handle.kept_components().await?;
    let serving = catalog.serving(&id).map(|loaded| loaded.version);
    let usage = compared(&kept, &handle.query().usage(&id).await?);
    let items = with_changes(kept).zip(usage).map(|((version, changes), usage)| JobVersionView {
        version: version.version,
        serves: serving == Some(version.version),
        kept: components.contains(&version.version),
        file: version.file,
        size: version.size,
        imports: version.imports,
        first_loaded_at: version.first_loaded_at,
        last_loaded_at: version.last_loaded_at,
        changes: changes.map(|changes| changes.iter().map(ChangeView::new).collect()),
        usage: usage.map(VersionUsageView::new),
    });
    Ok(JsonResponse(List::whole(items.collect())))
}

/// Each version, the last loaded first, with what it says otherwise than the one before; none of the first that is known.
pub(crate) fn with_changes(versions: Vec<JobVersion>) -> impl Iterator<Item = (JobVersion, Option<Vec<Change>>)> {
    let changes: Vec<Option<Vec<Change>>> = (1..=versions.len())
        .map(|before| versions.get(before).map(|earlier| versions[before - 1].changes_since(earlier)))
        .collect();
    versions.into_iter().zip(changes)
}
