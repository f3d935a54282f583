//! The append-only record of a run: what its entries say.
//! It does not store them, and does not decide what follows from them.
//!
//! Stored entries are read back by later releases: fields and variants are only ever added, at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bill::Bill;
use crate::flow::{FlowKey, FullAt, Mark, UniqueStates};
use crate::id::{EventId, EventKey, JobId, MailId, RunId, Version, hex};
use crate::json::Json;
use crate::mail::{Mail, MailStatus};
use crate::order::OrderPatch;
use crate::outcome::AttemptError;
use crate::run::{AttemptOutcome, RunState};
use crate::time::Timestamp;

/// One entry of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub kind: EntryKind,
}

/// What happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// It was enqueued. Always the first entry, and only the first.
    Enqueued(Box<Enqueued>),
    /// An attempt begins.
    Started(Started),
    /// A step was completed; its value is kept for every later attempt.
    StepCompleted {
        /// The step's name.
        name: String,
        /// Its value.
        value: Json,
    },
    /// A mail is about to be handed over. Without a `MailSettled` after it, the mail is in doubt.
    MailIntended {
        /// The effect's key within the run.
        key: EffectKey,
        /// The mail, whole.
        mail: Arc<Mail>,
    },
    /// What became of the mail.
    MailSettled {
        /// The effect's key within the run.
        key: EffectKey,
        /// Where it stands now.
        status: MailStatus,
        /// The mail server's own last reply.
        reply: Option<String>,
        /// Why it was not sent.
        error: Option<String>,
    },
    /// An order in our own store was changed.
    OrderUpdated {
        /// The effect's key within the run.
        key: EffectKey,
        /// The order's id.
        order: String,
        /// What was changed.
        patch: OrderPatch,
    },
    /// The attempt ended.
    Finished(Box<Finished>),
    /// A cancel was asked for while an attempt ran.
    CancelRequested {
        /// Why.
        reason: String,
    },
    /// It was cancelled, or a dead run was discarded.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// It was put back: attempts start anew.
    Requeued {
        /// When it is due.
        scheduled_at: Timestamp,
        /// Attempts it may have from here.
        max_attempts: u32,
    },
    /// An order outside of our own store is about to be changed. Without an `OrderSettled` after it, the change is in
    /// doubt, and is asked for again under the same key.
    OrderIntended {
        /// The effect's key within the run.
        key: EffectKey,
        /// The order's id.
        order: String,
        /// What is to be changed.
        patch: OrderPatch,
    },
    /// What became of that change.
    OrderSettled {
        /// The effect's key within the run.
        key: EffectKey,
        /// Why it was not made; none when it was.
        error: Option<String>,
    },
    /// It waited for its time or its next attempt, and was asked to begin now: it is due. All else stays as it was.
    MadeDue {
        /// When it would have been due.
        instead_of: Timestamp,
    },
    /// An HTTP request that changes something is about to be sent. Without an `HttpSettled` after it, the request is in doubt,
    /// and is sent again under the same key.
    HttpIntended {
        /// The effect's key within the run.
        key: EffectKey,
        /// Its method.
        method: String,
        /// Where it goes.
        url: String,
    },
    /// What became of that request.
    HttpSettled {
        /// The effect's key within the run.
        key: EffectKey,
        /// The status of the answer; none when there was none.
        status: Option<u16>,
        /// Why it did not do what was asked for; none when it did.
        error: Option<String>,
        /// The rest of the answer, for later attempts; none when it was too long to keep, or of no use.
        answer: Option<Arc<KeptAnswer>>,
    },
}

/// What is kept of the answer to an HTTP request, beside its status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl KeptAnswer {
    /// How long it is.
    pub fn bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + self.body.len()
    }
}

/// How a run begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Enqueued {
    /// The job it is a run of.
    pub job: JobId,
    /// The lane it waits in.
    pub queue: String,
    /// 0 (first) to 9 (last).
    pub priority: u8,
    /// What it works on, byte for byte as it was sent.
    pub payload: Json,
    /// Attempts it may have.
    pub max_attempts: u32,
    /// When it is due.
    pub scheduled_at: Timestamp,
    /// The event that started it.
    pub event: Option<EventReference>,
    /// Words given by whoever enqueued it.
    pub tags: Vec<String>,
    /// The request's `unique_key`.
    pub unique_key: Option<String>,
    /// The request's `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// What a repeat under one of the keys must equal, for it to be the same enqueue.
    pub request_digest: Option<[u8; 32]>,
    /// The run that this one repeats.
    pub rerun_of: Option<RunId>,
    /// What flow control said of it; most runs have nothing.
    #[serde(default)]
    pub terms: Option<Box<Terms>>,
}

/// What its job's flow control said of a run when it was enqueued. Limits may change later; these stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What stood in the payload at the pointers of the job's limits.
    pub keys: Vec<FlowKey>,
    /// What its unique key counts for, when that is not 24 hours over all states.
    pub unique: Option<UniqueTerms>,
    /// Set when enqueues of its kind are debounced.
    pub debounce: Option<DebounceTerms>,
    /// It is cancelled when it has not begun by then.
    pub expires_at: Option<Timestamp>,
    /// Later events with one of these marks cancel it.
    pub marks: Vec<Mark>,
}

/// How far a unique key reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueTerms {
    /// How long it stands, from the enqueue.
    pub window: Duration,
    /// Which runs hold it.
    pub states: UniqueStates,
}

/// How a debounced run is found by the next enqueue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebounceTerms {
    /// What stood at the pointer of the debounce; none without one.
    pub value: Option<String>,
    /// Once it took in more than its first request: the newest of their keys, at most `limits::DEBOUNCED_KEYS`.
    pub earlier: Vec<EarlierKey>,
}

/// The `Idempotency-Key` of a request that a debounced run took in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierKey {
    /// The key.
    pub key: String,
    /// What a repeat must equal.
    pub digest: Option<[u8; 32]>,
    /// When it was used.
    pub at: Timestamp,
}

/// The event that started a run. Its data is the run's payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReference {
    /// Under which it is kept.
    pub key: EventKey,
    /// Its id: the publisher's, or one that says the key.
    pub id: EventId,
    /// Its name.
    pub name: Arc<str>,
    /// When it happened, as its publisher says.
    pub ts: Timestamp,
}

impl EventReference {
    /// Whether its publisher gave it an id, under which it is published once.
    pub fn has_given_id(&self) -> bool {
        self.id.key() != Some(self.key)
    }
}

/// How an attempt begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// 1 … `max_attempts`.
    pub attempt: u32,
    /// The component that runs.
    #[serde(with = "crate::id::whole_version")]
    pub version: Version,
    /// The fencing token of the lease it runs under.
    pub lease: u64,
    /// The bucket of its rate limit after it took its token.
    #[serde(default)]
    pub bucket: Option<FullAt>,
}

/// How an attempt ended, and what follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Why it failed.
    pub error: Option<AttemptError>,
    /// What the job returned.
    pub output: Option<Json>,
    /// The state the run goes to.
    pub to: RunState,
    /// When it is due again; meaningless when `to` is final.
    pub scheduled_at: Timestamp,
    /// Whether the attempt counts towards `max_attempts`.
    pub counted: bool,
    /// What the guest logged and wrote to its standard streams.
    pub log: Vec<LogLine>,
    /// Lines that the log's budget had no room for.
    pub log_dropped: u64,
    /// What the attempt used; none of one that nobody saw end.
    #[serde(default)]
    pub bill: Option<Box<Bill>>,
}

/// How loud a log line is, or which standard stream it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Finest detail.
    Trace,
    /// For whoever debugs the job.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Went wrong.
    Error,
    /// The guest's standard output.
    Stdout,
    /// The guest's standard error.
    Stderr,
}

/// One line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was logged.
    pub at: Timestamp,
    /// Its level.
    pub level: LogLevel,
    /// Its text.
    pub message: String,
    /// Names and values that belong to it.
    pub fields: Vec<(String, String)>,
}

/// What names an effect within its run, however many attempts the run takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectKey(String);

impl EffectKey {
    /// A mail: by what it is and to whom, and the n-th of those within one attempt (0 for the first).
    /// The content is no part of it: an edited template must not send the mail twice.
    pub fn mail(kind: &str, to: &str, occurrence: usize) -> Self {
        Self(format!("mail/{kind}/{}/{occurrence}", to.to_lowercase()))
    }

    /// A change of an order: by the order and the patch, and the n-th of those within one attempt.
    pub fn order(order: &str, patch: &OrderPatch, occurrence: usize) -> Self {
        Self(format!("order/{order}/{}/{occurrence}", patch.fingerprint()))
    }

    /// An HTTP request: by all that it asks for, and the n-th of those within one attempt.
    pub fn http(method: &str, url: &str, body: &[u8], occurrence: usize) -> Self {
        let mut digest = Sha256::new();
        // A URL has no line breaks.
        digest.update(url);
        digest.update("\n");
        digest.update(body);
        Self(format!("http/{method}/{}/{occurrence}", hex(&digest.finalize()[..16])))
    }

    /// What the other side of an effect of `run` knows it by, however often it is asked for it: 32 hex digits.
    pub fn idempotency_key(&self, run: RunId) -> String {
        let digest = Sha256::digest(format!("{run}/{}", self.0));
        hex(&digest[..16])
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A mail that an earlier attempt began.
#[derive(Debug, Clone, PartialEq)]
pub struct RememberedMail {
    /// The mail as it was handed over last.
    pub mail: Arc<Mail>,
    /// Where it stands; `sending` means that no answer was recorded.
    pub status: MailStatus,
    /// How often it was handed over.
    pub attempts: u32,
    /// When it was settled last.
    pub settled_at: Option<Timestamp>,
    /// The mail server's own last reply.
    pub reply: Option<String>,
    /// Why it was not sent.
    pub error: Option<String>,
}

/// What earlier attempts of a run have done and need not do again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// Values of completed steps by name.
    pub steps: BTreeMap<String, Json>,
    /// Mails by effect key.
    pub mails: BTreeMap<EffectKey, RememberedMail>,
    /// Changes of orders, by effect key.
    pub orders: BTreeMap<EffectKey, RememberedChange>,
    /// HTTP requests that change something, by effect key.
    pub requests: BTreeMap<EffectKey, RememberedRequest>,
}

/// How an HTTP request stands that an earlier attempt began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RememberedRequest {
    /// It was sent, and the answer is not on record: it may have arrived.
    InDoubt,
    /// It did what was asked for.
    Done {
        /// The status of the answer.
        status: u16,
        /// The rest of the answer, if it was kept.
        answer: Option<Arc<KeptAnswer>>,
    },
    /// It did not arrive, or was refused.
    Failed,
}

/// How a change of an order stands that an earlier attempt began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RememberedChange {
    /// It was asked for, and the answer is not on record: it may have been made.
    InDoubt,
    /// It was made.
    Made,
    /// It was refused.
    Refused,
}

impl Memory {
    /// What these entries remember.
    pub fn of<'entries>(entries: impl IntoIterator<Item = &'entries Entry>) -> Self {
        let mut memory = Self::default();
        for entry in entries {
            memory.apply(entry);
        }
        memory
    }

    /// Remembers one more entry.
    pub fn apply(&mut self, entry: &Entry) {
        match &entry.kind {
            EntryKind::StepCompleted { name, value } => {
                self.steps.insert(name.clone(), value.clone());
            }
            EntryKind::MailIntended { key, mail } => {
                let attempts = self.mails.get(key).map_or(0, |earlier| earlier.attempts) + 1;
                let remembered = RememberedMail {
                    mail: Arc::clone(mail),
                    status: MailStatus::Sending,
                    attempts,
                    settled_at: None,
                    reply: None,
                    error: None,
                };
                self.mails.insert(key.clone(), remembered);
            }
            EntryKind::MailSettled { key, status, reply, error } => {
                if let Some(remembered) = self.mails.get_mut(key) {
                    remembered.status = *status;
                    remembered.settled_at = Some(entry.at);
                    remembered.reply.clone_from(reply);
                    remembered.error.clone_from(error);
                }
            }
            EntryKind::OrderUpdated { key, .. } => {
                self.orders.insert(key.clone(), RememberedChange::Made);
            }
            EntryKind::OrderIntended { key, .. } => {
                self.orders.insert(key.clone(), RememberedChange::InDoubt);
            }
            EntryKind::OrderSettled { key, error } => {
                let stands = if error.is_none() { RememberedChange::Made } else { RememberedChange::Refused };
                self.orders.insert(key.clone(), stands);
            }
            EntryKind::HttpIntended { key, .. } => {
                self.requests.insert(key.clone(), RememberedRequest::InDoubt);
            }
            EntryKind::HttpSettled { key, status, error, answer } => {
                let stands = match (status, error) {
                    (Some(status), None) => RememberedRequest::Done { status: *status, answer: answer.clone() },
                    _ => RememberedRequest::Failed,
                };
                self.requests.insert(key.clone(), stands);
            }
            EntryKind::Enqueued(_)
            | EntryKind::Started(_)
            | EntryKind::Finished(_)
            | EntryKind::CancelRequested { .. }
            | EntryKind::Cancelled { .. }
            | EntryKind::Requeued { .. }
            | EntryKind::MadeDue { .. } => {}
        }
    }

    /// The mail with this id.
    pub fn mail(&self, id: MailId) -> Option<&RememberedMail> {
        self.mails.values().find(|remembered| remembered.mail.id == id)
    }
}
