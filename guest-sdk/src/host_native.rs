//! The host's functions where there is no host: they go to the test host of the thread.
//! It keeps no state of its own: `testing` does.

use crate::http::{HttpError, Request, Response};
use crate::testing::current;
use crate::{EmailError, Level, Message, Order, OrderError, OrderPatch, Receipt, StepError};

pub(crate) fn fetch_order(id: &str) -> Result<Order, OrderError> {
    current("fetch_order", |world| world.fetch_order(id))
}

pub(crate) fn update_order(id: &str, patch: OrderPatch) -> Result<Order, OrderError> {
    current("update_order", |world| world.update_order(id, patch))
}

pub(crate) fn send_email(message: &Message) -> Result<Receipt, EmailError> {
    current("send_email", |world| world.send_email(message))
}

pub(crate) fn begin_step(name: &str) -> Result<Option<String>, StepError> {
    current("step", |world| world.begin_step(name))
}

pub(crate) fn complete_step(name: &str, value: &str) -> Result<(), StepError> {
    current("step", |world| world.complete_step(name, value))
}

pub(crate) fn log(level: Level, message: String, fields: Vec<(String, String)>) {
    current("a log macro", |world| world.log(level, message, fields));
}

pub(crate) fn send_request(request: &Request) -> Result<Response, HttpError> {
    current("an HTTP request", |world| world.send_request(request))
}

pub(crate) fn setting(name: &str) -> Option<String> {
    current("config::get", |world| world.settings.get(name).cloned())
}
