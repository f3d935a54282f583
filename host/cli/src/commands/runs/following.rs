//! `jobmill runs list --watch`: the list once, and then a line for each change of a run as it happens.
//! The stream says which runs changed; what is shown of them is asked for.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jobmill_client::{Answer, Change, Client, Error, EventId, Run};
use jobmill_core::{RunId, RunState, Timestamp, limits};
use owo_colors::OwoColorize as _;

use super::{Context, Filter, List, look};
use crate::failure::Failure;
use crate::watch::Stream;
use crate::{machine, output};

/// Runs of which is remembered how they stood when they were shown.
const REMEMBERED: usize = 10_000;

pub(super) fn follow(list: &List, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let mut stream = Stream::open(context)?;
    let newest = || client.runs(&list.filter.asked(), limits::PAGE_ITEMS);
    // Before the list is shown: from then on a server may go away without an end of this.
    let mut shown = Shown::of(&newest()?.items()?);
    look::list_once(&client, list, context)?;
    loop {
        match stream.wait()? {
            Change::Runs(changed) => {
                let of_job = changed.iter().filter(|run| list.filter.job.as_ref().is_none_or(|job| *job == run.job));
                for changed in of_job {
                    match stream.patiently(|client| meant(client, &list.filter, changed.id))? {
                        Some(run) if shown.is_news(&run) => tell(&run, run.text(), context)?,
                        _ => {}
                    }
                }
            }
            // Other jobs are no news of runs.
            Change::Catalog => {}
            _ => {
                let page = stream.patiently(|_| Ok(newest()?))?;
                for (run, text) in page.items()?.iter().zip(page.texts()).rev() {
                    if !shown.is_from_before(run.id) && shown.is_news(run) {
                        tell(run, text.get(), context)?;
                    }
                }
            }
        }
    }
}

fn tell(run: &Run, text: &str, context: &Context) -> Result<(), Failure> {
    context.output.document(text, || line(run, machine::now()))
}

/// The run if the filter names it; none where it is not kept any more.
fn meant(client: &Client, filter: &Filter, id: RunId) -> Result<Option<Answer<Run>>, Failure> {
    let Some(run) = unless_gone(client.run(id))? else { return Ok(None) };
    let is_meant = is_named(filter, &run) && is_started_by(filter.event.as_deref(), run.event_id.as_ref(), client)?;
    Ok(is_meant.then_some(run))
}

fn unless_gone<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Err(Error::Refused { status: 404, .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Whether the filter names the run, but for the event.
fn is_named(filter: &Filter, run: &Run) -> bool {
    let contains = |text: &str| {
        let error = run.last_error().map(|error| error.message.to_lowercase());
        error.is_some_and(|error| error.contains(&text.to_lowercase()))
    };
    filter.state.is_none_or(|state| state == run.state)
        && filter.job.as_ref().is_none_or(|job| *job == run.job)
        && filter.tag.as_ref().is_none_or(|tag| run.tags.contains(tag))
        && filter.error.as_deref().is_none_or(contains)
        && filter.since.is_none_or(|since| run.enqueued_at >= since)
        && filter.rerun_of.is_none_or(|repeated| run.rerun_of == Some(repeated))
}

/// A run knows its event by the id alone; the name is asked for.
fn is_started_by(wanted: Option<&str>, event: Option<&EventId>, client: &Client) -> Result<bool, Failure> {
    let Some(wanted) = wanted else { return Ok(true) };
    let Some(event) = event else { return Ok(false) };
    if event.as_str() == wanted {
        return Ok(true);
    }
    Ok(unless_gone(client.event(event))?.is_some_and(|event| event.name == wanted))
}

/// How runs stood when they were shown last.
#[derive(Default)]
struct Shown {
    runs: HashMap<RunId, (RunState, u32, Timestamp)>,
    order: VecDeque<RunId>,
    /// The oldest of the newest ones when all began; what is older was never looked at.
    oldest: Option<RunId>,
}

impl Shown {
    /// The newest runs, as they stand when all begins.
    fn of(newest: &[Run]) -> Self {
        let oldest = newest.last().filter(|_| newest.len() >= limits::PAGE_ITEMS).map(|run| run.id);
        let mut shown = Self { oldest, ..Self::default() };
        for run in newest {
            shown.is_news(run);
        }
        shown
    }

    /// Whether nobody knows how the run stood.
    fn is_from_before(&self, id: RunId) -> bool {
        self.oldest.is_some_and(|oldest| id < oldest) && !self.runs.contains_key(&id)
    }

    /// Whether the run stands otherwise than it did; it is remembered.
    fn is_news(&mut self, run: &Run) -> bool {
        let stands = (run.state, run.attempt, run.scheduled_at);
        if let Some(before) = self.runs.insert(run.id, stands) {
            return before != stands;
        }
        self.order.push_back(run.id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.runs.remove(&oldest);
        }
        true
    }
}

/// One change: when, what, of which run, and what follows.
fn line(run: &Run, now: Timestamp) -> String {
    let error = || run.last_error().map(|error| format!("{}: {}", error.kind, output::first_line(&error.message)));
    let next = format!("attempt {} of {}", run.attempt + 1, run.max_attempts);
    let what = match run.state {
        RunState::Running => format!("attempt {} of {}", run.attempt, run.max_attempts),
        RunState::Completed => {
            let began = run.attempts.first().map_or(run.enqueued_at, |attempt| attempt.started_at);
            format!("in {}", output::span(run.finished_at.map_or(Duration::ZERO, |end| end.since(began))))
        }
        RunState::Retryable => {
            format!("{}; {next} {}", error().unwrap_or_default(), output::relative(run.scheduled_at, now))
        }
        RunState::Scheduled => format!("{next} {}", output::relative(run.scheduled_at, now)),
        RunState::Cancelled => run.cancel_reason.as_deref().map(output::first_line).unwrap_or_default(),
        RunState::Dead => error().unwrap_or_default(),
        RunState::Available => String::new(),
    };
    let at = now.to_string();
    let time = at.get(11..19).unwrap_or(&at);
    let text = format!("{}  {}  {}  {}  {what}", time.dimmed(), run.id, output::state_text(run.state), run.job);
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Command, CommandLine};
    use crate::commands::runs::Runs;

    fn run(state: &str, attempt: u32) -> Run {
        serde_json::from_value(serde_json::json!({
            "id": "run_01J00000000000000000000000", "job": "welcome-email", "version": "3fa9c1d07b21", "queue": "default",
            "state": state, "priority": 5, "payload": {}, "output": null, "attempt": attempt, "max_attempts": 3,
            "enqueued_at": "2026-03-01T09:00:00.000Z", "scheduled_at": "2026-03-01T09:00:05.000Z", "started_at": null,
            "finished_at": "2026-03-01T09:00:02.000Z", "event_id": null, "tags": ["vip"], "unique_key": null,
            "rerun_of": null, "cancel_reason": null, "waiting_for": null,
            "attempts": [{ "number": attempt, "version": "3fa9c1d07b21", "started_at": "2026-03-01T09:00:01.000Z",
                "finished_at": "2026-03-01T09:00:02.000Z", "outcome": "failed", "next_at": null,
                "error": { "kind": "transient", "message": "The mail server\nis away", "trace": null } }],
        }))
        .expect("a run")
    }

    fn filter(words: &[&str]) -> Filter {
        let line = CommandLine::try_parse_from([&["jobmill", "runs", "list"][..], words].concat()).expect("parses");
        match line.command {
            Some(Command::Runs(Runs::List(list))) => list.filter,
            other => panic!("no list: {other:?}"),
        }
    }

    #[test]
    fn a_change_is_one_line() {
        let told = |run: &Run| {
            let now = "2026-03-01T09:00:03.000Z".parse().expect("a time");
            anstream::adapter::strip_str(&line(run, now)).to_string()
        };
        let head = "09:00:03  run_01J00000000000000000000000";
        assert_eq!(told(&run("available", 0)), format!("{head}  ○ available  welcome-email"));
        assert_eq!(told(&run("running", 1)), format!("{head}  ● running  welcome-email  attempt 1 of 3"));
        assert_eq!(told(&run("completed", 1)), format!("{head}  ✓ completed  welcome-email  in 1.0 s"));
        let retryable =
            format!("{head}  ↻ retryable  welcome-email  transient: The mail server; attempt 2 of 3 in 2.0 s");
        assert_eq!(told(&run("retryable", 1)), retryable);
        assert_eq!(told(&run("dead", 3)), format!("{head}  ✗ dead  welcome-email  transient: The mail server"));
    }

    #[test]
    fn a_run_that_stands_as_it_did_is_no_news() {
        let mut shown = Shown::default();
        let news = [("running", 1), ("running", 1), ("retryable", 1), ("running", 2)];
        assert_eq!(news.map(|(state, attempt)| shown.is_news(&run(state, attempt))), [true, false, true, true]);
    }

    #[test]
    fn a_filter_names_the_same_runs_as_on_the_server() {
        for (words, is_meant) in [
            (vec![], true),
            (vec!["--state", "dead", "--job", "welcome-email", "--tag", "vip"], true),
            (vec!["--error", "MAIL server"], true),
            (vec!["--since", "2026-03-01T09:00:00Z"], true),
            (vec!["--state", "completed"], false),
            (vec!["--job", "other"], false),
            (vec!["--tag", "vi"], false),
            (vec!["--error", "order"], false),
            (vec!["--since", "2026-03-01T09:00:01Z"], false),
        ] {
            assert_eq!(is_named(&filter(&words), &run("dead", 3)), is_meant, "{words:?}");
        }
    }
}
