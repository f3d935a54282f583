//! Queues: how many runs go on and wait in each, and what operators say of them.
//! It makes none: a queue is there once the configuration, a job or an operator names it.

use std::str::FromStr;

use axum::extract::State;
use axum::routing::{get, patch};
use axum::{Json as JsonResponse, Router};
use jobmill_core::id::IdError;
use jobmill_core::{JobId, Timestamp};
use jobmill_engine::Handle;
use jobmill_store::{QueueChange, QueueView as Queue};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Context;
use crate::api::List;
use crate::api::operator::operator;
use crate::api::runs::take_work;
use crate::body::JsonBody;
use crate::error::{Code, Problem};
use crate::path::{Id, PathId};
use crate::query::{NoParameters, nearest};

pub(super) fn routes() -> Router<Context> {
    Router::new().route("/api/v1/queues", get(list)).route("/api/v1/queues/{name}", patch(change))
}

/// The name of a queue, which looks like the id of a job.
struct QueueName(JobId);

impl FromStr for QueueName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl PathId for QueueName {
    const REFUSAL: Code = Code::UnknownQueue;
}

#[derive(Serialize)]
struct QueueView {
    name: String,
    /// Null for no limit of its own.
    concurrency: Option<u32>,
    running: usize,
    waiting: usize,
    paused: bool,
    paused_by: Option<String>,
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

async fn list(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<List<QueueView>>, Problem> {
    let queues = context.handle.queues().await?;
    Ok(JsonResponse(List::whole(queues.into_iter().map(QueueView::from).collect())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    #[serde(default)]
    concurrency: Word,
    paused: Option<bool>,
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

async fn change(
    State(context): State<Context>,
    Id(QueueName(name)): Id<QueueName>,
    _: NoParameters,
    JsonBody(body): JsonBody<ChangeBody>,
) -> Result<JsonResponse<QueueView>, Problem> {
    let handle = &context.handle;
    let by = operator(body.by)?;
    let concurrency = match body.concurrency {
        Word::Nothing => None,
        Word::TakenBack => Some(None),
        Word::Limit(0) => {
            return Err(Problem::invalid_member("/concurrency", "must be at least 1; pause the queue to stop it"));
        }
        Word::Limit(limit) => Some(Some(limit)),
    };
    find(handle, name.as_str()).await?;
    let paused = body.paused.map(|paused| paused.then_some(by));
    let change = QueueChange { concurrency, paused };
    handle.control_queue(name.to_string(), change).await?;
    Ok(JsonResponse(find(handle, name.as_str()).await?.into()))
}

async fn find(handle: &Handle, name: &str) -> Result<Queue, Problem> {
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
