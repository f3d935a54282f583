//! Who looks at a page, what they may do there, and the key that their forms carry.
//! It lets nobody in: `authentication` does.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jobmill_core::token::Scope;

use crate::Context;
use crate::authentication::Caller;
use crate::error::Problem;

/// Whoever looks at a page.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Whether buttons are shown.
    pub(crate) may_operate: bool,
    /// The name of their token; none where none is wanted.
    pub(crate) name: Option<String>,
    /// What each form sends back, so that no other site's page can send one.
    pub(crate) form_key: String,
}

impl FromRequestParts<Context> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_default();
        Ok(Self {
            may_operate: caller.may(Scope::Operate),
            name: caller.name().map(str::to_owned),
            form_key: context.form_keys.of(&caller),
        })
    }
}
