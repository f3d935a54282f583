//! The suppression list: addresses that get no mail, put on it and taken off it.
//! It sends and stops no mail; jobs that write to such an address are told that it was suppressed.

use std::str::FromStr;

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jobmill_core::mail::{InvalidMessage, Mailbox};
use jobmill_core::suppression::{Suppression, SuppressionSource};
use jobmill_core::{Timestamp, limits};
use jobmill_store::Suppressed;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use crate::Context;
use crate::action::Action;
use crate::api::List;
use crate::api::operator::operator;
use crate::audit::Audited;
use crate::authentication::Caller;
use crate::body::OptionalJsonBody;
use crate::error::{Code, Problem};
use crate::path::{Id, PathId};
use crate::query::{NoParameters, Parameters};
use crate::routes::{Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(list, show, suppress, lift))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api/v1/suppressions", Rule::READ, list)
        .get("/api/v1/suppressions/{address}", Rule::READ, show)
        .put("/api/v1/suppressions/{address}", Rule::OPERATE, suppress)
        .does(Action::MailSuppress)
        .delete("/api/v1/suppressions/{address}", Rule::OPERATE, lift)
        .does(Action::MailLift)
        .described_by(Document::openapi)
}

/// An address that mail could be sent to.
struct Address(String);

impl FromStr for Address {
    type Err = InvalidMessage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mailbox = Mailbox { address: text.to_owned(), name: None };
        mailbox.check("the path")?;
        Ok(Self(mailbox.address))
    }
}

impl PathId for Address {
    const REFUSAL: Code = Code::InvalidAddress;
}

/// An address that gets no mail.
#[derive(Serialize, ToSchema)]
#[schema(as = Suppression)]
struct SuppressionView {
    /// Null once it was forgotten.
    address: Option<String>,
    /// Why, for people.
    reason: Option<String>,
    /// Who said so: `operator`, `bounce` or `webhook`.
    source: &'static str,
    /// The operator, or the webhook; null for a bounce.
    by: Option<String>,
    /// Since when.
    since: Timestamp,
}

impl From<Suppression> for SuppressionView {
    fn from(suppression: Suppression) -> Self {
        let Suppression { address, reason, source, at, .. } = suppression;
        let word = source.as_str();
        let by = match source {
            SuppressionSource::Operator(by) | SuppressionSource::Webhook(by) => Some(by),
            SuppressionSource::Bounce => None,
        };
        Self { address, reason, source: word, by, since: at }
    }
}

/// Lists the addresses that get no mail.
#[utoipa::path(
    get,
    path = "/api/v1/suppressions",
    tag = "Suppressions",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "items of the page, 1 to 200; 50 if absent"),
    ),
    responses(
        (status = 200, description = "a page of addresses", body = List<SuppressionView>),
    )
)]
async fn list(
    State(context): State<Context>,
    parameters: Parameters,
) -> Result<JsonResponse<List<SuppressionView>>, Problem> {
    let parameters = parameters.only(&["cursor", "limit"])?;
    let (after, limit) = (parameters.value("cursor")?, parameters.limit()?);
    let page = context.handle.query().suppressions(after, limit).await?;
    Ok(JsonResponse(List::page(page, SuppressionView::from)))
}

/// Shows why an address gets no mail.
#[utoipa::path(
    get,
    path = "/api/v1/suppressions/{address}",
    tag = "Suppressions",
    params(
        ("address" = String, Path, description = "the address; case does not matter"),
    ),
    responses(
        (status = 200, description = "who said so, and when", body = SuppressionView),
    )
)]
async fn show(
    State(context): State<Context>,
    Id(Address(address)): Id<Address>,
    _: NoParameters,
) -> Result<JsonResponse<SuppressionView>, Problem> {
    let suppression = context.handle.query().suppression(&address).await?;
    Ok(JsonResponse(suppression.ok_or_else(|| unknown_suppression(&address))?.into()))
}

/// The refusal to lift what is not there.
pub(crate) fn unknown_suppression(address: &str) -> Problem {
    Problem::new(Code::UnknownSuppression, format!("{address} is not suppressed"))
}

/// Why an address gets no mail.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = Suppress)]
#[serde(deny_unknown_fields)]
struct SuppressBody {
    /// Why, for people.
    reason: Option<String>,
    /// Who asks; the token's name if absent.
    by: Option<String>,
}

/// Stops mail to an address.
#[utoipa::path(
    put,
    path = "/api/v1/suppressions/{address}",
    tag = "Suppressions",
    params(
        ("address" = String, Path, description = "the address; case does not matter"),
    ),
    request_body = Option<SuppressBody>,
    responses(
        (status = 200, description = "it got none before", body = SuppressionView),
        (status = 201, description = "it gets none from now on", body = SuppressionView),
    )
)]
async fn suppress(
    State(context): State<Context>,
    caller: Caller,
    audited: Audited,
    Id(Address(address)): Id<Address>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<SuppressBody>,
) -> Result<Response, Problem> {
    audited.tells_by(body.by.as_deref());
    let by = operator(body.by, &caller)?;
    body.reason.iter().for_each(|reason| audited.tells(reason));
    let Suppressed { suppression, is_new } = suppress_address(&context, &address, body.reason, by).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, JsonResponse(SuppressionView::from(suppression))).into_response())
}

/// Stops mail to an address in an operator's name.
pub(crate) async fn suppress_address(
    context: &Context,
    address: &str,
    reason: Option<String>,
    by: String,
) -> Result<Suppressed, Problem> {
    let handle = &context.handle;
    if reason.as_ref().is_some_and(|reason| reason.len() > limits::ERROR_TEXT_BYTES) {
        let reason = format!("is longer than {} bytes", limits::ERROR_TEXT_BYTES);
        return Err(Problem::invalid_member("/reason", reason));
    }
    let suppression = Suppression::new(address, reason, SuppressionSource::Operator(by), handle.now())
        .map_err(|error| Problem::new(Code::InvalidAddress, error.to_string()))?;
    Ok(handle.suppress(suppression).await?)
}

/// Lets an address get mail again.
#[utoipa::path(
    delete,
    path = "/api/v1/suppressions/{address}",
    tag = "Suppressions",
    params(
        ("address" = String, Path, description = "the address; case does not matter"),
    ),
    responses(
        (status = 204, description = "it gets mail again"),
    )
)]
async fn lift(
    State(context): State<Context>,
    Id(Address(address)): Id<Address>,
    _: NoParameters,
) -> Result<StatusCode, Problem> {
    let lifted = context.handle.lift_suppression(address.clone()).await?;
    lifted.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| unknown_suppression(&address))
}
