//! Who is signed in: sessions of browsers, each for a token, known by the cookie that the browser sends back.
//! They are kept in memory, so a restart ends them all; what a session may do is its token's matter, at each request anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use jobmill_core::flow::{FullAt, RateLimit};
use jobmill_core::token::Secret;
use jobmill_core::{Timestamp, TokenId};
use jobmill_store::StoreError;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::keyring::{Found, Keyring};

/// The prefix has browsers take it from this host alone, over a safe connection, for every path.
const COOKIE: &str = "__Host-jobmill";
/// What a browser may do with it: send it back to this server, and to a page that a link leads to; show it to no script.
const COOKIE_ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";
/// Sessions at once; beyond, the one that was not used for longest ends.
const SESSIONS: usize = 1_000;
/// How long a session lasts, however much it is used.
pub(crate) const LASTS: Duration = Duration::from_hours(12);
/// How long it lasts unused.
pub(crate) const LASTS_UNUSED: Duration = Duration::from_hours(2);
/// Tries to sign in: so few that guessing is hopeless, and so many that people who mistype go on.
const TRIES: RateLimit = RateLimit { limit: 30, period: Duration::from_mins(1), key: None };

/// The sessions that have begun, and what is left of the tries.
#[derive(Default)]
pub(crate) struct Sessions {
    kept: Mutex<HashMap<SessionKey, Session>>,
    tries: Mutex<FullAt>,
    /// Tells whoever was let in for longer than one request.
    ends: watch::Sender<()>,
}

/// What a session is known by: the SHA-256 of its cookie, so that nobody who reads the memory can use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey(pub(crate) [u8; 32]);

#[derive(Debug, Clone, Copy)]
struct Session {
    token: TokenId,
    began_at: Timestamp,
    used_at: Timestamp,
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.began_at) >= LASTS || now.since(self.used_at) >= LASTS_UNUSED
    }
}

impl SessionKey {
    fn of(cookie: &str) -> Self {
        Self(Sha256::digest(cookie).into())
    }
}

impl Sessions {
    /// Begins a session for a token. `secret` was drawn for it; what is answered sets the cookie.
    pub(crate) fn begin(&self, token: TokenId, secret: &Secret, now: Timestamp) -> Result<HeaderValue, InvalidCookie> {
        let cookie = secret.as_str();
        let value = HeaderValue::try_from(format!("{COOKIE}={cookie}; {COOKIE_ATTRIBUTES}"));
        let mut value = value.map_err(|_| InvalidCookie)?;
        value.set_sensitive(true);
        let mut kept = self.kept();
        kept.retain(|_, session| !session.is_over(now));
        if kept.len() >= SESSIONS {
            let stalest = kept.iter().min_by_key(|(_, session)| session.used_at).map(|(key, _)| *key);
            stalest.map(|key| kept.remove(&key));
            self.ends.send_replace(());
        }
        kept.insert(SessionKey::of(cookie), Session { token, began_at: now, used_at: now });
        Ok(value)
    }

    /// The session whose cookie was sent, with its token, if neither is over; counts as a use of the session.
    pub(crate) async fn find(
        &self,
        headers: &HeaderMap,
        keyring: &Keyring,
        now: Timestamp,
    ) -> Result<Option<(SessionKey, Found)>, StoreError> {
        let Some(key) = sent(headers).map(SessionKey::of) else { return Ok(None) };
        let Some(token) = self.touch(key, now) else { return Ok(None) };
        let found = keyring.valid(token, now).await?;
        if found.is_none() {
            self.end(key);
        }
        Ok(found.map(|found| (key, found)))
    }

    /// The token of a session that goes on; one that is over is forgotten.
    fn touch(&self, key: SessionKey, now: Timestamp) -> Option<TokenId> {
        let mut kept = self.kept();
        let session = kept.get_mut(&key)?;
        if session.is_over(now) {
            kept.remove(&key);
            return None;
        }
        // A clock that was set back makes no session younger.
        session.used_at = session.used_at.max(now);
        Some(session.token)
    }

    /// Ends a session at once.
    pub(crate) fn end(&self, key: SessionKey) {
        self.kept().remove(&key);
        self.ends.send_replace(());
    }

    /// How much longer a session lasts at most; none when it is over.
    pub(crate) fn left(&self, key: SessionKey, now: Timestamp) -> Option<Duration> {
        let session = self.kept().get(&key).copied().filter(|session| !session.is_over(now))?;
        Some(session.began_at.after(LASTS).since(now))
    }

    /// Hears of every session that is ended from now on.
    pub(crate) fn ends(&self) -> watch::Receiver<()> {
        self.ends.subscribe()
    }

    /// Ends the session whose cookie was sent.
    pub(crate) fn end_sent(&self, headers: &HeaderMap) {
        if let Some(cookie) = sent(headers) {
            self.end(SessionKey::of(cookie));
        }
    }

    /// Counts a try to sign in; when there were too many, the time of the next that is heard.
    pub(crate) fn count_try(&self, now: Timestamp) -> Result<(), Timestamp> {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        *tries = TRIES.settle(*tries, now);
        if TRIES.tokens(*tries, now) == 0 {
            return Err(TRIES.next(*tries, now));
        }
        *tries = TRIES.take(*tries, now);
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<SessionKey, Session>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A secret that no header can carry.
#[derive(Debug)]
pub(crate) struct InvalidCookie;

/// What takes the cookie away again.
pub(crate) fn no_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-jobmill=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// The cookie that a browser sent; two of them say nothing.
fn sent(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut own = pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value);
    match (own.next(), own.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use jobmill_core::Entropy;

    use super::*;

    struct Counting(AtomicU64);

    impl Entropy for Counting {
        fn next_u64(&self) -> u64 {
            self.0.fetch_add(1, Ordering::Relaxed)
        }
    }

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000).after(Duration::from_mins(minutes))
    }

    fn headers(cookies: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in cookies {
            headers.append(header::COOKIE, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_cookie_is_found_among_others_and_two_of_one_name_say_nothing() {
        assert_eq!(sent(&headers(&["a=b; __Host-jobmill=abc; c"])), Some("abc"));
        assert_eq!(sent(&headers(&["a=b", "__Host-jobmill=abc"])), Some("abc"));
        for other in [&[][..], &["jobmill=abc"], &["__Host-jobmill"], &["__Host-jobmill=a; __Host-jobmill=b"]] {
            assert_eq!(sent(&headers(other)), None, "{other:?}");
        }
        assert_eq!(sent(&headers(&["__Host-jobmill=a", "__Host-jobmill=b"])), None);
    }

    #[test]
    fn what_takes_the_cookie_away_names_the_one_that_was_set() {
        let text = no_cookie().to_str().expect("text").to_owned();
        assert_eq!(text, format!("{COOKIE}=; {COOKIE_ATTRIBUTES}; Max-Age=0"));
    }

    #[test]
    fn beyond_the_bound_the_session_that_was_unused_for_longest_ends() {
        let (sessions, entropy) = (Sessions::default(), Counting(AtomicU64::new(0)));
        let token = TokenId::generate(at(0), &entropy);
        let begin = |minutes| {
            let secret = Secret::generate(&entropy);
            sessions.begin(token, &secret, at(minutes)).expect("a cookie");
            SessionKey::of(secret.as_str())
        };
        let (first, second) = (begin(0), begin(0));
        assert_eq!(sessions.touch(first, at(1)), Some(token));
        for _ in 2..SESSIONS {
            begin(1);
        }
        assert_eq!(sessions.kept().len(), SESSIONS);
        begin(1);
        assert_eq!(sessions.kept().len(), SESSIONS);
        assert_eq!(sessions.touch(second, at(1)), None);
        assert_eq!(sessions.touch(first, at(1)), Some(token));
        // Those that are over make room first.
        begin(60 * 12);
        assert_eq!(sessions.kept().len(), 1);
    }

    #[test]
    fn a_session_ends_unused_after_2_hours_and_used_after_12() {
        let (sessions, entropy) = (Sessions::default(), Counting(AtomicU64::new(0)));
        let token = TokenId::generate(at(0), &entropy);
        let secret = Secret::generate(&entropy);
        let key = SessionKey::of(secret.as_str());
        sessions.begin(token, &secret, at(0)).expect("a cookie");
        for minutes in (0..12 * 60).step_by(119) {
            assert_eq!(sessions.touch(key, at(minutes)), Some(token), "{minutes}");
        }
        assert_eq!(sessions.touch(key, at(12 * 60)), None);
        sessions.begin(token, &secret, at(0)).expect("a cookie");
        assert_eq!(sessions.touch(key, at(120)), None);
        assert_eq!(sessions.touch(key, at(1)), None, "it stays over");
    }

    #[test]
    fn tries_come_back_with_time() {
        let sessions = Sessions::default();
        for _ in 0..30 {
            assert_eq!(sessions.count_try(at(0)), Ok(()));
        }
        assert_eq!(sessions.count_try(at(0)), Err(at(0).after(Duration::from_secs(2))));
        assert_eq!(sessions.count_try(at(0).after(Duration::from_secs(2))), Ok(()));
    }
}
