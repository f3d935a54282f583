//! What the test host keeps: orders, mails, steps, logs, and which effects are already done.
//! It is not the engine's implementation, only its promises: done once for a run, refused changes refused.

use super::LogLine;
use crate::http::{HttpError, Request, Response};
use crate::{
    Delivery, EmailError, Level, Message, Order, OrderError, OrderPatch, OrderStatus, Receipt, StepError, Timestamp,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The moment at which every change of a test happens.
const NOW: Timestamp = Timestamp::from_millis(1_772_533_800_000);

#[derive(Debug, Default)]
pub(crate) struct World {
    attempt: u32,
    orders: BTreeMap<String, Order>,
    updates_done: Vec<(String, OrderPatch, Order)>,
    /// Receipts by kind, recipient and occurrence within an attempt.
    receipts: BTreeMap<(String, String, u32), Receipt>,
    sent_in_attempt: BTreeMap<(String, String), u32>,
    steps_done: BTreeMap<String, String>,
    begun_in_attempt: BTreeSet<String>,
    /// Answers to requests that change something, by the request and its occurrence within an attempt.
    answers: Vec<(Request, usize, Response)>,
    changed_in_attempt: Vec<Request>,
    pub(crate) settings: BTreeMap<String, String>,
    pub(super) requests: Vec<Request>,
    pub(super) scripted: VecDeque<Result<Response, HttpError>>,
    pub(super) mails: Vec<Message>,
    pub(super) logs: Vec<LogLine>,
    pub(super) email_faults: VecDeque<EmailError>,
    pub(super) update_faults: VecDeque<OrderError>,
    pub(super) fetch_faults: VecDeque<OrderError>,
}

impl World {
    /// Forget what belongs to one attempt only; answers the number of the new one.
    pub(super) fn begin_attempt(&mut self) -> u32 {
        self.attempt += 1;
        self.sent_in_attempt.clear();
        self.begun_in_attempt.clear();
        self.changed_in_attempt.clear();
        self.attempt
    }

    pub(super) fn put_order(&mut self, order: Order) {
        self.orders.insert(order.id.clone(), order);
    }

    pub(super) fn order(&self, id: &str) -> Option<Order> {
        self.orders.get(id).cloned()
    }

    pub(crate) fn fetch_order(&mut self, id: &str) -> Result<Order, OrderError> {
        if let Some(fault) = self.fetch_faults.pop_front() {
            return Err(fault);
        }
        self.order(id).ok_or_else(|| OrderError::NotFound(id.to_owned()))
    }

    pub(crate) fn update_order(&mut self, id: &str, patch: OrderPatch) -> Result<Order, OrderError> {
        if let Some((_, _, order)) = self.updates_done.iter().find(|(done, with, _)| done == id && *with == patch) {
            return Ok(order.clone());
        }
        if let Some(fault) = self.update_faults.pop_front() {
            return Err(fault);
        }
        let order = self.orders.get_mut(id).ok_or_else(|| OrderError::NotFound(id.to_owned()))?;
        apply(order, &patch)?;
        let changed = order.clone();
        self.updates_done.push((id.to_owned(), patch, changed.clone()));
        Ok(changed)
    }

    pub(crate) fn send_email(&mut self, message: &Message) -> Result<Receipt, EmailError> {
        let recipient = (message.kind.clone(), message.to.address.to_lowercase());
        let occurrence = self.sent_in_attempt.entry(recipient.clone()).or_default();
        *occurrence += 1;
        let key = (recipient.0, recipient.1, *occurrence);
        if let Some(receipt) = self.receipts.get(&key) {
            return Ok(Receipt { delivery: Delivery::AlreadySent, ..receipt.clone() });
        }
        if let Some(fault) = self.email_faults.pop_front() {
            return Err(fault);
        }
        self.mails.push(message.clone());
        let receipt = Receipt { message_id: format!("<{}@test.invalid>", self.mails.len()), delivery: Delivery::Sent };
        self.receipts.insert(key, receipt.clone());
        Ok(receipt)
    }

    pub(crate) fn send_request(&mut self, request: &Request) -> Result<Response, HttpError> {
        let occurrence = self.changed_in_attempt.iter().filter(|earlier| names_the_same(earlier, request)).count();
        let answered =
            self.answers.iter().find(|(earlier, at, _)| *at == occurrence && names_the_same(earlier, request));
        let answer = match answered {
            Some((_, _, answer)) if !request.is_read() => answer.clone(),
            _ => {
                self.requests.push(request.clone());
                let unscripted = || {
                    Err(HttpError::Denied(format!("{} is not allowed: the test host has no answer to it", request.url)))
                };
                self.scripted.pop_front().unwrap_or_else(unscripted)?
            }
        };
        if !request.is_read() && answer.status < 400 {
            self.answers.push((request.clone(), occurrence, answer.clone()));
            self.changed_in_attempt.push(request.clone());
        }
        Ok(answer)
    }

    pub(crate) fn begin_step(&mut self, name: &str) -> Result<Option<String>, StepError> {
        if !self.begun_in_attempt.insert(name.to_owned()) {
            return Err(StepError::AlreadyBegun(name.to_owned()));
        }
        Ok(self.steps_done.get(name).cloned())
    }

    pub(crate) fn complete_step(&mut self, name: &str, value: &str) -> Result<(), StepError> {
        if !self.begun_in_attempt.contains(name) {
            return Err(StepError::NotBegun(name.to_owned()));
        }
        self.steps_done.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    pub(crate) fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) {
        self.logs.push(LogLine { level, message, fields });
    }
}

/// Headers are no part of what a request is known by.
fn names_the_same(one: &Request, other: &Request) -> bool {
    (&one.method, &one.url, &one.body) == (&other.method, &other.url, &other.body)
}

fn apply(order: &mut Order, patch: &OrderPatch) -> Result<(), OrderError> {
    if patch.expected_revision.is_some_and(|expected| expected != order.revision) {
        return Err(OrderError::RevisionConflict(order.revision));
    }
    let before = (order.status, order.metadata.clone());
    if let Some(status) = patch.status.filter(|status| *status != order.status) {
        if !order.status.may_become(status) {
            let (id, from) = (&order.id, order.status);
            return Err(OrderError::InvalidTransition(format!(
                "order {id:?} is {from}, and a {from} order can't become {status}"
            )));
        }
        order.status = status;
        match status {
            OrderStatus::Fulfilled => order.fulfilled_at = Some(NOW),
            OrderStatus::Refunded => order.refunded_at = Some(NOW),
            OrderStatus::Pending | OrderStatus::Paid | OrderStatus::Cancelled => {}
        }
    }
    if let Some(metadata) = &patch.metadata {
        merge(&mut order.metadata, metadata);
    }
    if before != (order.status, order.metadata.clone()) {
        order.revision += 1;
    }
    Ok(())
}

/// JSON Merge Patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(target) = target {
        for (name, value) in members {
            if value.is_null() {
                target.remove(name);
            } else {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
    }
}
