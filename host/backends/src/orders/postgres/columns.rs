//! The shop's tables and columns by their names in the configuration, quoted for SQL.
//! Whether the database has them is found out when it is asked.

use crate::orders::OrderSettingsError;

/// The columns of the table of orders; none for one that the shop does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderColumns {
    /// The table, or a view that can be updated; `schema.table` for one outside of the search path.
    pub table: String,
    /// Of any type that a text can be compared with.
    pub id: String,
    /// A text or an enum.
    pub status: String,
    /// A text.
    pub customer_email: String,
    /// A text.
    pub customer_name: Option<String>,
    /// An amount; without it the total is the sum of the items.
    pub total: Option<String>,
    /// ISO 4217; without it `PostgresOrders::currency` holds for all.
    pub currency: Option<String>,
    /// A timestamp; one without a zone is UTC.
    pub created_at: String,
    /// A timestamp that is set with each change.
    pub updated_at: Option<String>,
    /// A timestamp.
    pub fulfilled_at: Option<String>,
    /// A timestamp.
    pub refunded_at: Option<String>,
    /// A JSON object.
    pub metadata: Option<String>,
    /// A whole number that rises with each change; without it the revision is `updated_at` in milliseconds.
    pub revision: Option<String>,
}

/// The columns of the table of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemColumns {
    /// The table, or a view.
    pub table: String,
    /// What the items of an order are sorted by.
    pub id: Option<String>,
    /// The order's id.
    pub order: String,
    /// A text: the article's number; without it empty.
    pub sku: Option<String>,
    /// A text: its name; without it the article's number.
    pub name: Option<String>,
    /// A whole number; without it 1.
    pub quantity: Option<String>,
    /// An amount, in the order's currency.
    pub unit_price: String,
}

/// A name that the configuration gives, with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) key: String,
    pub(super) name: String,
}

impl Named {
    pub(super) fn list<'name>(
        section: &str,
        names: impl IntoIterator<Item = (&'static str, Option<&'name String>)>,
    ) -> Vec<Self> {
        let names = names.into_iter().filter_map(|(key, name)| Some((key, name?)));
        names.map(|(key, name)| Self { key: format!("{section}.{key}"), name: name.clone() }).collect()
    }

    /// Refuses what PostgreSQL would cut off or not take.
    pub(super) fn check(&self) -> Result<(), OrderSettingsError> {
        let refuse = |reason: &str| Err(OrderSettingsError::new(&self.key, reason));
        match self.name.as_str() {
            "" => refuse("is empty"),
            name if name.split('.').any(|part| part.len() > NAME_BYTES) => {
                refuse("is longer than the 63 bytes that PostgreSQL has for a name")
            }
            name if name.chars().any(char::is_control) => refuse("has a control character"),
            _ => Ok(()),
        }
    }
}

const NAME_BYTES: usize = 63;

impl OrderColumns {
    pub(super) fn names(&self) -> Vec<Named> {
        Named::list(
            "orders.postgres.orders",
            [
                ("table", Some(&self.table)),
                ("id", Some(&self.id)),
                ("status", Some(&self.status)),
                ("customer_email", Some(&self.customer_email)),
                ("customer_name", self.customer_name.as_ref()),
                ("total", self.total.as_ref()),
                ("currency", self.currency.as_ref()),
                ("created_at", Some(&self.created_at)),
                ("updated_at", self.updated_at.as_ref()),
                ("fulfilled_at", self.fulfilled_at.as_ref()),
                ("refunded_at", self.refunded_at.as_ref()),
                ("metadata", self.metadata.as_ref()),
                ("revision", self.revision.as_ref()),
            ],
        )
    }
}

impl ItemColumns {
    pub(super) fn names(&self) -> Vec<Named> {
        Named::list(
            "orders.postgres.items",
            [
                ("table", Some(&self.table)),
                ("id", self.id.as_ref()),
                ("order", Some(&self.order)),
                ("sku", self.sku.as_ref()),
                ("name", self.name.as_ref()),
                ("quantity", self.quantity.as_ref()),
                ("unit_price", Some(&self.unit_price)),
            ],
        )
    }
}

/// A name as an identifier of SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table as SQL names it: `schema.table` in that schema, else in the one of the URL, else in the search path.
pub(super) fn quoted_table(name: &str, schema: Option<&str>) -> String {
    match (name.split_once('.'), schema) {
        (Some((schema, table)), _) => format!("{}.{}", quoted(schema), quoted(table)),
        (None, Some(schema)) => format!("{}.{}", quoted(schema), quoted(name)),
        (None, None) => quoted(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_hold() {
        assert_eq!(quoted("Order"), "\"Order\"");
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
        assert_eq!(quoted_table("Order", None), "\"Order\"");
        assert_eq!(quoted_table("Order", Some("shop")), "\"shop\".\"Order\"");
        assert_eq!(quoted_table("sales.Order", Some("shop")), "\"sales\".\"Order\"");
    }

    #[test]
    fn a_name_that_postgres_would_cut_off_is_refused_with_its_key() {
        for (name, reason) in [("", "empty"), (&*"x".repeat(64), "63 bytes"), ("a\0b", "control")] {
            let named = Named { key: "orders.postgres.orders.id".to_owned(), name: name.to_owned() };
            let refused = named.check().expect_err("refused");
            assert!(refused.reason.contains(reason) && refused.key == "orders.postgres.orders.id", "{refused}");
        }
        assert!(Named { key: String::new(), name: "Bestellung Nr.".to_owned() }.check().is_ok());
    }
}
