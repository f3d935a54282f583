//! An order as its row and the rows of its items say it.
//! It changes nothing.

use jobmill_core::order::{Money, Order, OrderError, OrderItem};
use jobmill_core::{Json, Timestamp};
use tokio_postgres::Row;

use super::PostgresOrders;
use super::amount::Amounts;
use super::columns::{ItemColumns, OrderColumns, quoted, quoted_table};
use super::database::{Statements, Trouble, TroubleKind, text};
use super::parameter::Parameter;
use crate::orders::words::Words;

/// The statements that read an order, and how its rows are understood.
pub(super) struct Reader {
    order: String,
    items: String,
    columns: OrderColumns,
    amounts: Amounts,
    currency: Option<String>,
    pub(super) words: Words,
}

/// Whether others may change the order while we look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    None,
    ForUpdate,
}

impl Reader {
    pub(super) fn new(settings: PostgresOrders, words: Words, schema: Option<&str>) -> Self {
        Self {
            order: select_order(&settings.orders, schema),
            items: select_items(&settings.items, schema),
            columns: settings.orders,
            amounts: settings.amounts,
            currency: settings.currency,
            words,
        }
    }

    /// The order with its items.
    pub(super) async fn order(&self, id: &str, lock: Lock, statements: &Statements<'_>) -> Result<Order, OrderError> {
        let key = [Parameter::of(id)];
        let not_there = || OrderError::NotFound(id.to_owned());
        let select = match lock {
            Lock::None => self.order.clone(),
            Lock::ForUpdate => format!("{} FOR UPDATE", self.order),
        };
        let rows = statements.rows(&select, &key).await.map_err(|trouble| match trouble.kind {
            // What the type of the column can't hold is the id of no order.
            TroubleKind::Mistyped | TroubleKind::Refused => not_there(),
            _ => OrderError::from(trouble),
        })?;
        let row = rows.first().ok_or_else(not_there)?;
        let items = statements.rows(&self.items, &key).await?;
        self.understood(id, row, &items)
    }

    fn understood(&self, id: &str, row: &Row, items: &[Row]) -> Result<Order, OrderError> {
        let columns = &self.columns;
        let cells = Cells { row, of: format!("order {id:?}") };
        let currency = match (&columns.currency, &self.currency) {
            (Some(column), _) => cells.needed(5, column)?,
            (None, constant) => constant.clone().unwrap_or_default(),
        };
        let currency = currency.trim().to_uppercase();
        let items = items.iter().map(|row| self.item(id, row, &currency)).collect::<Result<Vec<_>, _>>()?;
        let minor = match &columns.total {
            Some(column) => self.amount(&cells, 4, column, &currency)?,
            None => sum(&items).ok_or_else(|| cells.unlike("total", "is more than can be counted"))?,
        };
        let updated_at = cells.time(9, "updated_at")?;
        let revision = match &columns.revision {
            Some(column) => cells.whole(11, column)?,
            None => updated_at.map_or(0, Timestamp::as_millis),
        };
        let metadata = cells.optional(10)?.map_or_else(|| Ok(Json::empty_object()), |text| Json::parse(&text));
        Ok(Order {
            id: id.to_owned(),
            status: self.words.read(&cells.needed(0, &columns.status)?)?,
            customer_email: cells.needed(1, &columns.customer_email)?,
            customer_name: cells.optional(2)?,
            items,
            total: Money { minor, currency },
            created_at: cells.time(3, &columns.created_at)?.ok_or_else(|| cells.empty(&columns.created_at))?,
            fulfilled_at: cells.time(7, "fulfilled_at")?,
            refunded_at: cells.time(8, "refunded_at")?,
            metadata: metadata.map_err(|error| cells.unlike("metadata", &format!("is no JSON: {error}")))?,
            revision,
        })
    }

    fn item(&self, id: &str, row: &Row, currency: &str) -> Result<OrderItem, OrderError> {
        let cells = Cells { row, of: format!("an item of order {id:?}") };
        let sku = cells.optional(0)?.unwrap_or_default();
        let quantity = cells.optional(2)?.unwrap_or_else(|| "1".to_owned());
        Ok(OrderItem {
            name: cells.optional(1)?.unwrap_or_else(|| sku.clone()),
            sku,
            quantity: quantity.parse().map_err(|_| cells.unlike("quantity", &format!("is {quantity}")))?,
            unit_price: Money { minor: self.amount(&cells, 3, "unit_price", currency)?, currency: currency.to_owned() },
        })
    }

    fn amount(&self, cells: &Cells<'_>, at: usize, column: &str, currency: &str) -> Result<i64, OrderError> {
        let text = cells.needed(at, column)?;
        self.amounts.minor(&text, currency).map_err(|reason| cells.unlike(column, &reason))
    }
}

fn sum(items: &[OrderItem]) -> Option<i64> {
    items
        .iter()
        .try_fold(0_i64, |sum, item| sum.checked_add(item.unit_price.minor.checked_mul(i64::from(item.quantity))?))
}

/// The cells of a row, all selected as texts.
struct Cells<'row> {
    row: &'row Row,
    of: String,
}

impl Cells<'_> {
    fn optional(&self, at: usize) -> Result<Option<String>, OrderError> {
        Ok(text(self.row, at)?)
    }

    fn needed(&self, at: usize, column: &str) -> Result<String, OrderError> {
        self.optional(at)?.ok_or_else(|| self.empty(column))
    }

    fn whole(&self, at: usize, column: &str) -> Result<u64, OrderError> {
        let text = self.needed(at, column)?;
        text.parse().map_err(|_| self.unlike(column, &format!("is {text}, no whole number")))
    }

    fn time(&self, at: usize, column: &str) -> Result<Option<Timestamp>, OrderError> {
        let Some(text) = self.optional(at)? else { return Ok(None) };
        let millis = text.parse().map_err(|_| self.unlike(column, &format!("is no time since 1970: {text} ms")))?;
        Ok(Some(Timestamp::from_millis(millis)))
    }

    fn empty(&self, column: &str) -> OrderError {
        self.unlike(column, "is NULL")
    }

    fn unlike(&self, column: &str, reason: &str) -> OrderError {
        OrderError::Unavailable(format!("{column:?} of {} {reason}", self.of))
    }
}

fn select_order(columns: &OrderColumns, schema: Option<&str>) -> String {
    let cells = [
        as_text(Some(&columns.status)),
        as_text(Some(&columns.customer_email)),
        as_text(columns.customer_name.as_ref()),
        as_millis(Some(&columns.created_at)),
        as_text(columns.total.as_ref()),
        as_text(columns.currency.as_ref()),
        as_text(Some(&columns.id)),
        as_millis(columns.fulfilled_at.as_ref()),
        as_millis(columns.refunded_at.as_ref()),
        as_millis(columns.updated_at.as_ref()),
        as_text(columns.metadata.as_ref()),
        as_text(columns.revision.as_ref()),
    ];
    let (table, id) = (quoted_table(&columns.table, schema), quoted(&columns.id));
    format!("SELECT {} FROM {table} WHERE {id} = $1", cells.join(", "))
}

fn select_items(columns: &ItemColumns, schema: Option<&str>) -> String {
    let cells = [
        as_text(columns.sku.as_ref()),
        as_text(columns.name.as_ref()),
        as_text(columns.quantity.as_ref()),
        as_text(Some(&columns.unit_price)),
    ];
    let (table, order) = (quoted_table(&columns.table, schema), quoted(&columns.order));
    let sorted = columns.id.as_ref().map(|id| format!(" ORDER BY {}", quoted(id))).unwrap_or_default();
    format!("SELECT {} FROM {table} WHERE {order} = $1{sorted}", cells.join(", "))
}

fn as_text(column: Option<&String>) -> String {
    column.map_or_else(|| "NULL::text".to_owned(), |column| format!("{}::text", quoted(column)))
}

/// Milliseconds since 1970; a timestamp without a zone counts as UTC.
fn as_millis(column: Option<&String>) -> String {
    column.map_or_else(
        || "NULL::text".to_owned(),
        |column| format!("floor(extract(epoch FROM {}) * 1000)::bigint::text", quoted(column)),
    )
}

impl From<Trouble> for OrderError {
    fn from(trouble: Trouble) -> Self {
        match trouble.kind {
            TroubleKind::Away | TroubleKind::Unlike | TroubleKind::Mistyped => Self::Unavailable(trouble.text),
            TroubleKind::Forbidden => Self::Denied(trouble.text),
            TroubleKind::Refused => Self::InvalidTransition(trouble.text),
        }
    }
}
