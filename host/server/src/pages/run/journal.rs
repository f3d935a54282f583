//! The journal of a run as a table: each entry in its order, with when, what, and the document that it carries.
//! The page of the run sums it up; the API has every entry whole.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jobmill_core::journal::Finished;
use jobmill_core::mail::MailStatus;
use jobmill_core::order::OrderPatch;
use jobmill_core::{Entry, EntryKind, JobId, Json, MailId, RunId, RunState, Timestamp, limits};

use super::{find, gone, span};
use crate::Context;
use crate::error::Problem;
use crate::pages::frame::{Frame, Section, page_with};
use crate::pages::visitor::Visitor;
use crate::path::Id;
use crate::query::NoParameters;

/// Bytes of a document that the table shows; longer ones are cut.
const DOCUMENT_BYTES: usize = 4 * 1024;

#[derive(Template)]
#[template(path = "run_journal.html")]
struct JournalPage {
    frame: Frame,
    id: RunId,
    job: JobId,
    rows: Vec<Row>,
}

struct Row {
    at: Timestamp,
    /// Since the enqueue.
    after: String,
    kind: &'static str,
    told: String,
    document: Option<Document>,
    mail: Option<MailId>,
}

/// JSON, or the beginning of it.
struct Document {
    text: String,
    is_cut: bool,
}

impl Document {
    fn of(json: &Json) -> Self {
        let text = limits::truncate(json.as_str(), DOCUMENT_BYTES);
        Self { is_cut: text.len() < json.as_str().len(), text: text.to_owned() }
    }
}

/// `GET /runs/{id}/journal`.
pub(super) async fn show(
    State(context): State<Context>,
    visitor: Visitor,
    id: Result<Id<RunId>, Problem>,
    _: NoParameters,
) -> Result<Response, Problem> {
    let record = match find(&context, id).await? {
        Ok(record) => record,
        Err(detail) => return gone(&context, visitor, detail).await,
    };
    let head = record.run.head;
    let page = JournalPage {
        frame: Frame::of(&context, visitor, Section::Runs, format!("Journal of {}", head.id)).await?,
        id: head.id,
        rows: record.journal.iter().map(|entry| Row::new(entry, head.enqueued_at)).collect(),
        job: head.job,
    };
    page_with(StatusCode::OK, &page)
}

impl Row {
    fn new(entry: &Entry, begin: Timestamp) -> Self {
        let row = |kind, told| Self {
            at: entry.at,
            after: span(entry.at.since(begin)),
            kind,
            told,
            document: None,
            mail: None,
        };
        match &entry.kind {
            EntryKind::Enqueued(enqueued) => Self {
                document: Some(Document::of(&enqueued.payload)),
                ..row("enqueued", format!("queue {}, priority {}", enqueued.queue, enqueued.priority))
            },
            EntryKind::Started(started) => {
                row("started", format!("attempt {} of version {}", started.attempt, started.version))
            }
            EntryKind::StepCompleted { name, value } => {
                Self { document: Some(Document::of(value)), ..row("step-completed", name.clone()) }
            }
            EntryKind::MailIntended { mail, .. } => {
                let told = format!("{} to {}: {}", mail.message.kind, mail.message.to.address, mail.message.subject);
                Self { mail: Some(mail.id), ..row("mail-intended", told) }
            }
            EntryKind::MailSettled { key, status, reply, error } => {
                row("mail-settled", settled(key.as_str(), *status, reply.as_deref(), error.as_deref()))
            }
            EntryKind::OrderUpdated { order, patch, .. } => order_row(row("order-updated", order.clone()), patch),
            EntryKind::OrderIntended { order, patch, .. } => order_row(row("order-intended", order.clone()), patch),
            EntryKind::OrderSettled { key, error } => {
                let became = error.as_deref().unwrap_or("changed");
                row("order-settled", format!("{}: {became}", key.as_str()))
            }
            EntryKind::HttpIntended { method, url, .. } => row("http-intended", format!("{method} {url}")),
            EntryKind::HttpSettled { key, status, error, .. } => {
                row("http-settled", format!("{}: {}", key.as_str(), answered(*status, error.as_deref())))
            }
            EntryKind::Finished(finished) => {
                Self { document: finished.output.as_ref().map(Document::of), ..row("finished", end(finished)) }
            }
            EntryKind::CancelRequested { reason } => row("cancel-requested", reason.clone()),
            EntryKind::Cancelled { reason } => row("cancelled", reason.clone()),
            EntryKind::Requeued { scheduled_at, max_attempts } => {
                row("requeued", format!("due {scheduled_at}, {max_attempts} attempts"))
            }
            EntryKind::MadeDue { instead_of } => row("made-due", format!("at once, instead of {instead_of}")),
        }
    }
}

fn order_row(row: Row, patch: &OrderPatch) -> Row {
    let status = patch.status.map(|status| format!(" to {}", status.as_str())).unwrap_or_default();
    Row { told: format!("{}{status}", row.told), document: patch.metadata.as_ref().map(Document::of), ..row }
}

fn settled(key: &str, status: MailStatus, reply: Option<&str>, error: Option<&str>) -> String {
    let said = error.or(reply).map(|said| format!(": {said}")).unwrap_or_default();
    format!("{key} {}{said}", status.as_str())
}

/// What became of an HTTP request, in words.
pub(super) fn answered(status: Option<u16>, error: Option<&str>) -> String {
    match (status, error) {
        (Some(status), None) => format!("answered {status}"),
        (_, Some(error)) => error.to_owned(),
        (None, None) => "no answer".to_owned(),
    }
}

fn end(finished: &Finished) -> String {
    let next = match finished.to {
        state if state.is_final() => String::new(),
        RunState::Available => " at once".to_owned(),
        _ => format!(", due {}", finished.scheduled_at),
    };
    let cost = if finished.counted { "" } else { ", which cost no attempt" };
    let error = finished.error.as_ref().map(|error| format!(": {}: {}", error.kind, error.message)).unwrap_or_default();
    format!("then {}{next}{cost}{error}", finished.to)
}
