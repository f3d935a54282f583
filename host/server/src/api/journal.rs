//! A run's journal and its log as they are shown: one flat object an entry, mails without their content, log lines apart.
//! Entries are shown as they were recorded; nothing is summed up here.

use std::collections::BTreeMap;

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::id::MailId;
use jobmill_core::journal::{Enqueued, EventReference, Finished, LogLevel, LogLine};
use jobmill_core::mail::{Mail, MailStatus, Mailbox};
use jobmill_core::order::OrderPatch;
use jobmill_core::run::AttemptOutcome;
use jobmill_core::{AttemptError, Entry, EntryKind, JobId, Json, RunId, RunState, Timestamp, Version};
use jobmill_store::RunRecord;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Context;
use crate::api::List;
use crate::api::run_view::unknown_run;
use crate::api::shapes::RunIdShape;
use crate::error::Problem;
use crate::path::Id;
use crate::query::NoParameters;

/// An entry of the journal of a run.
#[derive(Serialize, ToSchema)]
#[schema(as = JournalEntry)]
pub(super) struct EntryView {
    /// 0 for the enqueue.
    sequence: usize,
    at: Timestamp,
    #[serde(flatten)]
    kind: EntryKindView,
}

/// What an entry tells of. What has a place of its own, such as the log, is left out.
#[derive(Serialize, ToSchema)]
#[schema(as = JournalEntryKind)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum EntryKindView {
    Enqueued(Box<EnqueuedView>),
    Started { attempt: u32, version: Version },
    StepCompleted { name: String, value: Json },
    MailIntended { key: String, mail: MailHead },
    MailSettled { key: String, status: MailStatus, reply: Option<String>, error: Option<String> },
    OrderUpdated { key: String, order: String, patch: OrderPatch },
    OrderIntended { key: String, order: String, patch: OrderPatch },
    OrderSettled { key: String, error: Option<String> },
    Finished(Box<FinishedView>),
    CancelRequested { reason: String },
    Cancelled { reason: String },
    Requeued { scheduled_at: Timestamp, max_attempts: u32 },
    MadeDue { instead_of: Timestamp },
    HttpIntended { key: String, method: String, url: String },
    HttpSettled { key: String, status: Option<u16>, error: Option<String>, kept_bytes: Option<usize> },
}

/// The run, as it was enqueued.
#[derive(Serialize, ToSchema)]
#[schema(as = Enqueued)]
struct EnqueuedView {
    job: JobId,
    /// The queue that it waits in.
    queue: String,
    /// 0 (first) to 9 (last).
    priority: u8,
    payload: Json,
    /// How many attempts there may be.
    max_attempts: u32,
    scheduled_at: Timestamp,
    /// The event that started it.
    event: Option<EventReference>,
    /// Words to find it by.
    tags: Vec<String>,
    /// Under which it is the only one.
    unique_key: Option<String>,
    /// The key of the request.
    idempotency_key: Option<String>,
    /// The run that it repeats.
    rerun_of: Option<RunId>,
}

/// The end of an attempt, and what follows.
#[derive(Serialize, ToSchema)]
#[schema(as = Finished)]
struct FinishedView {
    outcome: AttemptOutcome,
    /// Why it failed.
    error: Option<AttemptError>,
    /// What the job returned.
    output: Option<Json>,
    /// The state that the run is in from then on.
    to: RunState,
    /// When the run is due again; null when it is final.
    scheduled_at: Option<Timestamp>,
    /// Whether it used up an attempt.
    counted: bool,
    /// Lines of its log that were kept.
    log_lines: usize,
    /// Lines that the log's budget had no room for.
    log_dropped: u64,
}

/// A mail without its content.
#[derive(Serialize, ToSchema)]
struct MailHead {
    id: MailId,
    /// The job's word for it.
    kind: String,
    from: Mailbox,
    to: Mailbox,
    /// Its subject.
    subject: String,
    /// `Message-ID` without the angle brackets.
    message_id: String,
}

impl From<&Mail> for MailHead {
    fn from(mail: &Mail) -> Self {
        Self {
            id: mail.id,
            kind: mail.message.kind.clone(),
            from: mail.from.clone(),
            to: mail.message.to.clone(),
            subject: mail.message.subject.clone(),
            message_id: mail.message_id.clone(),
        }
    }
}

impl From<Enqueued> for EnqueuedView {
    fn from(enqueued: Enqueued) -> Self {
        Self {
            job: enqueued.job,
            queue: enqueued.queue,
            priority: enqueued.priority,
            payload: enqueued.payload,
            max_attempts: enqueued.max_attempts,
            scheduled_at: enqueued.scheduled_at,
            event: enqueued.event,
            tags: enqueued.tags,
            unique_key: enqueued.unique_key,
            idempotency_key: enqueued.idempotency_key,
            rerun_of: enqueued.rerun_of,
        }
    }
}

impl From<Finished> for FinishedView {
    fn from(finished: Finished) -> Self {
        Self {
            outcome: finished.outcome,
            error: finished.error,
            output: finished.output,
            to: finished.to,
            scheduled_at: (!finished.to.is_final()).then_some(finished.scheduled_at),
            counted: finished.counted,
            log_lines: finished.log.len(),
            log_dropped: finished.log_dropped,
        }
    }
}

impl From<EntryKind> for EntryKindView {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Enqueued(enqueued) => Self::Enqueued(Box::new((*enqueued).into())),
            EntryKind::Started(started) => Self::Started { attempt: started.attempt, version: started.version },
            EntryKind::StepCompleted { name, value } => Self::StepCompleted { name, value },
            EntryKind::MailIntended { key, mail } => {
                Self::MailIntended { key: key.as_str().to_owned(), mail: MailHead::from(&*mail) }
            }
            EntryKind::MailSettled { key, status, reply, error } => {
                Self::MailSettled { key: key.as_str().to_owned(), status, reply, error }
            }
            EntryKind::OrderUpdated { key, order, patch } => {
                Self::OrderUpdated { key: key.as_str().to_owned(), order, patch }
            }
            EntryKind::OrderIntended { key, order, patch } => {
                Self::OrderIntended { key: key.as_str().to_owned(), order, patch }
            }
            EntryKind::OrderSettled { key, error } => Self::OrderSettled { key: key.as_str().to_owned(), error },
            EntryKind::Finished(finished) => Self::Finished(Box::new((*finished).into())),
            EntryKind::CancelRequested { reason } => Self::CancelRequested { reason },
            EntryKind::Cancelled { reason } => Self::Cancelled { reason },
            EntryKind::Requeued { scheduled_at, max_attempts } => Self::Requeued { scheduled_at, max_attempts },
            EntryKind::MadeDue { instead_of } => Self::MadeDue { instead_of },
            EntryKind::HttpIntended { key, method, url } => {
                Self::HttpIntended { key: key.as_str().to_owned(), method, url }
            }
            EntryKind::HttpSettled { key, status, error, answer } => Self::HttpSettled {
                key: key.as_str().to_owned(),
                status,
                error,
                kept_bytes: answer.map(|answer| answer.bytes()),
            },
        }
    }
}

async fn record(context: &Context, id: RunId) -> Result<RunRecord, Problem> {
    context.handle.query().run(id).await?.ok_or_else(|| unknown_run(id))
}

/// Shows the journal of a run: everything that happened to it, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/runs/{id}/journal",
    tag = "Runs",
    params(
        ("id" = RunIdShape, Path, description = "the run"),
    ),
    responses(
        (status = 200, description = "every entry", body = List<EntryView>),
    )
)]
pub(super) async fn journal(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    _: NoParameters,
) -> Result<JsonResponse<List<EntryView>>, Problem> {
    let entries = record(&context, id).await?.journal.into_iter().enumerate();
    let items = entries.map(|(sequence, entry)| EntryView { sequence, at: entry.at, kind: entry.kind.into() });
    Ok(JsonResponse(List::whole(items.collect())))
}

/// The log of a run.
#[derive(Serialize, ToSchema)]
#[schema(as = Log)]
pub(super) struct LogView {
    /// Every line that was kept.
    items: Vec<LineView>,
    /// Lines that the log's budget had no room for.
    dropped: u64,
    /// Always null: a log is sent whole.
    next_cursor: Option<String>,
}

/// A line that the job wrote.
#[derive(Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(super) struct LineView {
    /// The attempt that wrote it.
    attempt: u32,
    at: Timestamp,
    level: LogLevel,
    /// What it says.
    message: String,
    /// What it says by name.
    fields: BTreeMap<String, String>,
}

/// Shows the log of a run. Lines are on record once their attempt has ended.
#[utoipa::path(
    get,
    path = "/api/v1/runs/{id}/logs",
    tag = "Runs",
    params(
        ("id" = RunIdShape, Path, description = "the run"),
    ),
    responses(
        (status = 200, description = "every line that was kept", body = LogView),
    )
)]
pub(super) async fn logs(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    _: NoParameters,
) -> Result<JsonResponse<LogView>, Problem> {
    Ok(JsonResponse(log(record(&context, id).await?.journal)))
}

fn log(journal: Vec<Entry>) -> LogView {
    let mut view = LogView { items: Vec::new(), dropped: 0, next_cursor: None };
    let mut attempt = 0;
    for entry in journal {
        match entry.kind {
            EntryKind::Started(started) => attempt = started.attempt,
            EntryKind::Finished(finished) => {
                view.items.extend(finished.log.into_iter().map(|line| LineView::of(line, attempt)));
                view.dropped += finished.log_dropped;
            }
            _ => {}
        }
    }
    view
}

impl LineView {
    pub(super) fn of(line: LogLine, attempt: u32) -> Self {
        Self {
            attempt,
            at: line.at,
            level: line.level,
            message: line.message,
            fields: line.fields.into_iter().collect(),
        }
    }
}
