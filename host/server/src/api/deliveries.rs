//! Webhooks and what came in by them: listed, shown with its body, and taken in once more.
//! New deliveries come in by `webhooks`.

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::{DeliveryId, EventId, RunId, Timestamp};
use jobmill_engine::Handle;
use jobmill_store::{DeliveryFilter, DeliverySummary};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::List;
use crate::api::openapi::ProblemShape;
use crate::api::runs::{EmptyBody, take_work};
use crate::api::shapes::DeliveryIdShape;
use crate::body::OptionalJsonBody;
use crate::error::{Code, Problem};
use crate::path::Id;
use crate::query::{NoParameters, Parameters};
use crate::routes::{Routes, Rule};
use crate::webhooks::{find, understand};

/// The words for what became of a delivery.
pub(crate) const OUTCOMES: [&str; 4] = ["published", "suppressed", "ignored", "unmapped"];

#[derive(OpenApi)]
#[openapi(paths(endpoints, list, show, replay))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/webhooks", Rule::READ, endpoints)
        .get("/api/v1/webhooks/deliveries", Rule::READ, list)
        .get("/api/v1/webhooks/deliveries/{id}", Rule::READ, show)
        .post("/api/v1/webhooks/deliveries/{id}/replay", Rule::OPERATE, replay)
        .does(Action::WebhooksReplay)
        .described_by(Document::openapi)
}

/// A webhook that is set up.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
struct WebhookView {
    name: String,
    /// How its sender signs: `stripe` or `standard`.
    kind: &'static str,
    /// Where its sender delivers to, below the address of this server.
    path: String,
    /// Deliveries that were refused since the server started.
    refused: u64,
    /// When the last of them came in.
    refused_at: Option<Timestamp>,
    /// Why it was refused, which its sender is not told.
    refused_because: Option<String>,
}

/// Lists the webhooks that are set up, with what was refused at each since the server started.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "Webhooks", responses(
    (status = 200, description = "every webhook", body = List<WebhookView>),
))]
async fn endpoints(State(context): State<Context>, _: NoParameters) -> JsonResponse<List<WebhookView>> {
    let view = |endpoint: &jobmill_webhooks::Endpoint| {
        let refused = context.refusals.at(endpoint.name());
        let (refused_at, refused_because) = refused.last.unzip();
        WebhookView {
            name: endpoint.name().to_owned(),
            kind: endpoint.kind().as_str(),
            path: format!("/webhooks/{}", endpoint.name()),
            refused: refused.count,
            refused_at,
            refused_because,
        }
    };
    JsonResponse(List::whole(context.settings.webhooks.iter().map(view).collect()))
}

/// A webhook delivery, without its body.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryView {
    id: DeliveryId,
    /// The webhook that it came in by.
    endpoint: String,
    /// The sender's own id of it, the same when the sender tries again.
    sender_id: String,
    /// What it tells of, in the sender's words; empty where the body doesn't say.
    kind: String,
    received_at: Timestamp,
    /// `published`, `suppressed`, `ignored` or `unmapped`.
    outcome: &'static str,
    /// What is missing of one that is `unmapped`.
    reason: Option<String>,
    /// The event that it was published as.
    event_id: Option<EventId>,
    /// The runs of that event, as far as they are still kept.
    runs: Vec<RunId>,
    /// Where no more mail is sent to.
    addresses: Vec<String>,
    /// How often it was taken in again.
    replays: u32,
}

impl DeliveryView {
    async fn of(summary: DeliverySummary, handle: &Handle) -> Result<Self, Problem> {
        let outcome = summary.outcome.as_str();
        let (mut reason, mut event_id, mut runs, mut addresses) = (None, None, Vec::new(), Vec::new());
        match summary.outcome {
            DeliveryOutcome::Published { event: key } => match handle.query().event_by_key(key).await? {
                Some(event) => (event_id, runs) = (Some(event.reference.id), event.runs),
                // It was pruned since.
                None => event_id = Some(EventId::of(key)),
            },
            DeliveryOutcome::Suppressed { addresses: all } => addresses = all,
            DeliveryOutcome::Ignored => {}
            DeliveryOutcome::Unmapped { reason: missing } => reason = Some(missing),
        }
        let DeliverySummary { id, endpoint, sender_id, kind, received_at, replays, .. } = summary;
        Ok(Self { id, endpoint, sender_id, kind, received_at, outcome, reason, event_id, runs, addresses, replays })
    }
}

/// A webhook delivery, whole.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryWithBody)]
struct DeliveryDetailView {
    #[serde(flatten)]
    delivery: DeliveryView,
    /// The body as it was signed: a text, mostly of JSON.
    body: String,
}

/// Lists webhook deliveries, the newest first.
#[utoipa::path(get, path = "/api/v1/webhooks/deliveries", tag = "Webhooks", params(
    ("endpoint" = Option<String>, Query, description = "the webhook that they came in by"),
    ("outcome" = Option<String>, Query, description = "`published`, `suppressed`, `ignored` or `unmapped`"),
    ("cursor" = Option<DeliveryIdShape>, Query, description = "`next_cursor` of the page before"),
    ("limit" = Option<usize>, Query, description = "how many, from 1 to 200; 50 if absent"),
), responses((status = 200, description = "a page of deliveries", body = List<DeliveryView>)))]
async fn list(
    State(context): State<Context>,
    parameters: Parameters,
) -> Result<JsonResponse<List<DeliveryView>>, Problem> {
    let parameters = parameters.only(&["endpoint", "outcome", "cursor", "limit"])?;
    let filter = DeliveryFilter {
        endpoint: parameters.text("endpoint").map(str::to_owned),
        outcome: parameters.read("outcome", read_outcome)?,
    };
    let (after, limit) = (parameters.value("cursor")?, parameters.limit()?);
    let page = context.handle.query().deliveries(&filter, after, limit).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for summary in page.items {
        items.push(DeliveryView::of(summary, &context.handle).await?);
    }
    Ok(JsonResponse(List { items, next_cursor: page.next.map(|cursor| cursor.to_string()) }))
}

/// What may become of a delivery, by its word.
pub(crate) fn read_outcome(text: &str) -> Result<String, String> {
    if OUTCOMES.contains(&text) {
        return Ok(text.to_owned());
    }
    let shown = jobmill_core::limits::truncate(text, 80);
    Err(format!("{shown:?} is not what becomes of a delivery; one of {}", OUTCOMES.join(", ")))
}

/// A webhook delivery, whole.
pub(crate) async fn find_delivery(context: &Context, id: DeliveryId) -> Result<Delivery, Problem> {
    let delivery = context.handle.query().delivery(id).await?;
    delivery.ok_or_else(|| unknown(id))
}

fn unknown(id: DeliveryId) -> Problem {
    Problem::new(Code::UnknownDelivery, format!("there is no webhook delivery {id}"))
}

/// Shows a webhook delivery with its body.
#[utoipa::path(get, path = "/api/v1/webhooks/deliveries/{id}", tag = "Webhooks",
    params(("id" = DeliveryIdShape, Path, description = "the delivery")),
    responses((status = 200, description = "the delivery", body = DeliveryDetailView)))]
async fn show(
    State(context): State<Context>,
    Id(id): Id<DeliveryId>,
    _: NoParameters,
) -> Result<JsonResponse<DeliveryDetailView>, Problem> {
    let delivery = find_delivery(&context, id).await?;
    let view = DeliveryView::of(DeliverySummary::from(&delivery), &context.handle).await?;
    Ok(JsonResponse(DeliveryDetailView { delivery: view, body: delivery.body }))
}

/// Takes a webhook delivery in once more, as its webhook's map understands it now. What it started before is started again.
#[utoipa::path(post, path = "/api/v1/webhooks/deliveries/{id}/replay", tag = "Webhooks",
    params(("id" = DeliveryIdShape, Path, description = "the delivery")),
    responses(
        (status = 200, description = "the delivery as it is now", body = DeliveryView),
        (status = 409, description = "its webhook is not set up any more", body = ProblemShape, content_type = "application/problem+json"),
    ))]
async fn replay(
    State(context): State<Context>,
    Id(id): Id<DeliveryId>,
    _: NoParameters,
    OptionalJsonBody(EmptyBody {}): OptionalJsonBody<EmptyBody>,
) -> Result<JsonResponse<DeliveryView>, Problem> {
    let delivery = replay_delivery(&context, id).await?;
    Ok(JsonResponse(DeliveryView::of(DeliverySummary::from(&delivery), &context.handle).await?))
}

/// Takes a webhook delivery in once more; answers it as it is then.
pub(crate) async fn replay_delivery(context: &Context, id: DeliveryId) -> Result<Delivery, Problem> {
    take_work(&context.handle)?;
    let delivery = find_delivery(context, id).await?;
    let endpoint = find(context, &delivery.endpoint).ok_or_else(|| {
        let detail = format!(
            "nothing says any more what this delivery comes to: there is no [webhooks.{}] in the configuration",
            delivery.endpoint
        );
        Problem::new(Code::WebhookNotConfigured, detail)
    })?;
    let understand = |delivery: &Delivery| understand(endpoint, delivery);
    context.handle.replay(id, understand).await?.ok_or_else(|| unknown(id))?;
    find_delivery(context, id).await
}
