//! Signing in with an API token, and out again. Where no token exists nobody has to.
//! What a session is and when it ends stands in `sessions`; what it opens, in `authentication`.

use std::net::IpAddr;
use std::time::Duration;

use askama::Template;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::handler::Handler as _;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jobmill_core::token::{Scope, SecretDigest};
use jobmill_core::{Timestamp, limits};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::Context;
use crate::authentication::Caller;
use crate::error::{Code, Problem};
use crate::keyring::{Found, Spent};
use crate::origin::{SEC_FETCH_SITE, requested_host};
use crate::pages::form::Posted;
use crate::pages::frame::page_with;
use crate::pages::refusals::{is_for_programs, wants_a_page};
use crate::query::Parameters;
use crate::routes::{Routes, Rule};
use crate::sessions::{LASTS, LASTS_UNUSED, no_cookie};

const PATH: &str = "/sign-in";
/// Bytes of a path that is gone back to.
const NEXT_BYTES: usize = 2_000;
/// Bytes of the form: it is read before anybody is known.
const FORM_BYTES: usize = 16 * 1024;
/// How long a browser may take to send it.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const FORWARDED_PROTOCOL: HeaderName = HeaderName::from_static("x-forwarded-proto");

pub(super) fn routes() -> Routes {
    Routes::new()
        .get(PATH, Rule::Open, show)
        .post(PATH, Rule::Open, enter.layer(DefaultBodyLimit::max(FORM_BYTES)))
        .post("/sign-out", Rule::READ, leave)
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    form_key: String,
    next: Next,
    /// Why it did not work, for people.
    refusal: Option<String>,
    /// Whether something was sent by whoever was not signed in any more.
    has_ended: bool,
    /// Under which name the server is asked, where browsers keep no cookie.
    plain_name: Option<String>,
}

/// Where to go after signing in: a path of this server, with its query.
struct Next(String);

impl Next {
    /// What was asked for, if it is a path here that leads somewhere; else the first page.
    fn of(asked: Option<&str>) -> Self {
        Self(asked.filter(|asked| leads_here(asked)).unwrap_or("/").to_owned())
    }
}

/// Whether a browser that is sent there stays with this server. It takes `\` for `/`, and what follows `//` for a host.
fn leads_here(asked: &str) -> bool {
    let is_path = asked.starts_with('/') && !asked.starts_with("//");
    let is_plain = asked.len() <= NEXT_BYTES && asked.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let Ok(parsed) = PathAndQuery::try_from(asked) else { return false };
    is_path && is_plain && parsed.as_str() == asked && ![PATH, "/sign-out"].contains(&parsed.path())
}

/// What a browser that is not signed in is answered instead of a refusal: the way to sign in, and back from there.
pub(crate) fn sign_in_instead(problem: &Problem, parts: &Parts) -> Option<Response> {
    let is_page = wants_a_page(&parts.headers) && !is_for_programs(parts.uri.path());
    if problem.code() != Code::TokenRequired || !is_page {
        return None;
    }
    let asked = parts.uri.path_and_query().map(PathAndQuery::as_str);
    let place = match (&parts.method, asked.filter(|asked| leads_here(asked) && *asked != "/")) {
        (&Method::GET | &Method::HEAD, Some(asked)) => {
            format!("{PATH}?next={}", utf8_percent_encode(asked, NON_ALPHANUMERIC))
        }
        (&Method::GET | &Method::HEAD, None) => PATH.to_owned(),
        // What was sent is lost; there is nothing to go back to.
        _ => format!("{PATH}?ended=true"),
    };
    see(&place).ok()
}

/// Leads a browser to a path of this server.
fn see(path: &str) -> Result<Response, Problem> {
    let location = HeaderValue::try_from(path).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

impl SignInPage {
    const HOURS: u64 = LASTS.as_secs() / 3_600;
    const HOURS_UNUSED: u64 = LASTS_UNUSED.as_secs() / 3_600;

    fn new(context: &Context, uri: &Uri, headers: &HeaderMap, next: Next) -> Self {
        let form_key = context.form_keys.of(&Caller::default());
        Self { form_key, next, refusal: None, has_ended: false, plain_name: plain_name(uri, headers) }
    }

    fn refused(self, status: StatusCode, refusal: impl Into<String>) -> Result<Response, Problem> {
        page_with(status, &Self { refusal: Some(refusal.into()), ..self })
    }
}

async fn show(State(context): State<Context>, parameters: Parameters, request: Request) -> Result<Response, Problem> {
    let parameters = parameters.only(&["next", "ended"])?;
    let next = Next::of(parameters.text("next"));
    let now = context.handle.now();
    let headers = request.headers();
    let is_needed =
        context.keyring.is_closed().await? && context.sessions.find(headers, &context.keyring, now).await?.is_none();
    if !is_needed {
        return see(&next.0);
    }
    let has_ended = parameters.value::<bool>("ended")?.unwrap_or(false);
    let page = SignInPage::new(&context, request.uri(), headers, next);
    page_with(StatusCode::OK, &SignInPage { has_ended, ..page })
}

async fn enter(State(context): State<Context>, request: Request) -> Result<Response, Problem> {
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    let page = |next| SignInPage::new(&context, &uri, &headers, next);
    let posted = match tokio::time::timeout(READ_TIMEOUT, Posted::from_request(request, &context)).await {
        Ok(Ok(posted)) => posted,
        // The key of the form is of another start of the server.
        Ok(Err(problem)) if problem.code() == Code::ForbiddenOrigin => {
            return page(Next::of(None)).refused(StatusCode::FORBIDDEN, "This page had grown old. Please try again.");
        }
        Ok(Err(problem)) => return Err(problem),
        Err(_) => return Err(Problem::new(Code::Timeout, "the form did not arrive in time")),
    };
    let next = Next::of(posted.text("next"));
    if !context.keyring.is_closed().await? {
        return see(&next.0);
    }
    let page = page(next);
    if page.plain_name.is_some() {
        return page.refused(StatusCode::BAD_REQUEST, "You are not signed in, because your browser would not keep it.");
    }
    let now = context.handle.now();
    let found = match token(&context, posted.text("token"), now).await? {
        Ok(found) => found,
        Err(refusal) => return refusal.answer(page),
    };
    context.sessions.end_sent(&headers);
    let (_, secret) = context.handle.new_secret();
    let begun = context.sessions.begin(found.token.id, &secret, now);
    let cookie =
        begun.map_err(|_| Problem::new(Code::Internal, "the session has a secret that no header can carry"))?;
    tracing::info!(id = %found.token.id, name = found.token.name, "somebody signed in with an API token");
    Ok(with_cookie(see(&page.next.0)?, cookie))
}

/// Why somebody is not let in.
struct Refusal {
    status: StatusCode,
    said: String,
    retry_at: Option<(Timestamp, Timestamp)>,
}

impl Refusal {
    fn new(status: StatusCode, said: impl Into<String>) -> Self {
        Self { status, said: said.into(), retry_at: None }
    }

    fn beyond(next: Timestamp, now: Timestamp) -> Self {
        let retry_at = Some((next, now));
        Self { retry_at, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "There were too many tries.") }
    }

    fn answer(self, page: SignInPage) -> Result<Response, Problem> {
        let Some((next, now)) = self.retry_at else { return page.refused(self.status, self.said) };
        let seconds = next.since(now).as_millis().div_ceil(1_000).max(1);
        let said = format!("{} Please wait {seconds} s, then try again.", self.said);
        let mut response = page.refused(self.status, said)?;
        if let Ok(seconds) = HeaderValue::try_from(seconds.to_string()) {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        Ok(response)
    }
}

/// The token that was typed in, if it lets anybody look at pages.
async fn token(context: &Context, typed: Option<&str>, now: Timestamp) -> Result<Result<Found, Refusal>, Problem> {
    let Some(typed) = typed.map(str::trim) else {
        return Ok(Err(Refusal::new(StatusCode::BAD_REQUEST, "Please type or paste a token.")));
    };
    if let Err(next) = context.sessions.count_try(now) {
        return Ok(Err(Refusal::beyond(next, now)));
    }
    let Some(found) = context.keyring.find(&[SecretDigest::of(typed)], now).await? else {
        tracing::info!("somebody tried to sign in with what is no valid API token");
        return Ok(Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "This is no valid token. It may be mistyped, revoked, or over.",
        )));
    };
    if let Spent::Beyond(next) = context.keyring.spend(&found, now) {
        return Ok(Err(Refusal::beyond(next, now)));
    }
    if !found.token.scope.allows(Scope::Read) {
        let name = limits::truncate(&found.token.name, limits::KEY_BYTES);
        let said = format!(
            "The token “{name}” has the scope {}: it brings work in, and shows nothing. Sign in with one of the scope \
             read or operate.",
            found.token.scope
        );
        return Ok(Err(Refusal::new(StatusCode::FORBIDDEN, said)));
    }
    Ok(Ok(found))
}

async fn leave(State(context): State<Context>, caller: Caller, _: Posted) -> Result<Response, Problem> {
    if let Some(session) = caller.session() {
        context.sessions.end(session);
        tracing::info!(name = caller.name(), "somebody signed out");
    }
    Ok(with_cookie(see(PATH)?, no_cookie()))
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

/// The name by which a browser calls the server, if it seems to do so over plain HTTP from another machine. It takes no
/// `Secure` cookie then. A name of this machine is safe to it, and `Sec-Fetch-…` is sent to nothing else.
fn plain_name(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let authority = requested_host(uri, headers).ok()?;
    let says = |name, start: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with(start))
    };
    let is_safe = is_this_machine(authority.host())
        || headers.contains_key(SEC_FETCH_SITE)
        || says(header::ORIGIN, "https://")
        || says(FORWARDED_PROTOCOL, "https");
    (!is_safe).then(|| authority.to_string())
}

fn is_this_machine(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_server_is_gone_to() {
        for here in ["/runs", "/runs?state=dead&job=a", "/jobs/a%2Fb", "/?next=//evil.example", "/sign-in-sheet"] {
            assert_eq!(Next::of(Some(here)).0, here);
        }
        let long = format!("/{}", "a".repeat(NEXT_BYTES));
        for elsewhere in [
            "",
            "runs",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "https://evil.example/",
            "https:evil.example",
            "javascript:alert(1)",
            "/runs#a",
            "/rüns",
            "/runs\r\nSet-Cookie: a=b",
            "/sign-in?next=/runs",
            "/sign-out",
            &long,
        ] {
            assert_eq!(Next::of(Some(elsewhere)).0, "/", "{elsewhere:?}");
        }
        assert_eq!(Next::of(None).0, "/");
    }

    #[test]
    fn a_browser_keeps_the_cookie_over_https_and_on_this_machine() {
        let name = |host: &'static str, more: Option<(HeaderName, &'static str)>| {
            let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            headers.extend(more.map(|(name, value)| (name, HeaderValue::from_static(value))));
            plain_name(&Uri::from_static("/sign-in"), &headers)
        };
        for host in ["localhost:8288", "LOCALHOST", "jobs.localhost:1", "127.0.0.1:8288", "127.9.9.9", "[::1]:8288"] {
            assert_eq!(name(host, None), None, "{host}");
        }
        for host in ["jobs.lan:8288", "192.168.1.7", "localhost.evil.example", "notlocalhost", "[2001:db8::1]:80"] {
            assert_eq!(name(host, None).as_deref(), Some(host));
            assert_eq!(name(host, Some((header::ORIGIN, "http://jobs.lan"))).as_deref(), Some(host));
        }
        for (safe, value) in
            [(SEC_FETCH_SITE, "none"), (FORWARDED_PROTOCOL, "https"), (header::ORIGIN, "https://jobs.lan:8288")]
        {
            assert_eq!(name("jobs.lan:8288", Some((safe, value))), None);
        }
    }
}
