//! The store as a whole: taken out as lines of JSON, read through for damage, pruned, made to forget.
//! Nothing comes in here: an import needs a store that nobody else has open.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as JsonResponse, Router};
use futures::stream;
use jobmill_core::flow::Pointer;
use jobmill_core::{RunId, limits};
use jobmill_store::{Checked, Forget, Forgotten, StoreError, portable};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::body::{JsonBody, OptionalJsonBody};
use crate::error::{Code, Problem};
use crate::query::NoParameters;

/// Bytes of an export that are read before they are sent: a row of small records at once, and never more in memory than
/// this and one record.
const CHUNK_BYTES: usize = 128 * 1024;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/api/v1/store/export", get(export))
        .route("/api/v1/store/check", get(check))
        .route("/api/v1/store/prune", post(prune))
        .route("/api/v1/forget", post(forget))
}

/// A line of JSON for each record, as of one moment. What was sent before a failure has no end that looks whole, and the
/// connection is cut off.
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

#[derive(Serialize)]
struct CheckView {
    ok: bool,
    runs: u64,
    entries: u64,
    mails: u64,
    events: u64,
    orders: u64,
}

/// Reads everything; what is damaged is named by the refusal.
async fn check(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<CheckView>, Problem> {
    let query = context.handle.query();
    let mut checked = Checked::default();
    for record in query.export().await? {
        checked.add(&record?, query).await?;
        tokio::task::yield_now().await;
    }
    let Checked { runs, entries, mails, events, orders } = checked;
    Ok(JsonResponse(CheckView { ok: true, runs, entries, mails, events, orders }))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyBody {}

#[derive(Serialize)]
struct PruneView {
    runs: usize,
    events: usize,
    mails: usize,
}

/// Takes out what the configuration does not keep any longer, now instead of within the minute.
async fn prune(
    State(context): State<Context>,
    _: NoParameters,
    OptionalJsonBody(EmptyBody {}): OptionalJsonBody<EmptyBody>,
) -> Result<JsonResponse<PruneView>, Problem> {
    let handle = &context.handle;
    let pruned = handle.prune(handle.retention()).await?;
    Ok(JsonResponse(PruneView { runs: pruned.runs, events: pruned.events, mails: pruned.mails }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgetBody {
    email: Option<String>,
    pointer: Option<String>,
    value: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize)]
struct ForgottenView {
    runs: usize,
    dead: usize,
    mails: usize,
    events: usize,
    orders: usize,
    suppressions: usize,
    skipped: Vec<SkippedView>,
    dry_run: bool,
}

#[derive(Serialize)]
struct SkippedView {
    id: RunId,
    reason: &'static str,
}

/// Deletes everything that carries an address or a value, from the files too.
async fn forget(
    State(context): State<Context>,
    _: NoParameters,
    JsonBody(body): JsonBody<ForgetBody>,
) -> Result<JsonResponse<ForgottenView>, Problem> {
    let dry_run = body.dry_run;
    let forgotten = context.handle.forget(wanted(body)?, dry_run).await?;
    let reason = "it is under way; forget again once it has ended";
    let skipped = forgotten.running.into_iter().map(|id| SkippedView { id, reason }).collect();
    let Forgotten { runs, dead, mails, events, orders, suppressions, .. } = forgotten;
    Ok(JsonResponse(ForgottenView { runs, dead, mails, events, orders, suppressions, skipped, dry_run }))
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
