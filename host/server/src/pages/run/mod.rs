//! The page of a run: what is happening with it, its attempts over time, what it was given and gave, and what can be done.
//! What is done is in `actions` and `edit`; the journal as a table is in `journal`.

mod actions;
mod edit;
mod journal;
mod relatives;
mod sentence;
mod trial;
mod versions;
mod waterfall;

pub(super) use actions::cancel_reason;
pub(super) use sentence::span;

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use jobmill_core::journal::{LogLevel, LogLine};
use jobmill_core::mail::DoubtfulMail;
use jobmill_core::time::format_duration;
use jobmill_core::{AttemptError, Entry, EntryKind, JobId, Run, RunHead, RunId, RunState, Timestamp, limits};
use jobmill_engine::{Handle, WaitingFor};
use jobmill_store::{AuditFilter, MailFilter, MailSummary, RunRecord};

use self::relatives::{Relatives, relatives};
use self::sentence::sentence;
use self::versions::{Replacement, replacements};
use self::waterfall::{Look, WIDTH, Waterfall, mail_class, waterfall};
use crate::Context;
use crate::action::Action;
use crate::error::Problem;
use crate::pages::frame::{Frame, Section, page_with};
use crate::pages::links::link;
use crate::pages::runs::path_of_tag;
use crate::pages::visitor::Visitor;
use crate::pages::words::{Moment, icon, shell_quoted};
use crate::path::Id;
use crate::query::Parameters;
use crate::routes::{Routes, Rule};

/// Errors that the page shows whole, the newest; the journal has all.
const ERRORS: usize = 20;
/// Bytes of a payload up to which it is written into a command.
const COMMAND_PAYLOAD_BYTES: usize = 4 * 1024;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/runs/{id}", Rule::READ, show)
        .get("/runs/{id}/journal", Rule::READ, journal::show)
        .get("/runs/{id}/edit", Rule::READ, edit::show)
        .post("/runs/{id}/rerun", Rule::OPERATE, edit::rerun)
        .does(Action::RunsRerun)
        .post("/runs/{id}/retry", Rule::OPERATE, actions::retry)
        .does(Action::RunsRetry)
        .post("/runs/{id}/trial", Rule::OPERATE, trial::show)
        .does(Action::RunsTrial)
        .post("/runs/{id}/cancel", Rule::OPERATE, actions::cancel)
        .does(Action::RunsCancel)
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    run: Run,
    state: RunState,
    sentence: String,
    times: Vec<(&'static str, Moment)>,
    waterfall: Waterfall,
    /// Where one version of the job took the place of another.
    replacements: Vec<Replacement>,
    /// The newest first: attempt, when, what.
    errors: Vec<(u32, Moment, AttemptError)>,
    log: Log,
    /// With the class of its status.
    mails: Vec<(MailSummary, &'static str, Moment)>,
    doubtful: Vec<DoubtfulMail>,
    relatives: Relatives,
    /// To what operators did to it, for whoever may see that and where there is any.
    audited: Option<String>,
    curl: String,
    command: String,
}

/// What the job logged.
#[derive(Default)]
struct Log {
    /// With the attempt that wrote it.
    lines: Vec<(u32, LogLine)>,
    /// Lines that its budget had no room for.
    dropped: u64,
}

/// What is shown in place of a run that is not there.
#[derive(Template)]
#[template(path = "run_gone.html")]
struct GonePage {
    frame: Frame,
    detail: String,
    /// How long final runs are kept, by state.
    kept: Vec<(RunState, String)>,
}

/// `GET /runs/{id}`.
async fn show(
    State(context): State<Context>,
    visitor: Visitor,
    id: Result<Id<RunId>, Problem>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters = parameters.only(&["done"])?;
    let told = parameters.read("done", actions::told)?.map(str::to_owned);
    match find(&context, id).await? {
        Ok(record) => render(&context, visitor, record, &headers, (StatusCode::OK, told)).await,
        Err(detail) => gone(&context, visitor, detail).await,
    }
}

/// The run, or why there is none.
async fn find(context: &Context, id: Result<Id<RunId>, Problem>) -> Result<Result<RunRecord, String>, Problem> {
    let id = match id {
        Ok(Id(id)) => id,
        Err(problem) => return Ok(Err(problem.detail().to_owned())),
    };
    Ok(context.handle.query().run(id).await?.ok_or_else(|| format!("there is no run {id}")))
}

/// A page that says where a run may have gone.
async fn gone(context: &Context, visitor: Visitor, detail: String) -> Result<Response, Problem> {
    let retention = context.handle.retention();
    let ages = [
        (RunState::Completed, retention.completed),
        (RunState::Cancelled, retention.cancelled),
        (RunState::Dead, retention.dead),
    ];
    let words = |age: Option<std::time::Duration>| age.map_or_else(|| "for ever".to_owned(), format_duration);
    let gone = GonePage {
        frame: Frame::of(context, visitor, Section::Runs, "No such run").await?,
        detail,
        kept: ages.map(|(state, age)| (state, words(age))).into(),
    };
    page_with(StatusCode::NOT_FOUND, &gone)
}

/// The run's page with a status and what came of the last action.
async fn render(
    context: &Context,
    visitor: Visitor,
    record: RunRecord,
    headers: &HeaderMap,
    (status, told): (StatusCode, Option<String>),
) -> Result<Response, Problem> {
    let handle = &context.handle;
    let RunRecord { run, journal } = record;
    let now = handle.now();
    let waiting = handle.waiting_for(&run.head).await?;
    let title = format!("{} {}", run.head.job, run.head.id);
    let frame = Frame::of(context, visitor, Section::Runs, title).await?.telling(told);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let page = RunPage {
        sentence: sentence(&run, waiting.as_ref(), now),
        state: run.head.state_at(now),
        times: times(&run, waiting.as_ref(), now),
        waterfall: waterfall(&run.head, &journal, now),
        replacements: replaced(handle, &run).await?,
        errors: errors(&run, now),
        mails: mails(handle, run.head.id, now).await?,
        doubtful: doubtful(handle, &run).await?,
        relatives: relatives(handle, &run.head, now).await?,
        audited: audited(handle, &frame.visitor, run.head.id).await?,
        curl: curl(&run, host, frame.visitor.name.is_some()),
        command: command(&run),
        log: log(journal),
        frame,
        run,
    };
    page_with(status, &page)
}

/// Where one version of the job took the place of another.
async fn replaced(handle: &Handle, run: &Run) -> Result<Vec<Replacement>, Problem> {
    let is_one = run.attempts.windows(2).all(|pair| pair[0].version == pair[1].version);
    if is_one {
        return Ok(Vec::new());
    }
    Ok(replacements(&run.attempts, &handle.query().versions(&run.head.job).await?))
}

/// Where it is told what operators did to a run, if they did anything.
async fn audited(handle: &Handle, visitor: &Visitor, run: RunId) -> Result<Option<String>, Problem> {
    if !visitor.may_operate {
        return Ok(None);
    }
    let filter = AuditFilter { target: Some(run.to_string()), ..AuditFilter::default() };
    let page = handle.query().audit(&filter, None, 1).await?;
    Ok((!page.items.is_empty()).then(|| link("/audit", &[("target", filter.target)])))
}

/// What it did and will do when, as far as that is known.
fn times(run: &Run, waiting: Option<&WaitingFor>, now: Timestamp) -> Vec<(&'static str, Moment)> {
    let head = &run.head;
    let times = [
        ("Enqueued", Some(head.enqueued_at)),
        (
            if head.scheduled_at > now { "Due" } else { "Was due" },
            Some(head.scheduled_at).filter(|due| *due != head.enqueued_at),
        ),
        ("Begins not before", waiting.and_then(|it| it.until).filter(|until| *until > head.scheduled_at)),
        ("Last attempt began", head.started_at),
        ("Ended", head.finished_at),
        ("Is cancelled unless begun by", head.expires_at),
    ];
    times.into_iter().filter_map(|(word, at)| at.map(|at| (word, Moment::new(at, now)))).collect()
}

fn errors(run: &Run, now: Timestamp) -> Vec<(u32, Moment, AttemptError)> {
    let failed = run.attempts.iter().rev().filter_map(|attempt| {
        let at = Moment::new(attempt.finished_at.unwrap_or(attempt.started_at), now);
        attempt.error.clone().map(|error| (attempt.number, at, error))
    });
    failed.take(ERRORS).collect()
}

fn log(journal: Vec<Entry>) -> Log {
    let mut log = Log::default();
    let mut attempt = 0;
    for entry in journal {
        match entry.kind {
            EntryKind::Started(started) => attempt = started.attempt,
            EntryKind::Finished(finished) => {
                log.lines.extend(finished.log.into_iter().map(|line| (attempt, line)));
                log.dropped += finished.log_dropped;
            }
            _ => {}
        }
    }
    log
}

async fn mails(
    handle: &Handle,
    run: RunId,
    now: Timestamp,
) -> Result<Vec<(MailSummary, &'static str, Moment)>, Problem> {
    let filter = MailFilter { run: Some(run), ..MailFilter::default() };
    let page = handle.query().mails(&filter, None, limits::PAGE_ITEMS).await?;
    let mails = page.items.into_iter().map(|mail| {
        let (class, at) = (mail_class(mail.status), Moment::new(mail.created_at, now));
        (mail, class, at)
    });
    Ok(mails.collect())
}

/// Mails that somebody has to decide about before the run is put back.
async fn doubtful(handle: &Handle, run: &Run) -> Result<Vec<DoubtfulMail>, Problem> {
    match run.head.state {
        // A mail that an attempt is sending is no news.
        RunState::Running => Ok(Vec::new()),
        _ => Ok(handle.query().mails_in_doubt(run.head.id).await?),
    }
}

/// The request that does the same again.
fn curl(run: &Run, host: &str, wants_token: bool) -> String {
    let address = |path: String| shell_quoted(&format!("http://{host}/api/v1{path}"));
    let token = if wants_token { " -H \"Authorization: Bearer $JOBMILL_TOKEN\"" } else { "" };
    let payload = run.payload.as_str();
    if payload.len() > COMMAND_PAYLOAD_BYTES {
        return format!("curl -X POST {}{token}", address(format!("/runs/{}/rerun", run.head.id)));
    }
    let body = shell_quoted(&format!("{{\"payload\": {payload}}}"));
    let address = address(format!("/jobs/{}/runs", run.head.job));
    format!("curl {address}{token} -H 'Content-Type: application/json' -d {body}")
}

/// The command that does the same again.
fn command(run: &Run) -> String {
    let payload = run.payload.as_str();
    // A payload that begins with @ or - would be taken for a file; none does, for JSON doesn't, but for a negative number.
    if payload.len() > COMMAND_PAYLOAD_BYTES || payload.starts_with('-') {
        return format!("jobmill runs rerun {}", run.head.id);
    }
    format!("jobmill run {} --payload {}", run.head.job, shell_quoted(payload))
}

/// The group of dead letters that a run belongs to: the name of its error, and the job.
fn group_of(head: &RunHead) -> Option<(String, &JobId)> {
    let error = head.error.as_ref().filter(|_| head.state == RunState::Dead)?;
    Some((format!("{:016x}", error.fingerprint), &head.job))
}

impl RunPage {
    /// Whether it is offered for a trial: one that goes on by itself shows soon enough.
    fn can_try(&self) -> bool {
        self.state.is_final()
    }

    fn can_retry(&self) -> bool {
        self.waits_for_its_time() || matches!(self.state, RunState::Dead | RunState::Cancelled)
    }

    fn waits_for_its_time(&self) -> bool {
        matches!(self.state, RunState::Scheduled | RunState::Retryable)
    }

    fn can_cancel(&self) -> bool {
        !self.state.is_final() && !self.run.head.cancel_requested
    }

    fn icon(&self) -> &'static str {
        icon(self.state)
    }

    /// The way to the dead letters with the same error.
    fn dead_group(&self) -> Option<String> {
        group_of(&self.run.head).map(|(fingerprint, job)| format!("/dead/{fingerprint}?job={job}"))
    }

    /// Each tag with the way to all runs that carry it.
    fn tags(&self) -> Vec<(&str, String)> {
        self.run.head.tags.iter().map(|tag| (tag.as_str(), path_of_tag(tag))).collect()
    }

    /// The versions that its attempts ran, each once.
    fn versions(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let versions = self.run.attempts.iter().map(|attempt| attempt.version.to_string());
        versions.filter(|version| seen.insert(version.clone())).collect()
    }
}

impl Log {
    /// The word of a level.
    fn level(line: &LogLine) -> &'static str {
        match line.level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
            LogLevel::Stdout => "stdout",
            LogLevel::Stderr => "stderr",
        }
    }
}
