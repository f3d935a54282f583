//! What the shop's HTTP endpoint answered, as an outcome: its status code, its words, its delays.
//! It asks nothing again.

use bytes::Bytes;
use hyper::header::{ETAG, HeaderMap, LOCATION};
use hyper::{Method, StatusCode};
use jobmill_core::order::OrderError;
use jobmill_core::{Timestamp, limits};
use serde_json::Value;

use crate::http_client::retry_after;

/// An answer, whole.
pub(super) struct Answer {
    pub(super) method: Method,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Bytes of the shop's own words that a refusal repeats.
const REASON_BYTES: usize = 300;

impl Answer {
    /// The body as JSON, whatever the status.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The revision that the entity tag names: `"8"`.
    pub(super) fn tag(&self) -> Option<u64> {
        let tag = self.headers.get(ETAG)?.to_str().ok()?;
        tag.trim_start_matches("W/").trim_matches('"').parse().ok()
    }

    /// The error that the status says; none when the answer is one of success. A revision that is in conflict is the
    /// caller's to find out, since it may stand in the body.
    pub(super) fn error(&self, id: &str, now: Timestamp) -> Option<OrderError> {
        let said = || self.said();
        Some(match self.status.as_u16() {
            200..=299 => return None,
            404 | 410 => OrderError::NotFound(id.to_owned()),
            422 => OrderError::InvalidTransition(self.own_words().unwrap_or_else(said)),
            401 | 403 => OrderError::Denied(format!("{}: check orders.http.token", said())),
            429 => OrderError::RateLimited(retry_after(&self.headers, now)),
            408 | 425 | 500..=599 => OrderError::Unavailable(said()),
            300..=399 => {
                let to = self.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
                OrderError::Unavailable(format!(
                    "{}, to {to}, and redirects are not followed: check orders.http.base_url",
                    said()
                ))
            }
            _ => OrderError::Denied(format!("{}: check orders.http.base_url", said())),
        })
    }

    /// The status, and the body's words if it has any.
    fn said(&self) -> String {
        let words = self.own_words().map(|words| format!(" ({words})")).unwrap_or_default();
        format!("the order source answered {} to {}{words}", self.status, self.method)
    }

    /// What the body says in the members that errors usually have.
    fn own_words(&self) -> Option<String> {
        let body = self.json()?;
        let text = ["detail", "message", "error", "title"].iter().find_map(|member| body.get(member)?.as_str())?;
        Some(limits::truncate(text, REASON_BYTES).to_owned())
    }
}
