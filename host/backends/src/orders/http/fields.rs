//! Where the members of an order stand in the shop's JSON, and the order that is read from there.
//! It sends nothing and knows no status codes.

use jobmill_core::flow::Pointer;
use jobmill_core::order::{Money, Order, OrderError, OrderItem};
use jobmill_core::{Json, Timestamp};
use serde_json::Value;

use crate::orders::words::Words;

/// JSON Pointers into the answer, and of an item's members into the item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderFields {
    /// A text: where the order stands.
    pub status: Pointer,
    /// A text: the customer's address.
    pub customer_email: Pointer,
    /// A text, or nothing: the customer's name.
    pub customer_name: Pointer,
    /// A list: what was bought.
    pub items: Pointer,
    /// A whole number of minor units: what it costs in all.
    pub total: Pointer,
    /// A text, ISO 4217: the currency of the total, and of items that name none.
    pub currency: Pointer,
    /// A text, RFC 3339: when it was placed.
    pub created_at: Pointer,
    /// The same, or nothing: when it became fulfilled.
    pub fulfilled_at: Pointer,
    /// The same, or nothing: when it became refunded.
    pub refunded_at: Pointer,
    /// An object, or nothing: whatever else the shop keeps with it.
    pub metadata: Pointer,
    /// A whole number, or nothing: rises with each change.
    pub revision: Pointer,
    /// A text, in an item: the article's number.
    pub item_sku: Pointer,
    /// A text, in an item: its name.
    pub item_name: Pointer,
    /// A whole number, in an item: how many.
    pub item_quantity: Pointer,
    /// A whole number of minor units, in an item: the price of one.
    pub item_unit_price: Pointer,
    /// A text, or nothing, in an item: the currency of its price.
    pub item_currency: Pointer,
}

/// The members of an order as they stand in an answer.
struct Answer<'answer> {
    value: &'answer Value,
    /// "item 2", or empty for the order itself.
    part: String,
}

impl OrderFields {
    /// The order that `answer` shows, with the id that was asked for. What can't be read is named by its pointer.
    pub(super) fn read(&self, id: &str, answer: &Value, tag: Option<u64>, words: &Words) -> Result<Order, OrderError> {
        let order = Answer { value: answer, part: String::new() };
        let currency = order.text(&self.currency)?;
        let items = order.at(&self.items)?.as_array().ok_or_else(|| order.unlike(&self.items, "a list"))?;
        let items = items.iter().enumerate();
        let items = items.map(|(position, item)| self.item(position, item, &currency)).collect::<Result<_, _>>()?;
        Ok(Order {
            id: id.to_owned(),
            status: words.read(&order.text(&self.status)?)?,
            customer_email: order.text(&self.customer_email)?,
            customer_name: order.optional_text(&self.customer_name)?,
            items,
            total: Money { minor: order.whole(&self.total)?, currency },
            created_at: order.time(&self.created_at)?,
            fulfilled_at: order.optional_time(&self.fulfilled_at)?,
            refunded_at: order.optional_time(&self.refunded_at)?,
            metadata: order.object(&self.metadata)?,
            revision: self.revision(answer).or(tag).unwrap_or(0),
        })
    }

    /// The revision that `answer` names.
    pub(super) fn revision(&self, answer: &Value) -> Option<u64> {
        answer.pointer(self.revision.as_str()).and_then(Value::as_u64)
    }

    fn item(&self, position: usize, item: &Value, currency: &str) -> Result<OrderItem, OrderError> {
        let item = Answer { value: item, part: format!(" of item {position}") };
        let quantity = item.whole(&self.item_quantity)?;
        let currency = item.optional_text(&self.item_currency)?.unwrap_or_else(|| currency.to_owned());
        Ok(OrderItem {
            sku: item.text(&self.item_sku)?,
            name: item.text(&self.item_name)?,
            quantity: quantity.try_into().map_err(|_| item.unlike(&self.item_quantity, "a number of pieces"))?,
            unit_price: Money { minor: item.whole(&self.item_unit_price)?, currency },
        })
    }
}

impl Answer<'_> {
    fn optional(&self, pointer: &Pointer) -> Option<&Value> {
        self.value.pointer(pointer.as_str()).filter(|value| !value.is_null())
    }

    fn at(&self, pointer: &Pointer) -> Result<&Value, OrderError> {
        let part = &self.part;
        self.optional(pointer).ok_or_else(|| {
            OrderError::Unavailable(format!(
                "the order source's answer has nothing at {pointer}{part}; orders.http.fields says where it is"
            ))
        })
    }

    fn unlike(&self, pointer: &Pointer, expected: &str) -> OrderError {
        let part = &self.part;
        OrderError::Unavailable(format!(
            "the order source's answer has something else than {expected} at {pointer}{part}; orders.http.fields says \
             where it is"
        ))
    }

    fn text(&self, pointer: &Pointer) -> Result<String, OrderError> {
        match self.at(pointer)? {
            Value::String(text) => Ok(text.clone()),
            _ => Err(self.unlike(pointer, "a text")),
        }
    }

    fn optional_text(&self, pointer: &Pointer) -> Result<Option<String>, OrderError> {
        self.optional(pointer).map(|_| self.text(pointer)).transpose()
    }

    fn whole(&self, pointer: &Pointer) -> Result<i64, OrderError> {
        self.at(pointer)?.as_i64().ok_or_else(|| self.unlike(pointer, "a whole number"))
    }

    fn time(&self, pointer: &Pointer) -> Result<Timestamp, OrderError> {
        self.text(pointer)?.parse().map_err(|_| self.unlike(pointer, "an RFC 3339 time"))
    }

    fn optional_time(&self, pointer: &Pointer) -> Result<Option<Timestamp>, OrderError> {
        self.optional(pointer).map(|_| self.time(pointer)).transpose()
    }

    fn object(&self, pointer: &Pointer) -> Result<Json, OrderError> {
        match self.optional(pointer) {
            None => Ok(Json::empty_object()),
            Some(object @ Value::Object(_)) => Json::of(object).map_err(|_| self.unlike(pointer, "an object")),
            Some(_) => Err(self.unlike(pointer, "an object")),
        }
    }
}
