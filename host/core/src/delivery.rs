//! Webhook deliveries: what a sender handed over, whole, and what became of it.
//! It verifies no signature and maps nothing; whoever takes deliveries in does.

use serde::{Deserialize, Serialize};

use crate::id::{DeliveryId, EventKey};
use crate::time::Timestamp;

/// A delivery whose signature was good, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The webhook that it came in by: the NAME of `[webhooks.NAME]`.
    pub endpoint: String,
    /// The sender's own id of it, which stays the same when the sender tries again.
    pub sender_id: String,
    /// What it tells of, in the sender's words, such as `charge.refunded`.
    pub kind: String,
    /// When it came in.
    pub received_at: Timestamp,
    /// The body, byte for byte as it was signed; JSON.
    pub body: String,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// How often an operator has had it taken in again.
    pub replays: u32,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryOutcome {
    /// It was published as this event.
    Published {
        /// The event.
        event: EventKey,
    },
    /// It stopped mail to these addresses.
    Suppressed {
        /// The addresses.
        addresses: Vec<String>,
    },
    /// The map has nothing for its kind.
    Ignored,
    /// The map has, and the delivery lacks what that needs, or has it in a form that no job takes.
    Unmapped {
        /// What is missing, for people.
        reason: String,
    },
}

impl DeliveryOutcome {
    /// The word for it everywhere.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Published { .. } => "published",
            Self::Suppressed { .. } => "suppressed",
            Self::Ignored => "ignored",
            Self::Unmapped { .. } => "unmapped",
        }
    }
}
