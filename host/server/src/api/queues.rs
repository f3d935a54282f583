//! Queues: how many runs go on and wait in each, and what operators say of them.
//! It makes none: a queue is there once the configuration, a job or an operator names it.

use std::str::FromStr;

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::id::IdError;
use jobmill_core::{JobId, Timestamp};
use jobmill_engine::Handle;
use jobmill_store::{QueueChange, QueueView as Queue};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::List;
use crate::api::operator::{OperatorBody, operator};
use crate::api::runs::take_work;
use crate::audit::Audited;
use crate::authentication::Caller;
use crate::body::{JsonBody, OptionalJsonBody};
use crate::error::{Code, Problem};
use crate::path::{Id, PathId};
use crate::query::{NoParameters, nearest};
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(list, change, pause, resume))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/queues", Rule::READ, list)
        .patch("/api/v1/queues/{name}", Rule::OPERATE, change)
        .does(Action::QueuesSet)
        .post("/api/v1/queues/{name}/pause", Rule::OPERATE, pause)
        .does(Action::QueuesPause)
        .post("/api/v1/queues/{name}/resume", Rule::OPERATE, resume)
        .does(Action::QueuesResume)
        .described_by(Document::openapi)
}

/// The name of a queue, which looks like the id of a job.
pub(crate) struct QueueName(pub(crate) JobId);

impl FromStr for QueueName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl PathId for QueueName {
    const REFUSAL: Code = Code::UnknownQueue;
}

/// A queue as it is now.
#[derive(Serialize, ToSchema)]
#[schema(as = Queue)]
struct QueueView {
    /// Its name.
    name: String,
    /// Null for no limit of its own.
    concurrency: Option<u32>,
    /// Runs under way.
    running: usize,
    /// Runs that are due.
    waiting: usize,
    /// Whether an operator keeps its runs from beginning.
    paused: bool,
    /// Who paused it.
    paused_by: Option<String>,
    /// When.
    paused_at: Option<Timestamp>,
}

impl From<Queue> for QueueView {
    fn from(queue: Queue) -> Self {
        Self {
            name: queue.name,
            concurrency: queue.concurrency,
            running: queue.running,
            waiting: queue.waiting,
            paused: queue.paused.is_some(),
            paused_at: queue.paused.as_ref().map(|pause| pause.at),
            paused_by: queue.paused.map(|pause| pause.by),
        }
    }
}

/// Lists the queues, with how many runs go on and wait in each.
#[utoipa::path(
    get,
    path = "/api/v1/queues",
    tag = "Queues",
    responses(
        (status = 200, description = "every queue", body = List<QueueView>),
    )
)]
async fn list(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<List<QueueView>>, Problem> {
    let queues = context.handle.queues().await?;
    Ok(JsonResponse(List::whole(queues.into_iter().map(QueueView::from).collect())))
}

/// What an operator says of a queue; absent members stay as they are, and null takes the limit back.
#[derive(Deserialize, ToSchema)]
#[schema(as = QueueChange)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    /// How many of its runs may go on at once; null takes back what an operator said.
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    concurrency: Word,
    /// Whether its runs are kept from beginning.
    paused: Option<bool>,
    /// Who asks; the token's name if absent.
    by: Option<String>,
}

/// What the operator says of the limit: nothing when the member is absent.
#[derive(Default)]
enum Word {
    #[default]
    Nothing,
    TakenBack,
    Limit(u32),
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|limit| limit.map_or(Self::TakenBack, Self::Limit))
    }
}

/// Pauses a queue, lets it go on, or sets how many of its runs may go on at once.
#[utoipa::path(
    patch,
    path = "/api/v1/queues/{name}",
    tag = "Queues",
    params(
        ("name" = String, Path, description = "the queue"),
    ),
    request_body = ChangeBody,
    responses(
        (status = 200, description = "the queue as it is now", body = QueueView),
    )
)]
async fn change(
    State(context): State<Context>,
    caller: Caller,
    audited: Audited,
    Id(QueueName(name)): Id<QueueName>,
    _: NoParameters,
    JsonBody(body): JsonBody<ChangeBody>,
) -> Result<JsonResponse<QueueView>, Problem> {
    let handle = &context.handle;
    audited.tells_by(body.by.as_deref());
    let by = operator(body.by, &caller)?;
    let concurrency = match body.concurrency {
        Word::Nothing => None,
        Word::TakenBack => Some(None),
        Word::Limit(0) => {
            return Err(Problem::invalid_member("/concurrency", "must be at least 1; pause the queue to stop it"));
        }
        Word::Limit(limit) => Some(Some(limit)),
    };
    if let Some(limit) = concurrency {
        tell_limit(&audited, limit);
    }
    if let Some(paused) = body.paused {
        audited.tells(if paused { "paused" } else { "goes on" });
    }
    let paused = body.paused.map(|paused| paused.then_some(by));
    control(handle, &name, QueueChange { concurrency, paused }).await
}

/// Pauses a queue. Runs under way go on, and none begins.
#[utoipa::path(
    post,
    path = "/api/v1/queues/{name}/pause",
    tag = "Queues",
    params(
        ("name" = String, Path, description = "the queue"),
    ),
    request_body = Option<OperatorBody>,
    responses(
        (status = 200, description = "the queue as it is now", body = QueueView),
    )
)]
async fn pause(
    State(context): State<Context>,
    caller: Caller,
    audited: Audited,
    Id(QueueName(name)): Id<QueueName>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<OperatorBody>,
) -> Result<JsonResponse<QueueView>, Problem> {
    set_paused(&context.handle, &caller, &audited, &name, body, true).await
}

/// Lets a paused queue go on.
#[utoipa::path(
    post,
    path = "/api/v1/queues/{name}/resume",
    tag = "Queues",
    params(
        ("name" = String, Path, description = "the queue"),
    ),
    request_body = Option<OperatorBody>,
    responses(
        (status = 200, description = "the queue as it is now", body = QueueView),
    )
)]
async fn resume(
    State(context): State<Context>,
    caller: Caller,
    audited: Audited,
    Id(QueueName(name)): Id<QueueName>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<OperatorBody>,
) -> Result<JsonResponse<QueueView>, Problem> {
    set_paused(&context.handle, &caller, &audited, &name, body, false).await
}

/// Pauses a queue or lets it go on, in the name of whoever asks.
async fn set_paused(
    handle: &Handle,
    caller: &Caller,
    audited: &Audited,
    name: &JobId,
    body: OperatorBody,
    is_paused: bool,
) -> Result<JsonResponse<QueueView>, Problem> {
    audited.tells_by(body.by.as_deref());
    let by = operator(body.by, caller)?;
    let paused = Some(is_paused.then(|| by.clone()));
    let view = control(handle, name, QueueChange { concurrency: None, paused }).await?;
    // Who paused it is kept with the pause.
    if !is_paused {
        tracing::info!(queue = %name, by, "the queue goes on");
    }
    Ok(view)
}

/// Takes an operator's word of a queue that is there, and shows the queue as it is then.
async fn control(handle: &Handle, name: &JobId, change: QueueChange) -> Result<JsonResponse<QueueView>, Problem> {
    find(handle, name.as_str()).await?;
    handle.control_queue(name.to_string(), change).await?;
    Ok(JsonResponse(find(handle, name.as_str()).await?.into()))
}

/// Says in the audit list how an operator limits a queue; none takes such a limit back.
pub(crate) fn tell_limit(audited: &Audited, limit: Option<u32>) {
    match limit {
        Some(limit) => audited.tells(format_args!("limit {limit}")),
        None => audited.tells("no limit of an operator"),
    }
}

/// The queue of this name, or the refusal of one that is not there.
pub(crate) async fn find(handle: &Handle, name: &str) -> Result<Queue, Problem> {
    let mut queues = handle.queues().await?;
    if let Some(position) = queues.iter().position(|queue| queue.name == name) {
        return Ok(queues.swap_remove(position));
    }
    // Before the first catalog a queue that only jobs name would seem unknown.
    take_work(handle)?;
    let known: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
    let hint = nearest(name, &known).map(|likely| format!("; did you mean {likely:?}?")).unwrap_or_default();
    Err(Problem::new(Code::UnknownQueue, format!("there is no queue {name:?}{hint}")))
}
