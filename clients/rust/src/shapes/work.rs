//! How work comes in: events, webhook deliveries, and the tokens that open the door.
//! A token's secret is in no document but that of its making.

use std::fmt;

use jobmill_core::token::Scope;
use jobmill_core::{DeliveryId, EventId, EventKey, Json, RunId, Timestamp, TokenId};
use serde::Deserialize;

use crate::requests::RequestRate;

/// What became of the events of one request, in its order.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Publication {
    /// The events.
    pub events: Vec<Published>,
}

impl Publication {
    /// The runs that they started, all together.
    pub fn runs(&self) -> impl Iterator<Item = RunId> {
        self.events.iter().flat_map(|event| event.runs.iter().copied())
    }
}

/// An event that was taken in.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Published {
    /// Its id.
    pub id: EventId,
    /// The runs that it started; those of the first time for an id that was published before.
    pub runs: Vec<RunId>,
}

/// An event as it is kept. Only one that is shown by itself has its data.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Under which it is kept.
    #[serde(default)]
    pub key: Option<EventKey>,
    /// Its name.
    pub name: String,
    /// What it carries.
    #[serde(default)]
    pub data: Option<Json>,
    /// When it happened, as its publisher says.
    pub ts: Timestamp,
    /// When it came in.
    pub received_at: Timestamp,
    /// The runs that it started.
    pub runs: Vec<RunId>,
}

/// A webhook delivery.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The webhook that took it in.
    pub endpoint: String,
    /// The sender's own id of it.
    pub sender_id: String,
    /// What it tells of, such as `charge.refunded`.
    pub kind: String,
    /// When it came in.
    pub received_at: Timestamp,
    /// `published`, `suppressed`, `ignored` or `unmapped`.
    pub outcome: String,
    /// Why it could not be mapped.
    #[serde(default)]
    pub reason: Option<String>,
    /// The event that it was published as.
    #[serde(default)]
    pub event_id: Option<EventId>,
    /// The runs that it started.
    #[serde(default)]
    pub runs: Vec<RunId>,
    /// The addresses that get no mail because of it.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// How often it was taken in again.
    #[serde(default)]
    pub replays: u32,
    /// The body as it was signed; only of one that is shown by itself.
    #[serde(default)]
    pub body: Option<String>,
}

/// An API token, without its secret.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Token {
    /// Its id. It opens nothing.
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Timestamp,
    /// It opens nothing from then on.
    pub expires_at: Option<Timestamp>,
    /// It opens nothing since then.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute or so.
    pub last_used_at: Option<Timestamp>,
    /// How many requests it may make.
    pub rate_limit: Option<RequestRate>,
    /// Its work is refused while so many runs wait.
    pub max_waiting: Option<u32>,
    /// `created`, or `configuration` for one of the server's configuration.
    #[serde(default)]
    pub source: Option<String>,
}

/// A token that was made, with its secret, which is shown this once. Its debug output does not show it.
#[derive(Clone, Deserialize)]
#[non_exhaustive]
pub struct CreatedToken {
    /// The token.
    pub token: Token,
    /// What opens the door.
    pub secret: String,
}

impl fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedToken").field("token", &self.token).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_not_shown() {
        let created: CreatedToken = serde_json::from_str(
            r#"{ "secret": "jm_hunter2", "token": { "id": "tok_01J00000000000000000000000", "name": "shop",
                "scope": "enqueue", "created_at": "2026-03-01T09:00:00.000Z", "expires_at": null, "revoked_at": null,
                "last_used_at": null, "rate_limit": { "limit": 5, "period": "1m" }, "max_waiting": null,
                "source": "created" } }"#,
        )
        .expect("a token");
        assert_eq!((created.secret.as_str(), created.token.scope), ("jm_hunter2", Scope::Enqueue));
        assert!(!format!("{created:?}").contains("hunter2"));
    }
}
