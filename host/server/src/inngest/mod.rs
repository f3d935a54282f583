//! Inngest's wire protocol: its SDKs send events here when nothing but their URL is changed, and read runs back.
//! It keeps nothing of its own; events and runs are the engine's, with ids that lack their prefixes here.

mod answer;
mod cancellations;
mod events;
mod ids;
mod run_object;
mod runs;
mod seed;
mod sending;
mod wire;

pub(crate) use answer::speak;

use axum::Json as JsonResponse;
use axum::extract::State;
use serde_json::{Value, json};

use crate::Context;
use crate::action::Action;
use crate::error::{Code, Problem};
use crate::routes::{Routes, Rule};

/// Every route of the protocol.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .post("/e/{key}", Rule::EventKey, sending::send)
        .options("/e/{key}", Rule::Open, sending::preflight)
        .post("/e/", Rule::Open, sending::refuse_without_key)
        .get("/health", Rule::Open, health)
        .get("/dev", Rule::Open, development)
        .get("/v1/events", Rule::READ, events::list)
        .get("/v1/events/{id}", Rule::READ, events::show)
        .get("/v1/events/{id}/runs", Rule::READ, runs::of_event)
        .get("/v1/runs/{id}", Rule::READ, runs::show)
        .delete("/v1/runs/{id}", Rule::OPERATE, runs::cancel)
        .does(Action::RunsCancel)
        .get("/v1/runs/{id}/jobs", Rule::READ, runs::jobs)
        .post("/v1/cancellations", Rule::OPERATE, cancellations::cancel)
        .does(Action::RunsCancel)
}

/// That there is a server.
async fn health() -> JsonResponse<Value> {
    JsonResponse(json!({ "status": 200, "message": "OK" }))
}

/// By which older SDKs find a server for development; in production there is none.
async fn development(State(context): State<Context>) -> Result<JsonResponse<Value>, Problem> {
    if context.settings.faults.is_none() {
        return Err(Problem::new(Code::NotFound, "this is not a server for development"));
    }
    let version = env!("CARGO_PKG_VERSION");
    Ok(JsonResponse(json!({ "version": version, "authed": false, "functions": [], "handlers": [] })))
}
