//! The HTTP client of everything that asks others: TLS by the public authorities, HTTP/1.1, no redirects.
//! It sets no time bound and tries nothing twice; whoever asks does.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jobmill_core::{Timestamp, limits};

/// Connections kept between requests: more attempts than that rarely ask at the same moment.
const IDLE_CONNECTIONS: usize = 16;
/// Servers commonly close connections that were idle for a minute.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How we call ourselves.
pub(crate) const USER_AGENT: &str = concat!("jobmill/", env!("CARGO_PKG_VERSION"));

pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client that has connected to nothing yet.
pub(crate) fn http_client() -> io::Result<HttpClient> {
    let provider = rustls::crypto::ring::default_provider();
    let connector = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(provider).map_err(io::Error::other)?;
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIME)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .build(connector.https_or_http().enable_http1().build());
    Ok(client)
}

/// What an answer asks to be left alone for: seconds, or a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        at.saturating_sub(Duration::from_millis(now.as_millis()))
    };
    Some(delay.min(limits::DELAY_MAX))
}
