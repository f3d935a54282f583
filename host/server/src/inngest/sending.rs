//! `POST /e/{key}`: what `inngest.send()` of the SDKs does, all of a request in one commit.
//! The key is checked before it comes here.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jobmill_core::{EventId, limits};
use jobmill_engine::{EnqueueError, EventRequest};
use serde_json::json;

use super::answer::without_key;
use super::seed::Seed;
use super::wire::Batch;
use crate::Context;
use crate::api::take_work;
use crate::authentication::Caller;
use crate::body::AnyText;
use crate::error::{Code, Problem};

/// Bytes of the text that says what is wrong with an event's data.
const ERROR_BYTES: usize = 1_000;

/// Takes the events of a request, all or none. The status in the body is what the SDKs go by.
pub(super) async fn send(
    State(context): State<Context>,
    caller: Caller,
    headers: HeaderMap,
    AnyText(text): AnyText,
) -> Result<Response, Problem> {
    take_work(&context.handle)?;
    let batch = Batch::read(&text)?;
    let seed = Seed::of(&headers);
    let (mut requests, mut names) = (Vec::with_capacity(batch.events.len()), Vec::new());
    let many = batch.many;
    for (place, event) in batch.events.into_iter().enumerate() {
        let key = seed.map_or_else(|| context.handle.new_event_key(), |seed| seed.key(place));
        // Without an id of its own an event has the one that its sender is told.
        let id = event.id.or_else(|| key.ulid().to_string().parse::<EventId>().ok());
        names.push(event.name.clone());
        let (ts, max_waiting) = (event.ts, caller.max_waiting());
        requests.push(EventRequest {
            id,
            ts,
            key: Some(key),
            max_waiting,
            ..EventRequest::new(event.name, event.data)
        });
    }
    let published = context.handle.publish(requests).await.map_err(|error| refusal(error, &names, many))?;
    let ids: Vec<String> = published.into_iter().map(|event| event.key.ulid().to_string()).collect();
    Ok(JsonResponse(json!({ "ids": ids, "status": StatusCode::OK.as_u16() })).into_response())
}

/// What an SDK shows to whoever sent the events: which of them no job takes, and what is wrong with it.
fn refusal(error: EnqueueError, names: &[String], many: bool) -> Problem {
    let EnqueueError::Payload { job, event, problems } = error else { return error.into() };
    let place = event.unwrap_or_default();
    let name = names.get(place).map_or("", String::as_str);
    let wrong = problems.iter().map(|problem| {
        let (pointer, detail) = (super::wire::pointer(many, place, &problem.pointer), &problem.detail);
        format!("{pointer} {detail}")
    });
    let wrong = wrong.collect::<Vec<_>>().join("; ");
    let detail = format!("the data of {name} does not fit the schema of the job {job}: {wrong}");
    Problem::new(Code::PayloadInvalid, limits::truncate(&detail, ERROR_BYTES))
}

/// `POST /e/`: a sender that is set up without a key.
pub(super) async fn refuse_without_key() -> Response {
    (StatusCode::UNAUTHORIZED, JsonResponse(without_key("Event key is required"))).into_response()
}

/// What browsers ask before a page of another site may send events: it may, from anywhere, with any header.
pub(super) async fn preflight(headers: HeaderMap) -> Response {
    // Not every browser knows `*` here, so it is told what it asked for.
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let answer = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS")),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(HeaderValue::from_static("*"))),
        (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600")),
        (header::VARY, HeaderValue::from_static("Access-Control-Request-Headers")),
    ];
    (StatusCode::OK, answer).into_response()
}
