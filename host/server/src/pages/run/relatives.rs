//! The relatives of a run: the runs that repeat it, the others that its event started, and those of its job next to it.
//! Of many it shows the newest, and the way to all of them.

use jobmill_core::{JobId, RunHead, RunId, RunState, Timestamp};
use jobmill_engine::Handle;
use jobmill_store::{Neighbours, RunFilter};

use crate::error::Problem;
use crate::pages::links::link;
use crate::pages::words::icon;

/// Runs of one kind that the page shows.
const SHOWN: usize = 10;

/// See the module.
pub(super) struct Relatives {
    /// The run of the same job before this one.
    pub(super) previous: Option<RunId>,
    /// The run of the same job after this one.
    pub(super) next: Option<RunId>,
    /// Those that repeat it; none where none does.
    pub(super) reruns: Option<Row>,
    /// The others that its event started; none where there are none.
    pub(super) of_event: Option<Row>,
}

/// Runs in a row.
pub(super) struct Row {
    pub(super) runs: Vec<Relative>,
    /// The way to all of them, where these are not.
    pub(super) all: Option<String>,
}

/// A run that is linked.
pub(super) struct Relative {
    pub(super) id: RunId,
    pub(super) job: JobId,
    pub(super) state: RunState,
    pub(super) icon: &'static str,
}

impl Row {
    /// None where there are no runs.
    fn of(heads: impl Iterator<Item = RunHead>, all: Option<String>, now: Timestamp) -> Option<Self> {
        let runs = heads.map(|head| {
            let state = head.state_at(now);
            Relative { id: head.id, job: head.job, state, icon: icon(state) }
        });
        let runs: Vec<Relative> = runs.collect();
        (!runs.is_empty()).then_some(Self { runs, all })
    }
}

/// The relatives of a run as they are now.
pub(super) async fn relatives(handle: &Handle, head: &RunHead, now: Timestamp) -> Result<Relatives, Problem> {
    let query = handle.query();
    let Neighbours { previous, next } = query.neighbours(head.id).await?;
    let filter = RunFilter { rerun_of: Some(head.id), ..RunFilter::default() };
    let reruns = query.runs(&filter, None, SHOWN, now).await?;
    let all = reruns.next.map(|_| link("/runs", &[("rerun_of", Some(head.id.to_string()))]));
    Ok(Relatives {
        previous,
        next,
        reruns: Row::of(reruns.items.into_iter().map(|run| run.head), all, now),
        of_event: of_event(handle, head, now).await?,
    })
}

async fn of_event(handle: &Handle, head: &RunHead, now: Timestamp) -> Result<Option<Row>, Problem> {
    let query = handle.query();
    let Some(key) = head.event.as_ref().map(|event| event.key) else { return Ok(None) };
    let Some(event) = query.event_by_key(key).await? else { return Ok(None) };
    let mut others: Vec<RunId> = event.runs.into_iter().filter(|run| *run != head.id).collect();
    // The page of the event shows them all.
    let all = (others.len() > SHOWN).then(|| format!("/events/{key}"));
    others.truncate(SHOWN);
    Ok(Row::of(query.heads(&others).await?.into_iter(), all, now))
}
