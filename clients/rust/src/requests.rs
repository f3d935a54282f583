//! What calls are given: runs to enqueue, events to publish, filters, and what operators want.
//! Nothing here is checked; the server does that, and says which member does not fit.

use std::time::Duration;

use jobmill_core::mail::InDoubtChoice;
use jobmill_core::time::format_duration;
use jobmill_core::token::Scope;
use jobmill_core::{RunId, RunState, Timestamp};
use serde::{Serialize, Serializer};

/// A run to enqueue. Members that are `None` are the job's own to say.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Enqueue<'a, P: ?Sized> {
    /// The job's id.
    #[serde(skip)]
    pub job: &'a str,
    /// What the run works on; at most 256 KiB as JSON.
    pub payload: &'a P,
    /// When it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Timestamp>,
    /// How long it waits before it begins, instead of a time; at most a year.
    #[serde(serialize_with = "span", skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// 0 (first) to 9 (last).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Within 24 hours, a second enqueue of the job under this key is the first run; another payload under it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<&'a str>,
    /// Words to find the run by; at most 20.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub tags: &'a [String],
    /// Names this request: sent again under the same key, it is answered with the first run.
    #[serde(skip)]
    pub idempotency_key: Option<&'a str>,
}

impl<'a, P: ?Sized> Enqueue<'a, P> {
    /// A run that begins at once.
    pub fn new(job: &'a str, payload: &'a P) -> Self {
        Self {
            job,
            payload,
            scheduled_at: None,
            delay: None,
            priority: None,
            unique_key: None,
            tags: &[],
            idempotency_key: None,
        }
    }
}

/// An event to publish.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct NewEvent<'a, D: ?Sized> {
    /// Its name, such as `email/welcome`.
    pub name: &'a str,
    /// Its data: the payload of the runs that it starts.
    pub data: &'a D,
    /// Its id, under which it is published once; 1 to 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// When it happened; now if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ts: Option<Timestamp>,
}

impl<'a, D: ?Sized> NewEvent<'a, D> {
    /// An event that happens now and is given an id by the server.
    pub fn new(name: &'a str, data: &'a D) -> Self {
        Self { name, data, id: None, ts: None }
    }
}

/// The payload of the job `purchase-confirmation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PurchaseConfirmation<'a> {
    /// The order that was paid.
    pub order_id: &'a str,
    /// Who gets the mail.
    pub customer_email: &'a str,
}

/// The payload of the job `refund-notification`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundNotification<'a> {
    /// The order that was refunded.
    pub order_id: &'a str,
    /// Who gets the mail.
    pub customer_email: &'a str,
    /// Why; stands in the mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_reason: Option<&'a str>,
}

/// The payload of the job `welcome-email`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WelcomeEmail<'a> {
    /// The new user.
    pub user_id: &'a str,
    /// Who gets the mail.
    pub email: &'a str,
    /// What the mail calls them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
}

/// Which runs a list shows; all of them where nothing is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunFilter<'a> {
    /// In this state.
    pub state: Option<RunState>,
    /// Of this job.
    pub job: Option<&'a str>,
    /// Started by this event, by name or id.
    pub event: Option<&'a str>,
    /// With this tag.
    pub tag: Option<&'a str>,
    /// Whose last error contains this text, in any case.
    pub error: Option<&'a str>,
    /// Enqueued since then.
    pub since: Option<Timestamp>,
    /// That repeat this run.
    pub rerun_of: Option<RunId>,
}

/// Which events a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventFilter<'a> {
    /// Of this name.
    pub name: Option<&'a str>,
    /// Received since then.
    pub since: Option<Timestamp>,
    /// Received before then.
    pub until: Option<Timestamp>,
}

/// Which mails a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct MailFilter<'a> {
    /// To this address, in any case.
    pub to: Option<&'a str>,
    /// Of this kind, such as `purchase-confirmation`.
    pub kind: Option<&'a str>,
    /// With this status.
    pub status: Option<&'a str>,
    /// Of this run.
    pub run: Option<RunId>,
    /// First intended since then.
    pub since: Option<Timestamp>,
    /// First intended before then.
    pub until: Option<Timestamp>,
}

/// Which entries of the audit list are shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter<'a> {
    /// What was done, such as `runs cancel`.
    pub action: Option<&'a str>,
    /// What it was done to, such as a run's id.
    pub target: Option<&'a str>,
    /// Id or name of the token that it was done with, or `without a token`.
    pub by: Option<&'a str>,
}

/// Which webhook deliveries a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeliveryFilter<'a> {
    /// Taken in by this webhook.
    pub endpoint: Option<&'a str>,
    /// With this outcome: `published`, `suppressed`, `ignored` or `unmapped`.
    pub outcome: Option<&'a str>,
}

/// Which runs a bulk action is about. The server refuses one that names none.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct RunSelection<'a> {
    /// Of this job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<&'a str>,
    /// In this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<RunState>,
    /// Started by this event, by name or id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<&'a str>,
    /// With this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<&'a str>,
    /// These.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<&'a [RunId]>,
}

/// Runs to cancel.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct CancelRuns<'a> {
    /// Which.
    pub filter: RunSelection<'a>,
    /// Why; kept with the runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Only say which it would be.
    pub dry_run: bool,
}

/// Which dead runs a bulk action is about. The server refuses one that names none.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct DeadSelection<'a> {
    /// Of this job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<&'a str>,
    /// Of this group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<&'a str>,
    /// These.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<&'a [RunId]>,
}

/// Dead runs to put back.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct RequeueDead<'a> {
    /// Which.
    pub filter: DeadSelection<'a>,
    /// Spreads them evenly over this time.
    #[serde(serialize_with = "span", skip_serializing_if = "Option::is_none")]
    pub spread: Option<Duration>,
    /// What became of their mails in doubt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_doubt: Option<InDoubtChoice>,
    /// Only say how many it would be.
    pub dry_run: bool,
}

/// Dead runs to put aside for good.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct DiscardDead<'a> {
    /// Which.
    pub filter: DeadSelection<'a>,
    /// Why; kept with the runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Only say how many it would be.
    pub dry_run: bool,
}

/// Whom or what to forget: an address, or a value at a JSON Pointer into payloads.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Forget<'a> {
    /// The address, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<&'a str>,
    /// Where the value stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<&'a str>,
    /// The value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<&'a str>,
    /// Only say what it would be.
    pub dry_run: bool,
}

/// Which kind of failure a development server is to make happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// One that a retry may mend.
    Transient,
    /// One that no retry mends.
    Permanent,
}

/// An API token to make.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct NewToken<'a> {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// What it may do.
    pub scope: Scope,
    /// It opens nothing from then on; none for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How many requests it may make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RequestRate>,
    /// Its work is refused while so many runs wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_waiting: Option<u32>,
}

/// So many requests in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct RequestRate {
    /// How many; at least 1.
    pub limit: u32,
    /// In which they may be made; written such as `1m`.
    #[serde(with = "jobmill_core::time::as_text")]
    pub period: Duration,
}

#[expect(clippy::ref_option, reason = "serde hands a reference over")]
fn span<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => serializer.serialize_str(&format_duration(*span)),
        None => serializer.serialize_none(),
    }
}

/// Parameters of a query that were given.
#[derive(Default)]
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    pub(crate) fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.0.extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_is_not_sent() {
        let payload = json!({ "a": 1 });
        let bare = serde_json::to_value(Enqueue::new("ship", &payload)).expect("JSON");
        assert_eq!(bare, json!({ "payload": { "a": 1 } }));
        let tags = ["vip".to_owned()];
        let full = Enqueue {
            delay: Some(Duration::from_secs(90)),
            priority: Some(0),
            unique_key: Some("k"),
            tags: &tags,
            idempotency_key: Some("in the header"),
            ..Enqueue::new("ship", &payload)
        };
        let sent =
            json!({ "payload": { "a": 1 }, "delay": "1m30s", "priority": 0, "unique_key": "k", "tags": ["vip"] });
        assert_eq!(serde_json::to_value(full).expect("JSON"), sent);
        let event = serde_json::to_value(NewEvent::new("order/paid", &payload)).expect("JSON");
        assert_eq!(event, json!({ "name": "order/paid", "data": { "a": 1 } }));
    }

    #[test]
    fn the_payloads_of_the_shops_jobs_are_named_as_their_schemas_name_them() {
        let refund = RefundNotification { order_id: "o", customer_email: "a@b.c", refund_reason: Some("broken") };
        let sent = json!({ "orderId": "o", "customerEmail": "a@b.c", "refundReason": "broken" });
        assert_eq!(serde_json::to_value(refund).expect("JSON"), sent);
        let welcome = WelcomeEmail { user_id: "u", email: "a@b.c", name: None };
        assert_eq!(serde_json::to_value(welcome).expect("JSON"), json!({ "userId": "u", "email": "a@b.c" }));
    }

    #[test]
    fn a_token_is_asked_for_with_what_was_said_of_it() {
        let rate = RequestRate { limit: 100, period: Duration::from_mins(1) };
        let token = NewToken {
            name: None,
            scope: Scope::Enqueue,
            expires_at: None,
            rate_limit: Some(rate),
            max_waiting: Some(500),
        };
        let sent = json!({ "scope": "enqueue", "rate_limit": { "limit": 100, "period": "1m" }, "max_waiting": 500 });
        assert_eq!(serde_json::to_value(token).expect("JSON"), sent);
    }
}
