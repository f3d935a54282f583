//! What a component may ask of the host: one module for each interface.
//! Nothing here is trusted from the guest: each call is checked and counted before it reaches a backend.

pub(crate) mod config;
pub(crate) mod email;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod network;
pub(crate) mod orders;
pub(crate) mod steps;
pub(crate) mod wasi;

use jobmill_engine::RecordError;

use crate::bindings::since_0_1::jobmill::job::types;
use crate::state::HostState;
use crate::stopped::Stopped;

/// A host call that does not succeed.
pub(crate) enum Refusal<E> {
    /// The guest gets this error and can act on it.
    Answer(E),
    /// The guest's call ends here.
    Stop(Stopped),
}

impl<E> Refusal<E> {
    /// The guest's error, or the end of its call.
    fn into_answer(self) -> wasmtime::Result<E> {
        match self {
            Self::Answer(error) => Ok(error),
            Self::Stop(stopped) => Err(stopped.into()),
        }
    }
}

impl<E> From<Stopped> for Refusal<E> {
    fn from(stopped: Stopped) -> Self {
        Self::Stop(stopped)
    }
}

impl<E> From<RecordError> for Refusal<E> {
    fn from(error: RecordError) -> Self {
        Self::Stop(Stopped::Record(error))
    }
}

/// Types only: there is nothing to answer.
impl types::Host for HostState {}

/// The text with nothing in it that moves a cursor or ends a record: a guest chooses its log lines and debug names.
pub(crate) fn printable(text: &str) -> String {
    // Most texts are plain, and looking at bytes is quick.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
        return text.to_owned();
    }
    let shown = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c };
    text.replace("\r\n", "\n").chars().map(shown).collect()
}

/// Whole milliseconds, as the interfaces count time.
fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
