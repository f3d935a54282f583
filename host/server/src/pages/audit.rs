//! The audit list as people read it: who did what, when, on what, and how it ended.
//! Nothing here changes, and nothing can be taken out by hand.

use std::str::FromStr as _;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jobmill_core::audit::{AuditEntry, AuditOutcome};
use jobmill_core::{DeliveryId, JobId, MailId, RunId, Timestamp, limits};
use jobmill_store::AuditFilter;

use crate::Context;
use crate::api::{audit_filter, audited_actions};
use crate::error::Problem;
use crate::pages::frame::{self, Frame, Section};
use crate::pages::links::link;
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::query::Parameters;
use crate::routes::{Routes, Rule};

pub(super) fn routes() -> Routes {
    Routes::new().get("/audit", Rule::OPERATE, list)
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    actions: Vec<(&'static str, bool)>,
    target: String,
    by: String,
    is_filtered: bool,
    is_first_page: bool,
    rows: Vec<AuditRow>,
    newest: String,
    older: Option<String>,
}

/// An entry of the list.
struct AuditRow {
    at: Moment,
    by: String,
    /// Everything else that they did.
    same_by: String,
    action: String,
    target: Option<String>,
    /// Where what it was done to has a page.
    place: Option<String>,
    detail: String,
    /// Why it was refused.
    code: Option<String>,
    word: &'static str,
    /// The class that colours it.
    colour: &'static str,
    icon: &'static str,
}

impl AuditRow {
    fn new(entry: AuditEntry, now: Timestamp) -> Self {
        let (word, colour, icon) = match &entry.outcome {
            Some(AuditOutcome::Done) => ("done", "completed", "✓"),
            Some(AuditOutcome::Refused { .. }) => ("refused", "dead", "✕"),
            None => ("not ended", "retryable", "○"),
        };
        let by = entry.by.as_ref().map_or_else(|| entry.by_name().to_owned(), |operator| operator.id.to_string());
        Self {
            at: Moment::new(entry.at, now),
            by: entry.by_name().to_owned(),
            same_by: link("/audit", &[("by", Some(by))]),
            place: entry.target.as_deref().and_then(|target| place(&entry.action, target)),
            action: entry.action,
            target: entry.target,
            detail: entry.detail.unwrap_or_default(),
            code: match entry.outcome {
                Some(AuditOutcome::Refused { code }) => Some(code),
                Some(AuditOutcome::Done) | None => None,
            },
            word,
            colour,
            icon,
        }
    }
}

/// The page of what an action was done to, if it has one.
fn place(action: &str, target: &str) -> Option<String> {
    if RunId::from_str(target).is_ok() {
        return Some(format!("/runs/{target}"));
    }
    if MailId::from_str(target).is_ok() {
        return Some(format!("/mail/{target}"));
    }
    if DeliveryId::from_str(target).is_ok() {
        return Some(format!("/deliveries/{target}"));
    }
    let is_of_a_job = action == "run" || action.starts_with("jobs ") || action.starts_with("schedule ");
    (is_of_a_job && JobId::from_str(target).is_ok()).then(|| format!("/jobs/{target}"))
}

/// `GET /audit`.
async fn list(State(context): State<Context>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["action", "target", "by", "cursor"])?;
    let filter = audit_filter(&parameters)?;
    let after = parameters.value("cursor")?;
    let page = context.handle.query().audit(&filter, after, limits::PAGE_ITEMS_DEFAULT).await?;
    let frame = Frame::of(&context, visitor, Section::System, "Audit list").await?;
    let now = frame.now;
    let address = |cursor: Option<String>| {
        let AuditFilter { action, target, by } = filter.clone();
        link("/audit", &[("action", action), ("target", target), ("by", by), ("cursor", cursor)])
    };
    frame::page(&AuditPage {
        frame,
        actions: audited_actions().iter().map(|word| (*word, filter.action.as_deref() == Some(*word))).collect(),
        is_filtered: filter != AuditFilter::default(),
        is_first_page: after.is_none(),
        rows: page.items.into_iter().map(|entry| AuditRow::new(entry, now)).collect(),
        newest: address(None),
        older: page.next.map(|cursor| address(Some(cursor.to_string()))),
        target: filter.target.unwrap_or_default(),
        by: filter.by.unwrap_or_default(),
    })
}
