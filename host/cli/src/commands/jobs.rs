//! `jobmill jobs`: what is loaded, from which file, in which version, with which settings.
//! It loads nothing; the hopper does.

use std::fmt::Write as _;

use clap::Subcommand;
use comfy_table::{Cell, Color};
use jobmill_core::Backoff;

use super::Context;
use crate::api::{JobView, SettingView};
use crate::client::{Page, read};
use crate::failure::{Exit, Failure};
use crate::{machine, output};

/// The loaded jobs
#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// Jobs and files that could not be loaded
    List,
    /// One job with its settings and where each comes from
    Show {
        /// The job's id
        #[arg(value_name = "JOB")]
        job: String,
    },
}

impl Jobs {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List => list(context)?,
            Self::Show { job } => show(&job, context)?,
        }
        Ok(Exit::Done)
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let page: Page = context.client()?.get(&["jobs"], &[])?.read()?;
    let empty = "no job is loaded; put a .wasm into the hopper, or make one with `jobmill new NAME`";
    context.output.list(&page.items, page.next_cursor.as_deref(), empty, || {
        let jobs = page.items.iter().map(|item| read::<JobView>(item.get())).collect::<Result<Vec<_>, _>>()?;
        let mut text = output::table(
            &["JOB", "STATUS", "VERSION", "TRIGGERS", "RETRIES", "TITLE"],
            jobs.iter().map(row).collect(),
        );
        for job in &jobs {
            if let Some(error) = &job.error {
                let file = job.file.as_deref().unwrap_or_default();
                let _ = write!(text, "\n{file}: {}", output::visible(error));
            }
        }
        Ok(text)
    })
}

fn row(job: &JobView) -> Vec<Cell> {
    let triggers: Vec<String> = job.triggers.iter().map(ToString::to_string).collect();
    vec![
        Cell::new(job.id.as_deref().or(job.file.as_deref()).unwrap_or("–")),
        status_cell(job),
        Cell::new(job.version.as_deref().unwrap_or("–")),
        output::text_cell(&triggers.join(", ")),
        output::number_cell(job.retries.map_or_else(|| "–".to_owned(), |retries| retries.to_string())),
        output::text_cell(job.title.as_deref().unwrap_or_default()),
    ]
}

fn status_cell(job: &JobView) -> Cell {
    match (job.status.as_str(), &job.error) {
        ("loaded", None) => Cell::new("✓ loaded").fg(Color::Green),
        // The last good version serves on beside a newer file that is broken.
        ("loaded", Some(_)) => Cell::new("! loaded").fg(Color::Yellow),
        ("broken", _) => Cell::new("✗ broken").fg(Color::Red),
        (status, _) => Cell::new(format!("⊘ {status}")).fg(Color::DarkGrey),
    }
}

fn show(job: &str, context: &Context) -> Result<(), Failure> {
    let answer = context.client()?.get(&["jobs", job], &[])?;
    let job: JobView = answer.read()?;
    context.output.document(&answer.text, || described(&job))
}

fn described(job: &JobView) -> String {
    let now = machine::now();
    let joined = |words: Vec<String>| (!words.is_empty()).then(|| words.join("\n"));
    let setting = |name: &str| job.settings.as_ref().and_then(|settings| settings.get(name));
    output::pairs(&[
        ("job", job.id.clone()),
        ("title", job.title.as_deref().map(output::visible)),
        ("description", job.description.as_deref().map(output::visible)),
        ("status", Some(job.status.clone())),
        ("error", job.error.as_deref().map(output::visible)),
        ("broken since", job.broken_since.map(|since| output::exact(since, now))),
        ("version", job.version.clone()),
        ("file", job.file.clone()),
        ("loaded", job.loaded_at.map(|at| output::exact(at, now))),
        ("triggers", joined(job.triggers.iter().map(ToString::to_string).collect())),
        ("queue", setting("queue").map(with_source)),
        ("priority", setting("priority").map(with_source)),
        ("retries", setting("retries").map(with_source)),
        ("backoff", setting("backoff").map(|backoff| schedule(backoff, job.retries.unwrap_or_default()))),
        ("timeout", setting("timeout").map(with_source)),
        ("imports", joined(job.imports.clone())),
        ("example", job.payload_example.as_ref().map(|example| output::visible(example.get()))),
    ])
}

fn with_source(setting: &SettingView) -> String {
    let value = match &setting.value {
        serde_json::Value::String(text) => output::visible(text),
        other => other.to_string(),
    };
    format!("{value}  ({})", setting.source)
}

/// The delays themselves say more than their formula.
fn schedule(setting: &SettingView, retries: u32) -> String {
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
}
