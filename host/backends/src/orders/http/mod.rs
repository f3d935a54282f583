//! Orders behind the shop's own HTTP endpoint: `GET` and `PATCH` of a base URL with the order's id.
//! It tries nothing twice: whoever asks does, under the same `Idempotency-Key`.

mod answer;
mod fields;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use jobmill_core::Timestamp;
use jobmill_core::order::{Order, OrderError, OrderPatch, OrderStatus};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::words::{Spelling, Words};
use super::{OrderSettingsError, with_causes};
use crate::http_client::{self, HttpClient, http_client};
use crate::secret::Secret;
use answer::Answer;
pub use fields::OrderFields;

/// How the shop's endpoint is reached, and what it means.
#[derive(Debug, Clone)]
pub struct HttpOrders {
    /// `https://shop.example/api/orders`: an order is at `{base_url}/{id}`. Plain `http` only to this machine itself.
    pub base_url: String,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<Secret>,
    /// How long one request may take, with connecting and the whole answer.
    pub timeout: Duration,
    /// Where the members of an order stand.
    pub fields: OrderFields,
    /// The shop's words for a status.
    pub statuses: BTreeMap<String, OrderStatus>,
}

/// Bytes of an answer: an order with a thousand items has a quarter of it.
const ANSWER_BYTES: usize = 1024 * 1024;

/// All that a path segment can't have, and the dots that would make another path of it.
const NOT_IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// See the module.
pub(super) struct HttpSource {
    client: HttpClient,
    base_url: String,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    fields: OrderFields,
    words: Words,
}

impl HttpSource {
    /// Checks the settings; connects to nothing.
    pub(super) fn new(settings: HttpOrders) -> Result<Self, OrderSettingsError> {
        let refuse = |key: &'static str, reason: &str| OrderSettingsError::new(key, reason);
        let base_url = checked(&settings.base_url).map_err(|reason| refuse("orders.http.base_url", reason))?;
        let authorization = settings.token.as_ref().map(bearer).transpose();
        let authorization = authorization.map_err(|reason| refuse("orders.http.token", reason))?;
        if settings.timeout.is_zero() {
            return Err(refuse("orders.http.timeout", "is no time at all; write it like \"5s\""));
        }
        let client =
            http_client().map_err(|error| OrderSettingsError::new("orders.http", format!("has no TLS: {error}")))?;
        let words = Words::new(settings.statuses, Spelling::Lower, "orders.http.statuses");
        Ok(Self { client, base_url, authorization, timeout: settings.timeout, fields: settings.fields, words })
    }

    /// The order as it is now.
    pub(super) async fn fetch(&self, id: &str, now: Timestamp) -> Result<Order, OrderError> {
        let answer = self.ask(Method::GET, id, &[], Bytes::new()).await?;
        if let Some(error) = answer.error(id, now) {
            return Err(error);
        }
        let Some(body) = answer.json() else {
            let length = answer.body.len();
            return Err(OrderError::Unavailable(format!(
                "the order source answered {} to GET with {length} bytes that are no JSON",
                answer.status
            )));
        };
        self.fields.read(id, &body, answer.tag(), &self.words)
    }

    /// Changes the order, and shows it as it is then. An order that the patch would leave as it is, or that may not be
    /// changed so, is not asked to change.
    pub(super) async fn update(
        &self,
        id: &str,
        patch: &OrderPatch,
        idempotency_key: &str,
        now: Timestamp,
    ) -> Result<Order, OrderError> {
        let order = self.fetch(id, now).await?;
        if order.patched(patch, now)? == order {
            return Ok(order);
        }
        let key = HeaderValue::from_str(idempotency_key)
            .map_err(|_| OrderError::Denied(format!("order {id:?} makes a key that no HTTP header can hold")))?;
        let mut headers = vec![(HeaderName::from_static("idempotency-key"), key)];
        if let Some(expected) = patch.expected_revision {
            let tag = HeaderValue::from_str(&format!("\"{expected}\"")).map_err(|error| unavailable(&error))?;
            headers.push((IF_MATCH, tag));
        }
        let answer = self.ask(Method::PATCH, id, &headers, self.body(patch)?).await?;
        if matches!(answer.status, StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED) {
            let named = answer.json().and_then(|body| self.fields.revision(&body)).or(answer.tag());
            let revision = match named {
                Some(revision) => revision,
                None => self.fetch(id, now).await?.revision,
            };
            return Err(OrderError::RevisionConflict(revision));
        }
        if let Some(error) = answer.error(id, now) {
            return Err(error);
        }
        // Many endpoints answer a change with nothing, or with less than an order.
        match answer.json().map(|body| self.fields.read(id, &body, answer.tag(), &self.words)) {
            Some(Ok(order)) => Ok(order),
            _ => self.fetch(id, now).await,
        }
    }

    /// Refuses what the shop has no word for.
    pub(super) fn check(&self, patch: &OrderPatch) -> Result<(), OrderError> {
        self.body(patch).map(drop)
    }

    fn body(&self, patch: &OrderPatch) -> Result<Bytes, OrderError> {
        let mut body = Map::new();
        if let Some(status) = patch.status {
            body.insert("status".to_owned(), Value::String(self.words.write(status)?));
        }
        if let Some(metadata) = &patch.metadata {
            body.insert("metadata".to_owned(), metadata.to_value().map_err(|error| unavailable(&error))?);
        }
        Ok(Value::Object(body).to_string().into())
    }

    async fn ask(
        &self,
        method: Method,
        id: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Answer, OrderError> {
        let uri = format!("{}/{}", self.base_url, utf8_percent_encode(id, NOT_IN_SEGMENT));
        let mut builder = Request::builder().method(&method).uri(uri).header(ACCEPT, "application/json");
        builder = builder.header(USER_AGENT, http_client::USER_AGENT);
        if let Some(authorization) = &self.authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if !body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let request = builder.body(Full::new(body)).map_err(|error| unavailable(&error))?;
        let answered = tokio::time::timeout(self.timeout, self.exchange(method, request)).await;
        answered.unwrap_or_else(|_| {
            let timeout = jobmill_core::time::format_duration(self.timeout);
            Err(OrderError::Unavailable(format!("the order source did not answer within {timeout}")))
        })
    }

    async fn exchange(&self, method: Method, request: Request<Full<Bytes>>) -> Result<Answer, OrderError> {
        let response = self.client.request(request).await.map_err(|error| unavailable(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                OrderError::Unavailable(format!("the order source's answer is larger than {ANSWER_BYTES} bytes"))
            } else {
                unavailable(&*error)
            }
        })?;
        Ok(Answer { method, status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }
}

fn unavailable(error: &(dyn Error + 'static)) -> OrderError {
    OrderError::Unavailable(with_causes("the order source can't be reached", error))
}

fn bearer(token: &Secret) -> Result<HeaderValue, &'static str> {
    let text = format!("Bearer {}", token.expose());
    let mut value = HeaderValue::from_str(&text).map_err(|_| "has characters that no HTTP header can hold")?;
    value.set_sensitive(true);
    Ok(value)
}

/// The base URL without the slash at its end. Its text is not repeated in errors: it could hold a password.
fn checked(base_url: &str) -> Result<String, &'static str> {
    let uri: Uri = base_url.parse().map_err(|_| "is no URL; write it like \"https://shop.example/api/orders\"")?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("has to begin with https://");
    };
    if authority.as_str().contains('@') {
        return Err("must not hold a user or password; use orders.http.token");
    }
    if uri.query().is_some() {
        return Err("must not have a query: the order's id is put at its end");
    }
    match scheme {
        "https" => {}
        "http" if is_loopback(authority.host()) => {}
        "http" => return Err("has to begin with https:// unless it names this machine itself"),
        _ => return Err("has to begin with https://"),
    }
    Ok(base_url.trim_end_matches('/').to_owned())
}

/// Whether a host of a URL is this machine itself.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}
