//! What deliveries come to: a table by their kind, read from the configuration and checked there.
//! It publishes nothing and stops no mail; it says which event or which addresses.

mod member;
mod place;
mod rule;

use std::collections::BTreeMap;

use jobmill_core::Json;
use serde::Deserialize;
use serde_json::Value;

pub use place::{Place, PlaceError};
pub use rule::RuleError;

use rule::Rule;

/// What a delivery comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// It is published as this event.
    Event {
        /// The event's name.
        name: String,
        /// The event's id, 1 to 256 printable characters; none when it has the sender's id of the delivery.
        id: Option<String>,
        /// Its data: an object.
        data: Json,
    },
    /// It stops mail to these addresses.
    Suppress {
        /// Addresses that mail could be sent to, at least one, each once.
        addresses: Vec<String>,
        /// Why, for people.
        reason: String,
    },
    /// The map has nothing for its kind, or only under a condition that does not hold.
    Ignored,
    /// The map has, and the delivery lacks what that needs.
    Unmapped {
        /// What is missing and where it was looked for, for people.
        reason: String,
    },
}

/// A table by the kind of deliveries, such as `charge.refunded`: `[webhooks.NAME.map]`. Kinds that are not in it are ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Map(BTreeMap<String, Rule>);

impl Map {
    /// The kinds that it has something for, in alphabetical order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn apply(&self, webhook: &str, kind: &str, document: &Value) -> Mapped {
        self.0.get(kind).map_or(Mapped::Ignored, |rule| rule.apply(webhook, kind, document))
    }
}
