//! A message about dead runs as a request to the operator's endpoint, signed by Standard Webhooks.
//! It follows no redirect and tries nothing twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use jobmill_core::Timestamp;
use jobmill_core::notice::{NoticeDelivery, NoticeMessage};
use jobmill_webhooks::Signing;

use super::NotifySettingsError;
use crate::http_client::{self, HttpClient, http_client, retry_after};
use crate::orders::with_causes;
use crate::secret::Secret;

/// What one request may take, with connecting and the whole answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read, so that the connection can be used again; nothing in them is of interest.
const ANSWER_BYTES: usize = 64 * 1024;

/// The operator's endpoint.
pub struct NoticeWebhook {
    client: HttpClient,
    uri: Uri,
    signing: Signing,
    /// It has said that it is gone for good.
    gone: AtomicBool,
}

impl NoticeWebhook {
    /// Checks the settings; connects to nothing.
    pub fn new(url: &str, secret: Option<&Secret>) -> Result<Self, NotifySettingsError> {
        let uri = checked(url).map_err(|reason| NotifySettingsError::new("notify.webhook", reason))?;
        let refuse = |reason: String| NotifySettingsError::new("notify.webhook_secret", reason);
        let secret = secret.ok_or_else(|| {
            let reason = "is missing: what notify.webhook gets is signed, so that it knows who sent it; make one with: \
                          echo \"whsec_$(openssl rand -base64 32)\"";
            refuse(reason.to_owned())
        })?;
        let signing = Signing::new(secret.expose()).map_err(|error| refuse(error.to_string()))?;
        let client = http_client()
            .map_err(|error| NotifySettingsError::new("notify.webhook", format!("has no TLS: {error}")))?;
        Ok(Self { client, uri, signing, gone: AtomicBool::new(false) })
    }

    /// Where it is, without its path: that can be a secret too.
    pub fn place(&self) -> String {
        let (scheme, authority) = (self.uri.scheme_str(), self.uri.authority());
        format!("{}://{}", scheme.unwrap_or_default(), authority.map_or("", |authority| authority.as_str()))
    }

    /// Sends a message, signed at `now`.
    pub async fn deliver(&self, message: &NoticeMessage, now: Timestamp) -> NoticeDelivery {
        if self.gone.load(Ordering::Relaxed) {
            let reason = "it has answered 410 Gone, and is not asked again until a restart";
            return NoticeDelivery::Refused(reason.to_owned());
        }
        let request = match self.request(message, now) {
            Ok(request) => request,
            Err(reason) => return NoticeDelivery::Refused(reason),
        };
        let answered = tokio::time::timeout(TIMEOUT, self.exchange(request, now)).await;
        answered.unwrap_or_else(|_| {
            let timeout = jobmill_core::time::format_duration(TIMEOUT);
            not_now(format!("it did not answer within {timeout}"), None)
        })
    }

    fn request(&self, message: &NoticeMessage, now: Timestamp) -> Result<Request<Full<Bytes>>, String> {
        let body = message.body().map_err(|error| error.to_string())?;
        let mut builder = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, http_client::USER_AGENT);
        for (name, value) in self.signing.headers(&message.id.to_string(), body.as_bytes(), now) {
            builder = builder.header(name, value);
        }
        builder.body(Full::new(body.into())).map_err(|error| error.to_string())
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, now: Timestamp) -> NoticeDelivery {
        let (parts, body) = match self.client.request(request).await {
            Ok(response) => response.into_parts(),
            Err(error) => return not_now(with_causes("it can't be reached", &error), None),
        };
        // The status says it all. An answer that is too long, or breaks off, costs the connection and nothing else.
        let _ = Limited::new(body, ANSWER_BYTES).collect().await;
        match parts.status {
            status if status.is_success() => NoticeDelivery::Taken,
            StatusCode::GONE => {
                self.gone.store(true, Ordering::Relaxed);
                NoticeDelivery::Refused("it answered 410 Gone; nothing more is sent to it until a restart".to_owned())
            }
            status if status.is_redirection() => {
                not_now(format!("it answered {status}, and redirects are not followed: check notify.webhook"), None)
            }
            status => not_now(format!("it answered {status}"), retry_after(&parts.headers, now)),
        }
    }
}

fn not_now(reason: String, delay: Option<Duration>) -> NoticeDelivery {
    NoticeDelivery::NotNow { reason, delay }
}

/// The URL. Its text is not repeated in errors: it could hold a password.
fn checked(url: &str) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is no URL; write it like \"https://duty.example/jobmill\"")?;
    let Some(authority) = uri.authority() else {
        return Err("has to begin with https:// or http://");
    };
    if authority.as_str().contains('@') {
        return Err("must not hold a user or password; what is sent is signed with notify.webhook_secret");
    }
    match uri.scheme_str() {
        Some("https" | "http") => Ok(uri),
        _ => Err("has to begin with https:// or http://"),
    }
}
