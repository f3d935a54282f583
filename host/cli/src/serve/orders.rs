//! The order source that the configuration describes, and the shop's table of mails.
//! It connects to nothing.

use std::sync::Arc;

use jobmill_backends::{
    Amounts, EmailLog, EmailLogColumns, Faults, HttpOrders, ItemColumns, OrderColumns, OrderFields, OrderSettingsError,
    Orders, PostgresOrders, PostgresSettings, Secret,
};
use jobmill_store::Query;

use crate::config::orders::{
    self, EmailLogTable, FieldsSection, HttpSection, OrderSource, OrdersSection, PostgresSection,
};
use crate::config::secret::SecretSource;
use crate::failure::Failure;

/// The order source of this configuration.
pub(super) fn orders(section: &OrdersSection, store: Arc<dyn Query>, faults: Arc<Faults>) -> Result<Orders, Failure> {
    Ok(shop_orders(section, Arc::clone(&faults))?.unwrap_or_else(|| Orders::embedded(store, faults)))
}

/// The order source, if it is the shop's own.
pub(crate) fn shop_orders(section: &OrdersSection, faults: Arc<Faults>) -> Result<Option<Orders>, Failure> {
    let source = match section.source {
        OrderSource::Embedded => return Ok(None),
        OrderSource::Http => Orders::http(http(&section.http)?, faults),
        OrderSource::Postgres => Orders::postgres(postgres(&section.postgres)?, faults),
    };
    source.map(Some).map_err(|error| refused(&error))
}

/// The shop's table of mails, if it has one.
pub(super) fn email_log(section: &OrdersSection) -> Result<Option<EmailLog>, Failure> {
    let table = &section.postgres.email_log;
    let Some(name) = &table.table else { return Ok(None) };
    if section.source != OrderSource::Postgres {
        return Err(Failure::usage(
            "configuration",
            "orders.postgres.email_log.table is set, and orders.source is not \"postgres\"",
        )
        .advise("set orders.source = \"postgres\", or leave the table out"));
    }
    let log = EmailLog::new(&database(&section.postgres)?, email_log_columns(name, table))
        .map_err(|error| refused(&error))?;
    Ok(Some(log))
}

fn refused(error: &OrderSettingsError) -> Failure {
    Failure::usage("configuration", error.to_string())
}

fn secret(source: Option<&SecretSource>, key: &str) -> Result<Option<Secret>, Failure> {
    source.map(|source| source.read(key).map(Secret::new)).transpose()
}

fn http(section: &HttpSection) -> Result<HttpOrders, Failure> {
    Ok(HttpOrders {
        // The configuration refuses the source without one.
        base_url: section.base_url.clone().unwrap_or_default(),
        token: secret(section.token.as_ref(), "orders.http.token")?,
        timeout: section.timeout,
        fields: fields(&section.fields),
        statuses: section.statuses.clone(),
    })
}

fn fields(section: &FieldsSection) -> OrderFields {
    let section = section.clone();
    OrderFields {
        status: section.status,
        customer_email: section.customer_email,
        customer_name: section.customer_name,
        items: section.items,
        total: section.total,
        currency: section.currency,
        created_at: section.created_at,
        fulfilled_at: section.fulfilled_at,
        refunded_at: section.refunded_at,
        metadata: section.metadata,
        revision: section.revision,
        item_sku: section.item_sku,
        item_name: section.item_name,
        item_quantity: section.item_quantity,
        item_unit_price: section.item_unit_price,
        item_currency: section.item_currency,
    }
}

fn database(section: &PostgresSection) -> Result<PostgresSettings, Failure> {
    Ok(PostgresSettings {
        // The configuration refuses the source without one.
        url: secret(section.url.as_ref(), "orders.postgres.url")?.unwrap_or_else(|| Secret::new("")),
        timeout: section.timeout,
        connections: section.connections.get(),
    })
}

fn postgres(section: &PostgresSection) -> Result<PostgresOrders, Failure> {
    let (orders, items) = (section.orders.clone(), section.items.clone());
    Ok(PostgresOrders {
        database: database(section)?,
        orders: OrderColumns {
            table: orders.table,
            id: orders.id,
            status: orders.status,
            customer_email: orders.customer_email,
            customer_name: orders.customer_name.name(),
            total: orders.total.name(),
            currency: orders.currency.name(),
            created_at: orders.created_at,
            updated_at: orders.updated_at.name(),
            fulfilled_at: orders.fulfilled_at.name(),
            refunded_at: orders.refunded_at.name(),
            metadata: orders.metadata.name(),
            revision: orders.revision.name(),
        },
        items: ItemColumns {
            table: items.table,
            id: items.id.name(),
            order: items.order,
            sku: items.sku.name(),
            name: items.name.name(),
            quantity: items.quantity.name(),
            unit_price: items.unit_price,
        },
        amounts: match section.amounts {
            orders::Amounts::Minor => Amounts::Minor,
            orders::Amounts::Major => Amounts::Major,
        },
        currency: section.currency.clone(),
        statuses: section.statuses.clone(),
    })
}

fn email_log_columns(name: &str, table: &EmailLogTable) -> EmailLogColumns {
    EmailLogColumns {
        table: name.to_owned(),
        id: table.id.clone(),
        run: table.run.name(),
        job: table.job.name(),
        kind: table.kind.name(),
        to: table.to.name(),
        subject: table.subject.name(),
        status: table.status.name(),
        message_id: table.message_id.name(),
        error: table.error.name(),
        attempts: table.attempts.name(),
        created_at: table.created_at.name(),
        sent_at: table.sent_at.name(),
    }
}
