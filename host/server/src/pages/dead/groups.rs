//! The list of dead letters: runs that ended dead, a row for each job and error.
//! What can be done to a group is on pages of its own, which say first what would happen.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::str::FromStr;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jobmill_core::{JobId, Timestamp};
use jobmill_engine::Catalog;
use jobmill_store::DeadGroup;

use crate::Context;
use crate::error::Problem;
use crate::pages::dead::report::Report;
use crate::pages::dead::target::Fingerprint;
use crate::pages::dead::{ITEMS, runs};
use crate::pages::frame::{self, Frame, Section};
use crate::pages::links::link;
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::query::Parameters;

#[derive(Template)]
#[template(path = "dead.html")]
struct DeadPage {
    frame: Frame,
    report: Option<Report>,
    groups: Vec<GroupRow>,
    /// Jobs that have dead runs.
    jobs: BTreeSet<JobId>,
    job: Option<JobId>,
    /// Dead runs in all groups that the filter shows, and how many groups those are.
    total: usize,
    group_count: usize,
    /// To the newest page, where this is an older one.
    newest: Option<String>,
    older: Option<String>,
}

impl DeadPage {
    fn total_runs(&self) -> String {
        runs(self.total)
    }
}

/// A group as it is shown.
pub(super) struct GroupRow {
    pub(super) group: DeadGroup,
    pub(super) fingerprint: Fingerprint,
    pub(super) first_seen: Moment,
    pub(super) last_seen: Moment,
    /// What serves the job now failed for none of the runs.
    pub(super) is_newer_loaded: bool,
    /// Something serves the job, so that runs that are put back begin.
    pub(super) is_loaded: bool,
}

impl GroupRow {
    pub(super) fn new(group: DeadGroup, catalog: &Catalog, now: Timestamp) -> Self {
        let serving = catalog.serving(&group.job).map(|loaded| loaded.version);
        Self {
            fingerprint: Fingerprint(group.fingerprint),
            first_seen: Moment::new(group.first_seen, now),
            last_seen: Moment::new(group.last_seen, now),
            is_newer_loaded: serving.is_some_and(|version| !group.versions.contains(&version)),
            is_loaded: serving.is_some(),
            group,
        }
    }

    /// How many runs, in words.
    pub(super) fn runs(&self) -> String {
        runs(self.group.count)
    }
}

/// Where a page of groups begins: after the group that was last seen then. As text `1772355600000-00f0…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct GroupCursor(Reverse<Timestamp>, Fingerprint);

impl GroupCursor {
    fn of(group: &DeadGroup) -> Self {
        Self(Reverse(group.last_seen), Fingerprint(group.fingerprint))
    }
}

impl std::fmt::Display for GroupCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0.0.as_millis(), self.1)
    }
}

impl FromStr for GroupCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('-').and_then(|(at, group)| Some((at.parse().ok()?, group.parse().ok()?)));
        let (at, fingerprint) = parts.ok_or("this is no cursor of the dead letters; take the link \"Older\"")?;
        Ok(Self(Reverse(Timestamp::from_millis(at)), fingerprint))
    }
}

/// `GET /dead`.
pub(super) async fn show(
    State(context): State<Context>,
    visitor: Visitor,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let known = [&["job", "cursor"][..], &Report::PARAMETERS].concat();
    let parameters = parameters.only(&known)?;
    let (job, after) = (parameters.value::<JobId>("job")?, parameters.value::<GroupCursor>("cursor")?);
    let handle = &context.handle;
    let report = Report::told(&parameters, &context).await?;
    let mut groups = handle.query().dead_groups().await?;
    let jobs = groups.iter().map(|group| group.job.clone()).collect();
    groups.retain(|group| job.as_ref().is_none_or(|wanted| *wanted == group.job));
    groups.sort_by_key(GroupCursor::of);
    let (total, group_count) = (groups.iter().map(|group| group.count).sum(), groups.len());
    let begin = groups.partition_point(|group| after.is_some_and(|after| GroupCursor::of(group) <= after));
    let shown = &groups[begin..groups.len().min(begin + ITEMS)];
    let next = shown.last().filter(|_| begin + shown.len() < groups.len()).map(GroupCursor::of);
    let (catalog, now) = (handle.catalog(), handle.now());
    let name = job.as_ref().map(ToString::to_string);
    let address = |cursor: Option<GroupCursor>| {
        link("/dead", &[("job", name.clone()), ("cursor", cursor.map(|cursor| cursor.to_string()))])
    };
    let frame = Frame::of(&context, visitor, Section::Dead, "Dead letters").await?;
    frame::page(&DeadPage {
        frame: frame.telling(report.as_ref().map(Report::sentence)),
        report,
        groups: shown.iter().map(|group| GroupRow::new(group.clone(), &catalog, now)).collect(),
        jobs,
        job,
        total,
        group_count,
        newest: after.map(|_| address(None)),
        older: next.map(|next| address(Some(next))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = GroupCursor(Reverse(Timestamp::from_millis(1_772_355_600_000)), Fingerprint(0xf0));
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "1772355600000", "x-00000000000000f0", "1-f0"] {
            assert!(wrong.parse::<GroupCursor>().is_err(), "{wrong}");
        }
    }
}
