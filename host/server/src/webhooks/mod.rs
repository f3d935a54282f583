//! `POST /webhooks/{endpoint}`: deliveries of other services, verified, understood and kept before they are answered.
//! How they are signed and what they come to is in `jobmill_webhooks`; lists of them are in `api`.

mod refusals;

pub(crate) use refusals::Refusals;

use axum::Json as JsonResponse;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use jobmill_core::delivery::Delivery;
use jobmill_core::{DeliveryId, EventId, RunId};
use jobmill_engine::{DeliveryMeaning, DeliveryRequest, EventRequest};
use jobmill_store::StoreError;
use jobmill_webhooks::{Endpoint, Mapped, document};
use serde::Serialize;

use crate::Context;
use crate::api::take_work;
use crate::body::RawBody;
use crate::error::{Code, Problem};
use crate::routes::{Routes, Rule};

/// Seconds after which a disk that had no room may have some. Senders try again for days.
const ROOM_AFTER: u64 = 60;

/// Where deliveries come in.
pub(crate) fn routes() -> Routes {
    Routes::new().post("/webhooks/{endpoint}", Rule::Signed, receive)
}

/// What became of a delivery, for its sender.
#[derive(Serialize)]
struct ReceivedView {
    delivery: DeliveryId,
    /// It came in before, and nothing was done.
    duplicate: bool,
    runs: Vec<RunId>,
}

async fn receive(
    State(context): State<Context>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<JsonResponse<ReceivedView>, Problem> {
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    let Some(endpoint) = find(&context, &name) else {
        // Said as for a bad signature, so that nobody finds names out by trying.
        tracing::debug!("a delivery is refused: there is no webhook of this name");
        return Err(refusal());
    };
    let now = context.handle.now();
    let header = |name: &str| headers.get(name).map(axum::http::HeaderValue::as_bytes);
    let verified = endpoint.verify(header, &body, now).map_err(|refused| {
        tracing::debug!(webhook = endpoint.name(), reason = refused.reason(), "a delivery is refused");
        context.refusals.add(endpoint.name(), now, refused.reason());
        refusal()
    })?;
    // Before the first catalog no job would be known to listen, and what is kept then would start nothing.
    take_work(&context.handle)?;
    let meaning = meaning(endpoint.map(&verified.kind, &verified.document), &verified.sender_id);
    let request = DeliveryRequest {
        endpoint: name,
        sender_id: verified.sender_id,
        kind: verified.kind,
        body: verified.body,
        meaning,
    };
    let received = context.handle.receive(request).await.map_err(not_taken)?;
    Ok(JsonResponse(ReceivedView { delivery: received.id, duplicate: received.is_repeat, runs: received.runs }))
}

/// The webhook of this name; none when it is not configured.
pub(crate) fn find<'context>(context: &'context Context, name: &str) -> Option<&'context Endpoint> {
    context.settings.webhooks.iter().find(|endpoint| endpoint.name() == name)
}

/// The one text for every reason, which tells nothing to whoever tries.
fn refusal() -> Problem {
    let detail = "this is no delivery of a webhook that is set up here: its signature can't be accepted";
    Problem::new(Code::SignatureRefused, detail)
}

/// What a delivery that was kept comes to now.
pub(crate) fn understand(endpoint: &Endpoint, delivery: &Delivery) -> DeliveryMeaning {
    meaning(endpoint.map(&delivery.kind, &document(delivery.body.as_bytes())), &delivery.sender_id)
}

/// An event without an id of its own has the sender's, under which it is published once.
fn meaning(mapped: Mapped, sender_id: &str) -> DeliveryMeaning {
    match mapped {
        Mapped::Event { name, id, data } => {
            let id = id.as_deref().unwrap_or(sender_id).parse::<EventId>().ok();
            DeliveryMeaning::Event(EventRequest { id, ..EventRequest::new(name, data) })
        }
        Mapped::Suppress { addresses, reason } => DeliveryMeaning::Suppress { addresses, reason },
        Mapped::Ignored => DeliveryMeaning::Ignored,
        Mapped::Unmapped { reason } => DeliveryMeaning::Unmapped { reason },
    }
}

/// The sender is to try again, whatever it is that the store lacks.
fn not_taken(error: StoreError) -> Problem {
    match error {
        StoreError::Full(_) => Problem::new(Code::StoreUnavailable, error.to_string()).retry_after(ROOM_AFTER),
        error => error.into(),
    }
}
