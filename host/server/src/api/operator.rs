//! Who asks for something that others will want to ask about later: why is this paused?
//! It checks no credentials; the name is the caller's own word, or that of its token.

use jobmill_core::limits;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::authentication::Caller;
use crate::error::Problem;

/// Who it was when neither the request nor a token says.
const UNNAMED: &str = "the API";

/// Who asks for it.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = Operator)]
#[serde(deny_unknown_fields)]
pub(super) struct OperatorBody {
    /// Who asks; the token's name if absent.
    pub(super) by: Option<String>,
}

/// The name that is kept for whoever asks.
pub(super) fn operator(by: Option<String>, caller: &Caller) -> Result<String, Problem> {
    let by = by.unwrap_or_else(|| caller.name().unwrap_or(UNNAMED).to_owned());
    if by.trim().is_empty() || by.len() > limits::KEY_BYTES || by.chars().any(char::is_control) {
        let reason = format!("must have 1 to {} printable characters", limits::KEY_BYTES);
        return Err(Problem::invalid_member("/by", reason));
    }
    Ok(by)
}
