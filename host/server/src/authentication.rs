//! Whether a request may use the route that it asks for: by the rule of the route and the token or session that it carries.
//! It keeps no tokens and makes none; without any token everything is open, and `origin` guards instead.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jobmill_core::token::{Scope, SecretDigest, Token};
use jobmill_core::{Timestamp, TokenId};
use jobmill_engine::Handle;

use crate::Context;
use crate::error::{Code, Problem};
use crate::keyring::{Found, Keyring, Spent};
use crate::routes::{Rule, Rules};
use crate::sessions::{SessionKey, Sessions};
use crate::{origin, pages};

/// Where the routes of Inngest's REST interface are, whose clients send their key hashed.
const INNGEST_REST: &str = "/v1/";

/// What requests are checked with.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) handle: Handle,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) rules: Arc<Rules>,
}

/// Whoever asks, as far as that is known: the token that the request carried or is signed in with, if it needed one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    token: Option<Arc<Token>>,
    session: Option<SessionKey>,
}

impl Caller {
    /// What the token is for, in its owner's words; none without one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.token.as_deref().map(|token| token.name.as_str())
    }

    /// Its id; none without one.
    pub(crate) fn id(&self) -> Option<TokenId> {
        self.token.as_deref().map(|token| token.id)
    }

    /// The session that it is signed in by; none where the request carried the token itself.
    pub(crate) fn session(&self) -> Option<SessionKey> {
        self.session
    }

    /// How much longer it may look without being asked again who it is; none when it may not any more.
    pub(crate) async fn left(&self, context: &Context) -> Option<Duration> {
        let (keyring, now) = (&context.keyring, context.handle.now());
        let Some(token) = self.token.as_deref() else {
            // Without any token everybody may. One that can't be asked for lets nobody look.
            return keyring.is_closed().await.is_ok_and(|is_closed| !is_closed).then_some(Duration::MAX);
        };
        let found = keyring.valid(token.id, now).await.ok().flatten()?;
        let of_token = found.token.expires_at.map_or(Duration::MAX, |at| at.since(now));
        let of_session = self.session.map_or(Some(Duration::MAX), |key| context.sessions.left(key, now))?;
        Some(of_token.min(of_session))
    }

    /// Whether it may do what a scope allows. Without tokens everybody may.
    pub(crate) fn may(&self, wanted: Scope) -> bool {
        self.token.as_deref().is_none_or(|token| token.scope.allows(wanted))
    }

    /// The bound on runs that wait, over all jobs, beyond which the token's work is refused.
    pub(crate) fn max_waiting(&self) -> Option<u32> {
        self.token.as_deref().and_then(|token| token.max_waiting)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// Lets a request through to its route, with its `Caller`, or refuses it.
pub(crate) async fn authenticate(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // Where no route was found there is nothing to guard, and the fallbacks say so.
    let Some(path) = matched else { return next.run(request).await };
    let Some(rule) = doors.rules.rule(request.method(), &path) else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    match doors.caller(rule, &path, &mut parts).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => match pages::sign_in_instead(&problem, &parts) {
            Some(response) => response,
            None => refusal(&path, problem),
        },
    }
}

impl Doors {
    async fn caller(&self, rule: Rule, path: &str, parts: &mut Parts) -> Result<Caller, Problem> {
        let wanted = match rule {
            Rule::Open | Rule::Signed => return Ok(Caller::default()),
            Rule::Scope(scope) => scope,
            Rule::EventKey => Scope::Enqueue,
        };
        if !self.keyring.is_closed().await? {
            return Ok(Caller::default());
        }
        let now = self.handle.now();
        let (session, found) = self.identify(rule, path, parts, now).await?.ok_or_else(unknown)?;
        if let Spent::Beyond(next) = self.keyring.spend(&found, now) {
            return Err(rate_limited(&found.token, next, now));
        }
        if !found.token.scope.allows(wanted) {
            return Err(scope_missing(&found.token, wanted));
        }
        Ok(Caller { token: Some(Arc::new(found.token)), session })
    }

    /// The valid token that the request carries, or that its session is for. A request that carries any has no session.
    async fn identify(
        &self,
        rule: Rule,
        path: &str,
        parts: &mut Parts,
        now: Timestamp,
    ) -> Result<Option<(Option<SessionKey>, Found)>, Problem> {
        let digests = match rule {
            Rule::EventKey => event_key(parts).await.iter().map(|key| SecretDigest::of(key)).collect(),
            _ if parts.headers.contains_key(header::AUTHORIZATION) => digests(bearer(&parts.headers), path),
            _ if !may_use_session(path, parts) => return Ok(None),
            _ => {
                let found = self.sessions.find(&parts.headers, &self.keyring, now).await?;
                return Ok(found.map(|(session, found)| (Some(session), found)));
            }
        };
        Ok(self.keyring.find(&digests, now).await?.map(|found| (None, found)))
    }
}

/// Whether a session opens this as its token would. Browsers send cookies along whoever asks them to, so a change needs
/// more: pages have the key of their forms, and what is for programs is to be asked for by our own page, which says so.
fn may_use_session(path: &str, parts: &Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD)
        || !pages::is_for_programs(path)
        || origin::is_own_page(&parts.uri, &parts.headers)
}

/// The one text for no token, a wrong one, one that ran out and one that was revoked: nobody learns which it was.
fn unknown() -> Problem {
    let detail = "this needs a valid API token: send it as Authorization: Bearer …; `jobmill token create` makes one";
    Problem::new(Code::TokenRequired, detail)
}

fn scope_missing(token: &Token, wanted: Scope) -> Problem {
    let detail = format!("this needs a token of the scope {wanted}; {:?} has the scope {}", token.name, token.scope);
    Problem::new(Code::ScopeMissing, detail)
}

pub(crate) fn rate_limited(token: &Token, next: Timestamp, now: Timestamp) -> Problem {
    let seconds = next.since(now).as_millis().div_ceil(1_000).max(1);
    let detail = format!("the token {:?} makes more requests than its rate limit lets it", token.name);
    Problem::new(Code::RateLimited, detail).retry_after(u64::try_from(seconds).unwrap_or(u64::MAX))
}

/// The secret of the one `Authorization: Bearer …`; two of them say nothing.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (sent.next(), sent.next()) else { return None };
    let (scheme, secret) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

/// What a secret may be known by. Inngest's clients hash theirs before they send it.
fn digests(secret: Option<&str>, path: &str) -> Vec<SecretDigest> {
    let Some(secret) = secret else { return Vec::new() };
    let hashed = if path.starts_with(INNGEST_REST) { SecretDigest::of_hashed(secret) } else { None };
    std::iter::once(SecretDigest::of(secret)).chain(hashed).collect()
}

/// The last segment of the path, decoded.
async fn event_key(parts: &mut Parts) -> Option<String> {
    let parameters = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    parameters.iter().last().map(|(_, key)| key.to_owned())
}

/// A refusal, of Inngest's REST interface in its own words; its other refusals get theirs in `inngest`.
fn refusal(path: &str, problem: Problem) -> Response {
    let status = problem.status();
    if path.starts_with(INNGEST_REST) && status == StatusCode::UNAUTHORIZED {
        return (status, "Authentication failed").into_response();
    }
    problem.into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_secret_is_read_from_one_bearer_header() {
        assert_eq!(bearer(&headers(&["Bearer abc"])), Some("abc"));
        assert_eq!(bearer(&headers(&["bearer  abc "])), Some("abc"));
        for other in [&[][..], &["abc"], &["Basic abc"], &["Bearer"], &["Bearer abc", "Bearer def"]] {
            assert_eq!(bearer(&headers(other)), None, "{other:?}");
        }
    }

    #[test]
    fn only_inngests_own_routes_take_a_hashed_key() {
        let sent = format!("signkey-prod-{}", "5f".repeat(32));
        assert_eq!(digests(Some(&sent), "/v1/events/{id}").len(), 2);
        assert_eq!(digests(Some(&sent), "/api/v1/runs").len(), 1);
        assert_eq!(digests(None, "/v1/events/{id}").len(), 0);
    }
}
