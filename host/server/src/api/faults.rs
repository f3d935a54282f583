//! Failures on demand, in development only: the next mails, or the next changes of orders, fail.
//! It makes nothing fail itself; what it is handed does.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::routing::post;
use axum::{Json as JsonResponse, Router};
use serde::{Deserialize, Serialize};

use crate::body::JsonBody;
use crate::error::{Code, Problem};
use crate::query::NoParameters;
use crate::{Context, DevelopmentFaults, FaultKind};

pub(super) fn routes() -> Router<Context> {
    Router::new().route("/api/v1/mail/faults", post(fail_mail)).route("/api/v1/orders/faults", post(fail_orders))
}

/// What makes things fail; where there is none, the route does not exist.
struct Faults(Arc<dyn DevelopmentFaults>);

impl FromRequestParts<Context> for Faults {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, context: &Context) -> Result<Self, Problem> {
        let faults = context.settings.faults.clone();
        faults.map(Self).ok_or_else(|| Problem::new(Code::NotFound, "failures can be asked for in development only"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsBody {
    fail_next: u32,
    kind: FaultKind,
}

#[derive(Serialize)]
struct FaultsView {
    fail_next: u32,
}

async fn fail_mail(
    Faults(faults): Faults,
    _: NoParameters,
    JsonBody(FaultsBody { fail_next, kind }): JsonBody<FaultsBody>,
) -> JsonResponse<FaultsView> {
    faults.fail_mail(fail_next, kind);
    JsonResponse(FaultsView { fail_next })
}

async fn fail_orders(
    Faults(faults): Faults,
    _: NoParameters,
    JsonBody(FaultsBody { fail_next, kind }): JsonBody<FaultsBody>,
) -> JsonResponse<FaultsView> {
    faults.fail_orders(fail_next, kind);
    JsonResponse(FaultsView { fail_next })
}
