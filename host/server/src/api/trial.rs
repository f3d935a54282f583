//! A trial of a run as it is asked for and told: what the run would do on the component that is loaded now, and come to.
//! It carries nothing out; the engine tries.

use std::time::Duration;

use axum::Json as JsonResponse;
use axum::extract::State;
use jobmill_core::mail::{Mail, MailStatus, Mailbox};
use jobmill_core::order::{OrderPatch, OrderStatus};
use jobmill_core::run::AttemptOutcome;
use jobmill_core::time::as_text;
use jobmill_core::{AttemptError, JobId, Json, RunId, RunState, Timestamp, Version};
use jobmill_engine::{DoneBefore, Trial, TrialEffect};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::journal::LineView;
use crate::api::mail::{AttachmentView, HeaderView};
use crate::api::openapi::ProblemShape;
use crate::api::runs::{EmptyBody, take_work};
use crate::api::shapes::RunIdShape;
use crate::body::OptionalJsonBody;
use crate::error::Problem;
use crate::path::Id;
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

/// What describes this route.
#[derive(OpenApi)]
#[openapi(paths(trial))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .post("/api/v1/runs/{id}/trial", Rule::OPERATE, trial)
        .does(Action::RunsTrial)
        .described_by(Document::openapi)
}

/// What a run would do and come to. Nothing of it was done.
#[derive(Serialize, ToSchema)]
#[schema(as = Trial)]
struct TrialView {
    run: RunId,
    job: JobId,
    /// The component that the trial ran.
    version: Version,
    /// The component that the run's last attempt ran; null before the first.
    earlier_version: Option<Version>,
    /// It in one sentence or two, for people.
    summary: String,
    started_at: Timestamp,
    #[serde(with = "as_text")]
    took: Duration,
    /// How the attempt would end.
    outcome: AttemptOutcome,
    /// The state that the run would be in then.
    state: RunState,
    /// When it would be due again; null when it would be final.
    scheduled_at: Option<Timestamp>,
    /// Why it would fail.
    error: Option<AttemptError>,
    /// What the job would return.
    output: Option<Json>,
    /// What it would do, in order.
    effects: Vec<EffectView>,
    /// What earlier attempts have done, and it would not do again.
    done_before: Vec<DoneView>,
    /// Steps that it would complete, in order.
    steps: Vec<StepView>,
    /// Steps that earlier attempts have completed, and it would not do again.
    steps_before: Vec<String>,
    /// What it logged.
    log: Vec<LineView>,
    /// Lines that the log's budget had no room for.
    log_dropped: u64,
}

/// Something that would be done.
#[derive(Serialize, ToSchema)]
#[schema(as = TrialEffect)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum EffectView {
    Mail {
        mail: Box<TrialMailView>,
        /// Why it would not be sent after all: the address is on the suppression list.
        suppressed: Option<String>,
    },
    Order {
        order: String,
        patch: OrderPatch,
        /// Where the order stands before.
        before: OrderStatus,
        /// Where it would stand then.
        after: OrderStatus,
    },
    /// An HTTP request that changes something; in the trial it was answered 200.
    Http {
        method: String,
        url: String,
        /// Bytes of its body.
        bytes: usize,
    },
}

/// Something that is done.
#[derive(Serialize, ToSchema)]
#[schema(as = DoneBefore)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum DoneView {
    Mail { mail: Box<TrialMailView>, status: MailStatus },
    Order { order: String, patch: OrderPatch },
    Http { method: String, url: String, status: u16 },
}

/// A mail as it would go out.
#[derive(Serialize, ToSchema)]
#[schema(as = TrialMail)]
struct TrialMailView {
    /// The job's word for it.
    kind: String,
    from: Mailbox,
    to: Mailbox,
    reply_to: Option<Mailbox>,
    /// Its subject.
    subject: String,
    text: String,
    html: Option<String>,
    headers: Vec<HeaderView>,
    attachments: Vec<AttachmentView>,
}

/// A step that would be completed.
#[derive(Serialize, ToSchema)]
#[schema(as = TrialStep)]
struct StepView {
    /// Its name.
    name: String,
    value: Json,
}

impl From<&Mail> for TrialMailView {
    fn from(mail: &Mail) -> Self {
        let message = mail.message.clone();
        let headers = message.headers.into_iter().map(|(name, value)| HeaderView { name, value });
        Self {
            kind: message.kind,
            from: mail.from.clone(),
            to: message.to,
            reply_to: message.reply_to,
            subject: message.subject,
            text: message.text,
            html: message.html,
            headers: headers.collect(),
            attachments: message.attachments.into_iter().map(AttachmentView::from).collect(),
        }
    }
}

impl From<TrialEffect> for EffectView {
    fn from(effect: TrialEffect) -> Self {
        match effect {
            TrialEffect::Mail { mail, suppressed } => Self::Mail { mail: Box::new((&*mail).into()), suppressed },
            TrialEffect::Order { order, patch, before, after } => Self::Order { order, patch, before, after },
            TrialEffect::Http { method, url, bytes } => Self::Http { method, url, bytes },
        }
    }
}

impl From<DoneBefore> for DoneView {
    fn from(done: DoneBefore) -> Self {
        match done {
            DoneBefore::Mail { mail, status } => Self::Mail { mail: Box::new((&*mail).into()), status },
            DoneBefore::Order { order, patch } => Self::Order { order, patch },
            DoneBefore::Http { method, url, status } => Self::Http { method, url, status },
        }
    }
}

impl From<Trial> for TrialView {
    fn from(trial: Trial) -> Self {
        let summary = summary(&trial);
        let finished = trial.finished;
        let lines = finished.log.into_iter().map(|line| LineView::of(line, trial.attempt));
        Self {
            run: trial.run,
            job: trial.job,
            version: trial.version,
            earlier_version: trial.earlier_version,
            summary,
            started_at: trial.started_at,
            took: trial.took,
            outcome: finished.outcome,
            state: finished.to,
            scheduled_at: (!finished.to.is_final()).then_some(finished.scheduled_at),
            error: finished.error,
            output: finished.output,
            effects: trial.effects.into_iter().map(EffectView::from).collect(),
            done_before: trial.done_before.into_iter().map(DoneView::from).collect(),
            steps: trial.steps.into_iter().map(|(name, value)| StepView { name, value }).collect(),
            steps_before: trial.steps_before,
            log: lines.collect(),
            log_dropped: finished.log_dropped,
        }
    }
}

/// A trial in a sentence or two: what the run would come to, how much it would do, and that none of it was done.
pub(crate) fn summary(trial: &Trial) -> String {
    let (finished, attempt) = (&trial.finished, trial.attempt);
    let error = finished.error.as_ref();
    let said = error.map(|error| format!("{}: {}", error.kind, first_line(&error.message))).unwrap_or_default();
    let comes_to = match (finished.outcome, finished.to) {
        (_, RunState::Completed) => "it would complete".to_owned(),
        (_, RunState::Dead) => format!("it would end dead ({said})"),
        (AttemptOutcome::Snoozed, _) => "it would ask to run again later".to_owned(),
        (AttemptOutcome::Held, _) => format!("it would be held back ({said})"),
        _ => format!("attempt {attempt} of {} would fail and be tried again ({said})", trial.max_attempts),
    };
    format!("On version {} {comes_to}: {}. Nothing was sent or changed.", trial.version, counted(&trial.effects))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// How many effects of each kind.
fn counted(effects: &[TrialEffect]) -> String {
    let count = |of: fn(&&TrialEffect) -> bool| effects.iter().filter(of).count();
    let mails = count(|effect| matches!(effect, TrialEffect::Mail { suppressed: None, .. }));
    let suppressed = count(|effect| matches!(effect, TrialEffect::Mail { suppressed: Some(_), .. }));
    let orders = count(|effect| matches!(effect, TrialEffect::Order { .. }));
    let requests = count(|effect| matches!(effect, TrialEffect::Http { .. }));
    let mut parts = vec![match mails {
        0 => "no mail".to_owned(),
        1 => "1 mail".to_owned(),
        mails => format!("{mails} mails"),
    }];
    if suppressed > 0 {
        parts.push(format!("{suppressed} not sent to suppressed addresses"));
    }
    parts.push(match orders {
        0 => "no order changed".to_owned(),
        1 => "1 order changed".to_owned(),
        orders => format!("{orders} changes of orders"),
    });
    match requests {
        0 => {}
        1 => parts.push("1 HTTP request".to_owned()),
        requests => parts.push(format!("{requests} HTTP requests")),
    }
    parts.join(", ")
}

/// Tries a run out: it runs once on the component that is loaded now, as its next attempt would, with its effects recorded and
/// not carried out. Nothing is sent or stored, and the run stays as it is. What earlier attempts did already stays done.
#[utoipa::path(
    post,
    path = "/api/v1/runs/{id}/trial",
    tag = "Runs",
    params(
        ("id" = RunIdShape, Path, description = "the run"),
    ),
    request_body = Option<EmptyBody>,
    responses(
        (status = 200, description = "what it would do and come to", body = TrialView),
        (status = 409, description = "no component of its job is loaded", body = ProblemShape, content_type = "application/problem+json"),
        (status = 429, description = "as many trials are under way as may be at once", body = ProblemShape, content_type = "application/problem+json"),
    )
)]
async fn trial(
    State(context): State<Context>,
    Id(id): Id<RunId>,
    _: NoParameters,
    OptionalJsonBody(EmptyBody {}): OptionalJsonBody<EmptyBody>,
) -> Result<JsonResponse<TrialView>, Problem> {
    take_work(&context.handle)?;
    Ok(JsonResponse(context.handle.trial(id).await?.into()))
}
