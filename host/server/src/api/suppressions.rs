//! The suppression list: addresses that get no mail, put on it and taken off it.
//! It sends and stops no mail; jobs that write to such an address are told that it was suppressed.

use std::str::FromStr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json as JsonResponse, Router};
use jobmill_core::mail::{InvalidMessage, Mailbox};
use jobmill_core::suppression::{Suppression, SuppressionSource};
use jobmill_core::{Timestamp, limits};
use jobmill_store::Suppressed;
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::api::List;
use crate::api::operator::operator;
use crate::body::OptionalJsonBody;
use crate::error::{Code, Problem};
use crate::path::{Id, PathId};
use crate::query::{NoParameters, Parameters};

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/api/v1/suppressions", get(list))
        .route("/api/v1/suppressions/{address}", get(show).put(suppress).delete(lift))
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

#[derive(Serialize)]
struct SuppressionView {
    /// Null once it was forgotten.
    address: Option<String>,
    reason: Option<String>,
    source: &'static str,
    /// The operator; null for a bounce.
    by: Option<String>,
    since: Timestamp,
}

impl From<Suppression> for SuppressionView {
    fn from(suppression: Suppression) -> Self {
        let Suppression { address, reason, source, at, .. } = suppression;
        let word = source.as_str();
        let by = match source {
            SuppressionSource::Operator(by) => Some(by),
            SuppressionSource::Bounce => None,
        };
        Self { address, reason, source: word, by, since: at }
    }
}

async fn list(
    State(context): State<Context>,
    parameters: Parameters,
) -> Result<JsonResponse<List<SuppressionView>>, Problem> {
    let parameters = parameters.only(&["cursor", "limit"])?;
    let (after, limit) = (parameters.value("cursor")?, parameters.limit()?);
    let page = context.handle.query().suppressions(after, limit).await?;
    Ok(JsonResponse(List::page(page, SuppressionView::from)))
}

async fn show(
    State(context): State<Context>,
    Id(Address(address)): Id<Address>,
    _: NoParameters,
) -> Result<JsonResponse<SuppressionView>, Problem> {
    let suppression = context.handle.query().suppression(&address).await?;
    Ok(JsonResponse(suppression.ok_or_else(|| unknown(&address))?.into()))
}

fn unknown(address: &str) -> Problem {
    Problem::new(Code::UnknownSuppression, format!("{address} is not suppressed"))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SuppressBody {
    reason: Option<String>,
    by: Option<String>,
}

async fn suppress(
    State(context): State<Context>,
    Id(Address(address)): Id<Address>,
    _: NoParameters,
    OptionalJsonBody(body): OptionalJsonBody<SuppressBody>,
) -> Result<Response, Problem> {
    let handle = &context.handle;
    let source = SuppressionSource::Operator(operator(body.by)?);
    if body.reason.as_ref().is_some_and(|reason| reason.len() > limits::ERROR_TEXT_BYTES) {
        let reason = format!("is longer than {} bytes", limits::ERROR_TEXT_BYTES);
        return Err(Problem::invalid_member("/reason", reason));
    }
    let suppression = Suppression::new(&address, body.reason, source, handle.now())
        .map_err(|error| Problem::new(Code::InvalidAddress, error.to_string()))?;
    let Suppressed { suppression, is_new } = handle.suppress(suppression).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, JsonResponse(SuppressionView::from(suppression))).into_response())
}

async fn lift(
    State(context): State<Context>,
    Id(Address(address)): Id<Address>,
    _: NoParameters,
) -> Result<StatusCode, Problem> {
    let lifted = context.handle.lift_suppression(address.clone()).await?;
    lifted.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| unknown(&address))
}
