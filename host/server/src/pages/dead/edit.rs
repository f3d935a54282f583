//! Mends a dead run's payload: a new run is enqueued with it, and the dead one is discarded, naming the new one.
//! Runs that are not dead are repeated on their own page.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jobmill_core::{AttemptError, JobId, Json, Run, RunId, RunState};
use jobmill_store::DeadFilter;

use crate::Context;
use crate::api::take_work;
use crate::body::check_depth;
use crate::error::{Code, MemberProblem, Problem};
use crate::pages::dead::report::way_back_from_rerun;
use crate::pages::dead::target::{Fingerprint, Target};
use crate::pages::dead::{question, see};
use crate::pages::form::Posted;
use crate::pages::frame::{self, Frame};
use crate::pages::visitor::Visitor;
use crate::path::Id;
use crate::query::NoParameters;

#[derive(Template)]
#[template(path = "dead_edit.html")]
struct EditPage {
    frame: Frame,
    id: RunId,
    job: JobId,
    error: Option<AttemptError>,
    target: Target,
    /// What is in the form: the run's payload, or what was refused.
    payload: String,
    refusal: Option<String>,
    members: Vec<MemberProblem>,
}

impl EditPage {
    async fn of(context: &Context, visitor: Visitor, run: Run) -> Result<Self, Problem> {
        Ok(Self {
            frame: question(context, visitor, "Edit and requeue").await?,
            target: target(&run),
            id: run.head.id,
            job: run.head.job,
            error: run.attempts.into_iter().rev().find_map(|attempt| attempt.error),
            payload: run.payload.as_str().to_owned(),
            refusal: None,
            members: Vec::new(),
        })
    }
}

/// `GET /dead/edit/{id}`.
pub(super) async fn show(
    State(context): State<Context>,
    visitor: Visitor,
    Id(id): Id<RunId>,
    _: NoParameters,
) -> Result<Response, Problem> {
    let run = dead_run(&context, id).await?;
    frame::page(&EditPage::of(&context, visitor, run).await?)
}

/// `POST /dead/edit/{id}`.
pub(super) async fn rerun(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    posted: Posted,
) -> Result<Response, Problem> {
    let run = dead_run(&context, id).await?;
    let target = target(&run);
    let text = posted.text("payload").unwrap_or_default().to_owned();
    match repeat(&context, id, &text).await {
        Ok(new) => {
            let discarded = discard(&context, id, new).await;
            posted.audited.tells(format_args!("{new}, {}", if discarded > 0 { "discarded" } else { "not discarded" }));
            see(&way_back_from_rerun(&target, (id, new), discarded, &context.handle).await?)
        }
        Err(problem) if is_of_the_payload(problem.code()) => {
            posted.audited.is_refused(problem.code());
            let page = EditPage::of(&context, posted.visitor, run).await?;
            let refused = EditPage {
                payload: text,
                refusal: Some(problem.detail().to_owned()),
                members: problem.members().to_vec(),
                ..page
            };
            frame::page_with(problem.status(), &refused)
        }
        Err(problem) => Err(problem),
    }
}

/// Refusals that another text in the form can mend.
fn is_of_the_payload(code: Code) -> bool {
    matches!(code, Code::MalformedJson | Code::PayloadInvalid | Code::InvalidMember)
}

/// Enqueues a run with this payload; answers its id.
async fn repeat(context: &Context, id: RunId, text: &str) -> Result<RunId, Problem> {
    take_work(&context.handle)?;
    check_depth(text)?;
    let payload = Json::parse(text)
        .map_err(|error| Problem::new(Code::MalformedJson, format!("the payload is not JSON: {error}")))?;
    let accepted = context.handle.rerun(id, Some(payload)).await?;
    if accepted.replayed {
        let detail = format!("the job takes this payload for that of {}, which is there already", accepted.head.id);
        return Err(Problem::new(Code::InvalidMember, detail));
    }
    Ok(accepted.head.id)
}

/// Puts the dead run aside; answers how many that were. The new run is there in any case, so a failure is told and no refusal.
async fn discard(context: &Context, id: RunId, new: RunId) -> usize {
    let filter = DeadFilter { ids: Some(vec![id]), ..DeadFilter::default() };
    match context.handle.discard_many(filter, format!("rerun as {new}"), false).await {
        Ok(outcome) => outcome.changed.len(),
        Err(error) => {
            tracing::warn!(%error, run = %id, rerun = %new, "a run was rerun, and could not be discarded");
            0
        }
    }
}

async fn dead_run(context: &Context, id: RunId) -> Result<Run, Problem> {
    let record = context.handle.query().run(id).await?;
    let run = record.ok_or_else(|| Problem::new(Code::UnknownRun, format!("there is no run {id}")))?.run;
    let state = run.head.state_at(context.handle.now());
    if state != RunState::Dead {
        let detail = format!("{id} is {state} and no dead letter any more; rerun it on its own page, /runs/{id}");
        return Err(Problem::new(Code::WrongState, detail));
    }
    Ok(run)
}

/// The group of a run, to which the way leads back.
fn target(run: &Run) -> Target {
    Target {
        job: Some(run.head.job.clone()),
        fingerprint: run.head.error.as_ref().map(|error| Fingerprint(error.fingerprint)),
        ids: Vec::new(),
    }
}
