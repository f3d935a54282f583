//! `jobmill schedule`: which jobs start by themselves and when, and how to start one of them ahead of its time.
//! It sets no schedule: components and the configuration do.

use clap::Subcommand;
use comfy_table::Cell;
use jobmill_client::{Client, Schedule as Listed};
use jobmill_core::{JobId, Timestamp};

use super::Context;
use crate::failure::{Exit, Failure};
use crate::output::Column::{Extra, Text, Whole};
use crate::{machine, output};

/// Schedules
#[derive(Debug, Subcommand)]
pub(crate) enum Schedule {
    /// Every schedule in force, with its next time and its last run
    List,
    /// Enqueue a run now, as the job's schedule would; the schedule goes on as it was
    Trigger {
        /// The job's id
        #[arg(value_name = "JOB")]
        job: JobId,
    },
}

impl Schedule {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List => list(context)?,
            Self::Trigger { job } => trigger(&job, context)?,
        }
        Ok(Exit::Done)
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let page = context.client()?.schedules()?;
    let empty = "no loaded job has a schedule; give one `cron = [\"30 6 * * MON-FRI\"]` in [jobs.ID]";
    context.output.list(page.texts(), page.next_cursor(), empty, || Ok(table(&page.items()?, machine::now())))
}

fn table(schedules: &[Listed], now: Timestamp) -> String {
    let rows = schedules.iter().map(|schedule| {
        let next = schedule.next.first();
        vec![
            Cell::new(&schedule.job),
            output::text_cell(&schedule.cron),
            output::number_cell(next.map_or_else(|| "–".to_owned(), |next| output::relative(*next, now))),
            Cell::new(next.map_or_else(|| "–".to_owned(), ToString::to_string)),
            Cell::new(schedule.last_run.map_or_else(|| "–".to_owned(), |run| run.to_string())),
        ]
    });
    output::table(&[Text("JOB"), Text("CRON"), Whole("NEXT"), Extra("AT"), Whole("LAST RUN")], rows.collect())
}

fn trigger(job: &JobId, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let run = client.trigger_schedule(job.as_str()).map_err(|error| match error.code() {
        Some("wrong-state") => unscheduled(job, &client),
        _ => error.into(),
    })?;
    context.output.document(run.text(), || run.id.to_string())
}

/// The job is there and has no schedule; others may have one.
fn unscheduled(job: &JobId, client: &Client) -> Failure {
    match client.schedules().and_then(|page| page.items()) {
        Ok(listed) => without_schedule(job, &listed),
        Err(error) => error.into(),
    }
}

fn without_schedule(job: &JobId, listed: &[Listed]) -> Failure {
    let failure = Failure::not_found("no-schedule", format!("the job {job} has no schedule"));
    let failure = failure.advise(format!("`jobmill run {job}` enqueues a run of any job"));
    let mut jobs: Vec<&str> = listed.iter().map(|schedule| schedule.job.as_str()).collect();
    jobs.dedup();
    if jobs.is_empty() {
        return failure.advise("no loaded job has one");
    }
    failure.advise(format!("jobs with a schedule: {}", jobs.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Vec<Listed> {
        let view = |job: &str, cron: &str, next: &[&str], last_run: Option<&str>| {
            serde_json::from_value(serde_json::json!({ "job": job, "cron": cron, "next": next, "last_run": last_run }))
                .expect("a schedule")
        };
        vec![
            view(
                "report",
                "TZ=Europe/Berlin 30 6 * * *",
                &["2026-03-02T05:30:00.000Z"],
                Some("run_01J00000000000000000000000"),
            ),
            view("report", "@weekly", &[], None),
            view("tidy", "0 * * * *\u{1b}[2J", &["2026-03-01T10:00:00.000Z", "2026-03-01T11:00:00.000Z"], None),
        ]
    }

    #[test]
    fn a_schedule_is_shown_with_its_next_time_from_now_and_as_it_is() {
        let text = table(&listed(), "2026-03-01T09:30:00.000Z".parse().expect("a time"));
        let text = anstream::adapter::strip_str(&text).to_string();
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect()).collect();
        assert_eq!(
            lines,
            [
                vec!["JOB", "CRON", "NEXT", "AT", "LAST RUN"],
                vec![
                    "report",
                    "TZ=Europe/Berlin 30 6 * * *",
                    "in 20 h",
                    "2026-03-02T05:30:00.000Z",
                    "run_01J00000000000000000000000"
                ],
                vec!["report", "@weekly", "–", "–", "–"],
                vec!["tidy", "0 * * * *\\u{1b}[2J", "in 30 min", "2026-03-01T10:00:00.000Z", "–"],
            ]
        );
    }

    #[test]
    fn a_job_without_a_schedule_is_told_which_jobs_have_one() {
        let said = |listed: &[Listed]| {
            let job = "welcome-email".parse().expect("a job id");
            let Failure::Said(report) = without_schedule(&job, listed) else { panic!("it is said") };
            (report.exit, report.render())
        };
        let (exit, text) = said(&listed());
        assert_eq!(exit, Exit::NotFound);
        assert_eq!(
            text,
            "error[no-schedule]: the job welcome-email has no schedule\n  \
             `jobmill run welcome-email` enqueues a run of any job\n  jobs with a schedule: report, tidy"
        );
        assert!(said(&[]).1.ends_with("\n  no loaded job has one"));
    }
}
