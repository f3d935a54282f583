//! What one attempt is handed: its run, and the way to the run's journal.
//! It runs nothing; a `Runner` does, and reaches the store only through this.

use std::sync::Arc;

use jobmill_core::bill::Bill;
use jobmill_core::job::{Limit, Sandbox};
use jobmill_core::journal::{
    EffectKey, Entry, EntryKind, KeptAnswer, LogLine, Memory, RememberedChange, RememberedMail, RememberedRequest,
};
use jobmill_core::mail::{Mail, MailStatus};
use jobmill_core::order::OrderPatch;
use jobmill_core::suppression::{Suppression, SuppressionSource};
use jobmill_core::{Clock, Entropy, EventId, JobId, Json, RunHead, Timestamp};
use jobmill_store::{Claimed, LeaseReference, RecordError, Store};

use crate::mail_allowance::{MailAllowance, TooManyMails};
use crate::patience::{is_passing, is_passing_for_record, patiently, pause};
use crate::trial::TrialEffect;

/// Why a step could not be begun or completed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The step was already begun in this attempt.
    #[error("the step was already begun in this attempt")]
    AlreadyBegun,
    /// `complete` without a `begin` of that name.
    #[error("the step was not begun")]
    NotBegun,
    /// The run's journal has no room left.
    #[error("the run's journal is full")]
    JournalFull,
    /// The attempt may write no more.
    #[error(transparent)]
    Record(RecordError),
}

/// One attempt's run and journal.
///
/// Entries that need no commit of their own (`keep`) travel with the attempt's end, or with the next entry that
/// does need one (`record`), in the order in which they were made.
pub struct AttemptContext {
    head: RunHead,
    payload: Json,
    memory: Memory,
    begun: Vec<String>,
    kept: Vec<EntryKind>,
    entries: usize,
    bytes: usize,
    log: Vec<LogLine>,
    log_bytes: usize,
    log_dropped: u64,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    allowance: MailAllowance,
    sandbox: Arc<Sandbox>,
    bill: Option<Box<Bill>>,
    /// What a trial has come to so far; none in an attempt that is for real.
    pub(crate) trial: Option<Vec<TrialEffect>>,
}

/// What an attempt leaves to be committed with its end.
#[derive(Debug, Default)]
pub struct Remainder {
    /// Journal entries that were kept for the end.
    pub entries: Vec<EntryKind>,
    /// The log.
    pub log: Vec<LogLine>,
    /// Lines that the log's budget had no room for.
    pub log_dropped: u64,
    /// What the attempt used.
    pub bill: Option<Box<Bill>>,
}

impl Remainder {
    /// The same without its changes of orders; none when it has none.
    pub(crate) fn without_orders(&self) -> Option<Self> {
        let is_order = |kind: &EntryKind| matches!(kind, EntryKind::OrderUpdated { .. });
        self.entries.iter().any(is_order).then(|| Self {
            entries: self.entries.iter().filter(|kind| !is_order(kind)).cloned().collect(),
            log: self.log.clone(),
            log_dropped: self.log_dropped,
            bill: self.bill.clone(),
        })
    }
}

impl AttemptContext {
    /// The context of a claimed run.
    pub fn new(claimed: Claimed, store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            memory: Memory::of(&claimed.journal),
            entries: claimed.journal.len(),
            bytes: claimed.journal.iter().map(|entry| weight(&entry.kind)).sum(),
            head: claimed.head,
            payload: claimed.payload,
            begun: Vec::new(),
            kept: Vec::new(),
            log: Vec::new(),
            log_bytes: 0,
            log_dropped: 0,
            store,
            clock,
            entropy,
            allowance: MailAllowance::default(),
            sandbox: Arc::default(),
            bill: None,
            trial: None,
        }
    }

    /// The same with what its job may send.
    #[must_use]
    pub fn with_mails(self, allowance: MailAllowance) -> Self {
        Self { allowance, ..self }
    }

    /// The same with what its job's code may take and reach.
    #[must_use]
    pub fn in_sandbox(self, sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox, ..self }
    }

    /// What the job's code may take and reach.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// Puts down what the attempt used.
    pub fn put_bill(&mut self, bill: Bill) {
        self.bill = Some(Box::new(bill));
    }

    /// The run: job, attempt, bounds and times.
    pub fn run(&self) -> &RunHead {
        &self.head
    }

    /// The job.
    pub fn job(&self) -> &JobId {
        &self.head.job
    }

    /// The event that started the run.
    pub fn event_id(&self) -> Option<&EventId> {
        self.head.event.as_ref().map(|event| &event.id)
    }

    /// What the run works on.
    pub fn payload(&self) -> &Json {
        &self.payload
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock, for deadlines.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The source of randomness.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    fn lease(&self) -> LeaseReference {
        LeaseReference { run: self.head.id, token: self.head.lease }
    }

    /// Begins a step. Some: the value that an earlier attempt completed it with.
    pub fn begin_step(&mut self, name: &str) -> Result<Option<Json>, StepError> {
        if self.begun.iter().any(|begun| begun == name) {
            return Err(StepError::AlreadyBegun);
        }
        if let Some(value) = self.memory.steps.get(name) {
            return Ok(Some(value.clone()));
        }
        self.begun.push(name.to_owned());
        Ok(None)
    }

    /// Keeps the value of a step that was begun; durable when this returns.
    pub async fn complete_step(&mut self, name: &str, value: Json) -> Result<(), StepError> {
        if !self.begun.iter().any(|begun| begun == name) {
            return Err(StepError::NotBegun);
        }
        let kind = EntryKind::StepCompleted { name: name.to_owned(), value };
        self.record(kind).await.map_err(|error| match error {
            RecordError::JournalFull => StepError::JournalFull,
            other => StepError::Record(other),
        })
    }

    /// The mail under this key, if an attempt of this run has begun it.
    pub fn remembered_mail(&self, key: &EffectKey) -> Option<&RememberedMail> {
        self.memory.mails.get(key)
    }

    /// The run is about to send a mail that it has not sent before.
    pub fn allow_mail(&self) -> Result<(), TooManyMails> {
        self.allowance.take(&self.head.job, self.memory.mails.len(), self.clock.now())
    }

    /// Why nothing is sent to this address; none when it may be.
    pub async fn suppression(&self, address: &str) -> Result<Option<Suppression>, RecordError> {
        Ok(self.store.suppression(address).await?)
    }

    /// Nothing is sent to this address any more: the mail server says that there is none. Durable when this returns.
    pub async fn suppress_bounced(&self, address: &str, reply: &str) -> Result<(), RecordError> {
        if self.is_trial() {
            return Ok(());
        }
        let (reason, at) = (Some(reply.to_owned()), self.clock.now());
        // What a mail server was asked about is an address.
        let Ok(suppression) = Suppression::new(address, reason, SuppressionSource::Bounce, at) else { return Ok(()) };
        let suppress = || self.store.suppress(suppression.clone());
        patiently(&*self.clock, is_passing, suppress).await?;
        Ok(())
    }

    /// A mail is about to be handed to a mail server; durable when this returns.
    pub async fn intend_mail(&mut self, key: EffectKey, mail: Arc<Mail>) -> Result<(), RecordError> {
        self.record(EntryKind::MailIntended { key, mail }).await
    }

    /// What became of a mail that was intended; durable when this returns.
    pub async fn settle_mail(
        &mut self,
        key: EffectKey,
        status: MailStatus,
        reply: Option<String>,
        error: Option<String>,
    ) -> Result<(), RecordError> {
        self.record(EntryKind::MailSettled { key, status, reply, error }).await
    }

    /// A mail whose whole sending is a write to our own store: it is committed with the attempt's end.
    pub fn keep_mail(
        &mut self,
        key: EffectKey,
        mail: Arc<Mail>,
        status: MailStatus,
        error: Option<String>,
    ) -> Result<(), RecordError> {
        self.keep(EntryKind::MailIntended { key: key.clone(), mail })?;
        self.keep(EntryKind::MailSettled { key, status, reply: None, error })
    }

    /// How this change of an order stands, if an attempt of this run has begun it.
    pub fn remembered_change(&self, key: &EffectKey) -> Option<RememberedChange> {
        self.memory.orders.get(key).copied()
    }

    /// An order outside of our own store is about to be changed; durable when this returns.
    pub async fn intend_order(&mut self, key: EffectKey, order: String, patch: OrderPatch) -> Result<(), RecordError> {
        self.record(EntryKind::OrderIntended { key, order, patch }).await
    }

    /// What became of a change that was intended; durable when this returns.
    pub async fn settle_order(&mut self, key: EffectKey, error: Option<String>) -> Result<(), RecordError> {
        self.record(EntryKind::OrderSettled { key, error }).await
    }

    /// Changes of orders that this attempt keeps for its end, oldest first: a read must show them.
    pub fn kept_order_patches(&self, order: &str) -> impl Iterator<Item = &OrderPatch> {
        self.kept.iter().filter_map(move |kind| match kind {
            EntryKind::OrderUpdated { order: id, patch, .. } if id == order => Some(patch),
            _ => None,
        })
    }

    /// A change of an order in our own book: it is committed with the attempt's end.
    pub fn keep_order_update(&mut self, key: EffectKey, order: String, patch: OrderPatch) -> Result<(), RecordError> {
        self.keep(EntryKind::OrderUpdated { key, order, patch })
    }

    /// How this HTTP request stands, if an attempt of this run has begun it.
    pub fn remembered_request(&self, key: &EffectKey) -> Option<&RememberedRequest> {
        self.memory.requests.get(key)
    }

    /// An HTTP request that changes something is about to be sent; durable when this returns.
    pub async fn intend_request(&mut self, key: EffectKey, method: String, url: String) -> Result<(), RecordError> {
        self.record(EntryKind::HttpIntended { key, method, url }).await
    }

    /// What became of a request that was intended; durable when this returns.
    pub async fn settle_request(
        &mut self,
        key: EffectKey,
        status: Option<u16>,
        error: Option<String>,
        answer: Option<KeptAnswer>,
    ) -> Result<(), RecordError> {
        self.record(EntryKind::HttpSettled { key, status, error, answer: answer.map(Arc::new) }).await
    }

    /// Adds a line to the run's log; over its budget, the line is counted and dropped.
    pub fn log(&mut self, mut line: LogLine) {
        let fields: usize = line.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let bounds = &self.sandbox.limits;
        let room = bounds.size(Limit::Log).saturating_sub(self.log_bytes + fields);
        if self.log.len() >= bounds.size(Limit::LogLines) || room == 0 {
            self.log_dropped += 1;
            return;
        }
        line.message.truncate(line.message.floor_char_boundary(room));
        self.log_bytes += fields + line.message.len();
        self.log.push(line);
    }

    /// Counts lines that never reached the log because there were too many to carry there.
    pub fn drop_log_lines(&mut self, count: u64) {
        self.log_dropped += count;
    }

    /// What is left to be committed with the attempt's end.
    pub fn into_remainder(self) -> Remainder {
        Remainder { entries: self.kept, log: self.log, log_dropped: self.log_dropped, bill: self.bill }
    }

    pub(crate) fn keep(&mut self, kind: EntryKind) -> Result<(), RecordError> {
        let entry = self.admit(kind)?;
        self.kept.push(entry.kind);
        Ok(())
    }

    async fn record(&mut self, kind: EntryKind) -> Result<(), RecordError> {
        let entry = self.admit(kind)?;
        self.kept.push(entry.kind);
        if self.is_trial() {
            return Ok(());
        }
        loop {
            let entries = std::mem::take(&mut self.kept);
            match self.store.record(self.lease(), entries.clone(), entry.at).await {
                Err(error) if is_passing_for_record(&error) => {
                    // Kept again: an attempt that is stopped while it waits takes them along to its end.
                    self.kept = entries;
                    pause(&*self.clock).await;
                }
                answer => return answer,
            }
        }
    }

    /// Remembers one more entry, if the journal has room for it.
    fn admit(&mut self, kind: EntryKind) -> Result<Entry, RecordError> {
        // What has begun must be able to end: an effect's settlement and the end of the attempt always have room.
        let closing = matches!(
            kind,
            EntryKind::MailSettled { .. } | EntryKind::OrderSettled { .. } | EntryKind::HttpSettled { .. }
        );
        let bytes = self.bytes + weight(&kind);
        let bounds = &self.sandbox.limits;
        let full =
            self.entries + CLOSING_ENTRIES >= bounds.size(Limit::JournalEntries) || bytes > bounds.size(Limit::Journal);
        if full && !closing {
            return Err(RecordError::JournalFull);
        }
        self.entries += 1;
        self.bytes = bytes;
        let entry = Entry { at: self.clock.now(), kind };
        self.memory.apply(&entry);
        Ok(entry)
    }
}

/// Entries of the journal that are left for what ends: an effect's settlement, a cancel, the attempt.
const CLOSING_ENTRIES: usize = 3;

/// About how many bytes an entry takes in the journal.
fn weight(kind: &EntryKind) -> usize {
    match kind {
        EntryKind::Enqueued(enqueued) => enqueued.payload.as_str().len(),
        EntryKind::StepCompleted { name, value } => name.len() + value.as_str().len(),
        EntryKind::MailIntended { mail, .. } => {
            let message = &mail.message;
            let attachments: usize = message.attachments.iter().map(|attachment| attachment.content.len()).sum();
            message.text.len() + message.html.as_ref().map_or(0, String::len) + attachments
        }
        EntryKind::OrderUpdated { patch, .. } | EntryKind::OrderIntended { patch, .. } => {
            patch.metadata.as_ref().map_or(0, |change| change.as_str().len())
        }
        EntryKind::HttpIntended { method, url, .. } => method.len() + url.len(),
        EntryKind::HttpSettled { answer, .. } => answer.as_ref().map_or(0, |answer| answer.bytes()),
        EntryKind::Finished(finished) => finished.log.iter().map(|line| line.message.len()).sum(),
        EntryKind::Started(_)
        | EntryKind::MailSettled { .. }
        | EntryKind::OrderSettled { .. }
        | EntryKind::CancelRequested { .. }
        | EntryKind::Cancelled { .. }
        | EntryKind::Requeued { .. }
        | EntryKind::MadeDue { .. } => 0,
    }
}
