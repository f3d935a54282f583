//! `[orders]`: where the orders are, and what the shop calls its things.
//! It reaches no shop; `serve` makes the source.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use jobmill_core::flow::Pointer;
use jobmill_core::order::OrderStatus;
use serde::Deserialize;

use super::secret::SecretSource;
use crate::failure::Failure;

/// The section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrdersSection {
    /// Where the orders are.
    pub(crate) source: OrderSource,
    /// The shop's HTTP endpoint.
    pub(crate) http: HttpSection,
    /// The shop's tables.
    pub(crate) postgres: PostgresSection,
}

/// Where the orders are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OrderSource {
    /// In our own store.
    Embedded,
    /// Behind the shop's HTTP endpoint.
    Http,
    /// In the shop's database.
    Postgres,
}

/// `[orders.http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpSection {
    /// An order is at `{base_url}/{id}`.
    pub(crate) base_url: Option<String>,
    /// The bearer token.
    pub(crate) token: Option<SecretSource>,
    /// How long one request may take.
    #[serde(with = "jobmill_core::time::as_text")]
    pub(crate) timeout: Duration,
    /// Where the members of an order stand.
    pub(crate) fields: FieldsSection,
    /// The shop's words.
    #[serde(default)]
    pub(crate) statuses: BTreeMap<String, OrderStatus>,
}

/// `[orders.http.fields]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldsSection {
    pub(crate) status: Pointer,
    pub(crate) customer_email: Pointer,
    pub(crate) customer_name: Pointer,
    pub(crate) items: Pointer,
    pub(crate) total: Pointer,
    pub(crate) currency: Pointer,
    pub(crate) created_at: Pointer,
    pub(crate) fulfilled_at: Pointer,
    pub(crate) refunded_at: Pointer,
    pub(crate) metadata: Pointer,
    pub(crate) revision: Pointer,
    pub(crate) item_sku: Pointer,
    pub(crate) item_name: Pointer,
    pub(crate) item_quantity: Pointer,
    pub(crate) item_unit_price: Pointer,
    pub(crate) item_currency: Pointer,
}

/// `[orders.postgres]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostgresSection {
    /// Where the database is; may hold the password.
    pub(crate) url: Option<SecretSource>,
    /// How long one reading or change may take.
    #[serde(with = "jobmill_core::time::as_text")]
    pub(crate) timeout: Duration,
    /// Connections at most.
    pub(crate) connections: NonZeroUsize,
    /// What amounts count.
    pub(crate) amounts: Amounts,
    /// The currency where no column says one.
    pub(crate) currency: Option<String>,
    /// The table of orders.
    pub(crate) orders: OrdersTable,
    /// The table of items.
    pub(crate) items: ItemsTable,
    /// The table of mails.
    pub(crate) email_log: EmailLogTable,
    /// The shop's words.
    #[serde(default)]
    pub(crate) statuses: BTreeMap<String, OrderStatus>,
}

/// What amounts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Amounts {
    /// Cents.
    Minor,
    /// Euros.
    Major,
}

/// `[orders.postgres.orders]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrdersTable {
    pub(crate) table: String,
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) customer_email: String,
    pub(crate) customer_name: Column,
    pub(crate) total: Column,
    pub(crate) currency: Column,
    pub(crate) created_at: String,
    pub(crate) updated_at: Column,
    pub(crate) fulfilled_at: Column,
    pub(crate) refunded_at: Column,
    pub(crate) metadata: Column,
    pub(crate) revision: Column,
}

/// `[orders.postgres.items]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemsTable {
    pub(crate) table: String,
    pub(crate) id: Column,
    pub(crate) order: String,
    pub(crate) sku: Column,
    pub(crate) name: Column,
    pub(crate) quantity: Column,
    pub(crate) unit_price: String,
}

/// `[orders.postgres.email_log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmailLogTable {
    /// None: mails are logged here only.
    pub(crate) table: Option<String>,
    pub(crate) id: String,
    pub(crate) run: Column,
    pub(crate) job: Column,
    pub(crate) kind: Column,
    pub(crate) to: Column,
    pub(crate) subject: Column,
    pub(crate) status: Column,
    pub(crate) message_id: Column,
    pub(crate) error: Column,
    pub(crate) attempts: Column,
    pub(crate) created_at: Column,
    pub(crate) sent_at: Column,
}

/// A column that a shop may not have: its name, or `""`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Column(String);

impl Column {
    /// The name, if there is such a column.
    pub(crate) fn name(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.clone())
    }
}

impl OrdersSection {
    /// Refuses a source that can't be reached.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let missing = |source: &str, key: &str| {
            Failure::usage("configuration", format!("orders.source is {source:?}, and {key} is not set"))
        };
        match self.source {
            OrderSource::Http if self.http.base_url.is_none() => Err(missing("http", "orders.http.base_url").advise(
                "add: http = { base_url = \"https://shop.example/api/orders\", token = { env = \"SHOP_TOKEN\" } }",
            )),
            OrderSource::Postgres if self.postgres.url.is_none() => Err(missing("postgres", "orders.postgres.url")
                .advise("add: postgres = { url = { env = \"DATABASE_URL\" } }")),
            _ => Ok(()),
        }
    }

    /// The same with our own book, and no table of the shop written to.
    pub(super) fn embedded(mut self) -> Self {
        self.source = OrderSource::Embedded;
        self.postgres.email_log.table = None;
        self
    }
}
