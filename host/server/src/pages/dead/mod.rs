//! The dead-letter desk: groups of dead runs, their runs, and the ways to put them back, mend them or put them aside.
//! It changes runs through the same doors as `api/dead.rs`; a single run's history is on the page of the run.

mod discard;
mod edit;
mod group;
mod groups;
mod progress;
mod reasons;
mod report;
mod requeue;
mod target;

pub(crate) use progress::Requeues;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::Context;
use crate::action::Action;
use crate::error::{Code, Problem};
use crate::pages::frame::{Frame, Section};
use crate::pages::visitor::Visitor;
use crate::routes::{Routes, Rule};

/// Items of a page of a list.
const ITEMS: usize = 50;
/// Runs that were left as they are which a page names; the others it counts.
const NAMED: usize = 20;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/dead", Rule::READ, groups::show)
        .get("/dead/{fingerprint}", Rule::READ, group::show)
        .post("/dead/select", Rule::OPERATE, group::select)
        .get("/dead/requeue", Rule::READ, requeue::preview)
        .post("/dead/requeue", Rule::OPERATE, requeue::requeue)
        .does(Action::DeadRequeue)
        .get("/dead/discard", Rule::READ, discard::preview)
        .post("/dead/discard", Rule::OPERATE, discard::discard)
        .does(Action::DeadDiscard)
        .get("/dead/edit/{id}", Rule::READ, edit::show)
        .post("/dead/edit/{id}", Rule::OPERATE, edit::rerun)
        .does(Action::RunsRerun)
}

/// Around a page that asks a question: it does not change under the hands of whoever answers.
async fn question(context: &Context, visitor: Visitor, title: &str) -> Result<Frame, Problem> {
    let frame = Frame::of(context, visitor, Section::Dead, title).await?;
    Ok(Frame { live: false, ..frame })
}

/// Leads the browser to a page after a form was taken.
fn see(path: &str) -> Result<Response, Problem> {
    let location = HeaderValue::try_from(path).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

/// A count with its word: "1 run", "2 runs".
fn runs(count: usize) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{count} runs") }
}
