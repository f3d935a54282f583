//! Keeps other web sites from using a browser of this machine or of an operator: DNS rebinding, forged requests.
//! It authenticates nobody; once a token exists, that is what opens the server, under whatever name it is addressed.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::{Code, Problem};
use crate::keyring::Keyring;

pub(crate) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names by which the server may be addressed, on any port: ports may be forwarded.
#[derive(Debug, Clone)]
pub(crate) struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// The names of this machine's loopback.
    pub(crate) fn loopback() -> Self {
        Self(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into())
    }

    /// The same and the address that the server listens on.
    pub(crate) fn with(mut self, listen: IpAddr) -> Self {
        self.0.push(match listen {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        });
        self
    }

    fn allow(&self, authority: &Authority) -> bool {
        // User information before the host is no part of a Host header.
        !authority.as_str().contains('@') && self.0.iter().any(|host| host.eq_ignore_ascii_case(authority.host()))
    }
}

/// What requests are checked with.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) hosts: Arc<AllowedHosts>,
    pub(crate) keyring: Arc<Keyring>,
}

/// Refuses requests under a foreign name while there is no token, and changes that another site's page asks for.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    // A store that can't tell is taken for one without tokens, which is the stricter of the two here.
    let is_closed = guard.keyring.is_closed().await.unwrap_or(false);
    let hosts = if is_closed { None } else { Some(&*guard.hosts) };
    match check(hosts, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Where anybody may send something to, through any tunnel: events, for which the key in the path is what counts, and webhooks,
/// for which the signature is.
fn is_for_anybody(uri: &Uri) -> bool {
    ["/e/", "/webhooks/"].iter().any(|place| uri.path().starts_with(place))
}

/// `hosts` are the names that the server answers to; none for every name.
fn check(hosts: Option<&AllowedHosts>, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let authority = requested_host(uri, headers)?;
    if is_for_anybody(uri) {
        return Ok(());
    }
    if hosts.is_some_and(|hosts| !hosts.allow(&authority)) {
        let detail = format!(
            "this server does not answer to the name {:?}; use localhost or the address that it listens on",
            authority.as_str()
        );
        return Err(Problem::new(Code::ForbiddenHost, detail));
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let refuse = |detail| Err(Problem::new(Code::ForbiddenOrigin, detail));
    if headers.get_all(SEC_FETCH_SITE).iter().any(|site| site == "cross-site") {
        return refuse("another web site may not change anything here".to_owned());
    }
    match headers.get_all(header::ORIGIN).iter().find(|origin| !is_own(origin.as_bytes(), &authority)) {
        Some(origin) => refuse(format!("a page of {origin:?} may not change anything here")),
        None => Ok(()),
    }
}

/// Whether the request says that a page of the server itself asks for it.
pub(crate) fn is_own_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next(), requested_host(uri, headers)) {
        (Some(origin), None, Ok(authority)) => is_own(origin.as_bytes(), &authority),
        _ => false,
    }
}

/// What the request calls the server: once in its target or its `Host`, or twice and the same.
pub(crate) fn requested_host(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
    let refuse = |detail: &str| Problem::new(Code::ForbiddenHost, detail);
    let mut named = headers
        .get_all(header::HOST)
        .iter()
        .map(|value| Authority::try_from(value.as_bytes()).map_err(|_| refuse("the Host header is not a host")))
        .chain(uri.authority().cloned().map(Ok));
    let first = named.next().ok_or_else(|| refuse("the request has no Host header"))??;
    for other in named {
        if other? != first {
            return Err(refuse("the request names two hosts"));
        }
    }
    Ok(first)
}

/// Whether a page of this origin came from the server itself, by the name that the request uses.
fn is_own(origin: &[u8], authority: &Authority) -> bool {
    Uri::try_from(origin).is_ok_and(|origin| origin.authority() == Some(authority))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn refusal(method: &Method, headers: &[(HeaderName, &'static str)]) -> Option<Code> {
        let hosts = AllowedHosts::loopback().with([192, 168, 1, 7].into());
        refusal_at(Some(&hosts), method, "/", headers)
    }

    fn refusal_at(
        hosts: Option<&AllowedHosts>,
        method: &Method,
        path: &'static str,
        headers: &[(HeaderName, &'static str)],
    ) -> Option<Code> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        check(hosts, method, &Uri::from_static(path), &map).err().map(|problem| problem.code())
    }

    #[test]
    fn only_loopback_names_and_the_listen_address_are_answered_to() {
        for own in ["localhost", "LOCALHOST:8288", "127.0.0.1:1", "[::1]:8288", "192.168.1.7:8288"] {
            assert_eq!(refusal(&Method::GET, &[(header::HOST, own)]), None, "{own}");
        }
        for foreign in ["evil.example", "localhost.evil.example:8288", "127.0.0.2", "localhost@evil.example", "", "a b"]
        {
            assert_eq!(refusal(&Method::GET, &[(header::HOST, foreign)]), Some(Code::ForbiddenHost), "{foreign}");
        }
        assert_eq!(refusal(&Method::GET, &[]), Some(Code::ForbiddenHost));
        let two = [(header::HOST, "localhost"), (header::HOST, "evil.example")];
        assert_eq!(refusal(&Method::GET, &two), Some(Code::ForbiddenHost));
    }

    #[test]
    fn a_change_needs_no_origin_or_the_servers_own() {
        let with = |origin| [(header::HOST, "localhost:8288"), (header::ORIGIN, origin)];
        assert_eq!(refusal(&Method::POST, &with("http://localhost:8288")), None);
        assert_eq!(refusal(&Method::POST, &with("http://localhost:8288")[..1]), None);
        for foreign in ["http://evil.example", "http://localhost:3000", "http://127.0.0.1:8288", "null", "x y"] {
            assert_eq!(refusal(&Method::POST, &with(foreign)), Some(Code::ForbiddenOrigin), "{foreign}");
            assert_eq!(refusal(&Method::DELETE, &with(foreign)), Some(Code::ForbiddenOrigin), "{foreign}");
            assert_eq!(refusal(&Method::GET, &with(foreign)), None, "{foreign}");
        }
    }

    #[test]
    fn a_change_from_another_site_is_refused_and_from_none_is_not() {
        let with = |site| [(header::HOST, "localhost:8288"), (SEC_FETCH_SITE, site)];
        assert_eq!(refusal(&Method::PUT, &with("cross-site")), Some(Code::ForbiddenOrigin));
        assert_eq!(refusal(&Method::PUT, &with("same-origin")), None);
        assert_eq!(refusal(&Method::PUT, &with("none")), None);
        assert_eq!(refusal(&Method::GET, &with("cross-site")), None);
    }

    #[test]
    fn with_a_token_every_name_is_answered_to_and_foreign_pages_still_change_nothing() {
        let proxied = [(header::HOST, "jobs.shop.example"), (header::ORIGIN, "https://jobs.shop.example")];
        assert_eq!(refusal_at(None, &Method::POST, "/", &proxied), None);
        let forged = [(header::HOST, "jobs.shop.example"), (header::ORIGIN, "https://evil.example")];
        assert_eq!(refusal_at(None, &Method::POST, "/", &forged), Some(Code::ForbiddenOrigin));
        assert_eq!(refusal_at(None, &Method::GET, "/", &[]), Some(Code::ForbiddenHost));
    }

    #[test]
    fn any_page_may_send_events_and_any_tunnel_webhooks() {
        let hosts = AllowedHosts::loopback();
        let from =
            |host| [(header::HOST, host), (header::ORIGIN, "https://shop.example"), (SEC_FETCH_SITE, "cross-site")];
        for path in ["/e/key", "/webhooks/shop"] {
            assert_eq!(refusal_at(Some(&hosts), &Method::POST, path, &from("localhost:8288")), None, "{path}");
            assert_eq!(refusal_at(Some(&hosts), &Method::POST, path, &from("a.tunnel.example")), None, "{path}");
        }
        let rebound = refusal_at(Some(&hosts), &Method::POST, "/api/v1/events", &from("evil.example"));
        assert_eq!(rebound, Some(Code::ForbiddenHost));
        let other = refusal_at(Some(&hosts), &Method::POST, "/events/e/key", &from("localhost:8288"));
        assert_eq!(other, Some(Code::ForbiddenOrigin));
    }
}
