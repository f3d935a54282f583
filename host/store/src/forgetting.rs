//! What is to be forgotten of a person, and which records carry it.
//! It deletes nothing: `LogStore` does, and then has the log written anew, so that no byte of it is left on the disk.

use jobmill_core::audit::AuditEntry;
use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::flow::Pointer;
use jobmill_core::journal::{Entry, EntryKind, Memory};
use jobmill_core::order::Order;
use jobmill_core::suppression::{AddressDigest, Suppression, SuppressionSource};
use jobmill_core::{AuditId, DeliveryId, EventKey, Json, RunId, RunState};
use serde_json::Value;

use crate::control::Control;
use crate::index::DeliveryName;
use crate::log::Record;
use crate::store::StoreError;

/// What is to be forgotten. What carries any of it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forget {
    /// An e-mail address, in any case, wherever it stands.
    pub email: Option<String>,
    /// A value at a place in payloads.
    pub value: Option<(Pointer, String)>,
}

/// What was forgotten, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Runs, with their payloads, journals and logs.
    pub runs: usize,
    /// Mails of those runs.
    pub mails: usize,
    /// Of those runs, the dead ones.
    pub dead: usize,
    /// Events that had started none of those runs.
    pub events: usize,
    /// Webhook deliveries.
    pub deliveries: usize,
    /// Orders of the embedded book whose customer was blanked.
    pub orders: usize,
    /// Suppressions whose address was dropped: the address still gets no mail.
    pub suppressions: usize,
    /// Entries of the audit list.
    pub audit: usize,
    /// Runs that carry it and are under way: they stay, and are to be forgotten once they have ended.
    pub running: Vec<RunId>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) runs: Vec<FoundRun>,
    pub(crate) events: Vec<EventKey>,
    pub(crate) deliveries: Vec<(DeliveryId, DeliveryName)>,
    pub(crate) orders: Vec<Order>,
    pub(crate) suppressions: Vec<AddressDigest>,
    pub(crate) audit: Vec<AuditId>,
    pub(crate) forgotten: Forgotten,
}

/// A run that waits or has ended, and what it adds to what is told.
#[derive(Debug, Clone)]
pub(crate) struct FoundRun {
    pub(crate) run: RunId,
    /// It waits for enqueues to be quiet, and may take in another payload.
    pub(crate) may_change: bool,
    mails: usize,
    is_dead: bool,
}

/// Why a run that was found stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It has begun since.
    UnderWay,
    /// It has taken in another payload since, and carries nothing of it any more.
    Changed,
}

impl Forgotten {
    /// A run that was found stays: it is not counted, and named if it is under way.
    pub(crate) fn leave(&mut self, found: &FoundRun, kept: Kept) {
        self.runs -= 1;
        self.mails -= found.mails;
        self.dead -= usize::from(found.is_dead);
        if kept == Kept::UnderWay {
            self.running.push(found.run);
        }
    }
}

impl Found {
    /// Looks at a record as `Query::export` gives it.
    pub(crate) fn look_at(&mut self, record: &Record, what: &Forget) -> Result<(), StoreError> {
        match record {
            Record::Journal { run, entries, .. } if what.concerns_run(entries)? => {
                let told = jobmill_core::Run::fold(*run, entries);
                let state = told.map_err(|error| StoreError::Damaged(error.to_string()))?.head.state;
                if state == RunState::Running {
                    self.forgotten.running.push(*run);
                    return Ok(());
                }
                let (mails, is_dead) = (Memory::of(entries).mails.len(), state == RunState::Dead);
                self.forgotten.runs += 1;
                self.forgotten.mails += mails;
                self.forgotten.dead += usize::from(is_dead);
                let may_change = waits_for_quiet(entries);
                self.runs.push(FoundRun { run: *run, may_change, mails, is_dead });
            }
            Record::Event { reference, data, .. } if what.concerns_document(data)? => {
                self.forgotten.events += 1;
                self.events.push(reference.key);
            }
            Record::Delivery(delivery) if what.concerns_delivery(delivery) => {
                self.forgotten.deliveries += 1;
                self.deliveries.push((delivery.id, (delivery.endpoint.clone(), delivery.sender_id.clone())));
            }
            Record::Order(order) if what.concerns_order(order) => {
                self.forgotten.orders += 1;
                self.orders.push(order.clone());
            }
            Record::Control(Control::Suppression(suppression)) if what.concerns_suppression(suppression) => {
                self.forgotten.suppressions += 1;
                self.suppressions.push(suppression.digest);
            }
            Record::Control(Control::Audit(entry)) if what.concerns_action(entry) => {
                self.forgotten.audit += 1;
                self.audit.push(entry.id);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Forget {
    /// Whether a run with this journal carries it.
    pub(crate) fn concerns_run(&self, entries: &[Entry]) -> Result<bool, StoreError> {
        for entry in entries {
            if let EntryKind::Enqueued(enqueued) = &entry.kind
                && self.concerns_document(&enqueued.payload)?
            {
                return Ok(true);
            }
            let Some(email) = &self.email else { continue };
            if let EntryKind::MailIntended { mail, .. } = &entry.kind {
                let attached = &mail.message.attachments;
                if attached.iter().any(|attachment| carries(&String::from_utf8_lossy(&attachment.content), email)) {
                    return Ok(true);
                }
            }
            if let EntryKind::HttpSettled { answer: Some(answer), .. } = &entry.kind
                && carries(&String::from_utf8_lossy(&answer.body), email)
            {
                return Ok(true);
            }
            if let EntryKind::HttpIntended { url, .. } = &entry.kind
                && url.replace("%40", "@").split(['/', '?', '&', '=', ';']).any(|part| carries(part, email))
            {
                return Ok(true);
            }
            let told = serde_json::to_value(entry).map_err(|error| StoreError::Damaged(error.to_string()))?;
            if in_value(&told, email) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn concerns_document(&self, document: &Json) -> Result<bool, StoreError> {
        let document = document.to_value().map_err(|error| StoreError::Damaged(error.to_string()))?;
        let value = self.value.as_ref();
        let at_pointer = value.is_some_and(|(pointer, value)| pointer.value_in(&document).as_ref() == Some(value));
        Ok(at_pointer || self.email.as_ref().is_some_and(|email| in_value(&document, email)))
    }

    fn concerns_delivery(&self, delivery: &Delivery) -> bool {
        // A body that is no JSON was signed all the same, and is looked through as it came.
        let document = Json::parse(&delivery.body).ok();
        if document.is_some_and(|document| self.concerns_document(&document).unwrap_or(true)) {
            return true;
        }
        let Some(email) = &self.email else { return false };
        let of_outcome = match &delivery.outcome {
            DeliveryOutcome::Suppressed { addresses } => addresses.as_slice(),
            DeliveryOutcome::Unmapped { reason } => std::slice::from_ref(reason),
            DeliveryOutcome::Published { .. } | DeliveryOutcome::Ignored => &[],
        };
        let texts = [&delivery.body, &delivery.sender_id, &delivery.kind];
        texts.into_iter().chain(of_outcome).any(|text| carries(text, email))
    }

    /// Whether the order is of this customer.
    pub(crate) fn concerns_order(&self, order: &Order) -> bool {
        let Some(email) = &self.email else { return false };
        carries(&order.customer_email, email)
            || order.customer_name.as_ref().is_some_and(|name| carries(name, email))
            || carries(order.metadata.as_str(), email)
    }

    fn concerns_action(&self, entry: &AuditEntry) -> bool {
        let Some(email) = &self.email else { return false };
        let by = entry.by.as_ref().map(|operator| &operator.name);
        [by, entry.target.as_ref(), entry.detail.as_ref()].into_iter().flatten().any(|text| carries(text, email))
    }

    fn concerns_suppression(&self, suppression: &Suppression) -> bool {
        self.email.as_ref().is_some_and(|email| without(suppression, email) != *suppression)
    }
}

/// Who said it is not known any more.
const FORGOTTEN: &str = "somebody who was forgotten";

/// The suppression without what carries an address: it goes on by its digest.
pub(crate) fn without(suppression: &Suppression, email: &str) -> Suppression {
    let other = |text: &String| !carries(text, email);
    let source = match &suppression.source {
        SuppressionSource::Operator(by) if carries(by, email) => SuppressionSource::Operator(FORGOTTEN.to_owned()),
        source => source.clone(),
    };
    Suppression {
        address: suppression.address.clone().filter(other),
        reason: suppression.reason.clone().filter(other),
        source,
        ..suppression.clone()
    }
}

fn waits_for_quiet(entries: &[Entry]) -> bool {
    let [Entry { kind: EntryKind::Enqueued(enqueued), .. }] = entries else { return false };
    enqueued.terms.as_ref().is_some_and(|terms| terms.debounce.is_some())
}

/// The order without its customer.
pub(crate) fn blanked(order: &Order, email: Option<&str>) -> Order {
    let metadata = match email {
        Some(email) if carries(order.metadata.as_str(), email) => Json::of(&serde_json::json!({})).ok(),
        _ => None,
    };
    Order {
        customer_email: String::new(),
        customer_name: None,
        metadata: metadata.unwrap_or_else(|| order.metadata.clone()),
        revision: order.revision + 1,
        ..order.clone()
    }
}

fn in_value(value: &Value, email: &str) -> bool {
    match value {
        Value::String(text) => carries(text, email),
        Value::Array(values) => values.iter().any(|value| in_value(value, email)),
        Value::Object(members) => members.iter().any(|(name, value)| carries(name, email) || in_value(value, email)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether the text has this address in it, in any case, and not only as a part of a longer one.
fn carries(text: &str, email: &str) -> bool {
    let (text, email) = (text.to_lowercase(), email.to_lowercase());
    let mut from = 0;
    while let Some(found) = text[from..].find(&email).map(|at| from + at) {
        let end = found + email.len();
        let before = text[..found].chars().next_back();
        let mut after = text[end..].chars();
        let is_longer = match after.next() {
            Some('.') => after.next().is_some_and(char::is_alphanumeric),
            Some(next) => next.is_alphanumeric() || next == '-',
            None => false,
        };
        let is_tail = before.is_some_and(|before| before.is_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(before));
        if !is_longer && !is_tail {
            return true;
        }
        from = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use jobmill_core::Timestamp;
    use jobmill_core::journal::{EffectKey, KeptAnswer};

    use super::*;

    #[test]
    fn an_address_in_a_request_or_its_answer_is_found() {
        let forget = Forget { email: Some("ann@x.example".to_owned()), value: None };
        let key = || EffectKey::http("POST", "https://a.example", b"", 0);
        let intended =
            |url: &str| EntryKind::HttpIntended { key: key(), method: "POST".to_owned(), url: url.to_owned() };
        let settled = |body: &[u8]| {
            let answer = KeptAnswer { headers: Vec::new(), body: body.to_vec() };
            EntryKind::HttpSettled { key: key(), status: Some(200), error: None, answer: Some(answer.into()) }
        };
        let concerns = |kind| forget.concerns_run(&[Entry { at: Timestamp::from_millis(0), kind }]);
        assert_eq!(concerns(intended("https://a.example/?to=ann%40x.example")), Ok(true));
        assert_eq!(concerns(settled(b"{\"to\":\"Ann@x.example\"}")), Ok(true));
        assert_eq!(concerns(intended("https://a.example/?to=bob%40x.example")), Ok(false));
        assert_eq!(concerns(settled(b"{\"to\":\"bob@x.example\"}")), Ok(false));
    }

    #[test]
    fn an_address_is_found_in_any_case_and_not_inside_a_longer_one() {
        for text in ["ann@x.example", "To: <Ann@X.example>, b@y.example", "ann@x.example.", "mailto:ann@x.example?s=1"]
        {
            assert!(carries(text, "ann@x.example"), "{text}");
        }
        for text in ["joann@x.example", "ann@x.example.org", "jo.ann@x.example", "ann@x.examples", "ann @x.example"] {
            assert!(!carries(text, "ann@x.example"), "{text}");
        }
    }

    #[test]
    fn escaped_documents_are_looked_through_as_what_they_say() {
        let document = Json::parse(r#"{"a":[{"b":"zo\u00eb@x.example"}]}"#).expect("JSON");
        let what = Forget { email: Some("Zoë@x.example".to_owned()), value: None };
        assert_eq!(what.concerns_document(&document), Ok(true));
    }
}
