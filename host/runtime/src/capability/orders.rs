//! `jobmill:job/orders`: the shop's orders, read and changed.
//! It keeps no orders; a change is done once for the run, however often its attempts ask for it.

use jobmill_backends::Asked;
use jobmill_core::Json;
use jobmill_core::job::allow::OrderOperation;
use jobmill_core::journal::{EffectKey, RememberedChange};
use jobmill_core::order::{Money, Order, OrderError, OrderItem, OrderPatch, OrderStatus};

use super::{Refusal, millis};
use crate::bindings::since_0_1::jobmill::job::{orders, types};
use crate::state::{AttemptState, HostState};

/// An order that is not read or not changed.
pub(crate) type OrderRefusal = Refusal<orders::OrderError>;

impl orders::Host for HostState {
    async fn fetch_order(&mut self, id: String) -> Result<orders::Order, OrderRefusal> {
        let attempt = self.attempt()?;
        let timing = attempt.meter.begin("fetch-order");
        let fetched = attempt.fetch_allowed(&id).await;
        timing.end(fetched.is_err());
        Ok(fetched?.into())
    }

    async fn update_order(&mut self, id: String, patch: orders::OrderPatch) -> Result<orders::Order, OrderRefusal> {
        let attempt = self.attempt()?;
        let timing = attempt.meter.begin("update-order");
        let updated = attempt.update_order(&id, &patch).await;
        timing.end(updated.is_err());
        Ok(updated?.into())
    }

    fn convert_order_error(&mut self, refusal: OrderRefusal) -> wasmtime::Result<orders::OrderError> {
        refusal.into_answer()
    }
}

impl AttemptState {
    fn allow_order(&mut self, operation: OrderOperation) -> Result<(), OrderRefusal> {
        let allowed = self.context.sandbox().allow.order(&self.context.run().job, operation);
        allowed.map_err(|denied| Refusal::Answer(orders::OrderError::Denied(self.deny(denied))))
    }

    async fn fetch_allowed(&mut self, id: &str) -> Result<Order, OrderRefusal> {
        self.allow_order(OrderOperation::Fetch)?;
        self.fetch(id).await
    }

    async fn update_order(&mut self, id: &str, patch: &orders::OrderPatch) -> Result<Order, OrderRefusal> {
        let patch = checked(patch)?;
        let repeatable = EffectKey::order(id, &patch, 0);
        let occurrence = self.done.get(&repeatable).copied().unwrap_or(0);
        let key = EffectKey::order(id, &patch, occurrence);
        let order = self.update(key, id, patch).await?;
        self.done.insert(repeatable, occurrence + 1);
        Ok(order)
    }

    async fn fetch(&self, id: &str) -> Result<Order, OrderRefusal> {
        let kept = self.context.kept_order_patches(id);
        Ok(self.world.orders.fetch(id, kept, self.context.now()).await?)
    }

    async fn update(&mut self, key: EffectKey, id: &str, patch: OrderPatch) -> Result<Order, OrderRefusal> {
        let remembered = self.context.remembered_change(&key);
        if remembered == Some(RememberedChange::Made) {
            return self.fetch(id).await;
        }
        self.allow_order(OrderOperation::Update)?;
        let (orders, now) = (&self.world.orders, self.context.now());
        if self.context.is_trial() {
            let (kept, in_doubt) = (self.context.kept_order_patches(id), remembered == Some(RememberedChange::InDoubt));
            let (before, after) = orders.preview(id, &patch, kept, in_doubt, now).await?;
            self.context.rehearse_order(key, patch, &before, &after)?;
            return Ok(after);
        }
        let idempotency_key = key.idempotency_key(self.context.run().id);
        let asked =
            Asked { idempotency_key: &idempotency_key, in_doubt: remembered == Some(RememberedChange::InDoubt) };
        if !orders.needs_intent() {
            let kept = self.context.kept_order_patches(id);
            let order = orders.update(id, &patch, kept, asked, now).await?;
            self.context.keep_order_update(key, id.to_owned(), patch)?;
            return Ok(order);
        }
        self.context.intend_order(key.clone(), id.to_owned(), patch.clone()).await?;
        let updated = orders.update(id, &patch, [], asked, now).await;
        // Whether an order source that did not answer has made the change is not known: it stays in doubt.
        if !matches!(updated, Err(OrderError::Unavailable(_))) {
            let error = updated.as_ref().err().map(ToString::to_string);
            self.context.settle_order(key, error).await?;
        }
        Ok(updated?)
    }
}

fn checked(patch: &orders::OrderPatch) -> Result<OrderPatch, OrderRefusal> {
    let metadata = patch.metadata.as_deref().map(Json::parse).transpose().map_err(|error| {
        Refusal::Answer(orders::OrderError::InvalidTransition(format!("metadata is not JSON: {error}")))
    })?;
    let status = patch.status.map(Into::into);
    Ok(OrderPatch { status, metadata, expected_revision: patch.expected_revision })
}

impl From<OrderError> for OrderRefusal {
    fn from(error: OrderError) -> Self {
        Self::Answer(match error {
            OrderError::NotFound(_) => orders::OrderError::NotFound,
            OrderError::RevisionConflict(revision) => orders::OrderError::RevisionConflict(revision),
            OrderError::InvalidTransition(reason) => orders::OrderError::InvalidTransition(reason),
            OrderError::Denied(reason) => orders::OrderError::Denied(reason),
            OrderError::RateLimited(delay) => orders::OrderError::RateLimited(delay.map(millis)),
            OrderError::Unavailable(reason) => orders::OrderError::Unavailable(reason),
        })
    }
}

impl From<Order> for orders::Order {
    fn from(order: Order) -> Self {
        Self {
            id: order.id,
            status: order.status.into(),
            customer_email: order.customer_email,
            customer_name: order.customer_name,
            items: order.items.into_iter().map(Into::into).collect(),
            total: order.total.into(),
            created_at: order.created_at.as_millis(),
            fulfilled_at: order.fulfilled_at.map(jobmill_core::Timestamp::as_millis),
            refunded_at: order.refunded_at.map(jobmill_core::Timestamp::as_millis),
            metadata: order.metadata.as_str().to_owned(),
            revision: order.revision,
        }
    }
}

impl From<OrderItem> for orders::OrderItem {
    fn from(item: OrderItem) -> Self {
        Self { sku: item.sku, name: item.name, quantity: item.quantity, unit_price: item.unit_price.into() }
    }
}

impl From<Money> for types::Money {
    fn from(money: Money) -> Self {
        Self { minor: money.minor, currency: money.currency }
    }
}

impl From<OrderStatus> for orders::OrderStatus {
    fn from(status: OrderStatus) -> Self {
        match status {
            OrderStatus::Pending => Self::Pending,
            OrderStatus::Paid => Self::Paid,
            OrderStatus::Fulfilled => Self::Fulfilled,
            OrderStatus::Refunded => Self::Refunded,
            OrderStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<orders::OrderStatus> for OrderStatus {
    fn from(status: orders::OrderStatus) -> Self {
        match status {
            orders::OrderStatus::Pending => Self::Pending,
            orders::OrderStatus::Paid => Self::Paid,
            orders::OrderStatus::Fulfilled => Self::Fulfilled,
            orders::OrderStatus::Refunded => Self::Refunded,
            orders::OrderStatus::Cancelled => Self::Cancelled,
        }
    }
}
