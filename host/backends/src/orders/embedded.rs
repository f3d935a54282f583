//! The order book in the store itself.
//! It writes nothing: a change is checked here and committed with the end of its attempt.

use std::sync::Arc;

use jobmill_core::order::{Order, OrderError};
use jobmill_store::Query;

/// The embedded book.
pub(super) struct Embedded(pub(super) Arc<dyn Query>);

impl Embedded {
    /// The order as it is now.
    pub(super) async fn fetch(&self, id: &str) -> Result<Order, OrderError> {
        let order = self.0.order(id).await.map_err(|error| OrderError::Unavailable(error.to_string()))?;
        order.ok_or_else(|| OrderError::NotFound(id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use jobmill_core::order::{Money, OrderPatch, OrderStatus};
    use jobmill_core::{Json, Timestamp};
    use jobmill_store::{LogStore, MemoryLog, Store};

    use super::*;
    use crate::faults::INJECTED;
    use crate::{Asked, FaultKind, Faults, Orders};

    fn now() -> Timestamp {
        Timestamp::from_millis(5)
    }

    const ASKED: Asked<'static> = Asked { idempotency_key: "run_1/order/o1", in_doubt: false };

    async fn book() -> (Arc<LogStore>, Arc<Faults>, Orders) {
        let store = Arc::new(LogStore::open(MemoryLog::new()).expect("an empty log"));
        let order = Order {
            id: "o1".to_owned(),
            status: OrderStatus::Paid,
            customer_email: "ada@example.com".to_owned(),
            customer_name: None,
            items: Vec::new(),
            total: Money { minor: 1250, currency: "EUR".to_owned() },
            created_at: Timestamp::from_millis(1),
            fulfilled_at: None,
            refunded_at: None,
            metadata: Json::empty_object(),
            revision: 0,
        };
        store.put_order(order).await.expect("kept");
        let faults = Arc::new(Faults::default());
        let query: Arc<dyn Query> = store.clone();
        (store, Arc::clone(&faults), Orders::embedded(query, faults))
    }

    fn to(status: OrderStatus) -> OrderPatch {
        OrderPatch { status: Some(status), ..OrderPatch::default() }
    }

    #[tokio::test]
    async fn a_change_is_checked_against_what_is_kept_and_not_written() {
        let (store, _, orders) = book().await;
        let kept = [to(OrderStatus::Fulfilled)];
        let shown = orders.fetch("o1", &kept, now()).await.expect("there");
        assert_eq!((shown.status, shown.fulfilled_at), (OrderStatus::Fulfilled, Some(now())));
        let backwards = orders.update("o1", &to(OrderStatus::Paid), &kept, ASKED, now()).await;
        assert!(matches!(backwards, Err(OrderError::InvalidTransition(_))));
        let refunded = orders.update("o1", &to(OrderStatus::Refunded), &kept, ASKED, now()).await.expect("allowed");
        assert_eq!((refunded.status, refunded.revision), (OrderStatus::Refunded, shown.revision + 1));
        let written = store.order("o1").await.expect("readable").expect("there");
        assert_eq!(written.status, OrderStatus::Paid);
    }

    #[tokio::test]
    async fn an_order_that_is_not_there_is_named() {
        let (_, _, orders) = book().await;
        assert_eq!(orders.fetch("o2", [], now()).await, Err(OrderError::NotFound("o2".to_owned())));
    }

    #[tokio::test]
    async fn a_preview_writes_nothing_and_leaves_planned_failures_for_those_who_change() {
        let (store, faults, orders) = book().await;
        faults.fail_next(1, FaultKind::Transient);
        let (kept, refund) = ([to(OrderStatus::Fulfilled)], to(OrderStatus::Refunded));
        let (before, after) = orders.preview("o1", &refund, &kept, false, now()).await.expect("allowed");
        assert_eq!((before.status, after.status), (OrderStatus::Fulfilled, OrderStatus::Refunded));
        let backwards = orders.preview("o1", &to(OrderStatus::Pending), [], false, now()).await;
        assert!(matches!(backwards, Err(OrderError::InvalidTransition(_))));
        // Where it may have been made, an order that shows it is no refusal.
        let stale = OrderPatch { expected_revision: Some(77), ..to(OrderStatus::Paid) };
        assert!(matches!(orders.preview("o1", &stale, [], false, now()).await, Err(OrderError::RevisionConflict(_))));
        let (before, after) = orders.preview("o1", &stale, [], true, now()).await.expect("it shows already");
        assert_eq!(before, after);
        assert_eq!(store.order("o1").await.expect("readable").expect("there").status, OrderStatus::Paid);
        assert!(orders.update("o1", &to(OrderStatus::Fulfilled), [], ASKED, now()).await.is_err(), "planned");
    }

    #[tokio::test]
    async fn planned_failures_hit_updates_and_not_reads() {
        let (_, faults, orders) = book().await;
        faults.fail_next(2, FaultKind::Transient);
        assert!(orders.fetch("o1", [], now()).await.is_ok());
        for _ in 0..2 {
            let failed = orders.update("o1", &to(OrderStatus::Fulfilled), [], ASKED, now()).await;
            assert_eq!(failed, Err(OrderError::Unavailable(INJECTED.to_owned())));
        }
        assert!(orders.update("o1", &to(OrderStatus::Fulfilled), [], ASKED, now()).await.is_ok());
    }
}
