//! Events: published under a name, all of a request or none, and read back with the runs that they started.
//! Which jobs listen is the engine's business.

use std::fmt;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json as JsonResponse, Router};
use jobmill_core::job::check_event_name;
use jobmill_core::{EventId, Json, RunId, Timestamp, limits};
use jobmill_engine::EventRequest;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Context;
use crate::api::runs::take_work;
use crate::body::{JsonText, parse};
use crate::error::{Code, Problem};
use crate::path::Id;
use crate::query::NoParameters;

pub(super) fn routes() -> Router<Context> {
    Router::new().route("/api/v1/events", post(publish)).route("/api/v1/events/{id}", get(show))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventBody {
    name: String,
    data: Json,
    id: Option<EventId>,
    #[serde(default, deserialize_with = "optional_time")]
    ts: Option<Timestamp>,
}

/// RFC 3339, or milliseconds since the Unix epoch as other event services send them.
fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    struct Time;

    impl Visitor<'_> for Time {
        type Value = Option<Timestamp>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an RFC 3339 time or milliseconds since 1970")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(Some).map_err(E::custom)
        }

        fn visit_u64<E: Error>(self, millis: u64) -> Result<Self::Value, E> {
            Ok(Some(Timestamp::from_millis(millis)))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Time)
}

#[derive(Serialize)]
struct PublishedView {
    events: Vec<PublishedEvent>,
}

#[derive(Serialize)]
struct PublishedEvent {
    id: EventId,
    runs: Vec<RunId>,
}

async fn publish(
    State(context): State<Context>,
    _: NoParameters,
    JsonText(text): JsonText,
) -> Result<(StatusCode, JsonResponse<PublishedView>), Problem> {
    take_work(&context.handle)?;
    let many = text.trim_start().starts_with('[');
    let bodies: Vec<EventBody> = if many { parse(&text)? } else { vec![parse(&text)?] };
    if bodies.len() > limits::EVENTS_PER_REQUEST {
        let detail = format!("a request has at most {} events; send them in parts", limits::EVENTS_PER_REQUEST);
        return Err(Problem::new(Code::InvalidMember, detail));
    }
    for (position, body) in bodies.iter().enumerate() {
        let pointer = if many { format!("/{position}/name") } else { "/name".to_owned() };
        check_event_name(&body.name)
            .map_err(|reason| Problem::invalid_member(&pointer, format!("is refused: {reason}")))?;
    }
    let requests =
        bodies.into_iter().map(|body| EventRequest { name: body.name, data: body.data, id: body.id, ts: body.ts });
    let published = context.handle.publish(requests.collect()).await?;
    let events = published.into_iter().map(|event| PublishedEvent { id: event.id, runs: event.runs });
    Ok((StatusCode::ACCEPTED, JsonResponse(PublishedView { events: events.collect() })))
}

#[derive(Serialize)]
struct EventView {
    id: EventId,
    name: String,
    data: Json,
    ts: Timestamp,
    received_at: Timestamp,
    runs: Vec<RunId>,
}

async fn show(
    State(context): State<Context>,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<JsonResponse<EventView>, Problem> {
    let event = context.handle.query().event(&id).await?;
    let event =
        event.ok_or_else(|| Problem::new(Code::UnknownEvent, format!("there is no event {:?}", id.as_str())))?;
    Ok(JsonResponse(EventView {
        id: event.reference.id,
        name: event.reference.name,
        data: event.data,
        ts: event.reference.ts,
        received_at: event.received_at,
        runs: event.runs,
    }))
}
