//! What the server needs beside the engine's `Handle`, handed in by whoever composes the binary.
//! It names no mail library and no backend: they come as a function and traits.

use std::path::PathBuf;
use std::sync::Arc;

use jobmill_core::Timestamp;
use jobmill_core::mail::Mail;
use jobmill_core::token::Token;
use jobmill_engine::MailOutlet;
use jobmill_webhooks::Endpoint;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Builds the bytes of a mail as they went, or would go, over the wire; an error is a sentence for people.
pub type RawMail = Arc<dyn Fn(&Mail) -> Result<Vec<u8>, String> + Send + Sync>;

/// Something that an operator has to see to, before work goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Alarm {
    /// What is concerned, such as `mail`.
    pub kind: &'static str,
    /// What is wrong, for people.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again.
    pub next_try: Timestamp,
}

/// What is wrong just now, at the time that is handed in; empty while all is well.
pub type Alarms = Arc<dyn Fn(Timestamp) -> Vec<Alarm> + Send + Sync>;

/// Which kind of failure is made to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
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

/// Who is told of dead runs, for people.
#[derive(Debug, Clone, Default)]
pub struct OnDuty {
    /// Whoever is told: addresses, and the webhook without its path.
    pub receivers: Vec<String>,
    /// Whoever is named to get mail, and gets none because mail is captured.
    pub unreached: Vec<String>,
    /// Dead runs of one group within `limits::SPIKE_WINDOW` that are a spike.
    pub spike: usize,
}

/// How many bytes of the disk the store takes; none where that can't be told. It may wait for the disk.
pub type StoreBytes = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// Where the store lies, for people.
#[derive(Clone)]
pub struct StorePlace {
    /// The data directory.
    pub directory: PathBuf,
    /// How large the store in it is.
    pub bytes: StoreBytes,
}

/// What becomes of the mails that jobs send, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailRoute {
    /// They are kept here and sent to nobody.
    Captured,
    /// They are handed to the mail server of this address.
    Server(String),
}

/// What the server needs beside the engine's `Handle`.
#[derive(Clone)]
pub struct ServerSettings {
    /// Serves `GET /api/v1/mail/{id}/raw`.
    pub raw_mail: RawMail,
    /// Shown on the system's page.
    pub mail_route: MailRoute,
    /// Serves `POST /api/v1/mail/{id}/release`; none where the configuration lets no captured mail leave.
    pub mail_outlet: Option<Arc<dyn MailOutlet>>,
    /// Shown in `GET /api/v1/stats` and on top of the pages.
    pub alarms: Alarms,
    /// Serves `POST …/faults`; none in production, where these routes do not exist.
    pub faults: Option<Arc<dyn DevelopmentFaults>>,
    /// API tokens of the configuration, beside those of the store. Their ids are the same after each start.
    pub tokens: Vec<Token>,
    /// Webhooks of the configuration, each under another name.
    pub webhooks: Vec<Endpoint>,
    /// Shown on the system's page.
    pub on_duty: OnDuty,
    /// Shown on the system's page; none where the store lies in no directory.
    pub store_place: Option<StorePlace>,
}
