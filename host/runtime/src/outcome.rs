//! How an attempt ended, from what the guest returned or what ended its call.
//! It decides nothing about retries; `core::transition` does.

use std::any::Any;
use std::time::Duration;

use jobmill_core::outcome::AttemptError;
use jobmill_core::{FailureKind, Json, Outcome, limits};
use jobmill_engine::RecordError;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::bindings::since_0_1::jobmill::job::types::Failure;
use crate::capability::printable;
use crate::stopped::Stopped;

/// The guest returned.
pub(crate) fn of_return(returned: Result<Option<String>, Failure>) -> Outcome {
    match returned {
        Ok(None) => Outcome::Completed { output: None },
        Ok(Some(output)) => of_output(&output),
        Err(Failure::Transient(reason)) => Outcome::failed(FailureKind::Transient, printable(&reason)),
        Err(Failure::Permanent(reason)) => Outcome::failed(FailureKind::Permanent, printable(&reason)),
        Err(Failure::RetryAfter(after)) => Outcome::Failed {
            error: AttemptError::new(FailureKind::RetryAfter, printable(&after.reason)),
            retry_after: Some(Duration::from_millis(after.delay_ms)),
        },
        Err(Failure::Snooze(delay)) => Outcome::Snoozed { delay: Duration::from_millis(delay) },
    }
}

fn of_output(output: &str) -> Outcome {
    if output.len() > limits::OUTPUT_BYTES {
        let (bytes, most) = (output.len(), limits::OUTPUT_BYTES);
        return Outcome::failed(FailureKind::Limit, format!("the output has {bytes} bytes; it may have {most}"));
    }
    match Json::parse(output) {
        Ok(output) => Outcome::Completed { output: Some(output) },
        Err(error) => Outcome::failed(FailureKind::BadOutput, format!("the output is not JSON: {error}")),
    }
}

/// The guest's call ended before it returned. `last_words` are the last on its standard error.
pub(crate) fn of_error(error: &wasmtime::Error, last_words: Option<&str>) -> Outcome {
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
    let (kind, message) = cause(error);
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

/// What ended a guest's call, and in which words that is told.
pub(crate) fn cause(error: &wasmtime::Error) -> (FailureKind, String) {
    if let Some(stopped) = error.downcast_ref::<Stopped>() {
        return (kind_of_stop(stopped), printable(&stopped.to_string()));
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return (FailureKind::Trap, format!("the component exited with status {}", exit.0));
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return (FailureKind::Limit, format!("the component holds more than {} resources", limits::RESOURCE_HANDLES));
    }
    if is_hostcall_fuel_exhausted(error) {
        let most = limits::HOST_CALL_BYTES;
        return (FailureKind::Limit, format!("the component handed over more than {most} bytes at once"));
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
        | Stopped::HostCalls
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

/// wasmtime keeps this error's type to itself, so it is known by its name; a test meets it with a real component.
fn is_hostcall_fuel_exhausted(error: &wasmtime::Error) -> bool {
    format!("{:?}", error.root_cause()) == "HostcallFuelExhausted"
}
