//! One webhook of the configuration: its secrets, and what its deliveries come to.
//! It answers no request and keeps no delivery; the server and the store do.

use std::fmt;

use jobmill_core::Timestamp;
use serde_json::Value;

use crate::body;
use crate::kind::WebhookKind;
use crate::map::{Map, Mapped};
use crate::preset::preset;
use crate::secret::{Signer, signer};
use crate::signature::{self, Refused};

/// Bytes of a webhook's name, which is part of its address.
const NAME_BYTES: usize = 64;
/// Secrets of a webhook: each signs every body that comes in, so a long list would cost whoever is asked, us.
const SECRETS: usize = 8;

/// A webhook: `[webhooks.NAME]`. Cheap enough to clone at start; its secrets are shown nowhere.
#[derive(Clone)]
pub struct Endpoint {
    name: String,
    kind: WebhookKind,
    signers: Vec<Signer>,
    map: Map,
}

/// A webhook that can't be used, by its place in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The name can't stand in an address.
    #[error("webhooks.{0}: a webhook's name has 1 to 64 letters, digits, - and _; it is the end of its address")]
    Name(String),
    /// No secret at all.
    #[error(
        "webhooks.{0}.secrets: there is none, so nothing could be accepted; add the one that the sender shows for this \
         address: secrets = [{{ env = \"WEBHOOK_SECRET\" }}]"
    )]
    NoSecret(String),
    /// More secrets than anybody rolls.
    #[error(
        "webhooks.{name}.secrets: there are {given}, and at most {max} are tried; take out those that are no longer in use",
        max = SECRETS
    )]
    TooManySecrets {
        /// The webhook.
        name: String,
        /// How many.
        given: usize,
    },
    /// A secret that nobody signs with.
    #[error("webhooks.{name}.secrets.{position}: the secret {reason}")]
    Secret {
        /// The webhook.
        name: String,
        /// Its place in the list, from 0.
        position: usize,
        /// What is wrong with it; never the secret.
        reason: String,
    },
    /// The kind's preset can't be read: a fault of this program.
    #[error("webhooks.{name}.map: the preset of its kind can't be read, so say a map: {reason}")]
    Preset {
        /// The webhook.
        name: String,
        /// Why.
        reason: String,
    },
}

/// A delivery whose signature was good.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The sender's own id, the same when it tries again: 1 to 256 printable characters. The SHA-256 of the body, in hex,
    /// where the sender gave none; that of the id where it is longer or can't be printed.
    pub sender_id: String,
    /// What it tells of, at most 256 bytes; empty where the body doesn't say.
    pub kind: String,
    /// The body as it was signed. Where that is not UTF-8, with `U+FFFD` in place of what is not.
    pub body: String,
    /// The body as a tree; `null` where it is not JSON.
    pub document: Value,
}

impl Endpoint {
    /// A webhook with the secrets that its sender may sign with, and a map, or none for the preset of its kind.
    pub fn new(name: &str, kind: WebhookKind, secrets: &[String], map: Option<Map>) -> Result<Self, EndpointError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(fits) {
            return Err(EndpointError::Name(name.to_owned()));
        }
        let name = name.to_owned();
        match secrets.len() {
            0 => return Err(EndpointError::NoSecret(name)),
            given if given > SECRETS => return Err(EndpointError::TooManySecrets { name, given }),
            _ => {}
        }
        let mut signers = Vec::with_capacity(secrets.len());
        for (position, secret) in secrets.iter().enumerate() {
            match signer(kind, secret) {
                Ok(signer) => signers.push(signer),
                Err(reason) => return Err(EndpointError::Secret { name, position, reason: reason.to_string() }),
            }
        }
        let map = match map {
            Some(map) => map,
            None => match toml::from_str(preset(kind)) {
                Ok(map) => map,
                Err(reason) => return Err(EndpointError::Preset { name, reason: reason.to_string() }),
            },
        };
        Ok(Self { name, kind, signers, map })
    }

    /// Its name: the end of its address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its sender signs.
    pub fn kind(&self) -> WebhookKind {
        self.kind
    }

    /// Checks who sent `body`, byte for byte as it came in. `header` gives a header by its name in lower case. One error
    /// for every reason: no signature, one that is not good, one from more than five minutes ago or ahead.
    pub fn verify<'h>(
        &self,
        header: impl Fn(&str) -> Option<&'h [u8]>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Verified, Refused> {
        let claim = signature::check(self.kind, &self.signers, header, body, now)?;
        Ok(body::read(claim.id, body))
    }

    /// What a delivery of a kind comes to, now or when it is taken in once more; `document` as in [`Verified`], or as
    /// [`document`](crate::document) reads a body that was kept.
    pub fn map(&self, kind: &str, document: &Value) -> Mapped {
        if kind.is_empty() {
            return Mapped::Unmapped { reason: body::without_kind(document) };
        }
        self.map.apply(&self.name, kind, document)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("secrets", &self.signers.len())
            .field("map", &self.map)
            .finish()
    }
}
