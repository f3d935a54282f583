//! Which dead runs a request means: those of a job, of a group, or some that were selected.
//! It looks none of them up.

use std::fmt;
use std::str::FromStr;

use jobmill_core::{JobId, RunId, limits};
use jobmill_store::DeadFilter;

use crate::error::{Code, Problem};
use crate::pages::form::Posted;
use crate::query::Parameters;

/// The name of a group: 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fingerprint(pub(super) u64);

/// A text that names no group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a fingerprint; a fingerprint has 16 hex digits")]
pub(super) struct FingerprintError(String);

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| FingerprintError(limits::truncate(text, 80).to_owned()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which dead runs. Where runs are named, job and group only say where they were selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) job: Option<JobId>,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) ids: Vec<RunId>,
}

impl Target {
    /// The parameters that it is read from.
    pub(super) const PARAMETERS: [&str; 3] = ["job", "fingerprint", "ids"];

    /// What a page is asked about.
    pub(super) fn asked(parameters: &Parameters) -> Result<Self, Problem> {
        let ids = parameters.read("ids", run_ids)?.unwrap_or_default();
        Self { job: parameters.value("job")?, fingerprint: parameters.value("fingerprint")?, ids }.named()
    }

    /// What a form means: the one run whose button was pressed, or the runs that it carries, or their group or job.
    pub(super) fn posted(posted: &Posted) -> Result<Self, Problem> {
        let ids = match posted.value("only")? {
            Some(id) => vec![id],
            None => Self::selected(posted)?,
        };
        Self { job: posted.value("job")?, fingerprint: posted.value("fingerprint")?, ids }.named()
    }

    /// The runs that were selected in a list.
    pub(super) fn selected(posted: &Posted) -> Result<Vec<RunId>, Problem> {
        let ids: Vec<&str> = posted.all("id").collect();
        if ids.len() > limits::PAGE_ITEMS {
            let reason = format!("names more than {} runs; select fewer at once", limits::PAGE_ITEMS);
            return Err(Problem::invalid_member("/id", reason));
        }
        let read =
            |id: &str| id.parse().map_err(|error| Problem::invalid_member("/id", format!("is refused: {error}")));
        ids.into_iter().map(read).collect()
    }

    /// Nobody means every dead run by leaving something out.
    fn named(self) -> Result<Self, Problem> {
        if self.filter() == DeadFilter::default() {
            let detail = "nothing says which dead runs are meant; name a job, a group or runs";
            return Err(Problem::new(Code::EmptyFilter, detail));
        }
        Ok(self)
    }

    /// The same for the engine's doors.
    pub(super) fn filter(&self) -> DeadFilter {
        if self.ids.is_empty() {
            let fingerprint = self.fingerprint.map(|Fingerprint(number)| number);
            return DeadFilter { job: self.job.clone(), fingerprint, ids: None };
        }
        DeadFilter { ids: Some(self.ids.clone()), ..DeadFilter::default() }
    }

    /// The same as parameters: "job=welcome-email&fingerprint=…".
    pub(super) fn query(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.job.as_ref().map(|job| format!("job={job}")));
        parts.extend(self.fingerprint.map(|fingerprint| format!("fingerprint={fingerprint}")));
        if !self.ids.is_empty() {
            parts.push(format!("ids={}", listed(&self.ids)));
        }
        parts.join("&")
    }

    /// The page that it was named on.
    pub(super) fn origin(&self) -> String {
        match (self.fingerprint, &self.job) {
            (Some(fingerprint), Some(job)) => format!("/dead/{fingerprint}?job={job}"),
            (Some(fingerprint), None) => format!("/dead/{fingerprint}"),
            (None, Some(job)) => format!("/dead?job={job}"),
            (None, None) => "/dead".to_owned(),
        }
    }
}

/// Ids of runs with commas between them.
pub(super) fn run_ids(text: &str) -> Result<Vec<RunId>, String> {
    let ids: Vec<&str> = text.split(',').collect();
    if ids.len() > limits::PAGE_ITEMS {
        return Err(format!("more than {} runs; select fewer at once", limits::PAGE_ITEMS));
    }
    ids.into_iter().map(|id| id.parse::<RunId>().map_err(|error| error.to_string())).collect()
}

/// The same as text.
pub(super) fn listed(ids: &[RunId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_has_16_hex_digits() {
        let read: Fingerprint = "00f0000000000abc".parse().expect("16 digits");
        assert_eq!(read.to_string(), "00f0000000000abc");
        for wrong in ["", "abc", "+123456789abcdef", "00f0000000000abcd", "<b>0000000000abc"] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn runs_that_are_named_are_meant_wherever_they_were_selected() {
        let id: RunId = "run_01J00000000000000000000000".parse().expect("an id");
        let target = Target { job: "flaky".parse().ok(), fingerprint: Some(Fingerprint(7)), ids: vec![id] };
        assert_eq!(target.filter(), DeadFilter { ids: Some(vec![id]), ..DeadFilter::default() });
        assert_eq!(target.origin(), "/dead/0000000000000007?job=flaky");
        assert_eq!(target.query(), format!("job=flaky&fingerprint=0000000000000007&ids={id}"));
    }
}
