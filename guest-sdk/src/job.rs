//! The trait behind `#[job]`: the one road from a JSON payload to a JSON output, in the component and in tests alike.
//! It knows neither the component model nor the test host.

use crate::{Context, Descriptor, Failure};
use serde::Serialize;

/// A job. `#[job]` implements it for a type named like the function; there is no reason to do so by hand.
pub trait Job: Copy {
    /// What the job tells the engine about itself.
    fn descriptor() -> Descriptor;

    /// Read the payload (JSON), perform one attempt, and write the output (JSON; `None` from a job that returns `()`).
    fn perform(context: &Context, payload: &str) -> Result<Option<String>, Failure>;
}

/// What the job returned, with its output as JSON.
pub fn output<T: Serialize>(result: Result<T, Failure>) -> Result<Option<String>, Failure> {
    let json = serde_json::to_string(&result?)
        .map_err(|error| Failure::permanent(format_args!("the job's output can't be written as JSON: {error}")))?;
    // `()` is `null`, and no output.
    Ok(Some(json).filter(|json| json != "null"))
}
