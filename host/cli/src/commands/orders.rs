//! `jobmill orders`: the embedded order book, which development and tests use for the shop's own.
//! The operator's hand may set any status; a job's may not.

use clap::Subcommand;
use comfy_table::Cell;
use iso_currency::Currency;
use jobmill_client::{Client, Order};
use jobmill_core::order::Money;

use super::{Context, faults};
use crate::document::DocumentSource;
use crate::failure::{Exit, Failure};
use crate::output::Column::{Extra, Text, Whole};
use crate::{machine, output};

/// The embedded order book
#[derive(Debug, Subcommand)]
pub(crate) enum Orders {
    /// Orders by id
    List {
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// One order with its items
    Show {
        /// The order's id
        #[arg(value_name = "ORDER")]
        order: String,
    },
    /// Write an order, replacing the one that is there
    #[command(after_help = PUT_EXAMPLE)]
    Put {
        /// The order's id
        #[arg(value_name = "ORDER")]
        order: String,
        /// The order: JSON, @FILE, or - for the standard input
        #[arg(long, value_name = "JSON|@FILE|-")]
        data: DocumentSource,
    },
    /// Make the next changes of orders fail, over all jobs; in development only
    #[command(after_help = FAIL_EXAMPLE)]
    Fail(faults::Faults),
}

const FAIL_EXAMPLE: &str = "\
Example:
  jobmill orders fail 2
  jobmill orders fail 1 --kind permanent";

const PUT_EXAMPLE: &str = "\
Example:
  jobmill orders put order_7 --data '{
    \"status\": \"paid\", \"customer_email\": \"ada@example.com\", \"items\": [],
    \"total\": { \"minor\": 1250, \"currency\": \"EUR\" }
  }'";

impl Orders {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let client = context.client()?;
        match self {
            Self::List { limit } => list(&client, limit, context)?,
            Self::Show { order } => {
                let order = client.order(&order)?;
                context.output.document(order.text(), || described(&order))?;
            }
            Self::Put { order, data } => {
                let order = client.put_order(&order, &data.read()?)?;
                context.output.document(order.text(), || order.id.clone())?;
                context.output.note(&format!("revision {}", order.revision));
            }
            Self::Fail(faults) => {
                let set = client.fail_orders(faults.fail_next, faults.kind())?;
                faults.tell(&set, "change of an order", context)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn list(client: &Client, limit: u32, context: &Context) -> Result<(), Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = client.orders(limit)?;
    let empty = "the order book is empty; write an order with `jobmill orders put`";
    context.output.list(page.texts(), page.next_cursor(), empty, || {
        let orders = page.items()?;
        let rows = orders.iter().map(|order| {
            vec![
                output::text_cell(&order.id),
                Cell::new(&order.status),
                output::text_cell(&order.customer_email),
                output::number_cell(order.items.len()),
                output::number_cell(amount(&order.total)),
                output::number_cell(order.revision),
            ]
        });
        Ok(output::table(
            &[Text("ORDER"), Whole("STATUS"), Text("CUSTOMER"), Extra("ITEMS"), Whole("TOTAL"), Extra("REVISION")],
            rows.collect(),
        ))
    })
}

fn described(order: &Order) -> String {
    let now = machine::now();
    let head = output::pairs(&[
        ("order", Some(output::visible(&order.id))),
        ("status", Some(order.status.clone())),
        ("customer", Some(output::visible(&order.customer_email))),
        ("name", order.customer_name.as_deref().map(output::visible)),
        ("created", Some(output::exact(order.created_at, now))),
        ("fulfilled", order.fulfilled_at.map(|at| output::exact(at, now))),
        ("refunded", order.refunded_at.map(|at| output::exact(at, now))),
        ("total", Some(amount(&order.total))),
        ("metadata", Some(output::visible(order.metadata.as_str())).filter(|metadata| metadata != "{}")),
        ("revision", Some(order.revision.to_string())),
    ]);
    if order.items.is_empty() {
        return head;
    }
    let rows = order.items.iter().map(|item| {
        vec![
            output::text_cell(&item.sku),
            output::text_cell(&item.name),
            output::number_cell(item.quantity),
            output::number_cell(amount(&item.unit_price)),
        ]
    });
    format!("{head}\n\n{}", output::table(&["SKU", "NAME", "QUANTITY", "PRICE"], rows.collect()))
}

/// `EUR 12.50`, with the minor digits that the currency has.
fn amount(money: &Money) -> String {
    let currency = output::visible(&money.currency);
    let digits = Currency::from_code(&money.currency).map(|known| known.exponent().unwrap_or(0));
    match digits {
        Some(0) => format!("{currency} {}", money.minor),
        Some(digits) => {
            let divisor = 10_u64.pow(u32::from(digits));
            let (whole, minor) = (money.minor.unsigned_abs() / divisor, money.minor.unsigned_abs() % divisor);
            let sign = if money.minor < 0 { "-" } else { "" };
            format!("{currency} {sign}{whole}.{minor:0width$}", width = usize::from(digits))
        }
        // An amount in a currency that nobody knows is not guessed at.
        None => format!("{currency} {} (minor units)", money.minor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_minor_digits_of_their_currency() {
        let shown = |minor, currency: &str| amount(&Money { minor, currency: currency.to_owned() });
        assert_eq!(shown(1_250, "EUR"), "EUR 12.50");
        assert_eq!(shown(-5, "USD"), "USD -0.05");
        assert_eq!(shown(4_800, "JPY"), "JPY 4800");
        assert_eq!(shown(1_234, "BHD"), "BHD 1.234");
        assert_eq!(shown(1_250, "XQX"), "XQX 1250 (minor units)");
    }
}
