//! Deliveries that were refused since the server started: how many at each webhook, and why the last of them was.
//! The sender is told none of it; whoever sets a webhook up is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jobmill_core::Timestamp;
use jobmill_webhooks::Endpoint;

/// Counts of the webhooks that there are, so it does not grow.
pub(crate) struct Refusals(Mutex<BTreeMap<String, Refused>>);

/// What was refused at one webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// How many deliveries.
    pub(crate) count: u64,
    /// When the last of them came in, and why it was refused.
    pub(crate) last: Option<(Timestamp, String)>,
}

impl Refusals {
    /// None yet.
    pub(crate) fn of(endpoints: &[Endpoint]) -> Self {
        let names = endpoints.iter().map(|endpoint| (endpoint.name().to_owned(), Refused::default()));
        Self(Mutex::new(names.collect()))
    }

    /// A delivery was refused.
    pub(super) fn add(&self, endpoint: &str, now: Timestamp, reason: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refused) = all.get_mut(endpoint) {
            refused.count = refused.count.saturating_add(1);
            refused.last = Some((now, reason));
        }
    }

    /// What was refused at a webhook.
    pub(crate) fn at(&self, endpoint: &str) -> Refused {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(endpoint).cloned().unwrap_or_default()
    }
}
