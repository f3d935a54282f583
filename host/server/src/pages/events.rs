//! Events: what came in, under which name, and the runs that each started.
//! New ones come in by the API and by webhooks.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jobmill_core::{EventId, EventKey, JobId, RunId, RunState, Timestamp, limits};
use jobmill_engine::Catalog;
use jobmill_store::{EventFilter, EventRecord, RunFilter};

use crate::Context;
use crate::error::{Code, Problem};
use crate::pages::frame::{self, Frame, Section};
use crate::pages::links::link;
use crate::pages::visitor::Visitor;
use crate::pages::words::{Moment, icon, note};
use crate::path::Id;
use crate::query::{NoParameters, Parameters};
use crate::routes::{Routes, Rule};

/// Runs that a row of the list links to; the event's own page shows the others.
const RUNS_SHOWN: usize = 3;

pub(super) fn routes() -> Routes {
    Routes::new().get("/events", Rule::READ, list).get("/events/{id}", Rule::READ, show)
}

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    frame: Frame,
    name: String,
    rows: Vec<EventRow>,
    /// To the newest page, where this is an older one.
    newest: Option<String>,
    older: Option<String>,
}

/// An event of the list.
struct EventRow {
    key: EventKey,
    id: EventId,
    name: String,
    received: Moment,
    runs: Vec<RunId>,
    /// Runs beyond those that are linked.
    more: usize,
    listeners: Vec<JobId>,
}

impl EventRow {
    fn new(event: EventRecord, catalog: &Catalog, now: Timestamp) -> Self {
        let (reference, mut runs) = (event.reference, event.runs);
        let more = runs.len().saturating_sub(RUNS_SHOWN);
        runs.truncate(RUNS_SHOWN);
        Self {
            key: reference.key,
            id: reference.id,
            listeners: listeners(catalog, &reference.name),
            name: reference.name.to_string(),
            received: Moment::new(event.received_at, now),
            runs,
            more,
        }
    }
}

/// The jobs that an event of this name would start now.
fn listeners(catalog: &Catalog, name: &str) -> Vec<JobId> {
    let listening = catalog.all_serving().filter(|loaded| loaded.job.listens_to(name));
    listening.map(|loaded| loaded.job.id.clone()).collect()
}

/// `GET /events`.
async fn list(State(context): State<Context>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["name", "cursor"])?;
    let filter = EventFilter { name: parameters.text("name").map(str::to_owned), ..EventFilter::default() };
    let after = parameters.value::<EventKey>("cursor")?;
    let page = context.handle.query().events(&filter, after, limits::PAGE_ITEMS_DEFAULT).await?;
    let frame = Frame::of(&context, visitor, Section::Events, "Events").await?;
    let address = |cursor: Option<String>| link("/events", &[("name", filter.name.clone()), ("cursor", cursor)]);
    let (now, catalog) = (frame.now, context.handle.catalog());
    frame::page(&EventsPage {
        frame,
        rows: page.items.into_iter().map(|event| EventRow::new(event, &catalog, now)).collect(),
        newest: after.map(|_| address(None)),
        older: page.next.map(|cursor| address(Some(cursor.to_string()))),
        name: filter.name.unwrap_or_default(),
    })
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    frame: Frame,
    key: EventKey,
    id: EventId,
    /// Its publisher gave it one; else the id says the key.
    has_own_id: bool,
    name: String,
    same_name: String,
    all_runs: String,
    happened: Moment,
    received: Moment,
    data: String,
    runs: Vec<RunRow>,
    /// Runs beyond a page of them.
    more: usize,
    listeners: Vec<JobId>,
}

/// A run that an event started.
struct RunRow {
    id: RunId,
    job: JobId,
    state: RunState,
    icon: &'static str,
    note: String,
}

/// `GET /events/{id}`, by the event's key or the id that its publisher gave it.
async fn show(
    State(context): State<Context>,
    visitor: Visitor,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<Response, Problem> {
    let query = context.handle.query();
    let event = query.event(&id).await?;
    let unknown = || Problem::new(Code::UnknownEvent, format!("there is no event {:?}", id.as_str()));
    let EventRecord { reference, data, received_at, runs: mut ids } = event.ok_or_else(unknown)?;
    let title = format!("Event {}", reference.name);
    let frame = Frame::of(&context, visitor, Section::Events, title).await?;
    let now = frame.now;
    let more = ids.len().saturating_sub(limits::PAGE_ITEMS);
    ids.truncate(limits::PAGE_ITEMS);
    let filter = RunFilter { ids: Some(ids), ..RunFilter::default() };
    let runs = query.runs(&filter, None, limits::PAGE_ITEMS, now).await?.items.into_iter().map(|run| {
        let (head, state) = (&run.head, run.head.state_at(now));
        RunRow { id: head.id, job: head.job.clone(), state, icon: icon(state), note: note(head, now) }
    });
    frame::page(&EventPage {
        frame,
        key: reference.key,
        has_own_id: reference.id.key() != Some(reference.key),
        all_runs: link("/runs", &[("event", Some(reference.id.to_string()))]),
        id: reference.id,
        same_name: link("/events", &[("name", Some(reference.name.to_string()))]),
        listeners: listeners(&context.handle.catalog(), &reference.name),
        name: reference.name.to_string(),
        happened: Moment::new(reference.ts, now),
        received: Moment::new(received_at, now),
        data: data.as_str().to_owned(),
        runs: runs.collect(),
        more,
    })
}
