//! Webhook deliveries: what senders handed over, and taking one in again.
//! No call takes a new one in; senders have a door of their own.

use jobmill_core::DeliveryId;

use super::Nothing;
use crate::answer::{Answer, Page};
use crate::client::Client;
use crate::error::Error;
use crate::requests::{DeliveryFilter, Query};
use crate::shapes::Delivery;

/// Where deliveries are.
const DELIVERIES: [&str; 2] = ["webhooks", "deliveries"];

impl Client {
    /// At most `limit` deliveries, newest first, without their bodies.
    pub fn deliveries(&self, filter: &DeliveryFilter<'_>, limit: usize) -> Result<Page<Delivery>, Error> {
        let query = Query::default().with("endpoint", filter.endpoint).with("outcome", filter.outcome);
        self.pages(&DELIVERIES, &query.pairs(), limit)
    }

    /// A delivery with its body.
    pub fn delivery(&self, id: DeliveryId) -> Result<Answer<Delivery>, Error> {
        let [webhooks, deliveries] = DELIVERIES;
        self.get(&[webhooks, deliveries, &id.to_string()], &[])
    }

    /// Takes a delivery in again, as the map is now.
    pub fn replay_delivery(&self, id: DeliveryId) -> Result<Answer<Delivery>, Error> {
        let [webhooks, deliveries] = DELIVERIES;
        self.post(&[webhooks, deliveries, &id.to_string(), "replay"], &Nothing {})
    }
}
