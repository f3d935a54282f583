//! Puts dead runs back: first a page that says how many, which are left as they are and why, then the deed.
//! One run alone needs no such page.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jobmill_core::limits;
use jobmill_core::mail::InDoubtChoice;
use jobmill_core::time::parse_duration;
use jobmill_store::{BulkOutcome, DeadGroup};

use crate::Context;
use crate::audit::dead_named;
use crate::error::Problem;
use crate::pages::dead::reasons::{self, Reason};
use crate::pages::dead::report::{Deed, way_back};
use crate::pages::dead::target::Target;
use crate::pages::dead::{NAMED, group, question, runs, see};
use crate::pages::form::Posted;
use crate::pages::frame::{self, Frame};
use crate::pages::visitor::Visitor;
use crate::query::Parameters;

/// Over what while runs are put back: value, words.
const SPREADS: [(&str, &str); 5] =
    [("none", "at once"), ("30s", "over 30 s"), ("1m", "over 1 min"), ("5m", "over 5 min"), ("1h", "over 1 h")];

/// What just recovered should not be trampled.
const SPREAD_OF_MANY: &str = "1m";

#[derive(Template)]
#[template(path = "dead_requeue.html")]
struct RequeuePage {
    frame: Frame,
    target: Target,
    /// The group, where the target is one or was selected in one.
    group: Option<DeadGroup>,
    matched: usize,
    /// How many are put back when nothing is said about mails in doubt, and when something is.
    changed: usize,
    decided: usize,
    skipped: Vec<Reason>,
    unnamed: usize,
    /// There may be more, which one action does not take.
    is_bounded: bool,
    spreads: Vec<(&'static str, &'static str, bool)>,
    /// The job has no component that could run them.
    is_retired: bool,
}

impl RequeuePage {
    /// How many have mails in doubt.
    fn doubtful(&self) -> usize {
        self.decided.saturating_sub(self.changed)
    }

    fn changed_runs(&self) -> String {
        runs(self.changed)
    }

    fn decided_runs(&self) -> String {
        runs(self.decided)
    }

    fn matched_runs(&self) -> String {
        runs(self.matched)
    }
}

/// `GET /dead/requeue`: what would happen.
pub(super) async fn preview(
    State(context): State<Context>,
    visitor: Visitor,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let target = Target::asked(&parameters.only(&Target::PARAMETERS)?)?;
    let handle = &context.handle;
    let plain = handle.requeue_many(target.filter(), Duration::ZERO, None, true).await?;
    let decided = decided(&context, &target, &plain).await?;
    let found = match target.fingerprint {
        Some(fingerprint) => group::find(&context, fingerprint, target.job.as_ref()).await?,
        None => None,
    };
    let preset = if decided > 1 { SPREAD_OF_MANY } else { SPREADS[0].0 };
    let unnamed = plain.skipped.len().saturating_sub(NAMED);
    let frame = question(&context, visitor, "Requeue dead runs").await?;
    frame::page(&RequeuePage {
        frame,
        is_retired: target.job.as_ref().is_some_and(|job| handle.catalog().serving(job).is_none()),
        target,
        group: found,
        matched: plain.matched,
        changed: plain.changed.len(),
        decided,
        skipped: reasons::named(plain.skipped, handle).await?,
        unnamed,
        is_bounded: plain.matched >= limits::BULK_RUNS,
        spreads: SPREADS.map(|(value, words)| (value, words, value == preset)).into(),
    })
}

/// How many would be put back if the mails in doubt were decided.
async fn decided(context: &Context, target: &Target, plain: &BulkOutcome) -> Result<usize, Problem> {
    if plain.skipped.is_empty() {
        return Ok(plain.changed.len());
    }
    let choice = Some(InDoubtChoice::Sent);
    let outcome = context.handle.requeue_many(target.filter(), Duration::ZERO, choice, true).await?;
    Ok(outcome.changed.len())
}

/// `POST /dead/requeue`.
pub(super) async fn requeue(State(context): State<Context>, posted: Posted) -> Result<Response, Problem> {
    let target = Target::posted(&posted)?;
    let (spread, choice) = (spread(&posted)?, choice(&posted)?);
    posted.audited.tells(dead_named(&target.filter()));
    let outcome = context.handle.requeue_many(target.filter(), spread, choice, false).await?;
    posted.audited.tells_counts(&outcome);
    let changed = outcome.changed.clone();
    let progress = (!changed.is_empty()).then(|| context.requeues.keep(changed, spread, context.handle.now()));
    see(&way_back(Deed::Requeue, &target, &outcome, progress, &context.handle).await?)
}

fn spread(posted: &Posted) -> Result<Duration, Problem> {
    let text = posted.text("spread").filter(|text| *text != SPREADS[0].0);
    let Some(text) = text else { return Ok(Duration::ZERO) };
    let refuse = |reason: String| Problem::invalid_member("/spread", reason);
    let spread = parse_duration(text).map_err(|error| refuse(format!("is refused: {error}")))?;
    if spread > limits::DELAY_MAX {
        return Err(refuse("is longer than a year".to_owned()));
    }
    Ok(spread)
}

fn choice(posted: &Posted) -> Result<Option<InDoubtChoice>, Problem> {
    match posted.text("in_doubt") {
        None | Some("leave") => Ok(None),
        Some("resend") => Ok(Some(InDoubtChoice::Resend)),
        Some("sent") => Ok(Some(InDoubtChoice::Sent)),
        Some(_) => Err(Problem::invalid_member("/in_doubt", "is none of leave, resend, sent")),
    }
}
