//! The attributes `#[job]` and `#[payload]` of `jobmill-sdk`, which re-exports them: depend on that crate.
//! It writes code and checks what can be checked while compiling; what runs is in `jobmill-sdk`.

mod arguments;
mod duration;
mod job;
mod payload;

use proc_macro::TokenStream;

/// Make a function a job.
///
/// ```ignore
/// /// What it does: the description that people read.
/// #[job(title = "Welcome email", event = "email/welcome", retries = 1)]
/// fn welcome_email(context: &Context, payload: Welcome) -> Result<Receipt, Failure> { … }
/// ```
///
/// The function takes the context and a `#[payload]`, and returns a `Result` of anything that serialises (or `()` for no
/// output) with `Failure` as the error. Its name becomes the job's id, with `-` for `_`. A crate holds one job.
///
/// | Argument | Default |
/// |---|---|
/// | `id = "…"` | the function's name |
/// | `title = "…"` | the id in words |
/// | `event = "…"`, `cron = "…"` (may repeat) | none: runs are enqueued by id |
/// | `queue = "…"`, `priority = 0..=9`, `retries = N`, `timeout = "30s"` | the engine's |
/// | `backoff = "5s"` or `backoff(base = "1s", factor = 2.0, max = "1h", jitter = 0.0)` | 1 s, 2 s, 4 s, … |
/// | `concurrency(limit = N, key = "/pointer")` (may repeat) | no limit |
/// | `rate_limit(limit = N, period = "1m", key = "/pointer")` | no limit |
/// | `debounce(period = "10s", max_wait = "1m", key = "/pointer")` | off |
/// | `unique_key = "/pointer"`, `unique_for = "24h"` | off |
/// | `example = r#"{ … }"#` | none |
#[proc_macro_attribute]
pub fn job(arguments: TokenStream, item: TokenStream) -> TokenStream {
    job::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Make a type a payload: read from JSON with camelCase members, unknown ones ignored, and described by a JSON Schema.
#[proc_macro_attribute]
pub fn payload(arguments: TokenStream, item: TokenStream) -> TokenStream {
    payload::expand(&arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
