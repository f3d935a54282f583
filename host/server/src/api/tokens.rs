//! API tokens: made, listed, revoked. The secret of one is answered once, when it is made.
//! Who may do what with them is decided in `authentication`.

use std::time::Duration;

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use jobmill_core::flow::RateLimit;
use jobmill_core::time::as_text;
use jobmill_core::token::{Scope, Secret, SecretDigest, Token};
use jobmill_core::{Timestamp, TokenId, limits};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::List;
use crate::api::openapi::ProblemShape;
use crate::api::runs::{EmptyBody, optional_duration};
use crate::api::shapes::TokenIdShape;
use crate::audit::Audited;
use crate::body::{JsonBody, OptionalJsonBody};
use crate::error::{Code, Problem};
use crate::keyring::{Found, TokenSource};
use crate::path::Id;
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

/// Tokens that are valid at once: each request is compared with all of them.
const TOKENS: usize = 1_000;

#[derive(OpenApi)]
#[openapi(paths(list, create, revoke))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/tokens", Rule::OPERATE, list)
        .post("/api/v1/tokens", Rule::OPERATE, create)
        .does(Action::TokenCreate)
        .post("/api/v1/tokens/{id}/revoke", Rule::OPERATE, revoke)
        .does(Action::TokenRevoke)
        .described_by(Document::openapi)
}

/// An API token, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
struct TokenView {
    id: TokenId,
    /// What it is for, for people.
    name: String,
    scope: Scope,
    created_at: Timestamp,
    /// It opens nothing from then on; null for ever.
    expires_at: Option<Timestamp>,
    /// It opens nothing since then.
    revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute or so.
    last_used_at: Option<Timestamp>,
    /// How many requests it may make in a period; what comes beyond is refused with 429.
    rate_limit: Option<RateLimit>,
    /// Its work is refused with 429 while so many runs wait, over all jobs.
    max_waiting: Option<u32>,
    source: TokenSourceView,
}

/// Where a token comes from: the configuration declares it, or it was made here.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenSource)]
#[serde(rename_all = "lowercase")]
enum TokenSourceView {
    Configuration,
    Created,
}

impl From<Found> for TokenView {
    fn from(Found { token, source }: Found) -> Self {
        Self {
            id: token.id,
            name: token.name,
            scope: token.scope,
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            last_used_at: token.last_used_at,
            rate_limit: token.rate_limit,
            max_waiting: token.max_waiting,
            source: match source {
                TokenSource::Configuration => TokenSourceView::Configuration,
                TokenSource::Created => TokenSourceView::Created,
            },
        }
    }
}

/// Lists the API tokens, expired and revoked ones too. Secrets are not kept, so none is shown.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "Tokens", responses((status = 200, description = "every token", body = List<TokenView>)))]
async fn list(State(context): State<Context>, _: NoParameters) -> Result<JsonResponse<List<TokenView>>, Problem> {
    let tokens = context.keyring.all().await?;
    Ok(JsonResponse(List::whole(tokens.into_iter().map(TokenView::from).collect())))
}

/// What a new token is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewToken, examples(json!({ "name": "shop", "scope": "enqueue", "expires_in": "90d", "rate_limit": { "limit": 100, "period": "1m" } })))]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBody {
    /// What it is for, for people; its scope if absent.
    pub(crate) name: Option<String>,
    pub(crate) scope: Scope,
    /// It opens nothing from then on.
    pub(crate) expires_at: Option<Timestamp>,
    /// The same, counted from now.
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) expires_in: Option<Duration>,
    /// How many requests it may make in a period.
    pub(crate) rate_limit: Option<RateBody>,
    /// Its work is refused while so many runs wait, over all jobs.
    pub(crate) max_waiting: Option<u32>,
}

/// So many requests in each period.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TokenRate)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateBody {
    /// How many.
    #[schema(minimum = 1)]
    pub(crate) limit: u32,
    /// From empty to full.
    #[serde(with = "as_text")]
    pub(crate) period: Duration,
}

impl RateBody {
    fn rate(self) -> Result<RateLimit, Problem> {
        if !(1..=limits::RATE).contains(&self.limit) {
            let reason = format!("must be from 1 to {}", limits::RATE);
            return Err(Problem::invalid_member("/rate_limit/limit", reason));
        }
        if !(limits::SPAN_MIN..=limits::RATE_PERIOD_MAX).contains(&self.period) {
            return Err(Problem::invalid_member("/rate_limit/period", "must be from 1ms to 24h"));
        }
        Ok(RateLimit { limit: self.limit, period: self.period, key: None })
    }
}

impl CreateBody {
    fn expiry(&self, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        match (self.expires_at, self.expires_in) {
            (Some(_), Some(_)) => {
                Err(Problem::invalid_member("/expires_in", "and expires_at say the same thing; send one of them"))
            }
            (Some(at), None) if at <= now => Err(Problem::invalid_member("/expires_at", "is over already")),
            (None, Some(span)) if span.is_zero() => Err(Problem::invalid_member("/expires_in", "must not be zero")),
            (at, span) => Ok(at.or(span.map(|span| now.after(span)))),
        }
    }

    fn name(&self) -> Result<String, Problem> {
        let name = self.name.clone().unwrap_or_else(|| self.scope.to_string());
        if name.trim().is_empty() || name.len() > limits::KEY_BYTES || name.chars().any(char::is_control) {
            let reason = format!("must have 1 to {} printable characters", limits::KEY_BYTES);
            return Err(Problem::invalid_member("/name", reason));
        }
        Ok(name)
    }
}

/// A token that was just made, with its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedToken)]
struct CreatedView {
    token: TokenView,
    /// Sent as `Authorization: Bearer …`. It is not kept and can't be shown again.
    secret: String,
}

/// Makes an API token. Once the first one exists, every route wants one.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "Tokens", request_body = CreateBody, responses(
    (status = 201, description = "the token, with its secret", body = CreatedView),
    (status = 409, description = "there are too many tokens, or none of scope operate yet", body = ProblemShape, content_type = "application/problem+json"),
))]
async fn create(
    State(context): State<Context>,
    audited: Audited,
    _: NoParameters,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<(StatusCode, JsonResponse<CreatedView>), Problem> {
    let (token, secret) = make_token(&context, &audited, body).await?;
    Ok((StatusCode::CREATED, JsonResponse(CreatedView { token: token.into(), secret: secret.as_str().to_owned() })))
}

/// Makes an API token and keeps it; answers it with its secret, which nobody can tell later.
pub(crate) async fn make_token(
    context: &Context,
    audited: &Audited,
    body: CreateBody,
) -> Result<(Found, Secret), Problem> {
    let handle = &context.handle;
    let now = handle.now();
    let (name, expires_at) = (body.name()?, body.expiry(now)?);
    let rate_limit = body.rate_limit.map(RateBody::rate).transpose()?;
    let tokens = context.keyring.all().await?;
    let valid = tokens.iter().map(|found| &found.token).filter(|token| token.is_valid(now));
    if body.scope != Scope::Operate && !valid.clone().any(|token| token.scope == Scope::Operate) {
        let detail = "there is no token of scope operate yet, and once there is any token nothing opens without one; make that one first";
        return Err(Problem::new(Code::NoOperator, detail));
    }
    if valid.count() >= TOKENS {
        let detail = format!("there are {TOKENS} tokens that open something; revoke some that nobody uses");
        return Err(Problem::new(Code::TooManyTokens, detail));
    }
    let (id, secret) = handle.new_secret();
    let token = Token {
        id,
        name,
        scope: body.scope,
        digest: SecretDigest::of(secret.as_str()),
        created_at: now,
        expires_at,
        revoked_at: None,
        last_used_at: None,
        rate_limit,
        max_waiting: body.max_waiting,
    };
    audited.is_to(id);
    audited.tells(format_args!("{:?} of scope {}", token.name, token.scope));
    handle.create_token(token.clone()).await?;
    context.keyring.changed();
    tracing::info!(%id, name = token.name, scope = %token.scope, "an API token was made");
    Ok((Found { token, source: TokenSource::Created }, secret))
}

/// Revokes an API token, at once and for good. One that was revoked before stays as it is.
#[utoipa::path(post, path = "/api/v1/tokens/{id}/revoke", tag = "Tokens", params(("id" = TokenIdShape, Path, description = "the token")), responses(
    (status = 200, description = "the token as it is now", body = TokenView),
    (status = 409, description = "the configuration declares it", body = ProblemShape, content_type = "application/problem+json"),
))]
async fn revoke(
    State(context): State<Context>,
    Id(id): Id<TokenId>,
    _: NoParameters,
    OptionalJsonBody(EmptyBody {}): OptionalJsonBody<EmptyBody>,
) -> Result<JsonResponse<TokenView>, Problem> {
    Ok(JsonResponse(revoke_token(&context, id).await?.into()))
}

/// Revokes an API token that was made, at once and for good.
pub(crate) async fn revoke_token(context: &Context, id: TokenId) -> Result<Found, Problem> {
    if let Some(token) = context.settings.tokens.iter().find(|token| token.id == id) {
        let detail = format!(
            "the token {:?} is declared in the configuration; take it out of [server] tokens and start again",
            token.name
        );
        return Err(Problem::new(Code::TokenConfigured, detail));
    }
    let token = context.handle.revoke_token(id).await?;
    let token = token.ok_or_else(|| Problem::new(Code::UnknownToken, format!("there is no token {id}")))?;
    context.keyring.changed();
    tracing::info!(%id, name = token.name, "an API token is revoked");
    Ok(Found { token, source: TokenSource::Created })
}
