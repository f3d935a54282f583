//! The addresses that get no mail: listed, added to, and lifted.
//! Who else adds to them, a bounce or a webhook, is told beside each.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jobmill_core::suppression::{Suppression, SuppressionSource};
use jobmill_core::{Timestamp, limits};
use jobmill_store::SuppressionCursor;

use crate::Context;
use crate::action::Action;
use crate::api::{suppress_address, unknown_suppression};
use crate::error::{Code, Problem};
use crate::pages::form::Posted;
use crate::pages::frame::{self, Frame, Section};
use crate::pages::links::link;
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::query::{NoParameters, Parameters};
use crate::routes::{Routes, Rule};

/// Who did something when no token says.
const UNNAMED: &str = "the dashboard";

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/suppressions", Rule::READ, show)
        .post("/suppressions", Rule::OPERATE, add)
        .does(Action::MailSuppress)
        .post("/suppressions/lift", Rule::OPERATE, lift)
        .does(Action::MailLift)
}

#[derive(Template)]
#[template(path = "suppressions.html")]
struct SuppressionsPage {
    frame: Frame,
    rows: Vec<SuppressionRow>,
    /// To the newest page, where this is an older one.
    newest: Option<String>,
    older: Option<String>,
    /// What was typed, and why it was refused.
    address: String,
    reason: String,
    refusal: Option<String>,
}

/// An address that gets no mail.
struct SuppressionRow {
    suppression: Suppression,
    since: Moment,
    source: String,
}

impl SuppressionRow {
    fn new(suppression: Suppression, now: Timestamp) -> Self {
        let source = match &suppression.source {
            SuppressionSource::Operator(by) => format!("operator: {by}"),
            SuppressionSource::Bounce => "bounce: the mail server knows no such mailbox".to_owned(),
            SuppressionSource::Webhook(by) => format!("webhook: {by}"),
        };
        Self { since: Moment::new(suppression.at, now), suppression, source }
    }

    /// Where all mails to the address are.
    fn mails(&self) -> String {
        link("/mail", &[("to", self.suppression.address.clone())])
    }
}

/// What was typed into the form, and why it was refused.
#[derive(Default)]
struct Typed {
    address: String,
    reason: String,
    refusal: Option<String>,
}

async fn page(
    context: &Context,
    visitor: Visitor,
    after: Option<SuppressionCursor>,
    notice: Option<String>,
    typed: Typed,
) -> Result<SuppressionsPage, Problem> {
    let page = context.handle.query().suppressions(after, limits::PAGE_ITEMS_DEFAULT).await?;
    let frame = Frame::of(context, visitor, Section::Mail, "Suppressed addresses").await?.telling(notice);
    let now = frame.now;
    Ok(SuppressionsPage {
        frame,
        rows: page.items.into_iter().map(|suppression| SuppressionRow::new(suppression, now)).collect(),
        newest: after.map(|_| "/suppressions".to_owned()),
        older: page.next.map(|cursor| link("/suppressions", &[("cursor", Some(cursor.to_string()))])),
        address: typed.address,
        reason: typed.reason,
        refusal: typed.refusal,
    })
}

/// `GET /suppressions`.
async fn show(State(context): State<Context>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["cursor", "added", "lifted"])?;
    let added = parameters.value::<u32>("added")?.map(|new| match new {
        0 => "The address got no mail before either; what was said of it stays.",
        _ => "The address gets no mail from now on.",
    });
    let lifted = parameters.value::<u32>("lifted")?.map(|_| "The address gets mail again.");
    let notice = added.or(lifted).map(str::to_owned);
    frame::page(&page(&context, visitor, parameters.value("cursor")?, notice, Typed::default()).await?)
}

/// `POST /suppressions`.
async fn add(State(context): State<Context>, _: NoParameters, posted: Posted) -> Result<Response, Problem> {
    let text = |name| posted.text(name).map(|text| text.trim().to_owned());
    let (address, reason) = (text("address").unwrap_or_default(), text("reason"));
    let by = posted.visitor.name.clone().unwrap_or_else(|| UNNAMED.to_owned());
    posted.audited.is_to(&address);
    if let Some(reason) = &reason {
        posted.audited.tells(reason);
    }
    match suppress_address(&context, &address, reason.clone(), by).await {
        Ok(suppressed) => {
            let address = format!("/suppressions?added={}", u8::from(suppressed.is_new));
            Ok(Redirect::to(&address).into_response())
        }
        Err(problem) if problem.status() == StatusCode::BAD_REQUEST => {
            posted.audited.is_refused(problem.code());
            let refusal = Some(problem.detail().to_owned());
            let typed = Typed { address, reason: reason.unwrap_or_default(), refusal };
            let page = page(&context, posted.visitor, None, None, typed).await?;
            frame::page_with(StatusCode::BAD_REQUEST, &page)
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /suppressions/lift`.
async fn lift(State(context): State<Context>, _: NoParameters, posted: Posted) -> Result<Redirect, Problem> {
    let missing = || Problem::member(Code::MissingMember, "/address", "is required");
    let address = posted.text("address").ok_or_else(missing)?;
    posted.audited.is_to(address);
    let lifted = context.handle.lift_suppression(address.to_owned()).await?;
    lifted.ok_or_else(|| unknown_suppression(limits::truncate(address, limits::KEY_BYTES)))?;
    Ok(Redirect::to("/suppressions?lifted=1"))
}
