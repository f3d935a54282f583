//! The envelopes of Inngest's answers, and the layer that puts every refusal on its paths into one.
//! It decides no refusal; handlers, `authentication` and `origin` do.

use std::time::Duration;

use axum::Json as JsonResponse;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jobmill_core::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Context;
use crate::error::{Code, Problem};

const SERVER_KIND: HeaderName = HeaderName::from_static("x-inngest-server-kind");
/// Where events are sent to; the key follows.
const SENDING: &str = "/e/";
/// Where the REST interface is.
const REST: &str = "/v1/";
/// After how many seconds a disk that had no room may have some.
const ROOM_AFTER: u64 = 30;

/// The answer to a document that was asked for.
#[derive(Serialize)]
struct Data<T> {
    data: T,
    metadata: Metadata,
}

#[derive(Serialize)]
struct Metadata {
    fetched_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_until: Option<Timestamp>,
}

/// A document in its envelope.
pub(super) fn data<T: Serialize>(now: Timestamp, data: T) -> Response {
    JsonResponse(Data { data, metadata: Metadata { fetched_at: now, cached_until: None } }).into_response()
}

/// The same, which the caller may keep for a while.
pub(super) fn cached<T: Serialize>(now: Timestamp, data: T, age: Duration) -> Response {
    let metadata = Metadata { fetched_at: now, cached_until: Some(now.after(age)) };
    let mut response = JsonResponse(Data { data, metadata }).into_response();
    if let Ok(value) = HeaderValue::try_from(format!("private, max-age={}", age.as_secs())) {
        response.headers_mut().insert(header::CACHE_CONTROL, value);
    }
    response
}

/// Which envelope a path speaks in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Sending events.
    Sending,
    /// Everything else.
    Rest,
}

impl Dialect {
    fn of(path: &str) -> Option<Self> {
        if path.starts_with(SENDING) {
            return Some(Self::Sending);
        }
        (path.starts_with(REST) || path == "/health" || path == "/dev").then_some(Self::Rest)
    }

    fn refusal(self, problem: &Problem) -> (StatusCode, Value) {
        let status = match problem.status() {
            // What the protocol knows as a payload that can't be processed.
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::UNSUPPORTED_MEDIA_TYPE => StatusCode::BAD_REQUEST,
            StatusCode::INSUFFICIENT_STORAGE => StatusCode::SERVICE_UNAVAILABLE,
            status => status,
        };
        let (number, error) = (status.as_u16(), problem.detail());
        let body = match self {
            // Nobody learns whether a key is wrong or only of another scope.
            Self::Sending if matches!(problem.code(), Code::TokenRequired | Code::ScopeMissing) => {
                return (StatusCode::UNAUTHORIZED, without_key("Event key not found"));
            }
            Self::Sending => json!({ "ids": [], "status": number, "error": error }),
            Self::Rest => json!({ "error": error, "data": null, "status": number }),
        };
        (status, body)
    }
}

/// The body of a refusal for want of an event key.
pub(super) fn without_key(error: &str) -> Value {
    json!({ "status": StatusCode::UNAUTHORIZED.as_u16(), "message": "", "error": error })
}

/// Makes an answer on one of the protocol's paths one of its own: what kind of server it is, and refusals in its envelopes.
pub(crate) async fn speak(State(context): State<Context>, request: Request, next: Next) -> Response {
    let dialect = Dialect::of(request.uri().path());
    let mut response = next.run(request).await;
    let Some(dialect) = dialect else { return response };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = refused(dialect, &problem, response);
    }
    let kind = if context.settings.faults.is_some() { "dev" } else { "cloud" };
    let headers = response.headers_mut();
    headers.insert(SERVER_KIND, HeaderValue::from_static(kind));
    if dialect == Dialect::Sending {
        // Pages of any site send events: the key is what counts, and no cookie does.
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
    response
}

/// The same refusal with its headers, in another envelope.
fn refused(dialect: Dialect, problem: &Problem, response: Response) -> Response {
    let (status, body) = dialect.refusal(problem);
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        parts.headers.entry(header::RETRY_AFTER).or_insert(ROOM_AFTER.into());
    }
    (status, parts.headers, JsonResponse(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_protocols_paths_speak_it() {
        for (path, dialect) in [
            ("/e/key", Some(Dialect::Sending)),
            ("/v1/events", Some(Dialect::Rest)),
            ("/health", Some(Dialect::Rest)),
            ("/dev", Some(Dialect::Rest)),
            ("/api/v1/events", None),
            ("/healthz", None),
            ("/devices", None),
            ("/events/e/key", None),
            ("/", None),
        ] {
            assert_eq!(Dialect::of(path), dialect, "{path}");
        }
    }

    #[test]
    fn statuses_that_the_protocol_lacks_become_those_it_has() {
        let status = |code| Dialect::Sending.refusal(&Problem::new(code, "so")).0.as_u16();
        assert_eq!(status(Code::PayloadInvalid), 400);
        assert_eq!(status(Code::StoreFull), 503);
        assert_eq!(status(Code::ScopeMissing), 401);
        assert_eq!(status(Code::TooManyWaiting), 429);
        assert_eq!(Dialect::Rest.refusal(&Problem::new(Code::ScopeMissing, "so")).0.as_u16(), 403);
    }
}
