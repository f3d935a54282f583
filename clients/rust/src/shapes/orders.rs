//! Orders of the embedded order book.
//! Which changes of an order's status are allowed is the server's to know.

use jobmill_core::order::{Money, OrderItem};
use jobmill_core::{Json, Timestamp};
use serde::Deserialize;

/// An order.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Order {
    /// Its id.
    pub id: String,
    /// `pending`, `paid`, `fulfilled`, `refunded` or `cancelled`.
    pub status: String,
    /// The customer's address.
    pub customer_email: String,
    /// The customer's name.
    pub customer_name: Option<String>,
    /// What was ordered.
    pub items: Vec<OrderItem>,
    /// What it costs.
    pub total: Money,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was fulfilled.
    pub fulfilled_at: Option<Timestamp>,
    /// When it was refunded.
    pub refunded_at: Option<Timestamp>,
    /// What the shop keeps with it.
    pub metadata: Json,
    /// Grows by one with each change.
    pub revision: u64,
}
