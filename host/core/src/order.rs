//! An order of a shop and the changes it allows.
//! It knows no source: the embedded book and a shop's own database both follow it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::hex;
use crate::json::Json;
use crate::time::Timestamp;

/// Where an order stands. It moves forward only: a repeated or late notice can't undo a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Placed, not paid.
    Pending,
    /// Paid.
    Paid,
    /// Confirmed to the customer and handed on.
    Fulfilled,
    /// Paid back. Nothing follows.
    Refunded,
    /// Called off. Nothing follows.
    Cancelled,
}

impl OrderStatus {
    /// Whether an order may go from this status to `to`.
    pub fn allows(self, to: Self) -> bool {
        match self {
            Self::Pending => true,
            Self::Paid => to != Self::Pending,
            Self::Fulfilled => matches!(to, Self::Fulfilled | Self::Refunded),
            Self::Refunded | Self::Cancelled => to == self,
        }
    }

    /// The word for it everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Fulfilled => "fulfilled",
            Self::Refunded => "refunded",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An amount of money in the currency's minor unit (cents for EUR).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// The amount in minor units.
    pub minor: i64,
    /// ISO 4217, upper case.
    pub currency: String,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderItem {
    /// The shop's own number of the article.
    pub sku: String,
    /// Its name, as the customer reads it.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// The price of one.
    pub unit_price: Money,
}

/// An order with its items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id, as the shop says it.
    pub id: String,
    /// Where it stands.
    pub status: OrderStatus,
    /// The customer's address.
    pub customer_email: String,
    /// The customer's name.
    pub customer_name: Option<String>,
    /// What was bought.
    pub items: Vec<OrderItem>,
    /// What it costs in all.
    pub total: Money,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it became fulfilled.
    pub fulfilled_at: Option<Timestamp>,
    /// When it became refunded.
    pub refunded_at: Option<Timestamp>,
    /// Whatever else the order's owner keeps with it; an object.
    pub metadata: Json,
    /// Rises by one with each change.
    pub revision: u64,
}

/// What to change; absent members stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPatch {
    /// The new status.
    pub status: Option<OrderStatus>,
    /// Merged into `metadata` (JSON Merge Patch, RFC 7396).
    pub metadata: Option<Json>,
    /// Refuse unless the order has this revision.
    pub expected_revision: Option<u64>,
}

impl OrderPatch {
    /// Twelve hex digits that are the same for the same patch.
    pub fn fingerprint(&self) -> String {
        let status = self.status.map_or("", OrderStatus::as_str);
        let metadata = self.metadata.as_ref().map_or("", Json::as_str);
        let revision = self.expected_revision.map(u64::to_be_bytes).unwrap_or_default();
        let digest = Sha256::new()
            .chain_update(status)
            .chain_update([0])
            .chain_update(metadata)
            .chain_update([0])
            .chain_update(revision)
            .finalize();
        hex(&digest[..6])
    }
}

/// Why an order was not read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such order.
    #[error("there is no order {0:?}")]
    NotFound(String),
    /// The patch expected another revision.
    #[error("the order has revision {0} now, not the one that the change expects")]
    RevisionConflict(u64),
    /// The status can't change like that.
    #[error("{0}")]
    InvalidTransition(String),
    /// The job may not do this.
    #[error("{0}")]
    Denied(String),
    /// The source asks to slow down.
    #[error("the order source asks to slow down")]
    RateLimited(Option<std::time::Duration>),
    /// The source could not be reached.
    #[error("{0}")]
    Unavailable(String),
}

impl Order {
    /// The order after `patch`, which is the same order when the patch changes nothing.
    pub fn patched(&self, patch: &OrderPatch, now: Timestamp) -> Result<Self, OrderError> {
        if patch.expected_revision.is_some_and(|expected| expected != self.revision) {
            return Err(OrderError::RevisionConflict(self.revision));
        }
        let mut patched = self.clone();
        if let Some(status) = patch.status {
            if !self.status.allows(status) {
                let (from, to) = (self.status.as_str(), status.as_str());
                return Err(OrderError::InvalidTransition(format!(
                    "order {:?} is {from}, and a {from} order can't become {to}",
                    self.id
                )));
            }
            patched.status = status;
        }
        if let Some(change) = &patch.metadata {
            patched.metadata = merge(&self.metadata, change)?;
        }
        if patched == *self {
            return Ok(patched);
        }
        if self.status != patched.status {
            match patched.status {
                OrderStatus::Fulfilled => patched.fulfilled_at = Some(now),
                OrderStatus::Refunded => patched.refunded_at = Some(now),
                OrderStatus::Pending | OrderStatus::Paid | OrderStatus::Cancelled => {}
            }
        }
        patched.revision += 1;
        Ok(patched)
    }
}

fn merge(metadata: &Json, change: &Json) -> Result<Json, OrderError> {
    let refuse = |error: serde_json::Error| OrderError::InvalidTransition(format!("metadata is not JSON: {error}"));
    let change = change.to_value().map_err(refuse)?;
    if !change.is_object() {
        return Err(OrderError::InvalidTransition("a metadata patch must be a JSON object".to_owned()));
    }
    let before = metadata.to_value().map_err(refuse)?;
    let mut merged = before.clone();
    json_patch::merge(&mut merged, &change);
    if merged == before { Ok(metadata.clone()) } else { Json::of(&merged).map_err(refuse) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(status: OrderStatus) -> Order {
        Order {
            id: "order_1".to_owned(),
            status,
            customer_email: "ada@example.com".to_owned(),
            customer_name: None,
            items: Vec::new(),
            total: Money { minor: 1250, currency: "EUR".to_owned() },
            created_at: Timestamp::from_millis(1),
            fulfilled_at: None,
            refunded_at: None,
            metadata: Json::parse("{\"a\":1}").expect("valid"),
            revision: 7,
        }
    }

    fn to(status: OrderStatus) -> OrderPatch {
        OrderPatch { status: Some(status), ..OrderPatch::default() }
    }

    #[test]
    fn the_same_patch_twice_changes_once() {
        let now = Timestamp::from_millis(5);
        let once = order(OrderStatus::Paid).patched(&to(OrderStatus::Fulfilled), now).expect("allowed");
        assert_eq!((once.revision, once.fulfilled_at), (8, Some(now)));
        let twice = once.patched(&to(OrderStatus::Fulfilled), Timestamp::from_millis(9)).expect("allowed");
        assert_eq!(twice, once);
    }

    #[test]
    fn an_order_never_goes_backwards() {
        use OrderStatus::{Cancelled, Fulfilled, Paid, Pending, Refunded};
        let allowed = [
            (Pending, vec![Pending, Paid, Fulfilled, Refunded, Cancelled]),
            (Paid, vec![Paid, Fulfilled, Refunded, Cancelled]),
            (Fulfilled, vec![Fulfilled, Refunded]),
            (Refunded, vec![Refunded]),
            (Cancelled, vec![Cancelled]),
        ];
        for (from, targets) in allowed {
            for status in [Pending, Paid, Fulfilled, Refunded, Cancelled] {
                let result = order(from).patched(&to(status), Timestamp::default());
                assert_eq!(result.is_ok(), targets.contains(&status), "{from:?} to {status:?}");
            }
        }
    }

    #[test]
    fn metadata_is_merged_and_an_expected_revision_is_kept_to() {
        let patch = OrderPatch {
            metadata: Some(Json::parse("{\"a\":null,\"b\":[2]}").expect("valid")),
            expected_revision: Some(7),
            ..OrderPatch::default()
        };
        let patched = order(OrderStatus::Paid).patched(&patch, Timestamp::default()).expect("allowed");
        assert_eq!(patched.metadata.as_str(), "{\"b\":[2]}");
        let late = patched.patched(&patch, Timestamp::default());
        assert_eq!(late, Err(OrderError::RevisionConflict(8)));
    }

    #[test]
    fn a_metadata_patch_that_is_no_object_is_refused() {
        let patch = OrderPatch { metadata: Some(Json::parse("[1]").expect("valid")), ..OrderPatch::default() };
        assert!(order(OrderStatus::Paid).patched(&patch, Timestamp::default()).is_err());
    }
}
