//! `GET /v1/events`: events read back in the shape of the protocol.
//! It publishes none.

use std::collections::HashMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use jobmill_core::{EventKey, Json, Timestamp, limits};
use jobmill_store::{EventFilter, EventRecord};
use serde::Serialize;

use super::answer::data;
use super::ids::{EventInPath, NIL, ulid};
use crate::Context;
use crate::error::{Code, Problem};

/// Events of a list when the request names no limit.
const LIMIT_DEFAULT: usize = 20;

/// An event as the protocol shows it.
#[derive(Serialize)]
struct EventObject {
    internal_id: String,
    account_id: &'static str,
    environment_id: &'static str,
    source: &'static str,
    source_id: Option<&'static str>,
    received_at: Timestamp,
    id: String,
    name: String,
    data: Json,
    /// Milliseconds since the Unix epoch.
    ts: u64,
}

impl From<EventRecord> for EventObject {
    fn from(event: EventRecord) -> Self {
        let reference = event.reference;
        let internal_id = reference.key.ulid().to_string();
        Self {
            id: if reference.has_given_id() { reference.id.to_string() } else { internal_id.clone() },
            internal_id,
            account_id: NIL,
            environment_id: NIL,
            source: "",
            source_id: None,
            received_at: event.received_at,
            name: reference.name.to_string(),
            data: event.data,
            ts: reference.ts.as_millis(),
        }
    }
}

/// The newest events first. What the protocol does not know is ignored, as it is there.
pub(super) async fn list(
    State(context): State<Context>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(given) = query.map_err(|rejection| Problem::new(Code::InvalidParameter, rejection.body_text()))?;
    let text = |name: &str| given.get(name).filter(|text| !text.is_empty());
    let invalid = |name: &str| Problem::new(Code::InvalidParameter, format!("Invalid {name} query parameter"));
    let time = |name: &str| -> Result<Option<Timestamp>, Problem> {
        text(name).map(|text| text.parse().map_err(|_| invalid(name))).transpose()
    };
    let after = text("cursor").map(|text| ulid(text, "evt_").map(EventKey::from).ok_or_else(|| invalid("cursor")));
    let after = after.transpose()?;
    let limit = text("limit").and_then(|text| text.parse().ok()).filter(|limit| *limit > 0);
    let limit = limit.unwrap_or(LIMIT_DEFAULT).min(limits::PAGE_ITEMS);
    let filter =
        EventFilter { name: text("name").cloned(), since: time("received_after")?, until: time("received_before")? };
    let page = context.handle.query().events(&filter, after, limit).await?;
    let events: Vec<EventObject> = page.items.into_iter().map(EventObject::from).collect();
    Ok(data(context.handle.now(), events))
}

/// One event, by its ULID.
pub(super) async fn show(State(context): State<Context>, EventInPath(key): EventInPath) -> Result<Response, Problem> {
    let event = context.handle.query().event_by_key(key).await?;
    let event = event.ok_or_else(|| {
        let detail = format!("there is no event {}; events are kept as long as their runs", key.ulid());
        Problem::new(Code::UnknownEvent, detail)
    })?;
    Ok(data(context.handle.now(), EventObject::from(event)))
}
