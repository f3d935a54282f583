//! How an attempt ended, from what the guest returned or what ended its call.
//! It decides nothing about retries; `core::transition` does.

use std::any::Any;
use std::time::Duration;

use jobmill_core::outcome::AttemptError;
use jobmill_core::{FailureKind, Json, Outcome, limits};
use jobmill_store::RecordError;
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

/// The guest's call ended before it returned.
pub(crate) fn of_error(error: &wasmtime::Error) -> Outcome {
    if let Some(stopped) = error.downcast_ref::<Stopped>() {
        return of_stop(stopped, error);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Outcome::Interrupted;
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return traced(FailureKind::Trap, &format!("the component exited with status {}", exit.0), error);
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        let message = format!("the component holds more than {} resources", limits::RESOURCE_HANDLES);
        return traced(FailureKind::Limit, &message, error);
    }
    if is_hostcall_fuel_exhausted(error) {
        let message = format!("the component handed over more than {} bytes at once", limits::HOST_CALL_BYTES);
        return traced(FailureKind::Limit, &message, error);
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => traced(FailureKind::Trap, &trap.to_string(), error),
        None => traced(FailureKind::Trap, &text_of_cause(error), error),
    }
}

fn of_stop(stopped: &Stopped, error: &wasmtime::Error) -> Outcome {
    let kind = match stopped {
        // The run is another attempt's now; whatever is said here is not recorded.
        Stopped::Record(RecordError::LeaseLost(_)) => return Outcome::Interrupted,
        Stopped::Record(RecordError::Order(_)) => FailureKind::Transient,
        Stopped::Record(RecordError::Store(_)) | Stopped::Describing => FailureKind::Host,
        Stopped::Record(RecordError::JournalFull)
        | Stopped::HostCalls
        | Stopped::Table { .. }
        | Stopped::StepName { .. }
        | Stopped::StepValueSize { .. } => FailureKind::Limit,
        Stopped::Memory { .. } => FailureKind::Memory,
        Stopped::StepValueForm { .. } => FailureKind::BadOutput,
    };
    traced(kind, &stopped.to_string(), error)
}

/// A host function panicked: the host's fault, not the job's.
pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Outcome {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given");
    tracing::error!(reason = words, "the engine panicked while it served a component");
    Outcome::failed(FailureKind::Host, format!("the engine panicked while it served the component: {words}"))
}

fn traced(kind: FailureKind, message: &str, error: &wasmtime::Error) -> Outcome {
    let failure = AttemptError::new(kind, printable(message));
    let failure = match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) => failure.with_trace(&printable(&backtrace.to_string())),
        None => failure,
    };
    Outcome::Failed { error: failure, retry_after: None }
}

/// wasmtime keeps this error's type to itself, so it is known by its name; a test meets it with a real component.
fn is_hostcall_fuel_exhausted(error: &wasmtime::Error) -> bool {
    format!("{:?}", error.root_cause()) == "HostcallFuelExhausted"
}

/// Without the backtrace, which is kept apart.
fn text_of_cause(error: &wasmtime::Error) -> String {
    printable(&error.root_cause().to_string())
}
