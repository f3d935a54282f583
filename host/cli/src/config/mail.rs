//! `[mail]`: the mail server, how mails are signed, and which captured mails may leave.
//! It reads no secret and no file; `serve` does.

use std::path::PathBuf;
use std::time::Duration;

use jobmill_core::mail::Mailbox;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::secret::SecretSource;
use crate::failure::Failure;

/// `[mail.smtp]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmtpSection {
    /// `smtp://…` or `smtps://…`; may hold the credentials.
    pub(crate) url: SecretSource,
    /// The user, where the URL names none.
    pub(crate) username: Option<String>,
    /// The user's password.
    pub(crate) password: Option<SecretSource>,
    /// A file of certificates in PEM that the server's has to lead back to, instead of the public authorities.
    pub(crate) ca: Option<PathBuf>,
    /// How long one exchange may take.
    #[serde(default, deserialize_with = "span")]
    pub(crate) command_timeout: Option<Duration>,
    /// How long a delivery may take in all.
    #[serde(default, deserialize_with = "span")]
    pub(crate) delivery_timeout: Option<Duration>,
}

/// `[mail.dkim]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DkimSection {
    /// The domain that signs.
    pub(crate) domain: String,
    /// Which of the domain's keys.
    pub(crate) selector: String,
    /// The private key, in PEM.
    pub(crate) key: SecretSource,
}

/// `[mail.release]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseSection {
    /// Who may get mail that was captured.
    pub(crate) allow: Vec<AllowedAddress>,
}

/// An address, or all of a domain: `ada@example.com`, `*@shop.example`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AllowedAddress {
    /// One address, in lower case.
    One(String),
    /// Every address of a domain, in lower case.
    Domain(String),
}

impl AllowedAddress {
    /// Whether it names this address, in any case.
    pub(crate) fn names(&self, address: &str) -> bool {
        let address = address.to_ascii_lowercase();
        match self {
            Self::One(allowed) => *allowed == address,
            Self::Domain(allowed) => address.rsplit_once('@').is_some_and(|(_, domain)| domain == allowed),
        }
    }
}

impl<'de> Deserialize<'de> for AllowedAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?.to_ascii_lowercase();
        let domain = text.strip_prefix("*@").map(str::to_owned);
        // Any address of the domain says whether the domain can be used.
        let address = domain.as_ref().map_or_else(|| text.clone(), |domain| format!("someone@{domain}"));
        if text.matches('*').count() > usize::from(domain.is_some())
            || (Mailbox { address, name: None }).check("the recipient").is_err()
        {
            let expected = "is neither an address such as ada@example.com nor a domain such as *@shop.example";
            return Err(D::Error::custom(format!("{text:?} {expected}")));
        }
        Ok(domain.map_or(Self::One(text), Self::Domain))
    }
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    jobmill_core::time::as_text::deserialize(deserializer).map(Some)
}

impl SmtpSection {
    /// Refuses bounds that no delivery could keep.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let zero = [("command_timeout", self.command_timeout), ("delivery_timeout", self.delivery_timeout)]
            .into_iter()
            .find(|(_, span)| span.is_some_and(|span| span.is_zero()));
        match zero {
            Some((key, _)) => {
                Err(Failure::usage("configuration", format!("mail.smtp.{key} is 0: no mail could be sent"))
                    .advise("say how long it may take, such as \"10s\", or leave it out"))
            }
            None => Ok(()),
        }
    }
}
