//! The e-mail log: what was sent, captured or refused, and by which run.
//! It builds no MIME: the function for that is handed in.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json as JsonResponse, Router};
use jobmill_core::mail::{Attachment, Mail, MailStatus, Mailbox};
use jobmill_core::{JobId, MailId, RunId, Timestamp, limits};
use jobmill_store::{MailFilter, MailSummary, MailView};
use serde::Serialize;

use crate::Context;
use crate::api::List;
use crate::api::run_view::unknown_run;
use crate::error::{Code, Problem};
use crate::path::Id;
use crate::query::{NoParameters, Parameters};

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/api/v1/mail", get(list).delete(clear))
        .route("/api/v1/mail/{id}", get(show))
        .route("/api/v1/mail/{id}/raw", get(raw))
}

#[derive(Serialize)]
pub(super) struct MailSummaryView {
    id: MailId,
    run: RunId,
    job: JobId,
    kind: String,
    to: String,
    subject: String,
    status: MailStatus,
    message_id: String,
    attempts: u32,
    created_at: Timestamp,
    sent_at: Option<Timestamp>,
    error: Option<String>,
    reply: Option<String>,
}

impl From<MailSummary> for MailSummaryView {
    fn from(summary: MailSummary) -> Self {
        Self {
            id: summary.id,
            run: summary.run,
            job: summary.job,
            kind: summary.kind,
            to: summary.to,
            subject: summary.subject,
            status: summary.status,
            message_id: summary.message_id,
            attempts: summary.attempts,
            created_at: summary.created_at,
            sent_at: summary.sent_at,
            error: summary.error,
            reply: summary.reply,
        }
    }
}

#[derive(Serialize)]
struct MailDetailView {
    #[serde(flatten)]
    summary: MailSummaryView,
    from: Mailbox,
    to_name: Option<String>,
    reply_to: Option<Mailbox>,
    text: String,
    html: Option<String>,
    headers: Vec<HeaderView>,
    attachments: Vec<AttachmentView>,
}

#[derive(Serialize)]
struct HeaderView {
    name: String,
    value: String,
}

#[derive(Serialize)]
struct AttachmentView {
    name: String,
    #[serde(rename = "type")]
    media_type: String,
    /// Bytes.
    size: usize,
}

impl From<Attachment> for AttachmentView {
    fn from(attachment: Attachment) -> Self {
        Self { name: attachment.file_name, media_type: attachment.content_type, size: attachment.content.len() }
    }
}

impl From<MailView> for MailDetailView {
    fn from(MailView { summary, mail }: MailView) -> Self {
        let message = mail.message;
        let headers = message.headers.into_iter().map(|(name, value)| HeaderView { name, value });
        Self {
            summary: summary.into(),
            from: mail.from,
            to_name: message.to.name,
            reply_to: message.reply_to,
            text: message.text,
            html: message.html,
            headers: headers.collect(),
            attachments: message.attachments.into_iter().map(AttachmentView::from).collect(),
        }
    }
}

async fn list(
    State(context): State<Context>,
    parameters: Parameters,
) -> Result<JsonResponse<List<MailSummaryView>>, Problem> {
    let parameters = parameters.only(&["to", "kind", "status", "run", "cursor", "limit"])?;
    let filter = MailFilter {
        to: parameters.text("to").map(str::to_owned),
        kind: parameters.text("kind").map(str::to_owned),
        status: parameters.read("status", read_status)?,
        run: parameters.value("run")?,
    };
    let (after, limit) = (parameters.value("cursor")?, parameters.limit()?);
    let page = context.handle.query().mails(&filter, after, limit).await?;
    Ok(JsonResponse(List::page(page, MailSummaryView::from)))
}

fn read_status(text: &str) -> Result<MailStatus, String> {
    use MailStatus::{Captured, Failed, InDoubt, Sending, Sent, Suppressed};

    let all = [Sending, Sent, Captured, Failed, Suppressed, InDoubt];
    all.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
        let known = all.map(MailStatus::as_str).join(", ");
        format!("{:?} is not a mail's status; one of {known}", limits::truncate(text, 80))
    })
}

/// `GET /api/v1/runs/{id}/mail`.
pub(super) async fn mails_of_run(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    _: NoParameters,
) -> Result<JsonResponse<List<MailSummaryView>>, Problem> {
    let query = context.handle.query();
    query.run(id).await?.ok_or_else(|| unknown_run(id))?;
    let filter = MailFilter { run: Some(id), ..MailFilter::default() };
    // A run's mails are bounded, far below a page.
    let page = query.mails(&filter, None, limits::PAGE_ITEMS).await?;
    Ok(JsonResponse(List::page(page, MailSummaryView::from)))
}

async fn find(context: &Context, id: MailId) -> Result<MailView, Problem> {
    let mail = context.handle.query().mail(id).await?;
    mail.ok_or_else(|| Problem::new(Code::UnknownMail, format!("there is no mail {id}")))
}

async fn show(
    State(context): State<Context>,
    Id(id): Id<MailId>,
    _: NoParameters,
) -> Result<JsonResponse<MailDetailView>, Problem> {
    Ok(JsonResponse(find(&context, id).await?.into()))
}

async fn raw(State(context): State<Context>, Id(id): Id<MailId>, _: NoParameters) -> Result<Response, Problem> {
    let mail: Mail = find(&context, id).await?.mail;
    let bytes = (context.settings.raw_mail)(&mail).map_err(|reason| {
        Problem::new(Code::MailUnbuildable, format!("the mail {id} can't be written as a message: {reason}"))
    })?;
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{id}.eml\""))
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("message/rfc822")),
        // What a job wrote is never shown as a page of this server.
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, bytes).into_response())
}

#[derive(Serialize)]
struct Cleared {
    cleared: usize,
}

async fn clear(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<Cleared>, Problem> {
    let cleared = context.handle.clear_mail().await?;
    Ok(JsonResponse(Cleared { cleared }))
}
