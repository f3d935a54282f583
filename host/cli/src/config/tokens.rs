//! `[server] tokens`: API tokens that the configuration declares, beside those that the store keeps.
//! It opens nothing; the server compares secrets.

use std::num::NonZeroU32;
use std::time::Duration;

use jobmill_core::flow::RateLimit;
use jobmill_core::time::as_text;
use jobmill_core::token::{SECRET_CHARACTERS_MIN, Scope, SecretDigest, Token};
use jobmill_core::{Timestamp, TokenId, limits};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::secret::SecretSource;
use crate::failure::Failure;

/// A token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenSection {
    name: String,
    scope: Scope,
    secret: SecretSource,
    rate_limit: Option<RateSection>,
    max_waiting: Option<u32>,
}

/// So many requests in each period.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateSection {
    limit: NonZeroU32,
    #[serde(with = "as_text")]
    period: Duration,
}

/// Refuses what can be refused without a look at the secrets.
pub(super) fn check(sections: &[TokenSection]) -> Result<(), Failure> {
    for (position, section) in sections.iter().enumerate() {
        let refuse = |what: &str, reason: &str| {
            let text = format!("server.tokens.{position}.{what} {reason}");
            Err(Failure::usage("configuration", text))
        };
        if section.name.trim().is_empty() || section.name.len() > limits::TITLE_BYTES {
            return refuse("name", "has to be a few words: what the token is for");
        }
        if sections[..position].iter().any(|other| other.name == section.name) {
            return refuse("name", &format!("is {:?}, and so is another; give each token its own", section.name));
        }
        if let Some(RateSection { limit, period }) = section.rate_limit {
            if limit.get() > limits::RATE {
                return refuse("rate_limit.limit", &format!("is over {}", limits::RATE));
            }
            if !(limits::SPAN_MIN..=limits::RATE_PERIOD_MAX).contains(&period) {
                return refuse("rate_limit.period", "must be from 1ms to 24h");
            }
        }
    }
    Ok(())
}

/// The tokens with their secrets read, as the server wants them.
pub(super) fn tokens(sections: &[TokenSection], now: Timestamp) -> Result<Vec<Token>, Failure> {
    let mut tokens: Vec<Token> = Vec::with_capacity(sections.len());
    for (position, section) in sections.iter().enumerate() {
        let key = format!("server.tokens.{position}.secret");
        let secret = section.secret.read(&key)?;
        if secret.chars().count() < SECRET_CHARACTERS_MIN {
            let text =
                format!("{key}: the secret of {:?} is shorter than {SECRET_CHARACTERS_MIN} characters", section.name);
            return Err(Failure::usage("configuration", text).advise("make a good one with: openssl rand -hex 32"));
        }
        let digest = SecretDigest::of(&secret);
        if let Some(other) = tokens.iter().find(|other| other.digest == digest) {
            let text = format!("{key}: {:?} has the same secret as {:?}", section.name, other.name);
            return Err(Failure::usage("configuration", text).advise("give each token a secret of its own"));
        }
        let rate = |RateSection { limit, period }| RateLimit { limit: limit.get(), period, key: None };
        tokens.push(Token {
            id: id_of(&section.name),
            name: section.name.clone(),
            scope: section.scope,
            digest,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            rate_limit: section.rate_limit.map(rate),
            max_waiting: section.max_waiting,
        });
    }
    Ok(tokens)
}

/// The same after each start. The time in it is 0, so that it is nobody else's and is listed first.
fn id_of(name: &str) -> TokenId {
    let digest = Sha256::new().chain_update("a token of the configuration\0").chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes[6..].copy_from_slice(&digest[..10]);
    TokenId::from_bytes(bytes)
}
