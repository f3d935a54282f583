//! The API tokens on the system's page: listed, made with their secret shown once, revoked.
//! Who may do what with one is decided in `authentication`.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use jobmill_core::time::{format_duration, parse_duration};
use jobmill_core::token::{Scope, Token};
use jobmill_core::{Timestamp, TokenId};

use super::page;
use crate::Context;
use crate::api::{CreateBody, RateBody, make_token, revoke_token};
use crate::error::{Code, Problem};
use crate::keyring::{Found, TokenSource};
use crate::pages::form::Posted;
use crate::pages::frame::{self, Frame, Section};
use crate::pages::visitor::Visitor;
use crate::pages::words::Moment;
use crate::path::Id;
use crate::query::NoParameters;

/// A token of the list.
pub(super) struct TokenRow {
    pub(super) id: TokenId,
    pub(super) name: String,
    pub(super) scope: Scope,
    pub(super) created: Moment,
    pub(super) expires: Option<Timestamp>,
    pub(super) used: Option<Moment>,
    pub(super) rate: Option<String>,
    pub(super) standing: Standing,
    /// It was made here, and opens something or will not do so for another reason than a revocation.
    pub(super) may_be_revoked: bool,
}

/// Whether a token opens something, with the class that colours it.
pub(super) struct Standing {
    pub(super) word: &'static str,
    pub(super) colour: &'static str,
    pub(super) icon: &'static str,
}

impl TokenRow {
    fn new(Found { token, source }: Found, now: Timestamp) -> Self {
        let (word, colour, icon) = match (token.revoked_at, token.is_valid(now)) {
            (Some(_), _) => ("revoked", "dead", "✕"),
            (None, false) => ("expired", "available", "○"),
            (None, true) => ("valid", "completed", "✓"),
        };
        let rate = token.rate_limit.as_ref();
        Self {
            standing: Standing { word, colour, icon },
            may_be_revoked: source == TokenSource::Created && token.revoked_at.is_none(),
            rate: rate.map(|rate| format!("{} in {}", rate.limit, format_duration(rate.period))),
            created: Moment::new(token.created_at, now),
            used: token.last_used_at.map(|at| Moment::new(at, now)),
            expires: token.expires_at,
            id: token.id,
            name: token.name,
            scope: token.scope,
        }
    }
}

/// Every token, those of the configuration first.
pub(super) async fn rows(context: &Context, now: Timestamp) -> Result<Vec<TokenRow>, Problem> {
    let tokens = context.keyring.all().await?;
    Ok(tokens.into_iter().map(|found| TokenRow::new(found, now)).collect())
}

/// What was typed into the form, and why it was refused.
#[derive(Default)]
pub(super) struct Typed {
    pub(super) name: String,
    pub(super) scope: String,
    pub(super) expires_in: String,
    pub(super) rate_limit: String,
    pub(super) rate_period: String,
    pub(super) max_waiting: String,
    pub(super) refusal: Option<String>,
}

impl Typed {
    fn of(posted: &Posted, refusal: String) -> Self {
        let text = |name| posted.text(name).unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            scope: text("scope"),
            expires_in: text("expires_in"),
            rate_limit: text("rate_limit"),
            rate_period: text("rate_period"),
            max_waiting: text("max_waiting"),
            refusal: Some(refusal),
        }
    }
}

fn number(posted: &Posted, name: &str) -> Result<Option<u32>, Problem> {
    let refused = || Problem::invalid_member(&format!("/{name}"), "must be a whole number");
    posted.text(name).map(|text| text.trim().parse().map_err(|_| refused())).transpose()
}

/// What the form asks for, in the shape that the API takes.
fn wanted(posted: &Posted) -> Result<CreateBody, Problem> {
    let missing = |pointer: &str| Problem::member(Code::MissingMember, pointer, "is required");
    let span = |name: &str| {
        let read = |text: &str| {
            parse_duration(text)
                .map_err(|error| Problem::invalid_member(&format!("/{name}"), format!("is refused: {error}")))
        };
        posted.text(name).map(read).transpose()
    };
    let period: Option<Duration> = span("rate_period")?;
    let rate_limit = match (number(posted, "rate_limit")?, period) {
        (Some(limit), Some(period)) => Some(RateBody { limit, period }),
        (Some(_), None) => return Err(missing("/rate_period")),
        (None, Some(_)) => return Err(missing("/rate_limit")),
        (None, None) => None,
    };
    Ok(CreateBody {
        name: posted.text("name").map(|name| name.trim().to_owned()),
        scope: posted.value("scope")?.ok_or_else(|| missing("/scope"))?,
        expires_at: None,
        expires_in: span("expires_in")?,
        rate_limit,
        max_waiting: number(posted, "max_waiting")?,
    })
}

#[derive(Template)]
#[template(path = "system_token.html")]
struct SecretPage {
    frame: Frame,
    token: Token,
    secret: String,
    /// From now on nothing opens without a token.
    is_first: bool,
}

/// `POST /system/tokens`: the answer is the one page that shows the secret.
pub(super) async fn create(
    State(context): State<Context>,
    _: NoParameters,
    posted: Posted,
) -> Result<Response, Problem> {
    let was_open = !context.keyring.is_closed().await?;
    let made = match wanted(&posted) {
        Ok(body) => make_token(&context, &posted.audited, body).await,
        Err(problem) => Err(problem),
    };
    match made {
        Ok((Found { token, .. }, secret)) => {
            let frame = Frame::of(&context, posted.visitor, Section::System, "A new token").await?;
            let secret = secret.as_str().to_owned();
            frame::page_with(StatusCode::CREATED, &SecretPage { frame, token, secret, is_first: was_open })
        }
        Err(problem) if problem.status().is_client_error() => {
            posted.audited.is_refused(problem.code());
            let typed = Typed::of(&posted, problem.detail().to_owned());
            page(&context, posted.visitor, problem.status(), None, typed).await
        }
        Err(problem) => Err(problem),
    }
}

#[derive(Template)]
#[template(path = "system_revoke.html")]
struct RevokePage {
    frame: Frame,
    token: Token,
    used: Option<Moment>,
    /// Nothing is left that could make another.
    is_last_operator: bool,
    /// Why it can't be revoked; none when it can.
    refusal: Option<&'static str>,
}

/// `GET /system/tokens/{id}/revoke`: what will happen.
pub(super) async fn ask_to_revoke(
    State(context): State<Context>,
    visitor: Visitor,
    Id(id): Id<TokenId>,
    _: NoParameters,
) -> Result<Response, Problem> {
    let mut all = context.keyring.all().await?;
    let frame = Frame::of(&context, visitor, Section::System, "Revoke a token").await?;
    let at = all.iter().position(|found| found.token.id == id);
    let at = at.ok_or_else(|| Problem::new(Code::UnknownToken, format!("there is no token {id}")))?;
    let Found { token, source } = all.swap_remove(at);
    let operates = |token: &Token| token.is_valid(frame.now) && token.scope == Scope::Operate;
    let is_last_operator = operates(&token) && !all.iter().any(|found| operates(&found.token));
    let refusal = match source {
        TokenSource::Configuration => {
            Some("The configuration declares it: take it out of [server] tokens and start again.")
        }
        TokenSource::Created if token.revoked_at.is_some() => Some("It is revoked already."),
        TokenSource::Created => None,
    };
    let used = token.last_used_at.map(|used| Moment::new(used, frame.now));
    frame::page(&RevokePage { frame, token, used, is_last_operator, refusal })
}

/// `POST /system/tokens/{id}/revoke`.
pub(super) async fn revoke(
    State(context): State<Context>,
    Id(id): Id<TokenId>,
    _: NoParameters,
    _: Posted,
) -> Result<Redirect, Problem> {
    revoke_token(&context, id).await?;
    Ok(Redirect::to("/system?revoked=1"))
}
