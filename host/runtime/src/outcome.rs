//! How an attempt ended, from what the guest returned or what ended its call.
//! It decides nothing about retries; `core::transition` does.

use std::any::Any;
use std::time::Duration;

use jobmill_core::job::allow::Denied;
use jobmill_core::job::{Limit, SandboxLimits};
use jobmill_core::outcome::AttemptError;
use jobmill_core::{FailureKind, Json, Outcome, limits};
use jobmill_engine::RecordError;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::bindings::since_0_1::jobmill::job::types::Failure;
use crate::capability::printable;
use crate::stopped::{Stopped, told};

/// The guest returned; its output may have `most` bytes.
pub(crate) fn of_return(returned: Result<Option<String>, Failure>, most: usize) -> Outcome {
    match returned {
        Ok(None) => Outcome::Completed { output: None },
        Ok(Some(output)) => of_output(&output, most),
        Err(Failure::Transient(reason)) => Outcome::failed(FailureKind::Transient, printable(&reason)),
        Err(Failure::Permanent(reason)) => Outcome::failed(FailureKind::Permanent, printable(&reason)),
        Err(Failure::RetryAfter(after)) => Outcome::Failed {
            error: AttemptError::new(FailureKind::RetryAfter, printable(&after.reason)),
            retry_after: Some(Duration::from_millis(after.delay_ms)),
        },
        Err(Failure::Snooze(delay)) => Outcome::Snoozed { delay: Duration::from_millis(delay) },
    }
}

fn of_output(output: &str, most: usize) -> Outcome {
    if output.len() > most {
        let (bytes, most) = (output.len(), told(Limit::Output, most));
        return Outcome::failed(FailureKind::Limit, format!("the output has {bytes} bytes; it may have {most}"));
    }
    match Json::parse(output) {
        Ok(output) => Outcome::Completed { output: Some(output) },
        Err(error) => Outcome::failed(FailureKind::BadOutput, format!("the output is not JSON: {error}")),
    }
}

/// The guest's call ended before it returned. `last_words` are the last on its standard error.
pub(crate) fn of_error(error: &wasmtime::Error, last_words: Option<&str>, limits: &SandboxLimits) -> Outcome {
    // The run is another attempt's now, or there was no room after all: nothing is the job's doing.
    let stopped = error.downcast_ref::<Stopped>();
    if matches!(stopped, Some(Stopped::Record(RecordError::LeaseLost(_)))) || error.is::<PoolConcurrencyLimitError>() {
        return Outcome::Interrupted;
    }
    if let Some(Stopped::Held(hold)) = stopped {
        return Outcome::Held { delay: hold.delay, reason: hold.reason.clone(), whole_job: hold.whole_outlet };
    }
    if let Some(Stopped::Paced { reason, delay }) = stopped {
        return Outcome::Failed {
            error: AttemptError::new(FailureKind::RetryAfter, reason),
            retry_after: Some(*delay),
        };
    }
    let (kind, message) = cause(error, limits);
    // All panics of a language are one trap. What was said before it tells them apart, for people and for groups.
    let message = match last_words {
        Some(words) if gave_up(error) => format!("{words} ({message})"),
        _ => message,
    };
    let failure = AttemptError::new(kind, message);
    let failure = match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) => failure.with_trace(&printable(&backtrace.to_string())),
        None => failure,
    };
    Outcome::Failed { error: failure, retry_after: None }
}

/// The same end, told with what the guest was refused before it failed. Where it failed for good, or gave up, that is a denial; where it asks
/// to be tried again it may have met something else since, and is.
pub(crate) fn with_denial(outcome: Outcome, denied: Option<&Denied>) -> Outcome {
    let (Outcome::Failed { error, .. }, Some(denied)) = (&outcome, denied) else { return outcome };
    let kind = match error.kind {
        FailureKind::Permanent | FailureKind::Trap => FailureKind::Denied,
        FailureKind::Transient => FailureKind::Transient,
        _ => return outcome,
    };
    let denial = printable(&denied.to_string());
    let message = if error.message.contains(&denial) {
        error.message.clone()
    } else {
        // What would allow it is not to be what is cut off.
        let room = limits::ERROR_TEXT_BYTES.saturating_sub(denial.len() + " ()".len());
        format!("{} ({denial})", limits::truncate(&error.message, room))
    };
    let error = AttemptError { trace: error.trace.clone(), ..AttemptError::new(kind, message) };
    Outcome::Failed { error, retry_after: None }
}

/// What ended a guest's call, and in which words that is told.
pub(crate) fn cause(error: &wasmtime::Error, limits: &SandboxLimits) -> (FailureKind, String) {
    if let Some(stopped) = error.downcast_ref::<Stopped>() {
        return (kind_of_stop(stopped), printable(&stopped.to_string()));
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return (FailureKind::Trap, format!("the component exited with status {}", exit.0));
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        let most = told(Limit::Handles, limits.size(Limit::Handles));
        return (FailureKind::Limit, format!("the component holds more resources than it may have: {most}"));
    }
    if is_hostcall_fuel_exhausted(error) {
        let most = told(Limit::HostCall, limits.size(Limit::HostCall));
        return (FailureKind::Limit, format!("the component handed over more than {most} at once"));
    }
    if is_random_exceeded(error) {
        let most = told(Limit::Random, limits.size(Limit::Random));
        return (
            FailureKind::Limit,
            format!("the component asked for more random bytes at once than it may have: {most}"),
        );
    }
    (FailureKind::Trap, text(error))
}

/// Whether the guest ended its own call.
fn gave_up(error: &wasmtime::Error) -> bool {
    error.is::<I32Exit>() || matches!(error.downcast_ref(), Some(Trap::UnreachableCodeReached))
}

fn kind_of_stop(stopped: &Stopped) -> FailureKind {
    match stopped {
        Stopped::Record(RecordError::Order(_)) | Stopped::Held(_) => FailureKind::Transient,
        Stopped::Record(RecordError::LeaseLost(_) | RecordError::Store(_)) => FailureKind::Host,
        Stopped::Paced { .. } => FailureKind::RetryAfter,
        Stopped::Describing => FailureKind::Denied,
        Stopped::Record(RecordError::JournalFull)
        | Stopped::HostCalls { .. }
        | Stopped::HttpRequests { .. }
        | Stopped::Table { .. }
        | Stopped::StepName { .. }
        | Stopped::StepValueSize { .. } => FailureKind::Limit,
        Stopped::Memory { .. } => FailureKind::Memory,
        Stopped::StepValueForm { .. } => FailureKind::BadOutput,
    }
}

/// An error with its causes, in one line. Names in it are the component's own.
pub(crate) fn text(error: &wasmtime::Error) -> String {
    let text = match error.downcast_ref::<WasmBacktrace>() {
        // The backtrace would be all there is to read; it is shown apart.
        Some(_) => error.root_cause().to_string(),
        None => format!("{error:#}"),
    };
    printable(&text).replace('\n', " ")
}

/// A host function panicked: the host's fault, not the job's.
pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Outcome {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given");
    tracing::error!(reason = words, "the engine panicked while it served a component");
    Outcome::failed(FailureKind::Host, format!("the engine panicked while it served the component: {words}"))
}

/// This error has no type of its own, so it is known by its words; a test meets it with a real component.
fn is_random_exceeded(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().starts_with("requested len ")
}

/// wasmtime keeps this error's type to itself, so it is known by its name; a test meets it with a real component.
fn is_hostcall_fuel_exhausted(error: &wasmtime::Error) -> bool {
    format!("{:?}", error.root_cause()) == "HostcallFuelExhausted"
}
