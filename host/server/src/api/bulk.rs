//! What the actions on many runs have in common: an empty filter is refused, and every run is accounted for.
//! It acts on nothing itself.

use jobmill_core::RunId;
use jobmill_store::BulkOutcome;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Code, Problem};

/// What an action on many runs did, or would do.
#[derive(Serialize, ToSchema)]
#[schema(as = BulkOutcome)]
pub(super) struct BulkView {
    /// How many runs the filter names.
    matched: usize,
    /// How many of them were, or would be, changed.
    changed: usize,
    /// The others.
    skipped: Vec<Skipped>,
}

/// A run that was left as it is.
#[derive(Serialize, ToSchema)]
#[schema(as = SkippedRun)]
struct Skipped {
    id: RunId,
    /// Why it was left as it is.
    reason: String,
}

impl From<BulkOutcome> for BulkView {
    fn from(outcome: BulkOutcome) -> Self {
        let skipped = outcome.skipped.into_iter().map(|(id, reason)| Skipped { id, reason });
        Self { matched: outcome.matched, changed: outcome.changed.len(), skipped: skipped.collect() }
    }
}

/// An empty filter names every run, which nobody asks for by leaving something out.
pub(super) fn refuse_empty<F: Default + PartialEq>(filter: &F) -> Result<(), Problem> {
    if *filter == F::default() {
        let detail = "an empty filter would name every run; name a job, for instance";
        return Err(Problem::new(Code::EmptyFilter, detail).at("/filter", "must not be empty"));
    }
    Ok(())
}
