//! The e-mail log: what was sent, captured or refused, found by recipient, kind, status and run.
//! One mail is in `letter`; what is done with mails is in `actions`.

mod actions;
mod letter;

pub(super) use letter::written;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jobmill_core::mail::MailStatus;
use jobmill_core::{Timestamp, limits};
use jobmill_store::{MailFilter, MailSummary};

use crate::Context;
use crate::action::Action;
use crate::api::read_status;
use crate::error::Problem;
use crate::pages::frame::{self, Frame, Section};
use crate::pages::links::link;
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::query::Parameters;
use crate::routes::{Routes, Rule};

/// Every status, in the order in which a filter offers them.
const STATUSES: [MailStatus; 6] = [
    MailStatus::Sent,
    MailStatus::Captured,
    MailStatus::Sending,
    MailStatus::InDoubt,
    MailStatus::Failed,
    MailStatus::Suppressed,
];

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/mail", Rule::READ, list)
        .get("/mail/clear", Rule::READ, actions::ask_to_clear)
        .post("/mail/clear", Rule::OPERATE, actions::clear)
        .does(Action::MailClear)
        .post("/mail/faults", Rule::OPERATE, actions::fail_next)
        .does(Action::MailFail)
        .get("/mail/{id}", Rule::READ, letter::show)
        .get("/mail/{id}/html", Rule::READ, letter::html)
        .get("/mail/{id}/release", Rule::READ, actions::ask_to_release)
        .post("/mail/{id}/release", Rule::OPERATE, actions::release)
        .does(Action::MailRelease)
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage {
    frame: Frame,
    to: String,
    kind: String,
    run: String,
    statuses: Vec<Choice>,
    is_filtered: bool,
    mails: Vec<MailRow>,
    /// To the newest page, where this is an older one.
    newest: Option<String>,
    older: Option<String>,
    has_faults: bool,
}

/// A status that the filter offers.
struct Choice {
    word: &'static str,
    is_chosen: bool,
}

/// A line of the e-mail log.
struct MailRow {
    summary: MailSummary,
    created: Moment,
    mark: Mark,
}

/// How a mail's status looks: its word stands beside it.
struct Mark {
    word: &'static str,
    /// The class that colours it.
    colour: &'static str,
    icon: &'static str,
}

impl Mark {
    fn of(status: MailStatus) -> Self {
        let (colour, icon) = match status {
            MailStatus::Sent => ("completed", "✓"),
            MailStatus::Captured => ("completed", "▣"),
            MailStatus::Sending => ("running", "▶"),
            MailStatus::InDoubt => ("retryable", "?"),
            MailStatus::Suppressed => ("available", "⊘"),
            MailStatus::Failed => ("dead", "✕"),
        };
        Self { word: status.as_str(), colour, icon }
    }
}

impl MailRow {
    fn new(summary: MailSummary, now: Timestamp) -> Self {
        Self { created: Moment::new(summary.created_at, now), mark: Mark::of(summary.status), summary }
    }
}

/// `GET /mail`.
async fn list(State(context): State<Context>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["to", "kind", "status", "run", "cursor", "cleared", "failing"])?;
    let filter = MailFilter {
        to: parameters.text("to").map(str::to_owned),
        kind: parameters.text("kind").map(str::to_owned),
        status: parameters.read("status", read_status)?,
        run: parameters.value("run")?,
        ..MailFilter::default()
    };
    let after = parameters.value("cursor")?;
    let page = context.handle.query().mails(&filter, after, limits::PAGE_ITEMS_DEFAULT).await?;
    let notice = notice(&parameters)?;
    let frame = Frame::of(&context, visitor, Section::Mail, "Mail").await?.telling(notice);
    let address = |cursor: Option<String>| {
        let status = filter.status.map(|status| status.as_str().to_owned());
        let run = filter.run.map(|run| run.to_string());
        let (to, kind) = (filter.to.clone(), filter.kind.clone());
        link("/mail", &[("to", to), ("kind", kind), ("status", status), ("run", run), ("cursor", cursor)])
    };
    let now = frame.now;
    frame::page(&MailPage {
        frame,
        statuses: STATUSES.map(|it| Choice { word: it.as_str(), is_chosen: filter.status == Some(it) }).into(),
        is_filtered: filter != MailFilter::default(),
        mails: page.items.into_iter().map(|summary| MailRow::new(summary, now)).collect(),
        newest: after.map(|_| address(None)),
        older: page.next.map(|cursor| address(Some(cursor.to_string()))),
        has_faults: context.settings.faults.is_some(),
        run: filter.run.map(|run| run.to_string()).unwrap_or_default(),
        to: filter.to.unwrap_or_default(),
        kind: filter.kind.unwrap_or_default(),
    })
}

/// What came of the action that led here.
fn notice(parameters: &Parameters) -> Result<Option<String>, Problem> {
    let failing = parameters.value::<u32>("failing")?.map(|count| match count {
        0 => "No mail fails on demand any more.".to_owned(),
        1 => "The next mail fails.".to_owned(),
        count => format!("The next {count} mails fail."),
    });
    let cleared = parameters.value::<usize>("cleared")?.map(|count| match count {
        1 => "The log showed 1 mail and is empty now. Its run still shows it.".to_owned(),
        count => format!("The log showed {count} mails and is empty now. Their runs still show them."),
    });
    Ok(failing.or(cleared))
}
