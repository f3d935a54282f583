//! Dead letters: runs that ended dead, grouped by job and error, put back or put aside in bulk.
//! A single dead run is read, retried and repeated like any other run.

use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json as JsonResponse, Router};
use jobmill_core::mail::InDoubtChoice;
use jobmill_core::{FailureKind, JobId, RunId, Timestamp, Version, limits};
use jobmill_store::{DeadFilter, DeadGroup};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Context;
use crate::api::List;
use crate::api::bulk::{BulkView, refuse_empty};
use crate::api::runs::optional_duration;
use crate::body::JsonBody;
use crate::error::Problem;
use crate::query::NoParameters;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/api/v1/dead", get(list))
        .route("/api/v1/dead/requeue", post(requeue))
        .route("/api/v1/dead/discard", post(discard))
}

#[derive(Serialize)]
struct DeadGroupView {
    fingerprint: String,
    job: JobId,
    kind: FailureKind,
    message: String,
    count: usize,
    first_seen: Timestamp,
    last_seen: Timestamp,
    versions: Vec<Version>,
    example: RunId,
}

impl From<DeadGroup> for DeadGroupView {
    fn from(group: DeadGroup) -> Self {
        Self {
            fingerprint: format!("{:016x}", group.fingerprint),
            job: group.job,
            kind: group.kind,
            message: group.message,
            count: group.count,
            first_seen: group.first_seen,
            last_seen: group.last_seen,
            versions: group.versions,
            example: group.example,
        }
    }
}

async fn list(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<List<DeadGroupView>>, Problem> {
    let groups = context.handle.query().dead_groups().await?;
    Ok(JsonResponse(List::whole(groups.into_iter().map(DeadGroupView::from).collect())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterBody {
    job: Option<JobId>,
    #[serde(default, deserialize_with = "optional_fingerprint")]
    fingerprint: Option<u64>,
    ids: Option<Vec<RunId>>,
}

/// 16 hex digits, as the list shows them.
fn optional_fingerprint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u64::from_str_radix(&text, 16) {
        Ok(fingerprint) if digits => Ok(Some(fingerprint)),
        _ => {
            let shown = limits::truncate(&text, 80);
            Err(D::Error::custom(format!("{shown:?} is not a fingerprint; a fingerprint has 16 hex digits")))
        }
    }
}

impl FilterBody {
    fn filter(self) -> Result<DeadFilter, Problem> {
        let filter = DeadFilter { job: self.job, fingerprint: self.fingerprint, ids: self.ids };
        refuse_empty(&filter)?;
        Ok(filter)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequeueBody {
    filter: FilterBody,
    #[serde(default, deserialize_with = "optional_duration")]
    spread: Option<Duration>,
    in_doubt: Option<InDoubtChoice>,
    #[serde(default)]
    dry_run: bool,
}

async fn requeue(
    State(context): State<Context>,
    _: NoParameters,
    JsonBody(body): JsonBody<RequeueBody>,
) -> Result<JsonResponse<BulkView>, Problem> {
    let filter = body.filter.filter()?;
    let spread = body.spread.unwrap_or_default();
    if spread > limits::DELAY_MAX {
        return Err(Problem::invalid_member("/spread", "is longer than a year"));
    }
    let outcome = context.handle.requeue_many(filter, spread, body.in_doubt, body.dry_run).await?;
    Ok(JsonResponse(outcome.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiscardBody {
    filter: FilterBody,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

async fn discard(
    State(context): State<Context>,
    _: NoParameters,
    JsonBody(body): JsonBody<DiscardBody>,
) -> Result<JsonResponse<BulkView>, Problem> {
    let filter = body.filter.filter()?;
    let reason = body.reason.unwrap_or_else(|| "discarded by request".to_owned());
    let outcome = context.handle.discard_many(filter, reason, body.dry_run).await?;
    Ok(JsonResponse(outcome.into()))
}
