//! What is done with mails: a captured one is released, the log is emptied, the next ones are made to fail.
//! Each does what the API does; the first two say what will happen before it does.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jobmill_core::mail::MailStatus;
use jobmill_core::{MailId, limits};
use jobmill_store::MailFilter;

use super::letter::written;
use crate::api::{find_mail, release_mail};
use crate::error::{Code, Problem};
use crate::pages::form::Posted;
use crate::pages::frame::{self, Frame, Section};
use crate::pages::visitor::Visitor;
use crate::path::Id;
use crate::query::NoParameters;
use crate::{Context, FaultKind};

#[derive(Template)]
#[template(path = "mail_release.html")]
struct ReleasePage {
    frame: Frame,
    id: MailId,
    subject: String,
    from: String,
    to: String,
    /// Why it can't leave; none when it can.
    refusal: Option<String>,
}

/// `GET /mail/{id}/release`: what will happen.
pub(super) async fn ask_to_release(
    State(context): State<Context>,
    visitor: Visitor,
    Id(id): Id<MailId>,
    _: NoParameters,
) -> Result<Response, Problem> {
    let mail = find_mail(&context, id).await?;
    let (to, status) = (&mail.summary.to, mail.summary.status);
    let refusal = match &context.settings.mail_outlet {
        None => Some(
            "No mail leaves this mailbox: set mail.smtp, and name who may get mail in mail.release.allow.".to_owned(),
        ),
        Some(_) if status != MailStatus::Captured => {
            Some(format!("It is {}, and only captured mails are released.", status.as_str()))
        }
        Some(outlet) if !outlet.allows(to) => Some(format!(
            "mail.release.allow names neither {to} nor its domain, so no mail leaves for it; add it there."
        )),
        Some(_) => None,
    };
    release_page(&context, visitor, id, StatusCode::OK, refusal).await
}

async fn release_page(
    context: &Context,
    visitor: Visitor,
    id: MailId,
    status: StatusCode,
    refusal: Option<String>,
) -> Result<Response, Problem> {
    let mail = find_mail(context, id).await?.mail;
    let frame = Frame::of(context, visitor, Section::Mail, "Release a mail").await?;
    let (from, to) = (written(&mail.from), written(&mail.message.to));
    frame::page_with(status, &ReleasePage { frame, id, subject: mail.message.subject, from, to, refusal })
}

/// `POST /mail/{id}/release`.
pub(super) async fn release(
    State(context): State<Context>,
    Id(id): Id<MailId>,
    _: NoParameters,
    posted: Posted,
) -> Result<Response, Problem> {
    match release_mail(&context, id).await {
        Ok(_) => Ok(Redirect::to(&format!("/mail/{id}?released=1")).into_response()),
        // Where the mail is there, its page says why it stays.
        Err(problem) if problem.status() == StatusCode::CONFLICT => {
            posted.audited.is_refused(problem.code());
            let refusal = Some(problem.detail().to_owned());
            release_page(&context, posted.visitor, id, StatusCode::CONFLICT, refusal).await
        }
        Err(problem) => Err(problem),
    }
}

#[derive(Template)]
#[template(path = "mail_clear.html")]
struct ClearPage {
    frame: Frame,
    shown: usize,
    /// There are more than were counted.
    has_more: bool,
}

/// `GET /mail/clear`: what will happen.
pub(super) async fn ask_to_clear(
    State(context): State<Context>,
    visitor: Visitor,
    _: NoParameters,
) -> Result<Response, Problem> {
    let page = context.handle.query().mails(&MailFilter::default(), None, limits::PAGE_ITEMS).await?;
    let frame = Frame::of(&context, visitor, Section::Mail, "Clear the e-mail log").await?;
    frame::page(&ClearPage { frame, shown: page.items.len(), has_more: page.next.is_some() })
}

/// `POST /mail/clear`.
pub(super) async fn clear(
    State(context): State<Context>,
    _: NoParameters,
    posted: Posted,
) -> Result<Redirect, Problem> {
    let cleared = context.handle.clear_mail().await?;
    posted.audited.tells(format_args!("mails {cleared}"));
    Ok(Redirect::to(&format!("/mail?cleared={cleared}")))
}

/// `POST /mail/faults`, in development only.
pub(super) async fn fail_next(
    State(context): State<Context>,
    _: NoParameters,
    posted: Posted,
) -> Result<Redirect, Problem> {
    let faults = context.settings.faults.clone();
    let faults = faults.ok_or_else(|| Problem::new(Code::NotFound, "failures can be asked for in development only"))?;
    let missing = |pointer: &str| Problem::member(Code::MissingMember, pointer, "is required");
    let count = posted.text("fail_next").ok_or_else(|| missing("/fail_next"))?.trim().parse();
    let count = count.map_err(|_| Problem::invalid_member("/fail_next", "must be a whole number"))?;
    let kind = match posted.text("kind").ok_or_else(|| missing("/kind"))? {
        "transient" => FaultKind::Transient,
        "permanent" => FaultKind::Permanent,
        _ => return Err(Problem::invalid_member("/kind", "is neither transient nor permanent")),
    };
    posted.audited.tells(format_args!("the next {count}"));
    faults.fail_mail(count, kind);
    Ok(Redirect::to(&format!("/mail?failing={count}")))
}
