//! Repeating a run: as it was, or with a payload edited on a form that keeps what was typed when it is refused.
//! What fits the job's schema is for the engine to say.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jobmill_core::{JobId, Json, RunId};

use super::{actions, find, gone};
use crate::Context;
use crate::api::take_work;
use crate::body::check_depth;
use crate::error::{Code, Problem};
use crate::pages::form::Posted;
use crate::pages::frame::{Frame, Section, page_with};
use crate::pages::visitor::Visitor;
use crate::path::Id;
use crate::query::NoParameters;

#[derive(Template)]
#[template(path = "run_edit.html")]
struct EditPage {
    frame: Frame,
    id: RunId,
    job: JobId,
    /// As it was sent, or as it was typed.
    payload: String,
    /// Why the payload was refused; none while it was not.
    refusal: Option<String>,
    /// The same by member.
    members: Vec<(String, String)>,
}

/// `GET /runs/{id}/edit`.
pub(super) async fn show(
    State(context): State<Context>,
    visitor: Visitor,
    id: Result<Id<RunId>, Problem>,
    _: NoParameters,
) -> Result<Response, Problem> {
    let record = match find(&context, id).await? {
        Ok(record) => record,
        Err(detail) => return gone(&context, visitor, detail).await,
    };
    let head = record.run.head;
    form(&context, visitor, (head.id, head.job), record.run.payload.to_string(), None).await
}

/// `POST /runs/{id}/rerun`: with `edited` the payload is the form's, without it the run's own.
pub(super) async fn rerun(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    posted: Posted,
) -> Result<Response, Problem> {
    let handle = &context.handle;
    let Some(record) = handle.query().run(id).await? else {
        return gone(&context, posted.visitor, format!("there is no run {id}")).await;
    };
    take_work(handle)?;
    // Browsers end the lines of a text field in their own way.
    let text = || posted.text("payload").unwrap_or_default().replace("\r\n", "\n");
    let typed = posted.text("edited").map(|_| text());
    let payload = typed.as_deref().map(read).transpose();
    let repeated = match payload {
        Ok(payload) => handle.rerun(id, payload).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match repeated {
        Ok(accepted) => {
            posted.audited.tells(accepted.head.id);
            Ok(actions::done(accepted.head.id, if accepted.replayed { "first" } else { "rerun" }))
        }
        Err(problem) if is_about_the_payload(&problem) => {
            posted.audited.is_refused(problem.code());
            let text = typed.unwrap_or_else(|| record.run.payload.to_string());
            form(&context, posted.visitor, (id, record.run.head.job), text, Some(problem)).await
        }
        Err(problem) => Err(problem),
    }
}

fn read(text: &str) -> Result<Json, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new(Code::MalformedJson, "the payload is empty; the least is {}"));
    }
    check_depth(text)?;
    Json::parse(text).map_err(|error| Problem::new(Code::MalformedJson, format!("the payload is not JSON: {error}")))
}

fn is_about_the_payload(problem: &Problem) -> bool {
    matches!(problem.code(), Code::PayloadInvalid | Code::MalformedJson | Code::InvalidMember)
}

async fn form(
    context: &Context,
    visitor: Visitor,
    (id, job): (RunId, JobId),
    payload: String,
    problem: Option<Problem>,
) -> Result<Response, Problem> {
    let status = problem.as_ref().map_or(StatusCode::OK, Problem::status);
    let members = problem.iter().flat_map(Problem::members).map(|it| (it.pointer.clone(), it.detail.clone()));
    let page = EditPage {
        frame: Frame::of(context, visitor, Section::Runs, format!("Edit and rerun {id}")).await?,
        id,
        job,
        payload,
        members: members.collect(),
        refusal: problem.as_ref().map(|problem| problem.detail().to_owned()),
    };
    page_with(status, &page)
}
