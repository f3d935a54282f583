//! Failures on demand, in development only: the next mails, or the next changes of orders, fail.
//! It makes nothing fail itself; what it is handed does.

use std::sync::Arc;

use axum::Json as JsonResponse;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use crate::action::Action;
use crate::api::openapi::ProblemShape;
use crate::audit::Audited;
use crate::body::JsonBody;
use crate::error::{Code, Problem};
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};
use crate::{Context, DevelopmentFaults, FaultKind};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(fail_mail, fail_orders))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new()
        .post("/api/v1/mail/faults", Rule::OPERATE, fail_mail)
        .does(Action::MailFail)
        .post("/api/v1/orders/faults", Rule::OPERATE, fail_orders)
        .does(Action::OrdersFail)
        .described_by(Document::openapi)
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

/// What is to fail.
#[derive(Deserialize, ToSchema)]
#[schema(as = Faults)]
#[serde(deny_unknown_fields)]
struct FaultsBody {
    /// How many; 0 for none any more.
    fail_next: u32,
    kind: FaultKind,
}

/// What will fail.
#[derive(Serialize, ToSchema)]
#[schema(as = FaultsSet)]
struct FaultsView {
    /// How many.
    fail_next: u32,
}

/// Makes the next mails fail. In development only: elsewhere this path does not exist.
#[utoipa::path(
    post,
    path = "/api/v1/mail/faults",
    tag = "Development",
    request_body = FaultsBody,
    responses(
        (status = 200, description = "how many will fail", body = FaultsView),
        (status = 404, description = "this is no development server", body = ProblemShape, content_type = "application/problem+json"),
    )
)]
async fn fail_mail(
    audited: Audited,
    Faults(faults): Faults,
    _: NoParameters,
    JsonBody(FaultsBody { fail_next, kind }): JsonBody<FaultsBody>,
) -> JsonResponse<FaultsView> {
    audited.tells(format_args!("the next {fail_next}"));
    faults.fail_mail(fail_next, kind);
    JsonResponse(FaultsView { fail_next })
}

/// Makes the next changes of orders fail. In development only: elsewhere this path does not exist.
#[utoipa::path(
    post,
    path = "/api/v1/orders/faults",
    tag = "Development",
    request_body = FaultsBody,
    responses(
        (status = 200, description = "how many will fail", body = FaultsView),
        (status = 404, description = "this is no development server", body = ProblemShape, content_type = "application/problem+json"),
    )
)]
async fn fail_orders(
    audited: Audited,
    Faults(faults): Faults,
    _: NoParameters,
    JsonBody(FaultsBody { fail_next, kind }): JsonBody<FaultsBody>,
) -> JsonResponse<FaultsView> {
    audited.tells(format_args!("the next {fail_next}"));
    faults.fail_orders(fail_next, kind);
    JsonResponse(FaultsView { fail_next })
}
