//! The filters of the list of runs: read from an address or a form, and written back into addresses.
//! They choose nothing; the store does, by the `RunFilter` in here.

use std::fmt::Display;
use std::str::FromStr;

use jobmill_core::time::parse_duration;
use jobmill_core::{Run, RunState, Timestamp};
use jobmill_store::RunFilter;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::search::{self, Search, Term};
use crate::error::{Code, Problem};

/// The names of the filters in addresses and forms. What `q`, the search, says goes before the others.
pub(super) const NAMES: [&str; 10] =
    ["q", "state", "job", "queue", "event", "tag", "error", "since", "rerun_of", "payload"];

/// Which runs the list shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Filters {
    /// What the store is asked for.
    pub(super) filter: RunFilter,
    /// `since` as it was written: a time, or a span such as `1h` back from now.
    pub(super) since: String,
    /// The queue, which the store does not list runs by.
    queue: Option<String>,
    /// Members of the payload, of which the store knows nothing.
    payload: Vec<Term>,
}

impl Filters {
    /// Those that were given, by name.
    pub(super) fn read<'a>(given: impl Fn(&str) -> Option<&'a str>, now: Timestamp) -> Result<Self, Problem> {
        let refused = |name: &'static str| {
            move |reason: String| Problem::new(Code::InvalidParameter, format!("{name}: {reason}"))
        };
        let search = given("q").map_or_else(|| Ok(Search::default()), Search::read).map_err(refused("q"))?;
        let payload =
            given("payload").map_or_else(|| Ok(Search::default()), Search::read).map_err(refused("payload"))?;
        let given = |name: &str| search.get(name).or_else(|| given(name));
        let owned = |name: &str| given(name).map(str::to_owned);
        let filter = RunFilter {
            state: value("state", given("state"))?,
            job: value("job", given("job"))?,
            event: owned("event"),
            tag: owned("tag"),
            error: owned("error"),
            since: given("since").map(|text| since(text, now)).transpose()?,
            rerun_of: value("rerun_of", given("rerun_of"))?,
            ..RunFilter::default()
        };
        let mut terms = payload.payload;
        terms.extend(search.payload.iter().cloned());
        Ok(Self { filter, since: owned("since").unwrap_or_default(), queue: owned("queue"), payload: terms })
    }

    /// Whether every run is shown.
    pub(super) fn is_empty(&self) -> bool {
        self.filter == RunFilter::default() && !self.is_looked_for()
    }

    /// Whether runs have to be looked at one by one, as the store can't say which they are.
    pub(super) fn is_looked_for(&self) -> bool {
        self.queue.is_some() || !self.payload.is_empty()
    }

    /// Whether a run is one of those that are looked for.
    pub(super) fn finds(&self, run: &Run) -> bool {
        self.queue.as_ref().is_none_or(|queue| *queue == *run.head.queue)
            && self.payload.iter().all(|term| term.holds(&run.payload))
    }

    /// All but the state as the text of a search.
    pub(super) fn text(&self) -> String {
        let pairs = self.pairs_in(None);
        let members = pairs.iter().filter(|(name, _)| *name != "payload");
        search::written(members.map(|(name, value)| (*name, value.as_str())), &self.payload)
    }

    /// Names and values, with another state.
    fn pairs_in(&self, state: Option<RunState>) -> Vec<(&'static str, String)> {
        let filter = &self.filter;
        let pairs = [
            ("state", state.map(|state| state.to_string())),
            ("job", filter.job.as_ref().map(ToString::to_string)),
            ("queue", self.queue.clone()),
            ("event", filter.event.clone()),
            ("tag", filter.tag.clone()),
            ("error", filter.error.clone()),
            ("since", Some(self.since.clone()).filter(|text| !text.is_empty())),
            ("rerun_of", filter.rerun_of.map(|first| first.to_string())),
            ("payload", Some(search::written(std::iter::empty(), &self.payload)).filter(|text| !text.is_empty())),
        ];
        pairs.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
    }

    /// Names and values, for the hidden fields of a form.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        self.pairs_in(self.filter.state)
    }

    /// The same with `since` as the time that it is now, so that it does not move before a form is confirmed.
    pub(super) fn settled(mut self) -> Self {
        self.since = self.filter.since.map(|at| at.to_string()).unwrap_or_default();
        self
    }

    /// The list's address with these filters.
    pub(super) fn path(&self, more: &[(&'static str, String)]) -> String {
        address(self.pairs().iter().chain(more))
    }

    /// The list's address with these filters, but another state.
    pub(super) fn path_in(&self, state: Option<RunState>) -> String {
        address(self.pairs_in(state).iter())
    }
}

/// The list's address with these parameters.
fn address<'a>(pairs: impl Iterator<Item = &'a (&'static str, String)>) -> String {
    let query: Vec<String> =
        pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))).collect();
    if query.is_empty() { "/runs".to_owned() } else { format!("/runs?{}", query.join("&")) }
}

/// The list of runs with this tag.
pub(in crate::pages) fn path_of_tag(tag: &str) -> String {
    address([("tag", tag.to_owned())].iter())
}

fn value<T: FromStr<Err: Display>>(name: &str, given: Option<&str>) -> Result<Option<T>, Problem> {
    let read = given.map(str::parse).transpose();
    read.map_err(|error| Problem::new(Code::InvalidParameter, format!("{name}: {error}")))
}

fn since(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    if let Ok(span) = parse_duration(text) {
        return Ok(now.before(span).unwrap_or_default());
    }
    text.parse().map_err(|error| {
        let detail = format!("since: {error}, or a span back from now such as 1h");
        Problem::new(Code::InvalidParameter, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_772_355_600_000;

    fn read(pairs: &[(&str, &'static str)]) -> Result<Filters, Problem> {
        let given = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        Filters::read(given, Timestamp::from_millis(NOW))
    }

    #[test]
    fn an_address_says_every_filter_and_nothing_can_break_out_of_it() {
        let filters = read(&[("tag", "a&b=\"<c>"), ("state", "dead")]).expect("they fit");
        assert_eq!(filters.path(&[]), "/runs?state=dead&tag=a%26b%3D%22%3Cc%3E");
        assert_eq!(filters.path_in(None), "/runs?tag=a%26b%3D%22%3Cc%3E");
        assert_eq!(read(&[]).expect("none").path(&[]), "/runs");
    }

    #[test]
    fn a_search_says_the_same_as_the_addresses_that_are_made_of_it() {
        let filters = read(&[("q", "job:welcome-email queue:mail payload.a.b:\"x y\" timed out"), ("state", "dead")]);
        let filters = filters.expect("they fit");
        assert_eq!(
            filters.path(&[]),
            "/runs?state=dead&job=welcome%2Demail&queue=mail&error=timed%20out&payload=payload%2Ea%2Eb%3A%22x%20y%22"
        );
        let text = "job:welcome-email queue:mail error:\"timed out\" payload.a.b:\"x y\"";
        assert_eq!(filters.text(), text);
        let again = read(&[
            ("state", "dead"),
            ("payload", "payload.a.b:\"x y\""),
            ("q", "job:welcome-email queue:mail timed out"),
        ]);
        assert_eq!(again.expect("they fit"), filters);
        assert!(read(&[("q", "job:a")]).expect("fits").pairs() == [("job", "a".to_owned())]);
        assert!(read(&[("q", "colour:red")]).is_err() && !filters.is_empty() && filters.is_looked_for());
    }

    #[test]
    fn since_is_a_time_or_a_span_back_from_now_and_settles() {
        let hour = read(&[("since", "1h")]).expect("a span");
        assert_eq!(hour.filter.since, Some(Timestamp::from_millis(NOW - 3_600_000)));
        assert_eq!(hour.path(&[]), "/runs?since=1h");
        assert_eq!(hour.settled().since, "2026-03-01T08:00:00.000Z");
        let time = read(&[("since", "2026-03-01T08:00:00Z")]).expect("a time");
        assert_eq!(time.filter.since, Some(Timestamp::from_millis(NOW - 3_600_000)));
        let refused = read(&[("since", "yesterday")]).expect_err("neither");
        assert!(refused.detail().contains("such as 1h"), "{}", refused.detail());
    }
}
