//! `jobmill jobs`: what is loaded, from which file, in which version, with which settings.
//! It pauses them and lets them go on. It loads nothing; the hopper does.

use std::fmt::Write as _;

use clap::Subcommand;
use comfy_table::{Cell, Color};
use jobmill_client::{Answer, Breaker, Job, Setting};
use jobmill_core::{Backoff, JobId, Timestamp};

use super::{Context, flow_settings, job_versions, sandbox_lines};
use crate::failure::{Exit, Failure};
use crate::output::Column::{Extra, Text, Whole};
use crate::watch::Watch;
use crate::{machine, operator, output, words};

/// The loaded jobs
#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// Jobs and files that could not be loaded
    List {
        #[command(flatten)]
        watch: Watch,
    },
    /// One job with its settings and where each comes from
    Show {
        /// The job's id
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Versions of a job that were loaded, and what changed from one to the next
    Versions {
        /// The job's id
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Let none of its runs begin; those under way go on
    Pause {
        /// The job's id
        #[arg(value_name = "JOB")]
        job: JobId,
    },
    /// Let a job go on that was paused, by somebody or by its breaker
    Resume {
        /// The job's id
        #[arg(value_name = "JOB")]
        job: JobId,
    },
    /// Let an earlier version of a job serve, and hold the job to it
    Rollback {
        /// The job's id
        #[arg(value_name = "JOB")]
        job: JobId,
        /// The first digits of the version; the one that served before if left out
        #[arg(value_name = "VERSION")]
        to: Option<String>,
        /// Why, for those who ask later
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let a job's newest version serve again
    Unpin {
        /// The job's id
        #[arg(value_name = "JOB")]
        job: JobId,
    },
}

impl Jobs {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List { watch } => list(watch, context)?,
            Self::Show { job } => show(&job, context)?,
            Self::Versions { job } => job_versions::list(&job, context)?,
            Self::Pause { job } => {
                changed(&job, &context.client()?.pause_job(job.as_str(), &operator::name())?, context)?;
            }
            Self::Resume { job } => {
                changed(&job, &context.client()?.resume_job(job.as_str(), &operator::name())?, context)?;
            }
            Self::Rollback { job, to, reason } => {
                let (to, reason) = (to.as_deref(), reason.as_deref());
                let answer = context.client()?.roll_back_job(job.as_str(), to, reason, &operator::name())?;
                serves(&job, &answer, context)?;
            }
            Self::Unpin { job } => {
                serves(&job, &context.client()?.unpin_job(job.as_str(), &operator::name())?, context)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn list(watch: Watch, context: &Context) -> Result<(), Failure> {
    let empty = "no job is loaded; put a .wasm into the hopper, or make one with `jobmill new NAME`";
    watch.show(context, empty, |client| Ok(client.jobs()?.into()), table)
}

fn table(jobs: &[Job]) -> String {
    let columns = [Text("JOB"), Whole("STATUS"), Whole("VERSION"), Text("TRIGGERS"), Extra("RETRIES"), Text("TITLE")];
    let mut text = output::table(&columns, jobs.iter().map(row).collect());
    for job in jobs {
        if let Some(error) = &job.error {
            let file = job.file.as_deref().unwrap_or_default();
            let _ = write!(text, "\n{file}: {}", output::visible(error));
        }
    }
    text
}

fn row(job: &Job) -> Vec<Cell> {
    let triggers: Vec<String> = job.triggers.iter().map(ToString::to_string).collect();
    vec![
        Cell::new(job.id.as_ref().map(JobId::as_str).or(job.file.as_deref()).unwrap_or("–")),
        status_cell(job),
        Cell::new(job.version.as_deref().unwrap_or("–")),
        output::text_cell(&triggers.join(", ")),
        output::number_cell(job.retries.map_or_else(|| "–".to_owned(), |retries| retries.to_string())),
        output::text_cell(job.title.as_deref().unwrap_or_default()),
    ]
}

fn status_cell(job: &Job) -> Cell {
    match (job.status.as_str(), &job.error) {
        _ if job.pause.paused => Cell::new("‖ paused").fg(Color::Yellow),
        _ if job.breaker.as_ref().is_some_and(|breaker| breaker.state != "closed") => {
            Cell::new("‖ breaker").fg(Color::Yellow)
        }
        ("loaded", None) => Cell::new("✓ loaded").fg(Color::Green),
        // The last good version serves on beside a newer file that is broken.
        ("loaded", Some(_)) => Cell::new("! loaded").fg(Color::Yellow),
        ("broken", _) => Cell::new("✗ broken").fg(Color::Red),
        (status, _) => Cell::new(format!("⊘ {status}")).fg(Color::DarkGrey),
    }
}

fn show(job: &str, context: &Context) -> Result<(), Failure> {
    let job = context.client()?.job(job)?;
    context.output.document(job.text(), || described(&job, machine::now()))
}

fn changed(job: &JobId, answer: &Answer<Job>, context: &Context) -> Result<(), Failure> {
    let status = words::pause(&answer.pause, machine::now()).unwrap_or_else(|| answer.status.clone());
    context.output.document(answer.text(), || format!("{job} is {status}"))
}

fn serves(job: &JobId, answer: &Answer<Job>, context: &Context) -> Result<(), Failure> {
    context.output.document(answer.text(), || {
        let version = answer.version.as_deref().unwrap_or("nothing");
        match &answer.pinned {
            Some(_) => format!("{job} serves {version} until `jobmill jobs unpin {job}`"),
            None => format!("{job} serves {version}, the newest"),
        }
    })
}

/// What the job is held to, and what waits because of it.
fn pinned_words(job: &Job, now: Timestamp) -> Option<String> {
    let pin = job.pinned.as_ref()?;
    let mut text = format!("to {}, {} by {}", pin.version, output::relative(pin.at, now), output::visible(&pin.by));
    if let Some(reason) = &pin.reason {
        let _ = write!(text, "\nbecause {}", output::visible(reason));
    }
    if let Some(waits) = &job.waits {
        let _ = write!(text, "\n{waits} in the hopper waits");
    }
    Some(text)
}

fn described(job: &Job, now: Timestamp) -> String {
    let joined = |words: Vec<String>| (!words.is_empty()).then(|| words.join("\n"));
    let setting = |name: &str| job.settings.as_ref().and_then(|settings| settings.get(name));
    let mut pairs = vec![
        ("job", job.id.as_ref().map(ToString::to_string)),
        ("title", job.title.as_deref().map(output::visible)),
        ("description", job.description.as_deref().map(output::visible)),
        ("status", Some(status_words(job, now))),
        ("error", job.error.as_deref().map(output::visible)),
        ("broken since", job.broken_since.map(|since| output::exact(since, now))),
        ("version", job.version.clone()),
        ("pinned", pinned_words(job, now)),
        ("file", job.file.clone()),
        ("loaded", job.loaded_at.map(|at| output::exact(at, now))),
        ("triggers", joined(job.triggers.iter().map(ToString::to_string).collect())),
        ("queue", setting("queue").map(with_source)),
        ("priority", setting("priority").map(with_source)),
        ("retries", setting("retries").map(with_source)),
        ("backoff", setting("backoff").map(|backoff| schedule(backoff, job.retries.unwrap_or_default()))),
        ("timeout", setting("timeout").map(with_source)),
    ];
    pairs.extend(job.settings.iter().flat_map(flow_settings::lines));
    pairs.push((
        "limits",
        sandbox_lines::limits(|limit| {
            let setting = job.limits.as_ref()?.get(limit.name())?;
            Some((setting.value.as_u64()?, setting.source.clone()))
        }),
    ));
    let capabilities = job.capabilities.iter();
    pairs.push((
        "may reach",
        sandbox_lines::reach(
            capabilities.map(|capability| {
                (capability.what.as_str(), capability.allowed.as_str(), capability.detail.as_deref())
            }),
        ),
    ));
    pairs.push(("imports", joined(job.imports.clone())));
    pairs.push(("example", job.payload_example.as_ref().map(|example| output::visible(example.as_str()))));
    output::pairs(&pairs)
}

/// What is loaded, and what keeps its runs from beginning, a line each.
fn status_words(job: &Job, now: Timestamp) -> String {
    let breaker = job.breaker.as_ref().map(|breaker| breaker_words(breaker, now));
    [Some(job.status.clone()), words::pause(&job.pause, now), breaker]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("\n")
}

fn breaker_words(breaker: &Breaker, now: Timestamp) -> String {
    match (breaker.state.as_str(), breaker.until.filter(|until| *until > now)) {
        ("open", until) => {
            let tried = until.map_or_else(|| "now".to_owned(), |until| output::relative(until, now));
            format!("breaker open: too many attempts failed; the next is tried {tried}")
        }
        ("trying", _) => "breaker open: one run is tried, and the others wait for how it ends".to_owned(),
        (state, _) => format!("breaker {state}"),
    }
}

fn with_source(setting: &Setting) -> String {
    let value = match &setting.value {
        serde_json::Value::String(text) => output::visible(text),
        other => other.to_string(),
    };
    format!("{value}  ({})", setting.source)
}

/// The delays themselves say more than their formula.
fn schedule(setting: &Setting, retries: u32) -> String {
    match serde_json::from_value::<Backoff>(setting.value.clone()) {
        Ok(backoff) => format!("{}  ({})", delays(&backoff, retries), setting.source),
        Err(_) => with_source(setting),
    }
}

/// The delays before the retries: `1 s, 2 s, 4 s, gives up after 7 s`.
pub(crate) fn delays(backoff: &Backoff, retries: u32) -> String {
    /// More than these are no longer read.
    const SHOWN: u32 = 8;
    if retries == 0 {
        return "no retry".to_owned();
    }
    let delay = |retry| backoff.delay(retry, 1.0);
    let mut words: Vec<String> = (0..retries.min(SHOWN)).map(|retry| whole(delay(retry))).collect();
    if retries > SHOWN {
        words.push("…".to_owned());
    }
    let all = (0..retries).map(delay).fold(std::time::Duration::ZERO, std::time::Duration::saturating_add);
    format!("{}, gives up after {}", words.join(", "), whole(all))
}

/// `1 s` rather than `1.0 s`: these are settings, not measurements.
fn whole(span: std::time::Duration) -> String {
    output::span(span).replace(".0 s", " s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_shown_as_delays() {
        assert_eq!(delays(&Backoff::default(), 3), "1 s, 2 s, 4 s, gives up after 7 s");
        assert_eq!(delays(&Backoff::default(), 0), "no retry");
        assert!(delays(&Backoff::default(), 20).contains("2 min 8 s, …, gives up after "));
    }

    #[test]
    fn a_job_is_shown_with_the_limits_that_somebody_set() {
        let job: Job = serde_json::from_value(serde_json::json!({
            "id": "ship", "status": "loaded",
            "settings": {
                "retries": { "value": 3, "source": "default" },
                "concurrency": { "value": [{ "limit": 2, "key": "/id" }], "source": "component" },
                "rate_limit": { "value": null, "source": "configuration" },
                "expires": { "value": null, "source": "default" },
            },
        }))
        .expect("a job");
        let text = anstream::adapter::strip_str(&described(&job, machine::now())).to_string();
        assert!(text.contains("concurrency  2 at once for each /id  (component)\n"), "{text}");
        assert!(text.contains("rate limit   off  (configuration)"), "{text}");
        assert!(text.contains("retries      3  (default)\n") && !text.contains("expires"), "{text}");
    }

    #[test]
    fn a_paused_job_is_shown_with_who_paused_it_and_how_its_breaker_stands() {
        let job: Job = serde_json::from_value(serde_json::json!({
            "id": "ship", "status": "loaded",
            "paused": true, "paused_by": "anna@shop-1", "paused_at": "2026-03-01T09:00:00.000Z",
            "breaker": { "state": "open", "until": "2026-03-01T09:05:23.000Z" },
        }))
        .expect("a job");
        let now = "2026-03-01T09:05:00.000Z".parse().expect("a time");
        let text = anstream::adapter::strip_str(&described(&job, now)).to_string();
        let status = "status  loaded\n        paused by anna@shop-1, 5 min ago\n        \
                      breaker open: too many attempts failed; the next is tried in 23.0 s";
        assert!(text.contains(status), "{text}");
        assert_eq!(row(&job)[1].content(), "‖ paused");
    }
}
