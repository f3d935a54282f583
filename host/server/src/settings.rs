//! What the server needs beside the engine's `Handle`, handed in by whoever composes the binary.
//! It names no mail library and no backend: they come as a function and a trait.

use std::sync::Arc;

use jobmill_core::mail::Mail;
use serde::Deserialize;

/// Builds the bytes of a mail as they went, or would go, over the wire; an error is a sentence for people.
pub type RawMail = Arc<dyn Fn(&Mail) -> Result<Vec<u8>, String> + Send + Sync>;

/// Which kind of failure is made to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// One that a retry may mend.
    Transient,
    /// One that no retry mends.
    Permanent,
}

/// Failures on demand, so that people can watch retries work. Counts are over all jobs; a new count replaces the last.
pub trait DevelopmentFaults: Send + Sync {
    /// Makes the next `count` mails fail.
    fn fail_mail(&self, count: u32, kind: FaultKind);

    /// Makes the next `count` changes of orders fail.
    fn fail_orders(&self, count: u32, kind: FaultKind);
}

/// What the server needs beside the engine's `Handle`.
#[derive(Clone)]
pub struct ServerSettings {
    /// Serves `GET /api/v1/mail/{id}/raw`.
    pub raw_mail: RawMail,
    /// Serves `POST …/faults`; none in production, where these routes do not exist.
    pub faults: Option<Arc<dyn DevelopmentFaults>>,
}
