//! One mail: as its recipient sees it, its text, its headers and attachments, and the run that sent it.
//! What a job wrote is shown in a document of its own, which may do nothing and load nothing.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jobmill_core::mail::{MailStatus, Mailbox};
use jobmill_core::{MailId, limits};
use jobmill_store::{MailSummary, MailView};

use super::Mark;
use crate::Context;
use crate::api::find_mail;
use crate::error::{Code, Problem};
use crate::pages::frame::{self, Frame, Section};
use crate::pages::links::link;
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::path::Id;
use crate::query::{NoParameters, Parameters};

/// What a mail's document may do and load: nothing but its own style and the pictures that it carries in itself. Only a page
/// of this server shows it inside of itself.
const CONTENT_SECURITY_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// How wide a mail is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    /// As wide as a phone.
    Phone,
    /// As wide as a tablet.
    Tablet,
    /// As wide as the page.
    Full,
}

impl Width {
    const ALL: [Self; 3] = [Self::Phone, Self::Tablet, Self::Full];

    /// The word for it in the address.
    fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "375",
            Self::Tablet => "768",
            Self::Full => "full",
        }
    }

    /// The word for it on the page.
    fn told(self) -> &'static str {
        match self {
            Self::Phone => "375 px",
            Self::Tablet => "768 px",
            Self::Full => "full width",
        }
    }

    /// The frame's attribute.
    fn attribute(self) -> &'static str {
        match self {
            Self::Full => "100%",
            width => width.as_str(),
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|width| width.as_str() == text).ok_or_else(|| {
            let shown = limits::truncate(text, 80);
            format!("{shown:?} is not a width; one of {}", Self::ALL.map(Self::as_str).join(", "))
        })
    }
}

#[derive(Template)]
#[template(path = "mail_letter.html")]
struct LetterPage {
    frame: Frame,
    summary: MailSummary,
    mark: Mark,
    created: Moment,
    sent: Option<Moment>,
    from: String,
    to: String,
    reply_to: Option<String>,
    text: String,
    has_html: bool,
    width: Width,
    headers: Vec<(String, String)>,
    attachments: Vec<FileRow>,
    may_leave: bool,
    is_captured: bool,
}

/// A file that goes along.
struct FileRow {
    name: String,
    media_type: String,
    bytes: usize,
}

impl LetterPage {
    /// The widths with a link each; true for the one that is shown.
    fn widths(&self) -> [(&'static str, &'static str, bool); 3] {
        Width::ALL.map(|width| (width.as_str(), width.told(), width == self.width))
    }

    /// Where all mails to its recipient are.
    fn all_to(&self) -> String {
        link("/mail", &[("to", Some(self.summary.to.clone()))])
    }
}

/// A mailbox as people write one.
pub(in crate::pages) fn written(mailbox: &Mailbox) -> String {
    match &mailbox.name {
        Some(name) => format!("{name} <{}>", mailbox.address),
        None => mailbox.address.clone(),
    }
}

/// `GET /mail/{id}`.
pub(super) async fn show(
    State(context): State<Context>,
    visitor: Visitor,
    Id(id): Id<MailId>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let parameters = parameters.only(&["width", "released"])?;
    let width = parameters.read("width", Width::read)?.unwrap_or(Width::Full);
    let is_back = parameters.value::<u32>("released")?.is_some();
    let MailView { summary, mail } = find_mail(&context, id).await?;
    let notice = is_back.then(|| after_release(&summary));
    let title = format!("Mail to {}", summary.to);
    let frame = Frame::of(&context, visitor, Section::Mail, title).await?.telling(notice);
    let (now, message) = (frame.now, mail.message);
    let files = message.attachments.into_iter().map(|file| FileRow {
        name: file.file_name,
        media_type: file.content_type,
        bytes: file.content.len(),
    });
    frame::page(&LetterPage {
        frame,
        mark: Mark::of(summary.status),
        created: Moment::new(summary.created_at, now),
        sent: summary.sent_at.map(|at| Moment::new(at, now)),
        from: written(&mail.from),
        to: written(&message.to),
        reply_to: message.reply_to.as_ref().map(written),
        text: message.text,
        has_html: message.html.is_some(),
        width,
        headers: message.headers,
        attachments: files.collect(),
        may_leave: context.settings.mail_outlet.is_some(),
        is_captured: summary.status == MailStatus::Captured,
        summary,
    })
}

/// What the mail's status says of a release that was tried.
fn after_release(summary: &MailSummary) -> String {
    match summary.status {
        MailStatus::Sent => "The mail server took it.".to_owned(),
        MailStatus::InDoubt => {
            "The mail server's answer was lost, so it may have been sent. Look for its Message-ID there.".to_owned()
        }
        _ => format!("It was not sent, and stays in the mailbox: it is {}.", summary.status.as_str()),
    }
}

/// `GET /mail/{id}/html`: what the job wrote, as it wrote it.
pub(super) async fn html(
    State(context): State<Context>,
    Id(id): Id<MailId>,
    _: NoParameters,
) -> Result<Response, Problem> {
    let written = find_mail(&context, id).await?.mail.message.html;
    let written = written.ok_or_else(|| Problem::new(Code::NotFound, format!("the mail {id} has no HTML part")))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // A link's host is not looked up either before somebody follows it.
        (HeaderName::from_static("x-dns-prefetch-control"), HeaderValue::from_static("off")),
    ];
    Ok((headers, written).into_response())
}
