//! Webhooks and what came in by them: what became of each delivery and why, its body, and taking it in once more.
//! What a delivery comes to is decided by its webhook's map.

use askama::Template;
use axum::extract::State;
use axum::response::{Redirect, Response};
use jobmill_core::delivery::DeliveryOutcome;
use jobmill_core::{DeliveryId, EventKey, Json, RunId, Timestamp, limits};
use jobmill_store::{DeliveryFilter, DeliverySummary};

use crate::Context;
use crate::action::Action;
use crate::api::{OUTCOMES, find_delivery, read_outcome, replay_delivery};
use crate::error::Problem;
use crate::pages::form::Posted;
use crate::pages::frame::{self, Frame, Section};
use crate::pages::links::link;
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::path::Id;
use crate::query::{NoParameters, Parameters};
use crate::routes::{Routes, Rule};

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/deliveries", Rule::READ, list)
        .get("/deliveries/{id}", Rule::READ, show)
        .post("/deliveries/{id}/replay", Rule::OPERATE, replay)
        .does(Action::WebhooksReplay)
}

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    frame: Frame,
    webhooks: Vec<WebhookRow>,
    endpoint: String,
    outcomes: Vec<(&'static str, bool)>,
    is_filtered: bool,
    rows: Vec<DeliveryRow>,
    /// To the newest page, where this is an older one.
    newest: Option<String>,
    older: Option<String>,
}

/// A webhook that is set up, with what was refused at it since the server started.
struct WebhookRow {
    name: String,
    kind: &'static str,
    refused: u64,
    last: Option<(Moment, String)>,
    deliveries: String,
}

/// A delivery of the list.
struct DeliveryRow {
    summary: DeliverySummary,
    received: Moment,
    outcome: Outcome,
}

/// What became of a delivery, as the page tells it.
struct Outcome {
    word: &'static str,
    /// The class that colours it.
    colour: &'static str,
    icon: &'static str,
    /// What is missing of one that is unmapped.
    reason: Option<String>,
    event: Option<EventKey>,
    /// Where no more mail is sent to: a link to the mails, and the address.
    addresses: Vec<(String, String)>,
}

impl From<DeliveryOutcome> for Outcome {
    fn from(outcome: DeliveryOutcome) -> Self {
        let word = outcome.as_str();
        let (colour, icon) = match outcome {
            DeliveryOutcome::Published { .. } => ("completed", "✓"),
            DeliveryOutcome::Suppressed { .. } => ("completed", "⊘"),
            DeliveryOutcome::Ignored => ("available", "○"),
            DeliveryOutcome::Unmapped { .. } => ("retryable", "?"),
        };
        let mut told = Self { word, colour, icon, reason: None, event: None, addresses: Vec::new() };
        match outcome {
            DeliveryOutcome::Published { event } => told.event = Some(event),
            DeliveryOutcome::Suppressed { addresses } => {
                let linked = |address: String| (link("/mail", &[("to", Some(address.clone()))]), address);
                told.addresses = addresses.into_iter().map(linked).collect();
            }
            DeliveryOutcome::Ignored => {}
            DeliveryOutcome::Unmapped { reason } => told.reason = Some(reason),
        }
        told
    }
}

impl DeliveryRow {
    fn new(summary: DeliverySummary, now: Timestamp) -> Self {
        let (received, outcome) = (Moment::new(summary.received_at, now), summary.outcome.clone().into());
        Self { summary, received, outcome }
    }
}

fn webhooks(context: &Context, now: Timestamp) -> Vec<WebhookRow> {
    let row = |endpoint: &jobmill_webhooks::Endpoint| {
        let refused = context.refusals.at(endpoint.name());
        WebhookRow {
            name: endpoint.name().to_owned(),
            kind: endpoint.kind().as_str(),
            refused: refused.count,
            last: refused.last.map(|(at, reason)| (Moment::new(at, now), reason)),
            deliveries: link("/deliveries", &[("endpoint", Some(endpoint.name().to_owned()))]),
        }
    };
    context.settings.webhooks.iter().map(row).collect()
}

/// `GET /deliveries`.
async fn list(State(context): State<Context>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["endpoint", "outcome", "cursor"])?;
    let filter = DeliveryFilter {
        endpoint: parameters.text("endpoint").map(str::to_owned),
        outcome: parameters.read("outcome", read_outcome)?,
    };
    let after = parameters.value("cursor")?;
    let page = context.handle.query().deliveries(&filter, after, limits::PAGE_ITEMS_DEFAULT).await?;
    let frame = Frame::of(&context, visitor, Section::Webhooks, "Webhooks").await?;
    let address = |cursor: Option<String>| {
        let DeliveryFilter { endpoint, outcome } = filter.clone();
        link("/deliveries", &[("endpoint", endpoint), ("outcome", outcome), ("cursor", cursor)])
    };
    let now = frame.now;
    frame::page(&DeliveriesPage {
        frame,
        webhooks: webhooks(&context, now),
        outcomes: OUTCOMES.map(|word| (word, filter.outcome.as_deref() == Some(word))).into(),
        is_filtered: filter != DeliveryFilter::default(),
        rows: page.items.into_iter().map(|summary| DeliveryRow::new(summary, now)).collect(),
        newest: after.map(|_| address(None)),
        older: page.next.map(|cursor| address(Some(cursor.to_string()))),
        endpoint: filter.endpoint.unwrap_or_default(),
    })
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    frame: Frame,
    delivery: DeliverySummary,
    same_endpoint: String,
    received: Moment,
    outcome: Outcome,
    /// The runs of its event, as far as they are still kept; none where the event is not.
    runs: Option<Vec<RunId>>,
    is_set_up: bool,
    body: String,
    is_json: bool,
}

/// `GET /deliveries/{id}`.
async fn show(
    State(context): State<Context>,
    visitor: Visitor,
    Id(id): Id<DeliveryId>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let parameters = parameters.only(&["replayed"])?;
    let replayed = parameters.value::<u32>("replayed")?;
    let delivery = find_delivery(&context, id).await?;
    let summary = DeliverySummary::from(&delivery);
    let outcome = Outcome::from(delivery.outcome);
    let notice = replayed.map(|_| format!("The delivery was taken in once more: it is {} now.", outcome.word));
    let frame = Frame::of(&context, visitor, Section::Webhooks, "Webhook delivery").await?.telling(notice);
    let event = match outcome.event {
        Some(key) => context.handle.query().event_by_key(key).await?,
        None => None,
    };
    frame::page(&DeliveryPage {
        same_endpoint: link("/deliveries", &[("endpoint", Some(summary.endpoint.clone()))]),
        received: Moment::new(summary.received_at, frame.now),
        frame,
        is_set_up: context.settings.webhooks.iter().any(|it| it.name() == summary.endpoint),
        delivery: summary,
        outcome,
        runs: event.map(|event| event.runs),
        is_json: Json::parse(&delivery.body).is_ok(),
        body: delivery.body,
    })
}

/// `POST /deliveries/{id}/replay`.
async fn replay(
    State(context): State<Context>,
    Id(id): Id<DeliveryId>,
    _: NoParameters,
    _: Posted,
) -> Result<Redirect, Problem> {
    let replays = replay_delivery(&context, id).await?.replays;
    Ok(Redirect::to(&format!("/deliveries/{id}?replayed={replays}")))
}
