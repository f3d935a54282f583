//! Orders to play with, for an order book that is empty.
//! It never touches a book that holds any.

use std::time::Duration;

use jobmill_core::order::{Money, Order, OrderItem, OrderStatus};
use jobmill_core::{Json, Timestamp};
use jobmill_engine::Handle;
use jobmill_store::StoreError;

/// Seeds an empty book; the orders are the same each time.
pub(super) async fn seed(handle: Handle) {
    if let Err(error) = seed_empty(&handle).await {
        tracing::warn!(%error, "the demo orders could not be written");
    }
}

async fn seed_empty(handle: &Handle) -> Result<(), StoreError> {
    if !handle.query().orders(None, 1).await?.items.is_empty() {
        return Ok(());
    }
    let orders = orders(handle.now());
    let count = orders.len();
    for order in orders {
        handle.put_order(order).await?;
    }
    tracing::info!(orders = count, "demo orders written; see `jobmill orders list`");
    Ok(())
}

/// An item: article number, name, quantity, price in minor units.
type Item = (&'static str, &'static str, u32, i64);

fn orders(now: Timestamp) -> Vec<Order> {
    const DAY: u64 = 86_400_000;
    let at = |days: u64| Timestamp::from_millis(now.as_millis().saturating_sub(days * DAY));
    let lamp: Item = ("LAMP-02", "Reading lamp \"Aurora\"", 1, 4_995);
    let mug: Item = ("MUG-07", "Stoneware mug", 2, 1_450);
    let book: Item = ("BOOK-19", "The Sea & the Lighthouse", 1, 2_200);
    vec![
        order(
            "order_123",
            OrderStatus::Paid,
            ("user@example.com", Some("Robin Doe")),
            "EUR",
            &[lamp, mug, book],
            at(1),
        ),
        order(
            "order_124",
            OrderStatus::Paid,
            ("ada@example.com", Some("Ada Lovelace")),
            "USD",
            &[("TEA-11", "Assam tea, 250 g", 3, 899)],
            at(1),
        ),
        order(
            "order_125",
            OrderStatus::Fulfilled,
            ("hanako@example.jp", Some("佐藤 花子")),
            "JPY",
            &[("KNIFE-03", "三徳包丁", 1, 12_800), ("STONE-01", "砥石", 1, 3_600)],
            at(3),
        ),
        order(
            "order_126",
            OrderStatus::Pending,
            ("lin@example.com", None),
            "EUR",
            &[("PEN-05", "Fountain pen", 1, 7_900)],
            at(0),
        ),
        order(
            "order_127",
            OrderStatus::Refunded,
            ("sam@example.com", Some("Sam O'Neil")),
            "USD",
            &[("BAG-22", "Canvas bag", 1, 3_450)],
            at(9),
        ),
    ]
}

fn order(
    id: &str,
    status: OrderStatus,
    (email, name): (&str, Option<&str>),
    currency: &str,
    items: &[Item],
    created_at: Timestamp,
) -> Order {
    let money = |minor| Money { minor, currency: currency.to_owned() };
    let later = created_at.after(Duration::from_hours(1));
    Order {
        id: id.to_owned(),
        status,
        customer_email: email.to_owned(),
        customer_name: name.map(str::to_owned),
        items: items
            .iter()
            .map(|(sku, name, quantity, price)| OrderItem {
                sku: (*sku).to_owned(),
                name: (*name).to_owned(),
                quantity: *quantity,
                unit_price: money(*price),
            })
            .collect(),
        total: money(items.iter().map(|(_, _, quantity, price)| i64::from(*quantity) * price).sum()),
        created_at,
        fulfilled_at: matches!(status, OrderStatus::Fulfilled | OrderStatus::Refunded).then_some(later),
        refunded_at: (status == OrderStatus::Refunded).then_some(later),
        metadata: Json::empty_object(),
        revision: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_demo_order_can_be_confirmed() {
        let orders = orders(Timestamp::from_millis(1_772_355_600_000));
        let first = &orders[0];
        assert_eq!((first.id.as_str(), first.status), ("order_123", OrderStatus::Paid));
        assert_eq!(first.customer_email, "user@example.com");
        assert_eq!((first.items.len(), first.total.minor), (3, 10_095));
    }

    #[test]
    fn the_demo_orders_differ_in_currency_and_status() {
        let orders = orders(Timestamp::from_millis(1_772_355_600_000));
        let currencies: std::collections::BTreeSet<_> = orders.iter().map(|order| &order.total.currency).collect();
        let statuses: std::collections::BTreeSet<_> = orders.iter().map(|order| order.status).collect();
        assert!(currencies.len() >= 3 && statuses.len() >= 4, "{currencies:?} {statuses:?}");
    }
}
