//! The host's functions, called through the component's imports.
//! It decides nothing: each function converts, calls and converts back.

use crate::component::bindings::jobmill::job::{email, log, orders, steps, types};
use crate::{
    Delivery, EmailError, Level, Mailbox, Message, Money, Order, OrderError, OrderItem, OrderPatch, OrderStatus,
    Receipt, StepError, Timestamp,
};
use core::time::Duration;

pub(crate) use crate::wasi::{send_request, setting};

pub(crate) fn fetch_order(id: &str) -> Result<Order, OrderError> {
    orders::fetch_order(id).map(Into::into).map_err(|error| order_error(id, error))
}

pub(crate) fn update_order(id: &str, patch: OrderPatch) -> Result<Order, OrderError> {
    let patch = orders::OrderPatch {
        status: patch.status.map(Into::into),
        metadata: patch.metadata.map(|metadata| metadata.to_string()),
        expected_revision: patch.expected_revision,
    };
    orders::update_order(id, &patch).map(Into::into).map_err(|error| order_error(id, error))
}

pub(crate) fn send_email(message: &Message) -> Result<Receipt, EmailError> {
    let message = email::Message {
        kind: message.kind.clone(),
        to: mailbox(&message.to),
        reply_to: message.reply_to.as_ref().map(mailbox),
        subject: message.subject.clone(),
        text: message.text.clone(),
        html: message.html.clone(),
        attachments: message
            .attachments
            .iter()
            .map(|attachment| email::Attachment {
                file_name: attachment.file_name.clone(),
                content_type: attachment.content_type.clone(),
                content: attachment.content.clone(),
            })
            .collect(),
        headers: message.headers.clone(),
    };
    match email::send_email(&message) {
        Ok(receipt) => Ok(Receipt { message_id: receipt.message_id, delivery: receipt.delivery.into() }),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn begin_step(name: &str) -> Result<Option<String>, StepError> {
    steps::begin(name).map_err(|error| step_error(name, error))
}

pub(crate) fn complete_step(name: &str, value: &str) -> Result<(), StepError> {
    steps::complete(name, value).map_err(|error| step_error(name, error))
}

pub(crate) fn log(level: Level, message: String, fields: Vec<(String, String)>) {
    let level = match level {
        Level::Trace => log::Level::Trace,
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::log(level, &message, &fields);
}

fn mailbox(mailbox: &Mailbox) -> email::Mailbox {
    email::Mailbox { address: mailbox.address.clone(), name: mailbox.name.clone() }
}

fn order_error(id: &str, error: orders::OrderError) -> OrderError {
    match error {
        orders::OrderError::NotFound => OrderError::NotFound(id.to_owned()),
        orders::OrderError::RevisionConflict(revision) => OrderError::RevisionConflict(revision),
        orders::OrderError::InvalidTransition(reason) => OrderError::InvalidTransition(reason),
        orders::OrderError::Denied(reason) => OrderError::Denied(reason),
        orders::OrderError::RateLimited(delay) => OrderError::RateLimited(delay.map(Duration::from_millis)),
        orders::OrderError::Unavailable(reason) => OrderError::Unavailable(reason),
    }
}

fn step_error(name: &str, error: steps::StepError) -> StepError {
    match error {
        steps::StepError::AlreadyBegun => StepError::AlreadyBegun(name.to_owned()),
        steps::StepError::NotBegun => StepError::NotBegun(name.to_owned()),
        steps::StepError::JournalFull => StepError::JournalFull(name.to_owned()),
    }
}

impl From<email::EmailError> for EmailError {
    fn from(error: email::EmailError) -> Self {
        match error {
            email::EmailError::Invalid(reason) => Self::Invalid(reason),
            email::EmailError::Rejected(reason) => Self::Rejected(reason),
            email::EmailError::Denied(reason) => Self::Denied(reason),
            email::EmailError::RateLimited(delay) => Self::RateLimited(delay.map(Duration::from_millis)),
            email::EmailError::Unavailable(reason) => Self::Unavailable(reason),
            email::EmailError::InDoubt(reason) => Self::InDoubt(reason),
        }
    }
}

impl From<email::Delivery> for Delivery {
    fn from(delivery: email::Delivery) -> Self {
        match delivery {
            email::Delivery::Sent => Self::Sent,
            email::Delivery::Captured => Self::Captured,
            email::Delivery::Suppressed => Self::Suppressed,
            email::Delivery::AlreadySent => Self::AlreadySent,
        }
    }
}

impl From<types::Money> for Money {
    fn from(money: types::Money) -> Self {
        Self { minor: money.minor, currency: money.currency }
    }
}

impl From<orders::Order> for Order {
    fn from(order: orders::Order) -> Self {
        Self {
            id: order.id,
            status: order.status.into(),
            customer_email: order.customer_email,
            customer_name: order.customer_name,
            items: order.items.into_iter().map(Into::into).collect(),
            total: order.total.into(),
            created_at: Timestamp::from_millis(order.created_at),
            fulfilled_at: order.fulfilled_at.map(Timestamp::from_millis),
            refunded_at: order.refunded_at.map(Timestamp::from_millis),
            // The host keeps JSON there; what could not be read is nothing a job could use.
            metadata: serde_json::from_str(&order.metadata).unwrap_or_default(),
            revision: order.revision,
        }
    }
}

impl From<orders::OrderItem> for OrderItem {
    fn from(item: orders::OrderItem) -> Self {
        Self { sku: item.sku, name: item.name, quantity: item.quantity, unit_price: item.unit_price.into() }
    }
}

impl From<orders::OrderStatus> for OrderStatus {
    fn from(status: orders::OrderStatus) -> Self {
        match status {
            orders::OrderStatus::Pending => Self::Pending,
            orders::OrderStatus::Paid => Self::Paid,
            orders::OrderStatus::Fulfilled => Self::Fulfilled,
            orders::OrderStatus::Refunded => Self::Refunded,
            orders::OrderStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<OrderStatus> for orders::OrderStatus {
    fn from(status: OrderStatus) -> Self {
        match status {
            OrderStatus::Pending => Self::Pending,
            OrderStatus::Paid => Self::Paid,
            OrderStatus::Fulfilled => Self::Fulfilled,
            OrderStatus::Refunded => Self::Refunded,
            OrderStatus::Cancelled => Self::Cancelled,
        }
    }
}
