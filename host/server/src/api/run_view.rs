//! A run as it is shown: every member always present, the state as it is now.
//! It reads nothing but what the run waits for, and which of its mails are in doubt.

use jobmill_core::mail::DoubtfulMail;
use jobmill_core::{EventId, JobId, Json, MailId, Run, RunId, RunState, Timestamp, Version};
use jobmill_engine::{Handle, WaitingFor};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::usage::AttemptView;
use crate::error::{Code, Problem};

/// A run as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Run)]
pub(super) struct RunView {
    id: RunId,
    job: JobId,
    /// The component that its last attempt ran; null before the first.
    version: Option<Version>,
    /// The queue that it waits in.
    queue: String,
    state: RunState,
    /// 0 (first) to 9 (last).
    priority: u8,
    /// What it works on, byte for byte as it was sent.
    payload: Json,
    /// What the job returned.
    output: Option<Json>,
    /// How many attempts have begun.
    attempt: u32,
    /// How many there may be.
    max_attempts: u32,
    enqueued_at: Timestamp,
    /// When it is, or was, due.
    scheduled_at: Timestamp,
    /// When its last attempt began.
    started_at: Option<Timestamp>,
    /// When it became final.
    finished_at: Option<Timestamp>,
    /// The event that started it.
    event_id: Option<EventId>,
    /// Words to find it by.
    tags: Vec<String>,
    /// Under which it is the only one.
    unique_key: Option<String>,
    /// The run that it repeats.
    rerun_of: Option<RunId>,
    /// Why it does not begin; null when it does not wait.
    waiting_for: Option<WaitingForView>,
    /// Why it was cancelled.
    cancel_reason: Option<String>,
    /// Mails that may have been sent, until somebody says whether they were.
    mails_in_doubt: Vec<DoubtfulMailView>,
    /// Every attempt, oldest first.
    attempts: Vec<AttemptView>,
}

/// A mail that may have been sent: what to look for at the mail server before the run is put back.
#[derive(Serialize, ToSchema)]
#[schema(as = DoubtfulMail)]
struct DoubtfulMailView {
    id: MailId,
    /// The recipient's address.
    to: String,
    /// `Message-ID` without the angle brackets: what to look for at the mail server.
    message_id: String,
}

impl From<DoubtfulMail> for DoubtfulMailView {
    fn from(mail: DoubtfulMail) -> Self {
        Self { id: mail.id, to: mail.to, message_id: mail.message_id }
    }
}

/// What a run waits for.
#[derive(Serialize, ToSchema)]
#[schema(as = WaitingFor)]
struct WaitingForView {
    /// The class of the reason: `due`, `queue-paused`, `queue-full`, `concurrency`, `rate-limit`, `no-component`, `job-paused`, `breaker`.
    kind: &'static str,
    /// The reason, for people.
    detail: String,
    /// When it is over, where that is known.
    until: Option<Timestamp>,
    /// How many go before it, and it.
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
            event_id: head.event.map(|event| event.id.clone()),
            tags: head.tags.to_vec(),
            unique_key: head.unique_key.map(|key| key.to_string()),
            rerun_of: head.rerun_of,
            waiting_for: waiting_for.map(WaitingForView::from),
            cancel_reason: head.cancel_reason.map(|reason| reason.to_string()),
            mails_in_doubt: mails.into_iter().map(DoubtfulMailView::from).collect(),
            attempts: run.attempts.into_iter().map(AttemptView::from).collect(),
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
