//! The HTTP client of the command line: requests to a Jobmill server, answers, and what their errors mean for a command.
//! It knows routes and members of no command.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use jobmill_core::time::format_duration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::args::Global;
use crate::failure::{Exit, Failure};

/// A server to ask.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

/// A server on the same machine answers at once or not at all; one far away is given time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole request: bulk actions on ten thousand runs take seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// The largest answer: a page of 200 runs with payload and output of 256 KiB each.
const ANSWER_BYTES: u64 = 160 * 1024 * 1024;

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The same request was made before, and this is its first answer.
    pub(crate) replayed: bool,
    /// The body.
    pub(crate) text: String,
}

/// A page of a list, its items as the server sent them.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    /// The items.
    pub(crate) items: Vec<Box<RawValue>>,
    /// Where the next page begins.
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

/// `application/problem+json`, as far as a person is told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    code: Option<String>,
    errors: Vec<ProblemMember>,
}

#[derive(Debug, Deserialize)]
struct ProblemMember {
    pointer: String,
    detail: String,
}

impl Client {
    /// A client of the server that the options name.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        Self::within(global, REQUEST_TIMEOUT)
    }

    /// The same, for which a server has only so long to answer.
    pub(crate) fn within(global: &Global, limit: Duration) -> Result<Self, Failure> {
        Self::bounded(global, Some(limit))
    }

    /// The same, for answers that take as long as the store is large.
    pub(crate) fn patient(global: &Global) -> Result<Self, Failure> {
        Self::bounded(global, None)
    }

    fn bounded(global: &Global, limit: Option<Duration>) -> Result<Self, Failure> {
        let base = global.server.trim_end_matches('/').to_owned();
        let uri: ureq::http::Uri = base.parse().map_err(|error| bad_server(&base, &format!("{error}")))?;
        let host = uri.host().ok_or_else(|| bad_server(&base, "it has no host"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad_server(&base, "it must start with http:// or https://"));
        }
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(limit)
            .max_redirects(0)
            .user_agent(concat!("jobmill/", env!("CARGO_PKG_VERSION")));
        if is_loopback(host) {
            // No proxy can reach this machine's own loopback.
            config = config.proxy(None);
        }
        Ok(Self { agent: config.build().new_agent(), base, token: global.token.clone() })
    }

    /// `GET` of `/api/v1/…`; each segment is one segment, whatever it contains.
    pub(crate) fn get(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Answer, Failure> {
        self.answer(self.authorized(self.agent.get(self.address(segments, query))).call())
    }

    /// `GET` of an answer of any length, to be read as it comes.
    pub(crate) fn stream(&self, segments: &[&str]) -> Result<impl BufRead, Failure> {
        let request = self.authorized(self.agent.get(self.address(segments, &[])));
        let mut response = request.call().map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(BufReader::new(response.into_body().into_reader()));
        }
        let later = retry_after(&response);
        let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
        let text = body.map_err(|error| self.unreachable(&error))?;
        Err(refusal(response.status().as_u16(), &text, later))
    }

    /// `POST` with a JSON body.
    pub(crate) fn post(&self, segments: &[&str], body: &impl Serialize) -> Result<Answer, Failure> {
        let request = self.authorized(self.agent.post(self.address(segments, &[])));
        self.answer(request.content_type("application/json").send(&json(body)?))
    }

    /// `PUT` with a JSON body.
    pub(crate) fn put(&self, segments: &[&str], body: &impl Serialize) -> Result<Answer, Failure> {
        let request = self.authorized(self.agent.put(self.address(segments, &[])));
        self.answer(request.content_type("application/json").send(&json(body)?))
    }

    /// `PATCH` with a JSON body.
    pub(crate) fn patch(&self, segments: &[&str], body: &impl Serialize) -> Result<Answer, Failure> {
        let request = self.authorized(self.agent.patch(self.address(segments, &[])));
        self.answer(request.content_type("application/json").send(&json(body)?))
    }

    /// `DELETE`.
    pub(crate) fn delete(&self, segments: &[&str]) -> Result<Answer, Failure> {
        self.answer(self.authorized(self.agent.delete(self.address(segments, &[]))).call())
    }

    /// Items of a list, page by page, until `limit` are there.
    pub(crate) fn pages(&self, segments: &[&str], query: &[(&str, &str)], limit: usize) -> Result<Page, Failure> {
        let mut gathered = Page { items: Vec::new(), next_cursor: None };
        loop {
            let room = limit - gathered.items.len();
            let size = room.min(jobmill_core::limits::PAGE_ITEMS).to_string();
            let mut query = query.to_vec();
            query.push(("limit", &size));
            if let Some(cursor) = &gathered.next_cursor {
                query.push(("cursor", cursor));
            }
            let page: Page = self.get(segments, &query)?.read()?;
            gathered.items.extend(page.items);
            gathered.next_cursor = page.next_cursor;
            if gathered.next_cursor.is_none() || gathered.items.len() >= limit {
                return Ok(gathered);
            }
        }
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

    fn answer(&self, result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, Failure> {
        let mut response = result.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let later = retry_after(&response);
        let replayed = response.headers().contains_key("idempotency-replayed");
        let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
        let text = body.map_err(|error| self.unreachable(&error))?;
        if (200..300).contains(&status) { Ok(Answer { replayed, text }) } else { Err(refusal(status, &text, later)) }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let base = &self.base;
        let (exit, code) = (Exit::Unreachable, "server-unreachable");
        let reason = match error {
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::HostNotFound => "the host name is not known".to_owned(),
            ureq::Error::Timeout(_) => "it does not answer in time".to_owned(),
            ureq::Error::Http(error) => return bad_server(base, &error.to_string()),
            other => other.to_string(),
        };
        Failure::with_exit(exit, code, format!("no Jobmill server answers at {base}: {reason}"))
            .advise("start one with `jobmill dev`, or name another with --server or JOBMILL_SERVER")
    }
}

impl Answer {
    /// The body as what it should be.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        read(&self.text)
    }
}

/// A document of the server, or a part of one, as what it should be.
pub(crate) fn read<T: DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| {
        Failure::new("unexpected-answer", format!("the server's answer is not what this command expects: {error}"))
            .advise("is --server the address of a Jobmill of the same version?")
    })
}

/// A document of ours as JSON.
pub(crate) fn json(body: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(body)
        .map_err(|error| Failure::new("request", format!("the request can't be written: {error}")))
}

fn bad_server(server: &str, reason: &str) -> Failure {
    Failure::usage("bad-server", format!("{server:?} is not the address of a server: {reason}"))
        .advise("write it like http://127.0.0.1:8288")
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

/// What the server's refusal means here.
fn refusal(status: u16, body: &str, later: Option<Duration>) -> Failure {
    let Ok(problem) = serde_json::from_str::<Problem>(body) else {
        let text = format!("the server answered with status {status}, and not as a Jobmill does");
        return Failure::new("unexpected-answer", text).advise("is --server the address of a Jobmill?");
    };
    let exit = if status == 404 { Exit::NotFound } else { Exit::Failed };
    let said = problem.detail.or(problem.title).unwrap_or_else(|| format!("the server answered with status {status}"));
    let (message, suggestion) = match said.split_once("; did you mean ") {
        Some((message, nearest)) => (message.to_owned(), Some(format!("did you mean {nearest}"))),
        None => (said, None),
    };
    let code = problem.code.unwrap_or_else(|| format!("http-{status}"));
    let mut failure = Failure::with_exit(exit, code, crate::output::visible(&message));
    if let Some(line) = suggestion {
        failure = failure.advise(line);
    }
    for member in problem.errors {
        let pointer = if member.pointer.is_empty() { "the document" } else { &member.pointer };
        failure = failure.advise(crate::output::visible(&format!("{pointer}: {}", member.detail)));
    }
    if let Some(later) = later {
        failure = failure.advise(format!("the server says to try again in {}", format_duration(later)));
    }
    failure
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
    use clap::Parser as _;

    use super::*;

    fn client(server: &str) -> Result<Client, Failure> {
        let line = crate::args::CommandLine::try_parse_from(["jobmill", "--server", server]).expect("parses");
        Client::new(&line.global)
    }

    fn said(failure: Failure) -> (Exit, String) {
        let Failure::Said(report) = failure else { panic!("it is said") };
        (report.exit, report.render())
    }

    #[test]
    fn a_segment_never_leaves_its_place() {
        let client = client("http://127.0.0.1:1/").unwrap_or_else(|_| panic!("a good address"));
        let address = client.address(&["orders", "a/../b c?"], &[("to", "ada+1@example.com")]);
        assert_eq!(address, "http://127.0.0.1:1/api/v1/orders/a%2F..%2Fb%20c%3F?to=ada%2B1%40example.com");
    }

    #[test]
    fn what_is_no_server_address_is_wrong_usage() {
        for server in ["", "127.0.0.1:8288", "ftp://shop.example", "http://"] {
            let Err(failure) = client(server) else { panic!("{server}") };
            assert_eq!(failure.exit(), Exit::Usage, "{server}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_said_with_how_to_start_one() {
        // Nothing listens on the port that was just given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let client = client(&format!("http://127.0.0.1:{port}")).unwrap_or_else(|_| panic!("a good address"));
        let (exit, text) = said(client.get(&["jobs"], &[]).expect_err("nobody there"));
        assert_eq!(exit, Exit::Unreachable);
        assert!(text.contains("jobmill dev"), "{text}");
    }

    #[test]
    fn a_refusal_names_the_members_and_the_nearest_job() {
        let unknown = r#"{"title":"Unknown job","status":404,"code":"unknown-job",
            "detail":"there is no job \"welcome-emial\"; did you mean \"welcome-email\"?"}"#;
        let text = "error[unknown-job]: there is no job \"welcome-emial\"\n  did you mean \"welcome-email\"?";
        assert_eq!(said(refusal(404, unknown, None)), (Exit::NotFound, text.to_owned()));
        let invalid = r#"{"status":422,"code":"payload-invalid","detail":"the payload does not fit",
            "errors":[{"pointer":"/orderId","detail":"is required"}]}"#;
        let text = "error[payload-invalid]: the payload does not fit\n  /orderId: is required";
        assert_eq!(said(refusal(422, invalid, None)), (Exit::Failed, text.to_owned()));
        assert_eq!(refusal(502, "<html>", None).code(), "unexpected-answer");
    }

    #[test]
    fn a_refusal_for_now_says_when_to_try_again() {
        let crowded = r#"{"status":429,"code":"too-many-waiting","detail":"500 runs wait already"}"#;
        let text = "error[too-many-waiting]: 500 runs wait already\n  the server says to try again in 10s";
        let refused = refusal(429, crowded, Some(Duration::from_secs(10)));
        assert_eq!(said(refused), (Exit::Failed, text.to_owned()));
    }
}
