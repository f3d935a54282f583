//! Follows a run to its end and tells its attempts as they fail.
//! It changes nothing: whoever stops following leaves the run to go on.

use std::time::Duration;

use jobmill_client::{Answer, Attempt, Client, Run};
use jobmill_core::{RunId, RunState, Timestamp};

use crate::failure::{Exit, Failure};
use crate::machine;
use crate::output::{self, Output};
use crate::words;

use owo_colors::OwoColorize as _;

/// The first look comes soon, since most runs take milliseconds; later ones ever less often.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Nobody at a terminal notices less.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// What has been told of a run.
#[derive(Default)]
struct Told {
    attempts: usize,
    waiting: Option<Waiting>,
}

/// What a run waits for, as long as it is the same.
struct Waiting {
    kind: String,
    since: Timestamp,
    told: bool,
}

/// A run that waits no longer than this is not said to wait.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// Follows the run until it is final or the time is up. The answer is the run's last document.
pub(crate) fn follow(
    client: &Client,
    output: Output,
    id: RunId,
    until: Option<Timestamp>,
) -> Result<(Answer<Run>, Exit), Failure> {
    let mut told = Told::default();
    let mut pause = FIRST_PAUSE;
    loop {
        let run = client.run(id).map_err(|error| still_on_disk(error.into(), id))?;
        told.tell(&run, output);
        let now = machine::now();
        if run.state.is_final() {
            let exit = tell_end(&run, output);
            return Ok((run, exit));
        }
        if until.is_some_and(|until| until <= now) {
            output.note(&format!("· still {}; see `jobmill runs show {id}`", output::state_text(run.state)));
            return Ok((run, Exit::StillGoing));
        }
        let left = until.map_or(LONGEST_PAUSE, |until| until.since(now));
        machine::pause(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn still_on_disk(failure: Failure, id: RunId) -> Failure {
    if failure.exit() == Exit::Unreachable {
        failure.advise(format!("the run is on disk and goes on when the server is back: jobmill runs show {id}"))
    } else {
        failure
    }
}

impl Told {
    fn tell(&mut self, run: &Run, output: Output) {
        let ended = run.attempts.iter().take_while(|attempt| attempt.finished_at.is_some()).count();
        for attempt in run.attempts.iter().take(ended).skip(self.attempts) {
            for line in attempt_lines(attempt, run.max_attempts) {
                output.note(&line);
            }
        }
        self.attempts = ended;
        if let Some(detail) = self.wait_to_tell(run, machine::now()) {
            output.note(&format!("· waits: {detail}"));
        }
    }

    /// What the run has been waiting for long enough, told once. The next attempt's delay is told with the attempt.
    fn wait_to_tell(&mut self, run: &Run, now: Timestamp) -> Option<String> {
        let Some(wait) = run.waiting_for.as_ref().filter(|it| it.kind != "due") else {
            self.waiting = None;
            return None;
        };
        // Who holds a limit changes all the time; that there is one is the same news.
        if self.waiting.as_ref().is_none_or(|waiting| waiting.kind != wait.kind) {
            self.waiting = Some(Waiting { kind: wait.kind.clone(), since: now, told: false });
            return None;
        }
        let waiting = self.waiting.as_mut().filter(|it| !it.told && now.since(it.since) >= WORTH_TELLING)?;
        waiting.told = true;
        Some(words::waiting(wait, now))
    }
}

/// What is told of an attempt that has ended: nothing when the run ends with it.
fn attempt_lines(attempt: &Attempt, max_attempts: u32) -> Vec<String> {
    let mut lines = Vec::new();
    let number = attempt.number;
    match &attempt.error {
        Some(error) => lines.push(format!(
            "{} attempt {number} of {max_attempts}  {}: {}",
            "✗".red(),
            error.kind,
            output::first_line(&error.message)
        )),
        None if attempt.next_at.is_some() => {
            let outcome = attempt.outcome.as_deref().unwrap_or("ended");
            lines.push(format!("· attempt {number} of {max_attempts} {outcome}"));
        }
        None => {}
    }
    if let (Some(next), Some(ended), true) = (attempt.next_at, attempt.finished_at, attempt.error.is_some()) {
        lines.push(format!("· attempt {} of {max_attempts} in {}", number + 1, output::span(next.since(ended))));
    }
    lines
}

/// The last line, and how the command ends.
fn tell_end(run: &Run, output: Output) -> Exit {
    let began = run.attempts.first().map_or(run.enqueued_at, |attempt| attempt.started_at);
    let took = output::span(run.finished_at.map_or(Duration::ZERO, |end| end.since(began)));
    match run.state {
        RunState::Completed => {
            output.note(&format!("{} completed in {took}", "✓".green()));
            Exit::Done
        }
        RunState::Cancelled => {
            let reason = run.cancel_reason.as_deref().map(output::first_line).unwrap_or_default();
            output.note(&format!("{} cancelled: {reason}", "⊘".bright_black()));
            Exit::EndedBadly
        }
        _ => {
            let attempts = output::count(run.attempts.len(), "attempt");
            output.note(&format!("{} dead after {attempts} in {took}; see `jobmill runs show {}`", "✗".red(), run.id));
            Exit::EndedBadly
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(error: Option<&str>, next_after: Option<u64>) -> Attempt {
        let at = Timestamp::from_millis;
        serde_json::from_value(serde_json::json!({
            "number": 1, "version": "3fa9c1d07b21", "started_at": at(1_000), "finished_at": at(2_000),
            "outcome": "failed", "error": error.map(|message| serde_json::json!({ "kind": "transient", "message": message })),
            "next_at": next_after.map(|millis| at(2_000 + millis)),
        }))
        .expect("an attempt")
    }

    fn plain(lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn a_failed_attempt_is_told_with_the_next_one() {
        let lines = plain(&attempt_lines(&attempt(Some("mail server closed the connection"), Some(1_000)), 4));
        let told = ["✗ attempt 1 of 4  transient: mail server closed the connection", "· attempt 2 of 4 in 1.0 s"];
        assert_eq!(lines, told);
    }

    #[test]
    fn a_wait_is_told_once_and_only_when_it_lasts() {
        let run: Run = serde_json::from_str(
            r#"{"id": "run_01J00000000000000000000000", "job": "a", "version": null, "queue": "default", "priority": 5,
                "state": "available", "payload": {}, "output": null, "attempt": 0, "max_attempts": 1,
                "enqueued_at": "2026-03-01T09:00:00.000Z", "scheduled_at": "2026-03-01T09:00:00.000Z",
                "started_at": null, "finished_at": null, "event_id": null, "unique_key": null, "rerun_of": null,
                "cancel_reason": null,
                "waiting_for": {"kind": "no-component", "detail": "no component", "until": null, "position": null}}"#,
        )
        .expect("a run");
        let mut told = Told::default();
        let at = |millis| Timestamp::from_millis(millis);
        assert_eq!(told.wait_to_tell(&run, at(0)), None);
        assert_eq!(told.wait_to_tell(&run, at(999)), None);
        assert_eq!(told.wait_to_tell(&run, at(1_000)).as_deref(), Some("no component"));
        assert_eq!(told.wait_to_tell(&run, at(5_000)), None);
    }

    #[test]
    fn the_attempt_that_completes_a_run_is_told_by_the_last_line_alone() {
        assert!(attempt_lines(&attempt(None, None), 4).is_empty());
    }
}
