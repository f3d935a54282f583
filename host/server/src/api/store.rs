//! The store as a whole: taken out as lines of JSON, read through for damage, pruned, made to forget.
//! Nothing comes in here: an import needs a store that nobody else has open.

use axum::Json as JsonResponse;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use jobmill_core::flow::Pointer;
use jobmill_core::{RunId, limits};
use jobmill_store::{Checked, Forget, Forgotten, Pruned, StoreError, portable};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::openapi::ProblemShape;
use crate::api::runs::EmptyBody;
use crate::audit::Audited;
use crate::body::{JsonBody, OptionalJsonBody};
use crate::error::{Code, Problem};
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

/// Bytes of an export that are read before they are sent: a row of small records at once, and never more in memory than
/// this and one record.
const CHUNK_BYTES: usize = 128 * 1024;

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(export, check, prune, forget))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/store/export", Rule::READ, export)
        .get("/api/v1/store/check", Rule::READ, check)
        .post("/api/v1/store/prune", Rule::OPERATE, prune)
        .does(Action::StorePrune)
        .post("/api/v1/forget", Rule::OPERATE, forget)
        .may_do(Action::StoreForget)
        .described_by(Document::openapi)
}

/// Answers the whole store as of one moment: a header, a line of JSON for each record, an end that counts them.
#[utoipa::path(
    get,
    path = "/api/v1/store/export",
    tag = "Store",
    responses(
        (status = 200, description = "lines of JSON", body = String, content_type = "application/x-ndjson"),
    )
)]
async fn export(State(context): State<Context>, _: NoParameters) -> Result<Response, Problem> {
    let handle = &context.handle;
    let lines = portable::lines(handle.query().export().await?, handle.now());
    let chunks = stream::try_unfold(lines, |mut lines| async {
        // Reading waits for the disk, which those who serve others must not.
        let read = tokio::task::spawn_blocking(move || chunk(&mut lines).map(|chunk| chunk.map(|it| (it, lines))));
        let read = read.await.map_err(|error| StoreError::Damaged(format!("reading it failed: {error}")));
        read.flatten().inspect_err(|error| tracing::error!(%error, "an export was cut off"))
    });
    let media_type = HeaderValue::from_static("application/x-ndjson");
    Ok(([(header::CONTENT_TYPE, media_type)], Body::from_stream(chunks)).into_response())
}

/// Some of the lines; none after the last.
fn chunk(lines: &mut impl Iterator<Item = Result<String, StoreError>>) -> Result<Option<String>, StoreError> {
    let mut chunk = String::new();
    for line in lines {
        chunk.push_str(&line?);
        if chunk.len() >= CHUNK_BYTES {
            break;
        }
    }
    Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
}

/// What the store was found to hold.
#[derive(Serialize, ToSchema)]
#[schema(as = StoreCheck)]
struct CheckView {
    /// Always true: what is damaged is named by a refusal instead.
    ok: bool,
    /// Runs.
    runs: u64,
    /// Entries of their journals.
    entries: u64,
    /// Mails.
    mails: u64,
    /// Events that no job listened to.
    events: u64,
    /// Webhook deliveries.
    deliveries: u64,
    /// Orders of the embedded book.
    orders: u64,
    /// Components of versions.
    components: u64,
}

/// Reads the whole store; what is damaged is named by the refusal.
#[utoipa::path(
    get,
    path = "/api/v1/store/check",
    tag = "Store",
    responses(
        (status = 200, description = "what the store holds", body = CheckView),
        (status = 500, description = "the store is damaged", body = ProblemShape, content_type = "application/problem+json"),
    )
)]
async fn check(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<CheckView>, Problem> {
    let query = context.handle.query();
    let mut checked = Checked::default();
    for record in query.export().await? {
        checked.add(&record?, query).await?;
        tokio::task::yield_now().await;
    }
    context.handle.check_components(&mut checked).await?;
    let Checked { runs, entries, mails, events, deliveries, orders, components } = checked;
    Ok(JsonResponse(CheckView { ok: true, runs, entries, mails, events, deliveries, orders, components }))
}

/// What was taken out.
#[derive(Serialize, ToSchema)]
#[schema(as = Pruned)]
struct PruneView {
    /// Runs.
    runs: usize,
    /// Events.
    events: usize,
    /// Mails.
    mails: usize,
    /// Webhook deliveries.
    deliveries: usize,
    /// Entries of the audit list.
    audit: usize,
}

/// Takes out what the configuration does not keep any longer, now instead of within the minute.
#[utoipa::path(
    post,
    path = "/api/v1/store/prune",
    tag = "Store",
    request_body = Option<EmptyBody>,
    responses(
        (status = 200, description = "what was taken out", body = PruneView),
    )
)]
async fn prune(
    State(context): State<Context>,
    audited: Audited,
    _: NoParameters,
    OptionalJsonBody(EmptyBody {}): OptionalJsonBody<EmptyBody>,
) -> Result<JsonResponse<PruneView>, Problem> {
    let handle = &context.handle;
    let pruned = handle.prune(handle.retention()).await?;
    let Pruned { runs, events, mails, deliveries, audit, .. } = pruned;
    audited
        .tells(format_args!("runs {runs}, events {events}, mails {mails}, deliveries {deliveries}, entries {audit}"));
    Ok(JsonResponse(PruneView { runs, events, mails, deliveries, audit }))
}

/// What is to be forgotten: an address, or a value that stands at a pointer.
#[derive(Deserialize, ToSchema)]
#[schema(as = Forget)]
#[serde(deny_unknown_fields)]
struct ForgetBody {
    /// Whatever carries this address; case does not matter.
    email: Option<String>,
    /// Whatever has `value` here, a JSON Pointer into payloads.
    pointer: Option<String>,
    /// What stands at `pointer`.
    value: Option<String>,
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// What was, or would be, deleted.
#[derive(Serialize, ToSchema)]
#[schema(as = Forgotten)]
struct ForgottenView {
    /// Runs.
    runs: usize,
    /// Dead runs among them.
    dead: usize,
    /// Mails.
    mails: usize,
    /// Events.
    events: usize,
    /// Webhook deliveries.
    deliveries: usize,
    /// Orders that have no name and address any more.
    orders: usize,
    /// Suppressions that have no address any more.
    suppressions: usize,
    /// Entries of the audit list.
    audit: usize,
    /// Runs that were not deleted.
    skipped: Vec<SkippedView>,
    /// Whether this is only what would happen.
    dry_run: bool,
}

/// A run that was not deleted.
#[derive(Serialize, ToSchema)]
#[schema(as = ForgetSkipped)]
struct SkippedView {
    id: RunId,
    /// Why.
    reason: &'static str,
}

/// Deletes everything that carries an address or a value, from the files too.
#[utoipa::path(
    post,
    path = "/api/v1/forget",
    tag = "Store",
    request_body = ForgetBody,
    responses(
        (status = 200, description = "what was, or would be, deleted", body = ForgottenView),
    )
)]
async fn forget(
    State(context): State<Context>,
    audited: Audited,
    _: NoParameters,
    JsonBody(body): JsonBody<ForgetBody>,
) -> Result<JsonResponse<ForgottenView>, Problem> {
    let dry_run = body.dry_run;
    let what = wanted(body)?;
    if !dry_run {
        // Of whom it is, is what the list must not tell.
        audited.begin().await;
    }
    let forgotten = context.handle.forget(what, dry_run).await?;
    let reason = "it is under way; forget again once it has ended";
    let skipped = forgotten.running.into_iter().map(|id| SkippedView { id, reason }).collect();
    let Forgotten { runs, dead, mails, events, deliveries, orders, suppressions, audit, .. } = forgotten;
    audited
        .tells(format_args!("runs {runs}, mails {mails}, events {events}, deliveries {deliveries}, orders {orders}"));
    let view = ForgottenView { runs, dead, mails, events, deliveries, orders, suppressions, audit, skipped, dry_run };
    Ok(JsonResponse(view))
}

fn wanted(body: ForgetBody) -> Result<Forget, Problem> {
    let email = body.email.map(|email| email.trim().to_owned());
    if email.as_ref().is_some_and(|email| !email.contains('@') || email.len() > limits::KEY_BYTES) {
        return Err(Problem::invalid_member("/email", "is no e-mail address"));
    }
    let missing = |pointer: &str, reason: &str| Problem::member(Code::MissingMember, pointer, reason);
    let value = match (body.pointer, body.value) {
        (Some(pointer), Some(value)) => {
            let pointer = Pointer::try_from(pointer);
            Some((pointer.map_err(|error| Problem::invalid_member("/pointer", error.to_string()))?, value))
        }
        (Some(_), None) => return Err(missing("/value", "is required beside pointer")),
        (None, Some(_)) => return Err(missing("/pointer", "is required beside value")),
        (None, None) => None,
    };
    if email.is_none() && value.is_none() {
        return Err(missing("/email", "is required, or pointer and value: nothing else says what is to be forgotten"));
    }
    Ok(Forget { email, value })
}
