//! Ids in paths: what is no id names nothing, so the answer is that of an id that nobody has.
//! It looks nothing up.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use jobmill_core::{DeliveryId, EventId, JobId, MailId, RunId, TokenId};

use crate::error::{Code, Problem};

/// An id that paths can carry.
pub(crate) trait PathId: FromStr<Err: Display> + Send {
    /// The refusal of a text that is no such id.
    const REFUSAL: Code;
}

impl PathId for RunId {
    const REFUSAL: Code = Code::UnknownRun;
}

impl PathId for MailId {
    const REFUSAL: Code = Code::UnknownMail;
}

impl PathId for DeliveryId {
    const REFUSAL: Code = Code::UnknownDelivery;
}

impl PathId for EventId {
    const REFUSAL: Code = Code::UnknownEvent;
}

impl PathId for JobId {
    const REFUSAL: Code = Code::UnknownJob;
}

impl PathId for TokenId {
    const REFUSAL: Code = Code::UnknownToken;
}

/// The one id in the path of a route.
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: PathId> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text): Path<String> = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection: PathRejection| Problem::new(T::REFUSAL, rejection.body_text()))?;
        text.parse().map(Self).map_err(|error: T::Err| Problem::new(T::REFUSAL, error.to_string()))
    }
}
