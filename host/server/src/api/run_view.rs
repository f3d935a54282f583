//! A run as it is shown: every member always present, the state as it is now.
//! It reads nothing but what the run waits for, and which of its mails are in doubt.

use jobmill_core::mail::DoubtfulMail;
use jobmill_core::run::Attempt;
use jobmill_core::{EventId, JobId, Json, MailId, Run, RunId, RunState, Timestamp, Version};
use jobmill_engine::{Handle, WaitingFor};
use serde::Serialize;

use crate::error::{Code, Problem};

/// A run as it is shown.
#[derive(Serialize)]
pub(super) struct RunView {
    id: RunId,
    job: JobId,
    version: Option<Version>,
    queue: String,
    state: RunState,
    priority: u8,
    payload: Json,
    output: Option<Json>,
    attempt: u32,
    max_attempts: u32,
    enqueued_at: Timestamp,
    scheduled_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    event_id: Option<EventId>,
    tags: Vec<String>,
    unique_key: Option<String>,
    rerun_of: Option<RunId>,
    waiting_for: Option<WaitingForView>,
    cancel_reason: Option<String>,
    mails_in_doubt: Vec<DoubtfulMailView>,
    attempts: Vec<Attempt>,
}

/// A mail that may have been sent: what to look for at the mail server before the run is put back.
#[derive(Serialize)]
struct DoubtfulMailView {
    id: MailId,
    to: String,
    message_id: String,
}

impl From<DoubtfulMail> for DoubtfulMailView {
    fn from(mail: DoubtfulMail) -> Self {
        Self { id: mail.id, to: mail.to, message_id: mail.message_id }
    }
}

#[derive(Serialize)]
struct WaitingForView {
    kind: &'static str,
    detail: String,
    until: Option<Timestamp>,
    position: Option<usize>,
}

impl From<WaitingFor> for WaitingForView {
    fn from(waiting: WaitingFor) -> Self {
        Self { kind: waiting.kind, detail: waiting.detail, until: waiting.until, position: waiting.position }
    }
}

impl RunView {
    /// Its id.
    pub(super) fn id(&self) -> RunId {
        self.id
    }

    /// The run as it is now.
    pub(super) async fn of(run: Run, handle: &Handle) -> Result<Self, Problem> {
        let waiting_for = handle.waiting_for(&run.head).await?;
        // A mail that an attempt is sending is no news.
        let mails = match run.head.state {
            RunState::Running => Vec::new(),
            _ => handle.query().mails_in_doubt(run.head.id).await?,
        };
        Ok(Self::new(run, waiting_for, mails, handle.now()))
    }

    /// A run that was enqueued this moment. If it is due, nobody has looked at it yet: it waits for nothing that could be told.
    pub(super) async fn of_new(run: Run, handle: &Handle) -> Result<Self, Problem> {
        let now = handle.now();
        if run.head.state_at(now) == RunState::Available {
            Ok(Self::new(run, None, Vec::new(), now))
        } else {
            Self::of(run, handle).await
        }
    }

    fn new(run: Run, waiting_for: Option<WaitingFor>, mails: Vec<DoubtfulMail>, now: Timestamp) -> Self {
        let head = run.head;
        Self {
            state: head.state_at(now),
            id: head.id,
            job: head.job,
            version: head.version,
            queue: head.queue.to_string(),
            priority: head.priority,
            payload: run.payload,
            output: run.output,
            attempt: head.attempt,
            max_attempts: head.max_attempts,
            enqueued_at: head.enqueued_at,
            scheduled_at: head.scheduled_at,
            started_at: head.started_at,
            finished_at: head.finished_at,
            event_id: head.event_id,
            tags: head.tags.to_vec(),
            unique_key: head.unique_key.map(|key| key.to_string()),
            rerun_of: head.rerun_of,
            waiting_for: waiting_for.map(WaitingForView::from),
            cancel_reason: head.cancel_reason.map(|reason| reason.to_string()),
            mails_in_doubt: mails.into_iter().map(DoubtfulMailView::from).collect(),
            attempts: run.attempts,
        }
    }
}

/// The run with this id as it is now.
pub(super) async fn view(handle: &Handle, id: RunId) -> Result<RunView, Problem> {
    let record = handle.query().run(id).await?.ok_or_else(|| unknown_run(id))?;
    RunView::of(record.run, handle).await
}

/// The refusal of an id that no run has.
pub(super) fn unknown_run(id: RunId) -> Problem {
    Problem::new(Code::UnknownRun, format!("there is no run {id}"))
}
