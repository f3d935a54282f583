//! HTTP requests to the hosts that the operator allows, under `[jobs.ID.allow] http` of the engine's configuration.
//! It follows no redirects and keeps no cookies; it speaks no TLS and looks up no names, the host does.
//!
//! A request that changes something (any but `GET`, `HEAD` and `OPTIONS`) is sent once for the run: an attempt that asks for the same
//! again, with the same body, gets the first answer. The host adds an `Idempotency-Key`, which is the same in every attempt.
//!
//! Where a header's value says `{{secret:NAME}}`, the host puts the secret that the operator gave the job under `[secrets.ID]`; the
//! job never sees it.
//!
//! ```no_run
//! use jobmill_sdk::{http::Request, prelude::*};
//!
//! # fn sync(order: &str) -> Result<(), Failure> {
//! let url = format!("https://crm.example.com/orders/{order}");
//! Request::put(url)
//!     .header("authorization", "Bearer {{secret:token}}")
//!     .json(&json!({ "status": "fulfilled" }))
//!     .send()?
//!     .error_for_status()?;
//! # Ok(())
//! # }
//! ```

use crate::{Failure, host};
use core::time::Duration;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// The wait when a host asked for fewer requests and did not say for how long.
const RATE_LIMIT_DELAY: Duration = Duration::from_mins(1);

/// A request in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its method, in capitals.
    pub method: String,
    /// Where it goes, whole: `https://api.example.com/orders?open`.
    pub url: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Why it can't be sent.
    wrong: Option<String>,
}

/// An answer, whatever its status says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why there is no answer, or none of use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The operator doesn't let this job ask this host, or has no such secret for it. The run's log says what would allow it.
    #[error("the request is not allowed: {0}")]
    Denied(String),
    /// It is no request that could be sent, or no answer that could be read.
    #[error("{0}")]
    Invalid(String),
    /// The host could not be reached, or did not answer in time; trying again may help.
    #[error("there is no answer: {0}")]
    Unavailable(String),
    /// The answer's status is an error.
    #[error("the answer is {status}: {text}")]
    Status {
        /// The status.
        status: u16,
        /// How the answer begins.
        text: String,
        /// How long to wait, if the host said so.
        retry_after: Option<Duration>,
    },
}

impl Request {
    /// A request of any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let method = method.into().to_ascii_uppercase();
        Self { method, url: url.into(), headers: Vec::new(), body: Vec::new(), wrong: None }
    }

    /// `GET`
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// `POST`
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// `PUT`
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// `PATCH`
    pub fn patch(url: impl Into<String>) -> Self {
        Self::new("PATCH", url)
    }

    /// `DELETE`
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With this as JSON, and the header that says so.
    #[must_use]
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body(body).header("content-type", "application/json"),
            Err(error) => {
                self.wrong = Some(format!("the body can't be written as JSON: {error}"));
                self
            }
        }
    }

    /// Send it, and wait for the whole answer.
    pub fn send(self) -> Result<Response, HttpError> {
        match self.wrong {
            Some(wrong) => Err(HttpError::Invalid(wrong)),
            None => host::send_request(&self),
        }
    }

    /// Whether it changes nothing, by the standard.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

impl Response {
    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body, read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| HttpError::Invalid(format!("the answer can't be read: {error}")))
    }

    /// The same, unless its status is an error (400 and above).
    pub fn error_for_status(self) -> Result<Self, HttpError> {
        if self.status < 400 {
            return Ok(self);
        }
        let seconds = self.header("retry-after").and_then(|value| value.trim().parse().ok());
        let text = self.text().chars().take(200).collect();
        Err(HttpError::Status { status: self.status, text, retry_after: seconds.map(Duration::from_secs) })
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Status { status: 429, retry_after, .. } => {
                Self::retry_after(retry_after.unwrap_or(RATE_LIMIT_DELAY), error)
            }
            HttpError::Status { status: 503, retry_after: Some(delay), .. } => Self::retry_after(delay, error),
            HttpError::Unavailable(_) | HttpError::Status { status: 408 | 425 | 500.., .. } => Self::transient(error),
            HttpError::Denied(_) | HttpError::Invalid(_) | HttpError::Status { .. } => Self::permanent(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Response {
        Response { status, body: b"why".to_vec(), ..Response::default() }
    }

    fn failure(response: Response) -> Failure {
        response.error_for_status().expect_err("an error").into()
    }

    #[test]
    fn an_error_status_becomes_the_failure_that_it_means() {
        assert_eq!(answer(302).error_for_status(), Ok(answer(302)));
        for status in [408, 500, 502, 503, 504] {
            assert!(matches!(failure(answer(status)), Failure::Transient(_)), "{status}");
        }
        for status in [400, 401, 403, 404, 409, 422] {
            assert!(matches!(failure(answer(status)), Failure::Permanent(_)), "{status}");
        }
        let delay = |failure| match failure {
            Failure::RetryAfter { delay, .. } => delay,
            other => panic!("expected a retry-after, got {other:?}"),
        };
        assert_eq!(delay(failure(answer(429))), Duration::from_mins(1));
        for status in [429, 503] {
            let response = Response { headers: vec![("Retry-After".into(), "7".into())], ..answer(status) };
            assert_eq!(delay(failure(response)), Duration::from_secs(7));
        }
        assert!(matches!(HttpError::Denied(String::new()).into(), Failure::Permanent(_)));
        assert!(matches!(HttpError::Unavailable(String::new()).into(), Failure::Transient(_)));
    }

    #[test]
    fn what_can_not_be_json_is_not_sent() {
        let by_list = std::collections::BTreeMap::from([(vec![1], 2)]);
        let error = Request::post("https://api.example.com").json(&by_list).send().expect_err("no JSON");
        assert!(matches!(error, HttpError::Invalid(_)), "{error}");
    }
}
