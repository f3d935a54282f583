//! Looks at how attempts of new versions end, and rolls a job back whose new version breaks where the one before did not.
//! What makes a version bad is decided in `core`; it looks at the record alone, so that a restart in between changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use jobmill_core::audit::{AuditEntry, AuditOutcome, Operator};
use jobmill_core::job::pin::rollback_target;
use jobmill_core::job::regression::{BY, End, LAST, Newcomer};
use jobmill_core::{JobId, RunState, Timestamp, TokenId, Version, limits};
use jobmill_store::{RunFilter, StoreError};
use tokio::sync::mpsc;

use crate::executor::CodeEnd;
use crate::handle::Handle;
use crate::rollback::Rollback;

/// The states of runs among which attempts of a version are looked for, apart from the newest runs whatever their state: where
/// many wait, those are not the ones that have ended.
const STATES: [Option<RunState>; 4] =
    [None, Some(RunState::Completed), Some(RunState::Dead), Some(RunState::Retryable)];

/// See the module.
pub(crate) struct Regressions {
    handle: Handle,
    ends: mpsc::Receiver<CodeEnd>,
    /// The version of each job that is not looked at any more: it has completed something, or it was judged. An operator who
    /// lets one serve again that was rolled back has decided. As many as there are jobs.
    settled: BTreeMap<JobId, Version>,
}

impl Regressions {
    pub(crate) fn new(handle: Handle, ends: mpsc::Receiver<CodeEnd>) -> Self {
        Self { handle, ends, settled: BTreeMap::new() }
    }

    /// Goes on until the engine ends.
    pub(crate) async fn run(mut self) {
        while let Some((loaded, end)) = self.ends.recv().await {
            let (job, version) = (&loaded.job.id, loaded.version);
            if self.settled.get(job) == Some(&version) {
                continue;
            }
            match end {
                End::Completed => _ = self.settled.insert(job.clone(), version),
                End::Failed => {}
                End::Broke { .. } => {
                    if let Err(error) = self.look_at(job, version).await {
                        // The next attempt that breaks lets it be looked at again.
                        tracing::warn!(%job, %version, %error, "nobody can tell whether a new version is bad");
                    }
                }
            }
        }
    }

    async fn look_at(&mut self, job: &JobId, version: Version) -> Result<(), StoreError> {
        let catalog = self.handle.catalog();
        let serves = catalog.serving(job).is_some_and(|serving| serving.version == version);
        // What an operator holds the job to is the operator's to judge.
        if !serves || catalog.listing(job).is_some_and(|listing| listing.pinned.is_some()) {
            return Ok(());
        }
        let newcomer = Newcomer::new(version, self.ends_of(job, version).await?);
        let Some(newcomer) = newcomer.filter(|newcomer| newcomer.looks_bad() || !newcomer.is_over()) else {
            self.settled.insert(job.clone(), version);
            return Ok(());
        };
        if !newcomer.looks_bad() {
            return Ok(());
        }
        let query = self.handle.query();
        let versions = query.versions(job).await?;
        let kept = self.handle.kept_components().await?;
        let target = rollback_target(job, &versions, version, None, |version| kept.contains(&version));
        let before = target.ok().map(|before| before.version);
        let reason = match before {
            Some(before) => {
                let ends = self.ends_of(job, before).await?;
                newcomer.reason(before, &ends[ends.len().saturating_sub(LAST)..]).map(|reason| (before, reason))
            }
            None => None,
        };
        self.settled.insert(job.clone(), version);
        match reason {
            Some((before, reason)) => self.roll_back(job, before, reason).await,
            None => {
                tracing::warn!(%job, %version, "a new version breaks, and no version before it is known to have done better");
            }
        }
        Ok(())
    }

    /// Rolls a job back, and puts that on the audit list as an operator's rollback would be.
    async fn roll_back(&self, job: &JobId, before: Version, reason: String) {
        let handle = &self.handle;
        let mut entry = AuditEntry {
            id: handle.new_audit_id(),
            at: handle.now(),
            by: Some(Operator { id: TokenId::from_bytes([0; 16]), name: BY.to_owned() }),
            action: "jobs rollback".to_owned(),
            target: Some(job.to_string()),
            detail: Some(format!("to {before}: {reason}")),
            outcome: None,
        }
        .within_bounds();
        handle.begin_audit(entry.clone()).await;
        let wanted =
            Rollback { job: job.clone(), version: Some(before.to_hex()), by: BY.to_owned(), reason: Some(reason) };
        entry.outcome = Some(match handle.roll_back(wanted).await {
            Ok(_) => AuditOutcome::Done,
            Err(error) => {
                tracing::error!(%job, %before, %error, "a version that breaks can't be rolled back");
                AuditOutcome::Refused { code: "not-rolled-back".to_owned() }
            }
        });
        handle.end_audit(entry).await;
    }

    /// How attempts of a version ended, as far as that is on record, the first of them first.
    async fn ends_of(&self, job: &JobId, version: Version) -> Result<Vec<End>, StoreError> {
        let (query, now) = (self.handle.query(), self.handle.now());
        let mut seen = BTreeSet::new();
        let mut ends: Vec<(Timestamp, End)> = Vec::new();
        for state in STATES {
            let filter = RunFilter { state, job: Some(job.clone()), ..RunFilter::default() };
            for run in query.runs(&filter, None, limits::VERSION_RUNS_READ, now).await?.items {
                if !seen.insert(run.head.id) {
                    continue;
                }
                let of_version = run.attempts.iter().filter(|attempt| attempt.version == version);
                ends.extend(of_version.filter_map(|it| Some((it.finished_at?, End::of_attempt(it)?))));
            }
        }
        ends.sort_by_key(|(at, _)| *at);
        Ok(ends.into_iter().map(|(_, end)| end).collect())
    }
}
