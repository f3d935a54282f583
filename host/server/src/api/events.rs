//! Events: published under a name, all of a request or none, and read back with the runs that they started.
//! Which jobs listen is the engine's business.

use std::fmt;

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use jobmill_core::job::check_event_name;
use jobmill_core::{EventId, EventKey, Json, RunId, Timestamp, limits};
use jobmill_engine::EventRequest;
use jobmill_store::{EventFilter, EventRecord};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::api::List;
use crate::api::openapi::ProblemShape;
use crate::api::runs::take_work;
use crate::api::shapes::{EventIdShape, EventKeyShape};
use crate::authentication::Caller;
use crate::body::{JsonText, parse};
use crate::error::{Code, Problem};
use crate::path::Id;
use crate::query::{NoParameters, Parameters};
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(publish, list, show))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .post("/api/v1/events", Rule::ENQUEUE, publish)
        .get("/api/v1/events", Rule::READ, list)
        .get("/api/v1/events/{id}", Rule::READ, show)
        .described_by(Document::openapi)
}

/// An event to publish.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewEvent)]
#[serde(deny_unknown_fields)]
struct EventBody {
    /// Its name, which jobs listen to.
    #[schema(examples("email/welcome"))]
    name: String,
    /// The payload of the runs that it starts.
    data: Json,
    /// Under which it is published once within the time that ids are remembered.
    id: Option<EventId>,
    /// When it happened; a time to come delays its runs until then.
    #[serde(default, deserialize_with = "optional_time")]
    #[schema(value_type = Option<EventTimeShape>)]
    ts: Option<Timestamp>,
}

/// One event or many, as the OpenAPI document describes the body.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewEvents)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never made")]
enum EventsShape {
    /// One event.
    One(EventBody),
    /// Events that are published together or not at all.
    Many(Vec<EventBody>),
}

/// A point in time, as a text or as milliseconds since 1970.
#[derive(Serialize, ToSchema)]
#[schema(as = EventTime)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never made")]
enum EventTimeShape {
    /// RFC 3339.
    Text(Timestamp),
    /// Milliseconds since the Unix epoch.
    Millis(u64),
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

/// What became of the events of a request, in their order.
#[derive(Serialize, ToSchema)]
#[schema(as = PublishedEvents)]
struct PublishedView {
    events: Vec<PublishedEvent>,
}

/// An event that is published, now or before.
#[derive(Serialize, ToSchema)]
struct PublishedEvent {
    id: EventId,
    /// The runs that it started.
    runs: Vec<RunId>,
}

/// Publishes events, all of a request or none. Once this is answered, they and their runs are on disk.
#[utoipa::path(
    post,
    path = "/api/v1/events",
    tag = "Events",
    request_body = EventsShape,
    responses(
        (status = 202, description = "the events with the runs that they started, durable", body = PublishedView),
        (status = 422, description = "the data of one does not fit the schema of a job that listens", body = ProblemShape, content_type = "application/problem+json"),
    )
)]
async fn publish(
    State(context): State<Context>,
    caller: Caller,
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
    let max_waiting = caller.max_waiting();
    let requests = bodies.into_iter().map(|EventBody { name, data, id, ts }| EventRequest {
        id,
        ts,
        max_waiting,
        ..EventRequest::new(name, data)
    });
    let published = context.handle.publish(requests.collect()).await?;
    let events = published.into_iter().map(|event| PublishedEvent { id: event.id, runs: event.runs });
    Ok((StatusCode::ACCEPTED, JsonResponse(PublishedView { events: events.collect() })))
}

/// An event without its data.
#[derive(Serialize, ToSchema)]
#[schema(as = EventSummary)]
struct EventSummaryView {
    id: EventId,
    /// Under which it is kept, whatever id its publisher gave it.
    key: EventKey,
    name: String,
    /// When it happened, as its publisher says.
    ts: Timestamp,
    /// When it was recorded.
    received_at: Timestamp,
    /// The runs that it started.
    runs: Vec<RunId>,
}

/// An event with its data.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
struct EventView {
    #[serde(flatten)]
    summary: EventSummaryView,
    data: Json,
}

impl From<EventRecord> for EventSummaryView {
    fn from(event: EventRecord) -> Self {
        let reference = event.reference;
        Self {
            id: reference.id,
            key: reference.key,
            name: reference.name.to_string(),
            ts: reference.ts,
            received_at: event.received_at,
            runs: event.runs,
        }
    }
}

/// Lists events, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "Events",
    params(
        ("name" = Option<String>, Query, description = "only events of this name"),
        ("since" = Option<Timestamp>, Query, description = "only events recorded since then"),
        ("until" = Option<Timestamp>, Query, description = "only events recorded before then"),
        ("cursor" = Option<EventKeyShape>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "items of the page, 1 to 200; 50 if absent"),
    ),
    responses(
        (status = 200, description = "a page of events, without their data", body = List<EventSummaryView>),
    )
)]
async fn list(
    State(context): State<Context>,
    parameters: Parameters,
) -> Result<JsonResponse<List<EventSummaryView>>, Problem> {
    let parameters = parameters.only(&["name", "since", "until", "cursor", "limit"])?;
    let filter = EventFilter {
        name: parameters.text("name").map(str::to_owned),
        since: parameters.value("since")?,
        until: parameters.value("until")?,
    };
    let (after, limit) = (parameters.value::<EventKey>("cursor")?, parameters.limit()?);
    let page = context.handle.query().events(&filter, after, limit).await?;
    Ok(JsonResponse(List::page(page, EventSummaryView::from)))
}

/// Shows an event with its data and the runs that it started, by the id that its publisher gave it or its key.
#[utoipa::path(
    get,
    path = "/api/v1/events/{id}",
    tag = "Events",
    params(
        ("id" = EventIdShape, Path, description = "the event"),
    ),
    responses(
        (status = 200, description = "the newest event with this id", body = EventView),
    )
)]
async fn show(
    State(context): State<Context>,
    Id(id): Id<EventId>,
    _: NoParameters,
) -> Result<JsonResponse<EventView>, Problem> {
    let event = context.handle.query().event(&id).await?;
    let event =
        event.ok_or_else(|| Problem::new(Code::UnknownEvent, format!("there is no event {:?}", id.as_str())))?;
    let data = event.data.clone();
    Ok(JsonResponse(EventView { summary: event.into(), data }))
}
