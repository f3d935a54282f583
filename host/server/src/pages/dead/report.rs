//! What came of an action, told by the page that it leads back to: numbers and ids in the query, words made here.
//! Why a run was left as it is, is asked again; the query carries no text that anybody could put words into.

use std::time::Duration;

use jobmill_core::{JobId, RunId};
use jobmill_engine::Handle;
use jobmill_store::{BulkOutcome, DeadFilter};

use crate::Context;
use crate::error::Problem;
use crate::pages::dead::progress::Progress;
use crate::pages::dead::reasons::{self, Reason};
use crate::pages::dead::target::{Target, listed, run_ids};
use crate::pages::dead::{NAMED, runs};
use crate::query::Parameters;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Requeue,
    Discard,
    /// A run was repeated with another payload, and put aside.
    Rerun,
    /// Nothing, since nothing was selected.
    Nothing,
}

impl Deed {
    const ALL: [Self; 4] = [Self::Requeue, Self::Discard, Self::Rerun, Self::Nothing];

    fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Discard => "discard",
            Self::Rerun => "rerun",
            Self::Nothing => "nothing",
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|deed| deed.as_str() == text);
        found.ok_or_else(|| "one of requeue, discard, rerun, nothing".to_owned())
    }
}

/// What came of it.
pub(super) struct Report {
    pub(super) deed: Deed,
    matched: usize,
    changed: usize,
    skipped: usize,
    /// Runs that were left as they are, and why, as far as they are named.
    pub(super) left: Vec<Reason>,
    /// The job whose runs they were.
    pub(super) of: Option<JobId>,
    /// The run that was repeated, and the new one.
    pub(super) rerun: Option<(RunId, RunId)>,
    /// How those do that were put back; none when that is not known any more.
    pub(super) progress: Option<Progress>,
}

impl Report {
    /// The parameters that it is read from.
    pub(super) const PARAMETERS: [&str; 9] =
        ["did", "matched", "changed", "skipped", "left", "of", "run", "as", "progress"];

    /// What the query tells, if it tells of an action.
    pub(super) async fn told(parameters: &Parameters, context: &Context) -> Result<Option<Self>, Problem> {
        let Some(deed) = parameters.read("did", Deed::read)? else { return Ok(None) };
        let number = |name: &str| parameters.value::<usize>(name).map(Option::unwrap_or_default);
        let mut ids = parameters.read("left", run_ids)?.unwrap_or_default();
        ids.truncate(NAMED);
        let handle = &context.handle;
        let progress = match parameters.value("progress")? {
            Some(name) => context.requeues.progress(name, handle).await?,
            None => None,
        };
        Ok(Some(Self {
            deed,
            matched: number("matched")?,
            changed: number("changed")?,
            skipped: number("skipped")?,
            left: asked_again(deed, ids, handle).await?,
            of: parameters.value("of")?,
            rerun: parameters.value("run")?.zip(parameters.value("as")?),
            progress,
        }))
    }

    /// It in one sentence.
    pub(super) fn sentence(&self) -> String {
        match (self.deed, self.rerun) {
            (Deed::Requeue, _) => self.counted("Requeued"),
            (Deed::Discard, _) => self.counted("Discarded"),
            (Deed::Rerun, Some((run, new))) if self.changed > 0 => format!("{run} was rerun as {new} and discarded."),
            (Deed::Rerun, Some((run, new))) => {
                format!("{run} was rerun as {new}, and not discarded: look at it, and discard it yourself.")
            }
            (Deed::Rerun, None) => "The run was rerun.".to_owned(),
            (Deed::Nothing, _) => "No run was selected; select some, then choose what to do with them.".to_owned(),
        }
    }

    fn counted(&self, done: &str) -> String {
        let sum = format!("{done} {} of {}", self.changed, runs(self.matched));
        match self.skipped {
            0 => format!("{sum}."),
            1 => format!("{sum}; 1 was left as it is."),
            skipped => format!("{sum}; {skipped} were left as they are."),
        }
    }

    /// Whether runs wait now that did not before.
    pub(super) fn has_waiting(&self) -> bool {
        let has_unfinished = self.progress.as_ref().is_none_or(|progress| progress.ended < progress.total);
        self.deed == Deed::Requeue && self.changed > 0 && has_unfinished
    }

    /// How many were left as they are beyond those that are named.
    pub(super) fn unnamed(&self) -> usize {
        self.skipped.saturating_sub(self.left.len())
    }

    /// The runs that are named, for a link.
    pub(super) fn left_ids(&self) -> String {
        listed(&self.left.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    }
}

/// Why these runs are left as they are: asked again, changing nothing.
async fn asked_again(deed: Deed, ids: Vec<RunId>, handle: &Handle) -> Result<Vec<Reason>, Problem> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = DeadFilter { ids: Some(ids.clone()), ..DeadFilter::default() };
    let outcome = match deed {
        Deed::Requeue => handle.requeue_many(filter, Duration::ZERO, None, true).await?,
        Deed::Discard | Deed::Rerun | Deed::Nothing => handle.discard_many(filter, String::new(), true).await?,
    };
    let said = |id: RunId| {
        let reason = outcome.skipped.iter().find(|(skipped, _)| *skipped == id).map(|(_, reason)| reason.clone());
        (id, reason.unwrap_or_else(|| "could be changed by now; try again".to_owned()))
    };
    reasons::named(ids.into_iter().map(said).collect(), handle).await
}

/// Where a form leads back to: the group's page while there is a group, else the list of groups.
pub(super) async fn way_back(
    deed: Deed,
    target: &Target,
    outcome: &BulkOutcome,
    progress: Option<u64>,
    handle: &Handle,
) -> Result<String, Problem> {
    let (matched, changed, skipped) = (outcome.matched, outcome.changed.len(), outcome.skipped.len());
    let mut parts = vec![format!("did={}&matched={matched}&changed={changed}", deed.as_str())];
    if skipped > 0 {
        let left: Vec<RunId> = outcome.skipped.iter().take(NAMED).map(|(id, _)| *id).collect();
        parts.push(format!("skipped={skipped}&left={}", listed(&left)));
    }
    parts.extend(target.job.as_ref().map(|job| format!("of={job}")));
    parts.extend(progress.map(|name| format!("progress={name}")));
    back(target, &parts.join("&"), handle).await
}

/// The same after a run was repeated.
pub(super) async fn way_back_from_rerun(
    target: &Target,
    (run, new): (RunId, RunId),
    discarded: usize,
    handle: &Handle,
) -> Result<String, Problem> {
    let query = format!("did={}&run={run}&as={new}&changed={discarded}", Deed::Rerun.as_str());
    back(target, &query, handle).await
}

/// The same when nothing was done.
pub(super) async fn way_back_with_nothing(target: &Target, handle: &Handle) -> Result<String, Problem> {
    back(target, &format!("did={}", Deed::Nothing.as_str()), handle).await
}

async fn back(target: &Target, query: &str, handle: &Handle) -> Result<String, Problem> {
    let (Some(fingerprint), Some(job)) = (target.fingerprint, &target.job) else {
        return Ok(format!("/dead?{query}"));
    };
    let groups = handle.query().dead_groups().await?;
    if groups.iter().any(|group| group.fingerprint == fingerprint.0 && group.job == *job) {
        Ok(format!("/dead/{fingerprint}?job={job}&{query}"))
    } else {
        Ok(format!("/dead?{query}"))
    }
}
