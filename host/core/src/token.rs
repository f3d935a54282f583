//! API tokens: what each may do, until when, and how a secret is known again without being kept.
//! It keeps no list and checks no request; the store and the server do.
//!
//! A secret is `jm_` and 64 hex digits. Inngest's SDKs send their signing key as `signkey-…-` and the hex of its SHA-256:
//! so the same digits behind `signkey-prod-` are the same token, plain or as the SDK hashes it. What is kept is hashed once
//! more, so that nobody who reads the store can use it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::flow::RateLimit;
use crate::id::{TokenId, hex};
use crate::time::{Entropy, Timestamp};

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Bring work in: enqueue runs, publish events. An event key is such a token.
    Enqueue,
    /// See everything, change nothing.
    Read,
    /// Everything.
    Operate,
}

impl Scope {
    /// Whether a token of this scope may do what `wanted` allows.
    pub fn allows(self, wanted: Self) -> bool {
        self == wanted || self == Self::Operate
    }

    /// The word for it everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scope; one of enqueue, read, operate")]
pub struct ScopeError(String);

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Enqueue, Self::Read, Self::Operate];
        all.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| ScopeError(text.to_owned()))
    }
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What it is for, for people.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// What its secret is known again by.
    pub digest: SecretDigest,
    /// When it was made.
    pub created_at: Timestamp,
    /// It opens nothing from then on; none for ever.
    pub expires_at: Option<Timestamp>,
    /// It opens nothing since then.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute or so.
    pub last_used_at: Option<Timestamp>,
    /// How many requests it may make in a period; what comes beyond is refused with 429.
    pub rate_limit: Option<RateLimit>,
    /// Its work is refused with 429 while so many runs wait, over all jobs.
    pub max_waiting: Option<u32>,
}

impl Token {
    /// Whether it opens anything at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// Whether this use is to be put on record: the first, and later ones a minute after that.
    pub fn is_use_news(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|at| now.since(at) >= Duration::from_mins(1))
    }
}

/// What a secret is known again by: the SHA-256 of the SHA-256 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretDigest(pub [u8; 32]);

/// The secret of a token, shown once. It has no `Debug` that shows it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A new one.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&entropy.next_u64().to_be_bytes());
        }
        Self(format!("jm_{}", hex(&bytes)))
    }

    /// The text to hand out.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The fewest characters of a secret that an operator chose.
pub const SECRET_CHARACTERS_MIN: usize = 16;

impl SecretDigest {
    /// Of a secret as it was handed out, in either form, or as an operator chose it.
    pub fn of(secret: &str) -> Self {
        let digits = secret.strip_prefix("jm_").or_else(|| without_signing_prefix(secret)).unwrap_or(secret);
        let once = match bytes_of(digits) {
            Some(bytes) => Sha256::digest(bytes),
            None => Sha256::digest(secret),
        };
        Self(Sha256::digest(once).into())
    }

    /// Of a secret as Inngest's SDKs send their signing key: already hashed once. None for what has another form.
    pub fn of_hashed(sent: &str) -> Option<Self> {
        let once = bytes_of(without_signing_prefix(sent)?)?;
        Some(Self(Sha256::digest(once).into()))
    }
}

/// `signkey-prod-…` without what stands before the digits.
fn without_signing_prefix(text: &str) -> Option<&str> {
    let (environment, digits) = text.strip_prefix("signkey-")?.split_once('-')?;
    let is_word = !environment.is_empty() && environment.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    is_word.then_some(digits)
}

fn bytes_of(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_same_in_each_form_that_it_is_sent_in() {
        let digits = "5f".repeat(32);
        let digest = SecretDigest::of(&format!("jm_{digits}"));
        assert_eq!(SecretDigest::of(&format!("signkey-prod-{digits}")), digest);
        let hashed = hex(&Sha256::digest([0x5f; 32]));
        assert_eq!(SecretDigest::of_hashed(&format!("signkey-prod-{hashed}")), Some(digest));
        assert_eq!(SecretDigest::of_hashed(&hashed), None);
        // What is kept opens nothing.
        assert_ne!(SecretDigest::of_hashed(&format!("signkey-prod-{}", hex(&digest.0))), Some(digest));
        assert_ne!(SecretDigest::of(&hex(&digest.0)), digest);
    }

    #[test]
    fn secrets_of_an_operators_own_choice_differ_by_each_character() {
        assert_ne!(SecretDigest::of("a rather long one"), SecretDigest::of("a rather long One"));
        assert_eq!(SecretDigest::of_hashed("a rather long one"), None);
    }

    #[test]
    fn operate_allows_everything_and_the_others_only_themselves() {
        for wanted in [Scope::Enqueue, Scope::Read, Scope::Operate] {
            assert!(Scope::Operate.allows(wanted));
            assert_eq!(Scope::Read.allows(wanted), wanted == Scope::Read);
            assert_eq!(Scope::Enqueue.allows(wanted), wanted == Scope::Enqueue);
        }
    }
}
