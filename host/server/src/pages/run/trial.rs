//! What a trial of a run showed: what it would come to, what it would do, what it logged, and what can be done next.
//! The page is of this one moment: it is not kept, and nothing renews it.

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use jobmill_core::{RunHead, RunId, RunState};
use jobmill_engine::{DoneBefore, Trial, TrialEffect, TrialError};

use super::actions::refused;
use super::{Log, doubtful, group_of, span};
use crate::Context;
use crate::api::{summary_of_trial, take_work};
use crate::error::Problem;
use crate::pages::form::Posted;
use crate::pages::frame::{Frame, Section, page};
use crate::pages::words::icon;
use crate::path::Id;

#[derive(Template)]
#[template(path = "run_trial.html")]
struct TrialPage {
    frame: Frame,
    /// The run as it is, which the trial did not change.
    head: RunHead,
    trial: Trial,
    summary: String,
    /// To the desk's preview of all runs with the same error.
    group: Option<String>,
    /// Whether mails may have been sent, so that somebody has to decide before it is put back.
    has_doubts: bool,
}

/// `POST /runs/{id}/trial`.
pub(super) async fn show(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    take_work(&context.handle)?;
    let trial = match context.handle.trial(id).await {
        Ok(trial) => trial,
        Err(error) => return refused(&context, posted, id, &headers, error.into()).await,
    };
    let run = context.handle.query().run(id).await?.ok_or(TrialError::UnknownRun(id))?.run;
    let frame = Frame::of(&context, posted.visitor, Section::Runs, format!("Trial of {id}")).await?;
    page(&TrialPage {
        // Loading its address again would be no trial.
        frame: Frame { live: false, ..frame },
        summary: summary_of_trial(&trial),
        group: group_of(&run.head)
            .map(|(fingerprint, job)| format!("/dead/requeue?job={job}&fingerprint={fingerprint}")),
        has_doubts: !doubtful(&context.handle, &run).await?.is_empty(),
        head: run.head,
        trial,
    })
}

impl TrialPage {
    /// The mark of what it would come to.
    fn icon(&self) -> &'static str {
        icon(self.trial.finished.to)
    }

    fn took(&self) -> String {
        span(self.trial.took)
    }

    fn can_retry(&self) -> bool {
        matches!(self.head.state, RunState::Dead | RunState::Cancelled)
    }

    fn has_completed(&self) -> bool {
        self.trial.finished.to == RunState::Completed
    }
}
