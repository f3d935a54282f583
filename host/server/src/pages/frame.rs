//! What every page has around it: navigation with counts, alarms, who looks, and what came of the last action.
//! It knows no page's content.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jobmill_core::{RunState, Timestamp};

use crate::Context;
use crate::error::{Code, Problem};
use crate::pages::page_headers;
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::settings::Alarm;

/// The places that the navigation leads to, in its order: word, path, key after `g`.
const SECTIONS: [(Section, &str, &str); 10] = [
    (Section::Overview, "Overview", "/"),
    (Section::Jobs, "Jobs", "/jobs"),
    (Section::Runs, "Runs", "/runs"),
    (Section::Dead, "Dead letters", "/dead"),
    (Section::Queues, "Queues", "/queues"),
    (Section::Schedule, "Schedule", "/schedule"),
    (Section::Mail, "Mail", "/mail"),
    (Section::Events, "Events", "/events"),
    (Section::Webhooks, "Webhooks", "/deliveries"),
    (Section::System, "System", "/system"),
];

/// A part of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Jobs,
    Runs,
    Dead,
    Queues,
    Schedule,
    Mail,
    Events,
    Webhooks,
    System,
    /// A page that belongs to none.
    None,
}

/// A link of the navigation.
pub(super) struct Link {
    pub(super) word: &'static str,
    pub(super) path: &'static str,
    pub(super) is_here: bool,
    /// Told beside the word; none for no number.
    pub(super) count: Option<usize>,
}

/// What is around a page's content.
pub(super) struct Frame {
    /// Of the page, in the browser's tab.
    pub(super) title: String,
    pub(super) links: Vec<Link>,
    pub(super) dead: usize,
    pub(super) running: usize,
    pub(super) ready: bool,
    pub(super) version: &'static str,
    pub(super) alarms: Vec<(Alarm, Moment)>,
    /// Who looks, what they may do, and the key of their forms.
    pub(super) visitor: Visitor,
    /// What came of the action that led here.
    pub(super) notice: Option<String>,
    /// The moment that the page shows.
    pub(super) now: Timestamp,
    /// Whether what changes while it is open shows.
    pub(super) live: bool,
}

impl Frame {
    /// Around a page of a section.
    pub(super) async fn of(
        context: &Context,
        visitor: Visitor,
        section: Section,
        title: impl Into<String>,
    ) -> Result<Self, Problem> {
        let handle = &context.handle;
        let now = handle.now();
        let counts = handle.query().counts(None, now).await?;
        let (dead, running) = (counts.of(RunState::Dead), counts.of(RunState::Running));
        let links = SECTIONS.into_iter().map(|(place, word, path)| Link {
            word,
            path,
            is_here: place == section,
            count: match place {
                Section::Dead => Some(dead).filter(|count| *count > 0),
                Section::Runs => Some(running).filter(|count| *count > 0),
                _ => None,
            },
        });
        let alarms = (context.settings.alarms)(now).into_iter();
        Ok(Self {
            title: title.into(),
            links: links.collect(),
            dead,
            running,
            ready: handle.is_ready(),
            version: env!("CARGO_PKG_VERSION"),
            alarms: alarms.map(|alarm| (Moment::new(alarm.since, now), alarm)).map(|(since, it)| (it, since)).collect(),
            visitor,
            notice: None,
            now,
            live: section != Section::None,
        })
    }

    /// The picture in the browser's tab: what wants a look goes before what goes on.
    pub(super) fn icon(&self) -> &'static str {
        match (self.dead, self.running) {
            (0, 0) => "plain",
            (0, _) => "running",
            _ => "dead",
        }
    }

    /// The same, saying what came of the last action.
    pub(super) fn telling(self, notice: Option<String>) -> Self {
        Self { notice, ..self }
    }
}

/// A page as it is sent.
pub(super) fn page(template: &impl Template) -> Result<Response, Problem> {
    page_with(StatusCode::OK, template)
}

/// The same with another status.
pub(super) fn page_with(status: StatusCode, template: &impl Template) -> Result<Response, Problem> {
    let text = template.render().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok((status, page_headers(), text).into_response())
}
