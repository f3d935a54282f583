//! The e-mail log: what was sent, captured or refused, and by which run.
//! It builds no MIME: the function for that is handed in.

use std::fmt::Write as _;

use axum::Json as JsonResponse;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jobmill_core::id::IdError;
use jobmill_core::mail::{Attachment, Mail, MailStatus, Mailbox};
use jobmill_core::{JobId, MailId, RunId, Timestamp, limits};
use jobmill_store::{MailFilter, MailSummary, MailView};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::List;
use crate::api::openapi::ProblemShape;
use crate::api::run_view::unknown_run;
use crate::api::runs::EmptyBody;
use crate::api::shapes::{FileShape, MailIdShape, RunIdShape};
use crate::audit::Audited;
use crate::body::OptionalJsonBody;
use crate::error::{Code, Problem};
use crate::path::Id;
use crate::query::{NoParameters, Parameters};
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(list, clear, show, raw, attachment, release))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/mail", Rule::READ, list)
        .delete("/api/v1/mail", Rule::OPERATE, clear)
        .does(Action::MailClear)
        .get("/api/v1/mail/{id}", Rule::READ, show)
        .get("/api/v1/mail/{id}/raw", Rule::READ, raw)
        .get("/api/v1/mail/{id}/attachments/{number}", Rule::READ, attachment)
        .post("/api/v1/mail/{id}/release", Rule::OPERATE, release)
        .does(Action::MailRelease)
        .described_by(Document::openapi)
}

/// A mail in the e-mail log.
#[derive(Serialize, ToSchema)]
#[schema(as = MailSummary)]
pub(super) struct MailSummaryView {
    id: MailId,
    run: RunId,
    job: JobId,
    /// The job's word for it.
    kind: String,
    /// The recipient's address.
    to: String,
    /// Its subject.
    subject: String,
    status: MailStatus,
    /// `Message-ID` without the angle brackets.
    message_id: String,
    /// How often it was handed over.
    attempts: u32,
    created_at: Timestamp,
    /// When the mail server took it.
    sent_at: Option<Timestamp>,
    /// Why it was not sent.
    error: Option<String>,
    /// What the mail server said.
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

/// A mail with its text.
#[derive(Serialize, ToSchema)]
#[schema(as = Mail)]
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

/// A header that the job added.
#[derive(Serialize, ToSchema)]
#[schema(as = MailHeader)]
pub(super) struct HeaderView {
    /// Its name.
    pub(super) name: String,
    /// Its value.
    pub(super) value: String,
}

/// A file that goes along, without its bytes.
#[derive(Serialize, ToSchema)]
#[schema(as = Attachment)]
pub(super) struct AttachmentView {
    /// Its name, without a path.
    name: String,
    /// Its media type.
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

/// Lists the e-mail log, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/mail",
    tag = "Mail",
    params(
        ("to" = Option<String>, Query, description = "only mails to this address"),
        ("kind" = Option<String>, Query, description = "only mails of this kind"),
        ("status" = Option<MailStatus>, Query, description = "only mails that stand so"),
        ("run" = Option<RunId>, Query, description = "only mails of this run"),
        ("since" = Option<Timestamp>, Query, description = "only mails since then"),
        ("until" = Option<Timestamp>, Query, description = "only mails before then"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "items of the page, 1 to 200; 50 if absent"),
    ),
    responses(
        (status = 200, description = "a page of mails", body = List<MailSummaryView>),
    )
)]
async fn list(
    State(context): State<Context>,
    parameters: Parameters,
) -> Result<JsonResponse<List<MailSummaryView>>, Problem> {
    let parameters = parameters.only(&["to", "kind", "status", "run", "since", "until", "cursor", "limit"])?;
    let filter = MailFilter {
        to: parameters.text("to").map(str::to_owned),
        kind: parameters.text("kind").map(str::to_owned),
        status: parameters.read("status", read_status)?,
        run: parameters.value("run")?,
        since: parameters.value("since")?,
        until: parameters.value("until")?,
    };
    let (after, limit) = (parameters.value("cursor")?, parameters.limit()?);
    let page = context.handle.query().mails(&filter, after, limit).await?;
    Ok(JsonResponse(List::page(page, MailSummaryView::from)))
}

/// A mail's status by its word.
pub(crate) fn read_status(text: &str) -> Result<MailStatus, String> {
    use MailStatus::{Captured, Failed, InDoubt, Sending, Sent, Suppressed};

    let all = [Sending, Sent, Captured, Failed, Suppressed, InDoubt];
    all.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
        let known = all.map(MailStatus::as_str).join(", ");
        format!("{:?} is not a mail's status; one of {known}", limits::truncate(text, 80))
    })
}

/// Lists the mails of a run.
#[utoipa::path(
    get,
    path = "/api/v1/runs/{id}/mail",
    tag = "Runs",
    params(
        ("id" = RunIdShape, Path, description = "the run"),
    ),
    responses(
        (status = 200, description = "every mail", body = List<MailSummaryView>),
    )
)]
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

/// A mail with its content.
pub(crate) async fn find_mail(context: &Context, id: MailId) -> Result<MailView, Problem> {
    let mail = context.handle.query().mail(id).await?;
    mail.ok_or_else(|| Problem::new(Code::UnknownMail, format!("there is no mail {id}")))
}

/// Shows a mail with its text and the names of its attachments.
#[utoipa::path(
    get,
    path = "/api/v1/mail/{id}",
    tag = "Mail",
    params(
        ("id" = MailIdShape, Path, description = "the mail"),
    ),
    responses(
        (status = 200, description = "the mail", body = MailDetailView),
    )
)]
async fn show(
    State(context): State<Context>,
    Id(id): Id<MailId>,
    _: NoParameters,
) -> Result<JsonResponse<MailDetailView>, Problem> {
    Ok(JsonResponse(find_mail(&context, id).await?.into()))
}

/// Answers a mail as it goes over the wire.
#[utoipa::path(
    get,
    path = "/api/v1/mail/{id}/raw",
    tag = "Mail",
    params(
        ("id" = MailIdShape, Path, description = "the mail"),
    ),
    responses(
        (status = 200, description = "the message", body = String, content_type = "message/rfc822"),
    )
)]
async fn raw(State(context): State<Context>, Id(id): Id<MailId>, _: NoParameters) -> Result<Response, Problem> {
    let mail: Mail = find_mail(&context, id).await?.mail;
    let bytes = (context.settings.raw_mail)(&mail).map_err(|reason| {
        Problem::new(Code::MailUnbuildable, format!("the mail {id} can't be written as a message: {reason}"))
    })?;
    download("message/rfc822", &format!("{id}.eml"), bytes)
}

/// A file to keep. What a job wrote is never shown as a page of this server.
fn download(media_type: &str, file_name: &str, bytes: Vec<u8>) -> Result<Response, Problem> {
    let value =
        |text: &str| HeaderValue::try_from(text).map_err(|error| Problem::new(Code::Internal, error.to_string()));
    let headers =
        [(header::CONTENT_TYPE, value(media_type)?), (header::CONTENT_DISPOSITION, value(&disposition(file_name))?)];
    Ok((headers, bytes).into_response())
}

/// RFC 6266; names that are not plain as RFC 8187 has them, so that any can be said.
fn disposition(file_name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if file_name.bytes().all(is_plain) {
        return format!("attachment; filename=\"{file_name}\"");
    }
    let mut text = "attachment; filename*=UTF-8''".to_owned();
    for byte in file_name.bytes() {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Answers the bytes of an attachment, by its place in the list, from 0.
#[utoipa::path(
    get,
    path = "/api/v1/mail/{id}/attachments/{number}",
    tag = "Mail",
    params(
        ("id" = MailIdShape, Path, description = "the mail"),
        ("number" = u32, Path, description = "its place, from 0"),
    ),
    responses(
        (status = 200, description = "the file, under the media type that the job said", body = FileShape, content_type = "*/*"),
    )
)]
async fn attachment(
    State(context): State<Context>,
    Path((id, number)): Path<(String, String)>,
    _: NoParameters,
) -> Result<Response, Problem> {
    let id: MailId = id.parse().map_err(|error: IdError| Problem::new(Code::UnknownMail, error.to_string()))?;
    let mut attachments = find_mail(&context, id).await?.mail.message.attachments;
    let position = number.parse().ok().filter(|position| *position < attachments.len()).ok_or_else(|| {
        let (shown, count) = (limits::truncate(&number, 80), attachments.len());
        Problem::new(
            Code::UnknownAttachment,
            format!("the mail {id} has no attachment {shown:?}; it has {count}, from 0"),
        )
    })?;
    let Attachment { file_name, content_type, content } = attachments.swap_remove(position);
    download(&content_type, &file_name, content)
}

/// Hands a captured mail to the real mail server.
#[utoipa::path(
    post,
    path = "/api/v1/mail/{id}/release",
    tag = "Mail",
    params(
        ("id" = MailIdShape, Path, description = "the mail"),
    ),
    request_body = Option<EmptyBody>,
    responses(
        (status = 200, description = "the mail as it stands now", body = MailSummaryView),
        (status = 409, description = "mail may not leave, not to this address, or this mail is not captured", body = ProblemShape, content_type = "application/problem+json"),
    )
)]
async fn release(
    State(context): State<Context>,
    Id(id): Id<MailId>,
    _: NoParameters,
    OptionalJsonBody(EmptyBody {}): OptionalJsonBody<EmptyBody>,
) -> Result<JsonResponse<MailSummaryView>, Problem> {
    Ok(JsonResponse(release_mail(&context, id).await?.into()))
}

/// Hands a captured mail to the real mail server, where the configuration has one.
pub(crate) async fn release_mail(context: &Context, id: MailId) -> Result<MailSummary, Problem> {
    let outlet = context.settings.mail_outlet.clone().ok_or_else(|| {
        let detail = "no mail leaves the mailbox: set mail.smtp, and name who may get mail in mail.release.allow, such as \
                      [\"ada@example.com\", \"*@shop.example\"]";
        Problem::new(Code::ReleaseNotConfigured, detail)
    })?;
    Ok(context.handle.release(id, outlet).await?)
}

/// What was taken out of the e-mail log.
#[derive(Serialize, ToSchema)]
#[schema(as = MailCleared)]
struct Cleared {
    /// How many mails the log showed.
    cleared: usize,
}

/// Empties the e-mail log. Runs still show their mails.
#[utoipa::path(
    delete,
    path = "/api/v1/mail",
    tag = "Mail",
    responses(
        (status = 200, description = "how many mails it showed", body = Cleared),
    )
)]
async fn clear(
    State(context): State<Context>,
    audited: Audited,
    _: NoParameters,
) -> Result<JsonResponse<Cleared>, Problem> {
    let cleared = context.handle.clear_mail().await?;
    audited.tells(format_args!("mails {cleared}"));
    Ok(JsonResponse(Cleared { cleared }))
}
