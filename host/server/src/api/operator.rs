//! Who asks for something that others will want to ask about later: why is this paused?
//! It checks no credentials; the name is the caller's own word.

use jobmill_core::limits;

use crate::error::Problem;

/// Who it was when the request does not say.
const UNNAMED: &str = "the API";

/// The name that is kept for whoever asks.
pub(super) fn operator(by: Option<String>) -> Result<String, Problem> {
    let by = by.unwrap_or_else(|| UNNAMED.to_owned());
    if by.trim().is_empty() || by.len() > limits::KEY_BYTES || by.chars().any(char::is_control) {
        let reason = format!("must have 1 to {} printable characters", limits::KEY_BYTES);
        return Err(Problem::invalid_member("/by", reason));
    }
    Ok(by)
}
