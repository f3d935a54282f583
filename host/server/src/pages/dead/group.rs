//! One group of dead runs: its newest run's error and payload, and its runs, some of which can be selected.
//! The whole history of a run is on the page of the run.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jobmill_core::{AttemptError, JobId, Json, Run, RunId, Timestamp, Version, limits};
use jobmill_store::{Cursor, DeadFilter, DeadGroup, Page, RunFilter};

use crate::Context;
use crate::error::{Code, Problem};
use crate::pages::dead::groups::GroupRow;
use crate::pages::dead::report::{self, Report};
use crate::pages::dead::target::{Fingerprint, Target};
use crate::pages::dead::{ITEMS, see};
use crate::pages::form::Posted;
use crate::pages::frame::{self, Frame, Section};
use crate::pages::links::link;
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::query::Parameters;

#[derive(Template)]
#[template(path = "dead_group.html")]
struct GroupPage {
    frame: Frame,
    report: Option<Report>,
    row: GroupRow,
    example: Option<Example>,
    runs: Vec<RunRow>,
    /// The runs that are listed, where those are not all.
    listed: Option<usize>,
    /// To the newest page, where this is an older one.
    newest: Option<String>,
    older: Option<String>,
}

#[derive(Template)]
#[template(path = "dead_gone.html")]
struct GonePage {
    frame: Frame,
    report: Option<Report>,
}

/// The newest run of the group.
struct Example {
    error: Option<AttemptError>,
    payload: Json,
}

struct RunRow {
    id: RunId,
    died: Option<Moment>,
    attempt: u32,
    max_attempts: u32,
    version: Option<Version>,
    message: String,
}

impl RunRow {
    fn new(run: Run, now: Timestamp) -> Self {
        let head = run.head;
        Self {
            id: head.id,
            died: head.finished_at.map(|at| Moment::new(at, now)),
            attempt: head.attempt,
            max_attempts: head.max_attempts,
            version: head.version,
            message: head.error.map(|error| error.message.to_string()).unwrap_or_default(),
        }
    }
}

/// `GET /dead/{fingerprint}`.
pub(super) async fn show(
    State(context): State<Context>,
    visitor: Visitor,
    Path(fingerprint): Path<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let known = [&["job", "cursor"][..], &Report::PARAMETERS].concat();
    let parameters = parameters.only(&known)?;
    let fingerprint: Fingerprint = fingerprint
        .parse()
        .map_err(|_| Problem::new(Code::NotFound, "a group of dead letters is named by 16 hex digits"))?;
    let (job, after) = (parameters.value("job")?, parameters.value::<Cursor>("cursor")?);
    let report = Report::told(&parameters, &context).await?;
    let notice = report.as_ref().map(Report::sentence);
    let Some(group) = find(&context, fingerprint, job.as_ref()).await? else {
        let frame = Frame::of(&context, visitor, Section::Dead, "No such group").await?;
        return frame::page_with(StatusCode::NOT_FOUND, &GonePage { frame: frame.telling(notice), report });
    };
    let now = context.handle.now();
    let example = context.handle.query().run(group.example).await?.map(|record| record.run).map(|run| Example {
        error: run.attempts.into_iter().rev().find_map(|attempt| attempt.error),
        payload: run.payload,
    });
    let page = runs_of(&context, &group, after).await?;
    let frame = Frame::of(&context, visitor, Section::Dead, format!("Dead letters of {}", group.job)).await?;
    let (path, name) = (format!("/dead/{fingerprint}"), group.job.to_string());
    let address = |cursor: Option<Cursor>| {
        link(&path, &[("job", Some(name.clone())), ("cursor", cursor.map(|cursor| cursor.to_string()))])
    };
    frame::page(&GroupPage {
        frame: frame.telling(notice),
        listed: Some(limits::BULK_RUNS).filter(|listed| *listed < group.count),
        report,
        row: GroupRow::new(group, &context.handle.catalog(), now),
        example,
        runs: page.items.into_iter().map(|run| RunRow::new(run, now)).collect(),
        newest: after.map(|_| address(None)),
        older: page.next.map(|next| address(Some(next))),
    })
}

/// The group of this name; where the job is not said, of whichever job.
pub(super) async fn find(
    context: &Context,
    Fingerprint(wanted): Fingerprint,
    job: Option<&JobId>,
) -> Result<Option<DeadGroup>, Problem> {
    let groups = context.handle.query().dead_groups().await?;
    let mut found = groups.into_iter().filter(|group| group.fingerprint == wanted);
    Ok(found.find(|group| job.is_none_or(|job| *job == group.job)))
}

/// A page of the group's runs, newest first. What would be discarded says which they are, the longest dead of them if they are
/// more than one action takes.
async fn runs_of(context: &Context, group: &DeadGroup, after: Option<Cursor>) -> Result<Page<Run>, Problem> {
    let handle = &context.handle;
    let filter = DeadFilter { job: Some(group.job.clone()), fingerprint: Some(group.fingerprint), ids: None };
    let members = handle.discard_many(filter, String::new(), true).await?.changed;
    let filter = RunFilter { ids: Some(members), ..RunFilter::default() };
    Ok(handle.query().runs(&filter, after, ITEMS, handle.now()).await?)
}

/// `POST /dead/select`: leads to what is to be done with the runs that were selected.
pub(super) async fn select(State(context): State<Context>, posted: Posted) -> Result<Response, Problem> {
    let ids = Target::selected(&posted)?;
    let is_empty = ids.is_empty();
    let target = Target { job: posted.value("job")?, fingerprint: posted.value("fingerprint")?, ids };
    if is_empty {
        return see(&report::way_back_with_nothing(&target, &context.handle).await?);
    }
    match posted.text("action") {
        Some("requeue") => see(&format!("/dead/requeue?{}", target.query())),
        Some("discard") => see(&format!("/dead/discard?{}", target.query())),
        _ => Err(Problem::invalid_member("/action", "is neither requeue nor discard")),
    }
}
