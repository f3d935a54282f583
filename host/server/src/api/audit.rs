//! The audit list: what operators did, when, on what, with which token, and how it ended.
//! Entries are made by `audit`, at the door.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::audit::{AuditEntry, AuditOutcome};
use jobmill_core::{AuditId, Timestamp, TokenId, limits};
use jobmill_store::AuditFilter;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::api::List;
use crate::api::shapes::AuditIdShape;
use crate::error::Problem;
use crate::query::{Parameters, nearest};
use crate::routes::{Audit, Routes, Rule};

#[derive(OpenApi)]
#[openapi(paths(list))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new().get("/api/v1/audit", Rule::OPERATE, list).described_by(Document::openapi)
}

/// One thing that an operator did.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct AuditView {
    id: AuditId,
    /// When it was begun.
    at: Timestamp,
    /// The token that it was done with; null where none was wanted.
    by: Option<OperatorView>,
    /// What was done: the command of the command line that does the same, such as `runs cancel`.
    action: String,
    /// What it was done to, such as a run or a queue.
    target: Option<String>,
    /// What else there is to know, for people.
    detail: Option<String>,
    /// `done` or `refused`; null while it is under way, and where the server ended in the middle of it.
    outcome: Option<&'static str>,
    /// Why it was refused: the code of the problem.
    code: Option<String>,
}

/// The token of an operator.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditOperator)]
struct OperatorView {
    id: TokenId,
    /// Its name, as it was then.
    name: String,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            by: entry.by.map(|operator| OperatorView { id: operator.id, name: operator.name }),
            action: entry.action,
            target: entry.target,
            detail: entry.detail,
            outcome: entry.outcome.as_ref().map(AuditOutcome::as_str),
            code: match entry.outcome {
                Some(AuditOutcome::Refused { code }) => Some(code),
                Some(AuditOutcome::Done) | None => None,
            },
        }
    }
}

/// Lists what operators did, the newest first. What programs bring in is not among it.
#[utoipa::path(get, path = "/api/v1/audit", tag = "Engine", params(
    ("action" = Option<String>, Query, description = "what was done, such as `runs cancel`"),
    ("target" = Option<String>, Query, description = "what it was done to, such as a run's id"),
    ("by" = Option<String>, Query, description = "id or name of the token that it was done with, or `without a token`"),
    ("cursor" = Option<AuditIdShape>, Query, description = "`next_cursor` of the page before"),
    ("limit" = Option<usize>, Query, description = "how many, from 1 to 200; 50 if absent"),
), responses((status = 200, description = "a page of the list", body = List<AuditView>)))]
async fn list(
    State(context): State<Context>,
    parameters: Parameters,
) -> Result<JsonResponse<List<AuditView>>, Problem> {
    let parameters = parameters.only(&["action", "target", "by", "cursor", "limit"])?;
    let filter = audit_filter(&parameters)?;
    let (after, limit) = (parameters.value("cursor")?, parameters.limit()?);
    let page = context.handle.query().audit(&filter, after, limit).await?;
    Ok(JsonResponse(List::page(page, AuditView::from)))
}

/// The filter that `action`, `target` and `by` make.
pub(crate) fn audit_filter(parameters: &Parameters) -> Result<AuditFilter, Problem> {
    let text = |name: &str| parameters.text(name).map(|text| text.trim().to_owned());
    Ok(AuditFilter { action: parameters.read("action", read_action)?, target: text("target"), by: text("by") })
}

/// The words of what is put on record, in their order.
pub(crate) fn audited_actions() -> &'static [&'static str] {
    static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let audited = crate::route_table().into_iter().filter(|route| route.audit != Audit::Never);
        let words: BTreeSet<&str> = audited.filter_map(|route| Some(route.action?.as_str())).collect();
        words.into_iter().collect()
    });

    &WORDS
}

fn read_action(text: &str) -> Result<String, String> {
    let known = audited_actions();
    if known.contains(&text) {
        return Ok(text.to_owned());
    }
    let hint = nearest(text, known).map(|likely| format!("; did you mean {likely:?}?")).unwrap_or_default();
    Err(format!("{:?} is not an action; one of {}{hint}", limits::truncate(text, 80), known.join(", ")))
}
