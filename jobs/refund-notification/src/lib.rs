//! The mail that tells a customer about a refund, and the order's step to `refunded`.
//! It moves no money: it runs after the payment provider has.

use jobmill_sdk::prelude::*;

#[payload]
struct Notice {
    order_id: String,
    customer_email: Email,
    refund_reason: Option<String>,
}

#[derive(Template)]
#[template(path = "refund.html", askama = jobmill_sdk::askama)]
struct Html<'a> {
    order: &'a Order,
    customer: &'a str,
    lines: &'a [Line<'a>],
    reason: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "refund.txt", askama = jobmill_sdk::askama)]
struct Text<'a> {
    order: &'a Order,
    customer: &'a str,
    lines: &'a [Line<'a>],
    reason: Option<&'a str>,
}

/// An item with what it costs in all.
struct Line<'a> {
    item: &'a OrderItem,
    total: Money,
}

/// Tells a customer about a refund by mail, with the reason when there is one, and marks the order refunded.
#[job(
    title = "Refund notification",
    event = "email/refund-notification",
    retries = 2,
    example = r#"{ "orderId": "order_123", "customerEmail": "user@example.com", "refundReason": "Damaged in transit" }"#
)]
fn refund_notification(_context: &Context, payload: Notice) -> Result<Receipt, Failure> {
    let order = fetch_order(&payload.order_id)?;
    if !order.status.may_become(OrderStatus::Refunded) {
        let reason = format!("order {:?} is {}: there is no refund to tell about", order.id, order.status);
        return Err(Failure::Permanent(reason));
    }
    let receipt = send_email(&notification(&order, &payload)?)?;
    info!("refund notification handed over", order = order.id, message_id = receipt.message_id);
    update_order(&order.id, OrderPatch::status(OrderStatus::Refunded))?;
    info!("order refunded", order = order.id);
    Ok(receipt)
}

fn notification(order: &Order, payload: &Notice) -> Result<Message, Failure> {
    let to = &payload.customer_email;
    let customer = order.customer_name.as_deref().unwrap_or(to.as_str());
    let lines = order.items.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let lines = lines.as_slice();
    let reason = payload.refund_reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    Ok(Message::new("refund-notification", Mailbox::from(to).named(order.customer_name.as_deref()))
        .subject(format!("Your refund for order {}", order.id))
        .text(Text { order, customer, lines, reason }.render()?)
        .html(Html { order, customer, lines, reason }.render()?))
}

fn line(item: &OrderItem) -> Result<Line<'_>, Failure> {
    let too_large =
        || Failure::permanent(format_args!("the price of {} times {} is no amount", item.quantity, item.sku));
    Ok(Line { item, total: item.line_total().ok_or_else(too_large)? })
}

#[cfg(test)]
mod tests;
