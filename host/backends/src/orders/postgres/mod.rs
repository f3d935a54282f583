//! Orders in the shop's own PostgreSQL tables, such as Prisma's `"Order"` and `"OrderItem"`.
//! It makes no tables, and changes no row but the one of an order that a job updates.

mod amount;
mod columns;
mod database;
mod email_log;
mod parameter;
mod read;
mod url;

use std::collections::BTreeMap;

use iso_currency::Currency;
use jobmill_core::Timestamp;
use jobmill_core::order::{Order, OrderError, OrderPatch, OrderStatus};
use tokio_postgres::IsolationLevel;

use super::OrderSettingsError;
use super::words::{Spelling, Words};
pub use amount::Amounts;
pub use columns::{ItemColumns, OrderColumns};
use columns::{quoted, quoted_table};
pub use database::PostgresSettings;
use database::{Database, Statements, TroubleKind};
pub use email_log::{EmailLog, EmailLogColumns, EmailLogError, RefusedMail};
use parameter::Parameter;
use read::{Lock, Reader};

/// The shop's tables, and what they mean.
#[derive(Debug, Clone)]
pub struct PostgresOrders {
    /// How the database is reached.
    pub database: PostgresSettings,
    /// The table of orders.
    pub orders: OrderColumns,
    /// The table of their items.
    pub items: ItemColumns,
    /// What amounts count.
    pub amounts: Amounts,
    /// The currency of orders without a column for it.
    pub currency: Option<String>,
    /// The shop's words for a status.
    pub statuses: BTreeMap<String, OrderStatus>,
}

/// See the module.
pub(super) struct PostgresSource {
    database: Database,
    reader: Reader,
    columns: OrderColumns,
    table: String,
}

impl PostgresSource {
    /// Checks the settings; connects to nothing.
    pub(super) fn new(settings: PostgresOrders) -> Result<Self, OrderSettingsError> {
        let mut names = settings.orders.names();
        names.extend(settings.items.names());
        let database = Database::new(&settings.database, names)?;
        let refuse = |reason: &str| Err(OrderSettingsError::new("orders.postgres.currency", reason));
        match (&settings.orders.currency, &settings.currency) {
            (None, None) => return refuse("is needed where orders.postgres.orders.currency is \"\""),
            (_, Some(code)) if Currency::from_code(code).is_none() => {
                return refuse("is no ISO 4217 code such as \"EUR\"");
            }
            _ => {}
        }
        let words = Words::new(settings.statuses.clone(), Spelling::Upper, "orders.postgres.statuses");
        let (columns, schema) = (settings.orders.clone(), database.schema.clone());
        let table = quoted_table(&columns.table, schema.as_deref());
        let reader = Reader::new(settings, words, schema.as_deref());
        Ok(Self { database, reader, columns, table })
    }

    /// The order as it is now, its items of the same moment.
    pub(super) async fn fetch(&self, id: &str) -> Result<Order, OrderError> {
        self.database
            .within(async {
                let mut connection = self.database.connection().await?;
                let statements = self.database.begin(&mut connection, IsolationLevel::RepeatableRead).await?;
                let read = self.reader.order(id, Lock::None, &statements).await;
                let read = statements.end(read).await;
                connection.give_back();
                read
            })
            .await
    }

    /// Changes the order, and shows it as it is then.
    pub(super) async fn update(&self, id: &str, patch: &OrderPatch, now: Timestamp) -> Result<Order, OrderError> {
        self.check(patch)?;
        self.database
            .within(async {
                let mut connection = self.database.connection().await?;
                let statements = self.database.begin(&mut connection, IsolationLevel::ReadCommitted).await?;
                let changed = self.change(id, patch, now, &statements).await;
                let changed = statements.end(changed).await;
                connection.give_back();
                changed
            })
            .await
    }

    async fn change(
        &self,
        id: &str,
        patch: &OrderPatch,
        now: Timestamp,
        statements: &Statements<'_>,
    ) -> Result<Order, OrderError> {
        let order = self.reader.order(id, Lock::ForUpdate, statements).await?;
        let mut patched = order.patched(patch, now)?;
        if patched != order {
            patched.revision = self.write(&order, &patched, now, statements).await?;
        }
        Ok(patched)
    }

    /// Refuses what the shop has no column for.
    pub(super) fn check(&self, patch: &OrderPatch) -> Result<(), OrderError> {
        if patch.metadata.is_some() && self.columns.metadata.is_none() {
            return Err(OrderError::Denied(
                "the shop's orders have no metadata: orders.postgres.orders.metadata is \"\"".to_owned(),
            ));
        }
        if patch.expected_revision.is_some() && self.columns.revision.is_none() && self.columns.updated_at.is_none() {
            return Err(OrderError::Denied(
                "the shop's orders have no revision: orders.postgres.orders.revision and updated_at are \"\""
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Writes what differs; answers the revision that the order has then.
    async fn write(
        &self,
        order: &Order,
        patched: &Order,
        now: Timestamp,
        statements: &Statements<'_>,
    ) -> Result<u64, OrderError> {
        let columns = &self.columns;
        // Later than the last change, also when the clocks of two machines are not.
        let updated_at = match columns.revision {
            Some(_) => now,
            None => now.max(Timestamp::from_millis(order.revision.saturating_add(1))),
        };
        let (mut changes, mut parameters) = (Vec::new(), vec![Parameter::of(&order.id)]);
        let mut set = |column: &Option<String>, value: String| {
            if let Some(column) = column {
                parameters.push(Parameter::of(value));
                changes.push(format!("{} = ${}", quoted(column), parameters.len()));
            }
        };
        if patched.status != order.status {
            set(&Some(columns.status.clone()), self.reader.words.write(patched.status)?);
        }
        if patched.metadata != order.metadata {
            set(&columns.metadata, patched.metadata.as_str().to_owned());
        }
        for (column, before, after) in [
            (&columns.fulfilled_at, order.fulfilled_at, patched.fulfilled_at),
            (&columns.refunded_at, order.refunded_at, patched.refunded_at),
        ] {
            if let Some(at) = after.filter(|_| after != before) {
                set(column, at.to_string());
            }
        }
        set(&columns.updated_at, updated_at.to_string());
        set(&columns.revision, patched.revision.to_string());
        let update = format!("UPDATE {} SET {} WHERE {} = $1", self.table, changes.join(", "), quoted(&columns.id));
        statements.rows(&update, &parameters).await.map_err(|trouble| match trouble.kind {
            TroubleKind::Mistyped => {
                OrderError::Unavailable(format!("{}: check orders.postgres.statuses", trouble.text))
            }
            _ => OrderError::from(trouble),
        })?;
        Ok(match (&columns.revision, &columns.updated_at) {
            (Some(_), _) => patched.revision,
            (None, Some(_)) => updated_at.as_millis(),
            (None, None) => 0,
        })
    }
}
