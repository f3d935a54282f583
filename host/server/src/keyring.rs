//! The API tokens that open something: those of the configuration, and those that were made and are kept in the store.
//! It knows no request and no route; `authentication` asks it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jobmill_core::flow::FullAt;
use jobmill_core::token::{SecretDigest, Token};
use jobmill_core::{Timestamp, TokenId};
use jobmill_engine::Handle;
use jobmill_store::StoreError;
use subtle::{Choice, ConstantTimeEq as _};
use tokio::sync::watch;

use crate::settings::ServerSettings;

/// Between two uses of a token that are put on record.
const USES_APART: Duration = Duration::from_mins(1);

/// Where a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenSource {
    /// The configuration declares it.
    Configuration,
    /// It was made, and is kept in the store.
    Created,
}

/// Every token, and how each was used since the server started.
pub(crate) struct Keyring {
    handle: Handle,
    settings: Arc<ServerSettings>,
    /// Of tokens that exist, so it grows no larger than their list.
    uses: Mutex<HashMap<TokenId, Use>>,
    /// Tells whoever was let in for longer than one request.
    changes: watch::Sender<()>,
}

/// How a token was used since the server started.
#[derive(Debug, Default, Clone, Copy)]
struct Use {
    /// The last one that was put on record.
    noted_at: Option<Timestamp>,
    bucket: FullAt,
}

/// What a use of a token came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spent {
    /// It was within the token's rate.
    Within,
    /// It was not; there is room at this time.
    Beyond(Timestamp),
}

impl Keyring {
    /// The tokens that the settings and the store name.
    pub(crate) fn new(handle: Handle, settings: Arc<ServerSettings>) -> Self {
        Self { handle, settings, uses: Mutex::default(), changes: watch::Sender::default() }
    }

    /// Says that a token was made or revoked.
    pub(crate) fn changed(&self) {
        self.changes.send_replace(());
    }

    /// Hears of every token that is made or revoked from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Whether any token exists. From then on nothing opens without one, even if it is revoked.
    pub(crate) async fn is_closed(&self) -> Result<bool, StoreError> {
        Ok(!self.settings.tokens.is_empty() || !self.handle.tokens().await?.is_empty())
    }

    /// The valid token that one of these digests is of. Every valid one is compared, so that the time tells nothing.
    pub(crate) async fn find(&self, sent: &[SecretDigest], now: Timestamp) -> Result<Option<Found>, StoreError> {
        let created = self.handle.tokens().await?;
        let configured = self.settings.tokens.iter().map(|token| (token, TokenSource::Configuration));
        let mut found = None;
        let all = configured.chain(created.iter().map(|token| (token, TokenSource::Created)));
        for (token, source) in all.filter(|(token, _)| token.is_valid(now)) {
            let no_match = Choice::from(0);
            let matches = sent.iter().fold(no_match, |any, digest| any | digest.0.ct_eq(&token.digest.0));
            if bool::from(matches) {
                found = Some(Found { token: token.clone(), source });
            }
        }
        Ok(found)
    }

    /// The token of this id, if it is valid.
    pub(crate) async fn valid(&self, id: TokenId, now: Timestamp) -> Result<Option<Found>, StoreError> {
        let is_it = |token: &&Token| token.id == id && token.is_valid(now);
        if let Some(token) = self.settings.tokens.iter().find(is_it) {
            return Ok(Some(Found { token: token.clone(), source: TokenSource::Configuration }));
        }
        let created = self.handle.tokens().await?;
        let token = created.iter().find(is_it).cloned();
        Ok(token.map(|token| Found { token, source: TokenSource::Created }))
    }

    /// Counts a use of a token against its rate, and puts it on record at most once a minute.
    pub(crate) fn spend(&self, found: &Found, now: Timestamp) -> Spent {
        let token = &found.token;
        let (spent, is_news) = {
            let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = uses.entry(token.id).or_default();
            let spent = match &token.rate_limit {
                Some(rate) if rate.tokens(mine.bucket, now) == 0 => Spent::Beyond(rate.next(mine.bucket, now)),
                Some(rate) => {
                    mine.bucket = rate.take(mine.bucket, now);
                    Spent::Within
                }
                None => Spent::Within,
            };
            let is_news = mine.noted_at.is_none_or(|at| now.since(at) >= USES_APART);
            if is_news {
                mine.noted_at = Some(now);
            }
            (spent, is_news)
        };
        if is_news && found.source == TokenSource::Created && token.is_use_news(now) {
            self.note(token.id);
        }
        spent
    }

    /// Puts a use on record beside the request, which does not wait for it.
    fn note(&self, id: TokenId) {
        let handle = self.handle.clone();
        tokio::spawn(async move {
            if let Err(error) = handle.touch_token(id).await {
                tracing::debug!(%id, %error, "the use of a token was not put on record");
            }
        });
    }

    /// Every token with where it comes from, those of the configuration first.
    pub(crate) async fn all(&self) -> Result<Vec<Found>, StoreError> {
        let created = self.handle.tokens().await?;
        let uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let configured = self.settings.tokens.iter().map(|token| {
            let last_used_at = uses.get(&token.id).and_then(|used| used.noted_at);
            Found { token: Token { last_used_at, ..token.clone() }, source: TokenSource::Configuration }
        });
        let created = created.iter().cloned().map(|token| Found { token, source: TokenSource::Created });
        Ok(configured.chain(created).collect())
    }
}

/// A token and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) token: Token,
    pub(crate) source: TokenSource,
}
