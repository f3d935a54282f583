//! Dead letters: runs that ended dead, grouped by job and error, put back or put aside in bulk.
//! A single dead run is read, retried and repeated like any other run.

use std::time::Duration;

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::mail::InDoubtChoice;
use jobmill_core::{FailureKind, JobId, RunId, Timestamp, Version, limits};
use jobmill_store::{DeadFilter, DeadGroup};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::List;
use crate::api::bulk::{BulkView, refuse_empty};
use crate::api::runs::optional_duration;
use crate::audit::{Audited, dead_named};
use crate::body::JsonBody;
use crate::error::Problem;
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(list, requeue, discard))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/dead", Rule::READ, list)
        .post("/api/v1/dead/requeue", Rule::OPERATE, requeue)
        .may_do(Action::DeadRequeue)
        .post("/api/v1/dead/discard", Rule::OPERATE, discard)
        .may_do(Action::DeadDiscard)
        .described_by(Document::openapi)
}

/// Dead runs of one job with one error.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadGroup)]
struct DeadGroupView {
    /// The name of the group in requests: 16 hex digits.
    fingerprint: String,
    job: JobId,
    kind: FailureKind,
    /// What the error says.
    message: String,
    /// How many runs.
    count: usize,
    first_seen: Timestamp,
    last_seen: Timestamp,
    /// The components that failed so.
    versions: Vec<Version>,
    /// The last of the runs.
    example: RunId,
    /// When somebody was last told of it, by the configuration's `[notify]`; null when nobody was.
    notified_at: Option<Timestamp>,
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
            notified_at: group.notified_at,
        }
    }
}

/// Lists dead runs, grouped by job and error.
#[utoipa::path(
    get,
    path = "/api/v1/dead",
    tag = "Dead letters",
    responses(
        (status = 200, description = "every group", body = List<DeadGroupView>),
    )
)]
async fn list(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<List<DeadGroupView>>, Problem> {
    let groups = context.handle.query().dead_groups().await?;
    Ok(JsonResponse(List::whole(groups.into_iter().map(DeadGroupView::from).collect())))
}

/// Which dead runs; at least one member.
#[derive(Deserialize, ToSchema)]
#[schema(as = DeadFilter)]
#[serde(deny_unknown_fields)]
struct FilterBody {
    /// Runs of this job.
    job: Option<JobId>,
    /// Runs of this group: 16 hex digits.
    #[serde(default, deserialize_with = "optional_fingerprint")]
    #[schema(value_type = Option<String>)]
    fingerprint: Option<u64>,
    /// These runs.
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

/// Which dead runs are put back, and over what while.
#[derive(Deserialize, ToSchema)]
#[schema(as = Requeue, examples(json!({ "filter": { "job": "welcome-email" }, "spread": "5m" })))]
#[serde(deny_unknown_fields)]
struct RequeueBody {
    filter: FilterBody,
    /// They become due evenly over this span; all at once if absent.
    #[serde(default, deserialize_with = "optional_duration")]
    spread: Option<Duration>,
    /// Needed where runs have mails in doubt and the configuration parks those.
    in_doubt: Option<InDoubtChoice>,
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// Puts back every dead run that a filter names, spread evenly over a while. An empty filter is refused.
#[utoipa::path(
    post,
    path = "/api/v1/dead/requeue",
    tag = "Dead letters",
    request_body = RequeueBody,
    responses(
        (status = 200, description = "what was put back, and what was not and why", body = BulkView),
    )
)]
async fn requeue(
    State(context): State<Context>,
    audited: Audited,
    _: NoParameters,
    JsonBody(body): JsonBody<RequeueBody>,
) -> Result<JsonResponse<BulkView>, Problem> {
    let filter = body.filter.filter()?;
    let spread = body.spread.unwrap_or_default();
    if spread > limits::DELAY_MAX {
        return Err(Problem::invalid_member("/spread", "is longer than a year"));
    }
    if !body.dry_run {
        audited.tells(dead_named(&filter));
        audited.begin().await;
    }
    let outcome = context.handle.requeue_many(filter, spread, body.in_doubt, body.dry_run).await?;
    audited.tells_counts(&outcome);
    Ok(JsonResponse(outcome.into()))
}

/// Which dead runs are put aside for good.
#[derive(Deserialize, ToSchema)]
#[schema(as = Discard)]
#[serde(deny_unknown_fields)]
struct DiscardBody {
    filter: FilterBody,
    /// Why, for people.
    reason: Option<String>,
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// Puts every dead run that a filter names aside for good. An empty filter is refused.
#[utoipa::path(
    post,
    path = "/api/v1/dead/discard",
    tag = "Dead letters",
    request_body = DiscardBody,
    responses(
        (status = 200, description = "what was discarded, and what was not and why", body = BulkView),
    )
)]
async fn discard(
    State(context): State<Context>,
    audited: Audited,
    _: NoParameters,
    JsonBody(body): JsonBody<DiscardBody>,
) -> Result<JsonResponse<BulkView>, Problem> {
    let filter = body.filter.filter()?;
    if !body.dry_run {
        audited.tells(dead_named(&filter));
        body.reason.iter().for_each(|reason| audited.tells(reason));
        audited.begin().await;
    }
    let reason = body.reason.unwrap_or_else(|| "discarded by request".to_owned());
    let outcome = context.handle.discard_many(filter, reason, body.dry_run).await?;
    audited.tells_counts(&outcome);
    Ok(JsonResponse(outcome.into()))
}
