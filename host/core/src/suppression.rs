//! Addresses that get no mail: who said so, when, and why.
//! It keeps no list and looks nothing up; the store does both.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::id::hex;
use crate::mail::{InvalidMessage, Mailbox};
use crate::time::Timestamp;

/// Names an address without saying it, so that one that was forgotten still gets no mail: the SHA-256 of the address in
/// lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressDigest([u8; 32]);

impl AddressDigest {
    /// The digest of an address, in any case.
    pub fn of(address: &str) -> Self {
        Self(Sha256::digest(address.to_ascii_lowercase()).into())
    }
}

impl fmt::Display for AddressDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A text that is no digest of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the digest of an address has 64 hex digits")]
pub struct DigestError;

impl FromStr for AddressDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(DigestError);
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| DigestError)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for AddressDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for AddressDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// An address that gets no mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// The address in lower case; none once it was forgotten.
    pub address: Option<String>,
    /// What names it, forgotten or not.
    pub digest: AddressDigest,
    /// Why, for people.
    pub reason: Option<String>,
    /// Who said so.
    pub source: SuppressionSource,
    /// Since when.
    pub at: Timestamp,
}

/// Who said that an address gets no mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuppressionSource {
    /// An operator, by this name.
    Operator(String),
    /// The mail server: there is no such mailbox.
    Bounce,
    /// The mail service, by this webhook.
    Webhook(String),
}

impl SuppressionSource {
    /// The word for it everywhere.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Operator(_) => "operator",
            Self::Bounce => "bounce",
            Self::Webhook(_) => "webhook",
        }
    }
}

impl Suppression {
    /// Of an address that mail could be sent to.
    pub fn new(
        address: &str,
        reason: Option<String>,
        source: SuppressionSource,
        at: Timestamp,
    ) -> Result<Self, InvalidMessage> {
        Mailbox { address: address.to_owned(), name: None }.check("the recipient")?;
        let digest = AddressDigest::of(address);
        Ok(Self { address: Some(address.to_ascii_lowercase()), digest, reason, source, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_without_case() {
        let at = Timestamp::from_millis(1);
        let suppression = Suppression::new("Ada@Example.com", None, SuppressionSource::Bounce, at).expect("an address");
        assert_eq!(suppression.address.as_deref(), Some("ada@example.com"));
        assert_eq!(suppression.digest, AddressDigest::of("ADA@example.COM"));
        assert_ne!(suppression.digest, AddressDigest::of("bob@example.com"));
    }

    #[test]
    fn what_no_mail_can_be_sent_to_is_no_suppression() {
        for address in ["", "ada", "ada@", "a@b.c,d@e.f", "a@b.c\r\nRCPT TO:<x@y.z>"] {
            let refused = Suppression::new(address, None, SuppressionSource::Bounce, Timestamp::from_millis(1));
            assert!(refused.is_err(), "{address:?}");
        }
    }

    #[test]
    fn a_digest_is_64_hex_digits_in_text() {
        let digest = AddressDigest::of("ada@example.com");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(serde_json::to_string(&digest).expect("JSON"), format!("\"{digest}\""));
        for text in ["", "7", &"g".repeat(64), &"ä".repeat(32)] {
            assert_eq!(text.parse::<AddressDigest>(), Err(DigestError), "{text:?}");
        }
    }
}
