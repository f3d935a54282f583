//! The keys of forms: each session and each token has its own, and nobody knows it who has not loaded a page.
//! They change with each start of the server, after which a page has to be loaded again.

use jobmill_core::id::hex;
use sha2::{Digest as _, Sha256};

use crate::authentication::Caller;

/// What the keys are made of.
pub(crate) struct FormKeys(String);

impl FormKeys {
    /// Of a secret that was drawn for this start.
    pub(crate) fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The key of whoever looks.
    pub(crate) fn of(&self, caller: &Caller) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.0);
        match (caller.session(), caller.id()) {
            (Some(session), _) => hash.update([b"session ", &session.0[..]].concat()),
            (None, Some(token)) => hash.update(format!("token {token}")),
            (None, None) => hash.update("nobody"),
        }
        hex(&hash.finalize())
    }
}
