//! The mail that confirms a purchase, and the order's step to `fulfilled`.
//! It takes no payment and ships nothing: it runs after the first and before the second.

use jobmill_sdk::prelude::*;

#[payload]
struct Purchase {
    order_id: String,
    customer_email: Email,
}

#[derive(Template)]
#[template(path = "purchase.html", askama = jobmill_sdk::askama)]
struct Html<'a> {
    order: &'a Order,
    customer: &'a str,
    lines: &'a [Line<'a>],
}

#[derive(Template)]
#[template(path = "purchase.txt", askama = jobmill_sdk::askama)]
struct Text<'a> {
    order: &'a Order,
    customer: &'a str,
    lines: &'a [Line<'a>],
}

/// An item with what it costs in all.
struct Line<'a> {
    item: &'a OrderItem,
    total: Money,
}

/// Confirms a purchase by mail, with the items and the total, and marks the order fulfilled.
#[job(
    title = "Purchase confirmation",
    event = "email/purchase-confirmation",
    retries = 3,
    example = r#"{ "orderId": "order_123", "customerEmail": "user@example.com" }"#
)]
fn purchase_confirmation(_context: &Context, payload: Purchase) -> Result<Receipt, Failure> {
    let order = fetch_order(&payload.order_id)?;
    if !order.status.may_become(OrderStatus::Fulfilled) {
        let reason = format!("order {:?} is {}: there is no purchase to confirm", order.id, order.status);
        return Err(Failure::Permanent(reason));
    }
    let receipt = send_email(&confirmation(&order, &payload.customer_email)?)?;
    info!("confirmation handed over", order = order.id, message_id = receipt.message_id);
    update_order(&order.id, OrderPatch::status(OrderStatus::Fulfilled))?;
    info!("order fulfilled", order = order.id);
    Ok(receipt)
}

fn confirmation(order: &Order, to: &Email) -> Result<Message, Failure> {
    let customer = order.customer_name.as_deref().unwrap_or(to.as_str());
    let lines = order.items.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let lines = lines.as_slice();
    Ok(Message::new("purchase-confirmation", Mailbox::from(to).named(order.customer_name.as_deref()))
        .subject(format!("Your order {} is confirmed", order.id))
        .text(Text { order, customer, lines }.render()?)
        .html(Html { order, customer, lines }.render()?))
}

fn line(item: &OrderItem) -> Result<Line<'_>, Failure> {
    let too_large =
        || Failure::permanent(format_args!("the price of {} times {} is no amount", item.quantity, item.sku));
    Ok(Line { item, total: item.line_total().ok_or_else(too_large)? })
}

#[cfg(test)]
mod tests;
