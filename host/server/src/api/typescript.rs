//! `GET /api/v1/events.d.ts`: what the loaded jobs listen to, for programs in TypeScript.
//! The text is made in `crate::typescript`.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jobmill_core::Trigger;
use serde_json::Value;
use utoipa::OpenApi;

use crate::Context;
use crate::error::Problem;
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};
use crate::typescript;

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(declarations))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new().get("/api/v1/events.d.ts", Rule::READ, declarations).described_by(Document::openapi)
}

/// Declares, in TypeScript, the events that the loaded jobs listen to, with what each carries.
#[utoipa::path(
    get,
    path = "/api/v1/events.d.ts",
    tag = "Events",
    responses(
        (status = 200, description = "the declarations, as of the jobs that are loaded now", body = String, content_type = "application/typescript"),
    )
)]
async fn declarations(State(context): State<Context>, _: NoParameters) -> Result<Response, Problem> {
    let catalog = context.handle.catalog();
    let mut events: Vec<(&str, Option<Value>)> = Vec::new();
    for loaded in catalog.all_serving() {
        // A schema was read when its job was loaded, so that this never fails; without it the event is declared all the same.
        let schema = loaded.job.payload_schema.as_ref().and_then(|schema| serde_json::from_str(schema.as_str()).ok());
        for trigger in &loaded.job.triggers {
            if let Trigger::Event(name) = trigger {
                events.push((name, schema.clone()));
            }
        }
    }
    let text = typescript::declarations(events.iter().map(|(name, schema)| (*name, schema.as_ref())));
    let media_type = HeaderValue::from_static("application/typescript; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}
