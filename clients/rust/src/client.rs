//! The client itself: where the server is, how long it may take, and requests to any route.
//! It knows routes and members of no call; those are in `calls`.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{Answer, Page};
use crate::error::{Error, refusal};

/// A server on the same machine answers at once or not at all; one far away is given time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole request: bulk actions on ten thousand runs take seconds.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The largest answer: a page of 200 runs with payload and output of 256 KiB each.
const ANSWER_BYTES: u64 = 160 * 1024 * 1024;

/// A server to ask. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
    timeout: Option<Duration>,
}

/// How a server is asked.
#[derive(Clone)]
pub struct Builder {
    server: String,
    token: Option<String>,
    user_agent: String,
    connect_timeout: Duration,
    timeout: Option<Duration>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.base).finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Builder {
    /// The API token that is shown with each request.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How the program calls itself in `User-Agent`.
    #[must_use]
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// How long connecting may take; 5 s unless said.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long a whole request may take, none for as long as it takes; a minute unless said.
    #[must_use]
    pub fn timeout(mut self, limit: Option<Duration>) -> Self {
        self.timeout = limit;
        self
    }

    /// The client; an error where the address is none.
    pub fn build(self) -> Result<Client, Error> {
        let base = self.server.trim_end_matches('/').to_owned();
        let uri: ureq::http::Uri = base.parse().map_err(|error| bad_server(&base, format!("{error}")))?;
        let host = uri.host().ok_or_else(|| bad_server(&base, "it has no host"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad_server(&base, "it must start with http:// or https://"));
        }
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(self.connect_timeout))
            .timeout_global(self.timeout)
            .max_redirects(0)
            .user_agent(self.user_agent);
        if is_loopback(host) {
            // No proxy can reach this machine's own loopback.
            config = config.proxy(None);
        }
        Ok(Client { agent: config.build().new_agent(), base, token: self.token, timeout: self.timeout })
    }
}

impl Client {
    /// A client of the server at this address, such as `http://127.0.0.1:8288`, that shows this token.
    pub fn new(server: &str, token: Option<&str>) -> Result<Self, Error> {
        let builder = Self::builder(server);
        match token {
            Some(token) => builder.token(token).build(),
            None => builder.build(),
        }
    }

    /// The same, with more to be said.
    pub fn builder(server: &str) -> Builder {
        Builder {
            server: server.to_owned(),
            token: None,
            user_agent: concat!("jobmill-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: CONNECT_TIMEOUT,
            timeout: Some(TIMEOUT),
        }
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        &self.base
    }

    /// `GET` of `/api/v1/…`; each segment is one segment, whatever it contains.
    pub fn get<T: DeserializeOwned>(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Answer<T>, Error> {
        self.get_text(segments, query).and_then(Text::read)
    }

    /// `POST` of a JSON body.
    pub fn post<T: DeserializeOwned>(&self, segments: &[&str], body: &impl Serialize) -> Result<Answer<T>, Error> {
        self.send(self.agent.post(self.address(segments, &[])), body).and_then(Text::read)
    }

    /// `POST` under a key: the same key and body again is the first answer.
    pub(crate) fn post_once<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        key: Option<&str>,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Error> {
        let mut request = self.agent.post(self.address(segments, &[]));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request, body).and_then(Text::read)
    }

    /// `POST` of what may take the server longer than a request mostly does: however long it takes.
    pub(crate) fn post_patiently<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        body: &impl Serialize,
    ) -> Result<Answer<T>, Error> {
        let request = self.agent.post(self.address(segments, &[]));
        self.send(request.config().timeout_global(None).build(), body).and_then(Text::read)
    }

    /// `PUT` of a JSON body.
    pub fn put<T: DeserializeOwned>(&self, segments: &[&str], body: &impl Serialize) -> Result<Answer<T>, Error> {
        self.send(self.agent.put(self.address(segments, &[])), body).and_then(Text::read)
    }

    /// `PATCH` of a JSON body.
    pub fn patch<T: DeserializeOwned>(&self, segments: &[&str], body: &impl Serialize) -> Result<Answer<T>, Error> {
        self.send(self.agent.patch(self.address(segments, &[])), body).and_then(Text::read)
    }

    /// `DELETE`; what the server says about it, mostly nothing.
    pub(crate) fn delete(&self, segments: &[&str]) -> Result<Text, Error> {
        self.answer(self.authorized(self.agent.delete(self.address(segments, &[]))).call())
    }

    /// `GET` of what is not JSON.
    pub(crate) fn get_text(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Text, Error> {
        self.answer(self.authorized(self.agent.get(self.address(segments, query))).call())
    }

    /// `GET` of an answer of any length, to be read as it comes.
    pub(crate) fn stream(&self, segments: &[&str]) -> Result<impl BufRead + use<>, Error> {
        self.opened(self.authorized(self.agent.get(self.address(segments, &[]))))
    }

    /// The same, of an answer that has no end of its own: only its begin is waited for no longer than for any other.
    pub(crate) fn endless(&self, segments: &[&str]) -> Result<impl BufRead + use<>, Error> {
        let request = self.authorized(self.agent.get(self.address(segments, &[])));
        self.opened(request.config().timeout_global(None).timeout_recv_response(self.timeout).build())
    }

    fn opened(
        &self,
        request: ureq::RequestBuilder<ureq::typestate::WithoutBody>,
    ) -> Result<impl BufRead + use<>, Error> {
        let mut response = request.call().map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(BufReader::new(response.into_body().into_reader()));
        }
        let later = retry_after(&response);
        let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
        let text = body.map_err(|error| self.unreachable(&error))?;
        Err(refusal(response.status().as_u16(), &text, later))
    }

    /// Items of a list, page by page, until `limit` are there.
    pub fn pages<T>(&self, segments: &[&str], query: &[(&str, &str)], limit: usize) -> Result<Page<T>, Error> {
        let mut gathered = Page::empty();
        loop {
            let room = limit.saturating_sub(gathered.len());
            let size = room.min(jobmill_core::limits::PAGE_ITEMS).to_string();
            let cursor = gathered.next_cursor().map(str::to_owned);
            let mut query = query.to_vec();
            query.push(("limit", &size));
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            gathered.extend(self.page(segments, &query)?);
            if gathered.next_cursor().is_none() || gathered.len() >= limit {
                return Ok(gathered);
            }
        }
    }

    /// One page of a list.
    pub(crate) fn page<T>(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Page<T>, Error> {
        let Text { text, .. } = self.get_text(segments, query)?;
        serde_json::from_str(&text).map_err(|error| Error::unexpected(&error))
    }

    fn address(&self, segments: &[&str], query: &[(&str, &str)]) -> String {
        let mut address = format!("{}/api/v1", self.base);
        for segment in segments {
            address.push('/');
            encode(segment, &mut address);
        }
        for (position, (name, value)) in query.iter().enumerate() {
            address.push(if position == 0 { '?' } else { '&' });
            encode(name, &mut address);
            address.push('=');
            encode(value, &mut address);
        }
        address
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn send(
        &self,
        request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        body: &impl Serialize,
    ) -> Result<Text, Error> {
        let json = serde_json::to_string(body).map_err(|error| Error::BadRequest { reason: error.to_string() })?;
        self.answer(self.authorized(request).content_type("application/json").send(&json))
    }

    fn answer(&self, result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Text, Error> {
        let mut response = result.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let later = retry_after(&response);
        let replayed = response.headers().contains_key("idempotency-replayed");
        let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
        let text = body.map_err(|error| self.unreachable(&error))?;
        if (200..300).contains(&status) { Ok(Text { text, replayed }) } else { Err(refusal(status, &text, later)) }
    }

    fn unreachable(&self, error: &ureq::Error) -> Error {
        let reason = match error {
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::HostNotFound => "the host name is not known".to_owned(),
            ureq::Error::Timeout(_) => "it does not answer in time".to_owned(),
            ureq::Error::Http(error) => return bad_server(&self.base, error.to_string()),
            other => other.to_string(),
        };
        Error::Unreachable { server: self.base.clone(), reason }
    }
}

/// An answer that nobody has read yet.
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) replayed: bool,
}

impl Text {
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<Answer<T>, Error> {
        Answer::read(self.text, self.replayed)
    }
}

fn bad_server(server: &str, reason: impl Into<String>) -> Error {
    Error::BadServer { server: server.to_owned(), reason: reason.into() }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// When it is worth asking again, as far as the server says.
fn retry_after(response: &ureq::http::Response<ureq::Body>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// RFC 3986: everything but the unreserved characters is percent-encoded.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            into.push('%');
            for digit in [byte >> 4, byte & 15] {
                into.push(char::from_digit(u32::from(digit), 16).map_or('0', |digit| digit.to_ascii_uppercase()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_never_leaves_its_place() {
        let client = Client::new("http://127.0.0.1:1/", None).expect("a good address");
        let address = client.address(&["orders", "a/../b c?"], &[("to", "ada+1@example.com")]);
        assert_eq!(address, "http://127.0.0.1:1/api/v1/orders/a%2F..%2Fb%20c%3F?to=ada%2B1%40example.com");
    }

    #[test]
    fn what_is_no_server_address_is_refused_before_anything_is_asked() {
        for server in ["", "127.0.0.1:8288", "ftp://shop.example", "http://"] {
            let error = Client::new(server, None).expect_err(server);
            assert!(matches!(error, Error::BadServer { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_unreachable() {
        // Nothing listens on the port that was just given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let client = Client::new(&format!("http://127.0.0.1:{port}"), None).expect("a good address");
        let error = client.jobs().expect_err("nobody there");
        assert!(
            matches!(&error, Error::Unreachable { server, .. } if server.ends_with(&port.to_string())),
            "{error:?}"
        );
        assert!(error.is_passing());
    }

    #[test]
    fn a_client_shows_its_token_to_nobody_else() {
        let builder = Client::builder("http://127.0.0.1:1").token("jm_hunter2");
        let shown = format!("{builder:?}");
        assert!(!format!("{shown} {:?}", builder.build().expect("a client")).contains("hunter2"));
    }
}
