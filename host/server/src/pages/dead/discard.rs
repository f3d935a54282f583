//! Puts dead runs aside for good: first a page that says which and asks why, then the deed.
//! They end cancelled; nothing is deleted here.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jobmill_core::limits;
use jobmill_store::DeadGroup;

use crate::Context;
use crate::audit::dead_named;
use crate::error::{Code, Problem};
use crate::pages::dead::reasons::{self, Reason};
use crate::pages::dead::report::{Deed, way_back};
use crate::pages::dead::target::Target;
use crate::pages::dead::{NAMED, group, question, runs, see};
use crate::pages::form::Posted;
use crate::pages::frame::{self, Frame};
use crate::pages::visitor::Visitor;
use crate::query::Parameters;

#[derive(Template)]
#[template(path = "dead_discard.html")]
struct DiscardPage {
    frame: Frame,
    target: Target,
    /// The group, where the target is one or was selected in one.
    group: Option<DeadGroup>,
    matched: usize,
    changed: usize,
    skipped: Vec<Reason>,
    unnamed: usize,
    /// There may be more, which one action does not take.
    is_bounded: bool,
    /// What is wrong with what was sent.
    refusal: Option<&'static str>,
}

impl DiscardPage {
    async fn of(
        context: &Context,
        visitor: Visitor,
        target: Target,
        refusal: Option<&'static str>,
    ) -> Result<Self, Problem> {
        let outcome = context.handle.discard_many(target.filter(), String::new(), true).await?;
        let group = match target.fingerprint {
            Some(fingerprint) => group::find(context, fingerprint, target.job.as_ref()).await?,
            None => None,
        };
        Ok(Self {
            frame: question(context, visitor, "Discard dead runs").await?,
            target,
            group,
            matched: outcome.matched,
            changed: outcome.changed.len(),
            unnamed: outcome.skipped.len().saturating_sub(NAMED),
            skipped: reasons::named(outcome.skipped, &context.handle).await?,
            is_bounded: outcome.matched >= limits::BULK_RUNS,
            refusal,
        })
    }

    fn changed_runs(&self) -> String {
        runs(self.changed)
    }

    fn matched_runs(&self) -> String {
        runs(self.matched)
    }
}

/// `GET /dead/discard`: what would happen.
pub(super) async fn preview(
    State(context): State<Context>,
    visitor: Visitor,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let target = Target::asked(&parameters.only(&Target::PARAMETERS)?)?;
    frame::page(&DiscardPage::of(&context, visitor, target, None).await?)
}

/// `POST /dead/discard`.
pub(super) async fn discard(State(context): State<Context>, posted: Posted) -> Result<Response, Problem> {
    let target = Target::posted(&posted)?;
    let Some(reason) = posted.text("reason") else {
        posted.audited.is_refused(Code::MissingMember);
        let refusal = Some("Say why: whoever finds one of these runs later will ask.");
        let page = DiscardPage::of(&context, posted.visitor, target, refusal).await?;
        return frame::page_with(StatusCode::UNPROCESSABLE_ENTITY, &page);
    };
    posted.audited.tells(dead_named(&target.filter()));
    posted.audited.tells(reason.trim());
    let outcome = context.handle.discard_many(target.filter(), reason.trim().to_owned(), false).await?;
    posted.audited.tells_counts(&outcome);
    see(&way_back(Deed::Discard, &target, &outcome, None, &context.handle).await?)
}
