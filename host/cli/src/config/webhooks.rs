//! `[webhooks.NAME]`: who may deliver events, how they sign, and what their deliveries come to.
//! Signatures and maps are those of `jobmill_webhooks`.

use std::collections::BTreeMap;

use jobmill_webhooks::{Endpoint, Map, WebhookKind};
use serde::Deserialize;

use super::secret::SecretSource;
use crate::failure::Failure;

/// A webhook.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookSection {
    kind: WebhookKind,
    #[serde(default)]
    secrets: Vec<SecretSource>,
    map: Option<Map>,
}

/// The webhooks with their secrets read, as the server wants them.
pub(super) fn endpoints(sections: &BTreeMap<String, WebhookSection>) -> Result<Vec<Endpoint>, Failure> {
    let endpoint = |(name, section): (&String, &WebhookSection)| {
        let place = |position| format!("webhooks.{name}.secrets.{position}");
        let read = |(position, secret): (usize, &SecretSource)| secret.read(&place(position));
        let secrets = section.secrets.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        Endpoint::new(name, section.kind, &secrets, section.map.clone())
            .map_err(|error| Failure::usage("configuration", error.to_string()))
    };
    sections.iter().map(endpoint).collect()
}
