//! Webhook deliveries as lists show them: which ones, and what of each.
//! It holds none; the index does.

use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::{DeliveryId, Timestamp};

/// Which webhook deliveries. Every member that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// The webhook that they came in by.
    pub endpoint: Option<String>,
    /// The word for what became of them.
    pub outcome: Option<String>,
}

/// A webhook delivery without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySummary {
    /// Its id.
    pub id: DeliveryId,
    /// The webhook that it came in by.
    pub endpoint: String,
    /// The sender's own id of it.
    pub sender_id: String,
    /// What it tells of, in the sender's words.
    pub kind: String,
    /// When it came in.
    pub received_at: Timestamp,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// How often it was taken in again.
    pub replays: u32,
}

impl From<&Delivery> for DeliverySummary {
    fn from(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id,
            endpoint: delivery.endpoint.clone(),
            sender_id: delivery.sender_id.clone(),
            kind: delivery.kind.clone(),
            received_at: delivery.received_at,
            outcome: delivery.outcome.clone(),
            replays: delivery.replays,
        }
    }
}
