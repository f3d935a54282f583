//! The form that runs a job: what it shows, what it takes, and what is said at its fields when a run is refused.
//! It decides nothing; the run is enqueued by the engine, under the rules of the API.

use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use jobmill_core::time::parse_duration;
use jobmill_core::{Job, JobId, Json, RunId, limits};
use jobmill_engine::{Accepted, EnqueueRequest};

use super::fields::{self, Field};
use crate::Context;
use crate::api::take_work;
use crate::authentication::Caller;
use crate::error::{Code, MemberProblem, Problem};
use crate::pages::form::Posted;
use crate::path::Id;

/// The form as it is shown.
pub(super) struct EnqueueForm {
    /// Empty where the payload can only be written as JSON.
    pub(super) fields: Vec<Field>,
    /// The payload as JSON.
    pub(super) json: String,
    /// The payload is written as JSON, not member by member.
    pub(super) is_json: bool,
    /// The payload has something that no field can show, so it stays JSON.
    pub(super) is_beyond_fields: bool,
    pub(super) delay: String,
    pub(super) priority: String,
    pub(super) tags: String,
    pub(super) key: String,
    refusal: Option<Problem>,
}

impl EnqueueForm {
    /// The form of a job, with a payload to begin with.
    pub(super) fn new(job: &Job, payload: &Json) -> Self {
        let mut fields = job.payload_schema.as_ref().and_then(fields::of_schema).unwrap_or_default();
        let fits = fields::fill(&mut fields, payload);
        Self {
            is_json: fields.is_empty() || !fits,
            is_beyond_fields: !fields.is_empty() && !fits,
            fields,
            json: payload.to_string(),
            delay: String::new(),
            priority: String::new(),
            tags: String::new(),
            key: String::new(),
            refusal: None,
        }
    }

    /// The form as it was sent.
    fn sent(job: &Job, posted: &Posted) -> Self {
        let text = |name| posted.text(name).unwrap_or_default().to_owned();
        let mut form = Self::new(job, &Json::empty_object());
        form.is_json = form.fields.is_empty() || posted.text("by") == Some("json");
        form.is_beyond_fields = false;
        // Browsers end lines with a carriage return too, which nobody typed.
        form.json = text("payload").replace("\r\n", "\n");
        let made = fields::take(&mut form.fields, posted);
        if !form.is_json {
            form.json = made;
        }
        Self { delay: text("delay"), priority: text("priority"), tags: text("tags"), key: text("key"), ..form }
    }

    /// The same payload written the other way: as JSON, or member by member.
    fn switched(mut self) -> Self {
        if !self.is_json {
            return Self { is_json: true, ..self };
        }
        match parse(&self.json) {
            Ok(payload) => {
                let fits = fields::fill(&mut self.fields, &payload);
                Self { is_json: !fits, is_beyond_fields: !fits, ..self }
            }
            Err(problem) => Self { refusal: Some(problem), ..self },
        }
    }

    /// What was wrong, as a whole.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refusal.as_ref().map(Problem::detail)
    }

    /// What is wrong with the payload, where no field says it.
    pub(super) fn elsewhere(&self) -> Vec<&MemberProblem> {
        let has_field = |problem: &MemberProblem| {
            !self.is_json && self.fields.iter().any(|field| pointer(&field.name) == problem.pointer)
        };
        self.of_payload().filter(|problem| !has_field(problem)).collect()
    }

    /// What is wrong with the member that a field is for.
    pub(super) fn at_field(&self, field: &Field) -> Vec<&str> {
        let pointer = pointer(&field.name);
        self.of_payload()
            .filter(|problem| !self.is_json && problem.pointer == pointer)
            .map(|it| it.detail.as_str())
            .collect()
    }

    /// What is wrong with a member of the request other than the payload.
    pub(super) fn at(&self, member: &str) -> Vec<&str> {
        let problem = self.refusal.as_ref().filter(|problem| problem.code() != Code::PayloadInvalid);
        let members = problem.into_iter().flat_map(Problem::members);
        members.filter(|it| it.pointer.strip_prefix('/') == Some(member)).map(|it| it.detail.as_str()).collect()
    }

    fn of_payload(&self) -> impl Iterator<Item = &MemberProblem> {
        let problem = self.refusal.as_ref().filter(|problem| problem.code() == Code::PayloadInvalid);
        problem.into_iter().flat_map(Problem::members)
    }

    /// The request that the form makes.
    fn request(&self, job: JobId, max_waiting: Option<u32>, context: &Context) -> Result<EnqueueRequest, Problem> {
        let payload = parse(&self.json)?;
        let delay = given(&self.delay).map(delay).transpose()?;
        let tags = self.tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned);
        Ok(EnqueueRequest {
            scheduled_at: delay.map(|delay| context.handle.now().after(delay)),
            priority: given(&self.priority).map(priority).transpose()?,
            unique_key: given(&self.key).map(str::to_owned),
            tags: tags.collect(),
            max_waiting,
            ..EnqueueRequest::new(job, payload)
        })
    }
}

/// RFC 6901.
fn pointer(member: &str) -> String {
    format!("/{}", member.replace('~', "~0").replace('/', "~1"))
}

fn parse(text: &str) -> Result<Json, Problem> {
    let refuse = |error| Problem::member(Code::MalformedJson, "/payload", format!("is no JSON: {error}"));
    Json::parse(text).map_err(refuse)
}

fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn delay(text: &str) -> Result<Duration, Problem> {
    let delay =
        parse_duration(text).map_err(|error| Problem::invalid_member("/delay", format!("is refused: {error}")))?;
    if delay > limits::DELAY_MAX {
        return Err(Problem::invalid_member("/delay", "is more than a year ahead"));
    }
    Ok(delay)
}

fn priority(text: &str) -> Result<u8, Problem> {
    let priority = text.parse().ok().filter(|priority| *priority <= 9);
    priority.ok_or_else(|| Problem::invalid_member("/priority", "must be 0 (first) to 9 (last)"))
}

/// `POST /jobs/{id}/runs`: enqueues a run, or shows the form again with what is wrong.
pub(super) async fn enqueue(
    State(context): State<Context>,
    caller: Caller,
    Id(id): Id<JobId>,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    take_work(&context.handle)?;
    let catalog = context.handle.catalog();
    let loaded = catalog.serving(&id).ok_or_else(|| crate::api::unknown_job(&context.handle, &id))?;
    let mut form = EnqueueForm::sent(&loaded.job, &posted);
    if posted.text("switch").is_some() {
        let shown = super::Shown { form: Some(form.switched()), ..super::Shown::default() };
        return super::answer(&context, posted.visitor, &headers, &id, shown).await;
    }
    posted.audited.begin().await;
    let problem = match accept(&context, &form, &id, &caller).await {
        Ok(accepted) => {
            posted.audited.tells(accepted.head.id);
            return Ok(Redirect::to(&place(&id, accepted.head.id, accepted.replayed)).into_response());
        }
        Err(problem) => problem,
    };
    if !is_for_the_form(&problem) {
        return Err(problem);
    }
    posted.audited.is_refused(problem.code());
    let status = problem.status();
    form.refusal = Some(problem);
    let shown = super::Shown { status, form: Some(form), ..super::Shown::default() };
    super::answer(&context, posted.visitor, &headers, &id, shown).await
}

async fn accept(context: &Context, form: &EnqueueForm, job: &JobId, caller: &Caller) -> Result<Accepted, Problem> {
    let request = form.request(job.clone(), caller.max_waiting(), context)?;
    Ok(context.handle.enqueue(request).await?)
}

/// The page that tells of the run.
fn place(job: &JobId, run: RunId, replayed: bool) -> String {
    format!("/jobs/{job}?{}={run}", if replayed { "known" } else { "enqueued" })
}

/// What whoever filled in the form can mend, or can try again with what is filled in.
fn is_for_the_form(problem: &Problem) -> bool {
    !matches!(problem.code(), Code::UnknownJob | Code::NotReady | Code::Internal)
}
