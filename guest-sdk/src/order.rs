//! Reading and changing orders.
//! It keeps no copy: every read asks the host, so that a retry sees today's order.

use crate::{Money, Timestamp, host};
use core::{fmt, time::Duration};
use serde::{Deserialize, Serialize};

/// The order as it is now, its items included.
pub fn fetch_order(id: &str) -> Result<Order, OrderError> {
    host::fetch_order(id)
}

/// Change the order, once for the run, however many attempts it takes.
///
/// Setting the status that the order already has succeeds and changes nothing.
pub fn update_order(id: &str, patch: OrderPatch) -> Result<Order, OrderError> {
    host::update_order(id, patch)
}

/// An order of the shop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The shop's own id.
    pub id: String,
    /// Where it stands.
    pub status: OrderStatus,
    /// Who ordered.
    pub customer_email: String,
    /// Their name, if known.
    pub customer_name: Option<String>,
    /// What was ordered.
    pub items: Vec<OrderItem>,
    /// What it costs in all. Not always the sum of the items: there is shipping, and there are discounts.
    pub total: Money,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it was fulfilled.
    pub fulfilled_at: Option<Timestamp>,
    /// When it was refunded.
    pub refunded_at: Option<Timestamp>,
    /// Whatever else the order's owner keeps with it; an object.
    pub metadata: serde_json::Value,
    /// Rises by one with each change.
    pub revision: u64,
}

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    /// The shop's article number.
    pub sku: String,
    /// What it is called.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// The price of one.
    pub unit_price: Money,
}

impl OrderItem {
    /// Quantity times unit price, or `None` when that is too large to be an amount.
    pub fn line_total(&self) -> Option<Money> {
        self.unit_price.times(self.quantity)
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderStatus {
    /// Placed, not paid.
    Pending,
    /// Paid, not delivered.
    Paid,
    /// Delivered.
    Fulfilled,
    /// Paid back.
    Refunded,
    /// Called off.
    Cancelled,
}

impl OrderStatus {
    /// Whether the order book lets an order go from this status to `to`. Staying is always allowed; going back never is.
    pub fn may_become(self, to: Self) -> bool {
        match self {
            Self::Pending => true,
            Self::Paid => to != Self::Pending,
            Self::Fulfilled => matches!(to, Self::Fulfilled | Self::Refunded),
            Self::Refunded | Self::Cancelled => to == self,
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Fulfilled => "fulfilled",
            Self::Refunded => "refunded",
            Self::Cancelled => "cancelled",
        })
    }
}

/// What to change on an order; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderPatch {
    /// The new status.
    pub status: Option<OrderStatus>,
    /// Merged into `metadata` (JSON Merge Patch, RFC 7396).
    pub metadata: Option<serde_json::Value>,
    /// Refuse with [`OrderError::RevisionConflict`] unless the order has this revision.
    pub expected_revision: Option<u64>,
}

impl OrderPatch {
    /// Set the status.
    pub fn status(status: OrderStatus) -> Self {
        Self { status: Some(status), ..Self::default() }
    }
}

/// Why an order could not be read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no order with this id.
    #[error("there is no order {0:?}")]
    NotFound(String),
    /// Somebody else changed the order first; it has this revision now.
    #[error("the order was changed by somebody else and is at revision {0} now")]
    RevisionConflict(u64),
    /// The status change is not allowed, such as `refunded` to `paid`.
    #[error("the order can't change its status like this: {0}")]
    InvalidTransition(String),
    /// This job may not do this.
    #[error("this job may not use the order: {0}")]
    Denied(String),
    /// Too many calls; the wait that was asked for, if one was.
    #[error("the order source asks for fewer calls")]
    RateLimited(Option<Duration>),
    /// The order source could not be reached; trying again may help.
    #[error("the order source is not available: {0}")]
    Unavailable(String),
}
